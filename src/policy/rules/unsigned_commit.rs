//! `unsigned-commit`: every commit carries a signature. Absence only; what the signature is worth is
//! `bad-signature`'s and `untrusted-signer`'s question (N17).

use super::{Finding, Judges, Kind, Rule, no_options};
use crate::policy::facts::{CommitFacts, RefFacts};
use crate::policy::ruleset::Ruleset;
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

    fn check_commit(&self, commit: &CommitFacts, reference: &RefFacts, _: &Ruleset) -> Option<Finding> {
        match commit.signature.status {
            SignatureStatus::Unsigned => Some(absent(commit, reference)),
            _ => None,
        }
    }
}

/// The finding for a commit without a signature; `untrusted-signer` uses it where this rule is off.
pub(super) fn absent(commit: &CommitFacts, reference: &RefFacts) -> Finding {
    let is_tip = reference.update.new == Some(commit.id);
    let help = if is_tip {
        "sign it with `git commit --amend --no-edit -S`, then push again".to_owned()
    } else {
        let onto = commit.parents.first().map_or_else(|| "--root".to_owned(), |parent| parent.short());
        format!(
            "sign it and what follows with `git rebase --force-rebase --gpg-sign {onto}`, then push again"
        )
    };
    Finding {
        seen: "no signature".to_owned(),
        wanted: "a signature by a key of the keyring".to_owned(),
        help,
    }
}
