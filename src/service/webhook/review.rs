//! Bringing one repository of a forge up to date: what was told, what is there, and what is judged of it.

use super::base::stored;
use super::derive::{self, Moved, Told, Value};
use super::ground::{Case, Ground};
use super::moves::{Item, Queue};
use super::report::{self, Known};
use super::restore::Refused;
use super::sound::{self, Standing};
use super::watched::Watched;
use crate::audit::{Mode, Outcome};
use crate::domain::{ObjectId, Pusher, RefName, RefUpdate};
use crate::forge::{Actor, Event, Proposal};
use crate::git::{self, Mirror, Place, RemoteError, Repository};
use crate::service::fault::{Fault, all_known};
use crate::service::gate::Gate;
use crate::store::{Delivery, NewReport, Unsound};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// How often an object that a delivery names is asked for in vain before it counts as gone, where the forge does not
/// say that it is.
const TRIES: u32 = 5;
/// How soon it is looked at again whether somebody has adopted a repository.
const UNADOPTED: Duration = Duration::from_secs(5);
/// How long a mirror that was made anew is not made anew again.
const TRUST: Duration = Duration::from_secs(600);

/// What is remembered about a repository between two reviews. Losing it costs time, and never a judgement.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Refs that were seen elsewhere than they were judged, and since when, whatever they have held since then.
    noticed: HashMap<RefName, Instant>,
    /// What was recorded as undecided: said once, not at every attempt.
    said: HashSet<(RefName, Value, &'static str)>,
    /// How often an object could not be had.
    tries: HashMap<ObjectId, u32>,
    /// Whether the mirror is in doubt, and when it was last made anew for that.
    doubt: bool,
    renewed: Option<Instant>,
    /// Why everything waited the last time.
    why: Option<String>,
    /// How many refs of the forge have names that break git's rules, and how many cannot be read.
    odd: (usize, usize),
    /// From how many packs on the mirror's are rolled up again, where that failed.
    untidy: usize,
}

impl Memory {
    /// Whether the mirror can be made anew: not if that was of no use a moment ago.
    fn may_renew(&self) -> bool {
        self.renewed.is_none_or(|at| at.elapsed() > TRUST)
    }

    /// Since when each ref that moved is known to hold something else than was judged. Moving on is no way to be left
    /// alone for longer; only one that is where it was judged is forgotten.
    fn notice(&mut self, moved: &[Moved], now: Instant) -> &HashMap<RefName, Instant> {
        self.noticed.retain(|name, _| moved.iter().any(|one| one.reference == *name));
        for one in moved {
            self.noticed.entry(one.reference.clone()).or_insert(now);
        }
        &self.noticed
    }

    /// Whether a fault of a case was not recorded before.
    pub(super) fn say(&mut self, case: &Case, fault: &Fault) -> bool {
        self.said.insert((case.update.name.clone(), case.update.new, fault.code()))
    }
}

/// Most packs of a mirror.
const PACKS: usize = 32;

/// How a review ended.
#[derive(Debug, Default)]
pub(super) struct Reviewed {
    /// Why something waits, for people.
    pub(super) waits: Option<String>,
    /// When there is something to look at again, even if nobody tells.
    pub(super) again: Option<Duration>,
    /// Whether there may be more deliveries than were taken.
    pub(super) more: bool,
    /// Refs that were found elsewhere than where they were judged last.
    pub(super) moved: usize,
}

/// One ref move as a delivery tells it.
pub(super) struct Claimed {
    pub(super) delivery: u64,
    pub(super) told: Told,
    pub(super) actor: Option<Actor>,
}

