//! What policy judges: complete facts, collected beforehand. There is no "unknown" here; where a fact
//! could not be had, no [`PushFacts`] was built and the push is undecided.

use crate::domain::{
    ObjectId, ObjectKind, Principal, PushContext, RefName, RefUpdate, Timestamp, UpdateKind,
};
use crate::signature::{Finding, SignatureStatus};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

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
    /// The committer's claimed time, in seconds since the epoch. A claim.
    pub committed_at: i64,
    /// The address in the author line, raw bytes. A claim.
    pub author_email: Vec<u8>,
    /// The address in the committer line, raw bytes. A claim.
    pub committer_email: Vec<u8>,
    /// The signature.
    pub signature: SignatureFacts,
    /// What is odd about the object and stops nothing: about its form, and about the tags that it merges.
    /// What is odd about its signature is with the signature.
    pub findings: Vec<Finding>,
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
    /// The address in the tagger line, raw bytes. A claim. `None` for a very old tag without such a line,
    /// which only history that predates the gate may hold: never in a push.
    pub tagger_email: Option<Vec<u8>>,
    /// The signature.
    pub signature: SignatureFacts,
    /// What is odd about the object and stops nothing.
    pub findings: Vec<Finding>,
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
