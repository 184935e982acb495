//! Noticing that configuration or keyring changed.
//!
//! By looking, once a second, at names, inodes, sizes, times and modes: that works on every file system, over
//! NFS and through the links of mounted volumes, needs no descriptor a file, and sees changes that were made
//! while nobody looked. Files are read only after they were left alone for a moment, because an editor may
//! save in steps; what is read is checked as a whole in any case.

use super::gate::Gate;
use crate::config::{self, Watched};
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Looking takes at most one part in so many of one core, as long as that does not make it rarer than [`RARELY`].
const SHARE: u32 = 25;
/// The longest pause between two looks, however much they cost: a revocation that was written waits for the next.
const RARELY: Duration = Duration::from_secs(5);
/// For how long the files have to be left alone before they are read.
const QUIET: Duration = Duration::from_millis(900);
/// Files that are never left alone are read after this all the same, and not more often.
const PATIENCE: Duration = Duration::from_secs(15);
/// Files that look the same are read anyway now and then, for file systems with doubtful times.
const ANYWAY: Duration = Duration::from_secs(600);
/// The journal of a keyring's change, which readers take files from.
const JOURNAL: &str = ".change";
/// What a keyring's directory was taken over from, rulesets included.
const MARKER: &str = ".source";

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watch {
    /// Closing them ends the threads.
    _ends: [SyncSender<()>; 2],
}

/// Starts to watch a gate's files, and the ref that its keyring follows.
///
/// The ref has a thread of its own: whoever can write the repository's files can make reading them slow, or hang, and must
/// not keep anybody from hearing of a revocation by that (N15).
///
/// # Errors
/// Where there is no thread to be had.
pub fn watch(gate: &Arc<Gate>) -> std::io::Result<Watch> {
    let mut quiet = Quiet::default();
    let files = again_and_again(gate, "watch", move |gate| look(gate, &mut quiet))?;
    let source = again_and_again(gate, "source", follow)?;
    Ok(Watch { _ends: [files, source] })
}

/// Does it again and again in a thread, until what this gives is dropped.
fn again_and_again(
    gate: &Arc<Gate>,
    name: &'static str,
    mut look: impl FnMut(&Gate) -> Duration + Send + 'static,
) -> std::io::Result<SyncSender<()>> {
    let gate = Arc::clone(gate);
    let (end, ended) = sync_channel(0);
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let mut pause = EVERY;
        while matches!(ended.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
            // A defect must not end the watch in silence.
            pause = catch_unwind(AssertUnwindSafe(|| look(&gate))).unwrap_or_else(|_| {
                tracing::error!(
                    thread = name,
                    "an internal error while looking at configuration, keyring or source"
                );
                EVERY
            });
        }
    })?;
    Ok(end)
}

/// For how long not to look after a look that took so long. That says as much about a busy machine as about the
/// files, so it never keeps a change from being seen for long; and what was seen is read as soon as it rests.
fn pause(took: Duration, changing: bool) -> Duration {
    if changing { EVERY } else { EVERY.max(took.saturating_mul(SHARE)).min(RARELY) }
}

/// Takes over what the ref holds, if it is time to; gives the pause until the next look.
fn follow(gate: &Gate) -> Duration {
    let started = Instant::now();
    gate.follow_source();
    pause(started.elapsed(), false)
}

/// Looks once, and reads if it is time to; gives the pause until the next.
fn look(gate: &Gate, quiet: &mut Quiet) -> Duration {
    let started = Instant::now();
    let before = stamp(gate);
    let took = started.elapsed();
    let (read, mut changing) = quiet.look(before, Instant::now());
    {
        let mut looked = gate.live.looked.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        looked.at = Some(Gate::now());
        looked.changing = changing.then(|| looked.changing.unwrap_or_else(Gate::now));
    }
    gate.settle_found();
    gate.tend_webhooks();
    if read {
        gate.reload_found();
        // They may have changed while they were read, and the configuration may name others now.
        let after = stamp(gate);
        quiet.read(before, after, Instant::now());
        changing = before != after;
    }
    pause(took, changing)
}

/// When to read: a change was seen, and the files were left alone since.
#[derive(Debug, Default)]
struct Quiet {
    /// What was seen last, and since when.
    seen: Option<([u8; 32], Instant)>,
    /// What was there, unchanged, before and after it was read, and when that was.
    settled: Option<([u8; 32], Instant)>,
    /// Since when the files are other than what was read.
    first: Option<Instant>,
}

impl Quiet {
    /// Whether to read now, and whether there is something to read once it is left alone.
    fn look(&mut self, stamp: [u8; 32], now: Instant) -> (bool, bool) {
        let since = match self.seen {
            Some((seen, since)) if seen == stamp => since,
            _ => now,
        };
        self.seen = Some((stamp, since));
        if let Some((settled, at)) = self.settled
            && settled == stamp
        {
            self.first = None;
            return (now.duration_since(at) >= ANYWAY, false);
        }
        let first = *self.first.get_or_insert(now);
        let read = now.duration_since(since) >= QUIET || now.duration_since(first) >= PATIENCE;
        (read, true)
    }

