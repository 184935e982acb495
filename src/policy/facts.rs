//! What policy judges: complete facts, collected beforehand. There is no "unknown" here; where a fact
//! could not be had, no [`PushFacts`] was built and the push is undecided.

use crate::domain::{
    Change, ObjectId, ObjectKind, Principal, PushContext, RefName, RefUpdate, Timestamp, UpdateKind,
    fold_name,
};
use crate::signature::{Finding, SignatureStatus};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, OnceLock};

/// Everything about one push that rules may look at.
#[derive(Clone, Debug)]
pub struct PushFacts {
    /// Repository, pusher, time, request.
    pub context: PushContext,
    /// One entry for each well-formed update, in the order of the push.
    pub refs: Vec<RefFacts>,
    /// The commits that some ruleset has to judge, by id.
    pub commits: HashMap<ObjectId, CommitFacts>,
    /// Faults of the push that the built-in ruleset refuses; see [`BuiltinFault`].
    pub faults: Vec<BuiltinFault>,
    /// Why some of the commits that are to be judged have no facts. Their `reference` is empty: they are
    /// faults on every ref that introduces the commit.
    pub object_faults: HashMap<ObjectId, Vec<BuiltinFault>>,
    /// Why it is not known what some commits change, although a rule needs it. Their `reference` is empty: they
    /// are faults on every ref that introduces the commit, by every ruleset with such a rule.
    pub content_faults: HashMap<ObjectId, Vec<BuiltinFault>>,
    /// The principal whose account pushes, where the keyring lists the account. `None` is nobody that a
    /// rule may trust (N18).
    pub pusher: Option<Arc<Principal>>,
    /// What the repository holds besides what the push is about.
    pub repository: RepositoryFacts,
    /// What is known of the blobs that changes name, by id: only with [`Needs::BLOBS`].
    pub blobs: HashMap<ObjectId, BlobFacts>,
    /// Commits and tags that only another repository has, from which this one borrows: no refusal quotes them (N12).
    pub unquotable: HashSet<ObjectId>,
}

/// What rules may need to know of the repository as a whole.
#[derive(Clone, Debug, Default)]
pub struct RepositoryFacts {
    /// The branch that `HEAD` names, whether it exists or not.
    pub default_branch: Option<RefName>,
    /// Whether it has any ref, before this push: only with [`Needs::HISTORY`].
    pub has_history: bool,
    /// Of the commits without a parent that the push has to have judged, those that the default branch stands on
    /// already, before this push: only with [`Needs::HISTORY`].
    pub own_roots: HashSet<ObjectId>,
    /// The full names of all refs as they would be after the push: only with [`Needs::NAMES`].
    pub names: RefNames,
}

/// Names and how many bytes of them, by what that is without case.
type ByFolding = HashMap<Vec<u8>, Vec<(RefName, usize)>>;

/// A set of ref names.
#[derive(Clone, Debug, Default)]
pub struct RefNames {
    names: BTreeSet<RefName>,
    /// Made when it is first asked for: the names, and the directories that they stand in as files, by what they are
    /// without case; with how many bytes of the name that is.
    folded: OnceLock<ByFolding>,
}

impl FromIterator<RefName> for RefNames {
    fn from_iter<T: IntoIterator<Item = RefName>>(names: T) -> Self {
        RefNames { names: names.into_iter().collect(), folded: OnceLock::new() }
    }
}

impl RefNames {
    /// Whether there is a ref of exactly this name.
    pub fn contains(&self, name: &RefName) -> bool {
        self.names.contains(name)
    }

