//! `stale-signature`: what comes in was signed lately.

use super::signed::{Object, Of, SignatureRule, Written};
use super::{Finding, Judges, Kind, Scope, options};
use crate::domain::Timestamp;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "stale-signature",
    summary: "a commit or tag that was signed long before it comes in",
    judges: Judges::Commit,
    build: |table| {
        let Options { days, of } = options(table)?;
        let days = days.ok_or("it needs `days = N`: how old a signature may be when it comes in")?;
        if !(1..=MOST_DAYS).contains(&days) {
            return Err(format!("`days` is a number from 1 to {MOST_DAYS}"));
        }
        let of = Of::parse(of)?.unwrap_or(Of::BOTH);
        Ok(Box::new(StaleSignature { days, of }))
    },
};

const MOST_DAYS: i64 = 36_500;
/// Seconds.
const DAY: i64 = 86_400;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    days: Option<i64>,
    of: Option<Written>,
}

#[derive(Debug)]
struct StaleSignature {
    days: i64,
    of: Of,
}

fn days(count: i64) -> String {
    if count == 1 { "one day old".to_owned() } else { format!("{count} days old") }
}

impl SignatureRule for StaleSignature {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn of(&self) -> Of {
        self.of
    }

    /// Both times count where there are two: neither excuses the other (N13). Signatures that do not verify are
    /// `bad-signature`'s, signers who are not on the list `untrusted-signer`'s (N17).
    fn check(&self, object: Object<'_>, scope: Scope<'_>) -> Vec<Finding> {
        let Some(proof) = object.proof().filter(|_| !object.spoken_for(scope)) else { return Vec::new() };
        let own = proof.signed_at().map(|at| ("the signature", at.as_second()));
        let named = match object {
            Object::Commit(commit) => Some(("the committer", commit.committer.at)),
            // A tag that names no tagger names no time either: it is as old as can be.
            Object::Tag(tag) => {
                Some(("the tagger", tag.tagger.as_ref().map_or(i64::MIN, |tagger| tagger.at)))
            }
        };
        let received = scope.facts.context.received_at.as_second();
        let oldest = own.into_iter().chain(named).min_by_key(|(_, at)| *at);
        let Some((whose, at)) = oldest.filter(|(_, at)| received.saturating_sub(*at) > self.days * DAY)
        else {
            return Vec::new();
        };
        let when =
            Timestamp::from_second(at).map_or_else(|_| "no time at all".to_owned(), |at| at.to_string());
        let status = &object.signature().status;
        vec![Finding {
            path: None,
            seen: format!("{status}, and {whose} says {when}"),
            wanted: format!("a signature that is at most {} when it comes in", days(self.days)),
            help: format!("make it again with {}, then push again", object.resign(scope)),
        }]
    }
}
