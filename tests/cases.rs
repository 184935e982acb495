//! Runs the cases below `tests/cases/`: one directory a rule, one small TOML file a case. What a file
//! may say is in `tests/cases/README.md`.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/verified.rs"]
mod verified;

use countersign::domain::{
    Change, Entry, FileMode, ObjectId, ObjectKind, Principal, PrincipalKind, PushContext, Pusher, RefName,
    RefUpdate, RepositoryId, RepositoryRef, RequestId, Timestamp, UpdateKind,
};
use countersign::policy::facts::{
    BlobFacts, BuiltinRule, CommitFacts, MergeFacts, ParentChanges, Person, PushFacts, RefFacts,
    RepositoryFacts, SignatureFacts, TagFacts,
};
use countersign::policy::{
    Bypass, Coverage, Decision, Enforcement, Pattern, Proof, Refs, Ruleset, Rulesets, Selector, Subject,
    Uncovered, Verdict, Violation, evaluate, rules,
};
use countersign::signature::{KeyId, Scheme, SignatureStatus};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use verified::verified_with;

// ---------------------------------------------------------------------------------------------------
// The format

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    /// What the case shows; a sentence for people.
    about: String,
    #[serde(default)]
    uncovered: Option<String>,
    /// Short for one enforcing ruleset called `rules` that covers everything.
    #[serde(default)]
    refuse: Option<toml::Table>,
    #[serde(default)]
    ruleset: Vec<RulesetSpec>,
    /// The principal whose account pushes.
    #[serde(default)]
    pusher: Option<String>,
    /// An account that pushes and is nobody's in the keyring.
    #[serde(default)]
    account: Option<String>,
    #[serde(default)]
    push_options: Vec<String>,
    /// The branch that `HEAD` names; default: `refs/heads/main`.
    #[serde(default)]
    default_branch: Option<String>,
    /// All refs after the push; default: those that the push moves.
    #[serde(default)]
    names: Vec<String>,
    /// Whether the repository had any ref; default: yes.
    #[serde(default)]
    empty_repository: bool,
    /// Commits and tags that the repository borrows.
    #[serde(default)]
    borrowed: Vec<String>,
    /// Commits without a parent that the default branch stands on.
    #[serde(default)]
    own_roots: Vec<String>,
    #[serde(default)]
    blob: Vec<BlobSpec>,
    #[serde(default)]
    update: Vec<UpdateSpec>,
    #[serde(default)]
    commit: Vec<CommitSpec>,
    #[serde(default)]
    tag: Vec<TagSpec>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesetSpec {
    name: String,
    #[serde(default)]
    refs: Option<Vec<String>>,
    #[serde(default)]
    enforcement: Option<String>,
    #[serde(default)]
    actors: Vec<String>,
    #[serde(default)]
    bypass: Vec<BypassSpec>,
    refuse: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BypassSpec {
    who: Vec<String>,
    proof: String,
    rules: Vec<String>,
    #[serde(default)]
    refs: Option<Vec<String>>,
    #[serde(default)]
    expires: Option<toml::value::Datetime>,
    #[serde(default)]
    ask: bool,
}

/// What is known of the blob at a path, in whichever commit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlobSpec {
    path: String,
    #[serde(default)]
    size: Option<u64>,
    #[serde(default)]
    binary: bool,
    #[serde(default)]
    program: bool,
    #[serde(default)]
    lfs: Option<u64>,
    #[serde(default)]
    target: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct UpdateSpec {
    #[serde(rename = "ref", default)]
    reference: Option<String>,
    #[serde(default)]
    kind: Option<String>,
    /// Commits that no ruleset has judged yet; default: all of the case.
    #[serde(default)]
    introduced: Option<Vec<String>>,
    /// The same for single rulesets.
    #[serde(default)]
    introduced_by: HashMap<String, Vec<String>>,
    /// Commits of earlier updates that this one stands on.
    #[serde(default)]
    builds_on: Vec<String>,
    /// What it changes as a whole; see `changes` of commits.
    #[serde(default)]
    net: Vec<String>,
    #[serde(default)]
    foreign: bool,
    /// Commits below it that the repository borrows.
    #[serde(default)]
    foreign_below: Vec<String>,
    /// An agent signed something that no ruleset looks at.
    #[serde(default)]
    by_agent: bool,
    /// `tree` or `blob`, behind the tags; default: the last commit.
    #[serde(default)]
    leads_to: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CommitSpec {
    name: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    parents: Option<Vec<String>>,
    #[serde(default)]
    status: Option<String>,
    /// What made a verified signature; see [`verified::verified_with`].
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    by: Option<String>,
    /// The committer's time.
    #[serde(default)]
    at: Option<toml::value::Datetime>,
    /// E-mails; default: the signer's, which is `NAME@example.org`.
    #[serde(default)]
    author: Option<String>,
    #[serde(default)]
    committer: Option<String>,
    /// Their names; default: the e-mail's local part.
    #[serde(default)]
    author_name: Option<String>,
    #[serde(default)]
    committer_name: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
    /// When the gate's record says that it came in.
    #[serde(default)]
    received: Option<toml::value::Datetime>,
    /// What it changes, the same against each parent: `A path`, `M path`, `D path`, and `A+x path` (executable),
    /// `A+l path` (link), `A+s path` (submodule), `M+x path` (becomes executable).
    #[serde(default)]
    changes: Vec<String>,
    /// The same for single parents, in order.
    #[serde(default)]
    changes_by_parent: Vec<Vec<String>>,
    /// Pairs of paths that a file system may take for one.
    #[serde(default)]
    collisions: Vec<(String, String)>,
    /// For merges: `clean`, `unclean`, `fake` (one parent an ancestor of the other).
    #[serde(default)]
    merge: Option<String>,
    /// For merges: the paths that they change by themselves; left out, nobody has computed it.
    #[serde(default)]
    touched: Option<Vec<String>>,
}

/// An annotated tag between what every update pushes and the last commit, outermost first.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagSpec {
    name: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    status: Option<String>,
    /// What made a verified signature.
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    by: Option<String>,
    /// The tagger's time.
    #[serde(default)]
    at: Option<toml::value::Datetime>,
    /// E-mail; default: the signer's. `none` stands for a tag without that line.
    #[serde(default)]
    tagger: Option<String>,
    /// The name that it was made for; default: `name`.
    #[serde(default)]
    of: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    outcome: String,
    /// What a load error says.
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    coverage: Option<Vec<String>>,
    #[serde(default)]
    violation: Vec<ExpectViolation>,
    #[serde(default)]
    advisory: Vec<ExpectViolation>,
    #[serde(default)]
    waived: Vec<ExpectViolation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectViolation {
    rule: String,
    #[serde(default)]
    commit: Option<String>,
    #[serde(default)]
    tag: Option<String>,
    #[serde(rename = "ref", default)]
    reference: Option<String>,
    #[serde(default)]
    seen: Option<String>,
    #[serde(default)]
    wanted: Option<String>,
    #[serde(default)]
    help: Option<String>,
    #[serde(default)]
    rulesets: Option<Vec<String>>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    note: Option<String>,
    /// Of a waiver: whose bypass it was.
    #[serde(default)]
    by: Option<String>,
}

// ---------------------------------------------------------------------------------------------------
// From words to facts

const NOW: i64 = 1_748_736_000;
const MAIN: &str = "refs/heads/main";

/// The people and robots of all cases.
fn principal(name: &str) -> Arc<Principal> {
    let (kind, groups): (_, &[&str]) = match name {
        "alice" => (PrincipalKind::Person, &["sre"]),
        "bob" => (PrincipalKind::Person, &["sre", "web"]),
        "mallory" => (PrincipalKind::Person, &[]),
        "renovate" => (PrincipalKind::Bot, &["automation"]),
        "autofix" => (PrincipalKind::Agent, &["automation"]),
        "web-flow" => (PrincipalKind::Forge, &[]),
        // Nobody has told the keyring an address of his.
        "dave" => (PrincipalKind::Person, &["web"]),
        other => panic!("nobody is called `{other}`"),
    };
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    let emails = match name {
        "alice" => vec![email("alice"), "alice@corp.example".to_owned()],
        "dave" => Vec::new(),
        other => vec![email(other)],
    };
    Arc::new(Principal { name: name.to_owned(), kind, emails, groups })
}

fn email(name: &str) -> String {
    format!("{name}@example.org")
}

fn status(word: &str) -> SignatureStatus {
    let key = || KeyId { scheme: Scheme::Ssh, text: "SHA256:testtesttest".to_owned() };
    let at = Timestamp::from_second(NOW - 86_400).unwrap();
    // `expired:what` and `malformed:code`, where the message depends on it.
    let (word, detail) = word.split_once(':').unwrap_or((word, ""));
    let known = |all: &[&'static str], otherwise: &'static str| match detail {
        "" => otherwise,
        detail => all.iter().find(|one| **one == detail).unwrap_or_else(|| panic!("`{detail}`?")),
    };
    let made = match word {
        "unsigned" => SignatureStatus::Unsigned,
        "verified" => verified_with("ed25519", NOW),
        "unknown-key" => SignatureStatus::UnknownKey { key: key() },
        "bad" => SignatureStatus::Bad { key: key() },
        "expired" => {
            let what = known(&["signature", "certificate", "keyring entry"], "key");
            SignatureStatus::Expired { key: key(), what, at }
        }
        "not-yet-valid" => SignatureStatus::NotYetValid { key: key(), what: "signature", from: at },
        "revoked" => SignatureStatus::Revoked { key: key(), reason: "compromised".to_owned(), hard: true },
        "wrong-purpose" => {
            let why = "it was made for the namespace `file`, not `git`".to_owned();
            let remedy = "with git itself, which signs for the namespace `git`";
            SignatureStatus::WrongPurpose { key: key(), why, remedy }
        }
        "weak-algorithm" => {
            SignatureStatus::WeakAlgorithm { key: key(), what: "RSA with SHA-1 (ssh-rsa)".to_owned() }
        }
        "unsupported" => SignatureStatus::Unsupported { what: "X.509 (CMS) signature".to_owned() },
        "malformed" => {
            let why = "bytes follow the end of the signature".to_owned();
            let code = known(&["time.skew", "mergetag.bad"], "sig.trailing");
            SignatureStatus::Malformed { code, why }
        }
        other => panic!("there is no status `{other}`"),
    };
    assert_eq!(made.name(), word);
    made
}

const STATUSES: [&str; 11] = [
    "unsigned",
    "verified",
    "unknown-key",
    "bad",
    "expired",
    "not-yet-valid",
    "revoked",
    "wrong-purpose",
    "weak-algorithm",
    "unsupported",
    "malformed",
];

/// An id that stands for a name.
fn id_of(name: &str) -> ObjectId {
    ObjectId::from_bytes(&Sha256::digest(name.as_bytes())[..20]).unwrap()
}

fn commit(id: ObjectId, parents: Vec<ObjectId>, message: &str, word: &str, by: Option<&str>) -> CommitFacts {
    let signature = SignatureFacts {
        status: status(word),
        principal: by.map(principal),
        judged_at: Timestamp::from_second(NOW).unwrap(),
    };
    let named = person(&email(by.unwrap_or("nobody")), None);
    CommitFacts {
        parents,
        message: message.as_bytes().to_vec(),
        author: named.clone(),
        committer: named,
        ..CommitFacts::bare(id, signature)
    }
}

const PEOPLE: [&str; 7] = ["alice", "bob", "mallory", "renovate", "autofix", "web-flow", "dave"];

/// Somebody who is named, and whose address it is.
fn person(email: &str, name: Option<&str>) -> Person {
    let owner = |name: &&&str| principal(name).emails.iter().any(|one| one == email);
    let local = || email.split('@').next().unwrap_or_default();
    Person {
        name: name.unwrap_or_else(local).as_bytes().to_vec(),
        email: email.as_bytes().to_vec(),
        at: NOW,
        principal: PEOPLE.iter().find(owner).map(|name| principal(name)),
    }
}

/// A change as the cases write it.
fn change(text: &str) -> Change {
    let (what, path) = text.split_once(' ').unwrap_or_else(|| panic!("change `{text}`"));
    let entry = |mode, word: &str| Some(Entry { mode, id: id_of(&format!("{word} {path}")) });
    let blob = entry(FileMode::File, "blob");
    let (old, new) = match what {
        "A" => (None, blob),
        "A+x" => (None, entry(FileMode::Executable, "blob")),
        "A+l" => (None, entry(FileMode::Symlink, "blob")),
        "A+s" => (None, entry(FileMode::Submodule, "submodule")),
        "M" => (entry(FileMode::File, "old"), blob),
        "M+x" => (blob, entry(FileMode::Executable, "blob")),
        "M+l" => (entry(FileMode::File, "old"), entry(FileMode::Symlink, "blob")),
        "M+s" => (entry(FileMode::Submodule, "old"), entry(FileMode::Submodule, "submodule")),
        "D" => (entry(FileMode::File, "old"), None),
        "D+s" => (entry(FileMode::Submodule, "old"), None),
        other => panic!("change `{other}`"),
    };
    Change { path: path.as_bytes().to_vec(), old, new }
}

fn changes(all: &[String]) -> Arc<[Change]> {
    all.iter().map(|one| change(one)).collect()
}

fn time(written: &toml::value::Datetime) -> Timestamp {
    written.to_string().parse().unwrap()
}

fn at(written: Option<&toml::value::Datetime>) -> i64 {
    written.map_or(NOW, |written| time(written).as_second())
}

fn context() -> PushContext {
    PushContext {
        request_id: RequestId::from_random([7; 16]),
        repository: RepositoryRef { id: RepositoryId("1".to_owned()), name: "infra/app".to_owned() },
        pusher: Pusher::Unknown,
        push_options: Vec::new(),
        received_at: Timestamp::from_second(NOW).unwrap(),
    }
}

/// A ruleset; its parts are what [`Ruleset::split`] makes of it.
fn ruleset(
    name: &str,
    refs: &[&str],
    enforcement: Enforcement,
    refuse: &toml::Table,
) -> Result<Ruleset, String> {
    let built: Result<Vec<_>, _> = refuse.iter().map(|(rule, value)| rules::build(rule, value)).collect();
    let rules = built.map_err(|e| e.to_string())?.into_iter().flatten().collect();
    let repositories = vec![Pattern::new("**").unwrap()];
    let refs = Refs::new(refs.iter().copied()).map_err(|e| e.to_string())?;
    Ruleset::new(name, repositories, refs, enforcement, rules).map_err(|e| e.to_string())
}

impl Case {
    fn policy(&self) -> Result<Rulesets, String> {
        let mut rulesets = Vec::new();
        if let Some(refuse) = &self.refuse {
            rulesets.extend(ruleset("rules", &["refs/**"], Enforcement::Enforce, refuse)?.split());
        }
        for spec in &self.ruleset {
            let refs = spec.refs.clone().unwrap_or_else(|| vec!["refs/**".to_owned()]);
            let refs: Vec<&str> = refs.iter().map(String::as_str).collect();
            let enforcement = match spec.enforcement.as_deref() {
                None | Some("enforce") => Enforcement::Enforce,
                Some("evaluate") => Enforcement::Evaluate,
                Some("off") => Enforcement::Off,
                Some(other) => panic!("enforcement `{other}`"),
            };
            let mut made = ruleset(&spec.name, &refs, enforcement, &spec.refuse)?;
            let select = |all: &[String]| all.iter().map(|one| Selector::parse(one).unwrap()).collect();
            made.actors = select(&spec.actors);
            let bypass = |spec: &BypassSpec| Bypass {
                who: select(&spec.who),
                proof: match spec.proof.as_str() {
                    "key" => Proof::Key,
                    "pusher" => Proof::Pusher,
                    other => panic!("proof `{other}`"),
                },
                rules: spec.rules.clone(),
                refs: spec.refs.as_ref().map(|refs| Refs::new(refs.iter().map(String::as_str)).unwrap()),
                reason: "an exercise".to_owned(),
                expires: spec.expires.as_ref().map(time),
                ask: spec.ask,
            };
            made.bypass = spec.bypass.iter().map(bypass).collect();
            rulesets.extend(made.split());
        }
        let uncovered = match self.uncovered.as_deref() {
            None | Some("accept") => Uncovered::Accept,
            Some("refuse") => Uncovered::Refuse,
            Some(other) => panic!("uncovered `{other}`"),
        };
        Ok(Rulesets { rulesets, uncovered })
    }

    fn id(&self, name: &str) -> ObjectId {
        let commit = self.commit.iter().find(|commit| commit.name == name).map(|spec| spec.id.as_deref());
        let tag = || self.tag.iter().find(|tag| tag.name == name).map(|spec| spec.id.as_deref());
        match commit.or_else(tag).flatten() {
            Some(hex) => ObjectId::parse(hex.as_bytes()).unwrap(),
            None => id_of(name),
        }
    }

    fn tags(&self, tip: ObjectId) -> Vec<TagFacts> {
        let after = self.tag.iter().skip(1).map(|spec| self.id(&spec.name)).chain([tip]);
        let made = self.tag.iter().zip(after).map(|(spec, target)| {
            let word = spec.status.as_deref().unwrap_or("verified");
            let by = spec.by.as_deref().or((word == "verified").then_some("alice"));
            let tagger = spec.tagger.clone().unwrap_or_else(|| email(by.unwrap_or("nobody")));
            let signature = SignatureFacts {
                status: spec.key.as_deref().map_or_else(|| status(word), |kind| verified_with(kind, NOW)),
                principal: by.map(principal),
                judged_at: Timestamp::from_second(NOW).unwrap(),
            };
            let name = spec.of.as_ref().unwrap_or(&spec.name);
            TagFacts {
                target_kind: if target == tip { ObjectKind::Commit } else { ObjectKind::Tag },
                tagger: (tagger != "none")
                    .then(|| Person { at: at(spec.at.as_ref()), ..person(&tagger, None) }),
                message: spec.message.as_deref().unwrap_or("a release\n").as_bytes().to_vec(),
                ..TagFacts::bare(self.id(&spec.name), target, name.as_bytes(), signature)
            }
        });
        made.collect()
    }

    fn facts(&self, policy: &Rulesets) -> PushFacts {
        let mut commits = HashMap::new();
        let mut before = "base".to_owned();
        for spec in &self.commit {
            let parents = spec.parents.clone().unwrap_or_else(|| vec![before.clone()]);
            let parents = parents.iter().map(|name| self.id(name)).collect();
            let word = spec.status.as_deref().unwrap_or("verified");
            let by = spec.by.as_deref().or((word == "verified").then_some("alice"));
            let message = spec.message.as_deref().unwrap_or("OPS-1 do it\n");
            let mut made = commit(self.id(&spec.name), parents, message, word, by);
            let own = email(by.unwrap_or("nobody"));
            let author = spec.author.as_ref().unwrap_or(&own);
            made.author = person(author, spec.author_name.as_deref());
            let committer = spec.committer.as_ref().unwrap_or(&own);
            made.committer = person(committer, spec.committer_name.as_deref());
            made.committer.at = at(spec.at.as_ref());
            if let Some(key) = &spec.key {
                made.signature.status = verified_with(key, NOW);
            }
            made.encoding = spec.encoding.as_ref().map(|encoding| encoding.clone().into_bytes());
            made.received = spec.received.as_ref().map(time);
            let parents = made.parents.iter().copied().map(Some);
            let parents: Vec<_> = if made.parents.is_empty() { vec![None] } else { parents.collect() };
            let against = |(at, parent): (usize, Option<ObjectId>)| ParentChanges {
                parent,
                changes: changes(spec.changes_by_parent.get(at).unwrap_or(&spec.changes)),
                collisions: spec
                    .collisions
                    .iter()
                    .map(|(a, b)| (a.clone().into(), b.clone().into()))
                    .collect(),
            };
            made.changes = parents.into_iter().enumerate().map(against).collect();
            made.merge = (made.parents.len() > 1).then(|| MergeFacts {
                real: spec.merge.as_deref() != Some("fake"),
                clean: matches!(spec.merge.as_deref(), None | Some("clean")),
                touched: spec
                    .touched
                    .as_ref()
                    .map(|all| all.iter().map(|one| one.clone().into_bytes()).collect()),
            });
            commits.insert(made.id, made);
            before.clone_from(&spec.name);
        }
        let tip = self.id(&before);
        let tags = self.tags(tip);
        let pushed = tags.first().map_or(tip, |tag| tag.id);
        let all: Vec<String> = self.commit.iter().map(|spec| spec.name.clone()).collect();
        let default = [UpdateSpec::default()];
        let updates = if self.update.is_empty() { &default[..] } else { &self.update };
        let default_branch = self.default_branch.as_deref().unwrap_or(MAIN);
        let default_branch = RefName::parse(default_branch.as_bytes()).unwrap();
        let refs = updates.iter().map(|spec| {
            let name = RefName::parse(spec.reference.as_deref().unwrap_or(MAIN).as_bytes()).unwrap();
            let kind = match spec.kind.as_deref() {
                None | Some("update") => UpdateKind::FastForward,
                Some("create") => UpdateKind::Create,
                Some("force") => UpdateKind::Force,
                Some("delete") => UpdateKind::Delete,
                Some(other) => panic!("kind `{other}`"),
            };
            let current = (kind != UpdateKind::Create).then(|| self.id("base"));
            let new = (kind != UpdateKind::Delete).then_some(pushed);
            let mut introduced = HashMap::new();
            if new.is_some() {
                for index in policy.covering("infra/app", &name, Some(&default_branch)) {
                    let set = &policy.rulesets[index];
                    if set.judges_commits() {
                        let general = spec.introduced.as_ref().unwrap_or(&all);
                        let names = spec.introduced_by.get(&set.name).unwrap_or(general);
                        introduced.insert(index, names.iter().map(|name| self.id(name)).collect());
                    }
                }
            }
            let each = || introduced.keys().copied();
            let builds_on: Vec<ObjectId> = spec.builds_on.iter().map(|name| self.id(name)).collect();
            let net = changes(&spec.net);
            let covering = policy.covering("infra/app", &name, Some(&default_branch));
            let leads_to = match spec.leads_to.as_deref() {
                None => ObjectKind::Commit,
                Some("tree") => ObjectKind::Tree,
                Some("blob") => ObjectKind::Blob,
                Some(other) => panic!("`{other}`?"),
            };
            let tip_kind = new.map(|_| if tags.is_empty() { leads_to } else { ObjectKind::Tag });
            let update = RefUpdate { name, old: current, new };
            RefFacts {
                tip_kind,
                leads_to: new.map(|_| leads_to),
                tags: if new.is_some() { tags.clone() } else { Vec::new() },
                builds_on: each().map(|index| (index, builds_on.clone())).collect(),
                introduced: introduced.clone(),
                net: covering.into_iter().map(|index| (index, Arc::clone(&net))).collect(),
                foreign: spec.foreign,
                foreign_below: spec.foreign_below.iter().map(|name| self.id(name)).collect(),
                by_agent: spec.by_agent,
                ..RefFacts::bare(update, kind)
            }
        });
        let refs: Vec<RefFacts> = refs.collect();
        let pushed = refs.iter().filter(|one| one.update.new.is_some()).map(|one| one.name.clone());
        let named = self.names.iter().map(|name| RefName::parse(name.as_bytes()).unwrap());
        let names = if self.names.is_empty() { pushed.collect() } else { named.collect() };
        let mut context = context();
        context.push_options = self.push_options.iter().map(|option| option.clone().into_bytes()).collect();
        if let Some(name) = self.pusher.as_ref().or(self.account.as_ref()) {
            context.pusher = Pusher::Known {
                name: name.clone(),
                source: "GL_USER",
                principal: self.pusher.as_deref().map(principal),
                proof: countersign::domain::Proof::Server,
                details: Default::default(),
            };
        }
        let blob = |spec: &BlobSpec| {
            let facts = BlobFacts {
                size: spec.size.unwrap_or(10),
                binary: spec.binary,
                program: spec.program,
                lfs: spec.lfs,
                target: spec.target.as_ref().map(|target| target.clone().into_bytes()),
            };
            (id_of(&format!("blob {}", spec.path)), facts)
        };
        PushFacts {
            refs,
            commits,
            pusher: self.pusher.as_deref().map(principal),
            repository: RepositoryFacts {
                default_branch: Some(default_branch),
                has_history: !self.empty_repository,
                own_roots: self.own_roots.iter().map(|name| self.id(name)).collect(),
                names,
            },
            blobs: self.blob.iter().map(blob).collect(),
            unquotable: self.borrowed.iter().map(|name| self.id(name)).collect(),
            ..PushFacts::bare(context)
        }
    }

    /// `{name}` in an expectation is the short id of that commit.
    fn fill(&self, text: &str) -> String {
        let mut out = text.replace("{base}", &self.id("base").short());
        let commits = self.commit.iter().map(|spec| &spec.name);
        for name in commits.chain(self.tag.iter().map(|spec| &spec.name)) {
            out = out.replace(&format!("{{{name}}}"), &self.id(name).short());
        }
        out
    }

    fn compare(&self, what: &str, found: &[Violation], expected: &[ExpectViolation]) -> Vec<String> {
        let list = |found: &[Violation]| found.iter().map(|v| format!("    {v:?}\n")).collect::<String>();
        if found.len() != expected.len() {
            let (n, m) = (found.len(), expected.len());
            return vec![format!("{n} {what} instead of {m}:\n{}", list(found))];
        }
        let mut wrong = Vec::new();
        let none = String::new();
        for (found, expected) in found.iter().zip(expected) {
            let subject = match (&expected.commit, &expected.tag) {
                (Some(name), _) => Subject::Commit(self.id(name)),
                (None, Some(name)) => Subject::Tag(self.id(name)),
                (None, None) => Subject::Ref,
            };
            let reference = expected.reference.as_deref().unwrap_or(MAIN);
            if (found.rule, found.subject, found.reference.as_str()) != (&expected.rule, subject, reference) {
                wrong.push(format!(
                    "expected {} of {subject:?} on {reference}, found {found:?}",
                    expected.rule
                ));
            }
            let texts = [
                (&found.seen, &expected.seen),
                (&found.wanted, &expected.wanted),
                (&found.help, &expected.help),
                (found.path.as_ref().unwrap_or(&none), &expected.path),
                (found.note.as_ref().unwrap_or(&none), &expected.note),
            ];
            for (found, fragment) in texts {
                if let Some(fragment) = fragment.as_ref().map(|text| self.fill(text))
                    && !found.contains(&fragment)
                {
                    wrong.push(format!("expected a text with\n    {fragment}\n  found\n    {found}"));
                }
            }
            if let Some(rulesets) = &expected.rulesets
                && found.rulesets != *rulesets
            {
                wrong.push(format!("expected it of {rulesets:?}, found it of {:?}", found.rulesets));
            }
        }
        wrong
    }

    fn run(&self) -> Vec<String> {
        assert!(!self.about.is_empty());
        let policy = match (self.policy(), self.expect.outcome.as_str()) {
            (Err(error), "load-error") => {
                let fragment = self.expect.error.as_deref().unwrap();
                return if error.contains(fragment) {
                    Vec::new()
                } else {
                    vec![format!("the error is: {error}")]
                };
            }
            (Err(error), _) => return vec![format!("does not load: {error}")],
            (Ok(_), "load-error") => return vec!["it loads".to_owned()],
            (Ok(policy), _) => policy,
        };
        let verdict = evaluate(&self.facts(&policy), &policy);
        let mut wrong = self.compare("violations", &verdict.violations, &self.expect.violation);
        wrong.extend(self.compare("advisory violations", &verdict.advisory, &self.expect.advisory));
        let waived: Vec<Violation> = verdict.waivers.iter().map(|one| one.violation.clone()).collect();
        wrong.extend(self.compare("waivers", &waived, &self.expect.waived));
        for (found, expected) in verdict.waivers.iter().zip(&self.expect.waived) {
            if expected.by.as_ref().is_some_and(|by| found.waived.by != *by) {
                wrong.push(format!("waived by {}", found.waived.by));
            }
        }
        if verdict.decision.name() != self.expect.outcome {
            wrong.push(format!("the outcome is {}", verdict.decision.name()));
        }
        if let Some(expected) = &self.expect.coverage {
            let found: Vec<&str> = verdict.refs.iter().map(|one| one.coverage.name()).collect();
            if found != *expected {
                wrong.push(format!("the coverage is {found:?}"));
            }
        }
        wrong
    }
}

// ---------------------------------------------------------------------------------------------------
// The cases

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap_or_else(|e| panic!("{}: {e}", directory.display()))
        .map(|entry| entry.unwrap().path())
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .collect();
    out.sort();
    out
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

fn cases() -> Vec<(PathBuf, Case)> {
    let toml = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "toml");
    let load = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        let case = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, case)
    };
    files(&root()).into_iter().filter(toml).map(load).collect()
}

