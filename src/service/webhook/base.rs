//! What judging begins from: the mirror as it was judged last, and before that what somebody vouches for (N9).

use super::ground::Ground;
use super::restore;
use super::watched::{Unwatchable, Watched};
use crate::config::Config;
use crate::domain::{ObjectFormat, ObjectId, RefName, RequestId};
use crate::git::{Listing, Mirror, MirrorError, Patience, Place, RemoteError, Repository};
use crate::service::adopt::{Adopter, Adoption, History};
use crate::service::fault::{Fault, all_known};
use crate::store::{Store, StoreError, Voucher};
use std::time::Instant;

impl Ground<'_> {
    /// The mirror with everything that was judged last. A mirror that is damaged, or not there, is made anew from the
    /// forge; that makes no base: what counts as judged stands in the record (N9).
    pub(super) fn mirror<'p>(
        &self,
        place: &'p Place,
        judged: &[(RefName, ObjectId)],
        listing: &Listing,
        doubt: bool,
    ) -> Result<Mirror<'p>, Fault> {
        let format = object_format(judged, listing)?;
        let mirror = match place.mirror() {
            Ok(Some(mirror)) if mirror.format() == format && !doubt => mirror,
            found => {
                match found {
                    Ok(None) => {}
                    Err(MirrorError::Damaged(why)) => {
                        tracing::warn!(repository = %self.watched.name, %why, "a mirror is damaged; it is made anew");
                    }
                    Err(error) => return Err(error.into()),
                    Ok(Some(_)) => {
                        tracing::warn!(repository = %self.watched.name, "a mirror is in doubt; it is made anew");
                    }
                }
                place.make(format)?
            }
        };
        self.complete(&mirror, judged)?;
        let refs = mirror.judged()?.references()?;
        let mut moves: Vec<(RefName, Option<ObjectId>)> = Vec::new();
        let there = mirror.judged()?;
        for (name, id) in judged {
            let has = refs.binary_search_by(|one| one.0.cmp(name)).ok().map(|at| refs[at].1);
            if has != Some(*id) && there.objects().find(id)?.is_some() {
                moves.push((name.clone(), Some(*id)));
            }
        }
        // What was dropped at the forge stays under its name (N32), what was sound as long as it is needed.
        let own = refs.iter().filter(|(name, _)| !restore::is_recovery(name));
        let gone = own.filter(|(name, _)| judged.binary_search_by(|one| one.0.cmp(name)).is_err());
        moves.extend(gone.map(|(name, _)| (name.clone(), None)));
        if !moves.is_empty() {
            self.move_refs(&mirror, &moves);
        }
        if let Some(head) = &listing.head {
            mirror.set_head(head)?;
        }
        if mirror.is_head_unknown() {
            self.needs_no_default_branch()?;
        }
        Ok(mirror)
    }

    /// A ruleset for the default branch covers nothing where nobody knows which that is: what it is for would pass.
    fn needs_no_default_branch(&self) -> Result<(), Fault> {
        let policy = &self.snapshot.config.policy;
        let concerned = policy.rulesets.iter().filter(|one| one.applies_to_repository(&self.watched.name));
        let mut needing = concerned.filter(|one| one.refs.sources().iter().any(|of| of.contains("~DEFAULT")));
        match needing.next() {
            None => Ok(()),
            Some(one) => Err(Fault::Remote(RemoteError::Format(format!(
                "the forge does not say which branch is the default one, and ruleset `{}` is about that one",
                one.name
            )))),
        }
    }

    /// Its own refs tell the forge what need not be sent. Nothing is judged by them, so what cannot be moved costs
    /// time and no more.
    pub(super) fn move_refs(&self, mirror: &Mirror<'_>, moves: &[(RefName, Option<ObjectId>)]) {
        if let Err(error) = mirror.move_refs(moves, self.patience()) {
            tracing::warn!(repository = %self.watched.name, %error, "the refs of a mirror are behind");
        }
    }

    /// Gets what was judged last and is not there: from quarantine, if the end came before it was taken out of it, or
    /// else from the forge.
    fn complete(&self, mirror: &Mirror<'_>, judged: &[(RefName, ObjectId)]) -> Result<(), Fault> {
        let missing = |judged: &[(RefName, ObjectId)]| -> Result<Vec<ObjectId>, Fault> {
            let repository = mirror.judged()?;
            let mut out = Vec::new();
            for (_, id) in judged {
                if repository.objects().find(id)?.is_none() {
                    out.push(*id);
                }
            }
            Ok(out)
        };
        let wanted = missing(judged)?;
        if wanted.is_empty() {
            return Ok(());
        }
        let with_quarantine = mirror.repository()?;
        let mut fetched = Vec::new();
        for id in &wanted {
            if with_quarantine.objects().find(id)?.is_some() {
                fetched.push(*id);
            }
        }
        let standing: Vec<ObjectId> = judged.iter().map(|(_, id)| *id).collect();
        if let Err(error) = mirror.keep(&fetched, &standing, self.patience()) {
            tracing::debug!(repository = %self.watched.name, %error, "the quarantine is of no use");
        }
        let wanted = missing(judged)?;
        let lost = mirror.fetch_base(&self.watched.remote, &wanted, self.watched.quota, self.patience())?;
        for (id, error) in lost {
            tracing::warn!(repository = %self.watched.name, %id, %error, "what was judged last cannot be had any more");
        }
        Ok(())
    }

    /// Sees a repository for the first time: its mirror holds what it has now, until somebody vouches for that. Says
    /// whether this was new.
    pub(super) fn first_sight(&self, place: &Place, listing: &Listing) -> Result<bool, Fault> {
        let is_there = matches!(place.mirror(), Ok(Some(_)));
        if is_there {
            return Ok(false);
        }
        see(self.watched, place, listing, &|name| self.watches(name), self.patience())?;
        Ok(true)
    }
}

