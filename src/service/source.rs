//! The keyring from a ref that this gate itself guards: what was let in there, seen there and checked as a
//! whole becomes the keyring's files.
//!
//! The directory of the configuration stays what is read; this is a deployment that is built in. A state is
//! taken over only when the ref is seen at it, when the last applied decision on record is about exactly that
//! tip and was made by the built-in ruleset, and when it descends from the state before. Whoever can write to
//! the repository's files can move the ref, and gets none of that.

use super::fault::Fault;
use super::gate::{Gate, Snapshot};
use super::keyring_changes::record_of;
use super::locate::{self, Located};
use super::operators::{Operator, operator};
use super::reload::Announced;
use super::status::SourceStatus;
use crate::audit::rfc3339_ms;
use crate::config::{SOURCE_RULESET, TrustedSource};
use crate::domain::{ObjectId, text};
use crate::git::{FileLimits, FilesError, GitError, files_in, reaches};
use crate::keyring::{Author, ChangeOptions, ChangeRecord, EditError, Purpose, is_name, take};
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What is read of a commit.
const LIMITS: FileLimits = FileLimits { entries: 50_000, file: 8 << 20, total: 256 << 20 };
/// Where the state that was taken over last is kept, in the state directory.
const FILE: &str = "keyring-source.json";
/// Largest such file, in bytes.
const MAX_FILE: u64 = 64 << 10;
/// For how long looking whether a state descends from another may take.
const WALK: Duration = Duration::from_secs(60);
/// The action of its changes, on record.
const ACTION: &str = "source";

/// What was taken over last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Taken {
    /// The repository's identity (N3): another one of that name is another one.
    repository_id: String,
    repository: String,
    reference: String,
    path: String,
    commit: String,
    at: String,
}

impl Taken {
    fn is_of(&self, source: &TrustedSource, id: &str) -> bool {
        self.repository_id == id
            && self.reference == source.reference.to_string()
            && self.repository == source.repository
            && self.path == source.path
    }
}