    /// All of them, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &RefName> {
        self.names.iter()
    }

    /// Another ref that a file system on which neither case nor the way in which characters are composed counts has
    /// no room for beside this one: of the same name there, or of one that is a directory for the other.
    pub fn same_but_for_case(&self, name: &RefName) -> Option<&RefName> {
        let folded = self.folded.get_or_init(|| {
            let mut out = ByFolding::new();
            for name in &self.names {
                for length in directories(name).chain([name.as_bytes().len()]) {
                    let key = fold_name(&name.as_bytes()[..length]).into_owned();
                    out.entry(key).or_default().push((name.clone(), length));
                }
            }
            out
        });
        let of = |part: &[u8]| folded.get(fold_name(part).as_ref()).into_iter().flatten();
        // Spelled alike they cannot both be there in the first place.
        let differs = |part: &[u8], other: &RefName, length: usize| other.as_bytes()[..length] != *part;
        let whole = name.as_bytes();
        let same = of(whole).find(|(other, length)| differs(whole, other, *length));
        let around = || {
            directories(name).map(|length| &whole[..length]).find_map(|part| {
                of(part).find(|(other, length)| {
                    *length == other.as_bytes().len() && differs(part, other, *length)
                })
            })
        };
        same.or_else(around).map(|(other, _)| other)
    }
}

/// How many bytes of a name each directory below its hierarchy has: `refs/heads/a` and `refs/heads/a/b` of
/// `refs/heads/a/b/c`.
fn directories(name: &RefName) -> impl Iterator<Item = usize> {
    let slashes = name.as_bytes().iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(at, _)| at).skip(2)
}

/// A set of facts that cost something, and are only collected for rules that ask for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs(u16);

impl Needs {
    /// Nothing but the objects themselves.
    pub const NONE: Needs = Needs(0);
    /// Which paths a commit changes, against each of its parents.
    pub const CHANGES: Needs = Needs(1);
    /// Sizes and kinds of the blobs that changes bring; together with the changes.
    pub const BLOBS: Needs = Needs(2);
    /// Which paths the whole update changes (N11).
    pub const NET: Needs = Needs(4);
    /// Whether a merge is what merging its parents gives (N20).
    pub const MERGES: Needs = Needs(8);
    /// The names of all refs after the push (N33).
    pub const NAMES: Needs = Needs(16);
    /// When the gate first let a commit into the repository (N13).
    pub const RECEIVED: Needs = Needs(32);
    /// Whose addresses commits and tags name.
    pub const PEOPLE: Needs = Needs(64);
    /// Whether the repository has any ref yet, and where its history begins.
    pub const HISTORY: Needs = Needs(128);
    /// Whether a tip is borrowed from another repository (N12).
    pub const FOREIGN: Needs = Needs(256);

    /// Both sets.
    pub const fn and(self, other: Needs) -> Needs {
        Needs(self.0 | other.0)
    }

    /// Whatever is about the content of trees.
    pub const CONTENT: Needs = Needs::CHANGES.and(Needs::BLOBS).and(Needs::NET);

    /// Whether anything of `other` is in this set.
    pub const fn has_any(self, other: Needs) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all of `other` is in this set.
    pub const fn has(self, other: Needs) -> bool {
        self.0 & other.0 == other.0
    }
}

impl RefFacts {
    /// The kind of what the update leads to, where that is content without a commit: a tree or a blob.
    pub fn bare_content(&self) -> Option<ObjectKind> {
        self.leads_to.filter(|kind| matches!(kind, ObjectKind::Tree | ObjectKind::Blob))
    }

    /// The signature nearest to what the update leads to: that of the last of its annotated tags.
    pub fn innermost_signature(&self) -> Option<&SignatureFacts> {
        self.tags.last().map(|tag| &tag.signature)
    }
}

impl PushFacts {
    /// A push of which nothing is known but this: what tests and benches start from.
    pub fn bare(context: PushContext) -> Self {
        PushFacts {
            context,
            refs: Vec::new(),
            commits: HashMap::new(),
            faults: Vec::new(),
            object_faults: HashMap::new(),
            content_faults: HashMap::new(),
            pusher: None,
            repository: RepositoryFacts::default(),
            blobs: HashMap::new(),
            unquotable: HashSet::new(),
        }
    }

