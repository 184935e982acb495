//! The use cases: admit a push, note what was applied, adopt a base, check a range or a
//! history, decide about tainted commits, reload.

mod abilities;
mod admit;
mod adopt;
mod beside;
mod check;
pub mod differences;
mod effective;
mod evidence;
mod expiry;
mod explain;
mod fault;
mod fixture;
mod gate;
mod history;
mod install;
pub mod keyring_changes;
mod keyring_lint;
pub mod keyring_live;
mod locate;
mod metrics;
mod operators;
mod pusher;
mod reasons;
mod record;
mod reload;
mod render;
mod replay;
mod self_check;
pub mod setup;
mod source;
mod source_state;
mod status;
mod taint;
mod watch;
pub mod webhook;
pub mod workstation;

pub use abilities::{Ability, Grant, Naming, Shift, Waiving, abilities, shift};
pub use adopt::{AdoptError, Adopter, Adoption, adopt, adoptions};
pub use beside::{Beside, Said};
pub use check::{CheckFault, CheckRequest, Checked, check};
pub use effective::{
    Covered, CoveredRef, Effective, EffectiveBypass, EffectiveRule, EffectiveRuleset, Spared, bypasses,
    coverage, effective,
};
pub use evidence::{Evidence, EvidenceError};
pub use expiry::Expiring;
pub use explain::{
    Covering, ExplainFault, ExplainRequest, Explanation, Ground, ObjectFault, Person, Receipt, Target,
    explain,
};
pub use fault::Fault;
pub use fixture::{Ran as FixtureRun, fixtures, run_fixture};
pub use gate::{Gate, Health, Snapshot, StartError};
pub use history::{Anchor, HistoryFault, HistoryRequest, Judged, Scope, history};
pub use install::{Done, InstallError, Mode as InstallMode, guarded, install, uninstall};
pub use keyring_lint::{keyring_lints, shut};
pub use metrics::METRICS_TYPE;
pub use operators::ChangeError;
pub use reasons::{Asked, Reason, Reasons, RuleReasons, RulesetReasons, reasons, would_judge};
pub use replay::{
    BranchWindow, Change, Each, LogWindow, Now, ReplayFault, Replayed, Unjudged, replay_branch, replay_log,
};
pub use self_check::{
    By, Fix, SelfBasis, SelfCheck, SelfChecked, SelfRequest, Step, What as SelfWhat, self_check,
};
pub use source::SourceError;
pub use source_state::StateFault;
pub use status::{
    CHANGES_PATH, InForce, KeyringInForce, MAX_CHANGE, Noted, RELOAD_PATH, Rejection, SOURCE_PATH,
    STATUS_PATH, SourceStatus, Status,
};
pub use taint::{
    Acceptable, TaintError, TaintedKey, TaintedRepository, Which, accept_taint, acceptable, tainted,
};
pub use watch::{Watch, watch};
pub use webhook::{
    Carrier, CarryError, DECISION_NOT_FOUND, DECISION_POLICY, DecisionPage, Endpoint, ReportHealth, Sending,
    send_reports,
};
pub use webhook::{Delivered, ListenerKeys, Listens, Received, SourceFigures, WebhookFigures, peer_network};
