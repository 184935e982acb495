//! The decisions of the audit log, judged again.

use super::past::Past;
use super::{Each, Now, ReplayFault, Replayed, Unjudged, now};
use crate::audit::{Decision as Recorded, Outcome, PusherEntry};
use crate::domain::{
    ObjectId, Principal, Proof, PushContext, Pusher, RefName, RefUpdate, RepositoryId, RepositoryRef,
    RequestId, Timestamp, text,
};
use crate::facts::Present;
use crate::git::Repository;
use crate::policy::Decision;
use crate::policy::facts::BuiltinRule;
use crate::service::check::{self, CheckFault, Judging};
use crate::service::fault::all_known;
use crate::service::gate::Snapshot;
use crate::service::{Receipt, locate};
use crate::store::{Filter, KnownRepository, Store};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Which decisions.
#[derive(Debug, Default)]
pub struct LogWindow {
    /// Not before.
    pub since: Option<Timestamp>,
    /// About one of these repositories only.
    pub repositories: Option<BTreeSet<RepositoryId>>,
    /// The last so many.
    pub last: Option<usize>,
}

/// Built-in rules that go by what nobody has any more: how the repository stood, what the quarantine held.
const OF_THE_MOMENT: &[BuiltinRule] = &[
    BuiltinRule::MalformedUpdate,
    BuiltinRule::MalformedObject,
    BuiltinRule::SymrefPush,
    BuiltinRule::ShallowGraft,
];

/// One decision, as far as it is needed again.
struct Recording {
    seq: u64,
    at: Timestamp,
    decision: Box<Recorded>,
    /// The updates, or why it cannot be told what they were.
    updates: Result<Vec<RefUpdate>, Unjudged>,
}

/// Judges every decision of the window again, oldest first. Each push is judged by itself: what its refs held
/// before, and what covered refs held at that moment, counts as judged, whatever the proposed configuration would
/// have said to earlier pushes.
///
/// # Errors
/// The log cannot be read. What keeps a single push from being judged is in its [`Replayed::now`].
pub fn replay_log(
    snapshot: &Snapshot,
    store: &Store,
    window: &LogWindow,
    each: &mut Each<'_>,
) -> Result<(), ReplayFault> {
    let (pushes, unreadable) = read(store, window)?;
    for (seq, why) in unreadable {
        each(&Replayed {
            seq: Some(seq),
            request_id: None,
            at: Timestamp::UNIX_EPOCH,
            receipt: Receipt::Recorded,
            repository: String::new(),
            pusher: None,
            refs: Vec::new(),
            was: Outcome::Undecided,
            now: Now::Unjudged(Unjudged::new("record-unreadable", why)),
        })?;
    }
    let known: HashMap<RepositoryId, KnownRepository> =
        store.repositories()?.into_iter().map(|one| (one.id.clone(), one)).collect();
    let mut grounds: HashMap<String, Result<Ground, Unjudged>> = HashMap::new();
    for push in &pushes {
        let id = &push.decision.repository.id;
        if !grounds.contains_key(id) {
            let own = pushes.iter().filter(|one| one.decision.repository.id == *id);
            grounds
                .insert(id.clone(), Ground::open(snapshot, store, known.get(&RepositoryId(id.clone())), own));
        }
        let Some(ground) = grounds.get_mut(id) else { continue };
        let decision = &push.decision;
        let pusher = pusher(snapshot, &decision.pusher);
        let now = match (ground.as_mut(), &push.updates) {
            (_, Err(why)) => Now::Unjudged(why.clone()),
            (Err(why), _) => Now::Unjudged(why.clone()),
            (Ok(ground), Ok(updates)) => ground.judge(snapshot, push, updates, pusher),
        };
        let repository = match ground {
            Ok(ground) => text::escape(ground.name.as_bytes()),
            Err(_) => decision.repository.name.clone(),
        };
        each(&Replayed {
            seq: Some(push.seq),
            request_id: Some(decision.request_id.clone()),
            at: push.at,
            receipt: Receipt::Recorded,
            repository,
            pusher: shown(&decision.pusher),
            refs: decision
                .refs
                .iter()
                .map(|one| (one.name.clone(), one.old.clone(), one.new.clone()))
                .collect(),
            was: decision.outcome,
            now,
        })?;
    }
    Ok(())
}