    /// What is odd about the commits and tags that were looked at, and refuses nothing: commits by id, then
    /// tags, each object once.
    pub fn findings<'a>(&'a self) -> Vec<(ObjectKind, ObjectId, &'a Finding)> {
        let mut out = Vec::new();
        let mut add = |kind, id, own: [&'a [Finding]; 2]| {
            out.extend(own.into_iter().flatten().map(|finding| (kind, id, finding)));
        };
        let mut commits: Vec<&CommitFacts> = self.commits.values().collect();
        commits.sort_unstable_by_key(|commit| commit.id);
        for commit in commits {
            add(ObjectKind::Commit, commit.id, [&commit.findings, commit.signature.findings()]);
        }
        let mut seen = HashSet::new();
        for tag in self.refs.iter().flat_map(|reference| &reference.tags) {
            if seen.insert(tag.id) {
                add(ObjectKind::Tag, tag.id, [&tag.findings, tag.signature.findings()]);
            }
        }
        out
    }
}

/// One ref update and what is known of it.
#[derive(Clone, Debug)]
pub struct RefFacts {
    /// As pushed.
    pub update: RefUpdate,
    /// The ref that moves, after symbolic refs are resolved (N4). Selectors match this name.
    pub name: RefName,
    /// What the ref really holds now.
    pub current: Option<ObjectId>,
    /// What the update does.
    pub kind: UpdateKind,
    /// What kind of object the new tip is; `None` for deletions.
    pub tip_kind: Option<ObjectKind>,
    /// What the new tip finally leads to, through annotated tags; `None` for deletions, and where a fault
    /// keeps it from being known.
    pub leads_to: Option<ObjectKind>,
    /// The annotated tags between the new tip and what it finally points at, outermost first.
    pub tags: Vec<TagFacts>,
    /// For each covering ruleset (by its index), the commits it has not judged yet, parents before
    /// children (N7), less those that an earlier ref of the push introduces. Empty for rulesets without
    /// commit rules.
    pub introduced: HashMap<usize, Vec<ObjectId>>,
    /// For each covering ruleset, the commits of those earlier refs that this one stands on.
    pub builds_on: HashMap<usize, Vec<ObjectId>>,
    /// The rulesets for which those stand on commits that count for this ref only, and so count for no
    /// other ref themselves (N8).
    pub own_ref: HashSet<usize>,
    /// What the update changes as a whole, by covering ruleset: only with [`Needs::NET`], and not for
    /// deletions. From the ref's present value to the new one; for a new ref, from what the ruleset has
    /// judged already, or from nothing where it has judged nothing (N11). Each path once, in byte order.
    ///
    /// Where the update leads to a tree or a blob and to no commit ([`RefFacts::bare_content`]), it is for every
    /// ruleset that needs changes of any kind, and tells all of the tree as new; a blob is one change without a
    /// path.
    pub net: HashMap<usize, Arc<[Change]>>,
    /// Why that is not known, by covering ruleset.
    pub net_faults: HashMap<usize, Vec<BuiltinFault>>,
    /// The new tip is neither of this push nor reachable from the repository's own refs: the repository
    /// borrows it (N12). Only with [`Needs::FOREIGN`].
    pub foreign: bool,
    /// Commits below what the push brings that are so: only with [`Needs::FOREIGN`].
    pub foreign_below: Vec<ObjectId>,
    /// An agent's key signed some commit between what the ref holds and what it shall hold, or of those that the
    /// push brings where the ref is new. Only where a ruleset with a bypass covers the ref and none of those that
    /// do looks at commits.
    pub by_agent: bool,
}

impl RefFacts {
    /// An update of which nothing is known but this: what tests and benches start from.
    pub fn bare(update: RefUpdate, kind: UpdateKind) -> Self {
        RefFacts {
            name: update.name.clone(),
            current: update.old,
            update,
            kind,
            tip_kind: None,
            leads_to: None,
            tags: Vec::new(),
            introduced: HashMap::new(),
            builds_on: HashMap::new(),
            own_ref: HashSet::new(),
            net: HashMap::new(),
            net_faults: HashMap::new(),
            foreign: false,
            foreign_below: Vec::new(),
            by_agent: false,
        }
    }
}

/// Somebody that a commit or tag names. All of it is a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Person {
    /// The name, raw bytes.
    pub name: Vec<u8>,
    /// The address, raw bytes.
    pub email: Vec<u8>,
    /// Seconds since the epoch.
    pub at: i64,
    /// Whose address the keyring says that this is, and nobody else's; proves nothing. Only with
    /// [`Needs::PEOPLE`].
    pub principal: Option<Arc<Principal>>,
}

