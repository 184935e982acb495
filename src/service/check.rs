//! Judging a range here and now, with the engine of the gate but without its record.

use super::adopt::History;
use super::fault::{Fault, all_known};
use super::gate::Snapshot;
use super::{locate, render};
use crate::domain::{
    ObjectId, Principal, PushContext, Pusher, RefName, RefUpdate, RepositoryId, RepositoryRef, RequestId,
    Timestamp,
};
use crate::facts::{self, Budget, CollectError, Frontier, Inputs, Present, Standing, Updates};
use crate::git::{GitError, Repository};
use crate::policy::{Observer, PushFacts, Verdict, evaluate_with};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What to judge.
#[derive(Debug)]
pub struct CheckRequest<'a> {
    /// The git directory, bare or of a work tree.
    pub git_dir: &'a Path,
    /// The name that selectors match; by default the path below the configured root, or the
    /// directory's own name.
    pub repository: Option<&'a str>,
    /// The ref that the push would move.
    pub reference: RefName,
    /// What the ref holds before; everything it reaches counts as judged.
    pub old: Option<ObjectId>,
    /// What it would hold.
    pub new: Option<ObjectId>,
    /// What else counts as judged, with everything that it reaches.
    pub judged: Option<ObjectId>,
    /// Who is taken to push; nobody vouches for it.
    pub pusher: Option<Arc<Principal>>,
}

/// The outcome of a check.
#[derive(Debug)]
pub struct Checked {
    /// What was found.
    pub facts: PushFacts,
    /// What the policy says.
    pub verdict: Verdict,
    /// The text a pusher would read.
    pub text: String,
}

/// Why a range could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum CheckFault {
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Not all of the policy is known.
    #[error(transparent)]
    Policy(#[from] Fault),
    /// The facts could not be collected.
    #[error(transparent)]
    Collect(#[from] CollectError),
}

/// Judges one update as if it were pushed now, from `old` as the trusted base.
pub fn check(snapshot: &Snapshot, request: &CheckRequest<'_>) -> Result<Checked, CheckFault> {
    check_with(snapshot, request, &mut ())
}

/// The same, step by step in front of an observer.
pub(super) fn check_with(
    snapshot: &Snapshot,
    request: &CheckRequest<'_>,
    observer: &mut dyn Observer,
) -> Result<Checked, CheckFault> {
    let repository = Repository::open(request.git_dir, None)?;
    let config = &snapshot.config;
    let name = name(snapshot, request.repository, &repository);
    all_known(config, &name)?;
    let pusher = match &request.pusher {
        Some(principal) => Pusher::supposed(&principal.name, "--as", Some(Arc::clone(principal))),
        None => Pusher::Unknown,
    };
    let mut random = [0_u8; 16];
    // Only a label of this run: nothing hangs on it.
    let _ = getrandom::fill(&mut random);
    let id = RequestId::from_random(random);
    let base = Base::of(&repository, request.old.into_iter().chain(request.judged))?;
    let update = RefUpdate { name: request.reference.clone(), old: request.old, new: request.new };
    let context = PushContext {
        request_id: id.clone(),
        repository: RepositoryRef { id: RepositoryId(String::new()), name },
        pusher,
        push_options: Vec::new(),
        received_at: Timestamp::now(),
    };
    let judging = Judging {
        repository: &repository,
        context,
        updates: vec![update],
        present: Present::AsClaimed,
        frontier: &base,
    };
    let (facts, verdict) = judge(snapshot, judging, observer)?;
    let text = render::verdict(&facts, &verdict, &id, config.contact.as_deref(), config.limits.violations);
    Ok(Checked { facts, verdict, text })
}

/// A push that is judged without the gate.
pub(super) struct Judging<'a> {
    pub(super) repository: &'a Repository,
    pub(super) context: PushContext,
    pub(super) updates: Vec<RefUpdate>,
    pub(super) present: Present<'a>,
    pub(super) frontier: &'a dyn Frontier,
}

/// Facts and verdict, as the gate would have them. Nothing is recorded.
pub(super) fn judge(
    snapshot: &Snapshot,
    judging: Judging<'_>,
    observer: &mut dyn Observer,
) -> Result<(PushFacts, Verdict), CheckFault> {
    let config = &snapshot.config;
    let Judging { repository, context, updates, present, frontier } = judging;
    let pusher = context.pusher.principal().cloned();
    let never = AtomicBool::new(false);
    let facts = facts::collect(Inputs {
        repository,
        context,
        pusher,
        updates: Updates { updates, faults: Vec::new() },
        present,
        shallow_push: false,
        policy: &config.policy,
        limits: &config.limits,
        signatures: &config.signatures,
        namespaces: &config.repositories.namespaces,
        allow_symref_push: config.repositories.allow_symref_push,
        keyring: &snapshot.keyring,
        frontier,
        budget: Budget {
            deadline: Instant::now() + std::time::Duration::from_secs(24 * 3600),
            seconds: 24 * 3600,
            abandoned: &never,
        },
    })?;
    let verdict = evaluate_with(&facts, &config.policy, observer);
    Ok((facts, verdict))
}

/// The name that a repository goes by: the one that was said, the path below the configured root, or the
/// directory's own.
pub(super) fn name(snapshot: &Snapshot, said: Option<&str>, repository: &Repository) -> String {
    let common = repository.common_dir();
    match said {
        Some(name) => name.to_owned(),
        None => locate::name_below(&snapshot.config.repositories.root, common)
            .unwrap_or_else(|_| own_name(common)),
    }
}

pub(super) fn own_name(common: &Path) -> String {
    let last =
        |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let name = last(common);
    let name = if name == ".git" { common.parent().map(last).unwrap_or_default() } else { name };
    name.strip_suffix(".git").unwrap_or(&name).to_owned()
}

/// Everything that the old tip reaches.
pub(super) struct Base(HashSet<ObjectId>);

impl Base {
    pub(super) fn of(
        repository: &Repository,
        judged: impl IntoIterator<Item = ObjectId>,
    ) -> Result<Self, GitError> {
        Ok(Base(History::new(repository.objects(), judged.into_iter()).collect::<Result<_, _>>()?))
    }
}

impl Frontier for Base {
    fn standing(&self, _: &str, _: &RefName, commit: &ObjectId) -> Result<Option<Standing>, CollectError> {
        Ok(self.0.contains(commit).then_some(Standing::Shared))
    }

    fn has_record(&self, _: &str) -> Result<bool, CollectError> {
        Ok(true)
    }

    fn tainted(&self, _: &str, _: &[(String, i64)]) -> Result<Vec<ObjectId>, CollectError> {
        Ok(Vec::new())
    }

    fn judged_tip(&self, _: &RefName) -> Result<Option<ObjectId>, CollectError> {
        Ok(None)
    }
}

/// Everything but these commits.
pub(super) struct AllBut(pub(super) HashSet<ObjectId>);

impl Frontier for AllBut {
    fn standing(&self, _: &str, _: &RefName, commit: &ObjectId) -> Result<Option<Standing>, CollectError> {
        Ok((!self.0.contains(commit)).then_some(Standing::Shared))
    }

    fn has_record(&self, _: &str) -> Result<bool, CollectError> {
        Ok(true)
    }

    fn tainted(&self, _: &str, _: &[(String, i64)]) -> Result<Vec<ObjectId>, CollectError> {
        Ok(Vec::new())
    }

    fn judged_tip(&self, _: &RefName) -> Result<Option<ObjectId>, CollectError> {
        Ok(None)
    }
}
