//! What pull and merge requests would bring: judged before it is merged, from where the two histories part.

use super::ground::{Case, Ground};
use super::report::{self, Known};
use super::review::{Heard, Memory};
use super::sound::Standing;
use crate::audit::Mode;
use crate::domain::{ObjectId, Pusher, RefName, RefUpdate};
use crate::forge::{Proposal, ProposalState};
use crate::git::{Mirror, RemoteError};
use crate::service::fault::Fault;
use crate::service::gate::Gate;
use std::collections::BTreeMap;

/// Where a proposal ends that is not judged.
enum End {
    /// With nothing to say.
    Idle(&'static str),
    /// With a record.
    Judged,
}

impl Ground<'_> {
    /// Judges what is proposed. Returns the deliveries that have to wait, and why.
    pub(super) fn proposals(
        &self,
        mirror: &Mirror<'_>,
        heard: &Heard,
        standing: &Standing,
        found: &[(RefName, ObjectId)],
        memory: &mut Memory,
    ) -> Result<BTreeMap<u64, String>, Fault> {
        let mut waiting = BTreeMap::new();
        for (number, proposal) in &heard.proposals {
            match self.proposal(mirror, *number, proposal, standing, found) {
                Ok(End::Judged) => {}
                Ok(End::Idle(why)) => {
                    self.gate.store.finish_deliveries(vec![*number], Gate::now(), why)?;
                }
                Err(fault @ (Fault::ShuttingDown | Fault::Store(_))) => return Err(fault),
                Err(fault) => {
                    let case = self.case(
                        &RefUpdate { name: proposal.target.clone(), old: None, new: proposal.head },
                        Mode::Proposed,
                    );
                    let case = Case { proposal: Some(proposal.number), ..case };
                    if memory.say(&case, &fault) {
                        let known = Known::Undecided(fault.code().to_owned());
                        let report = proposal.head.and_then(|head| {
                            let target = self.target(head, &proposal.target, true);
                            report::report(&target, &known, None, None, Gate::now())
                        });
                        self.undecided(&case, &fault, Vec::new(), report)?;
                    }
                    waiting.insert(*number, fault.to_string());
                }
            }
        }
        Ok(waiting)
    }

    fn proposal(
        &self,
        mirror: &Mirror<'_>,
        number: u64,
        proposal: &Proposal,
        standing: &Standing,
        found: &[(RefName, ObjectId)],
    ) -> Result<End, Fault> {
        if proposal.state == ProposalState::Closed {
            return Ok(End::Idle("it was closed"));
        }
        let at = |refs: &[(RefName, ObjectId)], name: &RefName| {
            refs.iter().find(|(one, _)| one == name).map(|(_, id)| *id)
        };
        if !self.watches(&proposal.target) {
            return Ok(End::Idle("its target is not watched"));
        }
        let source = || proposal.source.as_ref().and_then(|source| at(found, source));
        let Some(head) = proposal.head.or_else(source) else {
            return Ok(End::Idle("the forge does not tell its head"));
        };
        // What a refused move has put there is no ground to stand on: from what was sound before it, all of that counts
        // as brought by whoever stands on it.
        let unsound = standing.unsound(&proposal.target);
        let target = standing.sound(&proposal.target);
        if target.is_none() && unsound.is_none() {
            return Ok(End::Idle("its target is not there"));
        }
        let default_branch = mirror.repository()?.default_branch().ok().flatten();
        if !self.is_protected(&proposal.target, default_branch.as_ref()) {
            return Ok(End::Idle("no enforcing ruleset judges its target"));
        }
        let update = RefUpdate { name: proposal.target.clone(), old: None, new: Some(head) };
        let case = Case {
            pusher: Pusher::Unknown,
            finished: vec![number],
            proposal: Some(proposal.number),
            ..self.case(&update, Mode::Proposed)
        };
        if let Some(error) = self.fetch(mirror, &[head])?.remove(&head) {
            if !matches!(error, RemoteError::Gone(_)) {
                return Err(Fault::Remote(error));
            }
            let why = format!("{head} was proposed and cannot be had to be judged: {error}");
            self.undecided(&case, &Fault::Gap(why), Vec::new(), None)?;
            return Ok(End::Judged);
        }
        // Only what the head adds counts, not what the target has got meanwhile.
        let repository = mirror.repository()?;
        let base = match target {
            Some(target) => {
                if let Some(unsound) = unsound {
                    self.sound_value(repository.objects(), &case, unsound)?;
                }
                mirror.merge_base(target, head, self.patience())?
            }
            None => None,
        };
        let case = Case { update: RefUpdate { old: base, ..update }, ..case };
        let policy = self.snapshot.config.policy.for_proposals();
        self.decide(&repository, standing, &case, &policy)?;
        Ok(End::Judged)
    }
}
