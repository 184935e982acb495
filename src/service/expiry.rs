//! Notices about keys that end: in the log, once for each end and threshold, and numbers for health.

use super::gate::Gate;
use crate::domain::Timestamp;
use crate::keyring::Keyring;
use crate::keyring::lint::{AHEAD, Ending, days_until, endings, ends_within, in_days};
use crate::store::ExpiryNotice;
use serde::Serialize;
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many keys and authorities of the keyring in force end soon or have ended. What is revoked or suspended is
/// not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expiring {
    /// Good now, and for 7 days at most.
    pub within_7_days: usize,
    /// Good now, and for 30 days at most; those above among them.
    pub within_30_days: usize,
    /// Ended, and still in the keyring.
    pub expired: usize,
}

impl Expiring {
    /// Counts.
    pub fn of(keyring: &Keyring, now: Timestamp) -> Self {
        let mut counts = Expiring::default();
        for one in endings(keyring, now) {
            if one.ends <= now {
                counts.expired += 1;
                continue;
            }
            counts.within_7_days += usize::from(ends_within(one.ends, now, AHEAD[0]));
            counts.within_30_days += usize::from(ends_within(one.ends, now, AHEAD[1]));
        }
        counts
    }
}

/// What this process has said, should the record be of no use, and what it has counted.
#[derive(Debug, Default)]
pub(super) struct Told {
    said: Mutex<HashSet<ExpiryNotice>>,
    counted: Mutex<Option<(Instant, String, Expiring)>>,
}

/// For how long a count holds. Strangers may ask for the health.
const COUNT_AGE: Duration = Duration::from_secs(60);

/// For how many days after its end it is worth a line that a key has expired.
const BEHIND: i64 = 30;

/// The notices that are due: of each key that ends soon the one of the nearest threshold. One that was missed while
/// nothing ran is not made up for by two.
fn due(keyring: &Keyring, now: Timestamp) -> Vec<(Ending, ExpiryNotice)> {
    let notice = |one: Ending| {
        let days = if one.ends <= now {
            (days_until(one.ends, now) >= -BEHIND).then_some(0)?
        } else {
            AHEAD.into_iter().find(|days| ends_within(one.ends, now, *days))?
        };
        let notice = ExpiryNotice { key: one.fingerprint.clone(), ends: one.ends, days };
        Some((one, notice))
    };
    endings(keyring, now).into_iter().filter_map(notice).collect()
}

