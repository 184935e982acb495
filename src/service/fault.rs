//! Why a push could not be decided.

use crate::config::Config;
use crate::facts::CollectError;
use crate::git::{GitError, MergeError, MirrorError, RemoteError};
use crate::store::StoreError;
use std::path::PathBuf;

/// Everything that ends in "undecided". None of it is a policy decision, all of it refuses the push.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Hook and daemon do not understand each other.
    #[error("{0}")]
    Protocol(String),
    /// The repository is not below the configured root (N3).
    #[error("{path} is not below the repository root {root}")]
    OutsideRoot {
        /// The common git directory.
        path: PathBuf,
        /// The configured root.
        root: PathBuf,
    },
    /// The repository carries no identity, or one that another repository has, too (N3).
    #[error("{0}")]
    Identity(String),
    /// What was opened is not what the hook looked at (N22).
    #[error("{0} is not the directory that the hook saw")]
    Exchanged(String),
    /// The repository or an object could not be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// Facts could not be collected.
    #[error(transparent)]
    Collect(CollectError),
    /// The record could not be read or written: nobody gets in.
    #[error("the audit log cannot be used: {0}")]
    Store(#[from] StoreError),
    /// `GIT_NAMESPACE` is set and no namespaces are configured (N4).
    #[error("the push uses the namespace `{0}`, and namespaces are not supported")]
    Namespace(String),
    /// The configured server names no pusher (N18).
    #[error(
        "the server is configured as `{server}`, but {variable} is not set, so nobody knows who pushes ({hint})"
    )]
    NoPusher {
        /// The configured server kind.
        server: &'static str,
        /// The variable that should carry the pusher.
        variable: &'static str,
        /// Where an operator should look.
        hint: &'static str,
    },
    /// What the configured server says about the pusher cannot be believed (N18).
    #[error("the server is configured as `{server}`, and {why}")]
    UnclearPusher {
        /// The configured server kind.
        server: &'static str,
        /// What is wrong, escaped where it came from outside.
        why: String,
    },
    /// The time is over (N23).
    #[error("no decision within {seconds} s")]
    Deadline {
        /// The whole budget, seconds.
        seconds: u64,
    },
    /// The daemon is on its way out.
    #[error("the daemon is shutting down")]
    ShuttingDown,
    /// The configuration that runs is too old to trust (N15).
    #[error(
        "a newer configuration or keyring was rejected {} h {} min ago and is not mended yet; see the daemon's log",
        seconds / 3600,
        seconds / 60 % 60
    )]
    Stale {
        /// How long ago, seconds.
        seconds: u64,
    },
    /// The files of the tenant whose repository it is cannot be used (N15).
    #[error(
        "the policy of tenant `{tenant}` cannot be used, see {place}{}; `countersign config check` says what is wrong",
        match others { 0 => String::new(), count => format!(" and {count} more") }
    )]
    Tenant {
        /// Which tenant.
        tenant: String,
        /// The first fault: file, line and column. What the file says is not for whoever pushes.
        place: String,
        /// How many more there are.
        others: usize,
    },
    /// The state that the keyring's source stands for cannot be told (N15).
    #[error("{0}")]
    Source(String),
    /// A forge cannot be asked, or not fetched from.
    #[error("the forge's repository cannot be read: {0}")]
    Remote(#[from] RemoteError),
    /// The copy of a forge's repository cannot be used.
    #[error(transparent)]
    Mirror(MirrorError),
    /// A forge shows less than can be believed (N30).
    #[error("{0}; if it is so, say so with `countersign adopt {1} --anew`")]
    Vanished(super::webhook::derive::Vanished, String),
    /// Nobody has said yet from where on a forge's repository is judged (N9).
    #[error("nobody has vouched for what the repository holds; look at it and run `countersign adopt {0}`")]
    NotAdopted(String),
    /// A value that a ref is said to have had, and that cannot be had any more (N29).
    #[error("{0}")]
    Gap(String),
    /// A ref's last sound value cannot be had any more, from which its next move is to be judged.
    #[error(
        "{reference} is judged from {sound}, because the move that left it where it stood was refused as decision \
         {refused_by}, and {sound} cannot be had any more: push that again, or say what counts with `countersign adopt \
         {repository} --anew`"
    )]
    SoundLost {
        /// The ref.
        reference: crate::domain::RefName,
        /// Its last sound value.
        sound: crate::domain::ObjectId,
        /// The decision that refused to have it moved.
        refused_by: crate::domain::RequestId,
        /// The name of the repository.
        repository: String,
    },
    /// A defect of this program.
    #[error("an internal error; the daemon's log has more")]
    Internal,
}

