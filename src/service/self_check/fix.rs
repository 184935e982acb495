//! The one thing that helps, where the next commit or tag would not be accepted.

use super::{Committer, Run, What};
use crate::domain::{Timestamp, same_address};
use crate::keyring::{Keyring, Material, Role, Standing};
use crate::service::explain::Explanation;
use crate::service::setup::{Candidate, quoted};
use crate::service::workstation::Level;
use crate::signature::{KeyId, SignatureStatus, openpgp};
use std::path::Path;

/// Who has to do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Whoever signs.
    You,
    /// Whoever keeps the keyring.
    Keeper,
}

impl By {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            By::You => "you",
            By::Keeper => "keeper",
        }
    }
}

/// What helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// For people; the command, where there is one, is in it word for word.
    pub text: String,
    /// The command, ready for a shell.
    pub command: Option<String>,
    /// Who has to do it.
    pub by: By,
}

impl Fix {
    /// A command for whoever signs.
    pub(super) fn run(command: impl Into<String>) -> Self {
        let command = command.into();
        Fix { text: command.clone(), command: Some(command), by: By::You }
    }

    /// Something that no command does.
    pub(super) fn act(text: impl Into<String>) -> Self {
        Fix { text: text.into(), command: None, by: By::You }
    }

    /// A command for whoever keeps the keyring.
    fn keeper(what: &str, command: String) -> Self {
        Fix {
            text: format!("have the keyring's keeper {what}: {command}"),
            command: Some(command),
            by: By::Keeper,
        }
    }

    fn keeper_acts(what: &str) -> Self {
        Fix { text: format!("have the keyring's keeper {what}"), command: None, by: By::Keeper }
    }
}

impl What {
    fn role(&self) -> Role {
        match self {
            What::Commit => Role::Commit,
            What::Tag(_) => Role::Tag,
        }
    }
}

/// What is known about a signature that does not count.
pub(super) struct Case<'a> {
    pub(super) status: &'a SignatureStatus,
    pub(super) made: &'a Explanation,
    pub(super) keyring: &'a Keyring,
    pub(super) own: Option<&'a Candidate>,
    pub(super) committer: &'a Committer,
}

