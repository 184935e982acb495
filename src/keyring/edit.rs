//! Changing a keyring on disk, so that no reader ever sees half a change.

use super::accounts::Account;
use super::change::{ChangeOptions, Changed, Draft, Purpose, broken, change, fault};
use super::document::{Diagnostic, nearest};
use super::principal_file;
use super::{Key, Keyring, KeyringError, Material, MaterialError, Sources, Standing, gravestone};
use crate::domain::{Principal, PrincipalKind, Timestamp, text};
use crate::signature::{KeyId, Scheme};
use rustix::fs::{FlockOperation, Gid, OFlags, Uid};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

/// How long to wait for another edit.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often to look whether it is over: often, so that who waits gets its turn between two edits of another.
const INTERVAL: Duration = Duration::from_millis(3);

/// What to add.
#[derive(Clone, Debug)]
pub struct AddRequest {
    /// Whose.
    pub name: String,
    /// What sort of actor; `None` keeps what is there, `person` for a new one.
    pub kind: Option<PrincipalKind>,
    /// Addresses to add.
    pub emails: Vec<String>,
    /// Groups to join.
    pub groups: Vec<String>,
    /// Accounts to add, as [`Account::parse`] reads them.
    pub accounts: Vec<String>,
    /// A public key as a file holds it: OpenSSH, or OpenPGP armored or binary. Without one the rest is added
    /// to somebody who is there, or to somebody new of whom `kind` is said.
    pub key: Option<Vec<u8>>,
    /// Addresses of people who were removed that may be given to this one. That takes a reason.
    pub reused: Vec<String>,
    /// Whether it is somebody who was removed and comes back. That takes a reason, and no revoked key.
    pub returning: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The principal's file.
    pub path: PathBuf,
    /// Whether the principal is new.
    pub created: bool,
    /// Whether it was removed before, and is back.
    pub returned: bool,
    /// Whether the key is new; the same key again is no error.
    pub key_added: bool,
    /// Whether a newer copy of an OpenPGP certificate took the place of the one that was there.
    pub key_updated: bool,
    /// Whether the file was written at all.
    pub changed: bool,
    /// The key, where one was given.
    pub key: Option<KeyId>,
    /// What is odd: a key that is expired, revoked or weak.
    pub warnings: Vec<String>,
}

