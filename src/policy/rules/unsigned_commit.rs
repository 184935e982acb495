//! `unsigned-commit`: every commit carries a signature. Absence only; what the signature is worth is
//! `bad-signature`'s and `untrusted-signer`'s question (N17).

use super::{Finding, Judges, Kind, Rule, Scope, no_options, redo};
use crate::policy::facts::{CommitFacts, RefFacts};
use crate::signature::SignatureStatus;

/// The rule's one word.
pub const NAME: &str = "unsigned-commit";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit without a signature",
    judges: Judges::Commit,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(UnsignedCommit))
    },
};

#[derive(Debug)]
struct UnsignedCommit;

impl Rule for UnsignedCommit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judges(&self) -> Judges {
        KIND.judges
    }

    fn is_about_signatures(&self) -> bool {
        true
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        match commit.signature.status {
            SignatureStatus::Unsigned => vec![absent(commit, scope.reference)],
            _ => Vec::new(),
        }
    }
}

/// The finding for a commit without a signature; `untrusted-signer` uses it where this rule is off.
pub(super) fn absent(commit: &CommitFacts, reference: &RefFacts) -> Finding {
    let help = format!("sign it with {}, then push again", resign(commit, reference));
    Finding {
        path: None,
        seen: "no signature".to_owned(),
        wanted: "a signature by a key of the keyring".to_owned(),
        help,
    }
}

/// The command that signs a commit anew.
pub(super) fn resign(commit: &CommitFacts, reference: &RefFacts) -> String {
    redo(commit, reference, "--no-edit -S", "--force-rebase --gpg-sign")
}
