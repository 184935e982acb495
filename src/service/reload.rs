//! Taking over what the files say now: asked for, or because they were found changed.

use super::gate::{Gate, Snapshot};
use super::status::{InForce, KeyringInForce, Rejection, Status, told};
use crate::audit::{Event, KeyringFileEntry, KeyringFoundEntry, rfc3339_ms};
use crate::config::{self, Config, Diagnostic};
use crate::domain::{Timestamp, text};
use crate::keyring::Keyring;
use crate::store::Filter;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most changes that commands told of and that are kept in mind.
const ANNOUNCED: usize = 256;
/// Most principals that they may be about together.
const ANNOUNCED_NAMES: usize = 50_000;
/// How long a command that has changed the files has to tell of it.
const TELL: Duration = Duration::from_secs(3);
/// How far back the record is searched for the keyring that was in force last.
const LOOK_BACK: u64 = 50;

/// What the gate knows about its own files.
#[derive(Debug)]
pub(super) struct Live {
    /// One at a time, so that an older state never follows a newer one.
    reloading: Mutex<()>,
    /// Somebody waits to reload already; whoever comes now is served by that.
    waiting: AtomicBool,
    rejected: Mutex<Option<Rejected>>,
    good: Mutex<Good>,
    announced: Mutex<VecDeque<Announced>>,
    unexplained: Mutex<Option<Unexplained>>,
    pub(super) looked: Mutex<Looked>,
}

/// A change that no command has told of yet.
#[derive(Debug)]
struct Unexplained {
    before: String,
    after: String,
    differ: Differing,
    since: Instant,
}

/// The last good keyring as it was loaded, without what rejected ones revoked since.
#[derive(Debug)]
struct Good {
    keyring: String,
    at: Timestamp,
}

/// The rejected state that is waiting to be mended: since when, and what is wrong with it.
#[derive(Debug)]
pub(super) struct Rejected {
    since: Instant,
    since_at: Timestamp,
    last_at: Timestamp,
    faults: Vec<Diagnostic>,
    revocations: usize,
}

/// A change that a command told of.
#[derive(Debug)]
pub(super) struct Announced {
    /// Digest of the keyring before.
    pub(super) before: String,
    /// And afterwards.
    pub(super) after: String,
    /// Whose files it is about.
    pub(super) principals: Vec<String>,
}

/// What the watch sees.
#[derive(Clone, Debug, Default)]
pub(super) struct Looked {
    /// When it last looked; nothing where nobody watches.
    pub(super) at: Option<Timestamp>,
    /// Since when the files are other than what was loaded, and not left alone.
    pub(super) changing: Option<Timestamp>,
}

/// Why the files are read again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Asked,
    Found,
}

impl Rejected {
    /// Whether the last good state has decided for long enough (N15).
    pub(super) fn too_old(&self, last_good: &Config) -> bool {
        self.since.elapsed() > last_good.daemon.last_good
    }

    /// For how long.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// What is wrong, for people.
    pub(super) fn error(&self) -> String {
        joined(&self.faults)
    }
}

