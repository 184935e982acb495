//! The daemon's sockets: the only module that names hyper and axum.

mod client;
mod decisions;
mod listen;
mod patient;
mod proxy;
mod room;
mod routes;
mod strangers;
mod tls;
mod webhooks;

pub use listen::{ServeError, serve};