/// What was read of the log: decisions, and records that cannot be read, by number and why.
type Read = (Vec<Recording>, Vec<(u64, String)>);

/// The decisions, oldest first, and the records that cannot be read, by number and why.
fn read(store: &Store, window: &LogWindow) -> Result<Read, ReplayFault> {
    let (mut pushes, mut unreadable) = (Vec::new(), Vec::new());
    let most = window.last.unwrap_or(usize::MAX);
    let filter = Filter { since: window.since, reverse: true, ..Filter::default() };
    let mut entries = store.log(filter)?;
    while pushes.len() < most
        && let Some(entry) = entries.next()
    {
        let entry = entry?;
        let record = match entry.record() {
            Ok(record) => record,
            Err(error) => {
                unreadable.push((entry.seq, text::escape(error.to_string().as_bytes())));
                continue;
            }
        };
        let crate::audit::Event::Decision(decision) = record.event else { continue };
        let id = RepositoryId(decision.repository.id.clone());
        if window.repositories.as_ref().is_some_and(|wanted| !wanted.contains(&id)) {
            continue;
        }
        match decision.received_at.parse() {
            Ok(at) => {
                let updates = updates(&decision);
                pushes.push(Recording { seq: entry.seq, at, decision, updates });
            }
            Err(_) => unreadable.push((entry.seq, "its time cannot be read".to_owned())),
        }
    }
    pushes.reverse();
    unreadable.reverse();
    Ok((pushes, unreadable))
}

/// What a record says that was pushed.
fn updates(decision: &Recorded) -> Result<Vec<RefUpdate>, Unjudged> {
    if decision.outcome == Outcome::Undecided {
        let cause = decision.fault.as_ref().map_or("", |fault| fault.code.as_str());
        let why = format!("nobody decided about it then ({cause}), so there is nothing to compare with");
        return Err(Unjudged::new("was-undecided", why));
    }
    if decision.over_budget.is_some() || decision.truncated.refs > 0 || decision.refs.is_empty() {
        return Err(Unjudged::new("record-cut", "its record does not have all its refs"));
    }
    let unreadable = || Unjudged::new("record-unreadable", "a ref or an id of its record cannot be read");
    let id = |hex: &Option<String>| -> Result<Option<ObjectId>, Unjudged> {
        hex.as_ref().map(|hex| ObjectId::parse(hex.as_bytes()).map_err(|_| unreadable())).transpose()
    };
    let update = |one: &crate::audit::RefEntry| {
        let name = text::unescape(&one.name).and_then(|name| RefName::parse(&name).ok());
        // What a forge's refused move left was not what it was judged from.
        let old = one.judged_from.as_ref().map_or(&one.old, |from| &from.id);
        Ok(RefUpdate { name: name.ok_or_else(unreadable)?, old: id(old)?, new: id(&one.new)? })
    };
    decision.refs.iter().map(update).collect()
}

/// Who pushed, for people.
fn shown(entry: &PusherEntry) -> Option<String> {
    match entry {
        PusherEntry::Unknown => None,
        PusherEntry::Known { name, principal, .. } => Some(principal.as_ref().unwrap_or(name).clone()),
    }
}

