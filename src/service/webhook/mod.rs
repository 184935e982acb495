//! What forges tell afterwards: judged like a push, reported, recorded.

mod base;
mod carry;
mod decisions;
pub mod derive;
mod failures;
mod figures;
mod ground;
mod live;
mod moves;
mod operate;
mod outbox;
mod page;
mod plan;
mod proposals;
mod receive;
pub mod report;
mod resend;
mod restore;
mod review;
mod sound;
mod status;
mod tell;
mod watched;
mod work;

pub use base::{Adopted, ForgeAdoption, adopt as adopt_forge, adoption as forge_adoption};
pub use carry::{Carrier, CarryError, Endpoint};
pub use decisions::{DecisionPage, ObjectView, RefView, RulesetView, ViolationView, WaiverView};
pub use failures::peer_network;
pub use figures::{ByToken, RESULTS, SourceFigures, WebhookFigures};
pub(super) use live::Webhooks;
pub use live::{ListenerKeys, Listens};
pub use operate::{
    Did, OperateError, Redeliver, Register, Registered, Sweep, Swept, SweptRepository, ToEnter, Tried, Try,
    WEBHOOK_REDELIVER_PATH, WEBHOOK_REGISTER_PATH, WEBHOOK_SWEEP_PATH, WEBHOOK_TEST_PATH, hook_url, named,
    to_enter,
};
pub(super) use outbox::Outbox;
pub use outbox::{ReportHealth, Sending, send_reports};
pub use page::{NOT_FOUND as DECISION_NOT_FOUND, POLICY as DECISION_POLICY};
pub use receive::{Delivered, Received};
pub use resend::{Resend, Resent, WEBHOOK_RESEND_PATH};
pub use status::{
    RepositoryStatus, SourceStatus, TroubledReport, UnsoundRef, WEBHOOK_STATUS_PATH, WebhookStatus,
};
pub use watched::{Unwatchable, Watched};
pub use work::Workers;
