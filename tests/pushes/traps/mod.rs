//! The traps that servers and hooks fall into, one function or more for each, by number: what the pusher sees, and
//! what the record says. `tests/docs.rs` holds that none of them is lost.

mod objects;
mod paths;
mod refs;
mod server;
mod who;

use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::receive_pack::{self, Answer, Update};
use crate::support::signers::Signer;
use crate::support::snapshot::{Snapshot, assert_clean};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

pub(super) const ZERO: &str = "0000000000000000000000000000000000000000";

/// A repository whose covered `main` and uncovered `topic` hold `tip`, one signed commit above `base`.
pub(super) struct Site {
    pub(super) gate: Gate,
    pub(super) alice: Signer,
    pub(super) bare: PathBuf,
    path: PathBuf,
    pub(super) base: String,
    pub(super) tip: String,
}

impl Site {
    pub(super) fn new() -> Self {
        Site::with(PRODUCTION)
    }

    pub(super) fn with(policy: &str) -> Self {
        let (gate, alice) = Gate::with_alice(policy);
        let bare = gate.repository("infra/live");
        let work = gate.clone_of(&bare);
        let base = work.commit(Some(&alice), "OPS-1: base");
        let tip = work.commit(Some(&alice), "OPS-2: tip");
        work.accepted(&["main", "main:topic"]);
        let path = work.path.clone();
        Site { gate, alice, bare, path, base, tip }
    }

    pub(super) fn work(&self) -> Clone<'_> {
        Clone::at(&self.gate, &self.bare, &self.path)
    }

    pub(super) fn git(&self, arguments: &[&str]) {
        self.gate.sandbox.git(&self.bare, arguments).ok();
    }

    /// Sends the updates by hand, with a pack of the revisions.
    pub(super) fn send(&self, updates: &[Update<'_>], revisions: &[&str]) -> Answer {
        receive_pack::push(&self.gate.sandbox, &self.bare, &self.path, updates, revisions, &[])
    }

    /// The same for what is refused, for exactly these rules: the repository stays as it is, and the record has
    /// the refusal.
    #[track_caller]
    pub(super) fn refused(&self, updates: &[Update<'_>], revisions: &[&str], rules: &[&str]) -> Answer {
        let before = Snapshot::of(&self.gate.sandbox, &self.bare);
        let answer = self.send(updates, revisions);
        assert_eq!(before, Snapshot::of(&self.gate.sandbox, &self.bare), "{}", answer.text);
        assert_clean(&self.gate.sandbox, &self.bare);
        assert!(!answer.is_undecided(), "{}", answer.text);
        assert_eq!(answer.rules(), rules.iter().copied().collect(), "{}", answer.text);
        self.recorded("refuse", rules);
        answer
    }

    /// Holds that the newest decision on record ended like that, for exactly these rules.
    #[track_caller]
    pub(super) fn recorded(&self, outcome: &str, rules: &[&str]) -> Value {
        recorded(&self.gate, outcome, rules)
    }

    /// An object of any bytes, in the pusher's repository.
    pub(super) fn object(&self, kind: &str, raw: &[u8]) -> String {
        let arguments = ["hash-object", "-t", kind, "-w", "--literally", "--stdin"];
        self.gate.sandbox.git_with_input(&self.path, &arguments, raw).ok().line().to_owned()
    }
}

#[track_caller]
pub(super) fn recorded(gate: &Gate, outcome: &str, rules: &[&str]) -> Value {
    let record = gate.last_decision();
    assert_eq!(record["outcome"], outcome, "{record}");
    let listed = record["violations"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named: BTreeSet<&str> = listed.iter().map(|one| one["rule"].as_str().unwrap()).collect();
    assert_eq!(named, rules.iter().copied().collect(), "{record}");
    record
}

/// One ruleset on these refs with these rules; everything else is open.
pub(super) fn ruleset(refs: &str, refuse: &str) -> String {
    format!(
        "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"only\"\nrepositories = [\"**\"]\nrefs = [{refs}]\n\n\
         [ruleset.refuse]\n{refuse}\n"
    )
}
