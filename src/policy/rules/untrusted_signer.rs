//! `untrusted-signer`: every commit is signed by somebody on this rule's list.

use super::{Finding, Judges, Kind, Rule, Scope, bad_signature, options, unsigned_commit};
use crate::domain::text;
use crate::policy::Selector;
use crate::policy::facts::CommitFacts;
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

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        let status = &commit.signature.status;
        let found = match status {
            SignatureStatus::Verified(_) => match commit.signature.verified_by() {
                Some(signer) if self.allow.is_empty() || self.allow.iter().any(|one| one.matches(signer)) => {
                    None
                }
                Some(signer) => Some(Finding {
                    path: None,
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
                    path: None,
                    seen: format!("{status}, which nobody owns"),
                    wanted: self.wanted(),
                    help: "ask the keyring's keeper to check the key's entry".to_owned(),
                }),
            },
            SignatureStatus::Unsigned if scope.ruleset.has_rule(unsigned_commit::NAME) => None,
            SignatureStatus::Unsigned => {
                Some(Finding { wanted: self.wanted(), ..unsigned_commit::absent(commit, scope.reference) })
            }
            SignatureStatus::UnknownKey { .. } => Some(Finding {
                path: None,
                seen: status.to_string(),
                wanted: self.wanted(),
                help: bad_signature::help(commit, scope.reference),
            }),
            // Everything else is refused by `bad-signature`, which is part of this ruleset.
            _ => None,
        };
        found.into_iter().collect()
    }

    fn selectors(&self) -> &[Selector] {
        &self.allow
    }
}