/// A commit that follows the object grammar.
#[derive(Clone, Debug)]
pub struct CommitFacts {
    /// Its id, recomputed from its bytes.
    pub id: ObjectId,
    /// SHA-256 of its bytes, because its id may be SHA-1 only.
    pub sha256: [u8; 32],
    /// Its parents.
    pub parents: Vec<ObjectId>,
    /// The message, raw bytes.
    pub message: Vec<u8>,
    /// Its tree.
    pub tree: ObjectId,
    /// Who wrote it.
    pub author: Person,
    /// Who committed it.
    pub committer: Person,
    /// The value of its `encoding` header, raw bytes.
    pub encoding: Option<Vec<u8>>,
    /// The signature.
    pub signature: SignatureFacts,
    /// What is odd about the object and stops nothing: about its form, and about the tags that it merges.
    /// What is odd about its signature is with the signature.
    pub findings: Vec<Finding>,
    /// When the gate's record says that it was first let into this repository (N13).
    pub received: Option<Timestamp>,
    /// What it changes: one entry a parent, one in all for a root commit; only with [`Needs::CHANGES`].
    pub changes: Vec<ParentChanges>,
    /// For a merge, what merging its parents gives: only with [`Needs::MERGES`].
    pub merge: Option<MergeFacts>,
}

impl CommitFacts {
    /// A commit of which nothing is known but this: what tests and benches start from.
    pub fn bare(id: ObjectId, signature: SignatureFacts) -> Self {
        CommitFacts {
            id,
            sha256: [0; 32],
            parents: Vec::new(),
            message: Vec::new(),
            tree: id,
            author: Person::default(),
            committer: Person::default(),
            encoding: None,
            signature,
            findings: Vec::new(),
            received: None,
            changes: Vec::new(),
            merge: None,
        }
    }
}

/// What a commit changes against one of its parents.
#[derive(Clone, Debug, Default)]
pub struct ParentChanges {
    /// Against which; `None` for a root commit, whose whole tree is new.
    pub parent: Option<ObjectId>,
    /// Every path that differs, renames as two, in byte order.
    pub changes: Arc<[Change]>,
    /// Pairs of names in one directory of the new tree that a file system that ignores case, or composes
    /// characters, takes for one: full paths, where this commit made the directory or changed it. No more
    /// than about [`ParentChanges::COLLISIONS`] of them need be listed.
    pub collisions: Vec<(Vec<u8>, Vec<u8>)>,
}

impl ParentChanges {
    /// A list of fewer pairs than this is all of them.
    pub const COLLISIONS: usize = 256;
}

/// What merging a commit's parents gives, computed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeFacts {
    /// Distinct parents, none an ancestor of another (N20).
    pub real: bool,
    /// Whether the tree is the one that a three-way merge of two parents gives without a conflict.
    pub clean: bool,
    /// The paths that are not as a three-way merge of the two parents leaves them, those in conflict included:
    /// what the merge changed by itself. Also where one parent is an ancestor of the other, whose tree then is
    /// the result. `None` where it was not computed, or cannot be: more than two parents, no common ancestor.
    pub touched: Option<Arc<[Vec<u8>]>>,
}

/// What is known of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobFacts {
    /// Bytes.
    pub size: u64,
    /// Whether it has a NUL among its first 8,000 bytes, as git decides.
    pub binary: bool,
    /// Whether it begins like a program: ELF, Mach-O, PE.
    pub program: bool,
    /// The size that it claims, where it is a pointer of Git LFS, bytes.
    pub lfs: Option<u64>,
    /// What a symbolic link points at, raw bytes, where it was read as one.
    pub target: Option<Vec<u8>>,
}