/// What deliveries say.
#[derive(Default)]
pub(super) struct Heard {
    /// All that wait.
    pub(super) numbers: Vec<u64>,
    /// Claims, by ref, in the order of arrival.
    pub(super) claims: BTreeMap<RefName, Vec<Claimed>>,
    /// Those that tell of pushes.
    pub(super) pushes: Vec<u64>,
    /// Deliveries that say that something moved, and not (all of) what.
    pub(super) vague: Vec<u64>,
    /// Pull and merge requests.
    pub(super) proposals: Vec<(u64, Proposal)>,
    /// Of no use, and why.
    pub(super) useless: Vec<(u64, &'static str)>,
}

impl Heard {
    pub(super) fn new(deliveries: Vec<Delivery>, watches: &dyn Fn(&RefName) -> bool) -> Self {
        let mut heard = Heard::default();
        for delivery in deliveries {
            let number = delivery.number;
            heard.numbers.push(number);
            match serde_json::from_str::<Event>(&delivery.event) {
                Ok(Event::Push(push)) => {
                    if push.claims.is_empty() || !push.unreadable.is_empty() {
                        heard.vague.push(number);
                    }
                    heard.pushes.push(number);
                    for claim in push.claims.into_iter().filter(|claim| watches(&claim.reference)) {
                        heard.claims.entry(claim.reference).or_default().push(Claimed {
                            delivery: number,
                            told: Told { before: claim.before, after: claim.after },
                            actor: push.actor.clone(),
                        });
                    }
                }
                Ok(Event::Proposal(proposal)) => heard.proposals.push((number, proposal)),
                Ok(Event::Ping(_) | Event::Ignored(_)) => heard.useless.push((number, "nothing to judge")),
                Err(_) => heard.useless.push((number, "what was stored of it cannot be read")),
            }
        }
        heard
    }
}

impl Gate {
    /// Brings one repository up to date, whether somebody told of anything or not.
    pub(super) fn review(&self, watched: &Watched, memory: &mut Memory, stop: &AtomicBool) -> Reviewed {
        let deliveries = match self.store.queued_deliveries(&watched.id) {
            Ok(deliveries) => deliveries,
            Err(error) => return Reviewed { waits: Some(error.to_string()), ..Reviewed::default() },
        };
        let numbers: Vec<u64> = deliveries.iter().map(|one| one.number).collect();
        let more = numbers.len() >= 1000;
        let reviewed = self.snapshot().and_then(|snapshot| {
            Ground { gate: self, snapshot: &snapshot, watched, stop }.review(deliveries, memory)
        });
        match reviewed {
            Ok(reviewed) => {
                memory.why = None;
                Reviewed { more: more && reviewed.waits.is_none(), ..reviewed }
            }
            Err(fault) => {
                if is_doubtful(&fault) {
                    memory.doubt = true;
                }
                let why = fault.to_string();
                if !matches!(fault, Fault::ShuttingDown | Fault::Remote(RemoteError::Stopped)) {
                    // Said once, not at every attempt.
                    if memory.why.as_ref() != Some(&why) {
                        tracing::warn!(repository = %watched.name, code = fault.code(), %fault, "a repository waits");
                    }
                    stored(self.store.deliveries_wait(numbers, &why), "cannot note why deliveries wait");
                    memory.why = Some(why.clone());
                }
                // That costs nothing to look at: no forge is asked.
                let again = matches!(fault, Fault::NotAdopted(_)).then_some(UNADOPTED);
                Reviewed { waits: Some(why), again, ..Reviewed::default() }
            }
        }
    }
}

/// Whether the mirror may be the cause.
fn is_doubtful(fault: &Fault) -> bool {
    matches!(fault, Fault::Git(_) | Fault::Mirror(git::MirrorError::Damaged(_)))
}

impl Ground<'_> {
    fn review(&self, deliveries: Vec<Delivery>, memory: &mut Memory) -> Result<Reviewed, Fault> {
        let heard = Heard::new(deliveries, &|name| self.watches(name));
        let store = &self.gate.store;
        all_known(&self.snapshot.config, &self.watched.name)?;
        if store.rolled_back().is_some() {
            store.check_writable()?;
        }
        let place = Place::take(&self.watched.mirrors, &self.watched.id, self.patience())?;
        let adopted = store.is_watched(&self.watched.id)?;
        if !adopted && matches!(place.mirror(), Ok(Some(_))) {
            return Err(Fault::NotAdopted(self.watched.name.clone()));
        }
        if adopted {
            self.say_told(&heard);
        }
        let listing = self.watched.remote.list(self.patience())?;
        if memory.odd != (listing.malformed_count, listing.unreadable.len()) {
            memory.odd = (listing.malformed_count, listing.unreadable.len());
            tracing::warn!(
                repository = %self.watched.name, count = listing.malformed_count, first = ?listing.malformed,
                unreadable = ?listing.unreadable.iter().take(10).collect::<Vec<_>>(),
                "the forge has refs whose names break git's rules, or that it cannot read; they are not judged"
            );
        }
        if !adopted {
            return self.unadopted(&place, &listing);
        }
        let judged: Vec<(RefName, Value)> = store.judged_tips(&self.watched.id)?;
        let mut standing = Standing::new(&judged, store.unsound_refs(&self.watched.id)?);
        let moved = derive::moved(&judged, &listing.refs, &|name| self.watches(name));
        let moved = match moved {
            // What cannot be read at the forge has not gone away.
            Ok(moved) => moved
                .into_iter()
                .filter(|one| !listing.unreadable.contains(&one.reference))
                .collect::<Vec<_>>(),
            Err(vanished) => {
                let fault = Fault::Vanished(vanished, self.watched.name.clone());
                self.say_once(memory, None, None, &fault, Mode::Unannounced);
                return Err(fault);
            }
        };
        let renew = memory.doubt && memory.may_renew();
        let differs = moved.len();
        let mirror = self.mirror(&place, &standing.kept(), &listing, renew)?;
        if renew {
            memory.renewed = Some(Instant::now());
        }
        memory.doubt = false;
        let (moved, mut again) = self.told_or_old(moved, &heard, memory);
        let tips: HashMap<RefName, ObjectId> = listing.refs.iter().cloned().collect();
        let judged: HashMap<RefName, Value> = judged.into_iter().collect();
        self.say_pending(&moved, listing.head.as_ref());

        let wanted: Vec<ObjectId> = moved.iter().filter_map(|one| one.found).collect();
        let mut lost = self.fetch(&mirror, &wanted)?;
        let planned = self.plan(&mirror, &heard, &moved, &judged, &tips, &mut lost)?;
        // A new one, for what was fetched since.
        let repository = mirror.repository()?;
        let mut queue = Queue::new(&heard, &planned);
        for (reference, items) in &planned {
            self.settle(&mirror, &repository, reference, items, &lost, &mut standing, &mut queue, memory)?;
        }
        let proposed = self.proposals(&mirror, &heard, &standing, &listing.refs, memory)?;
        queue.wait_for(proposed);

        let waits = queue.end(&self.gate.store, &heard)?;
        if waits.is_none() && !self.stop.load(std::sync::atomic::Ordering::Relaxed) {
            mirror.discard()?;
            memory.said.clear();
            memory.tries.clear();
            self.tidy(&mirror, memory);
        }
        if memory.doubt && memory.may_renew() {
            again = Some(Duration::ZERO);
        }
        Ok(Reviewed { waits, again, moved: differs, ..Reviewed::default() })
    }