impl Gate {
    /// Logs which keys end within 30 or 7 days or have ended, each once: what was said is on record, so that neither
    /// a restart nor a reload says it again. Called at start, after reloads, and every hour. Gives what was said.
    pub fn tell_expiring(&self, now: Timestamp) -> Vec<ExpiryNotice> {
        let snapshot = self.current();
        let mut due = due(&snapshot.keyring, now);
        {
            let said = self.told.said.lock().unwrap_or_else(PoisonError::into_inner);
            due.retain(|(_, notice)| !said.contains(notice));
        }
        let notices: Vec<ExpiryNotice> = due.iter().map(|(_, notice)| notice.clone()).collect();
        let fresh = self.store.claim_notices(notices.clone()).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot put notices about keys on record; they come again after a restart");
            notices.clone()
        });
        self.told.said.lock().unwrap_or_else(PoisonError::into_inner).extend(notices);
        for (one, _) in due.iter().filter(|(_, notice)| fresh.contains(notice)) {
            let principal = one.principal.as_deref().unwrap_or("an authority");
            let (key, ends, place) = (&one.fingerprint, one.ends, &one.place);
            let what =
                if ends <= now { "expired".to_owned() } else { format!("expires {}", in_days(ends, now)) };
            if one.replaced {
                // Their next key is in use already.
                tracing::info!(%principal, %key, %ends, %place, "a key that has a successor {what}");
            } else {
                tracing::warn!(%principal, %key, %ends, %place, "a key {what}");
            }
        }
        fresh
    }

    /// [`Gate::tell_expiring`] by the gate's clock.
    pub fn look_at_keys(&self) {
        self.tell_expiring(Gate::now());
    }

    /// How many keys of the keyring in force end soon, counted once a minute.
    pub(super) fn expiring(&self) -> Expiring {
        let keyring = &self.current().keyring;
        let mut counted = self.told.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, digest, counts)) = counted.as_ref()
            && at.elapsed() < COUNT_AGE
            && digest == keyring.digest()
        {
            return *counts;
        }
        let counts = Expiring::of(keyring, Gate::now());
        *counted = Some((Instant::now(), keyring.digest().to_owned(), counts));
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    const KEYS: [&str; 3] = [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOJaXzR/ywf7UudEZKOnGRUNAVLhzkP24lyaYdM5k4CS",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdCKdpbqvoIHJXbkSGZDXQ8jYZGNdIs4T1v0UTrO+UD",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHt/gekdZBP6w6zAI00bJvEt0bEQaLT7MP0mPLMkK/qO",
    ];

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn start(place: &Path) -> Gate {
        fs::create_dir_all(place.join("repositories")).unwrap();
        let config = place.join("countersign.toml");
        let text = "[daemon]\nsocket = \"hook.sock\"\nstate = \"state\"\n[keyring]\npath = \"keyring\"\n\
                    [repositories]\nroot = \"repositories\"\n[policy]\nuncovered = \"accept\"\n";
        fs::write(&config, text).unwrap();
        Gate::start(&config).unwrap()
    }

    fn write(place: &Path, name: &str, keys: &[(&str, &str)]) {
        fs::create_dir_all(place.join("keyring")).unwrap();
        let mut text = format!("name = \"{name}\"\n");
        for (key, more) in keys {
            text.push_str(&format!("[[key]]\nssh = \"{key}\"\n{more}\n"));
        }
        fs::write(place.join("keyring").join(format!("{name}.toml")), text).unwrap();
    }

    fn days(said: &[ExpiryNotice]) -> Vec<u16> {
        said.iter().map(|notice| notice.days).collect()
    }

    #[test]
    fn each_threshold_is_told_once_whatever_restarts() {
        let place = tempfile::tempdir().unwrap();
        write(place.path(), "ann", &[(KEYS[0], "valid-until = 2040-03-01T00:00:00Z")]);
        write(place.path(), "bob", &[(KEYS[1], "")]);
        let gate = start(place.path());
        let told = |gate: &Gate, now: &str| days(&gate.tell_expiring(time(now)));
        assert!(told(&gate, "2040-01-30T23:59:59Z").is_empty(), "30 days and a second before");
        assert_eq!(told(&gate, "2040-01-31T00:00:00Z"), [30], "30 days before");
        assert!(told(&gate, "2040-01-31T01:00:00Z").is_empty(), "an hour later");
        drop(gate);
        let gate = start(place.path());
        assert!(told(&gate, "2040-02-01T00:00:00Z").is_empty(), "after a restart");
        gate.reload();
        assert!(told(&gate, "2040-02-22T23:59:59Z").is_empty(), "after a reload");
        assert_eq!(told(&gate, "2040-02-23T00:00:00Z"), [7]);
        assert!(told(&gate, "2040-02-29T00:00:00Z").is_empty());
        assert_eq!(told(&gate, "2040-03-01T00:00:00Z"), [0], "the end is exclusive: it has expired");
        assert!(told(&gate, "2040-03-02T00:00:00Z").is_empty());
        // A later end is another one.
        write(place.path(), "ann", &[(KEYS[0], "valid-until = 2040-04-01T00:00:00Z")]);
        gate.reload();
        assert_eq!(told(&gate, "2040-03-28T00:00:00Z"), [7], "the nearest threshold only");
    }

    #[test]
    fn what_does_not_count_anyway_or_ended_long_ago_is_not_told() {
        let place = tempfile::tempdir().unwrap();
        let revoked = "valid-until = 2040-03-01T00:00:00Z\nrevoked = { at = 2026-01-01T00:00:00Z, reason = \"retired\" }";
        write(place.path(), "ann", &[(KEYS[0], revoked), (KEYS[1], "valid-until = 2039-01-01T00:00:00Z")]);
        let gate = start(place.path());
        assert!(gate.tell_expiring(time("2040-02-28T00:00:00Z")).is_empty());
        let counts = Expiring::of(&gate.current().keyring, time("2040-02-28T00:00:00Z"));
        assert_eq!(counts, Expiring { expired: 1, ..Expiring::default() });
    }

    #[test]
    fn health_counts_those_that_end() {
        let place = tempfile::tempdir().unwrap();
        let until = |end: &'static str| format!("valid-until = {end}");
        let (soon, later, never) =
            (until("2040-03-01T00:00:00Z"), until("2040-03-20T00:00:00Z"), until("2041-01-01T00:00:00Z"));
        for (name, key, end) in [("ann", KEYS[0], &soon), ("bob", KEYS[1], &later), ("cy", KEYS[2], &never)] {
            write(place.path(), name, &[(key, end)]);
        }
        let gate = start(place.path());
        let counts = |now: &str| Expiring::of(&gate.current().keyring, time(now));
        let wanted = Expiring { within_7_days: 1, within_30_days: 2, expired: 0 };
        assert_eq!(counts("2040-02-25T00:00:00Z"), wanted);
        assert_eq!(gate.health().expiring, Expiring::default(), "by the machine's own clock");
        let wanted = Expiring { within_7_days: 0, within_30_days: 1, expired: 1 };
        assert_eq!(counts("2040-03-02T00:00:00Z"), wanted);
    }
}
