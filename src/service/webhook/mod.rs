//! Judging what forges tell of, and telling them.

mod carry;

pub use carry::{Carrier, CarryError, Endpoint};
