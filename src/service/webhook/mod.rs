//! What forges tell afterwards: judged like a push, reported, recorded.

pub mod derive;
