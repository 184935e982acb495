//! The one request and the one answer between hook and daemon.
//!
//! JSON over HTTP/1.1 on a Unix socket. Bytes that may not be UTF-8 travel as base64. Both sides name
//! the protocol; a difference is an outage, never a guess.

use data_encoding::BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

/// Raised when either side would misunderstand the other.
pub const PROTOCOL: u32 = 1;

/// Where `pre-receive` asks.
pub const PRE_RECEIVE_PATH: &str = "/hook/v1/pre-receive";

/// Where `post-receive` reports.
pub const POST_RECEIVE_PATH: &str = "/hook/v1/post-receive";

/// Largest request, bytes: the lines of a push with far more refs than a budget allows.
pub const MAX_REQUEST: usize = 64 << 20;

/// Largest answer that the client reads, bytes.
pub const MAX_ANSWER: usize = 8 << 20;

/// One push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// [`PROTOCOL`] of the sender.
    pub protocol: u32,
    /// Version of the sender, for messages.
    pub version: String,
    /// 32 hexadecimal digits, fresh for every push; the answer repeats them.
    pub request_id: String,
    /// The git directory, absolute.
    pub git_dir: Place,
    /// The quarantine, relative to the repository's common directory; absent for pushes that only
    /// delete.
    pub quarantine: Option<Place>,
    /// The lines that git gave to the hook, byte for byte.
    pub updates: Bytes,
    /// The push options, in order.
    pub push_options: Vec<Bytes>,
    /// The variables of [`super::ENVIRONMENT`] that were set.
    pub environment: BTreeMap<String, String>,
    /// What stands in the file that `SSH_USER_AUTH` names, where that is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_user_auth: Option<Exposed>,
}

/// The file in which sshd says what a client logged in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exposed {
    /// Its content, byte for byte.
    Content(Bytes),
    /// Why it cannot be believed.
    Unusable(String),
}

/// A directory, and the identity that the sender saw there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// The path.
    pub path: String,
    /// Device number.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
}

/// How the request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The push may go in.
    Accept,
    /// Policy says no.
    Refuse,
    /// Nobody could tell.
    Undecided,
}

impl Outcome {
    /// The exit code of the hook (N24).
    pub const fn exit_code(self) -> u8 {
        match self {
            Outcome::Accept => 0,
            Outcome::Refuse => 1,
            Outcome::Undecided => 3,
        }
    }

    /// The word used in records and output.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Accept => "accept",
            Outcome::Refuse => "refuse",
            Outcome::Undecided => "undecided",
        }
    }
}

/// What the daemon says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// [`PROTOCOL`] of the daemon.
    pub protocol: u32,
    /// Version of the daemon, for messages.
    pub version: String,
    /// The request that this answers.
    pub request_id: String,
    /// The outcome.
    pub outcome: Outcome,
    /// What the pusher reads; empty on a plain accept. Escaped already.
    pub text: String,
}

/// Raw bytes, base64 in JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text.as_bytes()).map(Bytes).map_err(serde::de::Error::custom)
    }
}