/// Who pushed, as the record says; who of the proposed keyring that is.
fn pusher(snapshot: &Snapshot, entry: &PusherEntry) -> Pusher {
    let PusherEntry::Known { name, principal, proof, .. } = entry else { return Pusher::Unknown };
    let bytes = |text: &str| text::unescape(text).and_then(|bytes| String::from_utf8(bytes).ok());
    let name = bytes(name).unwrap_or_else(|| name.clone());
    let keyring = &snapshot.keyring;
    let called = |wanted: &String| -> Option<Arc<Principal>> {
        let wanted = bytes(wanted)?;
        keyring.principals().iter().find(|one| one.name == wanted).cloned()
    };
    let by_account = || {
        let server = snapshot.config.repositories.server?;
        keyring.account_holder(server, &name).cloned()
    };
    let principal = principal.as_ref().and_then(called).or_else(by_account);
    let proof = if proof.as_deref() == Some(Proof::Key.name()) { Proof::Key } else { Proof::Server };
    Pusher::Known { name, source: "audit log", principal, proof, details: BTreeMap::new() }
}

/// One repository, as it stood at some moment.
struct Ground {
    repository: Repository,
    name: String,
    default_branch: Option<RefName>,
    /// What its refs held.
    tips: BTreeMap<RefName, ObjectId>,
    past: Past,
}

