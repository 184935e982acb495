//! What is written about one event, as JSON whose keys are stable.

use super::entries::{
    AdoptEntry, AppliedEntry, FaultEntry, FindingEntry, KeyringChangeEntry, Mode, ObjectEntry, Outcome, Peer,
    PusherEntry, RecoveredEntry, RefEntry, RepositoryEntry, RestoreEntry, ServiceEntry, TaintEntry,
    Truncated, ViolationEntry, WaiverEntry, capped,
};
use super::keyring::{KeyringFoundEntry, KeyringSourceEntry};
use crate::domain::{PushContext, Timestamp, text};
use serde::{Deserialize, Serialize};

/// The JSON layout that this build writes. Keys are added under the same number; a change of meaning
/// takes a new one.
pub const SCHEMA: u32 = 1;

/// Most push options that are recorded.
const MAX_OPTIONS: usize = 16;

/// Why a record cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A text arrived unescaped. Nothing is lost by refusing it, and a terminal may be saved.
    #[error("a text in the audit record has control characters, near byte {at}")]
    ControlBytes {
        /// Offset in the JSON.
        at: usize,
    },
    /// Serialisation failed, which the types here should exclude.
    #[error("the audit record cannot be written as JSON: {0}")]
    Json(String),
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Layout version, [`SCHEMA`].
    pub schema: u32,
    /// When the event happened: RFC 3339, UTC, milliseconds. For decisions, when the push was received.
    pub at: String,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// The kinds of record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Event {
    /// A push was judged.
    Decision(Box<Decision>),
    /// Git is known to have applied accepted updates (N10).
    Applied(AppliedEntry),
    /// An administrator declared history trusted (N9).
    Adopt(AdoptEntry),
    /// Somebody decided to let tainted commits stand (N14).
    TaintAccepted(TaintEntry),
    /// The daemon started.
    Start(ServiceEntry),
    /// The daemon stopped.
    Stop(ServiceEntry),
    /// The configuration or keyring was loaded again, or could not be.
    Reload(ServiceEntry),
    /// An administrator accepted a state that had been rolled back (N27).
    Recovered(RecoveredEntry),
    /// Somebody changed the keyring by a command.
    KeyringChanged(KeyringChangeEntry),
    /// The keyring's files were found changed.
    KeyringFound(KeyringFoundEntry),
    /// A commit of the ref that the keyring follows was taken over.
    KeyringSource(KeyringSourceEntry),
    /// A ref of a forge was moved back, or was not (N32).
    Restore(RestoreEntry),
}

impl Event {
    /// The value of the key `kind`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Event::Decision(_) => "decision",
            Event::Applied(_) => "applied",
            Event::Adopt(_) => "adopt",
            Event::TaintAccepted(_) => "taint-accepted",
            Event::Start(_) => "start",
            Event::Stop(_) => "stop",
            Event::Reload(_) => "reload",
            Event::Recovered(_) => "recovered",
            Event::KeyringChanged(_) => "keyring-changed",
            Event::KeyringFound(_) => "keyring-found",
            Event::KeyringSource(_) => "keyring-source",
            Event::Restore(_) => "restore",
        }
    }
}

impl Record {
    /// A record of `event`, at `at`.
    pub fn new(at: Timestamp, event: Event) -> Self {
        Record { schema: SCHEMA, at: rfc3339_ms(at), event }
    }

    /// A record of a decision, at the time the push was received.
    pub fn decision(decision: Decision) -> Self {
        Record {
            schema: SCHEMA,
            at: decision.received_at.clone(),
            event: Event::Decision(Box::new(decision)),
        }
    }

    /// The decision, where this is one.
    pub fn as_decision(&self) -> Option<&Decision> {
        match &self.event {
            Event::Decision(decision) => Some(decision),
            _ => None,
        }
    }

    /// The bytes that are stored and hashed: compact JSON, keys in the order of these types. Fails
    /// where a text was not escaped.
    pub fn canonical(&self) -> Result<String, RecordError> {
        let json = serde_json::to_string(self).map_err(|e| RecordError::Json(e.to_string()))?;
        match control_byte(json.as_bytes()) {
            Some(at) => Err(RecordError::ControlBytes { at }),
            None => Ok(json),
        }
    }