/// Why a keyring was not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The name, an address or a group breaks the rules for them.
    #[error("{0}")]
    Invalid(String),
    /// The key cannot be read. Never quotes it.
    #[error("{0}")]
    Key(#[from] MaterialError),
    /// Somebody else has the key.
    #[error("{key} is held by `{owner}` already; one key belongs to one principal")]
    Taken {
        /// The key.
        key: String,
        /// Who has it.
        owner: String,
    },
    /// The principal is of another kind.
    #[error("`{name}` is a {is}, not a {wanted}; change `kind` in its file if that is wrong")]
    Kind {
        /// The principal.
        name: String,
        /// What it is.
        is: PrincipalKind,
        /// What was asked for.
        wanted: PrincipalKind,
    },
    /// The keyring does not load as it is.
    #[error("the keyring does not load as it is, so nothing is added to it\n{0}")]
    Keyring(#[source] KeyringError),
    /// The keyring would not load any more.
    #[error("the keyring would not load with this change, so nothing is written\n{0}")]
    Result(#[source] KeyringError),
    /// A file to import has faults, never none of them.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))]
    Import(Vec<Diagnostic>),
    /// The keyring, or what names the principal, is against it.
    #[error("{0}")]
    Refused(String),
    /// A change that a crash interrupted cannot be put on record.
    #[error(
        "an earlier change that was interrupted cannot be put on record, so nothing else is changed: {0}"
    )]
    Unrecorded(String),
    /// The change could not be signed.
    #[error("the change cannot be signed, so nothing is changed: {0}")]
    Signing(String),
    /// Another edit is in progress.
    #[error("another edit of this keyring is in progress")]
    Locked,
    /// The principal's file is a link to another place.
    #[error("`{}` is a symbolic link: edit what it points to", .0.display())]
    Link(PathBuf),
    /// A file operation failed.
    #[error("cannot {step} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

pub(super) fn io_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EditError {
    let path = path.to_owned();
    move |source| EditError::Io { step, path, source }
}

/// Adds a key, addresses and groups to a principal, who is created if need be.
///
/// The whole keyring is checked with the change in place before anything is written; the file is then
/// replaced in one step, under a lock. Comments in it survive.
///
/// # Errors
/// See [`EditError`]; nothing was written then.
pub fn add(sources: impl Into<Sources>, request: &AddRequest, now: Timestamp) -> Result<Added, EditError> {
    add_with(&sources.into(), request, &ChangeOptions::unrecorded("add", now)).map(|changed| changed.value)
}

/// [`add`], with everything that belongs to a change.
///
/// # Errors
/// See [`EditError`].
pub fn add_with(
    sources: &Sources,
    request: &AddRequest,
    options: &ChangeOptions<'_>,
) -> Result<Changed<Added>, EditError> {
    let now = options.purpose.at;
    check(request)?;
    let Some(key) = &request.key else {
        let mut done = change(sources, options, |draft| put_words(draft, request, &options.purpose))?;
        done.value.changed = !done.files.is_empty();
        done.value.warnings = given_again(&done, request);
        return Ok(done);
    };
    let (material, written) = Material::from_file(key)?;
    let id = KeyId { scheme: material.scheme(), text: material.fingerprint() };
    let mut done =
        change(sources, options, |draft| put_key(draft, request, &material, &written, &options.purpose))?;
    done.value.changed = !done.files.is_empty();
    let warnings = material.remarks().into_iter().map(|remark| format!("the key: {remark}"));
    done.value.warnings = warnings.chain(given_again(&done, request)).collect();
    // As the keyring has it now: revocation lists have their say about a new key as well.
    let standing = done.keyring.find(&id).map(|key| key.standing(now));
    if let Some(standing) = standing.filter(|standing| !matches!(standing, Standing::Valid { .. })) {
        done.value.warnings.push(format!("the key is {standing}: no signature by it is accepted"));
    }
    Ok(done)
}

/// Nothing where nothing changes: it was said then.
fn given_again(done: &Changed<Added>, request: &AddRequest) -> Vec<String> {
    if done.value.changed {
        gravestone::certified(&done.keyring, &request.name, &request.reused)
    } else {
        Vec::new()
    }
}

/// Adds to the draft what `request` asks for.
pub(super) fn put_key(
    draft: &mut Draft<'_>,
    request: &AddRequest,
    material: &Material,
    written: &str,
    purpose: &Purpose,
) -> Result<Added, EditError> {
    let (keyring, now) = (draft.keyring, purpose.at);
    let known = recipient(keyring, request)?;
    let holder = holder(keyring, material);
    if let Some(key) = holder
        && key.principal.name != request.name
    {
        return Err(EditError::Taken { key: key.id().to_string(), owner: key.principal.name.clone() });
    }
    let path = draft.path(&request.name);
    let change = match holder {
        None => Change::Add,
        Some(key) if key.material.fingerprint() != material.fingerprint() => {
            let message = format!("it shares a component key with {}, which is there already", key.id());
            return Err(EditError::Invalid(message));
        }
        Some(Key { material: Material::OpenPgp(_), .. }) => {
            let same = |key: &Key| key.material.fingerprint() == material.fingerprint();
            let index = keyring.keys().iter().filter(|key| key.place.file == path).position(same);
            index.map_or(Change::Keep, Change::Replace)
        }
        Some(_) => Change::Keep,
    };
    let returned = returns(keyring, request, purpose)?;
    if let Some(key) = holder.filter(|key| returned && key.revoked.is_some()) {
        return Err(EditError::Refused(format!("{} stays revoked: make a new key", key.id())));
    }
    if let Some(key) = holder {
        refuse_lost_revocations(key, material, now)?;
    }
    let created = known.is_none();
    take_over(draft, request, purpose)?;
    let document = document_for(draft, request, created)?;
    let key_updated = edited(document, request, change, material.scheme(), written)?;
    Ok(Added {
        path,
        created,
        returned,
        key_added: change == Change::Add,
        key_updated,
        changed: false,
        key: Some(KeyId { scheme: material.scheme(), text: material.fingerprint() }),
        warnings: Vec::new(),
    })
}

/// Adds to the draft what `request` asks for besides a key.
fn put_words(draft: &mut Draft<'_>, request: &AddRequest, purpose: &Purpose) -> Result<Added, EditError> {
    let created = recipient(draft.keyring, request)?.is_none();
    let returned = returns(draft.keyring, request, purpose)?;
    if created && request.kind.is_none() {
        let near = draft.keyring.principal(&request.name).err().flatten();
        let hint = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        return Err(EditError::Refused(format!(
            "there is no file of `{}` in the keyring{hint}. For somebody new, give a key with `--key`, or say with \
             `--kind` what it is",
            request.name
        )));
    }
    let path = draft.path(&request.name);
    take_over(draft, request, purpose)?;
    put_lists(document_for(draft, request, created)?, request)?;
    let (key_added, key_updated) = (false, false);
    Ok(Added {
        path,
        created,
        returned,
        key_added,
        key_updated,
        changed: false,
        key: None,
        warnings: Vec::new(),
    })
}

fn take_over(draft: &mut Draft<'_>, request: &AddRequest, purpose: &Purpose) -> Result<(), EditError> {
    let why = (purpose.reason.as_deref(), purpose.at);
    gravestone::hand_over(draft, &request.name, &request.emails, &request.reused, why)
}

/// Whether somebody comes back by it.
fn returns(keyring: &Keyring, request: &AddRequest, purpose: &Purpose) -> Result<bool, EditError> {
    if !request.returning {
        return Ok(false);
    }
    if purpose.reason.is_none() {
        return Err(EditError::Invalid("`--returning` needs a `--reason`".to_owned()));
    }
    if !keyring.parts.principals.iter().any(|one| one.name == request.name) {
        let message = format!("nobody called `{}` was ever removed: leave `--returning` out", request.name);
        return Err(EditError::Refused(message));
    }
    Ok(keyring.removed().contains(&request.name))
}

/// Whom the request is for, where that one is there already.
fn recipient<'k>(keyring: &'k Keyring, request: &AddRequest) -> Result<Option<&'k Principal>, EditError> {
    let gone = keyring.removed().contains(&request.name);
    if gone && !request.returning {
        return Err(EditError::Refused(format!(
            "`{0}` was removed, and the name is not given again: records name people by it. Choose another name; or, \
             where it is the same one who comes back, `countersign keyring add {0} --returning --reason TEXT`",
            request.name
        )));
    }
    let known = keyring.parts.principals.iter().find(|principal| principal.name == request.name);
    if let (Some(principal), Some(wanted)) = (known, request.kind)
        && principal.kind != wanted
    {
        return Err(EditError::Kind { name: request.name.clone(), is: principal.kind, wanted });
    }
    Ok(known.map(Arc::as_ref))
}

