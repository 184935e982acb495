//! Telling a forge one report: which calls that takes, and what the forge has then.
//!
//! A call that was not answered may take effect later than the one that follows it. So before a call goes out it is
//! noted that its end is unknown, and where that stays so the newest state is sent again: once when the call can
//! hardly be under way any more, and once more a good while later. What the forge is known to have is not sent.

use super::carry::{Carrier, CarryError, Endpoint};
use super::outbox::{api_token, endpoint, seconds};
use super::report;
use crate::config::{Config, ReportIdentity, Reporting, Source};
use crate::domain::Timestamp;
use crate::forge::{self, ApiToken, Call, CallError, Outcome, Reply, Status};
use crate::service::Gate;
use crate::store::{Again, Held, Report, StoreError};
use std::time::Duration;

/// How often the newest state is sent again after a call whose end is unknown.
const AGAIN: u32 = 2;
/// When for the first time, in deadlines of one call after it was given up, and when after that.
const SETTLE: u32 = 3;
const SETTLE_MORE: u32 = 15;
/// Most calls for one report.
const CALLS: u32 = 3;

/// What became of one report.
pub(super) enum Ended {
    Sent,
    /// The forge has it already.
    Unchanged,
    /// Later, and why; whether everything of the source waits as long.
    Later {
        at: Option<Timestamp>,
        why: String,
        all: bool,
    },
    /// The forge does not want it.
    Refused(String),
    /// The forge has no room for it.
    Full(String),
    /// Our own side is at fault.
    Fault(String),
}

impl Ended {
    /// Why it was not taken, for people.
    pub(super) fn why(self) -> String {
        match self {
            Ended::Sent | Ended::Unchanged => String::new(),
            Ended::Later { why, .. } | Ended::Refused(why) | Ended::Full(why) | Ended::Fault(why) => why,
        }
    }

    /// What is left of two calls for the same report: it is sent if both are.
    fn and(self, other: Ended) -> Ended {
        match (self, other) {
            (Ended::Unchanged, other) | (other, Ended::Unchanged) => other,
            (Ended::Sent, other) => other,
            (_, other @ (Ended::Later { .. } | Ended::Fault(_))) => other,
            (own, _) => own,
        }
    }
}

/// What is needed to tell it.
struct Ready<'c> {
    carrier: &'c dyn Carrier,
    source: &'c Source,
    reporting: &'c Reporting,
    endpoint: Endpoint,
    repository: String,
    token: ApiToken,
    status: Status,
}

/// What became of one call.
struct Carried {
    ended: Ended,
    reply: Option<Reply>,
    /// It may take effect yet, whatever `ended` says.
    unsure: bool,
}

/// Sends one report; what became of it, and what the forge has now.
pub(super) fn send(
    gate: &Gate,
    carrier: &dyn Carrier,
    config: &Config,
    report: &Report,
) -> Result<(Ended, Held), StoreError> {
    let mut held = report.held.clone();
    let ready = match prepare(gate, carrier, config, report) {
        Ok(ready) => ready,
        Err(ended) => return Ok((ended, held)),
    };
    let source = ready.source;
    let (repository, status, token) = (ready.repository.as_str(), &ready.status, &ready.token);
    let call = match forge::status(source.forge, repository, status, token) {
        Ok(call) => call,
        Err(error) => return Ok((Ended::Refused(error.to_string()), held)),
    };
    let new_run = match ready.reporting.check_runs {
        true => match forge::check_run(source.forge, repository, status, token) {
            Ok(call) => Some(call),
            Err(error) => return Ok((Ended::Refused(error.to_string()), held)),
        },
        false => None,
    };
    let certain = held.again.is_none();
    let (says, run_says) = (call.sum(), new_run.as_ref().map(Call::sum));
    let wanted = !certain || held.status.as_ref() != Some(&says);
    let run_wanted = run_says.is_some() && (!certain || held.check != run_says);
    if !wanted && !run_wanted {
        return Ok((Ended::Unchanged, held));
    }
    let (started, deadline) = (Gate::now(), ready.reporting.deadline);
    let again = |from: Timestamp, deadlines: u32, times: u32| {
        let wait = deadline.saturating_mul(deadlines).max(Duration::from_secs(1));
        let at = seconds(from, i64::try_from(wait.as_secs()).unwrap_or(i64::MAX));
        (times > 0).then_some(Again { times, at })
    };
    let before = held.again;
    // If nobody gets to note how it ends, it is unknown.
    held.again = again(started, CALLS + SETTLE, AGAIN);
    let kept = Held {
        status: held.status.take().filter(|_| !wanted),
        check: held.check.clone().filter(|_| !run_wanted),
        ..held.clone()
    };
    gate.store.report_held(&report.report, kept.clone())?;
    held = Held { status: report.held.status.clone(), ..held };

    let (mut ended, mut unsure) = (Ended::Unchanged, false);
    if wanted {
        let carried = carry(&ready, Ok(call));
        unsure |= carried.unsure;
        held.status = match carried.ended {
            Ended::Sent => Some(says),
            _ => held.status.filter(|_| !carried.unsure),
        };
        ended = carried.ended;
    }
    // A forge that takes no status may take a run: they do not depend on each other.
    let goes_on = !matches!(ended, Ended::Later { .. } | Ended::Fault(_));
    if let Some(new_run) = new_run.filter(|_| run_wanted && goes_on) {
        let run = carry_run(&ready, new_run, certain, &mut held.remote);
        unsure |= run.unsure;
        held.check = match run.ended {
            Ended::Sent => run_says,
            _ => held.check.filter(|_| !run.unsure),
        };
        ended = ended.and(run.ended);
    }
    if let Ended::Later { all: true, .. } = ended {
        // It may be the token that is no good any more.
        gate.outbox.forget_token(&source.name);
    }
    held.again = match before {
        _ if unsure => again(Gate::now(), SETTLE, AGAIN),
        // That was one of the times.
        Some(last) if matches!(ended, Ended::Sent) && last.at <= started => {
            again(Gate::now(), SETTLE_MORE, last.times - 1)
        }
        before => before,
    };
    Ok((ended, held))
}