/// An annotated tag that follows the object grammar.
#[derive(Clone, Debug)]
pub struct TagFacts {
    /// Its id, recomputed from its bytes.
    pub id: ObjectId,
    /// SHA-256 of its bytes, because its id may be SHA-1 only.
    pub sha256: [u8; 32],
    /// The name it was made for (its `tag` header), raw bytes.
    pub name: Vec<u8>,
    /// What it points at.
    pub target: ObjectId,
    /// What kind of object that is.
    pub target_kind: ObjectKind,
    /// Who made it. `None` for a very old tag without such a line, which only history that predates the gate
    /// may hold: never in a push.
    pub tagger: Option<Person>,
    /// The message without the signature, raw bytes.
    pub message: Vec<u8>,
    /// The signature.
    pub signature: SignatureFacts,
    /// What is odd about the object and stops nothing.
    pub findings: Vec<Finding>,
}

impl TagFacts {
    /// A tag of which nothing is known but this: what tests and benches start from.
    pub fn bare(id: ObjectId, target: ObjectId, name: &[u8], signature: SignatureFacts) -> Self {
        TagFacts {
            id,
            sha256: [0; 32],
            name: name.to_vec(),
            target,
            target_kind: ObjectKind::Commit,
            tagger: None,
            message: Vec::new(),
            signature,
            findings: Vec::new(),
        }
    }
}

/// A signature together with the key's standing in the keyring.
#[derive(Clone, Debug)]
pub struct SignatureFacts {
    /// The verdict on the signature, the keyring's own windows and revocations applied.
    pub status: SignatureStatus,
    /// The key's owner, where the keyring knows the key, valid or not.
    pub principal: Option<Arc<Principal>>,
    /// When the gate received it: what the status was judged at (N13).
    pub judged_at: Timestamp,
}

impl SignatureFacts {
    /// What is odd about the signature, where it counts.
    pub fn findings(&self) -> &[Finding] {
        match &self.status {
            SignatureStatus::Verified(signature) => signature.findings(),
            _ => &[],
        }
    }

    /// The owner of the key, if and only if the signature is verified and the key valid now.
    pub fn verified_by(&self) -> Option<&Principal> {
        match self.status {
            SignatureStatus::Verified(_) => self.principal.as_deref(),
            _ => None,
        }
    }
}

/// What the built-in ruleset refuses, whatever the configuration says (N1). Each names its rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuiltinFault {
    /// Which built-in rule.
    pub rule: BuiltinRule,
    /// The ref, escaped; empty where the fault is of the whole push.
    pub reference: String,
    /// The object, where one is at fault.
    pub object: Option<(ObjectKind, ObjectId)>,
    /// What was seen, escaped.
    pub seen: String,
    /// What would have been right.
    pub wanted: String,
    /// What to do about it.
    pub help: String,
}

/// The rules that no configuration turns off and no bypass waives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BuiltinRule {
    /// The update itself contradicts git's rules or the repository (N5).
    MalformedUpdate,
    /// A commit or tag that two readers could understand differently.
    MalformedObject,
    /// A ref outside the hierarchies that the repository uses.
    UnknownNamespace,
    /// The push cuts history (N6).
    ShallowGraft,
    /// The push names a symbolic ref (N4).
    SymrefPush,
    /// A counted budget is exceeded (N23).
    PushTooLarge,
}

impl BuiltinRule {
    /// All of them.
    pub const ALL: [BuiltinRule; 6] = [
        BuiltinRule::MalformedUpdate,
        BuiltinRule::MalformedObject,
        BuiltinRule::UnknownNamespace,
        BuiltinRule::ShallowGraft,
        BuiltinRule::SymrefPush,
        BuiltinRule::PushTooLarge,
    ];

    /// What `malformed-object` wants.
    pub const MALFORMED_OBJECT_WANTED: &'static str = "an object that every reader understands alike";

    /// What helps against `malformed-object`.
    pub const MALFORMED_OBJECT_HELP: &'static str =
        "make the commit or tag again with an ordinary git command; `git fsck --strict` shows more";

    /// The rule's name.
    pub const fn name(self) -> &'static str {
        match self {
            BuiltinRule::MalformedUpdate => "malformed-update",
            BuiltinRule::MalformedObject => "malformed-object",
            BuiltinRule::UnknownNamespace => "unknown-namespace",
            BuiltinRule::ShallowGraft => "shallow-graft",
            BuiltinRule::SymrefPush => "symref-push",
            BuiltinRule::PushTooLarge => "push-too-large",
        }
    }
}
