//! What forges tell afterwards: judged like a push, reported, recorded.

mod base;
pub mod derive;
mod ground;
mod moves;
mod proposals;
mod review;
mod watched;
mod work;

pub use base::{Adopted, ForgeAdoption, adopt as adopt_forge, adoption as forge_adoption};
pub use watched::{Unwatchable, Watched};
pub use work::{Bell, Workers};
