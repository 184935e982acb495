//! `[[source]]`: forges that tell of pushes, what they are believed by, and how they are asked and answered.

use super::Warning;
use super::secrets::SecretPlace;
use crate::forge::{ForgeKind, SecretKind, Secrets};
use crate::keyring::document::{Diagnostic, Place};
use std::path::PathBuf;
use std::time::Duration;

/// Shortest secret that is not worth a warning, in bytes.
const SHORT: usize = 16;

mod read;
mod sense;

pub use read::is_private_way;
pub(super) use read::read;

/// A forge that tells of pushes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its name, which identities of its repositories begin with: lower case, no `/` and no `:`.
    pub name: String,
    /// What it is.
    pub forge: ForgeKind,
    /// The path of the URL that it delivers to; no other source has it.
    pub path: String,
    /// What its deliveries are authenticated with; any one of them does. Never empty.
    pub secrets: Vec<SourceSecret>,
    /// The repositories that are watched, in the order of the file; names differ in more than case. Never empty.
    pub repositories: Vec<SourceRepository>,
    /// Largest body of a delivery, in bytes.
    pub max_body: usize,
    /// How repositories are fetched.
    pub fetch: Fetch,
    /// Where verdicts are told, if at all.
    pub report: Option<Reporting>,
    /// How often its repositories are looked at without being told to; `None` is never.
    pub sweep: Option<Duration>,
    /// Whether refs are moved back that should not have moved (N32).
    pub restore: bool,
    /// Whether a branch that should not have been made is deleted then; otherwise it stays.
    pub restore_created: bool,
    /// The accounts at the forge whose moves are never taken back: `#` and the forge's id of one, or a login.
    pub administrators: Vec<String>,
    /// Where it stands.
    pub place: Place,
}

impl Source {
    /// The default of [`Source::max_body`]: what GitHub sends at most.
    pub const MAX_BODY: usize = 25 << 20;
    /// The default of [`Source::sweep`].
    pub const SWEEP: Duration = Duration::from_secs(600);

    /// Reads the secrets. What cannot be read is left out, and told.
    pub fn read_secrets(&self) -> (Secrets, Vec<SecretFault>) {
        let mut made = Secrets::new();
        let mut faults = Vec::new();
        for one in &self.secrets {
            let fault = |message: String| Diagnostic::at(one.at.clone(), message);
            match one.place.read() {
                Ok(secret) => {
                    let kind = one.kind.unwrap_or_else(|| Secrets::usual_kind(self.forge, &secret));
                    if let Err(error) = made.add(self.forge, kind, &secret) {
                        let diagnostic = fault(format!("{} cannot be used: {error}", one.place));
                        faults.push(SecretFault { diagnostic, elsewhere: false });
                    }
                }
                Err(error) => {
                    let mut diagnostic = fault(error.to_string());
                    diagnostic.suggestion = error.help().map(str::to_owned);
                    faults.push(SecretFault { diagnostic, elsewhere: error.is_of_this_process() });
                }
            }
        }
        (made, faults)
    }

    /// Secrets that can be read and could be guessed, and tokens that let in what a signature would keep out.
    pub fn weak_secrets(&self) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let (mut tokens, mut signing) = (Vec::new(), false);
        for one in &self.secrets {
            let Ok(secret) = one.place.read() else { continue };
            if secret.expose().len() < SHORT {
                let message = format!("{} has less than {SHORT} bytes: it can be guessed", one.place);
                warnings.push(Warning::at(one.at.clone(), message));
            }
            match one.kind.unwrap_or_else(|| Secrets::usual_kind(self.forge, &secret)) {
                SecretKind::Token => tokens.push(one),
                SecretKind::Signing => signing = true,
                SecretKind::Hmac => {}
            }
        }
        let beside = |one: &&SourceSecret| {
            let message = format!(
                "{} is a token beside a signing secret: whoever has it needs no signature; once `countersign webhook \
                 status` counts no deliveries by token any more, take it out, here and at the forge",
                one.place
            );
            Warning::at(one.at.clone(), message)
        };
        warnings.extend(tokens.iter().filter(|_| signing).map(beside));
        warnings
    }

    /// Whether an account at the forge is among [`Source::administrators`]; names are compared without case. On Bitbucket
    /// Cloud they are nicknames, which anybody may take, and count for nothing.
    pub fn is_administrator(&self, login: &str, id: Option<&str>) -> bool {
        self.administrators.iter().any(|one| match (one.strip_prefix('#'), id) {
            (Some(number), Some(id)) => {
                let braced = number.strip_prefix('{').and_then(|number| number.strip_suffix('}'));
                let number = match self.forge {
                    ForgeKind::GitLab => number.strip_prefix("user-").unwrap_or(number),
                    _ => braced.unwrap_or(number),
                };
                number.eq_ignore_ascii_case(id)
            }
            (Some(_), None) => false,
            (None, _) => self.forge != ForgeKind::BitbucketCloud && one.eq_ignore_ascii_case(login),
        })
    }

    /// The configured repository of that name; names are compared without case.
    pub fn repository(&self, name: &str) -> Option<&SourceRepository> {
        self.repositories.iter().find(|one| one.name.eq_ignore_ascii_case(name))
    }
}

