//! What forges tell afterwards: judged like a push, reported, recorded.

mod base;
pub mod derive;
mod failures;
mod figures;
mod ground;
mod live;
mod moves;
mod proposals;
mod receive;
mod review;
mod watched;
mod work;

pub use base::{Adopted, ForgeAdoption, adopt as adopt_forge, adoption as forge_adoption};
pub use figures::{SourceFigures, WebhookFigures};
pub(super) use live::Webhooks;
pub use live::{ListenerKeys, Listens};
pub use receive::{Delivered, Received};
pub use watched::{Unwatchable, Watched};
pub use work::Workers;
