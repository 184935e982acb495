//! Who may ask a running gate about its keyring and tell it of changes, and who that is.

use super::gate::Gate;
use super::keyring_changes::record_of;
use super::reload::Announced;
use crate::domain::{Timestamp, text};
use crate::keyring::{ChangeRecord, MAX_SIGNATURE};
use crate::store::StoreError;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Largest account file that is looked into, in bytes.
const MAX_ACCOUNTS: u64 = 4 << 20;
/// Changes that may be told of at once.
const BURST: f64 = 1200.0;
/// And how many more a second.
const RATE: f64 = 20.0;
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
    /// It says that somebody signed it, and nobody of the keyring did.
    #[error("{0}")]
    Signature(String),
    /// There were too many of late (N26). What the files say is found and recorded all the same.
    #[error("too many changes of late; the change is recorded as found in the files")]
    TooMany,
    /// The record.
    #[error("the audit log cannot be used: {0}")]
    Store(#[from] StoreError),
}

/// Who is at the other end of a socket, as the kernel and this machine's own accounts say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Operator {
    /// The user id of the process.
    pub(super) uid: u32,
    /// The account of that number, escaped.
    pub(super) account: Option<String>,
    /// The account that logged in, where the system keeps track of it, escaped.
    pub(super) session: Option<String>,
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

    /// Puts a change that a command tells of, a [`ChangeRecord`] in JSON, on record. The caller has made sure
    /// that the account may operate, and has the files read then; `pid` is the process that the kernel names,
    /// where it does.
    ///
    /// # Errors
    /// See [`ChangeError`]; nothing is on record then.
    pub fn record_change(&self, change: &[u8], uid: u32, pid: Option<i32>) -> Result<u64, ChangeError> {
        let change: ChangeRecord = serde_json::from_slice(change)?;
        check(&change)?;
        if !self.changes.take(Instant::now()) {
            return Err(ChangeError::TooMany);
        }
        let now = Gate::now();
        let signer = self.signer_of(&change, now)?;
        let record = record_of(&change, Some((&operator(uid, pid), now)), signer.as_deref());
        let seq = self.store.append(record)?;
        tracing::info!(action = %text::escape_short(change.action.as_bytes(), 60), uid, "the keyring was changed");
        self.live.announce(Announced {
            before: change.keyring_before.clone(),
            after: change.keyring_after.clone(),
            principals: change.principals.clone(),
        });
        Ok(seq)
    }
}

impl Gate {
    /// Who signed a change, by the keyring that is in force, where that is the one before the change. After a crash it
    /// may be another one: then nobody can tell, and nobody is said to have signed it.
    fn signer_of(&self, change: &ChangeRecord, now: Timestamp) -> Result<Option<String>, ChangeError> {
        let snapshot = self.current();
        if snapshot.keyring.digest() != change.keyring_before {
            return Ok(None);
        }
        crate::keyring::signer_of(&snapshot.keyring, change, now).map_err(ChangeError::Signature)
    }
}

/// Refuses what no command would say (N26): nothing else is needed to tell what was changed from noise.
fn check(change: &ChangeRecord) -> Result<(), ChangeError> {
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
    if change.signature.as_ref().is_some_and(|one| one.len() > MAX_SIGNATURE) {
        return wrong("`signature` is too long");
    }
    if !crate::keyring::is_name(&change.action) {
        return wrong("`action` is a word");
    }
    if !change.principals.iter().all(|name| crate::keyring::is_name(name)) {
        return wrong("`principals` are names of principals");
    }
    Ok(())
}

/// The account of a process, as the kernel and this machine's own accounts say.
pub(super) fn operator(uid: u32, pid: Option<i32>) -> Operator {
    let accounts = read(Path::new("/etc/passwd"));
    let login = pid.and_then(|pid| {
        let text = read(Path::new(&format!("/proc/{pid}/loginuid")));
        text.trim().parse::<u32>().ok().filter(|uid| *uid != NO_LOGIN)
    });
    Operator {
        uid,
        account: account(&accounts, uid),
        session: login.map(|uid| account(&accounts, uid).unwrap_or_else(|| format!("uid {uid}"))),
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
            at: "1999-01-02T03:04:05Z".into(),
            action: "revoke".into(),
            local: false,
            by: Author { login: Some("mallory".into()), uid: 4711, signer: Some("root SHA256:x".into()) },
            reason: Some("laptop lost".into()),
            principals: vec!["bob".into()],
            keys: vec!["SHA256:x".into()],
            files: vec![FileDigests { name: "bob.toml".into(), before: Some("b".repeat(64)), after: None }],
            keyring_before: "c".repeat(64),
            keyring_after: "d".repeat(64),
            signature: None,
        }
    }

    fn json(change: &ChangeRecord) -> String {
        let root = Operator { uid: 0, account: Some("root".into()), session: Some("alice".into()) };
        let at = "2026-01-02T03:04:05Z".parse().unwrap();
        record_of(change, Some((&root, at)), None).canonical().unwrap()
    }

    #[test]
    fn who_it_was_is_what_the_kernel_says_and_the_rest_is_a_claim() {
        let said = json(&change());
        let by = r#""by":{"login":"mallory","uid":0,"account":"root","session":"alice"}"#;
        assert!(said.contains(by), "{said}");
        assert!(said.contains(r#""at":"2026-01-02T03:04:05.000Z""#), "the gate's clock: {said}");
        assert_eq!(account("root:x:0:0::/:/bin/sh\nal:x:7:7::/:/bin/sh\n", 7).as_deref(), Some("al"));
        assert_eq!(account("broken\n:::\nx:y:z\n", 7), None);
    }

    #[test]
    fn n26_what_no_command_would_say_is_refused_and_nothing_reaches_a_terminal() {
        let wrong = |edit: fn(&mut ChangeRecord)| {
            let mut change = change();
            edit(&mut change);
            assert!(matches!(check(&change), Err(ChangeError::Malformed(_))), "{change:?}");
        };
        assert!(check(&change()).is_ok());
        wrong(|change| change.id = "short".into());
        wrong(|change| change.action = "re\nvoke".into());
        wrong(|change| change.action = String::new());
        wrong(|change| change.principals.push("../../etc/passwd".into()));
        wrong(|change| change.keyring_after = "D".repeat(64));
        wrong(|change| change.files[0].before = Some("\u{1b}[31m".into()));
        let mut odd = change();
        odd.reason = Some(format!("\u{1b}[31m{}", "x".repeat(5000)));
        odd.files = vec![odd.files[0].clone(); 4000];
        odd.files[0].name = "\u{9b}31m".into();
        odd.keys = vec!["k".repeat(4000); 4000];
        odd.by.login = Some("\n\n".into());
        let said = json(&odd);
        assert!(said.len() < 60 << 10, "{}", said.len());
        assert!(!said.contains("\\u001b") && !said.contains('\u{9b}'), "{said}");
    }

    #[test]
    fn n26_a_flood_is_bounded_and_ends() {
        let (budget, now) = (Budget::default(), Instant::now());
        assert_eq!((0..5000).filter(|_| budget.take(now)).count(), 1200);
        let later = now + Duration::from_secs(10);
        assert_eq!((0..5000).filter(|_| budget.take(later)).count(), 200);
    }
}
