//! `bad-signature`: a signature that is there must be verified, by a key of the keyring that is valid
//! now. Part of every ruleset with a signature rule (N17).

use super::{Finding, Judges, Kind, Rule, no_options, unsigned_commit, untrusted_signer};
use crate::policy::facts::{CommitFacts, RefFacts};
use crate::policy::ruleset::Ruleset;
use crate::signature::SignatureStatus;

/// The rule's one word.
pub const NAME: &str = "bad-signature";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a signature that does not verify, or not by a key that is valid now",
    judges: Judges::Commit,
    build: |options| {
        no_options(&options)?;
        Ok(implied())
    },
};

/// The rule as other signature rules bring it along.
pub(crate) fn implied() -> Box<dyn Rule> {
    Box::new(BadSignature)
}

#[derive(Debug)]
struct BadSignature;

impl Rule for BadSignature {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judges(&self) -> Judges {
        KIND.judges
    }

    fn is_about_signatures(&self) -> bool {
        true
    }

    fn check_commit(&self, commit: &CommitFacts, reference: &RefFacts, ruleset: &Ruleset) -> Option<Finding> {
        let status = &commit.signature.status;
        match status {
            SignatureStatus::Unsigned | SignatureStatus::Verified(_) => None,
            SignatureStatus::UnknownKey { .. } if ruleset.has_rule(untrusted_signer::NAME) => None,
            _ => Some(Finding {
                seen: status.to_string(),
                wanted: "a signature that verifies, by a key of the keyring that is valid now".to_owned(),
                help: help(commit, reference),
            }),
        }
    }
}

/// What helps against each way a signature can be worthless.
pub(super) fn help(commit: &CommitFacts, reference: &RefFacts) -> String {
    let resign = format!("sign again with {}", unsigned_commit::resign(commit, reference));
    match &commit.signature.status {
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
            format!(
                "the commit was changed after it was signed, or by a tool that damages signatures; {resign}"
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
        SignatureStatus::Revoked { .. } => format!("{resign}, using a key that is not revoked"),
        SignatureStatus::WrongPurpose { remedy, .. } => format!("{resign}, {remedy}"),
        SignatureStatus::WeakAlgorithm { .. } => {
            format!("{resign}, using SHA-256 or better and a key of Ed25519, ECDSA or RSA from 2048 bits")
        }
        SignatureStatus::Unsupported { .. } => format!("{resign}, using an SSH or OpenPGP key"),
    }
}