/// What is wrong with a secret of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFault {
    /// What, and where it is named.
    pub diagnostic: Diagnostic,
    /// Whether another process, such as the service, may well have it.
    pub elsewhere: bool,
}

/// A secret that deliveries are authenticated with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSecret {
    /// Where it is.
    pub place: SecretPlace,
    /// What is done with it; `None` is what its forge usually does.
    pub kind: Option<SecretKind>,
    /// Where it is named.
    pub at: Place,
}

/// A repository that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRepository {
    /// Its path at the forge, such as `acme/infra`. Plain ASCII that can stand in a URL.
    pub name: String,
    /// The forge's own id of it; `None` is learnt from the first authentic delivery.
    pub id: Option<String>,
    /// Where it is fetched from: https, ssh or file, or http of this machine.
    pub url: String,
}

/// How repositories are fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The password or token for HTTPS, or the private key for SSH, which is in a file then.
    pub credential: Option<SecretPlace>,
    /// The name that goes with a password or token.
    pub user: Option<String>,
    /// The file with the host keys that count, for SSH.
    pub known_hosts: Option<PathBuf>,
    /// The file with the certificate authorities that count, for HTTPS; otherwise those of the system.
    pub authority: Option<PathBuf>,
    /// How long one fetch may take.
    pub deadline: Duration,
    /// How large one mirror may become, in bytes.
    pub quota: u64,
}

impl Fetch {
    /// The default of [`Fetch::deadline`].
    pub const DEADLINE: Duration = Duration::from_secs(300);
    /// The default of [`Fetch::quota`].
    pub const QUOTA: u64 = 10 << 30;
}

impl Default for Fetch {
    fn default() -> Self {
        Fetch {
            credential: None,
            user: None,
            known_hosts: None,
            authority: None,
            deadline: Fetch::DEADLINE,
            quota: Fetch::QUOTA,
        }
    }
}

/// Where verdicts are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporting {
    /// The base address of the forge's API, without a final `/`.
    pub api: String,
    /// Who tells it.
    pub identity: ReportIdentity,
    /// The account that a token goes with, where the forge wants to know: Bitbucket Cloud's API tokens do.
    pub user: Option<String>,
    /// Whether check runs are made beside commit statuses; for apps of GitHub only.
    pub check_runs: bool,
    /// The address that this gate's listener is reached at by people, without a final `/`: reports link to decisions
    /// below it.
    pub link: Option<String>,
    /// The file with the certificate authorities that count for the API; otherwise those of the system.
    pub authority: Option<PathBuf>,
    /// How long one call may take.
    pub deadline: Duration,
}

impl Reporting {
    /// The default of [`Reporting::deadline`].
    pub const DEADLINE: Duration = Duration::from_secs(20);
}

/// Who tells verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReportIdentity {
    /// The holder of a token.
    Token(SecretPlace),
    /// An app of GitHub.
    App {
        /// The app's id, or its client id.
        id: String,
        /// The installation's id.
        installation: String,
        /// Its private key.
        key: SecretPlace,
    },
}

#[cfg(test)]
mod tests;