impl Run<'_> {
    /// What helps against a signature that does not count.
    pub(super) fn status_fix(&self, case: &Case<'_>) -> Fix {
        let Case { status, made, keyring, own, committer } = *case;
        let held = own.filter(|own| keyring.find(&id(own)).is_some());
        let owner = made.principal.as_ref().map_or("NAME", |one| one.name.as_str());
        let usable = |material: &Material| {
            let standing = material.certificate().map(|one| one.standing(Timestamp::now()));
            matches!(standing, Some(openpgp::Standing::Usable { .. }))
        };
        // The copy that is here is good, and the one in the keyring is older.
        let newer = held.is_some_and(|own| {
            usable(&own.material) && keyring.find(&id(own)).is_some_and(|key| !usable(&key.material))
        });
        match status {
            SignatureStatus::Unsigned => Fix::run("countersign setup --apply"),
            SignatureStatus::UnknownKey { .. } => match held.and_then(|own| keyring.find(&id(own))) {
                // The certificate is there, and this subkey of it is not.
                Some(key) => refresh(&key.principal.name),
                None => add(keyring, committer),
            },
            SignatureStatus::Revoked { reason, .. } if reason.starts_with(SignatureStatus::SUSPENDED) => {
                let name = quoted(owner);
                Fix::keeper("take it back, if it is time", format!("countersign keyring resume {name}"))
            }
            SignatureStatus::Expired { .. } if newer => refresh(owner),
            SignatureStatus::NotYetValid { from, .. } => {
                Fix::act(format!("set this machine's clock, if it is wrong; the key counts from {from} on"))
            }
            SignatureStatus::WrongPurpose { remedy, .. } if !lacks_role(keyring, own, &self.request.what) => {
                Fix::act(format!("sign {remedy}"))
            }
            _ => match self.another(keyring, owner) {
                Some(other) => self.take(&other),
                None => match status {
                    SignatureStatus::WrongPurpose { .. } => Fix::keeper_acts(&format!(
                        "give your key the role `{}`, or add another key of yours",
                        self.request.what.role().name()
                    )),
                    SignatureStatus::Expired { what, .. } if what.contains("entry") => {
                        Fix::keeper_acts("give your key a later `valid-until`, or add another key of yours")
                    }
                    _ => self.new_key(committer),
                },
            },
        }
    }

    /// Another key of this machine, which counts for the same person.
    fn another(&self, keyring: &Keyring, owner: &str) -> Option<Candidate> {
        let now = Timestamp::now();
        let role = self.request.what.role();
        self.here.found().0.into_iter().find(|one| {
            keyring.find(&id(one)).is_some_and(|key| {
                let good = matches!(key.standing(now), Standing::Valid { .. });
                good && key.principal.name == owner && key.roles.has(role)
            })
        })
    }

    /// Has git sign with this key, at the level that counts here.
    fn take(&self, key: &Candidate) -> Fix {
        self.set_up(&quoted(&key.value))
    }

    fn set_up(&self, key: &str) -> Fix {
        Fix::run(self.set_up_command(key))
    }

    fn set_up_command(&self, key: &str) -> String {
        let level = match self.level("user.signingkey") {
            option if option == Level::Local.option() => " --local",
            _ => "",
        };
        format!("countersign setup --apply --force{level} --key {key}")
    }

    /// Makes a key beside those that are there, and has git sign with it. It has to be added after that.
    fn new_key(&self, committer: &Committer) -> Fix {
        let keys = Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".ssh");
        let names = std::iter::once("id_ed25519".to_owned()).chain((2..).map(|n| format!("id_ed25519_{n}")));
        let name = names.take(1000).find(|name| !keys.join(name).exists()).unwrap_or_default();
        let place = if keys.is_dir() { "" } else { "mkdir -m 700 ~/.ssh && " };
        let make = format!("ssh-keygen -t ed25519 -C {} -f ~/.ssh/{name}", quoted(&committer.email));
        let set = self.set_up_command(&format!("~/.ssh/{name}.pub"));
        Fix::run(format!("{place}{make} && {set}"))
    }

    /// What helps where git could not sign at all.
    pub(super) fn remedy(
        &self,
        why: &str,
        own: Option<&Result<Candidate, String>>,
        committer: &Committer,
    ) -> Fix {
        let has = |part: &str| why.to_ascii_lowercase().contains(part);
        let key = own.and_then(|own| own.as_ref().ok());
        if has("inappropriate ioctl") || has("no pinentry") || has("cannot open '/dev/tty'") {
            return Fix::run("export GPG_TTY=$(tty)");
        }
        match key.map(|key| (&key.material, key.value.as_str())) {
            Some((Material::Ssh(_), value)) if !value.starts_with("key::") && !value.starts_with("ssh-") => {
                let private = value.strip_suffix(".pub").unwrap_or(value);
                let home = std::env::var("HOME").unwrap_or_default();
                let path = private.strip_prefix("~/").map(|rest| format!("{home}/{rest}"));
                let path = path.unwrap_or_else(|| private.to_owned());
                if Path::new(&path).is_file() {
                    Fix::run(format!("ssh-add {}", quoted(&path)))
                } else {
                    let set = self.set_up_command("FILE");
                    Fix::act(format!("{set}, with a key whose private part is here"))
                }
            }
            Some((Material::Ssh(_), _)) => Fix::act("start ssh-agent and add the key: ssh-add FILE"),
            Some((Material::OpenPgp(_), _)) => Fix::run("gpgconf --launch gpg-agent"),
            None => match self.here.ended_openpgp(&committer.email) {
                // `*`: the subkeys as well, of which one signs.
                Some(fingerprint) => Fix::run(format!(
                    "gpg --quick-set-expire {fingerprint} 1y && gpg --quick-set-expire {fingerprint} 1y '*'"
                )),
                None if self.here.found().0.is_empty() => self.new_key(committer),
                None => Fix::run("countersign setup --apply --force"),
            },
        }
    }
}

fn id(own: &Candidate) -> KeyId {
    KeyId { scheme: own.material.scheme(), text: own.material.fingerprint() }
}

fn lacks_role(keyring: &Keyring, own: Option<&Candidate>, what: &What) -> bool {
    own.and_then(|own| keyring.find(&id(own))).is_some_and(|key| !key.roles.has(what.role()))
}

fn refresh(name: &str) -> Fix {
    let command = format!("countersign keyring refresh {} --key -", quoted(name));
    Fix::keeper("take the newer copy of your key", command)
}

/// The command that adds a key, to whom the address belongs already where that is known.
fn add(keyring: &Keyring, committer: &Committer) -> Fix {
    let is = |address: &String| same_address(address.as_bytes(), committer.email.as_bytes());
    let known = keyring.principals().iter().find(|one| one.emails.iter().any(is));
    let email = quoted(&committer.email);
    let command = match known {
        Some(one) => format!("countersign keyring add {} --key -", quoted(&one.name)),
        None => format!("countersign keyring add NAME --email {email} --key -"),
    };
    Fix::keeper("add your key", command)
}
