//! Plain values that every other module speaks in: object ids, ref names, updates, principals.
//!
//! Nothing here does I/O, reads a clock or knows a library's types. Parsing is strict, because these
//! values are built from what a pusher sent.

mod address;
mod change;
mod content;
mod fold;
mod id;
mod principal;
mod push;
mod refname;
mod server;
pub mod text;

pub use address::{fold_address, same_address};
pub use change::{Change, Entry, FileMode};
pub use content::{BlobFacts, HEAD_BYTES, LfsPointer, Program};
pub use fold::fold_name;
pub use id::{ObjectFormat, ObjectId, ParseIdError};
pub use principal::{Principal, PrincipalKind};
pub use push::{
    ObjectKind, Proof, PushContext, Pusher, RefUpdate, RepositoryId, RepositoryRef, RequestId, UpdateKind,
};
pub use refname::{RefName, RefNameError};
pub use server::ServerKind;

/// A point in time, in UTC. Read from the clock once per request, at receipt, and passed on from there.
pub use jiff::Timestamp;