fn document_for<'d>(
    draft: &'d mut Draft<'_>,
    request: &AddRequest,
    created: bool,
) -> Result<&'d mut DocumentMut, EditError> {
    if !created {
        let document = draft.document(&request.name)?;
        if request.returning {
            document.remove("removed");
        }
        return Ok(document);
    }
    let kind = request.kind.unwrap_or_default();
    draft.create(&request.name, &format!("name = \"{}\"\nkind = \"{kind}\"\n", request.name))
}

/// An older copy of a certificate would bring a key back that its owner has revoked.
pub(super) fn refuse_lost_revocations(
    key: &Key,
    material: &Material,
    now: Timestamp,
) -> Result<(), EditError> {
    if key.material.own_revocation(now).is_some() && material.own_revocation(now).is_none() {
        let message = format!("{} is revoked in the keyring and not in this copy", key.id());
        return Err(EditError::Invalid(message));
    }
    if material.lacks_revocations_of(&key.material) {
        let message = format!(
            "{} has a revocation in the keyring that this copy lacks; import both into one GnuPG home and \
             export it again",
            key.id()
        );
        return Err(EditError::Invalid(message));
    }
    Ok(())
}

/// What happens to the key in its principal's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// It gets a `[[key]]` of its own.
    Add,
    /// The one at this position is another copy of it.
    Replace(usize),
    /// It is there.
    Keep,
}

