//! Putting changes of the keyring on record.

use super::keyring_live::Daemon;
use super::operators::Operator;
use crate::audit::{Event, KeyringAuthor, KeyringChangeEntry, KeyringFileEntry, Record};
use crate::config::Config;
use crate::domain::{Timestamp, text};
use crate::keyring::ChangeRecord;
use crate::store::{Mode, Store, StoreError};

/// Longest name of a login that is recorded.
const MAX_LOGIN: usize = 64;

/// Somebody who can put a change of the keyring on record.
pub trait ChangeRecorder {
    /// Whether a change could be put on record now. Asked before anything is written.
    ///
    /// # Errors
    /// It could not.
    fn ready(&self) -> Result<(), RecorderError>;

    /// Puts a change that has happened on record.
    ///
    /// # Errors
    /// It is not on record, as far as anybody can tell.
    fn record(&self, change: &ChangeRecord) -> Result<(), RecorderError>;
}

/// Why a change is not on record.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The audit log cannot be opened or written.
    #[error("the audit log cannot be written: {0}")]
    Store(#[from] StoreError),
    /// Nobody can tell whether there is one.
    #[error("whether there is an audit log cannot be told: {0}; run this as root or as the daemon's account")]
    Hidden(#[source] StoreError),
    /// The daemon does not take it.
    #[error("the daemon does not take it: {0}")]
    Daemon(String),
}

/// The recorder of an instance: `None` where there is no audit log yet, because the daemon has never run.
///
/// # Errors
/// The audit log is there and cannot be opened.
pub fn recorder(config: &Config) -> Result<Option<Box<dyn ChangeRecorder>>, RecorderError> {
    // Not being allowed to look is not the same as finding nothing.
    match Store::find(&config.daemon.state) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(error) => return Err(RecorderError::Hidden(error)),
    }
    // A daemon that runs is the one that writes, so that its files stay its own.
    let daemon = Daemon::of(config);
    match daemon.status() {
        Ok(_) => return Ok(Some(Box::new(Through { daemon }))),
        Err(error) if error.is_absent() => {}
        Err(error) => return Err(RecorderError::Daemon(error.to_string())),
    }
    let store = Store::open(&config.daemon.state, Mode::ReadWrite)?;
    Ok(Some(Box::new(Direct { store })))
}

/// Tells the daemon, which reads the files at once.
#[derive(Debug)]
pub struct Through {
    daemon: Daemon,
}

impl ChangeRecorder for Through {
    fn ready(&self) -> Result<(), RecorderError> {
        self.daemon.status().map(|_| ()).map_err(|error| RecorderError::Daemon(error.to_string()))
    }

    fn record(&self, change: &ChangeRecord) -> Result<(), RecorderError> {
        self.daemon.record(change).map(|_| ()).map_err(|error| RecorderError::Daemon(error.to_string()))
    }
}

/// Writes into the audit log itself: for where no daemon runs, by whoever may.
#[derive(Debug)]
pub struct Direct {
    store: Store,
}

impl ChangeRecorder for Direct {
    fn ready(&self) -> Result<(), RecorderError> {
        Ok(self.store.check_writable()?)
    }

    fn record(&self, change: &ChangeRecord) -> Result<(), RecorderError> {
        // This very process verified it, before anything was written.
        self.store.append(record_of(change, None, change.by.signer.as_deref()))?;
        Ok(())
    }
}

/// A change as the audit log has it. `by` is who is at the other end of a socket, and `at` the gate's clock;
/// without them, what the change says itself.
///
/// The change may come from another process, so that nothing in it is trusted to be escaped or short.
/// `signer` is who signed it and was verified: what the change says of that itself is a claim.
pub(super) fn record_of(
    change: &ChangeRecord,
    from: Option<(&Operator, Timestamp)>,
    signer: Option<&str>,
) -> Record {
    let line = |words: &str| escaped_once(words, 200);
    let entry = KeyringChangeEntry {
        id: line(&change.id),
        action: line(&change.action),
        local: change.local,
        by: KeyringAuthor {
            login: change.by.login.as_deref().map(|login| escaped_once(login, MAX_LOGIN)),
            uid: from.map_or(change.by.uid, |(by, _)| by.uid),
            account: from.and_then(|(by, _)| by.account.clone()),
            session: from.and_then(|(by, _)| by.session.clone()),
            signer: signer.map(line),
        },
        reason: change.reason.as_deref().map(|reason| escaped_once(reason, crate::audit::MAX_TEXT)),
        principals: change.principals.iter().map(|one| line(one)).collect(),
        keys: change.keys.iter().map(|one| line(one)).collect(),
        files: change
            .files
            .iter()
            .map(|file| KeyringFileEntry {
                name: line(&file.name),
                before: file.before.as_deref().map(line),
                after: file.after.as_deref().map(line),
            })
            .collect(),
        keyring_before: line(&change.keyring_before),
        keyring_after: line(&change.keyring_after),
        left_out: 0,
    };
    let said = || change.at.parse::<Timestamp>().unwrap_or_else(|_| Timestamp::now());
    let at = from.map_or_else(said, |(_, at)| at);
    Record::new(at, Event::KeyringChanged(entry.fitted()))
}

/// Escaped where it is not: what is escaped already has nothing but backslashes to escape.
fn escaped_once(words: &str, max: usize) -> String {
    if text::escape(words.as_bytes()) == words.replace('\\', "\\\\") && words.chars().count() <= max {
        return words.to_owned();
    }
    text::escape_short(words.as_bytes(), max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::{Author, FileDigests};

    #[test]
    fn what_another_process_says_is_escaped_and_cut() {
        let nasty = "x\u{1b}]0;\u{202e}".to_owned();
        let long = "y".repeat(10_000);
        let change = ChangeRecord {
            id: nasty.clone(),
            at: "not a time".to_owned(),
            action: nasty.clone(),
            local: false,
            by: Author { login: Some(long.clone()), uid: 0, signer: Some(nasty.clone()) },
            reason: Some("it\\'s \\x1b already".to_owned()),
            principals: vec![nasty.clone(); 1000],
            keys: vec![long.clone(); 1000],
            files: vec![FileDigests { name: nasty.clone(), before: Some(long), after: None }; 1000],
            keyring_before: nasty.clone(),
            keyring_after: nasty,
            signature: None,
        };
        let record = record_of(&change, None, change.by.signer.as_deref());
        let json = record.canonical().unwrap();
        assert!(json.len() < 64 << 10, "{}", json.len());
        let Event::KeyringChanged(entry) = record.event else { panic!("{json}") };
        assert_eq!((entry.by.uid, entry.left_out), (0, 3 * 950));
        assert_eq!(entry.id, "x\\x1b]0;\\u{202e}");
        // A record of ours is escaped; doing it twice would be another text.
        let ours = ChangeRecord { reason: Some("caf\u{e9}, it's new".to_owned()), ..change };
        let Event::KeyringChanged(entry) = record_of(&ours, None, None).event else { panic!() };
        assert_eq!((entry.by.uid, entry.reason.as_deref()), (0, Some("caf\u{e9}, it's new")));
    }
}
