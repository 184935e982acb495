//! What is written for each event.

use super::{MAX_RECORD, SCHEMA};
use serde::{Deserialize, Serialize};

/// One entry of the log. Every string from outside is escaped before it gets here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// When, RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What happened.
    #[serde(flatten)]
    pub body: Body,
}

/// The kinds of entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Body {
    /// A push was decided, or could not be.
    Decision(Box<DecisionRecord>),
    /// An accepted update was applied by git (N10).
    Applied(AppliedRecord),
    /// A trusted base was adopted (N9).
    Adopt(AdoptRecord),
    /// The daemon started.
    Start(StateRecord),
    /// Configuration and keyring were read again.
    Reload(StateRecord),
    /// The daemon stopped in good order.
    Stop,
    /// A record that is older than its own mark was accepted by an operator (N27).
    Recovered {
        /// Who.
        who: String,
        /// What was found.
        why: String,
    },
}

/// A decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// The request.
    pub request_id: String,
    /// `accept`, `refuse` or `undecided`.
    pub outcome: String,
    /// Time from receipt to the end of judging, microseconds.
    pub duration_us: u64,
    /// The repository's stable identity; empty where it could not be told.
    pub repository_id: String,
    /// Its name below the root, or the path that was named.
    pub repository: String,
    /// Who pushed.
    pub pusher: Option<PusherRecord>,
    /// The account that the hook ran under, as the kernel says.
    pub peer_uid: u32,
    /// The address, as the server's variables say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Push options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub push_options: Vec<String>,
    /// The updates.
    pub refs: Vec<RefRecord>,
    /// The commits that were judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commits: Vec<CommitRecord>,
    /// The annotated tags that were judged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<CommitRecord>,
    /// What was violated and refused the push.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<ViolationRecord>,
    /// What rulesets under evaluation would have refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub advisory: Vec<ViolationRecord>,
    /// Why the push is undecided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultRecord>,
    /// SHA-256 of the configuration.
    pub configuration: String,
    /// SHA-256 of the keyring.
    pub keyring: String,
    /// Entries of the lists above that were left out to keep the record small (N26).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
}

/// Who pushed and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PusherRecord {
    /// The account name.
    pub name: String,
    /// The variable that carried it.
    pub source: String,
}

/// One update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefRecord {
    /// The ref, escaped.
    #[serde(rename = "ref")]
    pub name: String,
    /// What it held.
    pub old: Option<String>,
    /// What it shall hold.
    pub new: Option<String>,
    /// `create`, `update`, `force`, `delete`.
    pub kind: String,
    /// `ruleset`, `uncovered-accept`, `uncovered-refuse`.
    pub coverage: String,
    /// Every ruleset that judged it.
    pub rulesets: Vec<RulesetRecord>,
}

/// What one ruleset said of one ref.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RulesetRecord {
    /// Its name.
    pub name: String,
    /// `enforce` or `evaluate`.
    pub enforcement: String,
    /// Commits it judged.
    pub introduced: usize,
    /// Violations it found.
    pub violations: usize,
}

/// A commit or tag and its signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecord {
    /// Its id.
    pub id: String,
    /// The signature's status.
    pub signature: String,
    /// The principal whose key it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViolationRecord {
    /// The rule.
    pub rule: String,
    /// The ref, escaped.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The tag, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// What was seen.
    pub seen: String,
    /// What was wanted.
    pub wanted: String,
    /// The rulesets that say so.
    pub rulesets: Vec<String>,
}

/// An outage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultRecord {
    /// A stable word.
    pub code: String,
    /// The same for people.
    pub message: String,
}

/// How it is known that an update was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The `post-receive` hook reported, and the ref was at that value.
    PostReceive,
    /// The ref was seen at that value later.
    Seen,
}

/// An applied update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppliedRecord {
    /// The request that decided it.
    pub request_id: String,
    /// The repository's stable identity.
    pub repository_id: String,
    /// The ref, escaped.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What it holds now.
    pub new: Option<String>,
    /// How that is known.
    pub how: How,
}

