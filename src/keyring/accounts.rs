//! Which accounts on servers are whose (N18).
//!
//! Only what a principal's file lists counts. An account that happens to be called like a principal, or like
//! somebody's address, is nobody's.

use super::document::{Item, Place, nearest};
use super::{Keyring, Role};
use crate::domain::{Principal, ServerKind, Timestamp, text};
use crate::signature::{Rules, SignatureStatus, SshCertificate, Times, ssh};
use std::fmt;
use std::sync::Arc;

/// Longest name of an account, in bytes.
const MAX_NAME: usize = 256;

/// An account, as a principal's file lists it: `alice`, `gitlab:alice`, `gitlab:#user-42`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The kind of server that it is on; `None` for any.
    pub server: Option<ServerKind>,
    /// Its name there, byte for byte; or `#` and its number.
    pub name: String,
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server {
            Some(server) => write!(f, "{}:{}", server.name(), self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Why a text lists no account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct AccountError {
    /// What is wrong, the text itself included, escaped.
    pub why: String,
    /// What to write instead.
    pub help: String,
}

impl Account {
    /// Reads an account as it is listed.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub fn parse(listed: &str) -> Result<Self, AccountError> {
        let shown = text::escape_short(listed.as_bytes(), 60);
        let error = |why: String, help: String| Err(AccountError { why, help });
        let (server, name) = match listed.split_once(':') {
            None => (None, listed),
            Some((word, name)) => {
                let servers = ServerKind::with_accounts;
                let Some(kind) = servers().find(|kind| kind.name() == word) else {
                    if word == ServerKind::SshdKey.name() {
                        let why = format!(
                            "`{shown}`: with `sshd-key` keys say who it is, and there are no accounts"
                        );
                        return error(why, "put the key into the keyring".to_owned());
                    }
                    let help = match nearest(word, servers().map(|kind| kind.name())) {
                        Some(best) => {
                            format!("did you mean \"{best}:{}\"?", text::escape_short(name.as_bytes(), 60))
                        }
                        None => {
                            let all: Vec<&str> = servers().map(|kind| kind.name()).collect();
                            format!("before the `:` stands one of {}", all.join(", "))
                        }
                    };
                    return error(format!("`{shown}` begins with no kind of server"), help);
                };
                (Some(kind), name)
            }
        };
        let example = server.map_or("alice", |_| "gitlab:alice");
        if name.is_empty() || name.len() > MAX_NAME || name.trim() != name {
            return error(format!("`{shown}` names no account"), format!("write \"{example}\""));
        }
        // A backslash is fine, as in `DOMAIN\alice`.
        if text::escape(name.as_bytes()) != name.replace('\\', "\\\\") {
            return error(format!("`{shown}` is not visible as it stands"), format!("write \"{example}\""));
        }
        if name.starts_with('#') && server.and_then(ServerKind::id_example).is_none() {
            let why = format!("`{shown}` is an account by its number, which only some servers tell");
            return error(
                why,
                "write for example \"gitlab:#user-42\", \"gitea:#17\" or \"github:#583231\"".to_owned(),
            );
        }
        Ok(Account { server, name: name.to_owned() })
    }

    /// Whether one pusher could be both.
    pub fn overlaps(&self, other: &Account) -> bool {
        let same_server = match (self.server, other.server) {
            (Some(one), Some(two)) => one == two,
            // A number always comes with its server.
            _ => true,
        };
        same_server && self.name == other.name
    }
}

/// An account and where it is listed.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) account: Account,
    pub(super) place: Place,
}

/// Reads the `accounts` of a principal's file.
pub(super) fn read(item: &Item<'_, '_>) -> Vec<Listed> {
    let mut out: Vec<Listed> = Vec::new();
    for (listed, item) in item.strings() {
        match Account::parse(listed) {
            Ok(account) if out.iter().any(|one| one.account == account) => {
                item.error(format!("`{}` is listed twice", text::escape_short(listed.as_bytes(), 60)));
            }
            Ok(account) => out.push(Listed { account, place: item.reader.place(&item.span) }),
            Err(error) => item.error_with(error.why, error.help),
        }
    }
    out
}