fn joined(faults: &[Diagnostic]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Live {
    pub(super) fn new(snapshot: &Snapshot) -> Self {
        Live {
            reloading: Mutex::default(),
            waiting: AtomicBool::new(false),
            rejected: Mutex::default(),
            good: Mutex::new(Good { keyring: snapshot.keyring.digest().to_owned(), at: Gate::now() }),
            announced: Mutex::default(),
            unexplained: Mutex::default(),
            looked: Mutex::default(),
        }
    }

    pub(super) fn rejected(&self) -> MutexGuard<'_, Option<Rejected>> {
        lock(&self.rejected)
    }

    /// Keeps in mind that a command told of a change.
    pub(super) fn announce(&self, change: Announced) {
        let mut announced = lock(&self.announced);
        announced.push_back(change);
        let names = |all: &VecDeque<Announced>| all.iter().map(|one| one.principals.len()).sum::<usize>();
        while announced.len() > ANNOUNCED || names(&announced) > ANNOUNCED_NAMES {
            announced.pop_front();
        }
    }

    /// Keeps in mind that another keyring came into force.
    fn changed(&self, before: String, after: String, differ: Differing) {
        let mut unexplained = lock(&self.unexplained);
        match &mut *unexplained {
            Some(one) => {
                one.after = after;
                one.since = Instant::now();
                one.differ.principals.extend(differ.principals);
                for (name, file) in differ.files {
                    let before = one.differ.files.get(&name).map(|known| known.before.clone());
                    let before = before.unwrap_or_else(|| file.before.clone());
                    one.differ.files.insert(name, KeyringFileEntry { before, ..file });
                }
            }
            None => *unexplained = Some(Unexplained { before, after, differ, since: Instant::now() }),
        }
    }

    /// Whether changes that commands told of lead from one keyring to the other, and are about all the
    /// principals whose files differ. What was used to explain a change explains no other.
    fn told(&self, before: &str, after: &str, differ: &[String]) -> bool {
        let mut announced = lock(&self.announced);
        let (mut at, mut named, mut used) = (before, Vec::new(), None);
        for (index, change) in announced.iter().enumerate() {
            if change.before == at {
                at = &change.after;
                named.extend(&change.principals);
                if at == after {
                    used = Some(index);
                    break;
                }
            }
        }
        let Some(used) = used else { return false };
        let all = differ.iter().all(|name| named.contains(&name));
        announced.drain(..=used);
        all
    }
}

impl Gate {
    /// Reads configuration and keyring again because somebody asked. A bad one changes nothing but is said
    /// loudly; revocations in it that can be read count all the same (N15). However many ask at a time, it
    /// is read twice at most: one reading may have begun before they wrote.
    pub fn reload(&self) {
        if self.live.waiting.swap(true, Ordering::AcqRel) {
            return;
        }
        self.load_again(Why::Asked);
    }

    /// The same because the files look changed: where they say what is in force, nothing happens.
    pub(super) fn reload_found(&self) {
        self.load_again(Why::Found);
    }

    fn load_again(&self, why: Why) {
        // Pushes and health do not take this lock, so they go on meanwhile.
        let _one = lock(&self.live.reloading);
        if why == Why::Asked {
            self.live.waiting.store(false, Ordering::Release);
        }
        match Snapshot::read(self.source()) {
            Ok((snapshot, warnings)) => {
                let odd = self.source_disagrees(&snapshot.config);
                let current = self.current();
                // What was taken over once is not given up for something else; where it never was, there is
                // nothing to go back to.
                if let (Some(odd), None, Some(_), Some(source)) = (
                    &odd,
                    self.source_seen.blocked(),
                    &current.config.keyring_taken,
                    &snapshot.config.keyring_source,
                ) && snapshot.config.keyring_source == current.config.keyring_source
                {
                    self.reject(vec![source.fault(odd.clone())], why);
                    return;
                }
                // Blocked before it is in force, and free only afterwards.
                if odd.is_some() {
                    self.source_seen.block(odd.clone());
                }
                self.take_over(snapshot, &warnings, why);
                self.source_seen.block(odd);
            }
            Err(faults) => self.reject(faults, why),
        }
        self.read_webhook_secrets();
    }

    fn take_over(&self, snapshot: Snapshot, warnings: &[config::Warning], why: Why) {
        let current = self.current();
        let same = current.config.digest == snapshot.config.digest
            && current.keyring.digest() == snapshot.keyring.digest()
            && current.config.keyring_taken == snapshot.config.keyring_taken
            && current.tenant_faults() == snapshot.tenant_faults();
        if why == Why::Found && same && self.live.rejected().is_none() {
            return;
        }
        let entry = snapshot.entry(None);
        let (configuration, keyring) = (snapshot.config.digest.clone(), snapshot.keyring.digest().to_owned());
        snapshot.report_tenants();
        let differ = differing(&current.keyring, &snapshot.keyring);
        // Both in one step: a decision sees the one or the other.
        self.swap(Arc::new(snapshot));
        *self.live.rejected() = None;
        let before = {
            let mut good = lock(&self.live.good);
            good.at = Gate::now();
            std::mem::replace(&mut good.keyring, keyring.clone())
        };
        for warning in warnings {
            tracing::warn!("{}", warning.told());
        }
        let found = why == Why::Found;
        tracing::info!(%configuration, %keyring, found, "reloaded");
        self.note(Event::Reload(entry));
        if before != keyring {
            self.live.changed(before, keyring, differ);
        }
        self.settle_found();
        self.tell_expiring(Gate::now());
    }

