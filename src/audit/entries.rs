//! The parts that records are made of.

use crate::domain::{ObjectId, Pusher, RefName, RefUpdate, RepositoryRef, UpdateKind, text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Longest single text in a record, in characters; longer ones end in an ellipsis.
pub const MAX_TEXT: usize = 512;
/// `text` cut to [`MAX_TEXT`] characters. It must be escaped already.
pub fn capped(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// How a decision ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The push was let in.
    Accept,
    /// Policy said no.
    Refuse,
    /// The gate could not tell; the push was not let in either.
    Undecided,
}

impl Outcome {
    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Accept => "accept",
            Outcome::Refuse => "refuse",
            Outcome::Undecided => "undecided",
        }
    }
}

/// A repository, as records name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryEntry {
    /// The stable identity (N3).
    pub id: String,
    /// The name at that time.
    pub name: String,
}

impl From<&RepositoryRef> for RepositoryEntry {
    fn from(repository: &RepositoryRef) -> Self {
        RepositoryEntry { id: repository.id.0.clone(), name: text::escape(repository.name.as_bytes()) }
    }
}

/// Who pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "identity", rename_all = "kebab-case")]
pub enum PusherEntry {
    /// Nobody vouches for an identity.
    Unknown,
    /// The server vouches for somebody.
    Known {
        /// The account's name or the key's fingerprint, escaped.
        name: String,
        /// Which variable said so.
        source: String,
        /// Who of the keyring that is; absent where it is nobody. Records from before there were accounts in
        /// the keyring have none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        principal: Option<String>,
        /// What it rests on: `server` for its word, `key` for the key of the login. Absent in older records, which
        /// rest on the server's word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        proof: Option<String>,
        /// What else the server said, by variable, escaped.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        details: BTreeMap<String, String>,
    },
}

impl From<&Pusher> for PusherEntry {
    fn from(pusher: &Pusher) -> Self {
        match pusher {
            Pusher::Unknown => PusherEntry::Unknown,
            Pusher::Known { name, source, principal, proof, details } => {
                let escaped = |text: &str| text::escape_short(text.as_bytes(), MAX_TEXT);
                PusherEntry::Known {
                    name: escaped(name),
                    source: (*source).to_owned(),
                    principal: principal.as_ref().map(|principal| escaped(&principal.name)),
                    proof: Some(proof.name().to_owned()),
                    details: details
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), escaped(value)))
                        .collect(),
                }
            }
        }
    }
}

/// Where the request came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// `unix`, `standalone`, `webhook`, `sweep`.
    pub transport: String,
    /// The user id of the process at the other end of the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Where the pusher came from, as the server's variables say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// How something came to be judged that a forge had let in already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// A ref had moved, and the forge told of it.
    Detected,
    /// A ref had moved, and nobody told of it.
    Unannounced,
    /// A value that a ref is said to have had for a while (N29).
    Transient,
    /// What a pull or merge request would bring. Nothing has moved.
    Proposed,
}

impl Mode {
    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Detected => "detected",
            Mode::Unannounced => "unannounced",
            Mode::Transient => "transient",
            Mode::Proposed => "proposed",
        }
    }
}

/// Why a ref's update ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Coverage {
    /// At least one enforcing ruleset judged it.
    Ruleset,
    /// No enforcing ruleset covers it, and the configuration lets such refs in (N2).
    UncoveredAccept,
    /// No enforcing ruleset covers it, and the configuration refuses such refs (N2).
    UncoveredRefuse,
    /// It was never judged, because the decision ended before.
    NotJudged,
}

impl Coverage {
    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            Coverage::Ruleset => "ruleset",
            Coverage::UncoveredAccept => "uncovered-accept",
            Coverage::UncoveredRefuse => "uncovered-refuse",
            Coverage::NotJudged => "not-judged",
        }
    }
}

/// A ruleset that judged a ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedBy {
    /// The ruleset.
    pub name: String,
    /// `enforce`, `evaluate`.
    pub enforcement: String,
    /// How many commits the update introduced for it (N7).
    pub introduced: u64,
    /// How many violations it found, whether the record still lists them or not.
    pub violations: u64,
}

/// The last sound value of a ref of a forge, from which a move is judged that follows a refused one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JudgedFrom {
    /// Its id; absent for "nothing".
    pub id: Option<String>,
    /// The request whose decision refused what the ref held when it moved.
    pub refused_by: String,
}

