//! The use cases: admit a push, note what was applied, adopt a base, check a range or a
//! history, decide about tainted commits, reload.

mod admit;
mod adopt;
mod beside;
mod check;
pub mod differences;
mod effective;
mod evidence;
mod explain;
mod fault;
mod fixture;
mod gate;
mod history;
mod install;
pub mod keyring_changes;
pub mod keyring_live;
mod locate;
mod operators;
mod pusher;
mod reasons;
mod record;
mod reload;
mod render;
mod source;
mod status;
mod taint;
mod watch;

pub use adopt::{AdoptError, Adopter, Adoption, adopt, adoptions};
pub use beside::{Beside, Said};
pub use check::{CheckFault, CheckRequest, Checked, check};
pub use effective::{
    Covered, CoveredRef, Effective, EffectiveBypass, EffectiveRule, EffectiveRuleset, Spared, bypasses,
    coverage, effective,
};
pub use evidence::{Evidence, EvidenceError};
pub use explain::{
    Covering, ExplainFault, ExplainRequest, Explanation, Ground, ObjectFault, Person, Receipt, Target,
    explain,
};
pub use fault::Fault;
pub use fixture::{Ran as FixtureRun, fixtures, run_fixture};
pub use gate::{Gate, Health, Snapshot, StartError};
pub use history::{Anchor, HistoryFault, HistoryRequest, Judged, Scope, history};
pub use install::{Done, InstallError, Mode as InstallMode, install, uninstall};
pub use operators::ChangeError;
pub use reasons::{Asked, Reason, Reasons, RuleReasons, RulesetReasons, reasons, would_judge};
pub use source::SourceError;
pub use status::{
    CHANGES_PATH, InForce, KeyringInForce, MAX_CHANGE, Noted, RELOAD_PATH, Rejection, SOURCE_PATH,
    STATUS_PATH, SourceStatus, Status,
};
pub use taint::{
    Acceptable, TaintError, TaintedKey, TaintedRepository, Which, accept_taint, acceptable, tainted,
};
pub use watch::{Watch, watch};
