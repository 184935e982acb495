//! A proposed configuration held against what was decided before, or against what a branch went through. Nothing
//! is recorded, and nothing that is found here lets anything in.

mod past;
mod recorded;

use super::check::{self, CheckFault, Judging};
use super::fault::{Fault, all_known};
use super::gate::Snapshot;
use super::{Receipt, locate};
use crate::audit::Outcome;
use crate::domain::{
    ObjectId, Principal, PushContext, Pusher, RefName, RefUpdate, RepositoryId, RepositoryRef, RequestId,
    Timestamp, text,
};
use crate::facts::{CollectError, Present};
use crate::git::{GitError, MergeError, Repository};
use crate::policy::{Decision, PushFacts, Verdict, Violation};
use crate::signature::object::parents_lenient;
use crate::store::{Mode, Store, StoreError};
use past::Past;
use std::path::Path;
use std::sync::Arc;

pub use recorded::{LogWindow, replay_log};

/// One push, judged again.
#[derive(Debug)]
pub struct Replayed {
    /// The number of its record, where it is from the log.
    pub seq: Option<u64>,
    /// Its request, where it is from the log.
    pub request_id: Option<String>,
    /// The time at which it was judged.
    pub at: Timestamp,
    /// Where that time is from.
    pub receipt: Receipt,
    /// The repository's name, as selectors match it, escaped.
    pub repository: String,
    /// Who pushed, escaped: the principal, or the account where it is nobody's. In the history of a branch, the
    /// committer's address, which is a claim.
    pub pusher: Option<String>,
    /// The updates; names escaped.
    pub refs: Vec<(String, Option<String>, Option<String>)>,
    /// What became of it.
    pub was: Outcome,
    /// What would have become of it.
    pub now: Now,
}

/// What would have become of a push.
#[derive(Debug)]
pub enum Now {
    /// This.
    Judged {
        /// Whether it would have been let in.
        decision: Decision,
        /// What would have refused it: the first ones, as in [`Verdict::violations`].
        violations: Vec<Violation>,
        /// How many there are.
        violation_count: usize,
        /// What rulesets under evaluation would have noted.
        advisory: Vec<Violation>,
        /// How many violations a bypass would have waived.
        waived: usize,
    },
    /// Nobody can tell.
    Unjudged(Unjudged),
}

/// How a push fares, compared with before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It was let in and would be refused.
    NewlyRefused,
    /// It was refused and would be let in.
    NewlyAccepted,
    /// Let in, then and now.
    StillAccepted,
    /// Refused, then and now.
    StillRefused,
    /// It cannot be judged again.
    Unjudged,
}

impl Replayed {
    /// How it fares.
    pub fn change(&self) -> Change {
        match (&self.now, self.was) {
            (Now::Unjudged(_), _) => Change::Unjudged,
            (Now::Judged { decision: Decision::Accept, .. }, Outcome::Accept) => Change::StillAccepted,
            (Now::Judged { decision: Decision::Accept, .. }, _) => Change::NewlyAccepted,
            (Now::Judged { .. }, Outcome::Accept) => Change::NewlyRefused,
            (Now::Judged { .. }, _) => Change::StillRefused,
        }
    }
}

/// Why a push cannot be judged again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unjudged {
    /// A stable word.
    pub code: &'static str,
    /// The same for people, escaped.
    pub why: String,
}

impl Unjudged {
    fn new(code: &'static str, why: impl Into<String>) -> Self {
        Unjudged { code, why: why.into() }
    }
}

impl From<&CheckFault> for Unjudged {
    fn from(fault: &CheckFault) -> Self {
        let code = match fault {
            CheckFault::Git(GitError::Missing { .. })
            | CheckFault::Collect(CollectError::Git(GitError::Missing { .. }))
            | CheckFault::Collect(CollectError::Merge(MergeError::Git(GitError::Missing { .. }))) => {
                "objects-gone"
            }
            CheckFault::Git(_) | CheckFault::Collect(CollectError::Git(_)) => "repository-unreadable",
            CheckFault::Policy(fault) => fault.code(),
            CheckFault::Collect(CollectError::Merge(MergeError::Program(_))) => "merge-unavailable",
            CheckFault::Collect(CollectError::Record(_)) => "audit-unavailable",
            CheckFault::Collect(CollectError::Deadline { .. } | CollectError::Merge(MergeError::Time)) => {
                "deadline"
            }
            CheckFault::Collect(_) => "internal",
        };
        Unjudged::new(code, text::escape(fault.to_string().as_bytes()))
    }
}

/// Why nothing can be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayFault {
    /// There is no record, or it cannot be used.
    #[error("the audit log cannot be used: {0}")]
    Record(#[from] StoreError),
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Not all of the policy is known.
    #[error(transparent)]
    Policy(#[from] Fault),
    /// What was named is not there.
    #[error("{0}")]
    Named(String),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] std::io::Error),
}

/// Takes one push after the other.
pub type Each<'a> = dyn FnMut(&Replayed) -> std::io::Result<()> + 'a;