/// One ref update of a decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefEntry {
    /// Full name, escaped.
    #[serde(rename = "ref")]
    pub name: String,
    /// Old id as claimed; absent for "nothing".
    pub old: Option<String>,
    /// New id; absent for "nothing".
    pub new: Option<String>,
    /// What it was judged from, where that is not `old`: a forge has moved the ref, and that move was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged_from: Option<JudgedFrom>,
    /// `create`, `update`, `force`, `delete`, as it was judged; absent where that was never found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Why it ended as it did.
    pub coverage: Coverage,
    /// Which rulesets judged it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rulesets: Vec<JudgedBy>,
}

impl RefEntry {
    /// An entry for `update`, without rulesets.
    pub fn new(update: &RefUpdate, kind: Option<UpdateKind>, coverage: Coverage) -> Self {
        RefEntry {
            name: update.name.to_string(),
            old: update.old.map(|id| id.to_string()),
            new: update.new.map(|id| id.to_string()),
            judged_from: None,
            kind: kind.map(|kind| kind.name().to_owned()),
            coverage,
            rulesets: Vec::new(),
        }
    }

    /// Adds a ruleset that judged it.
    #[must_use]
    pub fn judged_by(mut self, name: &str, enforcement: &str, introduced: u64, violations: u64) -> Self {
        let (name, enforcement) = (capped(name), enforcement.to_owned());
        self.rulesets.push(JudgedBy { name, enforcement, introduced, violations });
        self
    }
}

/// One commit or tag of a decision and its signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectEntry {
    /// Its id.
    pub id: String,
    /// SHA-256 of the bytes that were verified, because the id may be SHA-1 only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The principal that signed, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Fingerprint of the key, or what the signature names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// `openpgp`, `ssh`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// What the signature turned out to be: `verified`, `unsigned`, `bad`, …
    pub status: String,
}

impl ObjectEntry {
    /// An entry with a status and nothing else.
    pub fn new(id: &ObjectId, status: &str) -> Self {
        ObjectEntry { id: id.to_string(), status: capped(status), ..ObjectEntry::default() }
    }

    /// Adds which key signed.
    #[must_use]
    pub fn key(mut self, scheme: &str, fingerprint: &str) -> Self {
        self.scheme = Some(scheme.to_owned());
        self.fingerprint = Some(capped(fingerprint));
        self
    }

    /// Adds whose key it is.
    #[must_use]
    pub fn signer(mut self, principal: &str) -> Self {
        self.signer = Some(capped(principal));
        self
    }

    /// Adds the SHA-256 of the object's bytes.
    #[must_use]
    pub fn sha256(mut self, digest: [u8; 32]) -> Self {
        self.sha256 = Some(data_encoding::HEXLOWER.encode(&digest));
        self
    }
}

/// A rule that was broken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViolationEntry {
    /// The rule's name.
    pub rule: String,
    /// The ref that it is about.
    #[serde(rename = "ref", default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The commit that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The tag object that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The path that it is about, escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What was found.
    pub seen: String,
    /// What the rule asks for.
    pub wanted: String,
    /// Which rulesets have the rule.
    pub rulesets: Vec<String>,
}

impl ViolationEntry {
    /// A violation of `rule`, without a subject. The texts are capped.
    pub fn new(rule: &str, seen: &str, wanted: &str, rulesets: &[String]) -> Self {
        ViolationEntry {
            rule: rule.to_owned(),
            seen: capped(seen),
            wanted: capped(wanted),
            rulesets: rulesets.to_vec(),
            ..ViolationEntry::default()
        }
    }

    /// Says which ref it is about.
    #[must_use]
    pub fn on_ref(mut self, name: &RefName) -> Self {
        self.reference = Some(name.to_string());
        self
    }

    /// Says which commit it is about.
    #[must_use]
    pub fn on_commit(mut self, id: &ObjectId) -> Self {
        self.commit = Some(id.to_string());
        self
    }

    /// Says which tag object it is about.
    #[must_use]
    pub fn on_tag(mut self, id: &ObjectId) -> Self {
        self.tag = Some(id.to_string());
        self
    }
}

/// Something odd about an object that counts all the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingEntry {
    /// A stable code such as `fido.counter_regress`.
    pub code: String,
    /// The commit that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The tag object that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The same for people.
    pub text: String,
}

