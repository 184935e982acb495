//! What a command asks the running gate: what is in force, whether a change has arrived, and to put a change
//! on record.

use super::status::{CHANGES_PATH, Noted, RELOAD_PATH, SOURCE_PATH, STATUS_PATH, Status};
use crate::config::{self, Config};
use crate::domain::text;
use crate::hook::{Ask, Failure, exchange};
use crate::keyring::ChangeRecord;
use serde::de::DeserializeOwned;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// For how long one question may take: reading a large keyring takes a moment.
const ONE: Duration = Duration::from_secs(20);
/// How often a change that was not there yet is asked for.
const AGAIN: Duration = Duration::from_millis(200);

/// Where the daemon is, and which account it must run under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Its socket.
    pub socket: PathBuf,
    /// Its state directory, whose owner it runs as.
    pub state: Option<PathBuf>,
}

/// Why the daemon says nothing that could be relied on.
#[derive(Debug, thiserror::Error)]
pub enum Unreachable {
    /// The configuration says nothing about a socket.
    #[error("the configuration names no socket")]
    NoSocket,
    /// Nobody is there, or not the daemon.
    #[error("{0}")]
    Hook(#[from] Failure),
    /// It does not answer this account, or this question.
    #[error("the daemon refuses to answer (HTTP status {status}): {why}")]
    Refused {
        /// The status.
        status: u16,
        /// What it says, escaped.
        why: String,
    },
    /// It says something else than this program understands.
    #[error("the daemon's answer is not understood: {0}; install both programs from one release")]
    Answer(String),
}

impl Unreachable {
    /// Whether no daemon runs: nobody listens at the socket.
    pub fn is_absent(&self) -> bool {
        use std::io::ErrorKind::{ConnectionRefused, NotFound};
        matches!(self, Unreachable::Hook(Failure::Connect(_, error))
            if matches!(error.kind(), NotFound | ConnectionRefused))
    }
}

/// Whether a keyring is in force.
#[derive(Debug)]
pub enum Confirmation {
    /// The daemon has loaded exactly these files.
    InForce(Box<Status>),
    /// It has not, in all the time that was given.
    NotYet(Box<Status>),
    /// Nobody can tell: no daemon runs, or it does not answer.
    Unknown(Unreachable),
}

impl Daemon {
    /// The one of this configuration.
    pub fn of(config: &Config) -> Self {
        Daemon { socket: config.daemon.socket.clone(), state: Some(config.daemon.state.clone()) }
    }

    /// The one of a configuration that may have faults.
    ///
    /// # Errors
    /// Where it names no socket.
    pub fn named_by(path: &Path) -> Result<Self, Unreachable> {
        if let Ok(loaded) = config::load(path) {
            return Ok(Daemon::of(&loaded.config));
        }
        let socket = config::hook_socket(path).ok_or(Unreachable::NoSocket)?;
        Ok(Daemon { socket, state: None })
    }

    /// Root, this account, and whoever owns the state: nobody else may speak for the gate.
    fn trusts(&self, uid: u32) -> Result<(), u32> {
        let own = rustix::process::geteuid().as_raw();
        let owner = self.state.as_ref().and_then(|state| std::fs::metadata(state).ok());
        let owner = owner.map_or(own, |found| found.uid());
        if [0, own, owner].contains(&uid) { Ok(()) } else { Err(owner) }
    }

    fn ask<T: DeserializeOwned>(&self, method: &str, path: &str, body: &[u8]) -> Result<T, Unreachable> {
        let ask = Ask { method, path, body, timeout: ONE };
        let (status, body) = exchange(&self.socket, |uid| self.trusts(uid), &ask)?;
        if status != 200 {
            return Err(Unreachable::Refused { status, why: text::escape_short(&body, 4000) });
        }
        serde_json::from_slice(&body)
            .map_err(|error| Unreachable::Answer(text::escape_short(error.to_string().as_bytes(), 200)))
    }

    /// Asks something about webhooks, or has something done about them: a body is posted, and without one it is a
    /// question.
    ///
    /// # Errors
    /// See [`Unreachable`].
    pub fn webhooks<T: DeserializeOwned>(&self, path: &str, body: Option<&[u8]>) -> Result<T, Unreachable> {
        let method = if body.is_some() { "POST" } else { "GET" };
        self.ask(method, path, body.unwrap_or_default())
    }

    /// What is in force.
    ///
    /// # Errors
    /// See [`Unreachable`].
    pub fn status(&self) -> Result<Status, Unreachable> {
        self.ask("GET", STATUS_PATH, b"")
    }

    /// Has the files read at once, and says what is in force then.
    ///
    /// # Errors
    /// See [`Unreachable`].
    pub fn reload(&self) -> Result<Status, Unreachable> {
        self.ask("POST", RELOAD_PATH, b"")
    }

    /// Declares what the keyring's source holds to be the keyring.
    ///
    /// # Errors
    /// See [`Unreachable`]; a refusal with status 409 says why it cannot be.
    pub fn accept_source(&self, commit: &str, reason: &str) -> Result<Status, Unreachable> {
        let body = serde_json::json!({ "commit": commit, "reason": reason });
        self.ask("POST", SOURCE_PATH, body.to_string().as_bytes())
    }

    /// Puts a change on record, after which the daemon reads the files.
    ///
    /// # Errors
    /// See [`Unreachable`]. What it finds changed it records in any case.
    pub fn record(&self, change: &ChangeRecord) -> Result<Noted, Unreachable> {
        let body = serde_json::to_vec(change).map_err(|error| Unreachable::Answer(error.to_string()))?;
        self.ask("POST", CHANGES_PATH, &body)
    }

    /// Waits until the daemon has loaded the keyring with this digest, and has it read the files at once
    /// (N15). Another digest is another keyring, whatever it holds.
    pub fn await_in_force(&self, digest: &str, timeout: Duration) -> Confirmation {
        let until = Instant::now() + timeout;
        let mut status = self.reload();
        loop {
            match status {
                Ok(status) if status.keyring.digest == digest => {
                    return Confirmation::InForce(Box::new(status));
                }
                Ok(status) if Instant::now() >= until => return Confirmation::NotYet(Box::new(status)),
                Err(error) if error.is_absent() || Instant::now() >= until => {
                    return Confirmation::Unknown(error);
                }
                Ok(_) | Err(_) => {}
            }
            std::thread::sleep(AGAIN.min(until.saturating_duration_since(Instant::now())));
            status = self.status();
        }
    }
}

/// [`Daemon::await_in_force`] for the daemon of a configuration.
pub fn await_in_force(config: &Config, digest: &str, timeout: Duration) -> Confirmation {
    Daemon::of(config).await_in_force(digest, timeout)
}
