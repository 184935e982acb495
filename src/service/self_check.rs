//! Whether the next commit of this machine would be accepted: git signs one as it would sign the next, into
//! a private directory, and the gate's own reasoning judges it. Nothing is written into the repository. The same for
//! the next tag.

mod fix;
mod made;

pub use fix::{By, Fix};

use self::fix::Case;
use self::made::Made;
use super::check::{CheckFault, CheckRequest, check, own_name};
use super::explain::{ExplainRequest, Explanation, Ground, explain};
use super::gate::Snapshot;
use super::setup::{Candidate, quoted};
use super::workstation::{Level, Workstation};
use crate::domain::{ObjectId, RefName, Timestamp, same_address, text};
use crate::git::child::Room;
use crate::hook::wire::Outcome;
use crate::keyring::{AddRequest, AllowedSigners, Keyring, Material, Sources, add};
use crate::policy::{Decision, Violation};
use crate::signature::{CheckResult, SignatureStatus};
use jiff::tz::TimeZone;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Rules that judge what a message says, which nobody knows of a commit that is not made.
const ABOUT_MESSAGES: [&str; 5] =
    ["message-format", "missing-signoff", "missing-ticket", "unsafe-message", "work-in-progress"];

/// What to judge by.
#[derive(Debug)]
pub enum SelfBasis<'a> {
    /// The rulesets and the keyring of a configuration.
    Gate(&'a Snapshot),
    /// A keyring's directory, or the file of one principal.
    Keyring(&'a Path),
    /// An `allowed_signers` file.
    AllowedSigners(&'a Path),
    /// Nothing but the signature itself.
    Nothing,
}

/// What would be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A commit.
    Commit,
    /// An annotated tag of this name, of a commit that counts as judged.
    Tag(String),
}

impl What {
    /// The word for it.
    const fn word(&self) -> &'static str {
        match self {
            What::Commit => "commit",
            What::Tag(_) => "tag",
        }
    }

    /// The setting that has git sign it.
    const fn setting(&self) -> &'static str {
        match self {
            What::Commit => "commit.gpgsign",
            What::Tag(_) => "tag.gpgsign",
        }
    }
}

/// What to look at.
#[derive(Debug)]
pub struct SelfRequest<'a> {
    /// What would be made.
    pub what: What,
    /// The repository that the commit would be made in.
    pub repo: &'a Path,
    /// Where it would be pushed to.
    pub reference: RefName,
    /// The name of the repository, for rulesets.
    pub repository: Option<&'a str>,
    /// The commit's message, where it is known.
    pub message: Option<&'a str>,
    /// What to judge by.
    pub basis: SelfBasis<'a>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// A word for it.
    pub name: &'static str,
    /// How it ended.
    pub result: CheckResult,
    /// What was seen.
    pub detail: String,
}

/// What came of it. All text is escaped.
#[derive(Debug)]
pub struct SelfChecked {
    /// Whether it would be accepted.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// The one command, or action, that helps.
    pub fix: Option<Fix>,
    /// What was looked at.
    pub steps: Vec<Step>,
    /// The key that signed.
    pub key: Option<String>,
    /// Whose it is.
    pub principal: Option<String>,
    /// The public key, where somebody has to add it to a keyring.
    pub public: Option<String>,
}

/// Why there is nothing to judge, through a fault of whoever asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SelfCheck(pub String);

/// Who commits, as git sees it.
struct Committer {
    email: String,
    /// The command that sets another address, up to the address.
    set: String,
}

struct Run<'a> {
    here: Workstation,
    request: &'a SelfRequest<'a>,
    room: Room,
    steps: Vec<Step>,
}

/// Looks.
///
/// # Errors
/// What is wrong with what was asked for: no repository, a keyring that does not load.
pub fn self_check(request: &SelfRequest<'_>) -> Result<SelfChecked, SelfCheck> {
    let here = Workstation::new(request.repo);
    let no_repository = |why: String| SelfCheck(format!("git takes this for no repository: {why}"));
    here.ask(&["rev-parse", "--git-dir"]).map_err(no_repository)?;
    let room = Room::new().map_err(|e| SelfCheck(format!("a private directory cannot be used: {e}")))?;
    Run { here, request, room, steps: Vec::new() }.judge()
}