/// The way of a branch.
#[derive(Debug)]
pub struct BranchWindow<'a> {
    /// The git directory.
    pub git_dir: &'a Path,
    /// The repository's name, as for [`super::CheckRequest`].
    pub repository: Option<&'a str>,
    /// The ref; what it holds is where the way ends.
    pub reference: RefName,
    /// How many steps.
    pub commits: usize,
    /// Who is taken to have pushed all of them.
    pub pusher: Option<Arc<Principal>>,
}

/// Takes each of the last steps of a ref along first parents for a push of its own, oldest first. What a step starts
/// from counts as judged. A commit that the gate has a receipt of is judged at that time, any other as if it came in
/// now.
pub fn replay_branch(
    snapshot: &Snapshot,
    window: &BranchWindow<'_>,
    each: &mut Each<'_>,
) -> Result<(), ReplayFault> {
    let repository = Repository::open(window.git_dir, None)?;
    let name = check::name(snapshot, window.repository, &repository);
    all_known(&snapshot.config, &name)?;
    let reference = repository.resolve(&window.reference)?.target;
    let nothing = || ReplayFault::Named(format!("{} does not exist in this repository", window.reference));
    let tip = repository.resolve(&reference)?.value.ok_or_else(nothing)?;
    let receipts = receipts(snapshot, &repository)?;
    let steps = steps(&repository, tip, window.commits)?;
    let others: Vec<_> =
        repository.references()?.into_iter().filter(|(name, _)| *name != reference).collect();
    let mut past = Past::new();
    for (old, new) in steps {
        if let Some(old) = old {
            past.add_everywhere(repository.objects(), old)?;
        }
        let received = match &receipts {
            Some(receipts) => receipts.received(&new)?,
            None => None,
        };
        let (at, receipt) = match received {
            Some(at) => (at, Receipt::Recorded),
            None => (Timestamp::now(), Receipt::Now),
        };
        let pusher = match &window.pusher {
            Some(principal) => Pusher::supposed(&principal.name, "--as", Some(Arc::clone(principal))),
            None => Pusher::Unknown,
        };
        let context = PushContext {
            request_id: RequestId::from_random([0; 16]),
            repository: RepositoryRef { id: RepositoryId(String::new()), name: name.clone() },
            pusher,
            push_options: Vec::new(),
            received_at: at,
        };
        let update = RefUpdate { name: reference.clone(), old, new: Some(new) };
        let judging = Judging {
            repository: &repository,
            context,
            updates: vec![update],
            present: Present::AsItWas(&others),
            frontier: &past,
        };
        let judged = check::judge(snapshot, judging, &mut ());
        let supposed = window.pusher.as_ref().map(|one| text::escape(one.name.as_bytes()));
        let claimed = || {
            let facts = &judged.as_ref().ok()?.0;
            let email = &facts.commits.get(&new)?.committer.email;
            Some(text::escape_short(email, 200))
        };
        each(&Replayed {
            seq: None,
            request_id: None,
            at,
            receipt,
            repository: text::escape(name.as_bytes()),
            pusher: supposed.or_else(claimed),
            refs: vec![(reference.to_string(), old.map(|id| id.to_string()), Some(new.to_string()))],
            was: Outcome::Accept,
            now: now(judged),
        })?;
    }
    Ok(())
}

/// What a judgement says.
fn now(judged: Result<(PushFacts, Verdict), CheckFault>) -> Now {
    match judged {
        Ok((_, verdict)) => Now::Judged {
            decision: verdict.decision,
            violations: verdict.violations,
            violation_count: verdict.violation_count,
            advisory: verdict.advisory,
            waived: verdict.waiver_count,
        },
        Err(fault) => Now::Unjudged(Unjudged::from(&fault)),
    }
}

/// The last steps along first parents, oldest first: from what, to what.
fn steps(
    repository: &Repository,
    tip: ObjectId,
    most: usize,
) -> Result<Vec<(Option<ObjectId>, ObjectId)>, ReplayFault> {
    let objects = repository.objects();
    let mut steps = Vec::new();
    let mut buffer = Vec::new();
    let mut at = Some(tip);
    while let Some(id) = at.filter(|_| steps.len() < most) {
        let no_commit = || ReplayFault::Named(format!("{} is no commit that can be read", id.short()));
        if objects.read(&id, &mut buffer)? != Some(crate::domain::ObjectKind::Commit) {
            return Err(no_commit());
        }
        at = parents_lenient(objects.format(), &buffer).ok_or_else(no_commit)?.first().copied();
        steps.push((at, id));
    }
    steps.reverse();
    Ok(steps)
}

/// The gate's receipts of a repository, where it has a record of it.
fn receipts(
    snapshot: &Snapshot,
    repository: &Repository,
) -> Result<Option<crate::store::Receipts>, ReplayFault> {
    let state = &snapshot.config.daemon.state;
    let below = locate::name_below(&snapshot.config.repositories.root, repository.common_dir()).is_ok();
    let (true, true, Ok(id)) = (below, Store::exists(state), locate::read_id(repository.common_dir())) else {
        return Ok(None);
    };
    Ok(Store::open(state, Mode::ReadOnly)?.receipts(&id)?)
}
