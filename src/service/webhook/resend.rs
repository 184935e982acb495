//! Has a forge send again what did not arrive. What comes then is a delivery like any other: authenticated, recognized
//! if it came before, and queued.

use super::carry::Carrier;
use super::operate::{OperateError, find_hook, hook_url, repository, source};
use super::outbox::{api_token, endpoint};
use crate::domain::{Timestamp, text};
use crate::forge::{self, CallError, HookError, Reply};
use crate::service::Gate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where an operator has a forge send again; the body is a [`Resend`].
pub const WEBHOOK_RESEND_PATH: &str = "/webhooks/v1/resend";

/// How long one call may take, and how long all of them.
const DEADLINE: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(12);
/// Most pages of a forge's list that are read.
const PAGES: u32 = 5;

/// Asks for what a forge could not deliver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resend {
    /// The source.
    pub source: String,
    /// The configured name of the repository.
    pub repository: String,
    /// The address of this gate as the forge reaches it; otherwise `link` of the source.
    pub url: Option<String>,
    /// Deliveries of how many seconds ago count.
    pub since_seconds: u64,
}

/// What the forge sends again. All texts are escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resent {
    /// The address that the webhook sends to.
    pub url: String,
    /// How many deliveries the forge has listed.
    pub listed: usize,
    /// How many of those, in that time, did not arrive.
    pub failed: usize,
    /// What the forge was asked to send again, and took.
    pub asked: Vec<String>,
    /// Why the rest was not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

impl Gate {
    /// Asks the forge for deliveries of our webhook that did not arrive, and to send them again.
    ///
    /// # Errors
    /// It cannot be done, or the forge does not say.
    pub fn operate_resend(&self, body: &[u8]) -> Result<Resent, OperateError> {
        let until = Instant::now() + PATIENCE;
        let asked: Resend = serde_json::from_slice(body)?;
        let config = Arc::clone(&self.current().config);
        let source = source(&config, &asked.source)?;
        let name = repository(source, &asked.repository)?.name.as_str();
        let Some(reporting) = &source.report else {
            let why = format!("source `{}` has no [source.report], and so no token for the API", source.name);
            return Err(OperateError::Impossible(why));
        };
        if !forge::can_redeliver(source.forge) {
            let why = format!("`{}` documents no call for this; use its pages", source.forge.name());
            return Err(OperateError::Impossible(why));
        }
        let url = hook_url(source, asked.url.as_deref())?;
        let carrier = self.carrier()?;
        let carrier: &dyn Carrier = carrier.as_ref();
        let to = endpoint(reporting);
        let token =
            api_token(self, carrier, source, reporting).map_err(|ended| OperateError::Failed(ended.why()))?;
        let carry = |call: Result<forge::Call, CallError>| -> Result<Reply, OperateError> {
            let call = call.map_err(|error| OperateError::Impossible(error.to_string()))?;
            carrier.carry(&to, &call, DEADLINE).map_err(|error| OperateError::Failed(error.to_string()))
        };
        let refused = |error: HookError| OperateError::Failed(error.to_string());
        let Some(hook) = find_hook((source.forge, name), &url, &token, &carry)? else {
            let why = format!("`{name}` has no webhook that sends to {url}; see `webhook add`");
            return Err(OperateError::Unknown(why));
        };
        let mut all = Vec::new();
        for page in 1..=PAGES {
            let Some(call) = forge::deliveries(source.forge, name, &hook.id, page, &token).transpose() else {
                break;
            };
            let found = forge::read_deliveries(source.forge, &carry(call)?).map_err(refused)?;
            let last = found.is_empty();
            all.extend(found);
            if last || Instant::now() >= until {
                break;
            }
        }
        let since =
            Gate::now().as_second().saturating_sub(asked.since_seconds.try_into().unwrap_or(i64::MAX));
        let failed = failed(&all, Timestamp::from_second(since).unwrap_or(Timestamp::UNIX_EPOCH));
        let mut resent =
            Resent { url, listed: all.len(), failed: failed.len(), asked: Vec::new(), stopped: None };
        for one in failed {
            if Instant::now() >= until {
                resent.stopped = Some("time is up: run it again".to_owned());
                break;
            }
            let call = forge::redeliver(source.forge, name, &hook.id, one.number, &token);
            // What was asked for so far is told, whatever comes of the rest.
            let taken = carry(call).and_then(|reply| forge::read_redelivered(&reply).map_err(refused));
            if let Err(error) = taken {
                resent.stopped = Some(error.to_string());
                break;
            }
            resent.asked.push(text::escape_short(one.delivery.as_bytes(), 80));
        }
        tracing::info!(
            source = source.name,
            repository = name,
            failed = resent.failed,
            asked = resent.asked.len(),
            "an operator has asked the forge to deliver again"
        );
        Ok(resent)
    }
}

/// Of each delivery that did not arrive in any attempt the newest attempt, oldest first.
fn failed(all: &[forge::Delivered], since: Timestamp) -> Vec<&forge::Delivered> {
    // What has no time that can be read is asked for: too much does no harm.
    let new = |one: &forge::Delivered| one.at.parse::<Timestamp>().map_or(true, |at| at >= since);
    let mut newest: BTreeMap<&str, &forge::Delivered> = BTreeMap::new();
    for one in all.iter().filter(|one| new(one)) {
        let known = newest.entry(one.delivery.as_str()).or_insert(one);
        if one.number > known.number {
            *known = one;
        }
    }
    let arrived = |one: &forge::Delivered| {
        all.iter().any(|other| other.delivery == one.delivery && (200..300).contains(&other.status))
    };
    let mut left: Vec<_> = newest.into_values().filter(|one| !arrived(one)).collect();
    left.sort_by_key(|one| one.number);
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_arrived_in_no_attempt_is_asked_for_once() {
        let one = |number, delivery: &str, at: &str, status| forge::Delivered {
            number,
            delivery: delivery.to_owned(),
            at: at.to_owned(),
            event: "push".to_owned(),
            status,
        };
        let (old, new) = ("2026-03-01T10:00:00Z", "2026-03-01T12:00:00Z");
        let all = [
            one(9, "twice", new, 0),
            one(8, "arrived", new, 202),
            one(7, "twice", new, 502),
            one(6, "arrived", new, 500),
            one(5, "no time", "", 401),
            one(4, "old", old, 500),
        ];
        let found = failed(&all, "2026-03-01T11:00:00Z".parse().unwrap());
        assert_eq!(found.iter().map(|one| one.number).collect::<Vec<_>>(), [5, 9]);
    }
}
