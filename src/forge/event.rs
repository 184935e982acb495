//! What a delivery says, reduced to what is used. All of it is a hint (N29).
//!
//! The serialised form is that of the queue, and of nothing that a forge sends: see [`stored`].

use super::stored;
use crate::domain::{ObjectId, RefName};
use serde::{Deserialize, Serialize};

/// An authentic delivery, understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// Refs are said to have moved.
    Push(Push),
    /// A pull or merge request was opened, updated or closed.
    Proposal(Proposal),
    /// The forge tries the hook out.
    Ping(Option<ForgeRepository>),
    /// Authentic, and of no interest; its name, escaped.
    Ignored(String),
}

/// A repository, as the forge names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ForgeRepository {
    /// The forge's own id, which a rename keeps: a number or a UUID; never empty, plain ASCII.
    pub id: String,
    /// Owner and name, or the path of groups and name: `acme/infra`. Compared without case, and used for
    /// nothing else.
    pub path: String,
}

/// Ref moves that one delivery tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// Where.
    pub repository: ForgeRepository,
    /// What is said to have moved. Empty where the delivery only says that something did.
    pub claims: Vec<Claim>,
    /// Moves that it tells of and that nobody can read, each with its reason, escaped. One of them hides
    /// neither the others nor the repository. At most [`Push::MOST_UNREADABLE`] are kept.
    #[serde(default)]
    pub unreadable: Vec<String>,
    /// The account that the forge names.
    pub actor: Option<Actor>,
}

impl Push {
    /// The most moves that cannot be read of which one is told.
    pub const MOST_UNREADABLE: usize = 16;
}

/// One ref move, as the forge tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The full name.
    #[serde(rename = "ref", with = "stored::name")]
    pub reference: RefName,
    /// What it held; `None` where it was made.
    #[serde(with = "stored::optional_id")]
    pub before: Option<ObjectId>,
    /// What it holds since; `None` where it went away.
    #[serde(with = "stored::optional_id")]
    pub after: Option<ObjectId>,
}

/// An account at the forge.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// Its login name, not escaped.
    pub login: String,
    /// Its number or UUID there, which a rename keeps.
    pub id: Option<String>,
}

/// A pull or merge request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The repository that it wants to change.
    pub repository: ForgeRepository,
    /// Its number there. A merge queue's group has that of the newest pull request in it, or 0.
    pub number: u64,
    /// Whether it still wants to.
    pub state: ProposalState,
    /// What it would bring; `None` where the forge does not tell a full id (Bitbucket Cloud, Gogs).
    #[serde(with = "stored::optional_id")]
    pub head: Option<ObjectId>,
    /// The branch that it comes from, where that lies in the same repository; its tip is the head.
    #[serde(default, with = "stored::optional_name")]
    pub source: Option<RefName>,
    /// The ref that it would move, by its full name.
    #[serde(with = "stored::name")]
    pub target: RefName,
}

/// What became of a pull or merge request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProposalState {
    /// Opened, reopened, updated or given another target.
    Open,
    /// Merged, declined or withdrawn.
    Closed,
}