    fn read(&mut self, before: [u8; 32], after: [u8; 32], now: Instant) {
        if before == after {
            self.settled = Some((after, now));
            self.first = None;
        } else {
            // What was read is neither, so what was there earlier is no change back.
            self.settled = None;
            self.first = Some(now);
        }
    }
}

/// A digest of what the files look like from outside.
fn stamp(gate: &Gate) -> [u8; 32] {
    let source = gate.source();
    let mut watched = config::watched(source);
    // While the configuration cannot be read, what is in force is read for revocations (N15).
    let current = gate.current();
    let sources = &current.config.keyring;
    watched.push(Watched::Keyring(sources.dir.clone()));
    let beside = sources.allowed_signers.iter().map(|one| &one.path);
    let beside = beside.chain(sources.revocations.iter().map(|one| &one.path));
    watched.extend(beside.cloned().map(Watched::File));
    let secrets = current.config.sources.iter().flat_map(|source| &source.secrets);
    watched.extend(secrets.filter_map(|one| one.place.path()).map(Watched::File));
    stamp_of(&watched)
}

fn stamp_of(watched: &[Watched]) -> [u8; 32] {
    let mut hash = Sha256::new();
    let mut seen: HashSet<PathBuf> = HashSet::new();
    for one in watched {
        match one {
            Watched::File(path) => {
                path.parent().into_iter().for_each(|dir| directories(&mut hash, dir));
                file(&mut hash, path);
            }
            Watched::Files(dir, glob) => {
                let wanted = |name: &str| !name.starts_with('.') && glob.is_match(name);
                files(&mut hash, dir, wanted);
            }
            Watched::Keyring(dir) => {
                if seen.insert(dir.clone()) {
                    let own = [JOURNAL, MARKER];
                    let wanted = |name: &str| {
                        own.contains(&name) || (!name.starts_with('.') && name.ends_with(".toml"))
                    };
                    directories(&mut hash, dir);
                    files(&mut hash, dir, wanted);
                }
            }
        }
    }
    hash.finalize().into()
}

fn files(hash: &mut Sha256, dir: &Path, wanted: impl Fn(&str) -> bool) {
    directory(hash, dir);
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    let names = entries.flatten().map(|entry| entry.file_name());
    let mut names: Vec<_> = names.filter(|name| name.to_str().is_some_and(&wanted)).collect();
    names.sort_unstable();
    for name in names {
        file(hash, &dir.join(name));
    }
}

/// A directory and all that it is below, by name and where links lead: each is looked at before anything is trusted.
fn directories(hash: &mut Sha256, path: &Path) {
    let places = [std::path::absolute(path).ok(), path.canonicalize().ok()];
    for place in places.iter().flatten() {
        place.ancestors().for_each(|one| directory(hash, one));
    }
}

/// Who owns a directory and may write to it; its own times change with what is of no interest.
fn directory(hash: &mut Sha256, path: &Path) {
    hash.update(b"d");
    name(hash, path);
    match std::fs::metadata(path) {
        Ok(found) => numbers(hash, &[found.dev(), found.ino(), found.mode().into(), found.uid().into()]),
        Err(error) => name(hash, Path::new(&error.kind().to_string())),
    }
}

fn file(hash: &mut Sha256, path: &Path) {
    hash.update(b"f");
    name(hash, path);
    let found = std::fs::symlink_metadata(path);
    let linked = found.as_ref().is_ok_and(|found| found.file_type().is_symlink());
    state(hash, &found);
    if linked {
        state(hash, &std::fs::metadata(path));
    }
}

fn state(hash: &mut Sha256, found: &std::io::Result<Metadata>) {
    match found {
        Ok(found) => {
            let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
            numbers(hash, &[found.dev(), found.ino(), found.size(), found.mode().into(), found.uid().into()]);
            numbers(hash, &times.map(i64::cast_unsigned));
        }
        Err(error) => name(hash, Path::new(&error.kind().to_string())),
    }
}

fn name(hash: &mut Sha256, path: &Path) {
    let bytes = path.as_os_str().as_encoded_bytes();
    numbers(hash, &[bytes.len() as u64]);
    hash.update(bytes);
}

