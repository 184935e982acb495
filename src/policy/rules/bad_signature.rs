//! `bad-signature`: a signature that is there must be verified, by a key of the keyring that is valid
//! now. Part of every ruleset with a signature rule (N17).

use super::signed::Object;
use super::{Configured, Finding, Judges, Kind, Rule, Scope, options};
use crate::policy::facts::{CommitFacts, TagFacts};
use crate::signature::SignatureStatus;
use serde::Deserialize;

/// The rule's one word.
pub const NAME: &str = "bad-signature";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a signature that does not verify, or not by a key that is valid now",
    judges: Judges::Commit,
    build: |table| {
        let Options { tags } = options(table)?;
        Ok(Box::new(BadSignature { commits: true, tags }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    tags: bool,
}

/// The rule as other signature rules bring it along: about commits only where one of them is.
pub(crate) fn implied(by: &[Configured]) -> Box<dyn Rule> {
    let commits = by.iter().any(|one| one.rule.is_about_signatures() && one.rule.judges() == Judges::Commit);
    Box::new(BadSignature { commits, tags: false })
}

/// Tags are judged as well wherever another rule of the ruleset is about their signatures.
#[derive(Debug)]
struct BadSignature {
    commits: bool,
    tags: bool,
}

impl BadSignature {
    fn check(&self, object: Object<'_>, scope: Scope<'_>) -> Vec<Finding> {
        let status = &object.signature().status;
        match status {
            SignatureStatus::Unsigned | SignatureStatus::Verified(_) => Vec::new(),
            SignatureStatus::UnknownKey { .. } if object.is_untrusted(scope) => Vec::new(),
            _ => vec![Finding {
                path: None,
                seen: status.to_string(),
                wanted: "a signature that verifies, by a key of the keyring that is valid now".to_owned(),
                help: help(object, scope),
            }],
        }
    }
}

impl Rule for BadSignature {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judges(&self) -> Judges {
        if self.commits { Judges::Commit } else { Judges::RefUpdate }
    }

    fn is_about_signatures(&self) -> bool {
        true
    }

    fn refuses_what_is_verified(&self) -> bool {
        false
    }

    fn is_about_tag_signatures(&self) -> bool {
        self.tags
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        if self.commits { self.check(Object::Commit(commit), scope) } else { Vec::new() }
    }

    fn check_tag(&self, tag: &TagFacts, scope: Scope<'_>) -> Vec<Finding> {
        if scope.ruleset.judges_tag_signatures() { self.check(Object::Tag(tag), scope) } else { Vec::new() }
    }
}

/// What helps against each way a signature can be worthless.
pub(super) fn help(object: Object<'_>, scope: Scope<'_>) -> String {
    let resign = format!("sign again with {}", object.resign(scope));
    match &object.signature().status {
        SignatureStatus::Unsigned | SignatureStatus::Verified(_) => format!("{resign}, then push again"),
        SignatureStatus::UnknownKey { .. } => {
            "sign with a key that is in the keyring, or ask its keeper to add yours: \
             `countersign keyring add NAME --key FILE`"
                .to_owned()
        }
        // The dates of a commit stay when it is amended: its author's, and a committer's that is set by hand.
        SignatureStatus::Malformed { code, .. } if code.starts_with("time.") => {
            format!("set the clock of the machine that signs, unset `GIT_COMMITTER_DATE`, and {resign}")
        }
        SignatureStatus::Malformed { code, .. } if code.starts_with("mergetag.") => {
            "have the tag signed by a key of the keyring and merge it again; or merge its commit: \
             `git merge 'TAG^{commit}'`"
                .to_owned()
        }
        SignatureStatus::Bad { .. } | SignatureStatus::Malformed { .. } => {
            let word = object.word();
            format!(
                "the {word} was changed after it was signed, or by a tool that damages signatures; {resign}"
            )
        }
        SignatureStatus::Expired { what, .. } if what.contains("entry") => {
            format!(
                "ask the keyring's keeper for a later `valid-until`, or {resign}, using a key that is valid"
            )
        }
        SignatureStatus::Expired { what: "certificate", .. } => {
            format!("have a new certificate issued for the key and {resign}")
        }
        SignatureStatus::Expired { what: "signature", .. } => resign,
        SignatureStatus::Expired { .. } => format!(
            "extend the key and have the keyring's keeper add its new public part, \
             `countersign keyring add NAME --key FILE`; or {resign}, using a key that is valid"
        ),
        SignatureStatus::NotYetValid { .. } => {
            format!(
                "wait until then; or, if the clock of the machine that signed was wrong, set it and {resign}"
            )
        }
        SignatureStatus::Revoked { reason, .. } if reason.starts_with(SignatureStatus::SUSPENDED) => {
            "ask the keyring's keeper, who can take it back with `countersign keyring resume NAME`".to_owned()
        }
        SignatureStatus::Revoked { .. } => format!("{resign}, using a key that is not revoked"),
        SignatureStatus::WrongPurpose { remedy, .. } => format!("{resign}, {remedy}"),
        SignatureStatus::WeakAlgorithm { .. } => {
            format!("{resign}, using SHA-256 or better and a key of Ed25519, ECDSA or RSA from 2048 bits")
        }
        SignatureStatus::Unsupported { .. } => format!("{resign}, using an SSH or OpenPGP key"),
    }
}