impl Run<'_> {
    fn step(&mut self, name: &'static str, result: CheckResult, detail: impl Into<String>) {
        self.steps.push(Step { name, result, detail: detail.into() });
    }

    fn end(self, outcome: Outcome, reason: impl Into<String>, fix: Option<Fix>) -> SelfChecked {
        let (steps, reason) = (self.steps, reason.into());
        SelfChecked { outcome, reason, fix, steps, key: None, principal: None, public: None }
    }

    fn judge(mut self) -> Result<SelfChecked, SelfCheck> {
        let committer = match self.committer() {
            Ok(committer) => committer,
            Err(why) => {
                self.step("committer", CheckResult::Failed, why.clone());
                let fix = Fix::act("git config --global user.email ADDRESS");
                let reason = format!("git makes no {}: {why}", self.request.what.word());
                return Ok(self.end(Outcome::Refuse, reason, Some(fix)));
            }
        };
        self.step("committer", CheckResult::Passed, text::escape(committer.email.as_bytes()));
        let own = self.here.configured();
        let signs = self.signs()?;
        let (word, setting) = (self.request.what.word(), self.request.what.setting());
        if signs {
            self.step("signing", CheckResult::Passed, format!("{setting} is true"));
        } else {
            let detail = format!("{setting} is not true: git does not sign by itself");
            self.step("signing", CheckResult::Failed, detail);
        }
        let made = match self.make(signs)? {
            Ok(made) => made,
            Err(why) => {
                let fix = self.remedy(&why, own.as_ref(), &committer);
                self.step("signature", CheckResult::Failed, why.clone());
                let reason = format!("git could not sign: {why}");
                return Ok(self.end(Outcome::Undecided, reason, Some(fix)));
            }
        };
        let own = own.and_then(Result::ok);
        let level = self.level(setting);
        let mut checked = match self.request.basis {
            SelfBasis::Gate(snapshot) => self.by_gate(snapshot, &made, &committer, own.as_ref())?,
            _ => self.by_keyring(made.next, &committer, own.as_ref())?,
        };
        if !signs && checked.outcome == Outcome::Refuse {
            checked.reason = format!("the {word} would not be signed: {setting} is not true");
            checked.fix = Some(Fix::run(match own {
                Some(_) => format!("git config {level} {setting} true"),
                None => "countersign setup --apply".to_owned(),
            }));
        }
        Ok(checked)
    }

    /// Whether git signs it without being told to.
    fn signs(&self) -> Result<bool, SelfCheck> {
        let said = self.here.config(&["--type=bool"], self.request.what.setting()).map_err(SelfCheck)?;
        Ok(said.as_deref() == Some("true"))
    }

    /// The level that has to be set so that it has an effect here: what the repository says wins.
    fn level(&self, name: &str) -> &'static str {
        match self.here.config(&["--local"], name) {
            Ok(Some(_)) => Level::Local.option(),
            _ => Level::Global.option(),
        }
    }

    fn committer(&self) -> Result<Committer, String> {
        let ident = self.here.ask(&["var", "GIT_COMMITTER_IDENT"])?;
        let email = ident.rsplit_once('>').and_then(|(start, _)| Some(start.rsplit_once('<')?.1));
        let email = email.filter(|email| !email.is_empty()).ok_or("git has no address for you")?.to_owned();
        let set = if std::env::var_os("GIT_COMMITTER_EMAIL").is_some() {
            "export GIT_COMMITTER_EMAIL=".to_owned()
        } else {
            format!("git config {} user.email ", self.level("user.email"))
        };
        Ok(Committer { email, set })
    }

    fn explained(&mut self, ground: Ground<'_>, commit: ObjectId) -> Result<Explanation, String> {
        let place = self.room.path("next.git");
        let request = ExplainRequest {
            git_dir: &place,
            object: commit,
            at: Some(Timestamp::now()),
            reference: None,
            with_git: false,
        };
        let made = explain(ground, &request).map_err(|e| e.to_string())?;
        let result = if made.accepted() { CheckResult::Passed } else { CheckResult::Failed };
        let principal = made.principal.as_ref().filter(|_| made.accepted());
        let detail = match principal {
            Some(principal) => format!("{}, of {}", made.phrase(), text::escape(principal.name.as_bytes())),
            None => made.phrase(),
        };
        self.step("signature", result, detail);
        Ok(made)
    }

    fn by_gate(
        mut self,
        snapshot: &Snapshot,
        next: &Made,
        committer: &Committer,
        own: Option<&Candidate>,
    ) -> Result<SelfChecked, SelfCheck> {
        let made = match self.explained(Ground::Gate(snapshot), next.next) {
            Ok(made) => made,
            Err(why) => return Ok(self.end(Outcome::Undecided, why, None)),
        };
        let name = match self.request.repository {
            Some(name) => name.to_owned(),
            None => self.request.repo.canonicalize().map(|path| own_name(&path)).unwrap_or_default(),
        };
        let place = self.room.path("next.git");
        let request = CheckRequest {
            git_dir: &place,
            repository: Some(&name),
            reference: self.request.reference.clone(),
            // A tag is new; the branch is there.
            old: (self.request.what == What::Commit).then_some(next.base),
            new: Some(next.next),
            judged: Some(next.base),
            // Whoever signs it is taken to push it.
            pusher: made.principal.clone().filter(|_| made.accepted()),
        };
        let verdict = match check(snapshot, &request) {
            Ok(checked) => checked.verdict,
            Err(fault) => {
                let fault: CheckFault = fault;
                return Ok(self.end(Outcome::Undecided, fault.to_string(), None));
            }
        };
        let unknown = self.request.message.is_none();
        let (later, now): (Vec<&Violation>, Vec<_>) = verdict
            .violations
            .iter()
            .partition(|violation| unknown && ABOUT_MESSAGES.contains(&violation.rule));
        for violation in &now {
            self.step("policy", CheckResult::Failed, format!("{}: {}", violation.rule, violation.seen));
        }
        for violation in &later {
            let detail = format!("{}: depends on the message; give it with --message", violation.rule);
            self.step("policy", CheckResult::Noted, detail);
        }
        for violation in &verdict.advisory {
            let detail = format!("{}: {} (only recorded)", violation.rule, violation.seen);
            self.step("policy", CheckResult::Noted, detail);
        }
        for reference in verdict.refs.iter().filter(|_| now.is_empty()) {
            let sets: Vec<&str> = reference.rulesets.iter().map(|set| set.name.as_str()).collect();
            let sets = if sets.is_empty() { reference.coverage.name().to_owned() } else { sets.join(", ") };
            self.step("policy", CheckResult::Passed, format!("{}: {sets}", reference.name));
        }
        let checked = match now.first() {
            // All are about messages, or there are none.
            None if verdict.decision == Decision::Accept || !later.is_empty() => {
                let word = self.request.what.word();
                let message = if later.is_empty() { "" } else { ", if its message is what the rules want" };
                let reason = format!("the next {word} would be accepted{message}");
                self.end(Outcome::Accept, reason, None)
            }
            None => self.end(Outcome::Refuse, "the policy refuses it", None),
            Some(violation) => {
                let fix = match &made.status {
                    Some(SignatureStatus::Verified(_)) | None => self.policy_fix(violation, &made, committer),
                    Some(status) => {
                        let keyring = &snapshot.keyring;
                        self.status_fix(&Case { status, made: &made, keyring, own, committer })
                    }
                };
                let reason = format!("{}: {}", violation.rule, violation.seen);
                self.end(Outcome::Refuse, reason, Some(fix))
            }
        };
        Ok(finished(checked, &made, own))
    }

    /// The rule's own help, but for a wrong address: nothing has to be amended yet.
    fn policy_fix(&self, violation: &Violation, made: &Explanation, committer: &Committer) -> Fix {
        let address = made.principal.as_ref().and_then(|principal| principal.emails.first());
        match (violation.rule, address) {
            ("identity-mismatch", Some(address)) => Fix::run(format!("{}{}", committer.set, quoted(address))),
            _ => Fix::act(violation.help.clone()),
        }
    }

    fn by_keyring(
        mut self,
        commit: ObjectId,
        committer: &Committer,
        own: Option<&Candidate>,
    ) -> Result<SelfChecked, SelfCheck> {
        let supposed = matches!(self.request.basis, SelfBasis::Nothing);
        let Some(sources) = self.sources(own)? else {
            let reason = "the public part of the key that signed is not found on this machine";
            return Ok(self.end(Outcome::Undecided, reason, Some(Fix::run("countersign setup"))));
        };
        let keyring = Keyring::load(&sources).map_err(|e| SelfCheck(e.to_string()))?.keyring;
        let made = match self.explained(Ground::Keyring(&keyring), commit) {
            Ok(made) => made,
            Err(why) => return Ok(self.end(Outcome::Undecided, why, None)),
        };
        let status = made.status.as_ref().filter(|_| !made.accepted());
        if let Some(status) = status {
            let reason = if matches!(status, SignatureStatus::Unsigned) {
                format!("the {} would not be signed", self.request.what.word())
            } else {
                made.phrase()
            };
            let fix = self.status_fix(&Case { status, made: &made, keyring: &keyring, own, committer });
            let checked = self.end(Outcome::Refuse, reason, Some(fix));
            return Ok(finished(checked, &made, own));
        }
        if !made.accepted() {
            let reason = made.phrase();
            return Ok(finished(self.end(Outcome::Refuse, reason, None), &made, own));
        }
        let addresses = addresses(&made, supposed.then_some(own).flatten());
        let is = |address: &String| same_address(address.as_bytes(), committer.email.as_bytes());
        if addresses.is_empty() {
            self.step("address", CheckResult::Noted, "nothing says which address goes with the key");
        } else if addresses.iter().any(is) {
            self.step("address", CheckResult::Passed, "it goes with the key");
        } else {
            let shown =
                addresses.iter().map(|one| text::escape(one.as_bytes())).collect::<Vec<_>>().join(", ");
            let reason = format!(
                "commits are made as {}, and the key's addresses are: {shown}",
                text::escape(committer.email.as_bytes())
            );
            self.step("address", CheckResult::Failed, reason.clone());
            let fix =
                addresses.first().map(|address| Fix::run(format!("{}{}", committer.set, quoted(address))));
            return Ok(finished(self.end(Outcome::Refuse, reason, fix), &made, own));
        }
        let checked = if supposed {
            let reason = format!(
                "the {} is signed as it should be; whether the gate knows the key is not known here",
                self.request.what.word()
            );
            let fix = Fix::act("countersign check --self --keyring DIR, or --config FILE");
            self.end(Outcome::Undecided, reason, Some(fix))
        } else {
            let reason = format!("the next {} would be accepted by this keyring", self.request.what.word());
            self.end(Outcome::Accept, reason, None)
        };
        let mut checked = finished(checked, &made, own);
        if supposed {
            checked.principal = None;
            checked.public = own.map(|own| own.public.clone());
        }
        Ok(checked)
    }

    /// The keyring that was named, or one of the developer's own key.
    fn sources(&self, own: Option<&Candidate>) -> Result<Option<Sources>, SelfCheck> {
        let place = self.room.path("keyring");
        let failed = |e: std::io::Error| SelfCheck(format!("a private directory cannot be used: {e}"));
        let make = || {
            fs::create_dir(&place)?;
            fs::set_permissions(&place, fs::Permissions::from_mode(0o700))
        };
        Ok(Some(match self.request.basis {
            SelfBasis::Keyring(path) if path.is_file() => {
                make().map_err(failed)?;
                let name = path.file_name().unwrap_or_default();
                let to = place.join(name);
                fs::copy(path, &to).map_err(|e| SelfCheck(format!("the keyring cannot be read: {e}")))?;
                fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).map_err(failed)?;
                Sources::directory(place)
            }
            SelfBasis::Keyring(path) => Sources::directory(path),
            SelfBasis::AllowedSigners(path) => {
                make().map_err(failed)?;
                let path = std::path::absolute(path).map_err(failed)?;
                // Times without a zone are of this machine's, for OpenSSH too.
                let zone = Some(TimeZone::system());
                let file = AllowedSigners { path, groups: Vec::new(), zone };
                Sources { allowed_signers: vec![file], ..Sources::directory(place) }
            }
            SelfBasis::Gate(_) | SelfBasis::Nothing => {
                make().map_err(failed)?;
                let Some(own) = own else {
                    // A commit without a signature needs no key to be judged.
                    return Ok((!self.signs()?).then(|| Sources::directory(place)));
                };
                let request = AddRequest {
                    name: "self".to_owned(),
                    kind: None,
                    emails: Vec::new(),
                    groups: Vec::new(),
                    accounts: Vec::new(),
                    key: Some(own.public.clone().into_bytes()),
                    reused: Vec::new(),
                    returning: false,
                };
                add(&place, &request, Timestamp::now()).map_err(|e| SelfCheck(e.to_string()))?;
                Sources::directory(place)
            }
        }))
    }
}