    /// Puts a change on record that no command told of. A command writes first and tells then, so it is given
    /// a moment for that.
    pub(super) fn settle_found(&self) {
        let found = {
            let mut unexplained = lock(&self.live.unexplained);
            let Some(one) = &*unexplained else { return };
            let differ: Vec<String> = one.differ.principals.iter().cloned().collect();
            if self.live.told(&one.before, &one.after, &differ) {
                *unexplained = None;
                return;
            }
            if one.since.elapsed() < TELL {
                return;
            }
            unexplained.take()
        };
        let Some(Unexplained { before, after, differ, .. }) = found else { return };
        let principals: Vec<String> = differ.principals.into_iter().collect();
        tracing::warn!(
            principals = %principals.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", "),
            "the keyring's files were changed, and no command told of it"
        );
        let files: Vec<_> = differ.files.into_values().collect();
        self.note(Event::KeyringFound(
            KeyringFoundEntry::new(&before, &after).differing(&principals, &files),
        ));
    }

    fn reject(&self, faults: Vec<Diagnostic>, why: Why) {
        let before = self.current();
        let revocations = self.keep_revocations(&before);
        let error = joined(&faults);
        let news = {
            let mut rejected = self.live.rejected();
            let last = rejected.as_ref();
            let news = revocations > 0 || last.is_none_or(|last| last.faults != faults);
            let since = last.map_or_else(Instant::now, |last| last.since);
            let since_at = last.map_or_else(Gate::now, |last| last.since_at);
            let revocations = revocations + last.map_or(0, |last| last.revocations);
            *rejected = Some(Rejected { since, since_at, last_at: Gate::now(), faults, revocations });
            news
        };
        if why == Why::Found && !news {
            return;
        }
        tracing::error!("the new configuration is rejected and the last good one stays in force:\n{error}");
        self.note(Event::Reload(self.current().entry(Some(&error))));
    }

    /// The rejected state may revoke keys: that part outranks (N15). Both count, the sources of the
    /// configuration in force and those that the rejected one names. Gives how many were news.
    fn keep_revocations(&self, current: &Snapshot) -> usize {
        let (mut keyring, mut count) = current.keyring.with_revocations_from(&current.config.keyring);
        let named =
            config::revocation_sources(self.source()).filter(|named| *named != current.config.keyring);
        if let Some(named) = named {
            let (stricter, more) = keyring.with_revocations_from(named);
            (keyring, count) = (stricter, count + more);
        }
        if count > 0 {
            tracing::warn!(count, "revocations of the rejected keyring are in force");
            self.swap(Arc::new(Snapshot { config: Arc::clone(&current.config), keyring }));
        }
        count
    }

    /// What changed while no daemon ran is on record, too, as far as the record knows what was in force.
    pub(super) fn note_changed_while_away(&self) {
        let filter = Filter { reverse: true, limit: Some(LOOK_BACK), ..Filter::default() };
        let last = self.store.log(filter).ok().and_then(|entries| {
            entries.flatten().find_map(|entry| match entry.record().ok()?.event {
                Event::Start(service) | Event::Stop(service) | Event::Reload(service) => service.keyring,
                Event::Decision(decision) => Some(decision.keyring),
                Event::KeyringChanged(change) => Some(change.keyring_after),
                _ => None,
            })
        });
        let now = self.current();
        if let Some(last) = last.filter(|last| last != now.keyring.digest()) {
            tracing::warn!("the keyring was changed while no daemon ran");
            let found = KeyringFoundEntry::new(&last, now.keyring.digest());
            self.note(Event::KeyringFound(found));
        }
    }

    /// What is in force, since when, and what is not.
    pub fn keyring_status(&self) -> Status {
        let rejected = self.live.rejected();
        let current = self.current();
        let (sources, keyring) = (&current.config.keyring, &current.keyring);
        let looked = lock(&self.live.looked).clone();
        let good = lock(&self.live.good);
        let shown = |path: &std::path::Path| text::escape(path.as_os_str().as_encoded_bytes());
        let until = rejected
            .as_ref()
            .and_then(|one| one.since_at.checked_add(current.config.daemon.last_good).ok().map(rfc3339_ms));
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            loaded_at: rfc3339_ms(good.at),
            configuration: InForce {
                path: shown(&current.config.source),
                digest: current.config.digest.clone(),
            },
            keyring: KeyringInForce {
                directory: shown(&sources.dir),
                allowed_signers: sources.allowed_signers.iter().map(|one| shown(&one.path)).collect(),
                revocation_lists: sources.revocations.iter().map(|one| shown(&one.path)).collect(),
                digest: keyring.digest().to_owned(),
                principals: keyring.principals().len(),
                keys: keyring.keys().len(),
                authorities: keyring.authorities().len(),
            },
            source: self.source_status(&current),
            watched_at: looked.at.map(rfc3339_ms),
            changing_since: looked.changing.map(rfc3339_ms),
            decides: rejected.as_ref().is_none_or(|one| !one.too_old(&current.config)),
            last_good_until: until,
            rejected: rejected.as_ref().map(|one| Rejection {
                since: rfc3339_ms(one.since_at),
                last: rfc3339_ms(one.last_at),
                revocations_taken: one.revocations,
                faults: told(&one.faults),
            }),
        }
    }
}

