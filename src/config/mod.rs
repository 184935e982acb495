//! The configuration file, from text to validated values.
//!
//! Loading is strict and complete: unknown keys are refused everywhere, and every fault is reported
//! with its place, not just the first. What loads is immutable; a change is another [`Config`].

mod bypass;
mod daemon;
mod keyring_sources;
mod lint;
mod load;
mod naming;
mod network;
mod repositories;
mod rulesets;
mod schema;
mod secrets;
mod signatures;
mod sources;
mod tenants;
mod trusted_source;
mod values;
mod watched;

pub use crate::domain::ServerKind;
pub use crate::keyring::document::{Diagnostic, Place, Warning};
pub(crate) use lint::names_nobody;
pub use lint::{lint, listed};
pub use load::{ConfigError, Loaded, load, load_proposing, revocation_sources};
pub use naming::{Naming, namings};
pub use network::Network;
pub use repositories::Repositories;
pub use rulesets::RulesetPlaces;
pub use schema::{included as included_schema, schema};
pub use secrets::{SecretPlace, SecretPlaceError};
pub use sources::{
    Fetch, ReportIdentity, Reporting, SecretFault, Source, SourceRepository, SourceSecret, is_private_way,
};
pub use tenants::TenantFiles;
pub use trusted_source::{SOURCE_RULESET, TakenState, TrustedSource, source_faults};
pub use watched::{Watched, hook_socket, watched};

use crate::forge::Secret;
use crate::keyring;
use crate::policy;
use crate::signature;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything that an operator configures, validated.
#[derive(Debug)]
pub struct Config {
    /// The file that it was read from, as an absolute path.
    pub source: PathBuf,
    /// SHA-256, in hexadecimal, over the bytes of the file and then of its includes, in order.
    pub digest: String,
    /// The daemon.
    pub daemon: Daemon,
    /// What the keyring is read from, absolute paths.
    pub keyring: keyring::Sources,
    /// Which ref of which repository the keyring's directory follows, if one.
    pub keyring_source: Option<TrustedSource>,
    /// What was taken over from there last, as far as the directory says.
    pub keyring_taken: Option<TakenState>,
    /// Which repositories may ask, and for which refs.
    pub repositories: Repositories,
    /// The rulesets.
    pub policy: policy::Rulesets,
    /// How signatures are judged.
    pub signatures: signature::Rules,
    /// Counted budgets (N23).
    pub limits: policy::Limits,
    /// Whom pushers may ask: one line, shown last.
    pub contact: Option<String>,
    /// Where the rulesets stand, for warnings.
    pub places: RulesetPlaces,
    /// Who has files of rulesets of its own, and what is wrong with them.
    pub tenants: Vec<TenantFiles>,
    /// Forges that tell of pushes.
    pub sources: Vec<Source>,
}

impl Config {
    /// The tenant whose faulty files leave a repository undecided (N15): nobody knows what they would have
    /// refused.
    pub fn faulty_tenant(&self, repository: &str) -> Option<&TenantFiles> {
        self.tenants.iter().find(|one| !one.faults.is_empty() && one.tenant.has(repository))
    }

    /// What is wrong with the files of tenants.
    pub fn tenant_faults(&self) -> impl Iterator<Item = (&TenantFiles, &Diagnostic)> {
        self.tenants.iter().flat_map(|one| one.faults.iter().map(move |fault| (one, fault)))
    }
}

/// The daemon's own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// The Unix socket that hooks connect to; absolute, at most [`Daemon::MAX_SOCKET`] bytes.
    pub socket: PathBuf,
    /// Where webhooks, health and metrics are served, if at all.
    pub listen: Option<SocketAddr>,
    /// What the listener proves itself with; without it, it speaks in the clear.
    pub tls: Option<Tls>,
    /// Whose word counts on where a connection comes from.
    pub trusted_proxies: Vec<Network>,
    /// The directory of the durable state.
    pub state: PathBuf,
    /// User ids that may ask over the hook socket (N22); by default the daemon's own only.
    pub clients: Vec<u32>,
    /// The time that one push may take, the client's writing included (N23).
    pub deadline: Duration,
    /// For how long the last good configuration and keyring go on deciding after newer ones were rejected
    /// (N15).
    pub last_good: Duration,
}

/// The files that the listener proves itself with; absolute paths. They are read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and those between it and the authority, in PEM.
    pub certificate: PathBuf,
    /// The private key, in PEM.
    pub key: PathBuf,
}

impl Tls {
    /// Reads both files.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn read(&self) -> Result<(Vec<u8>, Secret), SecretFault> {
        let fault = |file: &Path, message: String, elsewhere: bool| {
            let diagnostic = Diagnostic::whole(file, message);
            SecretFault { diagnostic, elsewhere }
        };
        // The key has to be as secret as other secrets.
        let key = SecretPlace::File(self.key.clone()).read().map_err(|error| {
            let mut fault = fault(&self.key, error.to_string(), error.is_of_this_process());
            fault.diagnostic.suggestion = error.help().map(str::to_owned);
            fault
        })?;
        let certificate = secrets::read_certificates(&self.certificate)
            .map_err(|message| fault(&self.certificate, message, false))?;
        Ok((certificate, key))
    }

    /// What is wrong with them now.
    pub fn faults(&self) -> Option<SecretFault> {
        self.read().err()
    }
}

impl Daemon {
    /// Longest path of a socket, in bytes: `sun_path` has 108, one of them for the final zero.
    pub const MAX_SOCKET: usize = 107;
    /// The default of [`Daemon::deadline`] (N23).
    pub const DEADLINE: Duration = Duration::from_secs(30);
    /// The default of [`Daemon::last_good`] (N15).
    pub const LAST_GOOD: Duration = Duration::from_secs(24 * 3600);
}
