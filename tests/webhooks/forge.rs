//! A forge: a bare repository that is pushed to without us, and what it tells afterwards.

use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::sandbox::Ran;
use crate::support::signers::Signer;
use crate::support::wait_for;
use countersign::domain::{RefName, RepositoryId};
use countersign::store::{Mode, Store};
use ring::hmac;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const SECRET: &str = "a test secret of the forge";
pub const ZERO: &str = "0000000000000000000000000000000000000000";
pub const NAME: &str = "forge/acme/infra";

/// A gate that watches one repository of one forge.
pub struct Forge {
    pub gate: Gate,
    pub alice: Signer,
    pub bare: PathBuf,
    /// More of the configuration's `[[source]]`, and where it is fetched from.
    pub url: String,
    pub source: String,
    pub policy: String,
    number: AtomicU32,
}

impl Forge {
    /// The repository has one signed commit on `main`; nothing runs yet.
    pub fn prepared() -> Self {
        Self::with_format("sha1")
    }

    pub fn with_format(format: &str) -> Self {
        let gate = Gate::prepared(PRODUCTION);
        let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
        gate.trust(&alice, "sre");
        let bare = gate.sandbox.bare("forge.git", &[&format!("--object-format={format}")]);
        private(&gate.sandbox.path("secret"), SECRET);
        let url = format!("file://{}", bare.display());
        let forge = Forge {
            gate,
            alice,
            bare,
            url,
            source: String::new(),
            policy: PRODUCTION.to_owned(),
            number: AtomicU32::new(1),
        };
        let work = forge.work();
        work.commit(Some(&forge.alice), "OPS-1: begin");
        forge.push(&work, &["main"]);
        forge
    }

    /// The same, judged from now on.
    pub fn running() -> Self {
        let forge = Forge::prepared();
        forge.start();
        forge.adopt();
        forge
    }

    pub fn configure(&self) {
        let text = format!(
            "{policy}\n[[source]]\nname = \"forge\"\nforge = \"github\"\nsecrets = [{{ file = \"{secret}\" }}]\n\
             sweep = \"1s\"\n{source}\n[[source.repository]]\nname = \"acme/infra\"\nid = \"7\"\nurl = \"{url}\"\n",
            policy = self.policy,
            secret = self.gate.sandbox.path("secret").display(),
            source = self.source,
            url = self.url,
        );
        self.gate.configure(&text);
    }

    pub fn start(&self) {
        self.configure();
        self.gate.start();
    }

    /// Waits until it was seen, and vouches for it.
    pub fn adopt(&self) -> Ran {
        self.decision("waits-for-adopt", |one| one["fault"]["code"] == "waits-for-adopt");
        self.gate.countersign(&["adopt", NAME, "--yes"]).ok()
    }

    pub fn work(&self) -> Clone<'_> {
        self.gate.clone_of(&self.bare)
    }

    /// Pushes past us, as to any forge.
    pub fn push(&self, work: &Clone<'_>, arguments: &[&str]) {
        let options = arguments.iter().take_while(|argument| argument.starts_with('-')).count();
        let mut all = vec!["push", "--quiet"];
        all.extend(&arguments[..options]);
        let bare = self.bare.to_str().unwrap().to_owned();
        all.push(&bare);
        all.extend(&arguments[options..]);
        work.git(&all).ok();
    }

    /// Git at the forge itself.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.gate.sandbox.git(&self.bare, arguments).ok().line().to_owned()
    }

    /// The body of a delivery of a push by an account.
    pub fn body(&self, reference: &str, before: &str, after: &str, login: &str) -> String {
        json!({
            "ref": reference, "before": before, "after": after,
            // No two bodies are the same.
            "compare": self.number.fetch_add(1, Ordering::Relaxed),
            "repository": { "id": 7, "full_name": "acme/infra" },
            "pusher": { "name": login }, "sender": { "login": login, "id": 1000 },
        })
        .to_string()
    }

    /// Tells of a push, signed, and wants to hear that it is queued.
    pub fn tell(&self, reference: &str, before: &str, after: &str, login: &str) {
        let body = self.body(reference, before, after, login);
        assert_eq!(self.deliver("push", &body), Some(202), "{}", self.gate.log());
    }

    /// Delivers a body; `None` where there is no answer.
    pub fn deliver(&self, event: &str, body: &str) -> Option<u16> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let signature = data_encoding::HEXLOWER.encode(hmac::sign(&key, body.as_bytes()).as_ref());
        let id = self.number.fetch_add(1, Ordering::Relaxed);
        let mut stream = TcpStream::connect(self.listener()).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let head = format!(
            "POST /hooks/forge HTTP/1.1\r\nhost: gate\r\nconnection: close\r\ncontent-type: application/json\r\n\
             x-github-event: {event}\r\nx-github-delivery: 00000000-0000-0000-0000-{id:012}\r\n\
             x-hub-signature-256: sha256={signature}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(body.as_bytes()).ok()?;
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer.split(' ').nth(1)?.parse().ok()
    }

    fn listener(&self) -> String {
        let config = std::fs::read_to_string(self.gate.config()).unwrap();
        let line = config.lines().find(|line| line.starts_with("listen")).unwrap().to_owned();
        line.split('"').nth(1).unwrap().to_owned()
    }

    pub fn store(&self) -> Store {
        Store::open(&self.gate.state(), Mode::ReadOnly).unwrap()
    }

    pub fn id(&self) -> RepositoryId {
        RepositoryId("forge:7".to_owned())
    }

    /// What a ref was judged at last.
    pub fn judged(&self, reference: &str) -> Option<String> {
        let name = RefName::parse(reference.as_bytes()).unwrap();
        self.store().judged_tip(&self.id(), &name).unwrap().flatten().map(|id| id.to_string())
    }

    /// Waits until a ref was judged at a value.
    #[track_caller]
    pub fn wait_judged(&self, reference: &str, value: Option<&str>) {
        wait_for(&format!("{reference} to be judged at {value:?}"), Duration::from_secs(60), || {
            (self.judged(reference).as_deref() == value).then_some(())
        });
    }

    /// Waits until no delivery waits.
    #[track_caller]
    pub fn wait_idle(&self) {
        wait_for("the queue to be empty", Duration::from_secs(120), || {
            self.store().queued_deliveries(&self.id()).unwrap().is_empty().then_some(())
        });
    }

    pub fn decisions(&self) -> Vec<Value> {
        self.gate.audit().into_iter().filter(|one| one["kind"] == "decision").collect()
    }

    /// Waits for a decision, and gives it.
    #[track_caller]
    pub fn decision(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, Duration::from_secs(60), || self.decisions().into_iter().find(|one| is_it(one)))
    }

    /// Waits for the decision about a move of a ref.
    #[track_caller]
    pub fn decided(&self, reference: &str, new: &str) -> Value {
        self.decision(&format!("a decision about {reference} at {new}"), |one| moved(one, reference, new))
    }
}

/// Writes a file that only its owner reads.
pub fn private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// Whether a decision is about a ref and a new value.
pub fn moved(one: &Value, reference: &str, new: &str) -> bool {
    one["refs"][0]["ref"] == reference && one["refs"][0]["new"] == new
}

/// The rules that a decision names.
pub fn rules(one: &Value) -> Vec<String> {
    let all = one["violations"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = all.iter().map(|one| one["rule"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}