/// How two keyrings differ in what they were read from.
#[derive(Debug, Default)]
struct Differing {
    principals: BTreeSet<String>,
    files: BTreeMap<String, KeyringFileEntry>,
}

fn differing(before: &Keyring, after: &Keyring) -> Differing {
    let read = |keyring: &Keyring| keyring.files().iter().cloned().collect::<BTreeMap<_, _>>();
    let (old, new) = (read(before), read(after));
    let hex = |digest: &[u8; 32]| data_encoding::HEXLOWER.encode(digest);
    let mut out = Differing::default();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
        let principal = crate::keyring::is_name(name);
        let shown = text::escape_short(name.as_bytes(), 200);
        let file = if principal { format!("{shown}.toml") } else { shown.clone() };
        let (before, after) = (old.get(name).map(hex), new.get(name).map(hex));
        out.files.insert(file.clone(), KeyringFileEntry { name: file, before, after });
        if principal {
            out.principals.insert(shown);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(before: &str, after: &str, principals: &[&str]) -> Announced {
        let principals = principals.iter().map(|name| (*name).to_owned()).collect();
        Announced { before: before.into(), after: after.into(), principals }
    }

    #[test]
    fn only_a_chain_of_told_changes_about_all_that_differs_explains_a_keyring() {
        let snapshot = Live {
            reloading: Mutex::default(),
            waiting: AtomicBool::new(false),
            rejected: Mutex::default(),
            good: Mutex::new(Good { keyring: "a".into(), at: Timestamp::UNIX_EPOCH }),
            announced: Mutex::default(),
            unexplained: Mutex::default(),
            looked: Mutex::default(),
        };
        let told = |before, after, differ: &[&str]| {
            let differ: Vec<String> = differ.iter().map(|name| (*name).to_owned()).collect();
            snapshot.told(before, after, &differ)
        };
        let both = || {
            snapshot.announce(change("a", "b", &["alice"]));
            snapshot.announce(change("b", "c", &["bob"]));
        };
        assert!(!told("a", "b", &[]));
        both();
        assert!(told("a", "c", &["alice", "bob"]), "two commands, one reload");
        assert!(!told("a", "c", &["alice", "bob"]), "the same change once more, by hand");
        both();
        assert!(told("a", "b", &["alice"]) && told("b", "c", &["bob"]), "a reload for each");
        both();
        assert!(!told("a", "c", &["alice", "bob", "carol"]), "somebody edited carol's file meanwhile");
        // A hand edit before a command: the command found another keyring than was in force.
        snapshot.announce(change("x", "y", &["dora"]));
        assert!(!told("c", "y", &["dora"]));
        for _ in 0..2 * ANNOUNCED {
            snapshot.announce(change("p", "q", &[]));
        }
        assert_eq!(lock(&snapshot.announced).len(), ANNOUNCED);
    }
}