/// Why a state is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The configuration has no `[keyring.source]`.
    #[error("the configuration in force has no [keyring.source]")]
    None,
    /// Nobody accepted a first state.
    #[error("nothing was accepted yet: look at the ref, then `countersign keyring source accept COMMIT`")]
    NotAccepted,
    /// The state that was taken over last is of another source.
    #[error(
        "what was accepted last is of another repository, ref or path: look at this one, then `countersign keyring source accept COMMIT`"
    )]
    Other,
    /// The repository cannot be used.
    #[error("{0}")]
    Repository(#[from] Fault),
    /// The ref is not there, or not a branch of its own.
    #[error("the ref is {0}")]
    Ref(&'static str),
    /// An operator named something else than the ref holds.
    #[error("the ref holds {0}; look at that one")]
    NotTheTip(ObjectId),
    /// The tip has no applied decision of the built-in ruleset.
    #[error("the ref was moved to {0} past the gate, or without a decision of its ruleset")]
    Undecided(ObjectId),
    /// The tip leaves out the state before.
    #[error("{tip} does not descend from {taken}, which was taken over last")]
    Sideways {
        /// What the ref holds.
        tip: ObjectId,
        /// What was taken over.
        taken: String,
    },
    /// The files of the commit cannot be a keyring.
    #[error("{0}")]
    Files(#[from] FilesError),
    /// The commit has a principal's file with a strange name or content.
    #[error("`{0}` is no name of a principal's file, or is not UTF-8 text")]
    Name(String),
    /// There is nobody in it.
    #[error("there is no principal's file in it")]
    Empty,
    /// The keyring would not load, lacks a revocation, or cannot be written.
    #[error("{0}")]
    Keyring(#[from] EditError),
    /// The record.
    #[error("the record cannot be used: {0}")]
    Store(#[from] StoreError),
    /// The state directory.
    #[error("what was taken over cannot be kept in mind: {0}")]
    Keep(#[from] std::io::Error),
}

impl From<GitError> for SourceError {
    fn from(error: GitError) -> Self {
        SourceError::Repository(error.into())
    }
}

/// What was seen last, for the status and against saying the same again.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<Last>);

#[derive(Debug, Default)]
struct Last {
    tip: Option<ObjectId>,
    fault: Option<String>,
}

impl Seen {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// Takes over what the ref holds, if it may be. Called every second.
    pub(super) fn follow_source(&self) {
        let snapshot = self.current();
        let Some(source) = &snapshot.config.keyring_source else { return };
        let done = self.next_state(&snapshot, source);
        let fault = done.as_ref().err().map(|error| text::escape_short(error.to_string().as_bytes(), 2000));
        let mut last = self.source_seen.last();
        if let Some(why) = &fault
            && last.fault.as_ref() != Some(why)
        {
            tracing::error!(
                repository = %source.repository, reference = %source.reference,
                "the keyring's source is not followed: {why}"
            );
        }
        last.fault = fault;
    }

    fn next_state(&self, snapshot: &Snapshot, source: &TrustedSource) -> Result<(), SourceError> {
        let (located, tip) = self.source_tip(snapshot, source)?;
        let id = &located.reference.id;
        let taken = self.taken_over()?.ok_or(SourceError::NotAccepted)?;
        if !taken.is_of(source, &id.0) {
            return Err(SourceError::Other);
        }
        if taken.commit == tip.to_string() {
            return Ok(());
        }
        // Decided is not applied (N10): the ref is seen at that value now.
        self.note_seen(id, &located.repository)?;
        let decided = self.store.judged_tip(id, &source.reference)? == Some(Some(tip))
            && self.store.is_accepted(id, SOURCE_RULESET, &source.reference, &tip)?;
        if !decided {
            return Err(SourceError::Undecided(tip));
        }
        let before = ObjectId::parse(taken.commit.as_bytes()).map_err(|_| SourceError::Other)?;
        let started = Instant::now();
        let stop = || match started.elapsed() > WALK {
            true => Err(GitError::Refs { why: "the history is too long to look through".to_owned() }),
            false => Ok(()),
        };
        if !reaches(located.repository.objects(), vec![tip], before, &stop)? {
            return Err(SourceError::Sideways { tip, taken: taken.commit });
        }
        self.take_state(snapshot, source, &located, tip, None)
    }

    /// An operator declares what the ref holds now to be the keyring: the first state, or one that is not
    /// taken over by itself (N9). It must load all the same.
    ///
    /// # Errors
    /// See [`SourceError`]; nothing was changed then.
    pub fn accept_source(
        &self,
        commit: &str,
        reason: &str,
        uid: u32,
        pid: Option<i32>,
    ) -> Result<(), SourceError> {
        let snapshot = self.current();
        let source = snapshot.config.keyring_source.as_ref().ok_or(SourceError::None)?;
        let (located, tip) = self.source_tip(&snapshot, source)?;
        if tip.to_string() != commit {
            return Err(SourceError::NotTheTip(tip));
        }
        self.take_state(&snapshot, source, &located, tip, Some((reason, operator(uid, pid))))?;
        self.source_seen.last().fault = None;
        Ok(())
    }

    fn source_tip(
        &self,
        snapshot: &Snapshot,
        source: &TrustedSource,
    ) -> Result<(Located, ObjectId), SourceError> {
        let root = &snapshot.config.repositories.root;
        let places = [format!("{}.git", source.repository), source.repository.clone()];
        let place = places.iter().map(|name| root.join(name)).find(|place| place.is_dir());
        let located = locate::open(root, &place.unwrap_or_else(|| root.join(&places[0])), None)?;
        if located.reference.name != source.repository {
            return Err(SourceError::Other);
        }
        self.identify(root, &located)?;
        let state = located.repository.resolve(&source.reference)?;
        if state.symbolic {
            return Err(SourceError::Ref("a symbolic one"));
        }
        let tip = state.value.ok_or(SourceError::Ref("not there"))?;
        self.source_seen.last().tip = Some(tip);
        Ok((located, tip))
    }

    /// Makes the keyring's files what the commit holds, then remembers that.
    fn take_state(
        &self,
        snapshot: &Snapshot,
        source: &TrustedSource,
        located: &Located,
        tip: ObjectId,
        by: Option<(&str, Operator)>,
    ) -> Result<(), SourceError> {
        let files = read_files(located, source, &tip)?;
        let own = rustix::process::geteuid().as_raw();
        let process = operator(own, None);
        let (said, who) = match &by {
            Some((reason, who)) => (format!("accepted: {reason}"), who),
            None => ("let in and seen".to_owned(), &process),
        };
        let reason = format!("{} {} at {tip}, {said}", source.repository, source.reference);
        let record = |change: &ChangeRecord| {
            let record = record_of(change, Some((who, Gate::now())));
            self.live.announce(Announced {
                before: change.keyring_before.clone(),
                after: change.keyring_after.clone(),
                principals: change.principals.clone(),
            });
            self.store.append(record).map(|_| ()).map_err(|error| error.to_string())
        };
        self.store.check_writable()?;
        let purpose = Purpose {
            action: ACTION,
            by: Author { login: None, uid: who.uid, signer: None },
            reason: Some(reason.chars().take(400).collect()),
            at: Gate::now(),
        };
        let options = ChangeOptions { purpose, dry_run: false, urgent: false, recorder: Some(&record) };
        let done = take(&snapshot.config.keyring, &files, &options)?;
        self.remember(&Taken {
            repository_id: located.reference.id.0.clone(),
            repository: source.repository.clone(),
            reference: source.reference.to_string(),
            path: source.path.clone(),
            commit: tip.to_string(),
            at: rfc3339_ms(Gate::now()),
        })?;
        tracing::info!(commit = %tip, files = done.files.len(), "the keyring was taken over from its source");
        self.reload_found();
        Ok(())
    }

    fn place_of_taken(&self) -> PathBuf {
        self.store_directory().join(FILE)
    }

    fn taken_over(&self) -> Result<Option<Taken>, SourceError> {
        let file = match File::open(self.place_of_taken()) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(Some(serde_json::from_slice(&bytes).map_err(std::io::Error::from)?))
    }

    fn remember(&self, taken: &Taken) -> Result<(), SourceError> {
        let place = self.place_of_taken();
        write_whole(&place, &serde_json::to_vec(taken).map_err(std::io::Error::from)?)?;
        Ok(())
    }

    /// For the status.
    pub(super) fn source_status(&self, snapshot: &Snapshot) -> Option<SourceStatus> {
        let source = snapshot.config.keyring_source.as_ref()?;
        let taken = self.taken_over().ok().flatten();
        let last = self.source_seen.last();
        Some(SourceStatus {
            repository: source.repository.clone(),
            reference: source.reference.to_string(),
            path: source.path.clone(),
            signers: source.signers.iter().map(|one| text::escape_short(one.as_bytes(), 100)).collect(),
            commit: taken.as_ref().map(|taken| taken.commit.clone()),
            taken_at: taken.map(|taken| taken.at),
            tip: last.tip.map(|tip| tip.to_string()),
            fault: last.fault.clone(),
        })
    }
}

/// The principals' files of the commit, by name.
fn read_files(
    located: &Located,
    source: &TrustedSource,
    tip: &ObjectId,
) -> Result<BTreeMap<String, String>, SourceError> {
    // Whatever looks like a principal's file has to be one: no name is left out that somebody might rely on.
    let wanted = |name: &[u8]| {
        !name.starts_with(b".") && (name.ends_with(b".toml") || name.to_ascii_lowercase().ends_with(b".toml"))
    };
    let found = files_in(located.repository.objects(), tip, &source.path, LIMITS, wanted)?;
    let mut files = BTreeMap::new();
    for (name, bytes) in found {
        let strange = || SourceError::Name(text::escape_short(&name, 100));
        let stem = std::str::from_utf8(&name).ok().and_then(|name| name.strip_suffix(".toml"));
        let stem = stem.filter(|stem| is_name(stem)).ok_or_else(strange)?;
        let content = String::from_utf8(bytes).map_err(|_| strange())?;
        files.insert(stem.to_owned(), content);
    }
    if files.is_empty() { Err(SourceError::Empty) } else { Ok(files) }
}

/// Replaces a file in one step that a crash leaves undone or done.
fn write_whole(place: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let temporary = place.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, place)?;
    place.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