impl Fault {
    /// Every word that [`Fault::code`] gives.
    pub const CODES: [&'static str; 27] = [
        "audit-unavailable",
        "client-gone",
        "deadline",
        "faulty-tenant",
        "forge-deadline",
        "forge-too-much",
        "forge-unreadable",
        "gap",
        "internal",
        "keyring-source",
        "merge-unavailable",
        "mirror-unusable",
        "namespace",
        "no-trusted-base",
        "outside-root",
        "protocol",
        "refs-vanished",
        "repository-exchanged",
        "repository-identity",
        "repository-unreadable",
        "shallow-repository",
        "shutting-down",
        "sound-value-lost",
        "stale-configuration",
        "unknown-pusher",
        "unsupported-repository",
        "waits-for-adopt",
    ];

    /// A stable word for records and output.
    pub const fn code(&self) -> &'static str {
        match self {
            Fault::Protocol(_) => "protocol",
            Fault::OutsideRoot { .. } => "outside-root",
            Fault::Identity(_) => "repository-identity",
            Fault::Exchanged(_) => "repository-exchanged",
            Fault::Git(GitError::Shallow { .. }) => "shallow-repository",
            Fault::Git(GitError::Unsupported { .. }) => "unsupported-repository",
            Fault::Git(_) => "repository-unreadable",
            Fault::Collect(CollectError::NoTrustedBase { .. }) => "no-trusted-base",
            Fault::Collect(CollectError::Abandoned) => "client-gone",
            Fault::Collect(CollectError::Deadline { .. }) | Fault::Deadline { .. } => "deadline",
            Fault::Collect(CollectError::Record(_)) | Fault::Store(_) => "audit-unavailable",
            Fault::Collect(CollectError::Merge(MergeError::Time)) => "deadline",
            Fault::Collect(CollectError::Merge(MergeError::Program(_))) => "merge-unavailable",
            Fault::Collect(CollectError::Git(_) | CollectError::Merge(MergeError::Git(_))) => {
                "repository-unreadable"
            }
            Fault::Collect(CollectError::Worker(_)) | Fault::Internal => "internal",
            Fault::Namespace(_) => "namespace",
            Fault::NoPusher { .. } | Fault::UnclearPusher { .. } => "unknown-pusher",
            Fault::ShuttingDown => "shutting-down",
            Fault::Stale { .. } => "stale-configuration",
            Fault::Tenant { .. } => "faulty-tenant",
            Fault::Source(_) => "keyring-source",
            Fault::Remote(RemoteError::Time) => "forge-deadline",
            Fault::Remote(RemoteError::TooMuch(_))
            | Fault::Mirror(MirrorError::Git(RemoteError::TooMuch(_))) => "forge-too-much",
            Fault::Remote(_) | Fault::Mirror(MirrorError::Git(_)) => "forge-unreadable",
            Fault::Mirror(_) => "mirror-unusable",
            Fault::Vanished(..) => "refs-vanished",
            Fault::NotAdopted(_) => "waits-for-adopt",
            Fault::Gap(_) => "gap",
            Fault::SoundLost { .. } => "sound-value-lost",
        }
    }
}

/// Whether all of a repository's policy is known: the files of its tenants load (N15).
pub(super) fn all_known(config: &Config, repository: &str) -> Result<(), Fault> {
    let Some(faulty) = config.faulty_tenant(repository) else { return Ok(()) };
    let place = faulty.faults.first().map_or_else(|| faulty.place.clone(), |first| first.place());
    let others = faulty.faults.len().saturating_sub(1);
    Err(Fault::Tenant { tenant: faulty.tenant.name.clone(), place: place.to_string(), others })
}

impl From<MirrorError> for Fault {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Git(error) => Fault::Remote(error),
            other => Fault::Mirror(other),
        }
    }
}

impl From<CollectError> for Fault {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Git(error) => Fault::Git(error),
            other => Fault::Collect(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_is_listed() {
        let source = include_str!("fault.rs");
        let codes = source.split("pub const fn code").nth(1).unwrap().split("\n    }\n").next().unwrap();
        let words: BTreeSet<&str> = codes.split('"').skip(1).step_by(2).collect();
        assert!(words.len() > 10, "{words:?}");
        assert_eq!(words, BTreeSet::from(Fault::CODES));
    }
}
