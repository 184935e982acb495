//! `unsigned-commit`: every commit carries a signature. Absence only; what the signature is worth is
//! `bad-signature`'s and `untrusted-signer`'s question (N17).

use super::{Finding, Judges, Kind, Rule, Scope, no_options, redo};
use crate::domain::{ObjectKind, text};
use crate::policy::facts::{CommitFacts, RefFacts, SignatureFacts};
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
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn is_about_signatures(&self) -> bool {
        true
    }

    fn refuses_what_is_verified(&self) -> bool {
        false
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        match commit.signature.status {
            SignatureStatus::Unsigned => vec![absent(commit, scope.reference)],
            _ => Vec::new(),
        }
    }

    /// A tree or a blob has no commit that could be signed: then the tag that names it is what vouches.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let Some(kind) = reference.bare_content() else { return Vec::new() };
        let signature = reference.innermost_signature();
        if signature.is_some_and(|signature| signature.verified_by().is_some()) {
            return Vec::new();
        }
        vec![bare(kind, signature, "a commit, or a tag with a signature by a key of the keyring".to_owned())]
    }
}

/// The finding for content that no signed commit stands behind; `untrusted-signer` uses it as well.
pub(super) fn bare(kind: ObjectKind, signature: Option<&SignatureFacts>, wanted: String) -> Finding {
    let kind = kind.name();
    let seen = match signature {
        None => format!("the ref leads to a {kind} and not to a commit, without a tag that could be signed"),
        Some(tag) => {
            let by = tag.verified_by();
            let by = by.map(|who| format!(", which is {} `{}`", who.kind, text::escape(who.name.as_bytes())));
            let by = by.unwrap_or_default();
            format!("the ref leads to a {kind} and not to a commit, by a tag with {}{by}", tag.status)
        }
    };
    let help = "tag a commit; or sign the tag, `git tag --force --sign NAME OBJECT`".to_owned();
    Finding { path: None, seen, wanted, help }
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
