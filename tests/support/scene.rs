//! A repository in use behind a gate, for tests of what happens when something breaks.

use super::clone::{Clone, Push};
use super::gate::{Gate, PRODUCTION};
use super::signers::Signer;
use std::fs;
use std::path::PathBuf;

/// A repository with one accepted commit; the next one, which is as good, is ready to be pushed.
pub struct Scene {
    pub gate: Gate,
    pub alice: Signer,
    pub bare: PathBuf,
    pub work: PathBuf,
}

impl Scene {
    pub fn new() -> Self {
        Scene::with(PRODUCTION)
    }

    pub fn with(policy: &str) -> Self {
        let (gate, alice) = Gate::with_alice(policy);
        let bare = gate.repository("infra/live");
        let path = {
            let work = gate.clone_of(&bare);
            work.commit(Some(&alice), "OPS-1: base");
            work.accepted(&["main"]);
            work.commit(Some(&alice), "OPS-2: as good as the first");
            work.path.clone()
        };
        Scene { gate, alice, bare, work: path }
    }

    pub fn clone(&self) -> Clone<'_> {
        Clone::at(&self.gate, &self.bare, &self.work)
    }

    #[track_caller]
    pub fn push(&self) -> Push {
        self.clone().push(&["main"])
    }

    /// Makes the repository's hook give up after so many seconds.
    pub fn wait_at_most(&self, seconds: u32) {
        let hook = self.bare.join("hooks/pre-receive");
        let text = fs::read_to_string(&hook).unwrap();
        let shorter = format!("timeout {seconds}");
        let lines = text.lines().map(|line| if line.starts_with("timeout ") { &shorter } else { line });
        let changed: String = lines.map(|line| format!("{line}\n")).collect();
        assert_ne!(text, changed, "an installed hook says how long it waits");
        fs::write(&hook, changed).unwrap();
    }
}
