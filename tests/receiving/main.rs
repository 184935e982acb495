//! Deliveries of forges over real sockets, good and bad: what is queued, what is answered, and what nobody gets
//! past. Judging them is another matter.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/payloads.rs"]
mod real;
#[path = "../support/mod.rs"]
mod support;

mod authenticity;
mod encrypted;
mod limits;
mod payloads;
mod queueing;
mod secrets;

use crate::support::deliveries::{self, Wire};
use crate::support::gate::Gate;
use countersign::forge::{ForgeKind, Headers};
use countersign::store::{Delivery, Mode, Store};
use serde_json::Value;

/// A gate with one source, or more.
pub(crate) struct Site {
    pub(crate) gate: Gate,
}

/// The repository that deliveries are about: its id and its path.
pub(crate) const INFRA: (&str, &str) = ("41", "acme/infra");

const POLICY: &str = "[policy]\nuncovered = \"accept\"\n";

impl Site {
    /// A running gate that listens to one forge at `/hooks/forge`.
    pub(crate) fn of(forge: ForgeKind) -> Self {
        let site = Site::prepared(forge);
        site.gate.start();
        site
    }

    pub(crate) fn github() -> Self {
        Site::of(ForgeKind::GitHub)
    }

    /// The same, not started yet.
    pub(crate) fn prepared(forge: ForgeKind) -> Self {
        let site = Site { gate: Gate::prepared(POLICY) };
        site.write_secret("secret", deliveries::usual_secret(forge));
        site.configure(&site.source("forge", forge, "{ file = \"secret\" }"));
        site
    }

    pub(crate) fn write_secret(&self, name: &str, secret: &str) {
        deliveries::write_secret(&self.gate.home.join(name), secret);
    }

    pub(crate) fn source(&self, name: &str, forge: ForgeKind, secrets: &str) -> String {
        format!(
            "[[source]]\nname = \"{name}\"\nforge = \"{}\"\nsecrets = [{secrets}]\nrepositories = [\"acme/infra\"]\n\
             url = \"https://forge.example.org/{{repository}}.git\"\nsweep = \"0s\"\n",
            forge.name()
        )
    }

    pub(crate) fn configure(&self, sources: &str) {
        self.gate.configure(&format!("{POLICY}\n{sources}"));
    }

    pub(crate) fn wire(&self) -> Wire {
        Wire::plain(self.gate.port())
    }

    /// Posts over a connection of its own; gives the status.
    pub(crate) fn post(&self, headers: &Headers, body: &[u8]) -> u16 {
        self.wire().post("/hooks/forge", headers, body).status
    }

    pub(crate) fn health(&self) -> Value {
        serde_json::from_str(&self.gate.get("/health").1).unwrap()
    }

    /// What was taken, oldest first, read behind the daemon's back; judged or not.
    pub(crate) fn queue(&self) -> Vec<Delivery> {
        let store = Store::open(&self.gate.state(), Mode::ReadOnly).unwrap();
        let mut all = store.deliveries(None, None, 5_000).unwrap();
        all.reverse();
        all
    }

    /// How often something happened to deliveries, once the figures say so.
    pub(crate) fn counted(&self, result: &str, count: u64) {
        let ask = || {
            let health = self.health();
            (health["webhooks"]["sources"]["forge"]["deliveries"][result] == count).then_some(())
        };
        support::wait_for(result, std::time::Duration::from_secs(10), ask);
    }
}