fn prepare<'c>(
    gate: &Gate,
    carrier: &'c dyn Carrier,
    config: &'c Config,
    report: &Report,
) -> Result<Ready<'c>, Ended> {
    let new = &report.report;
    let refused = |why: &str| Ended::Refused(why.to_owned());
    let source = config.sources.iter().find(|source| source.name == new.source);
    let source = source.ok_or_else(|| refused("the source is not configured any more"))?;
    let reporting =
        source.report.as_ref().ok_or_else(|| refused("the source has no [source.report] any more"))?;
    let id = new.repository.0.strip_prefix(&format!("{}:", source.name)).unwrap_or_default();
    // Calls go to what is configured and to nothing that was once learnt (N31).
    let repository = match source.repositories.iter().find(|one| one.id.as_deref() == Some(id)) {
        Some(configured) => configured,
        None => {
            let learnt = gate.store.forge_repository_name(&source.name, id);
            let learnt = learnt.map_err(|error| Ended::Fault(error.to_string()))?;
            let known = learnt.and_then(|name| source.repository(&name));
            known.ok_or_else(|| refused("the repository is not known any more"))?
        }
    };
    let token = api_token(gate, carrier, source, reporting)?;
    let reference = new.reference.clone().ok_or_else(|| refused("the report is about no ref"))?;
    let link = reporting.link.as_ref().zip(new.request_id.as_ref());
    let status = Status {
        commit: new.commit,
        context: new.context.clone(),
        state: report::state(new.state),
        description: new.description.clone(),
        link: link.map(|(base, id)| format!("{base}/decisions/{id}")).or_else(|| reporting.link.clone()),
        // Where a proposal comes from is not known here.
        branch: (!new.proposed).then(|| reference.clone()),
        reference,
    };
    let (repository, endpoint) = (repository.name.clone(), endpoint(reporting));
    Ok(Ready { carrier, source, reporting, endpoint, repository, token, status })
}

/// Changes the check run that `remote` names, or makes one and notes it there.
fn carry_run(ready: &Ready<'_>, new_run: Call, certain: bool, remote: &mut Option<String>) -> Carried {
    let forge = ready.source.forge;
    // Only the App that made a run can change it.
    let app = match &ready.reporting.identity {
        ReportIdentity::App { id, .. } => id.as_str(),
        ReportIdentity::Token(_) => "",
    };
    let known =
        remote.take().and_then(|known| known.strip_prefix(app)?.strip_prefix('/')?.parse::<u64>().ok());
    // Where a call of unknown end may have made a run, the one that counts is the newest of all.
    if let Some(id) = known.filter(|_| certain) {
        let (repository, status) = (ready.repository.as_str(), &ready.status);
        let changed = carry(ready, forge::change_check_run(forge, repository, id, status, &ready.token));
        let gone = changed.reply.as_ref().is_some_and(|reply| matches!(reply.status, 404 | 410 | 422));
        let shown = changed.reply.as_ref().and_then(|reply| forge::read_check_run(reply, status.state));
        let taken = matches!(changed.ended, Ended::Sent);
        if !(gone || taken && shown != Some(id)) {
            *remote = Some(format!("{app}/{id}"));
            return changed;
        }
    }
    let made = carry(ready, Ok(new_run));
    let id = made.reply.as_ref().and_then(|reply| forge::read_check_run(reply, ready.status.state));
    *remote = id.map(|id| format!("{app}/{id}"));
    made
}

fn carry(ready: &Ready<'_>, call: Result<Call, CallError>) -> Carried {
    let call = match call {
        Ok(call) => call,
        Err(error) => {
            return Carried { ended: Ended::Refused(error.to_string()), reply: None, unsure: false };
        }
    };
    match ready.carrier.carry(&ready.endpoint, &call, ready.reporting.deadline) {
        Ok(reply) => {
            let ended = match forge::outcome(ready.source.forge, &reply, Gate::now()) {
                Outcome::Sent => Ended::Sent,
                Outcome::RetryAt { at, why, all } => Ended::Later { at: Some(at), why, all },
                Outcome::Rejected(why) => Ended::Refused(why),
                Outcome::Full(why) => Ended::Full(why),
            };
            let unsure = forge::is_unsure(&reply);
            Carried { ended, reply: Some(reply), unsure }
        }
        Err(error) => Carried { ended: not_carried(&error), reply: None, unsure: error.is_ambiguous() },
    }
}

pub(super) fn not_carried(error: &CarryError) -> Ended {
    match error {
        CarryError::Address(_) | CarryError::Authority(_) | CarryError::Untrusted(_) => {
            Ended::Fault(error.to_string())
        }
        _ => Ended::Later { at: None, why: error.to_string(), all: false },
    }
}