/// Who holds this key, or a component of it.
pub(super) fn holder<'k>(keyring: &'k Keyring, material: &Material) -> Option<&'k Key> {
    let identities = material.identities();
    keyring.keys().iter().find(|key| {
        key.material.scheme() == material.scheme()
            && key.material.identities().iter().any(|one| identities.contains(one))
    })
}

fn check(request: &AddRequest) -> Result<(), EditError> {
    let shown = |word: &str| text::escape_short(word.as_bytes(), 60);
    let names = "use lower-case letters, digits, `.`, `_` and `-`, beginning with a letter or digit";
    if !principal_file::is_name(&request.name) {
        return Err(EditError::Invalid(format!(
            "`{}` cannot name a principal: {names}",
            shown(&request.name)
        )));
    }
    if let Some(group) = request.groups.iter().find(|group| !principal_file::is_name(group)) {
        return Err(EditError::Invalid(format!("`{}` cannot name a group: {names}", shown(group))));
    }
    if let Some(email) = request.emails.iter().find(|email| !principal_file::is_email(email)) {
        return Err(EditError::Invalid(format!(
            "`{}` is no address: write it as name@example.org",
            shown(email)
        )));
    }
    let given = |one: &&String| request.emails.iter().any(|email| gravestone::same(email, one));
    if let Some(one) = request.reused.iter().find(|one| !given(one)) {
        return Err(EditError::Invalid(format!(
            "`--reuse-address {0}` goes with `--email {0}`: it says whose address may be given again",
            shown(one)
        )));
    }
    for account in &request.accounts {
        if let Err(error) = Account::parse(account) {
            return Err(EditError::Invalid(format!("{}: {}", error.why, error.help)));
        }
    }
    Ok(())
}

/// Addresses, groups and accounts, each once.
fn put_lists(document: &mut DocumentMut, request: &AddRequest) -> Result<(), EditError> {
    let broken = || broken(&request.name);
    let lists = [("emails", &request.emails), ("groups", &request.groups), ("accounts", &request.accounts)];
    for (name, words) in lists {
        if words.is_empty() {
            continue;
        }
        let entry = document.entry(name).or_insert_with(|| value(Array::new()));
        let list = entry.as_array_mut().ok_or_else(broken)?;
        for word in words {
            if !list.iter().any(|one| one.as_str() == Some(word)) {
                list.push(word.as_str());
            }
        }
    }
    Ok(())
}

/// Writes it into the document; whether a copy of the key in it was replaced.
fn edited(
    document: &mut DocumentMut,
    request: &AddRequest,
    change: Change,
    scheme: Scheme,
    written: &str,
) -> Result<bool, EditError> {
    let name = &request.name;
    // The keyring loaded, so this parses; an edit in between is the one way to get here.
    let broken = || broken(name);
    put_lists(document, request)?;
    if change == Change::Keep {
        return Ok(false);
    }
    let tables = document.entry("key").or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let inline =
        || EditError::Invalid(format!("`key` in `{name}.toml` is a list; write it as `[[key]]` first"));
    let tables = tables.as_array_of_tables_mut().ok_or_else(inline)?;
    match change {
        Change::Add => {
            tables.push(key_table(scheme, written));
            Ok(false)
        }
        Change::Replace(index) => {
            let table = tables.get_mut(index).ok_or_else(broken)?;
            let old = table.get("openpgp").and_then(Item::as_str).ok_or_else(broken)?;
            let same = Material::from_file(old.as_bytes()).is_ok_and(|(_, old)| old == written);
            if !same {
                table.insert("openpgp", multi_line(written));
            }
            Ok(!same)
        }
        Change::Keep => Err(broken()),
    }
}

