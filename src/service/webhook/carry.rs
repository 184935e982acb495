//! What carries a call to a forge's API. The service says what is to be said; sockets are somebody else's.

use crate::forge::{Call, Headers, Reply};
use std::path::PathBuf;
use std::time::Duration;

/// Where an API is. It comes from the configuration alone (N31).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// `https://api.example.org` or the same with a path, without a final slash.
    pub base: String,
    /// The certificates that count, PEM; otherwise the machine's own.
    pub authority: Option<PathBuf>,
}

/// Why no reply came. The texts are escaped and name no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CarryError {
    /// The base address or the path of the call is none.
    #[error("{0}")]
    Address(&'static str),
    /// The file of certificates cannot be used.
    #[error("the certificate authorities cannot be used: {0}")]
    Authority(String),
    /// No connection.
    #[error("cannot connect: {0}")]
    Unreachable(String),
    /// The other side did not prove who it is.
    #[error("the connection is not to be trusted: {0}")]
    Untrusted(String),
    /// The connection was cut, or what came is not HTTP.
    #[error("the connection broke off: {0}")]
    Broken(String),
    /// Nothing came in time.
    #[error("no reply within {0} s")]
    Deadline(u64),
}

impl CarryError {
    /// Whether the forge may have taken the call all the same.
    pub const fn is_ambiguous(&self) -> bool {
        matches!(self, CarryError::Broken(_) | CarryError::Deadline(_))
    }
}

/// Carries calls. Blocks.
pub trait Carrier: Send + Sync {
    /// Carries one call to `to` and brings back what it said, a redirect as what it is (N31).
    ///
    /// # Errors
    /// See [`CarryError`]; none of them has anything of the call's secrets.
    fn carry(&self, to: &Endpoint, call: &Call, deadline: Duration) -> Result<Reply, CarryError>;

    /// Posts a delivery, as a forge would, to `path` at `to`.
    ///
    /// # Errors
    /// See [`CarryError`].
    fn deliver(
        &self,
        to: &Endpoint,
        path: &str,
        headers: &Headers,
        body: &[u8],
        deadline: Duration,
    ) -> Result<Reply, CarryError>;
}