impl Ground {
    /// The repository as it stood before the first of `pushes`: what it holds now, but for the refs that they move,
    /// which held what the first of them says.
    fn open<'p>(
        snapshot: &Snapshot,
        store: &Store,
        known: Option<&KnownRepository>,
        pushes: impl Iterator<Item = &'p Recording>,
    ) -> Result<Self, Unjudged> {
        let gone = || Unjudged::new("repository-gone", "its repository is not below the root any more");
        let known = known.ok_or_else(gone)?;
        let path =
            locate::find(&snapshot.config.repositories.root, &known.name, &known.id).ok_or_else(gone)?;
        let unusable = |fault: CheckFault| Unjudged::from(&fault);
        let repository = Repository::open(&path, None).map_err(|e| unusable(e.into()))?;
        let name = locate::name_below(&snapshot.config.repositories.root, repository.common_dir())
            .map_err(|e| unusable(e.into()))?;
        all_known(&snapshot.config, &name).map_err(|e| unusable(e.into()))?;
        let default_branch = repository.default_branch().map_err(|e| unusable(e.into()))?;
        let present = repository.references().map_err(|e| unusable(e.into()))?;
        let receipts = store
            .receipts(&known.id)
            .map_err(|e| Unjudged::new("audit-unavailable", text::escape(e.to_string().as_bytes())))?;
        let mut tips: BTreeMap<RefName, ObjectId> = present.into_iter().collect();
        let mut mentioned = BTreeSet::new();
        for push in pushes {
            for update in push.updates.iter().flatten() {
                if mentioned.insert(update.name.clone()) {
                    match update.old {
                        Some(old) => tips.insert(update.name.clone(), old),
                        None => tips.remove(&update.name),
                    };
                }
            }
        }
        let past = Past::with(receipts);
        let mut ground = Ground { repository, name, default_branch, tips, past };
        let tips: Vec<_> = ground.tips.iter().map(|(name, tip)| (name.clone(), *tip)).collect();
        for (name, tip) in tips {
            ground.counts(snapshot, &name, tip).map_err(unusable)?;
        }
        Ok(ground)
    }

    /// What a ref holds counts as judged for the rulesets that cover it.
    fn counts(&mut self, snapshot: &Snapshot, name: &RefName, tip: ObjectId) -> Result<(), CheckFault> {
        let policy = &snapshot.config.policy;
        for index in policy.covering(&self.name, name, self.default_branch.as_ref()) {
            let ruleset = &policy.rulesets[index];
            if ruleset.judges_commits() {
                self.past.add(&ruleset.name, self.repository.objects(), tip)?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, snapshot: &Snapshot, push: &Recording, updates: &[RefUpdate], pusher: Pusher) -> Now {
        let judged = self.judge_push(snapshot, push, updates, pusher);
        // What went in went in, whatever the proposed configuration makes of it.
        if push.decision.outcome == Outcome::Accept {
            for update in updates {
                match update.new {
                    Some(new) => {
                        self.tips.insert(update.name.clone(), new);
                        if let Err(fault) = self.counts(snapshot, &update.name, new) {
                            return Now::Unjudged(Unjudged::from(&fault));
                        }
                    }
                    None => {
                        self.tips.remove(&update.name);
                    }
                }
            }
        }
        judged.unwrap_or_else(Now::Unjudged)
    }

    fn judge_push(
        &mut self,
        snapshot: &Snapshot,
        push: &Recording,
        updates: &[RefUpdate],
        pusher: Pusher,
    ) -> Result<Now, Unjudged> {
        let fault = |fault: CheckFault| Unjudged::from(&fault);
        let decision = &push.decision;
        let of_the_moment = |name: &str| OF_THE_MOMENT.iter().any(|rule| rule.name() == name);
        let stood = decision.violations.iter().find(|one| of_the_moment(&one.rule));
        if stood.is_some_and(|one| one.rule == BuiltinRule::MalformedUpdate.name()) {
            // What it claims about the ref is not what the ref held.
            return Err(moment(&BuiltinRule::MalformedUpdate));
        }
        if pusher == Pusher::Unknown && self.asks_who(snapshot, updates) {
            let why = "a ruleset that covers its refs goes by who pushes, and the record does not say";
            return Err(Unjudged::new("no-pusher", why));
        }
        for update in updates {
            match update.old {
                Some(old) => {
                    self.tips.insert(update.name.clone(), old);
                    self.counts(snapshot, &update.name, old).map_err(fault)?;
                }
                None => {
                    self.tips.remove(&update.name);
                }
            }
            for id in [update.old, update.new].into_iter().flatten() {
                if self.repository.objects().find(&id).map_err(|e| fault(e.into()))?.is_none() {
                    let why = format!("{} is not in the repository any more", id.short());
                    return Err(Unjudged::new("objects-gone", why));
                }
            }
        }
        self.past.set_moment(push.at);
        let present: Vec<_> = self.tips.iter().map(|(name, tip)| (name.clone(), *tip)).collect();
        let options = decision.push_options.iter();
        let context = PushContext {
            request_id: RequestId::parse(&decision.request_id)
                .unwrap_or_else(|| RequestId::from_random([0; 16])),
            repository: RepositoryRef {
                id: RepositoryId(decision.repository.id.clone()),
                name: self.name.clone(),
            },
            pusher,
            push_options: options
                .map(|one| text::unescape(one).unwrap_or_else(|| one.clone().into_bytes()))
                .collect(),
            received_at: push.at,
        };
        let judging = Judging {
            repository: &self.repository,
            context,
            updates: updates.to_vec(),
            present: Present::AsItWas(&present),
            frontier: &self.past,
        };
        let judged = now(check::judge(snapshot, judging, &mut ()));
        if let Now::Judged { decision: Decision::Accept, .. } = judged {
            if let Some(one) = stood {
                let rule = OF_THE_MOMENT.iter().find(|rule| rule.name() == one.rule);
                return Err(rule.map_or_else(|| moment(&BuiltinRule::MalformedUpdate), moment));
            }
            if decision.outcome == Outcome::Refuse && decision.truncated.violations > 0 {
                return Err(Unjudged::new("record-cut", "its record does not have all that refused it"));
            }
        }
        Ok(judged)
    }

    /// Whether the pusher matters to a ruleset that covers one of the refs.
    fn asks_who(&self, snapshot: &Snapshot, updates: &[RefUpdate]) -> bool {
        let policy = &snapshot.config.policy;
        let covering = updates
            .iter()
            .flat_map(|update| policy.covering(&self.name, &update.name, self.default_branch.as_ref()));
        covering.map(|index| &policy.rulesets[index]).any(|ruleset| {
            !ruleset.actors.is_empty() || ruleset.rules().iter().any(|one| one.rule.needs_pusher())
        })
    }
}

/// What refused the push was of its moment.
fn moment(rule: &BuiltinRule) -> Unjudged {
    let why = format!(
        "`{}` refused it, which goes by what the push or the repository held at that moment",
        rule.name()
    );
    Unjudged::new("moment-gone", why)
}
