//! The repositories of forges that are watched, as the configuration and the record know them.

use crate::config::{Config, SecretPlace, Source, SourceRepository};
use crate::domain::{RepositoryId, ServerKind, text};
use crate::git::{Address, Credential, Remote, Scheme};
use crate::store::{Store, StoreError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For how long a move that nobody told of is left alone: its delivery may be on the way.
const GRACE: Duration = Duration::from_secs(60);

/// A repository of a forge that is judged.
#[derive(Clone, Debug)]
pub struct Watched {
    /// Its identity (N3).
    pub id: RepositoryId,
    /// What selectors match: `<source>/<path>`.
    pub name: String,
    /// Its source.
    pub source: Source,
    /// Whose accounts its users have, where principals can list those.
    pub accounts: Option<ServerKind>,
    /// Where it is fetched from.
    pub remote: Remote,
    /// How long asking for its refs, or fetching, may take.
    pub deadline: Duration,
    /// How large its mirror may become, bytes.
    pub quota: u64,
    /// Below which directory mirrors lie.
    pub mirrors: PathBuf,
}

/// Why a configured repository cannot be watched (yet).
#[derive(Debug, thiserror::Error)]
pub enum Unwatchable {
    /// Its identity is not known.
    #[error(
        "the forge's id of `{0}` is not known: it is learnt from the first delivery, or configured as `id` of the \
         repository"
    )]
    NoId(String),
    /// It cannot be reached as configured.
    #[error("`{name}` cannot be fetched: {why}")]
    Fetch {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The record cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What repositories of a source are called for rulesets.
fn name_of(source: &Source, repository: &SourceRepository) -> String {
    format!("{}/{}", source.name, repository.name)
}

/// The identity of a repository: what is configured, or what was learnt.
fn identity(
    store: &Store,
    source: &Source,
    repository: &SourceRepository,
) -> Result<RepositoryId, Unwatchable> {
    let learnt = || -> Result<Option<String>, StoreError> {
        let all = store.forge_repositories()?.into_iter();
        let mut found =
            all.filter(|one| one.source == source.name && one.name.eq_ignore_ascii_case(&repository.name));
        Ok(found.next().map(|one| one.id))
    };
    let id = match &repository.id {
        Some(id) => Some(id.clone()),
        None => learnt()?,
    };
    let id = id.ok_or_else(|| Unwatchable::NoId(name_of(source, repository)))?;
    Ok(RepositoryId(format!("{}:{id}", source.name)))
}

impl Watched {
    /// Every configured repository, or why it cannot be watched.
    pub fn all(config: &Config, store: &Store) -> Vec<Result<Watched, Unwatchable>> {
        let each = config.sources.iter().flat_map(|source| {
            source.repositories.iter().map(|repository| Self::new(config, store, source, repository))
        });
        each.collect()
    }

    /// The one of this identity, if it is configured.
    pub fn find(config: &Config, store: &Store, id: &RepositoryId) -> Result<Option<Watched>, Unwatchable> {
        for source in &config.sources {
            for repository in &source.repositories {
                match identity(store, source, repository) {
                    Ok(found) if found == *id => {
                        return Self::new(config, store, source, repository).map(Some);
                    }
                    Ok(_) | Err(Unwatchable::NoId(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(None)
    }

    /// The one of this name, `<source>/<path>`, compared without case.
    pub fn named(config: &Config, store: &Store, name: &str) -> Result<Option<Watched>, Unwatchable> {
        for source in &config.sources {
            for repository in &source.repositories {
                if name_of(source, repository).eq_ignore_ascii_case(name) {
                    return Self::new(config, store, source, repository).map(Some);
                }
            }
        }
        Ok(None)
    }

    /// A configured one, and its name, `<source>/<path>`.
    pub(super) fn of(
        config: &Config,
        store: &Store,
        source: &Source,
        repository: &SourceRepository,
    ) -> (String, Result<Watched, Unwatchable>) {
        (name_of(source, repository), Self::new(config, store, source, repository))
    }

    fn new(
        config: &Config,
        store: &Store,
        source: &Source,
        repository: &SourceRepository,
    ) -> Result<Watched, Unwatchable> {
        let id = identity(store, source, repository)?;
        let name = name_of(source, repository);
        let wrong = |why: String| Unwatchable::Fetch { name: name.clone(), why };
        let address = Address::parse(&repository.url).map_err(|e| wrong(e.to_string()))?;
        let credential = credential(source, address.scheme()).map_err(wrong)?;
        let accounts = source.forge.accounts().map(|kind| match kind {
            // Who has an account on a server of one's own is not who has that name at github.com.
            ServerKind::GitHub if !is_github_com(&repository.url) => ServerKind::Ghes,
            kind => kind,
        });
        Ok(Watched {
            id,
            name: name.clone(),
            source: source.clone(),
            accounts,
            remote: Remote {
                address,
                credential,
                known_hosts: source.fetch.known_hosts.clone(),
                authorities: source.fetch.authority.clone(),
                proxy: None,
            },
            deadline: source.fetch.deadline,
            quota: source.fetch.quota,
            mirrors: mirrors(&config.daemon.state),
        })
    }

    /// For how long a move that nobody told of is left alone.
    pub fn grace(&self) -> Duration {
        self.source.sweep.map_or(GRACE, |sweep| sweep.min(GRACE))
    }
}

/// Where mirrors lie.
pub(super) fn mirrors(state: &Path) -> PathBuf {
    state.join("mirrors")
}

fn is_github_com(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    let host = host.to_ascii_lowercase();
    host == "github.com" || host == "ssh.github.com"
}

fn credential(source: &Source, scheme: Scheme) -> Result<Credential, String> {
    let Some(place) = &source.fetch.credential else { return Ok(Credential::None) };
    match scheme {
        Scheme::File => Ok(Credential::None),
        Scheme::Ssh => place.path().map(Credential::Key).ok_or_else(|| key_needs_file(place)),
        Scheme::Https | Scheme::Http => {
            let secret = place.read().map_err(|e| e.to_string())?;
            // Forges that look at the token alone take any name.
            let user = source.fetch.user.clone().unwrap_or_else(|| "x-access-token".to_owned());
            Ok(Credential::Password { user, password: secret.expose().to_vec() })
        }
    }
}

fn key_needs_file(place: &SecretPlace) -> String {
    format!("the key for ssh must be a file, not {}", text::escape(place.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n18_accounts_of_github_com_are_not_those_of_another_server() {
        for (url, expected) in [
            ("https://github.com/acme/infra.git", true),
            ("https://GitHub.com:443/acme/infra.git", true),
            ("ssh://git@ssh.github.com:443/acme/infra.git", true),
            ("https://github.com.evil.example/acme/infra.git", false),
            ("https://github.example/github.com/infra.git", false),
            ("file:///github.com/x.git", false),
        ] {
            assert_eq!(is_github_com(url), expected, "{url}");
        }
    }
}