    /// Reads a stored line. Keys that a newer build added are ignored.
    pub fn parse(json: &str) -> Result<Self, RecordError> {
        serde_json::from_str(json).map_err(|e| RecordError::Json(e.to_string()))
    }

    /// Shortens the lists of a decision until the record has at most `max` bytes, and counts what was
    /// left out (N26). The refs of an accepted push are never left out: what was let in is on record,
    /// and how many refs a push may have is bounded elsewhere (N23).
    pub fn fit(&mut self, max: usize) -> Result<(), RecordError> {
        if self.canonical()?.len() <= max {
            return Ok(());
        }
        let Event::Decision(decision) = &mut self.event else { return Ok(()) };
        decision.fit(max)
    }
}

/// Offset of the first sign of a control character in JSON made by `serde_json`, which escapes C0 as
/// `\n`, `\u001b` and the like, and passes DEL and C1 as they are.
fn control_byte(json: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < json.len() {
        match json[at] {
            b'\\' if !matches!(json.get(at + 1), Some(b'"' | b'\\')) => return Some(at),
            b'\\' => at += 2,
            0x00..=0x1f | 0x7f => return Some(at),
            0xc2 if matches!(json.get(at + 1), Some(0x80..=0x9f)) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// `at` in RFC 3339, UTC, with milliseconds.
pub fn rfc3339_ms(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// One judged push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Which request.
    pub request_id: String,
    /// When it was received: RFC 3339, UTC, milliseconds.
    pub received_at: String,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Where to.
    pub repository: RepositoryEntry,
    /// Who.
    pub pusher: PusherEntry,
    /// Over which transport.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// Push options, escaped and capped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push_options: Vec<String>,
    /// How it came to be judged, where it was not a push that waited for the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The deliveries of forges that are done with it, by their numbers in the queue.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deliveries: Vec<u64>,
    /// The pull or merge request that it is about, by its number at the forge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
    /// The updates.
    pub refs: Vec<RefEntry>,
    /// The commits that were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<ObjectEntry>,
    /// The tag objects that were looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<ObjectEntry>,
    /// What was broken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<ViolationEntry>,
    /// What was broken of rulesets that are only evaluated: it refused nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advisory: Vec<ViolationEntry>,
    /// What was broken and waived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<WaiverEntry>,
    /// What is odd about commits and tags and refuses nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<FindingEntry>,
    /// Why it could not be decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultEntry>,
    /// Digest of the configuration in force.
    pub configuration: String,
    /// Digest of the keyring in force.
    pub keyring: String,
    /// What was left out of the lists above.
    #[serde(default, skip_serializing_if = "Truncated::is_none")]
    pub truncated: Truncated,
    /// Set where the repository had used up its budget of full records: this is the n-th such record
    /// of the minute, and its lists are left out (N26).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_budget: Option<u64>,
}

impl Decision {
    /// A decision about the push in `context`; lists are empty. `configuration` and `keyring` are digests.
    pub fn new(context: &PushContext, outcome: Outcome, configuration: &str, keyring: &str) -> Self {
        let options = &context.push_options;
        Decision {
            request_id: context.request_id.as_str().to_owned(),
            received_at: rfc3339_ms(context.received_at),
            duration_us: 0,
            repository: RepositoryEntry::from(&context.repository),
            pusher: PusherEntry::from(&context.pusher),
            peer: None,
            push_options: options.iter().take(MAX_OPTIONS).map(|o| text::escape_short(o, 200)).collect(),
            mode: None,
            deliveries: Vec::new(),
            proposal: None,
            outcome,
            refs: Vec::new(),
            commits: Vec::new(),
            tags: Vec::new(),
            violations: Vec::new(),
            advisory: Vec::new(),
            waivers: Vec::new(),
            findings: Vec::new(),
            fault: None,
            configuration: configuration.to_owned(),
            keyring: keyring.to_owned(),
            truncated: Truncated {
                push_options: options.len().saturating_sub(MAX_OPTIONS) as u64,
                ..Truncated::default()
            },
            over_budget: None,
        }
    }

    /// Says why it could not be decided; the outcome becomes undecided.
    #[must_use]
    pub fn undecided(mut self, code: &str, message: &str) -> Self {
        self.outcome = Outcome::Undecided;
        self.fault = Some(FaultEntry { code: code.to_owned(), message: capped(message) });
        self
    }

    /// Leaves out the lists, for a repository that is over its budget (N26).
    pub fn compact(&mut self, over_budget: u64) {
        self.over_budget = Some(over_budget);
        self.truncated.push_options += self.push_options.len() as u64;
        self.push_options.clear();
        cut(&mut self.refs, 0, &mut self.truncated.refs);
        cut(&mut self.commits, 0, &mut self.truncated.commits);
        cut(&mut self.tags, 0, &mut self.truncated.tags);
        cut(&mut self.violations, 0, &mut self.truncated.violations);
        cut(&mut self.advisory, 0, &mut self.truncated.advisory);
        cut(&mut self.waivers, 0, &mut self.truncated.waivers);
        cut(&mut self.findings, 0, &mut self.truncated.findings);
    }

    fn fit(&mut self, max: usize) -> Result<(), RecordError> {
        let accepted = self.outcome == Outcome::Accept;
        let refs = sizes(&self.refs)?;
        let lists = sizes(&self.violations)?.iter().sum::<usize>()
            + sizes(&self.advisory)?.iter().sum::<usize>()
            + sizes(&self.waivers)?.iter().sum::<usize>()
            + sizes(&self.findings)?.iter().sum::<usize>()
            + sizes(&self.tags)?.iter().sum::<usize>()
            + sizes(&self.commits)?.iter().sum::<usize>()
            + if accepted { 0 } else { refs.iter().sum::<usize>() };
        let whole = serde_json::to_vec(self).map_err(|e| RecordError::Json(e.to_string()))?.len();
        // 256 bytes cover `truncated` itself, the envelope and the keys of emptied lists.
        let mut room = max.saturating_sub(whole - lists + 256);
        // What refused the push matters most, then what was waived, then where it went.
        keep(&mut self.violations, &mut self.truncated.violations, &mut room, 2)?;
        keep(&mut self.waivers, &mut self.truncated.waivers, &mut room, 2)?;
        if !accepted {
            keep(&mut self.refs, &mut self.truncated.refs, &mut room, 2)?;
        }
        keep(&mut self.advisory, &mut self.truncated.advisory, &mut room, 2)?;
        keep(&mut self.findings, &mut self.truncated.findings, &mut room, 2)?;
        keep(&mut self.tags, &mut self.truncated.tags, &mut room, 2)?;
        keep(&mut self.commits, &mut self.truncated.commits, &mut room, 1)
    }
}

fn sizes<T: Serialize>(list: &[T]) -> Result<Vec<usize>, RecordError> {
    let size = |item| serde_json::to_vec(item).map(|json| json.len() + 1);
    list.iter().map(size).collect::<Result<_, _>>().map_err(|e| RecordError::Json(e.to_string()))
}

/// Keeps the longest prefix of `list` that fits into `room / share`.
fn keep<T: Serialize>(
    list: &mut Vec<T>,
    left_out: &mut u64,
    room: &mut usize,
    share: usize,
) -> Result<(), RecordError> {
    let allowed = *room / share;
    let mut used = 0;
    let mut count = 0;
    for size in sizes(list)? {
        if used + size > allowed {
            break;
        }
        used += size;
        count += 1;
    }
    *room -= used;
    cut(list, count, left_out);
    Ok(())
}

fn cut<T>(list: &mut Vec<T>, keep: usize, left_out: &mut u64) {
    *left_out += list.len().saturating_sub(keep) as u64;
    list.truncate(keep);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::chain::{Head, Link, Verifier};
    use crate::audit::{Coverage, JudgedFrom};
    use crate::domain::{
        ObjectId, Principal, PrincipalKind, Proof, Pusher, RefName, RefUpdate, RepositoryId, RepositoryRef,
        RequestId, UpdateKind,
    };
    use std::collections::BTreeMap;
    use std::sync::Arc;

    fn context() -> PushContext {
        PushContext {
            request_id: RequestId::parse(&"a".repeat(32)).unwrap(),
            repository: RepositoryRef { id: RepositoryId("r1".into()), name: "infra/prod".into() },
            pusher: Pusher::Known {
                name: "alice\n".into(),
                source: "REMOTE_USER",
                principal: None,
                proof: Proof::Server,
                details: Default::default(),
            },
            push_options: vec![b"ci.skip\x1b".to_vec(); 20],
            received_at: "2026-01-02T03:04:05.678901Z".parse().unwrap(),
        }
    }

    fn id(n: u32) -> ObjectId {
        let mut raw = [1; 20];
        raw[..4].copy_from_slice(&n.to_be_bytes());
        ObjectId::from_bytes(&raw).unwrap()
    }

    #[test]
    fn the_layout_is_stable() {
        let update =
            RefUpdate { name: RefName::parse(b"refs/heads/main").unwrap(), old: None, new: Some(id(7)) };
        let mut decision = Decision::new(&context(), Outcome::Accept, "c0", "k0");
        decision.push_options.truncate(1);
        decision.refs.push(
            RefEntry::new(&update, Some(UpdateKind::Create), Coverage::Ruleset)
                .judged_by("prod", "enforce", 1, 0),
        );
        decision.commits.push(ObjectEntry::new(&id(7), "verified").key("ssh", "SHA256:x").signer("alice"));
        let json = Record::decision(decision).canonical().unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"schema":1,"at":"2026-01-02T03:04:05.678Z","kind":"decision","#,
                r#""request_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","received_at":"2026-01-02T03:04:05.678Z","#,
                r#""duration_us":0,"repository":{"id":"r1","name":"infra/prod"},"#,
                r#""pusher":{"identity":"known","name":"alice\\n","source":"REMOTE_USER","proof":"server"},"#,
                r#""push_options":["ci.skip\\x1b"],"outcome":"accept","refs":[{"ref":"refs/heads/main","#,
                r#""old":null,"new":"0000000701010101010101010101010101010101","kind":"create","#,
                r#""coverage":"ruleset","rulesets":[{"name":"prod","enforcement":"enforce","introduced":1,"violations":0}]}],"#,
                r#""commits":[{"id":"0000000701010101010101010101010101010101","signer":"alice","#,
                r#""fingerprint":"SHA256:x","scheme":"ssh","status":"verified"}],"#,
                r#""configuration":"c0","keyring":"k0","truncated":{"push_options":4}}"#
            )
        );
        let back = Record::parse(&json).unwrap();
        assert_eq!(back.canonical().unwrap(), json);
        assert!(Record::parse(&json.replace(r#""keyring""#, r#""later":1,"keyring""#)).is_ok());
    }

    #[test]
    fn from_where_a_move_was_judged_has_a_stable_layout() {
        let update = RefUpdate {
            name: RefName::parse(b"refs/heads/main").unwrap(),
            old: Some(id(6)),
            new: Some(id(7)),
        };
        let mut entry = RefEntry::new(&update, Some(UpdateKind::Create), Coverage::Ruleset);
        entry.judged_from = Some(JudgedFrom { id: None, refused_by: "b".repeat(32) });
        let json = serde_json::to_string(&entry).unwrap();
        let wanted = concat!(
            r#"{"ref":"refs/heads/main","old":"0000000601010101010101010101010101010101","#,
            r#""new":"0000000701010101010101010101010101010101","#,
            r#""judged_from":{"id":null,"refused_by":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"},"#,
            r#""kind":"create","coverage":"ruleset"}"#
        );
        assert_eq!(json, wanted);
        assert_eq!(serde_json::from_str::<RefEntry>(&json).unwrap(), entry);
    }

    #[test]
    fn a_change_of_the_keyring_has_a_stable_layout_and_a_size() {
        let entry: KeyringChangeEntry = serde_json::from_str(
            r#"{"id":"0f","action":"revoke","by":{"login":"keeper","uid":0},"reason":"compromised: stolen",
                "principals":["alice"],"keys":["SHA256:x"],"files":[{"name":"alice.toml","after":"aa"}],
                "keyring_before":"k0","keyring_after":"k1"}"#,
        )
        .unwrap();
        let at = "2026-01-02T03:04:05.678901Z".parse().unwrap();
        let record = Record::new(at, Event::KeyringChanged(entry.clone().fitted()));
        let json = record.canonical().unwrap();
        assert_eq!(
            json,
            concat!(
                r#"{"schema":1,"at":"2026-01-02T03:04:05.678Z","kind":"keyring-changed","id":"0f","action":"revoke","#,
                r#""by":{"login":"keeper","uid":0},"reason":"compromised: stolen","principals":["alice"],"#,
                r#""keys":["SHA256:x"],"files":[{"name":"alice.toml","after":"aa"}],"#,
                r#""keyring_before":"k0","keyring_after":"k1"}"#
            )
        );
        assert_eq!(Record::parse(&json).unwrap(), record);
        let keys = (0..10_000).map(|n| format!("SHA256:{n:043}")).collect();
        let large = KeyringChangeEntry { keys, ..entry }.fitted();
        assert_eq!((large.keys.len(), large.left_out), (50, 9950));
    }

    #[test]
    fn findings_are_a_key_more_and_old_lines_stay_what_they_were() {
        // A line as builds wrote it that knew no findings.
        let old = concat!(
            r#"{"schema":1,"at":"2026-01-02T03:04:05.678Z","kind":"decision","#,
            r#""request_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","received_at":"2026-01-02T03:04:05.678Z","#,
            r#""duration_us":0,"repository":{"id":"r1","name":"infra/prod"},"pusher":{"identity":"unknown"},"#,
            r#""outcome":"refuse","refs":[],"configuration":"c0","keyring":"k0","truncated":{"push_options":4}}"#
        );
        assert_eq!(Record::parse(old).unwrap().canonical().unwrap(), old);
        let mut decision = Decision::new(&context(), Outcome::Accept, "c0", "k0");
        decision.push_options.clear();
        decision.findings.push(FindingEntry::new("armor.width", "odd").on_commit(&id(7)));
        decision.findings.push(FindingEntry::new("armor.width", "odd").on_tag(&id(8)));
        let mut record = Record::decision(decision);
        let new = record.canonical().unwrap();
        let entry = concat!(
            r#""refs":[],"findings":[{"code":"armor.width","commit":"0000000701010101010101010101010101010101","text":"odd"},"#,
            r#"{"code":"armor.width","tag":"0000000801010101010101010101010101010101","text":"odd"}],"configuration""#
        );
        assert!(new.contains(entry), "{new}");
        assert_eq!(Record::parse(&new).unwrap(), record);
        let mut head = Head::EMPTY;
        let mut chain = Verifier::new(None);
        for json in [old.as_bytes(), new.as_bytes()] {
            head = head.append(json);
            chain.push(Link { seq: head.seq, hash: head.hash, json }).unwrap();
        }
        assert_eq!(chain.finish(), Ok(head));
        let Event::Decision(decision) = &mut record.event else { panic!("it is a decision") };
        decision.compact(1);
        assert!(decision.findings.is_empty());
        assert_eq!(decision.truncated.findings, 2, "what is left out is counted");
    }

    #[test]
    fn n18_the_pusher_has_keys_more_and_old_lines_stay_what_they_were() {
        // Lines as builds wrote them that knew an account and nothing else of a pusher.
        let line = |pusher: &str| {
            let [head, tail] = [
                concat!(
                    r#"{"schema":1,"at":"2026-01-02T03:04:05.678Z","kind":"decision","#,
                    r#""request_id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","received_at":"2026-01-02T03:04:05.678Z","#,
                    r#""duration_us":0,"repository":{"id":"r1","name":"infra/prod"},"pusher":"#
                ),
                r#","outcome":"refuse","refs":[],"configuration":"c0","keyring":"k0"}"#,
            ];
            format!("{head}{pusher}{tail}")
        };
        let old = line(r#"{"identity":"known","name":"alice","source":"REMOTE_USER"}"#);
        assert_eq!(Record::parse(&old).unwrap().canonical().unwrap(), old);
        let mut context = context();
        context.push_options.clear();
        context.pusher = Pusher::Known {
            name: "alice".into(),
            source: "GL_USERNAME",
            principal: Some(Arc::new(Principal {
                name: "ann".into(),
                kind: PrincipalKind::Person,
                emails: Vec::new(),
                groups: Vec::new(),
            })),
            proof: Proof::Server,
            details: BTreeMap::from([("GL_ID", "user-2\u{1b}".to_owned())]),
        };
        let new = Record::decision(Decision::new(&context, Outcome::Refuse, "c0", "k0"));
        let json = new.canonical().unwrap();
        let wanted = concat!(
            r#"{"identity":"known","name":"alice","source":"GL_USERNAME","principal":"ann","proof":"server","#,
            r#""details":{"GL_ID":"user-2\\x1b"}}"#
        );
        assert_eq!(json, line(wanted));
        assert_eq!(Record::parse(&json).unwrap(), new);
    }

    #[test]
    fn other_kinds_round_trip() {
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        for event in [
            Event::Start(ServiceEntry::new(Some("c"), None, None)),
            Event::Reload(ServiceEntry::new(None, None, Some("no such file"))),
            Event::Recovered(RecoveredEntry {
                who: "root".into(),
                finding: "older".into(),
                known_seq: Some(3),
                known_hash: None,
            }),
        ] {
            let record = Record::new(at, event);
            assert_eq!(record.at, "2026-01-02T03:04:05.000Z");
            let json = record.canonical().unwrap();
            assert!(json.contains(&format!("\"kind\":\"{}\"", record.event.kind())));
            assert_eq!(Record::parse(&json).unwrap(), record);
        }
    }

    #[test]
    fn unescaped_text_is_refused() {
        for bad in ["a\nb", "\x1b[31m", "\u{7f}", "\u{9b}31m", "\0"] {
            let decision = Decision::new(&context(), Outcome::Refuse, bad, "k");
            assert!(
                matches!(Record::decision(decision).canonical(), Err(RecordError::ControlBytes { .. })),
                "{bad:?}"
            );
        }
        let fine = Decision::new(&context(), Outcome::Refuse, "quote \" back \\ ü — ok", "k");
        assert!(Record::decision(fine).canonical().is_ok());
    }

    #[test]
    fn n26_lists_are_capped_and_counted() {
        let update =
            RefUpdate { name: RefName::parse(b"refs/heads/main").unwrap(), old: None, new: Some(id(7)) };
        for outcome in [Outcome::Accept, Outcome::Refuse] {
            let mut decision = Decision::new(&context(), outcome, "c", "k");
            for n in 0..5_000 {
                decision.commits.push(ObjectEntry::new(&id(n), "unsigned"));
                decision.violations.push(
                    ViolationEntry::new("unsigned-commit", "no signature", &"w".repeat(2_000), &["p".into()])
                        .on_commit(&id(n)),
                );
                decision.findings.push(FindingEntry::new("x.y", &"t".repeat(600)).on_commit(&id(n)));
            }
            for _ in 0..2_000 {
                decision.refs.push(RefEntry::new(&update, None, Coverage::NotJudged));
            }
            let mut record = Record::decision(decision);
            record.fit(64 * 1024).unwrap();
            let length = record.canonical().unwrap().len();
            let decision = record.as_decision().unwrap();
            assert_eq!(decision.commits.len() as u64 + decision.truncated.commits, 5_000);
            assert_eq!(decision.violations.len() as u64 + decision.truncated.violations, 5_000);
            assert_eq!(decision.findings.len() as u64 + decision.truncated.findings, 5_000);
            assert!(decision.truncated.total() > 10_000);
            assert_eq!(decision.refs.len() as u64 + decision.truncated.refs, 2_000);
            if outcome == Outcome::Accept {
                assert_eq!(decision.truncated.refs, 0, "what was let in stays on record");
            } else {
                assert!(length <= 64 * 1024 && length > 48 * 1024, "{length}");
                assert!(!decision.violations.is_empty() && !decision.refs.is_empty());
            }
        }
    }
}