/// What the explanation knows is put beside the outcome.
fn finished(mut checked: SelfChecked, made: &Explanation, own: Option<&Candidate>) -> SelfChecked {
    checked.key = made.key.as_ref().map(|key| key.text.clone());
    let principal = made.principal.as_ref().filter(|_| made.accepted());
    checked.principal = principal.map(|principal| text::escape(principal.name.as_bytes()));
    // The keeper needs it.
    if checked.fix.as_ref().and_then(|fix| fix.command.as_ref()).is_some_and(|one| one.ends_with("--key -")) {
        checked.public = own.map(|own| own.public.clone());
    }
    checked
}

/// The addresses that the keyring gives the key's owner; without one, those of the key's user ids.
fn addresses(made: &Explanation, own: Option<&Candidate>) -> Vec<String> {
    if let Some(own) = own {
        let Material::OpenPgp(certificate) = &own.material else { return Vec::new() };
        let ids = certificate.user_ids();
        let address = |id: &Vec<u8>| {
            let id = String::from_utf8_lossy(id).into_owned();
            match id.rsplit_once('<') {
                Some((_, rest)) => rest.strip_suffix('>').map(str::to_owned),
                None => id.contains('@').then_some(id),
            }
        };
        return ids.iter().filter_map(address).collect();
    }
    let Some(principal) = &made.principal else { return Vec::new() };
    let mut all = principal.emails.clone();
    // A line of `allowed_signers` names its people by their addresses.
    if principal.name.contains('@') && !principal.name.contains(['*', '?', ',', '!']) {
        all.push(principal.name.clone());
    }
    all
}