    /// What nobody has vouched for is seen once, said once, and not judged (N9).
    fn unadopted(&self, place: &Place, listing: &git::Listing) -> Result<Reviewed, Fault> {
        let fault = Fault::NotAdopted(self.watched.name.clone());
        self.first_sight(place, listing)?;
        let case = self.case(&RefUpdate { name: any_ref(), old: None, new: None }, Mode::Detected);
        self.undecided(&case, &fault, Vec::new(), None)?;
        Err(fault)
    }

    /// Those moves that a delivery tells of, or that nobody has told of for long enough: their deliveries may be on the
    /// way, and say who did it. And when to look at the rest.
    fn told_or_old(
        &self,
        moved: Vec<Moved>,
        heard: &Heard,
        memory: &mut Memory,
    ) -> (Vec<Moved>, Option<Duration>) {
        let grace = self.watched.grace();
        let now = Instant::now();
        let noticed = memory.notice(&moved, now);
        let mut again: Option<Duration> = None;
        let mut out = Vec::new();
        for one in moved {
            let told = !heard.vague.is_empty() || heard.claims.contains_key(&one.reference);
            let since = noticed.get(&one.reference).copied().unwrap_or(now);
            let age = now.saturating_duration_since(since);
            if told || age >= grace {
                out.push(one);
            } else {
                let left = grace - age;
                again = Some(again.map_or(left, |soonest| soonest.min(left)));
            }
        }
        (out, again)
    }

    /// The forge is told at once that a new tip is being looked at: what is unknown is pending (N28).
    fn say_pending(&self, moved: &[Moved], default_branch: Option<&RefName>) {
        let branches = moved.iter().filter(|one| one.reference.branch().is_some());
        let report = |one: &Moved| self.pending(&one.reference, one.found, default_branch);
        let reports: Vec<_> = branches.filter_map(report).collect();
        if !reports.is_empty() {
            stored(self.gate.store.queue_reports(reports), "cannot queue reports");
            self.gate.outbox.ring();
        }
    }

    /// The same about what deliveries tell, before the forge is asked, which may take a while. They are hints: they take
    /// no verdict back.
    fn say_told(&self, heard: &Heard) {
        let last = heard.claims.iter().filter_map(|(reference, claims)| Some((reference, claims.last()?)));
        let branches = last.filter(|(reference, _)| reference.branch().is_some());
        let report =
            |(reference, claim): (&RefName, &Claimed)| self.pending(reference, claim.told.after, None);
        let reports: Vec<_> = branches.filter_map(report).collect();
        if !reports.is_empty() {
            stored(self.gate.store.queue_new_reports(reports), "cannot queue reports");
            self.gate.outbox.ring();
        }
    }

