//! The whole reasoning about one object's signature, for people who ask why. It is the gate's own
//! reasoning, step by step; nothing is recorded, and nothing gets in by it.

mod answer;
mod recorded;

pub use self::answer::{Covering, Explanation, ObjectFault, Person, Receipt, Target};

use self::answer::{TAG_NAME, TOO_LARGE};
use self::recorded::{Recorded, unusable};
use super::beside::{self, Beside, Question, Tool};
use super::differences::{Ours, classify};
use super::gate::Snapshot;
use super::locate;
use crate::domain::{ObjectId, ObjectKind, RefName, Timestamp, text};
use crate::facts;
use crate::git::{GitError, Repository};
use crate::keyring::document::Place;
use crate::keyring::{Key, Keyring, Position, Reason, Revocation, Role, Window, Windows};
use crate::policy::Limits;
use crate::signature::object::{self, CommitObject, Identity, Payload, SignatureField, SignatureFormat};
use crate::signature::{
    self, Check, CheckResult, Finding, KeyId, Rules, Scheme, SignatureStatus, SshCertificate, Times, Trace,
    VerifiedSignature, mergetag,
};
use crate::store::StoreError;
use std::path::Path;

/// Longest name, address or subject that is shown, in characters.
const SHOWN: usize = 200;

/// What an object is judged by.
#[derive(Clone, Copy, Debug)]
pub enum Ground<'a> {
    /// What the gate has: configuration, keyring, and its record of receipts.
    Gate(&'a Snapshot),
    /// A keyring and the default rules.
    Keyring(&'a Keyring),
}

impl<'a> Ground<'a> {
    fn keyring(self) -> &'a Keyring {
        match self {
            Ground::Gate(snapshot) => &snapshot.keyring,
            Ground::Keyring(keyring) => keyring,
        }
    }

    fn rules(self) -> Rules {
        match self {
            Ground::Gate(snapshot) => snapshot.config.signatures.clone(),
            Ground::Keyring(_) => Rules::default(),
        }
    }

    fn limits(self) -> Limits {
        match self {
            Ground::Gate(snapshot) => snapshot.config.limits.clone(),
            Ground::Keyring(_) => Limits::default(),
        }
    }
}

