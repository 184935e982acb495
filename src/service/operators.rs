//! Who may ask a running gate about its keyring and tell it of changes, and who that is.

use super::gate::Gate;
use super::reload::Announced;
use crate::audit::{ChangeHow, Event, FileEntry, KeyringChangeEntry, OperatorEntry, Record};
use crate::domain::{Timestamp, text};
use crate::keyring::ChangeRecord;
use crate::store::{Store, StoreError};
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Largest account file that is looked into, in bytes.
const MAX_ACCOUNTS: u64 = 4 << 20;
/// Longest text of a change, in characters, that goes on record.
const MAX_TEXT: usize = 500;
/// Changes that may be told of at once.
const BURST: f64 = 120.0;
/// And how many more a second.
const RATE: f64 = 2.0;
/// What the kernel says where nobody logged in.
const NO_LOGIN: u32 = u32::MAX;

/// Why a change is not on record.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// It is not JSON as commands send it.
    #[error("this is no change of a keyring: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// It could not have been made by a command.
    #[error("this is no change of a keyring: {0}")]
    Malformed(&'static str),
    /// There were too many of late (N26). What the files say is found and recorded all the same.
    #[error("too many changes of late; the change is recorded as found in the files")]
    TooMany,
    /// The record.
    #[error("the audit log cannot be used: {0}")]
    Store(#[from] StoreError),
}

/// How many changes may still be told of.
#[derive(Debug)]
pub(super) struct Budget(Mutex<Option<(f64, Instant)>>);

impl Default for Budget {
    fn default() -> Self {
        Budget(Mutex::new(None))
    }
}

impl Budget {
    fn take(&self, now: Instant) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = state.unwrap_or((BURST, now));
        let left = (left + now.saturating_duration_since(at).as_secs_f64() * RATE).min(BURST);
        let enough = left >= 1.0;
        *state = Some((if enough { left - 1.0 } else { left }, now));
        enough
    }
}

impl Gate {
    /// Whether an account may ask about the keyring and tell of changes: root and the daemon's own, the
    /// only ones whose files the keyring is read from. The Git account is no operator, whatever it may ask
    /// as a hook.
    pub fn may_operate(&self, uid: u32) -> bool {
        uid == 0 || uid == rustix::process::geteuid().as_raw()
    }

    /// Puts a change that a command tells of, a [`ChangeRecord`] in JSON, on record, then reads the files at
    /// once. The caller has made sure that the account may operate; `pid` is the process that the kernel
    /// names, where it does.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing is on record then.
    pub fn record_change(&self, change: &[u8], uid: u32, pid: Option<i32>) -> Result<u64, ChangeError> {
        let change: ChangeRecord = serde_json::from_slice(change)?;
        let entry = entry_of(&change, operator(uid, pid))?;
        if !self.changes.take(Instant::now()) {
            return Err(ChangeError::TooMany);
        }
        let seq = self.store.append(Record::new(Gate::now(), Event::KeyringChange(Box::new(entry))))?;
        tracing::info!(action = %text::escape_short(change.action.as_bytes(), 60), uid, "the keyring was changed");
        self.live.announce(Announced {
            before: change.keyring_before.clone(),
            after: change.keyring_after.clone(),
            principals: change.principals.clone(),
        });
        self.reload();
        Ok(seq)
    }
}

/// Puts a change on record where no daemon runs.
pub(super) fn record_in(store: &Store, change: &ChangeRecord, at: Timestamp) -> Result<u64, ChangeError> {
    let uid = rustix::process::getuid().as_raw();
    let entry = entry_of(change, operator(uid, i32::try_from(std::process::id()).ok()))?;
    Ok(store.append(Record::new(at, Event::KeyringChange(Box::new(entry))))?)
}

/// What goes on record. The command says what and why; who, the kernel does. The time is the gate's.
fn entry_of(change: &ChangeRecord, who: OperatorEntry) -> Result<KeyringChangeEntry, ChangeError> {
    let wrong = |why| Err(ChangeError::Malformed(why));
    let hexadecimal = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if !hexadecimal(&change.id, 32) {
        return wrong("`id` has 32 hexadecimal digits");
    }
    let digests = change.files.iter().flat_map(|file| [&file.before, &file.after]).flatten();
    let digests = digests.chain([&change.keyring_before, &change.keyring_after]);
    if !digests.into_iter().all(|digest| hexadecimal(digest, 64)) {
        return wrong("a digest has 64 hexadecimal digits");
    }
    if !crate::keyring::is_name(&change.action) {
        return wrong("`action` is a word");
    }
    if !change.principals.iter().all(|name| crate::keyring::is_name(name)) {
        return wrong("`principals` are names of principals");
    }
    // The command has escaped what it read; this is the second look, and it changes nothing that is clean.
    let clean = |text: &str| -> String {
        let visible = text.chars().map(|c| if c.is_control() { '?' } else { c });
        visible.take(MAX_TEXT).collect()
    };
    let keys: Vec<String> = change.keys.iter().map(|key| clean(key).chars().take(100).collect()).collect();
    let file = |file: &crate::keyring::FileDigests| FileEntry {
        name: clean(&file.name).chars().take(200).collect(),
        before: file.before.clone(),
        after: file.after.clone(),
    };
    let files: Vec<FileEntry> = change.files.iter().map(file).collect();
    let mut entry = KeyringChangeEntry::found(Some(&change.keyring_before), &change.keyring_after)
        .of_principals(&change.principals)
        .of_keys(&keys)
        .of_files(&files);
    entry.how = ChangeHow::Command;
    entry.id = Some(change.id.clone());
    entry.action = Some(change.action.clone());
    entry.reason = change.reason.as_deref().map(clean);
    entry.signer = change.by.signer.as_deref().map(clean);
    let claim = change.by.login.as_deref().map(clean).filter(|claim| !claim.is_empty());
    let known = [&who.account, &who.login].into_iter().flatten().any(|name| Some(name) == claim.as_ref());
    entry.who = Some(OperatorEntry { claim: claim.filter(|_| !known), ..who });
    Ok(entry)
}