#[test]
fn every_case_ends_as_it_says() {
    let mut wrong = Vec::new();
    let cases = cases();
    for (path, case) in &cases {
        let shown = path.strip_prefix(root()).unwrap().display();
        wrong.extend(case.run().into_iter().map(|why| format!("{shown} ({}): {why}", case.about)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases.len() > 30, "{} cases are too few to be all", cases.len());
}

#[test]
fn every_rule_has_accepting_and_refusing_cases() {
    for kind in rules::ALL {
        let directory = root().join(kind.name);
        let own: Vec<Case> = cases()
            .into_iter()
            .filter(|(path, _)| path.starts_with(&directory))
            .map(|(_, case)| case)
            .collect();
        let refuses = |case: &Case| case.expect.violation.iter().any(|violation| violation.rule == kind.name);
        assert!(own.iter().any(|case| case.expect.outcome == "accept"), "{}: no case accepts", kind.name);
        assert!(own.iter().any(refuses), "{}: no case refuses by it", kind.name);
        assert!(
            own.iter().any(|case| case.expect.error.is_some()),
            "{}: no case of wrong options",
            kind.name
        );
    }
}

/// What a pusher reads of one violation; `service::render` makes the same.
fn block(violation: &Violation) -> Vec<String> {
    let reference = &violation.reference;
    let builtin = BuiltinRule::ALL.iter().any(|rule| rule.name() == violation.rule);
    let verb = if builtin { ":" } else { " has" };
    let what = match violation.subject {
        Subject::Ref => format!("{reference}: {}", violation.seen),
        Subject::Commit(id) => format!("commit {} on {reference}{verb} {}", id.short(), violation.seen),
        Subject::Tag(id) => format!("tag {} on {reference}{verb} {}", id.short(), violation.seen),
    };
    let mut lines = vec![format!("error[{}]: {what}", violation.rule)];
    lines.extend(violation.path.iter().map(|path| format!("  path: {path}")));
    lines.push(format!("  wanted: {}", violation.wanted));
    lines.push(format!("  help: {}", violation.help));
    lines
}

#[test]
fn documentation_shows_what_a_pusher_reads() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules");
    let mut shown: HashMap<String, Vec<Vec<String>>> = HashMap::new();
    for (_, case) in cases() {
        if let Ok(policy) = case.policy() {
            let verdict = evaluate(&case.facts(&policy), &policy);
            for violation in verdict.violations {
                shown.entry(violation.rule.to_owned()).or_default().push(block(&violation));
            }
        }
    }
    for rule in rules::ALL.iter().map(|kind| kind.name).chain(["uncovered-ref"]) {
        let page = fs::read_to_string(docs.join(format!("{rule}.md"))).unwrap();
        let lines: Vec<&str> =
            page.lines().map(|line| line.strip_prefix("remote: ").unwrap_or(line)).collect();
        let mut found = 0;
        for at in 0..lines.len() {
            if lines[at].starts_with(&format!("error[{rule}]")) {
                found += 1;
                let quotes = |block: &Vec<String>| {
                    lines[at..].starts_with(&block.iter().map(String::as_str).collect::<Vec<_>>())
                };
                let made = shown.get(rule).is_some_and(|blocks| blocks.iter().any(quotes));
                assert!(made, "{rule}.md shows what no case makes:\n{}", lines[at..at + 3].join("\n"));
            }
        }
        assert!(found > 0, "{rule}.md does not show what a pusher reads");
    }
}

// ---------------------------------------------------------------------------------------------------
// Combinations that are too many for files

fn single(refuse: &toml::Table, word: &str, by: Option<&str>) -> Verdict {
    judge(refuse, |_| (), word, by)
}

fn judge(
    refuse: &toml::Table,
    change: impl FnOnce(&mut CommitFacts),
    word: &str,
    by: Option<&str>,
) -> Verdict {
    let set = ruleset("rules", &["refs/**"], Enforcement::Enforce, refuse).unwrap();
    let policy = Rulesets { rulesets: vec![set], uncovered: Uncovered::Accept };
    let mut made = commit(id_of("a"), vec![id_of("base")], "x\n", word, by);
    change(&mut made);
    let name = RefName::parse(MAIN.as_bytes()).unwrap();
    let update = RefUpdate { name, old: Some(id_of("base")), new: Some(made.id) };
    let reference = RefFacts {
        tip_kind: Some(ObjectKind::Commit),
        leads_to: Some(ObjectKind::Commit),
        introduced: HashMap::from([(0, vec![made.id])]),
        ..RefFacts::bare(update, UpdateKind::FastForward)
    };
    let commits = HashMap::from([(made.id, made)]);
    let facts = PushFacts { refs: vec![reference], commits, ..PushFacts::bare(context()) };
    evaluate(&facts, &policy)
}

/// N17: which rule speaks, for every set of signature rules and every status. `U` is `unsigned-commit`,
/// `T` is `untrusted-signer` that allows `group:sre`, `I` is `identity-mismatch` where everybody names mallory as
/// the committer, `B` is `bad-signature`; `.` is an accept.
#[test]
fn n17_each_commit_is_reported_once_by_the_most_specific_rule() {
    #[rustfmt::skip]
    const TABLE: [(&str, &str, &str, &str, &str, &str); 11] = [
        // rules  unsigned  by listed  by another  unknown key  anything else
        ("U",     "U",      ".",       ".",        "B",         "B"),
        ("T",     "T",      ".",       "T",        "T",         "B"),
        ("B",     ".",      ".",       ".",        "B",         "B"),
        ("UT",    "U",      ".",       "T",        "T",         "B"),
        ("UB",    "U",      ".",       ".",        "B",         "B"),
        ("TB",    "T",      ".",       "T",        "T",         "B"),
        ("UTB",   "U",      ".",       "T",        "T",         "B"),
        ("I",     ".",      "I",       ".",        "B",         "B"),
        ("UI",    "U",      "I",       ".",        "B",         "B"),
        ("TI",    "T",      "I",       "T",        "T",         "B"),
        ("UTBI",  "U",      "I",       "T",        "T",         "B"),
    ];
    for (rules, unsigned, listed, another, unknown, other) in TABLE {
        let mut refuse = toml::Table::new();
        for letter in rules.chars() {
            let (name, value) = match letter {
                'U' => ("unsigned-commit", toml::Value::Boolean(true)),
                'B' => ("bad-signature", toml::Value::Boolean(true)),
                'I' => ("identity-mismatch", toml::Value::Boolean(true)),
                _ => ("untrusted-signer", toml::Value::Table(toml::toml! { allow = ["group:sre"] })),
            };
            refuse.insert(name.to_owned(), value);
        }
        let check = |word: &str, by: Option<&str>, expected: &str| {
            let names_mallory = |made: &mut CommitFacts| made.committer.email = email("mallory").into_bytes();
            let verdict = judge(&refuse, names_mallory, word, by);
            let expected: &[&str] = match expected {
                "U" => &["unsigned-commit"],
                "T" => &["untrusted-signer"],
                "B" => &["bad-signature"],
                "I" => &["identity-mismatch"],
                _ => &[],
            };
            let found: Vec<&str> = verdict.violations.iter().map(|violation| violation.rule).collect();
            assert_eq!(found, expected, "rules {rules}, a commit that is {word} by {by:?}");
            assert_eq!(verdict.decision == Decision::Accept, expected.is_empty());
        };
        for word in STATUSES {
            match word {
                "unsigned" => check(word, None, unsigned),
                "verified" => {
                    check(word, Some("alice"), listed);
                    check(word, Some("mallory"), another);
                }
                "unknown-key" => check(word, None, unknown),
                // Whether the keyring knows the owner of a worthless signature changes nothing.
                _ => {
                    check(word, None, other);
                    check(word, Some("alice"), other);
                }
            }
        }
    }
}

/// N17 for tags: `U` is `unsigned-tag`, `T` is `untrusted-signer` that allows `group:sre` to tag, `L` the same list
/// without a word about tags, `C` `unsigned-commit`, `I` `identity-mismatch` where everybody names mallory as the
/// tagger, `B` `bad-signature` of tags, and lower case `b` without its option.
#[test]
fn n17_each_tag_is_reported_once_by_the_most_specific_rule() {
    #[rustfmt::skip]
    const TABLE: [(&str, &str, &str, &str, &str, &str); 16] = [
        // rules  unsigned  by listed  by another  unknown key  anything else
        ("C",     ".",      ".",       ".",        ".",         "."),
        ("b",     ".",      ".",       ".",        ".",         "."),
        ("CL",    ".",      ".",       ".",        ".",         "."),
        ("B",     ".",      ".",       ".",        "B",         "B"),
        ("CLB",   ".",      ".",       ".",        "B",         "B"),
        ("U",     "U",      ".",       ".",        "B",         "B"),
        ("UB",    "U",      ".",       ".",        "B",         "B"),
        ("Ub",    "U",      ".",       ".",        "B",         "B"),
        ("UL",    "U",      ".",       "T",        "T",         "B"),
        ("T",     "T",      ".",       "T",        "T",         "B"),
        ("UT",    "U",      ".",       "T",        "T",         "B"),
        ("CTB",   "T",      ".",       "T",        "T",         "B"),
        ("I",     ".",      "I",       ".",        "B",         "B"),
        ("LI",    ".",      "I",       ".",        "B",         "B"),
        ("TI",    "T",      "I",       "T",        "T",         "B"),
        ("CULI",  "U",      "I",       "T",        "T",         "B"),
    ];
    for (rules, unsigned, listed, another, unknown, other) in TABLE {
        let lines = rules.chars().map(|letter| match letter {
            'C' => "unsigned-commit = true\n",
            'U' => "unsigned-tag = true\n",
            'B' => "bad-signature = { tags = true }\n",
            'b' => "bad-signature = true\n",
            'T' => "untrusted-signer = { allow = [\"group:sre\"], of = \"tag\" }\n",
            'L' => "untrusted-signer = { allow = [\"group:sre\"] }\n",
            _ => "identity-mismatch = true\n",
        });
        let refuse: String = lines.collect();
        let check = |word: &str, by: &str, expected: &str| {
            let by = if by.is_empty() { String::new() } else { format!("by = '{by}'") };
            let case: Case = toml::from_str(&format!(
                "about = 'x'\n[refuse]\n{refuse}[[commit]]\nname = 'a'\ncommitter = 'alice@example.org'\n\
                 [[tag]]\nname = 'v1'\nstatus = '{word}'\ntagger = 'mallory@example.org'\n{by}\n\
                 [expect]\noutcome = 'accept'\n"
            ))
            .unwrap();
            let policy = case.policy().unwrap();
            let verdict = evaluate(&case.facts(&policy), &policy);
            let expected: &[&str] = match expected {
                "U" => &["unsigned-tag"],
                "T" => &["untrusted-signer"],
                "B" => &["bad-signature"],
                "I" => &["identity-mismatch"],
                _ => &[],
            };
            let found: Vec<&str> = verdict.violations.iter().map(|violation| violation.rule).collect();
            assert_eq!(found, expected, "rules {rules}, a tag that is {word} {by}");
        };
        for word in STATUSES {
            match word {
                "unsigned" => check(word, "", unsigned),
                "verified" => {
                    check(word, "alice", listed);
                    check(word, "mallory", another);
                }
                "unknown-key" => check(word, "", unknown),
                _ => {
                    check(word, "", other);
                    check(word, "alice", other);
                }
            }
        }
    }
}

/// Nothing but a verified signature by a listed principal passes `untrusted-signer`, whoever is said
/// to own the key.
#[test]
fn only_verified_counts() {
    let refuse = toml::toml! { untrusted-signer = { allow = ["group:sre"] } };
    for word in STATUSES.into_iter().filter(|word| *word != "verified") {
        let verdict = single(&refuse, word, Some("alice"));
        assert_eq!(verdict.decision, Decision::Refuse, "{word}");
    }
    let nobody = single(&refuse, "verified", None);
    assert_eq!(nobody.violations[0].rule, "untrusted-signer", "a key without an owner is nobody's");
}

/// Every kind of principal is matched by its own selectors and by no other kind's; an exemption from
/// `identity-mismatch` is for exactly whom it names.
#[test]
fn kinds_are_told_apart_by_every_selector() {
    const ALL: [(&str, &str); 4] =
        [("person", "mallory"), ("bot", "renovate"), ("agent", "autofix"), ("forge", "web-flow")];
    for (kind, name) in ALL {
        for (other, _) in ALL {
            for selector in [format!("kind:{other}"), format!("{other}:{name}")] {
                let rule = format!("untrusted-signer = {{ allow = [\"{selector}\"] }}");
                let verdict = single(&toml::from_str(&rule).unwrap(), "verified", Some(name));
                let accepted = verdict.decision == Decision::Accept;
                assert_eq!(accepted, kind == other, "{kind} {name} by {selector}");
            }
            if other == "agent" {
                continue;
            }
            let rule =
                format!("identity-mismatch = {{ match = \"committer\", except = [\"{other}:{name}\"] }}");
            let refuse = toml::from_str(&rule).unwrap();
            let verdict =
                judge(&refuse, |made| made.committer.email = b"x@y.z".to_vec(), "verified", Some(name));
            assert_eq!(
                verdict.decision == Decision::Accept,
                kind == other,
                "{kind} {name} by {other}:{name}"
            );
        }
        // No kind is exempt by itself, forges included.
        let refuse = toml::toml! { identity-mismatch = true };
        let verdict = judge(&refuse, |made| made.committer.email = b"x@y.z".to_vec(), "verified", Some(name));
        assert_eq!(verdict.decision, Decision::Refuse, "{kind} {name}");
    }
}

/// A push without any update that could be judged is not accepted because nothing was wrong with it.
#[test]
fn nothing_is_not_an_accept() {
    let policy = Rulesets { rulesets: Vec::new(), uncovered: Uncovered::Accept };
    let facts = PushFacts::bare(context());
    assert_eq!(evaluate(&facts, &policy).decision, Decision::Refuse);
}

/// A ruleset that has to judge a commit of which nothing is known does not skip it.
#[test]
fn a_commit_without_facts_is_refused() {
    let set = ruleset("rules", &["refs/**"], Enforcement::Enforce, &toml::toml! { unsigned-commit = true });
    let policy = Rulesets { rulesets: vec![set.unwrap()], uncovered: Uncovered::Accept };
    let case: Case = toml::from_str(
        "about = 'x'\n[refuse]\nunsigned-commit = true\n[[commit]]\nname = 'a'\n[expect]\noutcome = 'accept'\n",
    )
    .unwrap();
    let mut facts = case.facts(&policy);
    assert_eq!(evaluate(&facts, &policy).decision, Decision::Accept);
    facts.commits.clear();
    let verdict = evaluate(&facts, &policy);
    assert_eq!(verdict.decision, Decision::Refuse);
    assert_eq!(verdict.violations[0].rule, "malformed-object");
}

/// Verdicts name every ruleset that judged a ref, the built-in one first (N1).
#[test]
fn n01_every_ref_is_judged_by_the_builtin_ruleset() {
    for (path, case) in cases() {
        let Ok(policy) = case.policy() else { continue };
        let verdict = evaluate(&case.facts(&policy), &policy);
        for reference in &verdict.refs {
            assert_eq!(reference.rulesets[0].name, Ruleset::BUILTIN, "{}", path.display());
            let others: BTreeSet<_> = reference.rulesets[1..].iter().map(|set| set.index.unwrap()).collect();
            let covering: BTreeSet<_> =
                policy.covering("infra/app", &reference.name, None).into_iter().collect();
            assert_eq!(others, covering, "{}", path.display());
            let enforced = reference.rulesets[1..].iter().any(|set| set.enforcement == Enforcement::Enforce);
            assert_eq!(enforced, reference.coverage == Coverage::Ruleset, "{}", path.display());
        }
    }
}