/// What is asked.
#[derive(Debug)]
pub struct ExplainRequest<'a> {
    /// The git directory, bare or of a work tree.
    pub git_dir: &'a Path,
    /// The commit or annotated tag.
    pub object: ObjectId,
    /// Judge as if it had been received then.
    pub at: Option<Timestamp>,
    /// The ref that holds it, or would.
    pub reference: Option<&'a RefName>,
    /// Ask git, too.
    pub with_git: bool,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum ExplainFault {
    /// There is no such object, or it is of a kind that nobody signs: whoever asked means something else.
    #[error("{0}")]
    Object(String),
    /// The repository cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// Reasons about one object.
pub fn explain(ground: Ground<'_>, request: &ExplainRequest<'_>) -> Result<Explanation, ExplainFault> {
    let repository = Repository::open(request.git_dir, None)?;
    let id = request.object;
    let found = repository.objects().find(&id)?;
    let found = found.ok_or_else(|| ExplainFault::Object(format!("there is no object {id}")))?;
    if !matches!(found.kind, ObjectKind::Commit | ObjectKind::Tag) {
        let kind = found.kind.name();
        return Err(ExplainFault::Object(format!(
            "{id} is a {kind}: only commits and annotated tags are signed"
        )));
    }
    let clock = Timestamp::now();
    // Like the gate's own record: finer than that is noise.
    let clock = Timestamp::from_millisecond(clock.as_millisecond()).unwrap_or(clock);
    let mut made = Explanation {
        object: id,
        kind: found.kind,
        reference: request.reference.map(ToString::to_string),
        covering: covering(ground, &repository, request.reference),
        fault: None,
        people: Vec::new(),
        subject: None,
        target: None,
        format: None,
        key: None,
        algorithm: None,
        entry: None,
        principal: None,
        claimed: None,
        signed: None,
        received: request.at.unwrap_or(clock),
        receipt: if request.at.is_some() { Receipt::Given } else { Receipt::Now },
        unrecorded: None,
        // Nothing is received after the present, so a question about the future has its present there.
        now: request.at.map_or(clock, |at| at.max(clock)),
        checks: Vec::new(),
        status: None,
        findings: Vec::new(),
        git: Beside::Off,
        difference: None,
    };
    let limit = ground.limits().object_bytes;
    if found.size > limit as u64 {
        let why = format!("the {} has {} bytes; at most {limit} are read", found.kind.name(), found.size);
        made.refuse("size", "N23", TOO_LARGE, why);
        if request.with_git {
            made.git = Beside::NotCompared("the object is too large".to_owned());
        }
        return Ok(made);
    }
    let mut raw = Vec::new();
    if repository.objects().read(&id, &mut raw)? != Some(found.kind) {
        return Err(GitError::Missing { id, child: None }.into());
    }
    let detail = format!("{} bytes, and its content is what its id names", raw.len());
    made.step("object", "R4", CheckResult::Passed, detail);
    let record = match ground {
        Ground::Gate(snapshot) if request.at.is_none() => Recorded::open(snapshot, &repository),
        _ => Ok(None),
    };
    let record = record.unwrap_or_else(|why| {
        made.unrecorded = Some(why);
        None
    });
    match record.as_ref().map(|record| record.receipt(&id, found.kind, &mut made.findings)) {
        Some(Ok(Some(at))) => (made.received, made.receipt) = (at, Receipt::Recorded),
        Some(Err(error)) => made.unrecorded = Some(unusable(&error)),
        Some(Ok(None)) | None => {}
    }
    match found.kind {
        ObjectKind::Tag => made.tag(ground, &repository, &raw, request.reference),
        _ => made.commit(ground, &repository, &raw),
    }
    if let Some(Err(error)) = record.as_ref().map(|record| made.counter(record, &ground.rules())) {
        made.unrecorded = Some(unusable(&error));
    }
    if request.with_git {
        made.ask_git(ground.keyring(), &raw);
    }
    Ok(made)
}

impl Explanation {
    fn step(&mut self, name: &'static str, clause: &'static str, result: CheckResult, detail: String) {
        self.checks.push(Check { name, clause, result, detail });
    }

    /// Something is wrong with the object. The step is written down unless the reader has done so.
    fn refuse(&mut self, name: &'static str, clause: &'static str, code: &'static str, why: String) {
        let told = self.checks.last().is_some_and(|last| last.result == CheckResult::Failed);
        if !told || name != "grammar" {
            self.step(name, clause, CheckResult::Failed, format!("{why} ({code})"));
        }
        self.fault = Some(ObjectFault { code, why });
    }

    fn commit(&mut self, ground: Ground<'_>, repository: &Repository, raw: &[u8]) {
        let (rules, mut trace) = (ground.rules(), Trace::on());
        let parsed = object::parse_commit_by(repository.format(), raw, &rules, &mut trace);
        self.checks.extend_from_slice(trace.checks());
        let commit = match parsed {
            Ok(commit) => commit,
            Err(error) => return self.refuse("grammar", "G1 to G6, G13", error.code, error.why),
        };
        self.people = vec![person("author", &commit.author), person("committer", &commit.committer)];
        self.subject = subject(commit.message);
        self.findings.extend_from_slice(&commit.findings);
        self.limits(ground, commit.message, commit.parents.len());
        self.signature(ground, Role::Commit, &commit.signature, &commit.payload, commit.committer.time);
        self.merged_tags(ground, repository, &commit);
    }

    /// What a push of it would be refused for, whoever signed it.
    fn limits(&mut self, ground: Ground<'_>, message: &[u8], parents: usize) {
        let limits = ground.limits();
        for (count, most, what) in
            [(message.len(), limits.message_bytes, "bytes of message"), (parents, limits.parents, "parents")]
        {
            if count > most {
                let detail = format!("{count} {what}: a push of it is refused as too large, beyond {most}");
                self.step("limits", "N23", CheckResult::Noted, detail);
            }
        }
    }

    /// Holds an authenticator's counter against the record, as the gate does with what comes in (S6).
    fn counter(&mut self, record: &Recorded, rules: &Rules) -> Result<(), StoreError> {
        let Some(SignatureStatus::Verified(signature)) = &self.status else { return Ok(()) };
        let Some(fido) = signature.fido() else { return Ok(()) };
        let (key, application, counter) = (signature.fingerprint(), &fido.application, fido.counter);
        let frontier = record.frontier()?;
        if frontier.fido_known(key, application, &self.object)? {
            let detail = format!("{counter}, as it was when it was let in");
            self.step("counter", "S6", CheckResult::Passed, detail);
            return Ok(());
        }
        let highest = frontier.fido_counter(key, application)?;
        let Some(status) = self.status.take() else { return Ok(()) };
        let (status, odd) = facts::judge_counter(status, self.object, highest, rules);
        let (result, detail) = match (&status, &odd) {
            (SignatureStatus::Verified(_), None) => (CheckResult::Passed, format!("{counter}")),
            (SignatureStatus::Verified(_), Some(odd)) => (CheckResult::Noted, odd.text.clone()),
            (other, _) => (CheckResult::Failed, other.to_string()),
        };
        self.step("counter", "S6", result, detail);
        match &status {
            SignatureStatus::Verified(_) => self.findings.extend(odd),
            _ => self.key = status.key(),
        }
        self.status = Some(status);
        Ok(())
    }

    /// The tags that a merge carries, judged as the gate does (1.3).
    fn merged_tags(&mut self, ground: Ground<'_>, repository: &Repository, commit: &CommitObject<'_>) {
        let (keyring, rules, mut trace) = (ground.keyring(), ground.rules(), Trace::on());
        let (received, now) = (self.received, self.now);
        let merged = mergetag::judge(repository.format(), commit, &rules, &mut trace, &mut |tag, trace| {
            let times = Times { object: tag.time(), received: Some(received), now };
            let status = signature::judge(&tag.signature, &tag.payload, keyring, times, &rules, trace);
            keyring.assess_for(Role::Tag, status, &times, &rules).0
        });
        self.checks.extend_from_slice(trace.checks());
        self.findings.extend(merged.iter().filter_map(mergetag::MergedTag::finding).cloned());
        self.status = self.status.take().map(|status| mergetag::veto(status, &merged, &rules));
        self.must_have_failed();
    }

    fn tag(&mut self, ground: Ground<'_>, repository: &Repository, raw: &[u8], reference: Option<&RefName>) {
        let (rules, mut trace) = (ground.rules(), Trace::on());
        let parsed = object::parse_tag_by(repository.format(), raw, &rules, &mut trace);
        self.checks.extend_from_slice(trace.checks());
        let tag = match parsed {
            Ok(tag) => tag,
            Err(error) => return self.refuse("grammar", "T1 to T3, G13", error.code, error.why),
        };
        let name = text::escape_short(tag.name, SHOWN);
        self.people = tag.tagger.iter().map(|tagger| person("tagger", tagger)).collect();
        self.subject = subject(tag.message);
        self.findings.extend_from_slice(&tag.findings);
        self.limits(ground, tag.message, 0);
        if let Some(reference) = reference
            && let Some(held) = reference.as_bytes().strip_prefix(b"refs/tags/")
        {
            if held == tag.name {
                self.step("tag-name", "T4", CheckResult::Passed, format!("{reference} holds the tag {name}"));
            } else {
                let why = format!("it was made as {name}, and stands under {reference}");
                self.refuse("tag-name", "T4", TAG_NAME, why);
            }
        }
        match repository.objects().find(&tag.target) {
            Ok(Some(target)) if target.kind == tag.target_kind => {
                let detail = format!("{} {}", target.kind.name(), tag.target);
                self.step("target", "T5", CheckResult::Passed, detail);
            }
            Ok(Some(target)) => {
                let why = format!("the tag calls a {} a {}", target.kind.name(), tag.target_kind.name());
                self.refuse("target", "T5", "tag.target", why);
            }
            Ok(None) => {
                self.refuse("target", "T5", "tag.target", format!("there is no object {}", tag.target))
            }
            Err(error) => self.refuse("target", "T5", "tag.target", error.to_string()),
        }
        self.target = Some(Target { id: tag.target, kind: tag.target_kind, name });
        self.signature(ground, Role::Tag, &tag.signature, &tag.payload, tag.time());
    }

    /// The signature by its own rules, then by what the keyring says about its key.
    fn signature(
        &mut self,
        ground: Ground<'_>,
        role: Role,
        field: &SignatureField,
        payload: &Payload<'_>,
        claimed: i64,
    ) {
        let (keyring, rules) = (ground.keyring(), ground.rules());
        let times = Times { object: claimed, received: Some(self.received), now: self.now };
        self.claimed = Some(claimed);
        if let SignatureField::Present(block) = field {
            self.format = Some(format_name(block.format));
        }
        let mut trace = Trace::on();
        let status = signature::judge(field, payload, keyring, times, &rules, &mut trace);
        self.checks.extend_from_slice(trace.checks());
        if let SignatureStatus::Verified(signature) = &status {
            self.algorithm = Some(signature.algorithm().to_owned());
            self.signed = signature.signed_at();
            self.entry = Some(signature.certificate().to_owned());
        }
        let by_itself = status.clone();
        let (status, principal) = keyring.assess_for(role, status, &times, &rules);
        self.standing(keyring, role, &times, &by_itself, &status);
        if let SignatureStatus::Verified(signature) = &status {
            self.findings.extend_from_slice(signature.findings());
        }
        if let SignatureStatus::Revoked { hard: true, .. } = &status
            && self.receipt == Receipt::Recorded
        {
            let why = "the record says that it was let in; what this key signed proves nothing any more";
            self.findings.push(Finding::new("tainted", why));
        }
        self.key = status.key();
        self.principal = principal;
        self.status = Some(status);
        self.must_have_failed();
    }

    /// What the keyring's entry says about a signature that is good by itself.
    fn standing(
        &mut self,
        keyring: &Keyring,
        role: Role,
        times: &Times,
        by_itself: &SignatureStatus,
        assessed: &SignatureStatus,
    ) {
        let SignatureStatus::Verified(signature) = by_itself else { return };
        match signature.ssh_certificate() {
            Some(certificate) => {
                self.authority(keyring, times, certificate);
                let id = KeyId { scheme: signature.scheme(), text: signature.fingerprint().to_owned() };
                if let Some(key) = keyring.listed(&id) {
                    self.listing(key, role, times, signature);
                }
            }
            None => self.entry(keyring, role, times, signature),
        }
        let failed = self.checks.iter().any(|check| check.result == CheckResult::Failed);
        match assessed {
            SignatureStatus::Verified(_) => {}
            _ if failed => {}
            SignatureStatus::WrongPurpose { why, .. } if signature.fido().is_some() => {
                self.step("authenticator", "S5", CheckResult::Failed, why.clone());
            }
            SignatureStatus::WrongPurpose { why, .. } => {
                self.step("holder", "S10, S12", CheckResult::Failed, why.clone());
            }
            _ => self.step("keyring", "N13, N14", CheckResult::Failed, assessed.to_string()),
        }
    }

    /// The `[[key]]` that signed.
    fn entry(&mut self, keyring: &Keyring, role: Role, times: &Times, signature: &VerifiedSignature) {
        let id = KeyId { scheme: signature.scheme(), text: signature.certificate().to_owned() };
        let Some(key) = keyring.find(&id) else {
            return self.step(
                "owner",
                "O13, S12",
                CheckResult::Failed,
                format!("{id} is not in the keyring"),
            );
        };
        let owner = &key.principal;
        let name = text::escape_short(owner.name.as_bytes(), SHOWN);
        let detail = format!("{name} ({}), by {}", owner.kind.name(), shown_place(&key.place));
        self.step("owner", "O13, S12", CheckResult::Passed, detail);
        self.listing(key, role, times, signature);
    }

    /// What an entry says about its own key, under a certificate as well.
    fn listing(&mut self, key: &Key, role: Role, times: &Times, signature: &VerifiedSignature) {
        let name = text::escape_short(key.principal.name.as_bytes(), SHOWN);
        self.revocation("key", key.revoked.as_ref(), times);
        if let Some(suspended) = &key.suspended {
            let result =
                if suspended.applies(times.anchor()) { CheckResult::Failed } else { CheckResult::Noted };
            self.step("suspension", "N14", result, format!("{name} is suspended {suspended}"));
        }
        if !key.roles.is_all() {
            let result = if key.roles.has(role) { CheckResult::Passed } else { CheckResult::Failed };
            self.step("role", "N14", result, format!("the entry is for: {}", key.roles));
        }
        self.window(&key.windows, times, signature.signed_at());
    }

    /// The authority whose certificate vouches for the key.
    fn authority(&mut self, keyring: &Keyring, times: &Times, certificate: &SshCertificate) {
        let fingerprint = &certificate.authority;
        let Some(authority) = keyring.authority(fingerprint) else {
            let detail = format!("{fingerprint} is no authority of the keyring");
            return self.step("authority", "S10", CheckResult::Failed, detail);
        };
        let detail = format!("{fingerprint}, by {}", shown_place(&authority.place));
        self.step("authority", "S10", CheckResult::Passed, detail);
        self.revocation("authority", authority.revoked.as_ref(), times);
    }

    fn revocation(&mut self, whose: &str, revoked: Option<&Revocation>, times: &Times) {
        let Some(revoked) = revoked else {
            let detail = format!("the keyring's entry does not revoke the {whose}");
            return self.step("revocation", "N14", CheckResult::Passed, detail);
        };
        let from = revoked.refused_from().map_or_else(|| "always".to_owned(), |at| format!("from {at}"));
        let what = match revoked.reason {
            Reason::Compromised => "refused whatever it claims",
            Reason::Superseded | Reason::Retired => "refused for what is received",
        };
        let detail = format!("{}: {what}, {from}", revoked.reason.name());
        let result = if revoked.refuses(times) { CheckResult::Failed } else { CheckResult::Noted };
        self.step("revocation", "N14", result, detail);
    }

    /// The receipt and the claim must both lie inside.
    fn window(&mut self, windows: &Windows, times: &Times, signed: Option<Timestamp>) {
        let span = |window: &Window| match (window.from, window.until) {
            (None, None) => "always".to_owned(),
            (Some(from), None) => format!("from {from}"),
            (None, Some(until)) => format!("until {until}"),
            (Some(from), Some(until)) => format!("from {from} until {until}"),
        };
        let spans: Vec<String> = windows.spans().iter().map(span).collect();
        let inside = |at: Timestamp| matches!(windows.at(at), Position::Inside { .. });
        let claimed = signed.or_else(|| Timestamp::from_second(times.object).ok());
        let outside = match (inside(times.anchor()), claimed.is_none_or(inside)) {
            (true, true) => None,
            (false, _) => Some("the receipt is outside"),
            (true, false) => Some("the claimed time is outside"),
        };
        let detail = format!("the key counts {}", spans.join(" and "));
        match outside {
            None => self.step("window", "N13", CheckResult::Passed, detail),
            Some(why) => self.step("window", "N13", CheckResult::Failed, format!("{detail}; {why}")),
        }
    }

    /// A refusal without a step that failed would be no explanation.
    fn must_have_failed(&mut self) {
        let failed = self.checks.iter().any(|check| check.result == CheckResult::Failed);
        if let Some(status) = &self.status
            && !matches!(status, SignatureStatus::Verified(_))
            && !failed
        {
            let (name, clause) = step_of(status);
            let detail = status.to_string();
            self.step(name, clause, CheckResult::Failed, detail);
        }
    }

    fn ask_git(&mut self, keyring: &Keyring, raw: &[u8]) {
        let named = match (&self.entry, &self.key) {
            (Some(text), Some(key)) => Some(KeyId { scheme: key.scheme, text: text.clone() }),
            (_, key) => key.clone(),
        };
        let tool = match self.format {
            Some("ssh") => Tool::SshKeygen,
            Some("openpgp") => Tool::Gpg,
            Some(_) => Tool::None,
            None => Tool::of(raw),
        };
        self.git = beside::ask(&Question {
            id: self.object,
            kind: self.kind,
            raw,
            tool,
            keyring,
            named: named.as_ref(),
        });
        if let Beside::Said(said) = &self.git {
            let scheme = match tool {
                _ if said.by_gpg => Some(Scheme::OpenPgp),
                Tool::SshKeygen => Some(Scheme::Ssh),
                Tool::Gpg => Some(Scheme::OpenPgp),
                Tool::None => None,
            };
            let ours = Ours {
                status: self.status.as_ref().unwrap_or(&SignatureStatus::Unsigned),
                fault: self.fault.as_ref().map(|fault| fault.code),
                scheme,
            };
            self.difference = classify(&ours, &said.gits);
        }
    }
}

/// Name and clause of the step that a status stands for, where the verifier wrote none down.
const fn step_of(status: &SignatureStatus) -> (&'static str, &'static str) {
    match status {
        SignatureStatus::Unsigned => ("signature", "G8-G12"),
        SignatureStatus::Malformed { .. } => ("signature-form", "G7-G14"),
        SignatureStatus::Unsupported { .. } => ("format", "G11"),
        SignatureStatus::UnknownKey { .. } => ("key", "O6, S12"),
        SignatureStatus::Bad { .. } => ("arithmetic", "O6, S1"),
        SignatureStatus::WeakAlgorithm { .. } => ("algorithm", "O4, S3"),
        SignatureStatus::WrongPurpose { .. } => ("purpose", "O7, S1"),
        SignatureStatus::Expired { .. } | SignatureStatus::NotYetValid { .. } => ("times", "O9, N13"),
        SignatureStatus::Revoked { .. } => ("revocation", "O10, N14"),
        SignatureStatus::Verified(_) => ("signature", "O7"),
    }
}

const fn format_name(format: SignatureFormat) -> &'static str {
    match format {
        SignatureFormat::OpenPgp => "openpgp",
        SignatureFormat::Ssh => "ssh",
        SignatureFormat::X509 => "x509",
    }
}