fn numbers(hash: &mut Sha256, all: &[u64]) {
    all.iter().for_each(|number| hash.update(number.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn n15_no_cost_keeps_a_change_from_being_seen_for_long() {
        let ms = Duration::from_millis;
        assert_eq!(pause(ms(10), false), EVERY);
        assert_eq!(pause(ms(100), false), ms(2500));
        assert_eq!(pause(Duration::MAX, false), RARELY);
        assert_eq!(pause(Duration::MAX, true), EVERY, "what was seen is read as soon as it rests");
    }

    /// How often a run of stamps, one a second, is read.
    fn reads(stamps: impl IntoIterator<Item = u8>) -> Vec<usize> {
        let (mut quiet, start, mut out) = (Quiet::default(), Instant::now(), Vec::new());
        for (second, stamp) in stamps.into_iter().enumerate() {
            let now = start + SECOND * u32::try_from(second).unwrap();
            if quiet.look([stamp; 32], now).0 {
                quiet.read([stamp; 32], [stamp; 32], now);
                out.push(second);
            }
        }
        out
    }

    #[test]
    fn files_are_read_once_they_are_left_alone() {
        assert_eq!(reads([1, 1, 1, 1, 1]), [1], "once at the start, for what changed before");
        assert_eq!(reads([1, 1, 1, 2, 2, 2, 2]), [1, 4]);
        assert_eq!(reads([1, 1, 2, 3, 4, 5, 5, 5]), [1, 6], "a burst is one change");
        assert_eq!(reads([1, 1, 2, 1, 1, 1]), [1], "and one that was taken back is none");
    }

    #[test]
    fn files_that_never_rest_are_read_now_and_then() {
        let busy = reads((0..60).map(|second| second + 10));
        assert_eq!(busy, [15, 31, 47]);
        let long = reads(std::iter::repeat_n(1, 1300));
        assert_eq!(long, [1, 601, 1201], "times may lie");
    }

    #[test]
    fn what_changed_while_it_was_read_is_read_again() {
        let (mut quiet, now) = (Quiet::default(), Instant::now());
        assert!(!quiet.look([1; 32], now).0);
        assert!(quiet.look([1; 32], now + SECOND).0);
        quiet.read([1; 32], [2; 32], now + SECOND);
        assert_eq!(quiet.look([2; 32], now + SECOND * 2), (false, true));
        assert!(quiet.look([2; 32], now + SECOND * 3).0);
    }

    #[test]
    fn what_was_changed_back_while_it_was_read_is_read_again() {
        let (mut quiet, now) = (Quiet::default(), Instant::now());
        let at = |second: u32| now + SECOND * second;
        quiet.look([1; 32], at(0));
        assert!(quiet.look([1; 32], at(1)).0);
        quiet.read([1; 32], [1; 32], at(1));
        quiet.look([2; 32], at(2));
        assert!(quiet.look([2; 32], at(3)).0);
        // Rejected, say, and mended before the reading was over.
        quiet.read([2; 32], [1; 32], at(3));
        assert_eq!(quiet.look([1; 32], at(4)), (false, true), "it is not what was read last");
        assert!(quiet.look([1; 32], at(5)).0);
    }

    #[test]
    fn every_change_that_a_reader_could_see_is_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let keyring = dir.path().join("keyring");
        fs::create_dir(&keyring).unwrap();
        let signers = dir.path().join("signers");
        let watched = [Watched::Keyring(keyring.clone()), Watched::File(signers.clone())];
        let mut last = stamp_of(&watched);
        let mut changes = |what: &str| {
            let now = stamp_of(&watched);
            assert_ne!(now, last, "{what}");
            last = now;
        };
        let alice = keyring.join("alice.toml");
        fs::write(&alice, "a").unwrap();
        changes("a new file");
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&alice, "b").unwrap();
        changes("other content of one length");
        fs::set_permissions(&alice, Permissions::from_mode(0o666)).unwrap();
        changes("a mode");
        fs::write(dir.path().join("new"), "b").unwrap();
        fs::rename(dir.path().join("new"), &alice).unwrap();
        changes("a file in its place");
        fs::rename(&alice, keyring.join("bob.toml")).unwrap();
        changes("a name");
        fs::write(keyring.join(".change"), "{}").unwrap();
        changes("a journal");
        fs::create_dir(dir.path().join("one")).unwrap();
        fs::write(dir.path().join("one/x"), "x").unwrap();
        symlink(dir.path().join("one/x"), keyring.join("carol.toml")).unwrap();
        changes("a link");
        std::thread::sleep(Duration::from_millis(20));
        fs::write(dir.path().join("one/x"), "y").unwrap();
        changes("what a link leads to");
        fs::write(&signers, "s").unwrap();
        changes("a file beside it");
        fs::set_permissions(&keyring, Permissions::from_mode(0o777)).unwrap();
        changes("who may write to the directory");
        fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
        changes("who may write above it");
        fs::remove_dir_all(&keyring).unwrap();
        changes("no directory");
        let before = stamp_of(&watched);
        fs::create_dir(dir.path().join("other")).unwrap();
        assert_eq!(stamp_of(&watched), before, "what nobody reads");
    }

    #[test]
    fn what_editors_leave_lying_about_is_no_change() {
        let dir = tempfile::tempdir().unwrap();
        let watched = [Watched::Keyring(dir.path().to_owned())];
        fs::write(dir.path().join("alice.toml"), "a").unwrap();
        let before = stamp_of(&watched);
        for name in [".alice.toml.swp", "alice.toml~", ".alice.tmp", "README"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        assert_eq!(stamp_of(&watched), before);
    }
}
