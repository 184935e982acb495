//! `missing-user-presence`: somebody was there when this was signed, and a FIDO authenticator says so: the second
//! factor at the gate.

use super::people::{any, exempt};
use super::signed::{Object, Of, SignatureRule, Written};
use super::{Finding, Judges, Kind, Scope, options, unsigned_commit, unsigned_tag, untrusted_signer};
use crate::policy::Selector;
use crate::signature::SignatureStatus;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "missing-user-presence",
    summary: "a commit or tag that was signed without a touch of a security key",
    judges: Judges::Commit,
    build: |table| {
        let Options { require, other_keys, except, of } = options(table)?;
        let of = Of::parse(of)?.unwrap_or(Of::BOTH);
        Ok(Box::new(MissingUserPresence { require, other_keys, except: exempt(except)?, of }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    #[serde(default)]
    require: Require,
    #[serde(default)]
    other_keys: OtherKeys,
    except: Option<Vec<String>>,
    of: Option<Written>,
}

/// What the authenticator has to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Require {
    /// Somebody touched it.
    #[default]
    Touch,
    /// Somebody touched it, and it knew by PIN or finger who.
    Verification,
}

/// What becomes of keys that are on no authenticator, as far as anybody can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OtherKeys {
    /// Nothing shows that somebody was there.
    #[default]
    Refuse,
    /// The rule is about FIDO keys only.
    Accept,
}

#[derive(Debug)]
struct MissingUserPresence {
    require: Require,
    other_keys: OtherKeys,
    /// Single principals who sign without anybody being there.
    except: Vec<Selector>,
    of: Of,
}

impl MissingUserPresence {
    const fn wanted(&self) -> &'static str {
        match (self.require, self.other_keys) {
            (Require::Touch, OtherKeys::Refuse) => "a signature by a FIDO key that was touched",
            (Require::Touch, OtherKeys::Accept) => "a touch, where a FIDO key signs",
            (Require::Verification, OtherKeys::Refuse) => {
                "a signature by a FIDO key that was touched and asked for PIN or finger"
            }
            (Require::Verification, OtherKeys::Accept) => "a touch and PIN or finger, where a FIDO key signs",
        }
    }

    fn help(&self, object: Object<'_>, scope: Scope<'_>) -> String {
        let make = match self.require {
            Require::Touch => "ssh-keygen -t ed25519-sk",
            Require::Verification => "ssh-keygen -t ed25519-sk -O verify-required",
        };
        format!(
            "sign with such a key (`{make}` makes one, and the keyring's keeper adds it) by {}, and touch it when it blinks",
            object.resign(scope)
        )
    }
}

impl SignatureRule for MissingUserPresence {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn of(&self) -> Of {
        self.of
    }

    /// What does not verify is `bad-signature`'s. What is not signed at all lacks everything that this rule
    /// wants, unless a rule about absence says so already (N17).
    fn check(&self, object: Object<'_>, scope: Scope<'_>) -> Vec<Finding> {
        if object.spoken_for(scope) {
            return Vec::new();
        }
        let status = &object.signature().status;
        let lacks = match status {
            SignatureStatus::Unsigned => {
                let absent = match object {
                    Object::Commit(commit) => unsigned_commit::absent(commit, scope.reference),
                    Object::Tag(tag) => unsigned_tag::absent(tag),
                };
                let help = self.help(object, scope);
                return vec![Finding { wanted: self.wanted().to_owned(), help, ..absent }];
            }
            SignatureStatus::Verified(proof) => match proof.fido() {
                None if self.other_keys == OtherKeys::Accept => return Vec::new(),
                None => "which is not a FIDO key",
                Some(fido) if !fido.user_present => "without a touch",
                Some(fido) if self.require == Require::Verification && !fido.user_verified => {
                    "with a touch, but without PIN or finger"
                }
                Some(_) => return Vec::new(),
            },
            _ => return Vec::new(),
        };
        if object.signature().verified_by().is_some_and(|signer| any(&self.except, signer)) {
            return Vec::new();
        }
        vec![Finding {
            path: None,
            seen: format!("{status}, {lacks}"),
            wanted: self.wanted().to_owned(),
            help: self.help(object, scope),
        }]
    }

    /// A tree or a blob has no commit that somebody could have signed: then the tag that names it is what shows it.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let Some(kind) = reference.bare_content().filter(|_| self.of.commits) else { return Vec::new() };
        let said =
            [unsigned_commit::NAME, untrusted_signer::NAME].iter().any(|rule| scope.ruleset.leaves_to(rule));
        match reference.tags.last() {
            Some(tag) if !self.of.tags && tag.signature.verified_by().is_some() => {
                self.check(Object::Tag(tag), scope)
            }
            // No rule about tags need be there to say what a worthless signature is worth.
            Some(tag) if !self.of.tags => {
                vec![unsigned_commit::bare(kind, Some(&tag.signature), self.wanted().to_owned())]
            }
            None if !said => vec![unsigned_commit::bare(kind, None, self.wanted().to_owned())],
            _ => Vec::new(),
        }
    }

    fn selectors(&self) -> &[Selector] {
        &self.except
    }
}
