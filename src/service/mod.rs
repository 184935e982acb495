//! The use cases: admit a push, note what was applied, adopt a base, check a range, reload.

mod admit;
mod adopt;
mod check;
pub mod differences;
mod fault;
mod gate;
mod install;
mod locate;
mod record;
mod render;

pub use adopt::{AdoptError, Adoption, adopt, adoptions};
pub use check::{CheckFault, CheckRequest, Checked, check};
pub use fault::Fault;
pub use gate::{Gate, Health, Snapshot, StartError};
pub use install::{Done, InstallError, Mode as InstallMode, install, uninstall};
