//! What a delivery says, reduced to what is used. All of it is a hint (N29).

use crate::domain::{ObjectId, RefName};

/// An authentic delivery, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ForgeRepository {
    /// The forge's own id, which a rename keeps: a number or a UUID; never empty, plain ASCII.
    pub id: String,
    /// Owner and name, or the path of groups and name: `acme/infra`. Compared without case, and used for
    /// nothing else.
    pub path: String,
}

/// Ref moves that one delivery tells of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Where.
    pub repository: ForgeRepository,
    /// What is said to have moved. Empty where the delivery only says that something did.
    pub claims: Vec<Claim>,
    /// The account that the forge names.
    pub actor: Option<Actor>,
}

/// One ref move, as the forge tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    /// The full name.
    pub reference: RefName,
    /// What it held; `None` where it was made.
    pub before: Option<ObjectId>,
    /// What it holds since; `None` where it went away.
    pub after: Option<ObjectId>,
}

/// An account at the forge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Actor {
    /// Its login name, not escaped.
    pub login: String,
    /// Its number or UUID there, which a rename keeps.
    pub id: Option<String>,
}

/// A pull or merge request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The repository that it wants to change.
    pub repository: ForgeRepository,
    /// Its number there.
    pub number: u64,
    /// Whether it still wants to.
    pub state: ProposalState,
    /// What it would bring.
    pub head: ObjectId,
    /// The ref that it would move, by its full name.
    pub target: RefName,
}

/// What became of a pull or merge request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProposalState {
    /// Opened, reopened, updated or given another target.
    Open,
    /// Merged, declined or withdrawn.
    Closed,
}
