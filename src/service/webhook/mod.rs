//! What forges tell afterwards: judged like a push, reported, recorded.

pub mod derive;
mod failures;
mod figures;
mod live;
mod receive;

pub use figures::{SourceFigures, WebhookFigures};
pub(super) use live::Webhooks;
pub use live::{ListenerKeys, Listens};
pub use receive::{Delivered, Received};
