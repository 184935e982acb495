//! `untrusted-signer`: every commit is signed by somebody on this rule's list.

use super::{Finding, Judges, Kind, Rule, bad_signature, options, unsigned_commit};
use crate::domain::{Principal, text};
use crate::policy::Selector;
use crate::policy::facts::{CommitFacts, RefFacts};
use crate::policy::ruleset::Ruleset;
use crate::signature::SignatureStatus;
use serde::Deserialize;

/// The rule's one word.
pub const NAME: &str = "untrusted-signer";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit that is not signed by somebody on the list",
    judges: Judges::Commit,
    build: |table| {
        let Options { allow } = options(table)?;
        let allow = match allow {
            None => Vec::new(),
            Some(list) if list.is_empty() => {
                return Err(
                    "`allow = []` would refuse everybody; leave `allow` out to allow the whole keyring"
                        .into(),
                );
            }
            Some(list) => list
                .iter()
                .map(|one| Selector::parse(one))
                .collect::<Result<_, _>>()
                .map_err(|e| e.to_string())?,
        };
        Ok(Box::new(UntrustedSigner { allow }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    allow: Option<Vec<String>>,
}

/// An empty list allows every principal of the keyring.
#[derive(Debug)]
struct UntrustedSigner {
    allow: Vec<Selector>,
}

impl UntrustedSigner {
    fn wanted(&self) -> String {
        if self.allow.is_empty() {
            return "a signature by anybody in the keyring".to_owned();
        }
        let names: Vec<String> = self.allow.iter().map(ToString::to_string).collect();
        format!("a signature by {}", text::escape(names.join(", ").as_bytes()))
    }
}

impl UntrustedSigner {
    fn allows(&self, signer: &Principal) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|one| one.matches(signer))
    }
}

impl Rule for UntrustedSigner {
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
            SignatureStatus::Verified(_) => match commit.signature.verified_by() {
                Some(signer) if self.allows(signer) => None,
                Some(signer) => Some(Finding {
                    seen: format!(
                        "{status}, which is {} `{}`",
                        signer.kind,
                        text::escape(signer.name.as_bytes())
                    ),
                    wanted: self.wanted(),
                    help: "have somebody on the list sign the commit, or ask for a place on it".to_owned(),
                }),
                // A verified key without an owner cannot be: refused all the same.
                None => Some(Finding {
                    seen: format!("{status}, which nobody owns"),
                    wanted: self.wanted(),
                    help: "ask the keyring's keeper to check the key's entry".to_owned(),
                }),
            },
            SignatureStatus::Unsigned if ruleset.has_rule(unsigned_commit::NAME) => None,
            SignatureStatus::Unsigned => {
                Some(Finding { wanted: self.wanted(), ..unsigned_commit::absent(commit, reference) })
            }
            SignatureStatus::UnknownKey { .. } => Some(Finding {
                seen: status.to_string(),
                wanted: self.wanted(),
                help: bad_signature::help(commit, reference),
            }),
            // Everything else is refused by `bad-signature`, which is part of this ruleset.
            _ => None,
        }
    }

    /// A tree or a blob has no commit that could be signed: then the tag that names it is what vouches.
    fn check_ref(&self, reference: &RefFacts) -> Option<Finding> {
        let kind = reference.bare_content()?;
        let signature = reference.innermost_signature();
        let allowed = signature.and_then(|tag| tag.verified_by()).is_some_and(|signer| self.allows(signer));
        (!allowed).then(|| unsigned_commit::bare(kind, signature, self.wanted()))
    }

    fn selectors(&self) -> &[Selector] {
        &self.allow
    }
}