impl FindingEntry {
    /// A finding without a subject. The text is capped; it must be escaped already.
    pub fn new(code: &str, text: &str) -> Self {
        FindingEntry { code: capped(code), text: capped(text), ..FindingEntry::default() }
    }

    /// Says which commit it is about.
    #[must_use]
    pub fn on_commit(mut self, id: &ObjectId) -> Self {
        self.commit = Some(id.to_string());
        self
    }

    /// Says which tag object it is about.
    #[must_use]
    pub fn on_tag(mut self, id: &ObjectId) -> Self {
        self.tag = Some(id.to_string());
        self
    }
}

/// A violation that a bypass waived (N19).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiverEntry {
    /// What was waived.
    #[serde(flatten)]
    pub violation: ViolationEntry,
    /// Whose bypass waived it.
    pub by: String,
    /// What showed that it is theirs: `key`, `pusher`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
    /// Why the bypass is there, as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The reason that the pusher gave, where the bypass has to be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<String>,
    /// The ruleset is under evaluation, so nothing would have been refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub evaluated: bool,
}

/// Why a decision could not be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultEntry {
    /// A stable word.
    pub code: String,
    /// A sentence for the operator.
    pub message: String,
}

/// How many entries were left out of each list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truncated {
    /// Refs (never of an accepted push).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refs: u64,
    /// Commits.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub commits: u64,
    /// Tags.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tags: u64,
    /// Violations.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub violations: u64,
    /// Violations that rulesets under evaluation found.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub advisory: u64,
    /// Waivers.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waivers: u64,
    /// Push options.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub push_options: u64,
    /// Findings.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub findings: u64,
}

impl Truncated {
    /// All of them together.
    pub const fn total(&self) -> u64 {
        self.refs
            + self.commits
            + self.tags
            + self.violations
            + self.advisory
            + self.waivers
            + self.push_options
            + self.findings
    }

    pub(super) fn is_none(&self) -> bool {
        *self == Truncated::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How an applied update came to be known (N10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// Our `post-receive` hook said so.
    PostReceive,
    /// The ref was seen at that value.
    Seen,
}

/// One ref that was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedRef {
    /// Full name, escaped.
    #[serde(rename = "ref")]
    pub name: String,
    /// The id it holds now; absent for a deletion.
    pub new: Option<String>,
}

/// Accepted updates of one request were applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedEntry {
    /// The request that was accepted.
    pub request_id: String,
    /// In which repository.
    pub repository: RepositoryEntry,
    /// How that is known.
    pub how: How,
    /// Which refs.
    pub refs: Vec<AppliedRef>,
}

/// A ref and what it holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tip {
    /// Full name, escaped.
    #[serde(rename = "ref")]
    pub name: String,
    /// The id.
    pub id: String,
}

/// An adopted base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptEntry {
    /// Where.
    pub repository: RepositoryEntry,
    /// For which ruleset.
    pub ruleset: String,
    /// The tips, in the order of their names; the first ones where there are too many for a record.
    pub tips: Vec<Tip>,
    /// How many tips there are in all.
    pub tips_total: u64,
    /// SHA-256 over all tips: `<id> <ref>\n`, sorted by ref.
    pub tips_digest: String,
    /// How many commits became trusted.
    pub commits: u64,
    /// Who did it.
    pub who: String,
    /// What had been found out about the history before; empty where nobody showed anything.
    #[serde(default)]
    pub evidence: Vec<EvidenceEntry>,
}

/// A report about history that was shown when it was adopted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceEntry {
    /// SHA-256 of the file.
    pub sha256: String,
    /// The ref that it is about, escaped.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What the ref held.
    pub tip: String,
    /// How many commits there were with each verdict.
    pub statuses: BTreeMap<String, u64>,
    /// Digest of the keyring that they were judged by.
    pub keyring: String,
    /// Whether that is the keyring that was in force at the adoption.
    pub keyring_in_force: bool,
}

/// Tainted commits that somebody lets stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaintEntry {
    /// Where.
    pub repository: RepositoryEntry,
    /// Fingerprints of the compromised keys.
    pub keys: Vec<String>,
    /// The commits, sorted; the first ones where there are too many for a record.
    pub commits: Vec<String>,
    /// How many there are in all.
    pub commits_total: u64,
    /// SHA-256 over all of them: `<id>\n`, sorted.
    pub commits_digest: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub who: String,
}

