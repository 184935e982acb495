//! What forges tell afterwards: judged like a push, reported, recorded.

mod carry;
mod decisions;
pub mod derive;
mod failures;
mod figures;
mod live;
mod outbox;
mod page;
mod receive;
pub mod report;

pub use carry::{Carrier, CarryError, Endpoint};
pub use decisions::{DecisionPage, ObjectView, RefView, RulesetView, ViolationView, WaiverView};
pub use figures::{SourceFigures, WebhookFigures};
pub(super) use live::Webhooks;
pub use live::{ListenerKeys, Listens};
pub(super) use outbox::Outbox;
pub use outbox::{ReportHealth, Sending, send_reports};
pub use page::{NOT_FOUND as DECISION_NOT_FOUND, POLICY as DECISION_POLICY};
pub use receive::{Delivered, Received};