fn person(role: &'static str, identity: &Identity<'_>) -> Person {
    let shown = |bytes: &[u8]| text::escape_short(bytes, SHOWN);
    Person { role, name: shown(identity.name), email: shown(identity.email) }
}

fn subject(message: &[u8]) -> Option<String> {
    let line = message.split(|byte| *byte == b'\n').find(|line| !line.trim_ascii().is_empty())?;
    Some(text::escape_short(line, SHOWN))
}

/// A place in the keyring, without the directories of whoever runs this.
fn shown_place(place: &Place) -> String {
    let name = place.file.file_name().map(|name| name.as_encoded_bytes()).unwrap_or_default();
    format!("{}:{}", text::escape(name), place.line)
}

fn covering(ground: Ground<'_>, repository: &Repository, reference: Option<&RefName>) -> Vec<Covering> {
    let (Ground::Gate(snapshot), Some(reference)) = (ground, reference) else { return Vec::new() };
    let config = &snapshot.config;
    let Ok(name) = locate::name_below(&config.repositories.root, repository.common_dir()) else {
        return Vec::new();
    };
    let Ok(default_branch) = repository.default_branch() else { return Vec::new() };
    let covering = config.policy.covering(&name, reference, default_branch.as_ref());
    let sets = covering.into_iter().map(|index| &config.policy.rulesets[index]);
    sets.map(|set| Covering { name: set.name.clone(), enforcement: set.enforcement.name() }).collect()
}