/// Fills a new mirror with what the forge has.
fn see(
    watched: &Watched,
    place: &Place,
    listing: &Listing,
    watches: &dyn Fn(&RefName) -> bool,
    patience: Patience<'_>,
) -> Result<(), Fault> {
    let format = listing.format().unwrap_or(ObjectFormat::Sha1);
    let mirror = place.make(format)?;
    let refs: Vec<_> = listing.refs.iter().filter(|(name, _)| watches(name)).cloned().collect();
    let ids: Vec<ObjectId> = refs.iter().map(|(_, id)| *id).collect();
    let unfetched = match mirror.fetch_base(&watched.remote, &ids, watched.quota, patience) {
        Ok(unfetched) => unfetched,
        Err(error) => {
            // Half of it would be taken for all of it the next time.
            place.clear()?;
            return Err(error.into());
        }
    };
    if let Some((id, error)) = unfetched.into_iter().next() {
        place.clear()?;
        return Err(Fault::Remote(match error {
            RemoteError::Gone(_) => RemoteError::Failed(format!("{id} is gone again; it is looked at anew")),
            error => error,
        }));
    }
    let moves: Vec<_> = refs.into_iter().map(|(name, id)| (name, Some(id))).collect();
    if let Err(error) = mirror.move_refs(&moves, patience) {
        place.clear()?;
        return Err(error.into());
    }
    if let Some(head) = &listing.head {
        mirror.set_head(head)?;
    }
    Ok(())
}

fn object_format(judged: &[(RefName, ObjectId)], listing: &Listing) -> Result<ObjectFormat, Fault> {
    let before = judged.first().map(|(_, id)| id.format());
    match (before, listing.format()) {
        (Some(before), Some(now)) if before != now => Err(Fault::Remote(RemoteError::Format(format!(
            "the repository has ids of {}, and those that were judged are of {}",
            now.name(),
            before.name()
        )))),
        (before, now) => Ok(before.or(now).unwrap_or(ObjectFormat::Sha1)),
    }
}

/// What adopting a forge's repository would mean.
#[derive(Debug)]
pub struct ForgeAdoption {
    /// Its name for rulesets.
    pub name: String,
    /// What each ruleset that judges commits would trust.
    pub rulesets: Vec<Adoption>,
    /// All that is watched and where it stands: what is judged from then on is what differs from this.
    pub tips: Vec<(RefName, ObjectId)>,
    /// Whether it is judged already.
    pub watched: bool,
    /// The refs that were refused where they were judged last, and as which decision: adopted, they count as sound
    /// where they stand.
    pub unsound: Vec<(RefName, RequestId)>,
    from_record: bool,
    found: Watched,
}

/// What was adopted.
#[derive(Debug)]
pub struct Adopted {
    /// Commits that are trusted now, each counted once for each ruleset.
    pub commits: u64,
}

