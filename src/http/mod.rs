//! The daemon's sockets: the only module that names hyper and axum.

mod client;
mod decisions;
mod listen;
mod routes;

pub use listen::{ServeError, serve};
