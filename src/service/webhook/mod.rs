//! Judging what forges tell of, and telling them.

mod carry;
mod decisions;
mod outbox;
mod page;
pub mod report;

pub use carry::{Carrier, CarryError, Endpoint};
pub use decisions::{DecisionPage, ObjectView, RefView, RulesetView, ViolationView, WaiverView};
pub(super) use outbox::Outbox;
pub use outbox::{ReportHealth, Sending, send_reports};
pub use page::{NOT_FOUND as DECISION_NOT_FOUND, POLICY as DECISION_POLICY};