/// What the keyring says about a key that sshd let log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginKey {
    /// The key's fingerprint.
    pub fingerprint: String,
    /// The certificate that came with it, where its authority is one of the keyring.
    pub certificate: Option<SshCertificate>,
    /// Whose key it is, or why it is nobody's now: unknown, revoked, expired, weak.
    pub holder: Result<Arc<Principal>, SignatureStatus>,
}

impl Keyring {
    /// The accounts that a principal's file lists.
    pub fn accounts_of<'k>(&'k self, principal: &str) -> impl Iterator<Item = &'k Account> {
        let listed = self.parts.principals.iter().position(|one| one.name == principal);
        listed.and_then(|index| self.parts.accounts.get(index)).into_iter().flatten()
    }

    /// Everybody with a file who has accounts, and those.
    pub fn account_holders(&self) -> impl Iterator<Item = (&Arc<Principal>, &[Account])> {
        let all = self.parts.principals.iter().zip(self.parts.accounts.iter().map(Vec::as_slice));
        all.filter(|(_, accounts)| !accounts.is_empty())
    }

    /// Whose account this is: the one principal that lists it, for this kind of server or for any. `name` is
    /// compared byte for byte.
    pub fn account_holder(&self, server: ServerKind, name: &str) -> Option<&Arc<Principal>> {
        let listed = self.accounts.get(name)?;
        let found = listed.iter().find(|(on, _)| on.is_none_or(|on| on == server))?;
        self.parts.principals.get(found.1)
    }

    /// Whose account at a forge this is, that a webhook names: by its number where a principal lists that, else by
    /// its name. Only an account that is listed with its kind of server counts: `alice` alone is an account on the
    /// server whose hooks ask, and anybody may be called so elsewhere.
    pub fn forge_account_holder(
        &self,
        server: ServerKind,
        id: Option<&str>,
        name: &str,
    ) -> Option<&Arc<Principal>> {
        let listed = |name: &str| {
            let listed = self.accounts.get(name)?;
            let found = listed.iter().find(|(on, _)| *on == Some(server))?;
            self.parts.principals.get(found.1)
        };
        // Names can be given up and taken by others, numbers stay: whoever lists a number here is known by that alone.
        let numbered = |holder: &&Arc<Principal>| {
            let here = |one: &Account| one.name.starts_with('#') && one.server == Some(server);
            id.is_some() && self.accounts_of(&holder.name).any(here)
        };
        let number = id.map(|id| match server {
            ServerKind::GitLab => format!("#user-{id}"),
            _ => format!("#{id}"),
        });
        let by_number = number.and_then(|number| listed(&number));
        if server == ServerKind::BitbucketCloud {
            // What its webhooks call an account is a nickname: anybody may take that of another. Its ids are UUIDs,
            // listed with braces or without.
            return by_number.or_else(|| listed(&format!("#{{{}}}", id?)));
        }
        // What looks like a number is none.
        let by_name = || listed(name).filter(|_| !name.starts_with('#')).filter(|holder| !numbered(holder));
        by_number.or_else(by_name)
    }

    /// Whose key or certificate this is, in the encoding of RFC 4253, that sshd let log in at `now`. What
    /// is asked of it is what would be asked of a signature by it that arrives now, but for what only sshd can
    /// know: touch and PIN.
    pub fn login(&self, blob: &[u8], now: Timestamp, rules: &Rules) -> LoginKey {
        let ssh::Login { fingerprint, status } = ssh::login(blob, self, now, rules);
        let times = Times::introduced(now.as_second(), now);
        let certificate = match &status {
            SignatureStatus::Verified(proof) => proof.ssh_certificate().cloned(),
            _ => None,
        };
        let holder = match self.assess_for(Role::Push, status, &times, rules) {
            (SignatureStatus::Verified(_), Some(principal)) => Ok(principal),
            (status, _) => Err(status),
        };
        LoginKey { fingerprint, certificate, holder }
    }
}