    fn pending(
        &self,
        reference: &RefName,
        value: Value,
        default_branch: Option<&RefName>,
    ) -> Option<NewReport> {
        let target = self.target(value?, reference, false);
        report::pending(&target, &self.snapshot.config.policy, default_branch, Gate::now())
    }

    /// Judges what is to be judged of one ref, one after the other, until something is undecided.
    #[expect(clippy::too_many_arguments, reason = "all of it is the state of one review")]
    fn settle(
        &self,
        mirror: &Mirror<'_>,
        repository: &Repository,
        reference: &RefName,
        items: &[Item],
        lost: &HashMap<ObjectId, RemoteError>,
        standing: &mut Standing,
        queue: &mut Queue,
        memory: &mut Memory,
    ) -> Result<(), Fault> {
        let policy = &self.snapshot.config.policy;
        for (index, item) in items.iter().enumerate() {
            let finished = queue.finishing(reference, index);
            let update = RefUpdate { name: reference.clone(), old: item.old, new: item.new };
            let mut case = Case {
                pusher: item.actor.as_ref().map_or(Pusher::Unknown, |actor| self.pusher(Some(actor))),
                mover: item.actor.as_ref().map(sound::mover),
                told: queue.told(reference, &finished),
                finished,
                ..self.case(&update, item.mode)
            };
            let moves = matches!(item.mode, Mode::Detected | Mode::Unannounced);
            if moves && self.is_own(reference, item.old, item.new)? {
                let why = "countersign has moved it back itself";
                self.gate.store.finish_deliveries(std::mem::take(&mut case.finished), Gate::now(), why)?;
                queue.finished(reference, index);
                standing.set_sound(reference);
                self.stands(mirror, reference, item.new, standing);
                memory.noticed.remove(reference);
                continue;
            }
            let done = match update.new.and_then(|id| lost.get(&id).map(|error| (id, error))) {
                Some((id, error)) => self.without(&case, id, error, memory).map(|()| None),
                None => self.decide(repository, standing, &case, policy).map(Some),
            };
            match done {
                Ok(judgement) => {
                    queue.finished(reference, index);
                    if item.mode == Mode::Transient {
                        if let Some(id) = item.new.filter(|id| !lost.contains_key(id)) {
                            self.keep(mirror, &[id], standing.present());
                        }
                        continue;
                    }
                    if let Some(id) = item.new {
                        self.keep(mirror, &[id], standing.present());
                    }
                    if let Some(judgement) = &judgement {
                        queue.decided(reference, &judgement.request);
                    }
                    let refused = judgement.filter(|one| one.outcome == Outcome::Refuse && moves);
                    let sound = standing.sound(reference);
                    match &refused {
                        Some(judgement) => {
                            self.hold(mirror, sound);
                            let now = Unsound {
                                tip: item.new,
                                sound,
                                refused_by: judgement.request.clone(),
                                since: judgement.at,
                                moves: Vec::new(),
                            };
                            standing.set_unsound(reference, now, case.mover.clone());
                        }
                        None => standing.set_sound(reference),
                    }
                    self.stands(mirror, reference, item.new, standing);
                    memory.noticed.remove(reference);
                    if let (Some(judgement), Some(unsound)) = (refused, standing.unsound(reference))
                        && index + 1 == items.len()
                    {
                        let pushers = &self.movers(unsound);
                        let refused = Refused { reference, before: sound, bad: item.new, pushers };
                        if let Some(good) = self.restore(mirror, &refused, &judgement, standing)? {
                            standing.set_sound(reference);
                            self.stands(mirror, reference, good, standing);
                        }
                    }
                }
                Err(fault @ (Fault::ShuttingDown | Fault::Store(_))) => return Err(fault),
                Err(fault) => {
                    if is_doubtful(&fault) {
                        memory.doubt = true;
                    }
                    case.finished.clear();
                    case.told.clear();
                    // It moved on while it was fetched: what it holds now comes next.
                    let moved_on = matches!(fault, Fault::Remote(RemoteError::Gone(_)));
                    if !moved_on && memory.say(&case, &fault) {
                        let known = Known::Undecided(fault.code().to_owned());
                        let protected = self.is_protected(reference, repository.default_branch()?.as_ref());
                        let report = self.report(repository.objects(), &case, &known, None);
                        let report = report.filter(|_| protected);
                        self.undecided(&case, &fault, Vec::new(), report)?;
                    }
                    queue.blocked(reference, &fault);
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Writes down, in the mirror and in memory, what a ref was judged at last.
    fn stands(&self, mirror: &Mirror<'_>, reference: &RefName, value: Value, standing: &mut Standing) {
        self.move_refs(mirror, &[(reference.clone(), value)]);
        standing.moved(reference, value);
    }

    /// A value that could not be fetched: the end of it, or a reason to try again.
    fn without(
        &self,
        case: &Case,
        id: ObjectId,
        error: &RemoteError,
        memory: &mut Memory,
    ) -> Result<(), Fault> {
        // What a ref holds now can be had, sooner or later.
        if case.mode != Mode::Transient {
            return Err(Fault::Remote(error.clone()));
        }
        let tries = memory.tries.entry(id).or_default();
        *tries += 1;
        if !matches!(error, RemoteError::Gone(_)) && *tries < TRIES {
            return Err(Fault::Remote(error.clone()));
        }
        let why = format!("{id} was told of and cannot be had to be judged: {error}");
        self.undecided(case, &Fault::Gap(why), vec![(case.update.name.clone(), id)], None)
    }

    /// What was judged is kept. Where that fails, it is made up for the next time.
    fn keep(&self, mirror: &Mirror<'_>, ids: &[ObjectId], present: &[(RefName, ObjectId)]) {
        let standing: Vec<ObjectId> = present.iter().map(|(_, id)| *id).collect();
        if let Err(error) = mirror.keep(ids, &standing, self.patience()) {
            tracing::warn!(repository = %self.watched.name, %error, "what was judged is not kept yet");
        }
    }

    /// Keeps the number of packs small. It is housekeeping: if it fails, it is tried with more of them.
    fn tidy(&self, mirror: &Mirror<'_>, memory: &mut Memory) {
        let packs = mirror.packs().unwrap_or_default();
        if packs <= PACKS.max(memory.untidy) {
            return;
        }
        match mirror.roll_up(self.watched.quota, self.patience()) {
            Ok(()) => memory.untidy = 0,
            Err(error) => {
                tracing::warn!(repository = %self.watched.name, %error, packs, "the mirror's packs stay as they are");
                memory.untidy = packs + PACKS;
            }
        }
    }

    /// A case that nobody is known to have brought about.
    pub(super) fn case(&self, update: &RefUpdate, mode: Mode) -> Case {
        Case {
            update: update.clone(),
            pusher: Pusher::Unknown,
            mover: None,
            mode,
            finished: Vec::new(),
            told: Vec::new(),
            proposal: None,
        }
    }

    /// Records a fault of a repository as a whole, once.
    fn say_once(&self, memory: &mut Memory, old: Value, new: Value, fault: &Fault, mode: Mode) {
        if memory.said.insert((any_ref(), new, fault.code())) {
            let case = self.case(&RefUpdate { name: any_ref(), old, new }, mode);
            stored(
                self.undecided(&case, fault, Vec::new(), None).map_err(store_error),
                "cannot record a fault",
            );
        }
    }
}

fn store_error(fault: Fault) -> crate::store::StoreError {
    match fault {
        Fault::Store(error) => error,
        _ => crate::store::StoreError::Invalid("a fault cannot be recorded"),
    }
}

/// Stands for no ref where a record is about the repository as a whole; it is not written.
fn any_ref() -> RefName {
    RefName::parse(b"refs/heads/HEAD").expect("it follows git's rules")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n29_a_ref_that_moves_on_and_on_is_not_left_alone_for_longer() {
        let name = RefName::parse(b"refs/heads/main").unwrap();
        let id = |n: u8| Some(ObjectId::from_bytes(&[n; 20]).unwrap());
        let found = |n: u8| vec![Moved { reference: name.clone(), judged: id(1), found: id(n) }];
        let (begin, mut memory) = (Instant::now(), Memory::default());
        let mut since = |moved: &[Moved], second: u64| {
            let noticed = memory.notice(moved, begin + Duration::from_secs(second));
            noticed.get(&name).map(|at| at.duration_since(begin).as_secs())
        };
        for (value, second) in [(2, 0), (3, 20), (2, 40), (4, 59), (2, 60)] {
            assert_eq!(since(&found(value), second), Some(0), "at {second}");
        }
        // Where it was judged, it is as if nothing had happened.
        assert_eq!(since(&[], 70), None);
        assert_eq!(since(&found(2), 80), Some(80));
    }
}