/// Lists what adopting the repository of a forge called `name`, `<source>/<path>`, would take as trusted: what was
/// judged last, or seen first, or, `anew`, what the forge has now. `None` where no source has such a repository.
///
/// # Errors
/// It cannot be reached, or not all of the policy is known.
pub fn adoption(
    config: &Config,
    store: &Store,
    name: &str,
    anew: bool,
    stop: &std::sync::atomic::AtomicBool,
) -> Result<Option<ForgeAdoption>, Fault> {
    let Some(watched) = Watched::named(config, store, name).map_err(unwatchable)? else { return Ok(None) };
    all_known(config, &watched.name)?;
    let patience = || Patience { until: Instant::now() + watched.deadline, stop };
    let place = Place::take(&watched.mirrors, &watched.id, patience())?;
    let hierarchies = &config.repositories.namespaces;
    let watches =
        |name: &RefName| hierarchies.iter().any(|prefix| name.as_bytes().starts_with(prefix.as_bytes()));
    let known = store.is_watched(&watched.id)?;
    let anew = anew || !matches!(place.mirror(), Ok(Some(_)));
    if anew {
        let listing = watched.remote.list(patience())?;
        see(&watched, &place, &listing, &watches, patience())?;
    }
    let Some(mirror) = place.mirror()? else {
        return Err(Fault::Mirror(MirrorError::Damaged("it is gone".to_owned())));
    };
    let repository = mirror.judged()?;
    let from_record = known && !anew;
    let tips = standing(store, &watched, &repository, from_record)?;
    let default_branch = repository.default_branch().ok().flatten();
    let unsound = store.unsound_refs(&watched.id)?;
    let frontier = store.frontier(&watched.id)?;
    let mut rulesets = Vec::new();
    for ruleset in config.policy.rulesets.iter().filter(|set| set.judges_commits()) {
        let covered = |of: &RefName| ruleset.covers(&watched.name, of, default_branch.as_ref());
        let tips: Vec<_> = tips.iter().filter(|(reference, _)| covered(reference)).cloned().collect();
        if !tips.is_empty() {
            let has_record = frontier.has_record(&ruleset.name)?;
            rulesets.push(Adoption { ruleset: ruleset.name.clone(), tips, has_record });
        }
    }
    Ok(Some(ForgeAdoption {
        name: watched.name.clone(),
        rulesets,
        tips,
        watched: known,
        unsound: unsound.into_iter().map(|(name, unsound)| (name, unsound.refused_by)).collect(),
        from_record,
        found: watched,
    }))
}

/// Adopts what [`adoption`] listed, provided that the mirror still holds it: its history is trusted by each of the
/// listed rulesets, and what happens to the repository from then on is judged.
///
/// # Errors
/// The mirror has moved meanwhile, or the record cannot be written.
pub fn adopt(
    store: &Store,
    adoption: &ForgeAdoption,
    by: Adopter<'_>,
    stop: &std::sync::atomic::AtomicBool,
) -> Result<Adopted, Fault> {
    let watched = &adoption.found;
    let patience = Patience { until: Instant::now() + watched.deadline, stop };
    let place = Place::take(&watched.mirrors, &watched.id, patience)?;
    let moved =
        || Fault::Mirror(MirrorError::Damaged("it moved meanwhile; look at the list again".to_owned()));
    let mirror = place.mirror()?.ok_or_else(moved)?;
    let repository = mirror.judged()?;
    if standing(store, watched, &repository, adoption.from_record)? != adoption.tips {
        return Err(moved());
    }
    let mut commits = 0;
    for one in &adoption.rulesets {
        let about = by
            .evidence
            .iter()
            .filter(|evidence| one.tips.iter().any(|(n, t)| (n, t) == (&evidence.reference, &evidence.tip)));
        let evidence = about.map(|evidence| evidence.entry(by.keyring)).collect();
        let mut history = History::new(repository.objects(), one.tips.iter().map(|(_, id)| *id));
        commits += store.adopt(
            &watched.id,
            &watched.name,
            &one.ruleset,
            &one.tips,
            &mut history,
            Voucher { who: by.who.to_owned(), evidence },
        )?;
    }
    // Last: until then, nothing is judged, and adopting again does no harm.
    store.watch(&watched.id, &watched.name, &adoption.tips, by.who)?;
    Ok(Adopted { commits })
}

/// Where the mirror's own names lie.
const OWN: &[u8] = b"refs/countersign/";

/// What would be adopted: what was judged last, as the record has it, or else what the mirror holds.
fn standing(
    store: &Store,
    watched: &Watched,
    repository: &Repository,
    from_record: bool,
) -> Result<Vec<(RefName, ObjectId)>, Fault> {
    if !from_record {
        let refs = repository.references()?.into_iter();
        return Ok(refs.filter(|(name, _)| !name.as_bytes().starts_with(OWN)).collect());
    }
    let tips = store.judged_tips(&watched.id)?.into_iter();
    Ok(tips.filter_map(|(name, value)| Some((name, value?))).collect())
}

/// The same reason as a fault.
pub(super) fn unwatchable(error: Unwatchable) -> Fault {
    match error {
        Unwatchable::Store(error) => Fault::Store(error),
        error => Fault::Identity(error.to_string()),
    }
}

impl From<Unwatchable> for Fault {
    fn from(error: Unwatchable) -> Self {
        unwatchable(error)
    }
}

/// A store that fails says so in its own words.
pub(super) fn stored<T>(done: Result<T, StoreError>, what: &str) {
    if let Err(error) = done {
        tracing::error!(%error, "{what}");
    }
}