/// The account of a process, as the kernel and this machine's own accounts say.
fn operator(uid: u32, pid: Option<i32>) -> OperatorEntry {
    let accounts = read(Path::new("/etc/passwd"));
    let login = pid.and_then(|pid| {
        let text = read(Path::new(&format!("/proc/{pid}/loginuid")));
        text.trim().parse::<u32>().ok().filter(|uid| *uid != NO_LOGIN)
    });
    OperatorEntry {
        uid,
        account: account(&accounts, uid),
        login: login.map(|uid| account(&accounts, uid).unwrap_or_else(|| format!("uid {uid}"))),
        claim: None,
    }
}

fn read(path: &Path) -> String {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let _ = file.and_then(|file| file.take(MAX_ACCOUNTS).read_to_end(&mut bytes));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first account of that number.
fn account(accounts: &str, uid: u32) -> Option<String> {
    let mut lines = accounts.lines().map(|line| line.split(':'));
    let name = lines.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })?;
    Some(text::escape_short(name.as_bytes(), 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::{Author, FileDigests};
    use std::time::Duration;

    fn change() -> ChangeRecord {
        ChangeRecord {
            id: "a".repeat(32),
            at: "2026-01-02T03:04:05Z".into(),
            action: "revoke".into(),
            by: Author { login: Some("alice".into()), uid: 4711, signer: None },
            reason: Some("laptop lost".into()),
            principals: vec!["bob".into()],
            keys: vec!["SHA256:x".into()],
            files: vec![FileDigests { name: "bob.toml".into(), before: Some("b".repeat(64)), after: None }],
            keyring_before: "c".repeat(64),
            keyring_after: "d".repeat(64),
        }
    }

    fn root() -> OperatorEntry {
        OperatorEntry { uid: 0, account: Some("root".into()), login: None, claim: None }
    }

    #[test]
    fn who_it_was_is_what_the_kernel_says_and_a_claim_is_called_one() {
        let entry = entry_of(&change(), root()).unwrap();
        let who = entry.who.unwrap();
        assert_eq!((who.uid, who.account.as_deref()), (0, Some("root")), "not the uid that it says itself");
        assert_eq!(who.claim.as_deref(), Some("alice"));
        let login = OperatorEntry { login: Some("alice".into()), ..root() };
        assert_eq!(entry_of(&change(), login).unwrap().who.unwrap().claim, None, "it is none any more");
        assert_eq!(account("root:x:0:0::/:/bin/sh\nal:x:7:7::/:/bin/sh\n", 7).as_deref(), Some("al"));
        assert_eq!(account("broken\n:::\nx:y:z\n", 7), None);
    }

    #[test]
    fn n26_what_no_command_would_say_is_refused_and_nothing_reaches_a_terminal() {
        let wrong = |edit: fn(&mut ChangeRecord)| {
            let mut change = change();
            edit(&mut change);
            assert!(matches!(entry_of(&change, root()), Err(ChangeError::Malformed(_))), "{change:?}");
        };
        wrong(|change| change.id = "short".into());
        wrong(|change| change.action = "re\nvoke".into());
        wrong(|change| change.action = String::new());
        wrong(|change| change.principals.push("../../etc/passwd".into()));
        wrong(|change| change.keyring_after = "D".repeat(64));
        wrong(|change| change.files[0].before = Some("\u{1b}[31m".into()));
        let mut odd = change();
        odd.reason = Some(format!("\u{1b}[31m{}", "x".repeat(5000)));
        odd.files[0].name = "\u{9b}31m".into();
        odd.keys = vec!["k".repeat(4000); 4000];
        let entry = entry_of(&odd, root()).unwrap();
        assert!(entry.reason.as_ref().unwrap().starts_with("?[31m"));
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        let json = Record::new(at, Event::KeyringChange(Box::new(entry))).canonical().unwrap();
        assert!(json.len() < 60 << 10, "{}", json.len());
    }

    #[test]
    fn n26_a_flood_is_bounded_and_ends() {
        let (budget, now) = (Budget::default(), Instant::now());
        assert_eq!((0..1000).filter(|_| budget.take(now)).count(), 120);
        let later = now + Duration::from_secs(10);
        assert_eq!((0..1000).filter(|_| budget.take(later)).count(), 20);
    }
}
