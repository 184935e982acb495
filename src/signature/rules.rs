//! When and how a signature is judged.

use crate::domain::Timestamp;

/// The times that a signature is judged at: three questions have three times (reference 1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// What the object claims: the committer's or tagger's time, seconds since the epoch. Was the key
    /// valid then? (OpenPGP asks with the time inside the signature, which must be near.)
    pub object: i64,
    /// When the gate first received the object. Was the key valid then? `None` for history that predates
    /// the gate's record: nothing anchors its verdicts, and they are called `unanchored`.
    pub received: Option<Timestamp>,
    /// The clock. What is known now about the key?
    pub now: Timestamp,
}

impl Times {
    /// For an object that comes in now (N13).
    pub fn introduced(object: i64, now: Timestamp) -> Self {
        Times { object, received: Some(now), now }
    }

    /// The latest time, seconds since the epoch, that a signature may claim: a little after the receipt, or
    /// without one after now, because clocks differ (1.9).
    pub fn latest(&self, rules: &Rules) -> i64 {
        self.received.unwrap_or(self.now).as_second().saturating_add(rules.max_future)
    }

    /// The latest moment at which the key had to be valid: the receipt, or, without one, the claim.
    pub fn anchor(&self) -> Timestamp {
        self.received.unwrap_or_else(|| Timestamp::from_second(self.object).unwrap_or(Timestamp::MIN))
    }
}

/// What an operator may set about signatures (`[signatures]`). The default is the strictest that real
/// histories bear; everything that is not here is fixed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How far a signature's time may lie in the future of the receipt, in seconds (1.9).
    pub max_future: i64,
    /// How far a signature's time may lie from its object's, in seconds (1.9).
    pub max_skew: i64,
    /// How long after its end an SSH user certificate may still be received, in seconds (S10).
    pub certificate_grace: i64,
    /// What an SSH certificate without an end does (X016).
    pub endless_certificates: Strictness,
    /// Whether OpenPGP text signatures count, over payloads without a carriage return (O3).
    pub text_signatures: bool,
    /// Whether self-signatures made with SHA-1 count (O4). Revocations always do (O11).
    pub sha1_bindings: bool,
    /// Whether one OpenTimestamps block may follow the signature in its header (G10).
    pub trailing_timestamps: bool,
    /// What a `mergetag` that does not verify does to its commit (1.3).
    pub merge_tags: MergeTags,
    /// Whether a FIDO signature must come with a touch, where the key's own entry does not say (S5).
    pub touch: Demand,
    /// Whether a FIDO signature must come with a PIN or a finger, where the key's own entry does not say.
    pub user_verification: Demand,
    /// The applications that FIDO keys may be made for, where the key's own entry does not say: exact, or
    /// with a final `*`.
    pub fido_applications: Vec<String>,
    /// What a FIDO counter that did not rise does to a new signature (S6).
    pub fido_counter: Strictness,
    /// Judge history that predates the gate: the relaxations of reference 1.1 apply, each counted as a
    /// finding. Never set for a push.
    pub import: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            max_future: 300,
            max_skew: 3_600,
            certificate_grace: 86_400,
            endless_certificates: Strictness::Report,
            text_signatures: false,
            sha1_bindings: false,
            trailing_timestamps: false,
            merge_tags: MergeTags::Report,
            touch: Demand::Required,
            user_verification: Demand::Any,
            fido_applications: vec!["ssh:*".to_owned()],
            fido_counter: Strictness::Report,
            import: false,
        }
    }
}

/// Whether something has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Without it the signature does not count.
    Required,
    /// With or without.
    Any,
}

impl Demand {
    /// The word used in configuration and output.
    pub const fn name(self) -> &'static str {
        match self {
            Demand::Required => "required",
            Demand::Any => "any",
        }
    }
}

/// What becomes of a merged tag's signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MergeTags {
    /// Nobody looks.
    Ignore,
    /// A finding on the commit.
    #[default]
    Report,
    /// The commit's signature does not count.
    Refuse,
}

/// Whether something odd is told or refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strictness {
    /// A finding.
    #[default]
    Report,
    /// The signature does not count.
    Refuse,
}

/// Something odd about a signature that counts all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Stable code such as `fido.counter_regress`.
    pub code: &'static str,
    /// The same for people, escaped.
    pub text: String,
}

impl Finding {
    /// A finding; `text` is for people, escaped.
    pub fn new(code: &'static str, text: impl Into<String>) -> Self {
        Finding { code, text: text.into() }
    }
}

/// How one step of the reasoning ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckResult {
    /// As wanted.
    Passed,
    /// Not as wanted: the signature does not count.
    Failed,
    /// Odd, or worth knowing; nothing hangs on it.
    Noted,
}

impl CheckResult {
    /// The word used in output.
    pub const fn name(self) -> &'static str {
        match self {
            CheckResult::Passed => "passed",
            CheckResult::Failed => "failed",
            CheckResult::Noted => "noted",
        }
    }
}

/// One step of the reasoning, for people who ask why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What it is about, a stable word such as `subkey-binding`.
    pub name: &'static str,
    /// The clause that asks for it, such as `O7`.
    pub clause: &'static str,
    /// How it ended.
    pub result: CheckResult,
    /// What was seen, escaped.
    pub detail: String,
}

/// The reasoning behind a verdict, written down only where somebody asks for it.
#[derive(Debug, Default)]
pub struct Trace {
    checks: Option<Vec<Check>>,
}

impl Trace {
    /// Writes nothing down.
    pub fn off() -> Self {
        Trace { checks: None }
    }

    /// Writes everything down.
    pub fn on() -> Self {
        Trace { checks: Some(Vec::new()) }
    }

    /// The steps so far, in their order.
    pub fn checks(&self) -> &[Check] {
        self.checks.as_deref().unwrap_or_default()
    }

    /// Writes a step down; `detail` is asked for only if somebody listens.
    pub fn step<D: Into<String>>(
        &mut self,
        name: &'static str,
        clause: &'static str,
        result: CheckResult,
        detail: impl FnOnce() -> D,
    ) {
        if let Some(checks) = &mut self.checks {
            checks.push(Check { name, clause, result, detail: detail().into() });
        }
    }

    /// A step that ended as wanted.
    pub fn passed<D: Into<String>>(
        &mut self,
        name: &'static str,
        clause: &'static str,
        detail: impl FnOnce() -> D,
    ) {
        self.step(name, clause, CheckResult::Passed, detail);
    }

    /// A step that decided against the signature.
    pub fn failed<D: Into<String>>(
        &mut self,
        name: &'static str,
        clause: &'static str,
        detail: impl FnOnce() -> D,
    ) {
        self.step(name, clause, CheckResult::Failed, detail);
    }

    /// Something worth knowing.
    pub fn noted<D: Into<String>>(
        &mut self,
        name: &'static str,
        clause: &'static str,
        detail: impl FnOnce() -> D,
    ) {
        self.step(name, clause, CheckResult::Noted, detail);
    }
}