/// A `[[key]]` with nothing but the key.
pub(super) fn key_table(scheme: Scheme, written: &str) -> Table {
    let mut table = Table::new();
    match scheme {
        Scheme::Ssh => table.insert("ssh", value(written)),
        Scheme::OpenPgp => table.insert("openpgp", multi_line(written)),
    };
    table
}

/// A literal of several lines. Armor has neither quotes nor backslashes, see `Material::from_file`.
pub(super) fn multi_line(text: &str) -> Item {
    let literal = format!("\"\"\"\n{text}\"\"\"");
    match literal.parse::<Value>() {
        Ok(parsed) => value(parsed),
        Err(_) => value(text),
    }
}

/// Replaces a file in one step: a crash leaves the old one or the new one, and at worst a leftover
/// whose name starts with a dot, which readers ignore.
pub(super) fn replace(dir: &Path, path: &Path, text: &str) -> Result<(), EditError> {
    let mut random = [0_u8; 8];
    getrandom::fill(&mut random)
        .map_err(|error| io_error("name a temporary file for", path)(io::Error::other(error.to_string())))?;
    let temporary = dir.join(format!(".tmp-{}", data_encoding::HEXLOWER.encode(&random)));
    let written = write_new(&temporary, text).map_err(io_error("write", &temporary)).and_then(|()| {
        fault("temporary");
        std::fs::rename(&temporary, path).map_err(io_error("replace", path))
    });
    if let Err(error) = written {
        // Best effort: what counts is that the old file stands.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    fault("renamed");
    flush(dir)
}

/// Makes names in the directory last.
pub(super) fn flush(dir: &Path) -> Result<(), EditError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("flush", dir))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    // The umask may have taken away what the daemon's account needs.
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Gives a file that root has just made in another account's directory to that account, which could not
/// open it otherwise. Only ever a new file: another may have a second name elsewhere.
fn give_to_owner_of(dir: &Path, file: &File) -> io::Result<()> {
    let owner = std::fs::metadata(dir)?;
    if rustix::process::geteuid().is_root() && owner.uid() != 0 {
        let (uid, gid) = (Uid::from_raw(owner.uid()), Gid::from_raw(owner.gid()));
        rustix::fs::fchown(file, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// Holds the exclusive lock while it lives.
pub(super) fn lock(dir: &Path) -> Result<File, EditError> {
    let path = dir.join(".lock");
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).expect("the flag is a low bit");
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(flags);
    let file = match options.create_new(true).open(&path) {
        Ok(file) => {
            give_to_owner_of(dir, &file).map_err(io_error("hand over", &path))?;
            file
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            options.create_new(false).open(&path).map_err(io_error("open", &path))?
        }
        Err(error) => return Err(io_error("open", &path)(error)),
    };
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {
                std::thread::sleep(INTERVAL);
            }
            Err(errno) => return Err(io_error("lock", &path)(errno.into())),
        }
    }
    Err(EditError::Locked)
}

impl Keyring {
    /// The principal of that name, or the name that was probably meant.
    ///
    /// # Errors
    /// The nearest name there is, if any is near.
    pub fn principal(&self, name: &str) -> Result<&Arc<Principal>, Option<&str>> {
        let found = self.principals().iter().find(|principal| principal.name == name);
        found.ok_or_else(|| nearest(name, self.principals().iter().map(|one| one.name.as_str())))
    }
}
