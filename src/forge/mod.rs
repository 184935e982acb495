//! What forges send, and what is sent back: bytes in, values out.
//!
//! Nothing here opens a connection. A delivery is [authenticated](authenticate()) over its raw bytes, and only an
//! [`Authentic`] one is parsed. An [`Event`] is a hint (N29): it says where to look, and who did it if the ref is
//! found to have moved just like that. What is sent back is a [`Call`], and what came of it is read from a [`Reply`].

mod app;
mod authenticate;
mod call;
mod event;
mod form;
mod headers;
mod hooks;
mod kind;
mod outcome;
mod parse;
mod sample;
mod secret;
mod status;
mod stored;

pub use app::{AppError, AppKey, InstallationToken, installation_token, read_installation_token};
pub use authenticate::{AuthError, Authentic, TOLERANCE, authenticate};
pub use call::{ApiToken, Call, CallError, Method, Reply, check_name};
pub use event::{Actor, Claim, Event, ForgeRepository, Proposal, ProposalState, Push};
pub use headers::{HeaderError, Headers};
pub use hooks::{
    Delivered, Hook, HookError, Hooks, NewHook, Page, can_redeliver, create_hook, deliveries, hook_events,
    hook_for, hook_page, list_hooks, read_deliveries, read_hook, read_hooks, read_redelivered, redeliver,
    update_hook,
};
pub use kind::ForgeKind;
pub use outcome::{LONGEST_WAIT, Outcome, is_unsure, outcome};
pub use parse::{MOST_CLAIMS, ParseError, parse};
pub use sample::{as_form, sample, sign};
pub use secret::{Secret, SecretError, SecretKind, Secrets};
pub use status::{State, Status, change_check_run, check_run, context, read_check_run, status};