/// An adopted base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdoptRecord {
    /// Who adopted it.
    pub who: String,
    /// The repository's stable identity.
    pub repository_id: String,
    /// Its name.
    pub repository: String,
    /// The ruleset.
    pub ruleset: String,
    /// The tips.
    pub tips: Vec<TipRecord>,
    /// Commits that are trusted now and were not before.
    pub commits: u64,
    /// Tips that were left out to keep the record small.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated: u64,
}

/// A ref and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TipRecord {
    /// The ref, escaped.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What it holds.
    pub id: String,
}

/// The state that a daemon works with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRecord {
    /// The program's version.
    pub version: String,
    /// SHA-256 of the configuration in force.
    pub configuration: String,
    /// SHA-256 of the keyring in force.
    pub keyring: String,
    /// Why new state was rejected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Record {
    /// A record of what happened at `time`.
    pub fn new(time: crate::domain::Timestamp, body: Body) -> Self {
        Record { schema: SCHEMA, time: format!("{time:.3}"), body }
    }

    /// The record's bytes, one line of JSON, at most [`MAX_RECORD`] long: lists are cut evenly until it
    /// fits, and what was cut is counted.
    pub fn to_bytes(mut self) -> Vec<u8> {
        loop {
            // Plain data with string keys always serialises.
            let bytes = serde_json::to_vec(&self).unwrap_or_default();
            if bytes.len() <= MAX_RECORD || !self.body.shorten() {
                return bytes;
            }
        }
    }
}

impl Body {
    /// Halves the longest list; `false` if there is nothing left to cut.
    fn shorten(&mut self) -> bool {
        fn halve<T>(list: &mut Vec<T>, truncated: &mut u64) -> bool {
            let keep = list.len() / 2;
            *truncated += (list.len() - keep) as u64;
            list.truncate(keep);
            true
        }
        match self {
            Body::Decision(record) => {
                let DecisionRecord {
                    refs, commits, tags, violations, advisory, push_options, truncated, ..
                } = record.as_mut();
                let longest = [
                    commits.len(),
                    tags.len(),
                    advisory.len(),
                    violations.len(),
                    refs.len(),
                    push_options.len(),
                ];
                let (index, count) = longest
                    .iter()
                    .enumerate()
                    .max_by_key(|(_, count)| **count)
                    .map_or((0, 0), |(i, n)| (i, *n));
                if count == 0 {
                    return false;
                }
                match index {
                    0 => halve(commits, truncated),
                    1 => halve(tags, truncated),
                    2 => halve(advisory, truncated),
                    3 => halve(violations, truncated),
                    4 => halve(refs, truncated),
                    _ => halve(push_options, truncated),
                }
            }
            Body::Adopt(record) if !record.tips.is_empty() => halve(&mut record.tips, &mut record.truncated),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    #[test]
    fn n26_a_record_is_cut_to_size_and_says_so() {
        let commit =
            CommitRecord { id: "a".repeat(40), signature: "verified".into(), principal: None, key: None };
        let decision = DecisionRecord { commits: vec![commit; 100_000], ..DecisionRecord::default() };
        let record = Record::new(Timestamp::UNIX_EPOCH, Body::Decision(Box::new(decision)));
        let bytes = record.to_bytes();
        assert!(bytes.len() <= MAX_RECORD, "{}", bytes.len());
        let back: Record = serde_json::from_slice(&bytes).unwrap();
        let Body::Decision(decision) = back.body else { panic!("a decision") };
        assert_eq!(decision.commits.len() as u64 + decision.truncated, 100_000);
    }

    #[test]
    fn the_json_is_stable() {
        let record = Record::new(
            Timestamp::UNIX_EPOCH,
            Body::Applied(AppliedRecord {
                request_id: "r".into(),
                repository_id: "i".into(),
                reference: "refs/heads/main".into(),
                new: None,
                how: How::PostReceive,
            }),
        );
        assert_eq!(
            String::from_utf8(record.to_bytes()).unwrap(),
            r#"{"schema":1,"time":"1970-01-01T00:00:00.000Z","event":"applied","request_id":"r","repository_id":"i","ref":"refs/heads/main","new":null,"how":"post-receive"}"#
        );
    }
}