/// Something happened to the service itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEntry {
    /// The program's version.
    pub version: String,
    /// Digest of the configuration in force afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// Digest of the keyring in force afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyring: Option<String>,
    /// What went wrong; absent where nothing did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Tenants whose files could not be used, so that their repositories are undecided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faulty_tenants: Vec<String>,
}

impl ServiceEntry {
    /// An entry of this build's version.
    pub fn new(configuration: Option<&str>, keyring: Option<&str>, error: Option<&str>) -> Self {
        ServiceEntry {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            configuration: configuration.map(str::to_owned),
            keyring: keyring.map(str::to_owned),
            error: error.map(capped),
            faulty_tenants: Vec::new(),
        }
    }
}

/// How far the restoring of a forge's ref has come (N32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestoreStep {
    /// It is about to be moved back.
    Begun,
    /// It was moved back.
    Done,
    /// It was not, although it was tried.
    Failed,
    /// It is left as it is.
    Left,
}

impl RestoreStep {
    /// The word in the record.
    pub const fn name(self) -> &'static str {
        match self {
            RestoreStep::Begun => "begun",
            RestoreStep::Done => "done",
            RestoreStep::Failed => "failed",
            RestoreStep::Left => "left",
        }
    }
}

/// A ref of a forge that should not have moved was moved back, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreEntry {
    /// Where.
    pub repository: RepositoryEntry,
    /// Which ref, escaped.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What it held and should not have; absent for "nothing".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bad: Option<String>,
    /// What it shall hold; absent for "nothing", and where nothing was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub good: Option<String>,
    /// How far it has come.
    pub step: RestoreStep,
    /// The decision that it follows from.
    pub request_id: String,
    /// The ref of the mirror that keeps what is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery: Option<String>,
    /// Why it was not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl RestoreEntry {
    /// The same at another step, and why.
    #[must_use]
    pub fn at(&self, step: RestoreStep, why: Option<&str>) -> Self {
        RestoreEntry { step, why: why.map(|why| capped(&text::escape(why.as_bytes()))), ..self.clone() }
    }
}

/// A rolled-back state was accepted by somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveredEntry {
    /// Who.
    pub who: String,
    /// What had been found.
    pub finding: String,
    /// The record that was known to have existed, where the mark could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_seq: Option<u64>,
    /// Its hash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hash: Option<String>,
}

/// Most entries of each list of a [`KeyringChangeEntry`].
const MAX_LISTED: usize = 50;

/// Somebody changed the keyring by a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringChangeEntry {
    /// Made up for this change. A change that was interrupted may be on record twice, with the same id.
    pub id: String,
    /// The command: `add`, `revoke`.
    pub action: String,
    /// It was made on the server, past the ref that the keyring follows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub local: bool,
    /// Who, as [`KeyringAuthor`] says.
    pub by: KeyringAuthor,
    /// Why, in that person's words; escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whose files changed.
    pub principals: Vec<String>,
    /// The fingerprints of keys and authorities that came, went, or of which the entry changed.
    pub keys: Vec<String>,
    /// The files.
    pub files: Vec<KeyringFileEntry>,
    /// Digest of the keyring before.
    pub keyring_before: String,
    /// And after: what decisions under it say in `keyring`, where no rejected change is in force.
    pub keyring_after: String,
    /// How many principals, keys and files were left out of the lists above, all together.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

/// Who changed the keyring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringAuthor {
    /// The name of the login; a claim. Escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// The user id of the process: through the socket the kernel's word, otherwise the process's own.
    pub uid: u32,
    /// The account of that number on the gate's machine; escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The account that logged in, where the system keeps track of it: whoever became root is still that
    /// one. Escaped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The key that signed the change, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

/// A file of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyringFileEntry {
    /// Its name in the keyring's directory.
    pub name: String,
    /// SHA-256 of what it held, in hexadecimal; absent where it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Of what it holds now; absent where it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl KeyringChangeEntry {
    /// Shortens the lists to what a record has room for, and counts what was left out (N26).
    #[must_use]
    pub fn fitted(mut self) -> Self {
        fn cut<T>(list: &mut Vec<T>) -> u64 {
            let left_out = list.len().saturating_sub(MAX_LISTED);
            list.truncate(MAX_LISTED);
            left_out as u64
        }
        self.left_out += cut(&mut self.principals) + cut(&mut self.keys) + cut(&mut self.files);
        self.reason = self.reason.map(|reason| capped(&reason));
        self
    }
}
