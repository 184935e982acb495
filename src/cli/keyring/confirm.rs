//! Whether a change that takes something away is in force (N15).

use crate::config::Config;
use crate::service::keyring_live::{Confirmation, Daemon};
use serde_json::{Value, json};
use std::time::Duration;

/// How long the daemon gets.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the daemon says about a change.
pub(super) struct Confirmed {
    /// For people.
    pub(super) said: String,
    /// For programs.
    pub(super) json: Value,
    /// 0 where it is in force, else 3.
    pub(super) code: u8,
}

/// Waits until the running daemon has loaded the keyring with this digest.
pub(super) fn confirm(config: &Config, digest: &str) -> Confirmed {
    let (state, said, code) = match Daemon::of(config).await_in_force(digest, PATIENCE) {
        Confirmation::InForce(status) => {
            ("in-force", format!("in force since {}, by process {}", status.loaded_at, status.pid), 0)
        }
        Confirmation::NotYet(status) => {
            let why = match &status.rejected {
                Some(_) => "it rejects the files as they are",
                None => "it has other files loaded",
            };
            let help = "`countersign keyring status` says what it has, and why";
            ("not-yet", format!("NOT IN FORCE YET: the daemon runs, and {why}; {help}"), 3)
        }
        Confirmation::Unknown(error) if error.is_absent() => {
            let help = "it counts as soon as the daemon starts, and at once where hooks decide by themselves";
            ("no-daemon", format!("NOT CONFIRMED: no daemon runs; {help}"), 3)
        }
        Confirmation::Unknown(error) => {
            let help = "run `countersign keyring status` as root or as the daemon's account";
            ("unknown", format!("NOT CONFIRMED: {error}; {help}"), 3)
        }
    };
    Confirmed { said, json: json!({ "state": state, "keyring": digest }), code }
}
