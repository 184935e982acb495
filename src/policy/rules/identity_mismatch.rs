//! `identity-mismatch`: whom a commit or tag names is whoever signed it (1.8).
//!
//! A signature says which key made it, and the keyring whose that is. The names and addresses inside the
//! object are text that anybody can write; this rule holds them against the signer's own addresses.

use super::people::exempt;
use super::signed::{Object, SHOWN, plain, retag};
use super::{Finding, Judges, Kind, Rule, Scope, options, redo};
use crate::domain::{Principal, PrincipalKind, same_address, text};
use crate::policy::Selector;
use crate::policy::facts::{CommitFacts, TagFacts};
use crate::signature::SignatureStatus;
use serde::Deserialize;

/// The rule's one word.
pub const NAME: &str = "identity-mismatch";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit or tag that names somebody else than its signer",
    judges: Judges::Commit,
    build: |table| {
        let Options { compare, except } = options(table)?;
        let compare = match compare {
            None => vec![Match::Committer, Match::Tagger],
            Some(OneOrMany::One(one)) => vec![parse(&one)?],
            Some(OneOrMany::Many(list)) => list.iter().map(|one| parse(one)).collect::<Result<_, _>>()?,
        };
        if compare.is_empty() {
            return Err(
                "`match = []` would compare nothing; leave it out for the committer and the tagger".into()
            );
        }
        if compare.contains(&Match::Committer) && compare.contains(&Match::CommitterOrAuthor) {
            return Err(
                "`match` has both \"committer\" and \"committer-or-author\": keep the one that is meant"
                    .into(),
            );
        }
        Ok(Box::new(IdentityMismatch { compare, except: exempt(except)? }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(rename = "match")]
    compare: Option<OneOrMany>,
    except: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "`match` is \"committer\", \"committer-or-author\", \"tagger\" or a list of them"
)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Whose address has to be the signer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Match {
    Committer,
    CommitterOrAuthor,
    Tagger,
}

fn parse(word: &str) -> Result<Match, String> {
    match word {
        "committer" => Ok(Match::Committer),
        "committer-or-author" => Ok(Match::CommitterOrAuthor),
        "tagger" => Ok(Match::Tagger),
        other => Err(format!(
            "unknown variant `{}`, expected one of `committer`, `committer-or-author`, `tagger`",
            text::escape(other.as_bytes())
        )),
    }
}

#[derive(Debug)]
struct IdentityMismatch {
    compare: Vec<Match>,
    /// Single principals, who sign for others: whoever is exempt may sign in anybody's name.
    except: Vec<Selector>,
}

/// An address in an object, and whose it is there.
struct Claim<'a> {
    role: &'static str,
    email: &'a [u8],
}

impl IdentityMismatch {
    fn looks_at(&self, what: Match) -> bool {
        self.compare.contains(&what)
    }

    /// Which claims of a commit count; one of them has to be the signer's.
    fn claims<'a>(&self, commit: &'a CommitFacts) -> Vec<Claim<'a>> {
        let committer = Claim { role: "committer", email: &commit.committer.email };
        if self.looks_at(Match::CommitterOrAuthor) {
            vec![Claim { role: "author", email: &commit.author.email }, committer]
        } else if self.looks_at(Match::Committer) {
            vec![committer]
        } else {
            Vec::new()
        }
    }

    /// What is wrong with the claims of something that `signer` has signed; `again` makes it anew.
    fn compare(
        &self,
        status: &SignatureStatus,
        signer: &Principal,
        claims: &[Claim<'_>],
        again: &str,
    ) -> Option<Finding> {
        let own =
            |claim: &Claim<'_>| signer.emails.iter().any(|email| same_address(email.as_bytes(), claim.email));
        if claims.is_empty() || claims.iter().any(own) || self.except.iter().any(|one| one.matches(signer)) {
            return None;
        }
        let name = text::escape(signer.name.as_bytes());
        let named: Vec<String> = claims
            .iter()
            .map(|claim| format!("the {} `{}`", claim.role, text::escape_short(claim.email, SHOWN)))
            .collect();
        let roles = claims.iter().map(|claim| claim.role).collect::<Vec<_>>().join(" or ");
        let word = plain(signer.name.as_bytes(), "NAME");
        let add = format!("`countersign keyring add {word} --email ADDRESS --key FILE`");
        let (wanted, help) = match signer.emails.first() {
            Some(first) => (
                format!(
                    "{} {roles} with an e-mail of {} `{name}`: {}",
                    article(&roles),
                    signer.kind,
                    listed(&signer.emails)
                ),
                format!(
                    "set `git config user.email {}` and make it again with {again}; or ask the keyring's keeper to add \
                     an address that is yours: {add}",
                    plain(first.as_bytes(), "ADDRESS")
                ),
            ),
            None => (
                format!(
                    "{} {roles} with an e-mail of {} `{name}`, for whom the keyring lists none",
                    article(&roles),
                    signer.kind
                ),
                format!("ask the keyring's keeper to add the signer's address: {add}"),
            ),
        };
        let help = match signer.kind {
            PrincipalKind::Forge => format!(
                "where this forge signs for others, ask for `except = [\"forge:{name}\"]` in the rule; otherwise {help}"
            ),
            _ => help,
        };
        let seen = format!("{status}, which is {} `{name}`, and names {}", signer.kind, named.join(" and "));
        Some(Finding { path: None, seen, wanted, help })
    }
}

impl Rule for IdentityMismatch {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn is_about_signatures(&self) -> bool {
        true
    }

    /// Commits without a verified signature are other rules' matter (N17).
    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        let signature = &commit.signature;
        if !matches!(signature.status, SignatureStatus::Verified(_)) {
            return Vec::new();
        }
        // A signer who is not on the list is refused by the list: who else it claims to be adds nothing.
        if Object::Commit(commit).is_untrusted(scope) {
            return Vec::new();
        }
        let claims = self.claims(commit);
        let found = match signature.verified_by() {
            Some(signer) => {
                let again = redo(commit, scope.reference, "--no-edit -S", "--force-rebase --gpg-sign");
                self.compare(&signature.status, signer, &claims, &again)
            }
            None => (!claims.is_empty()).then(|| nobodys(&signature.status)),
        };
        found.into_iter().collect()
    }

    fn is_about_tag_signatures(&self) -> bool {
        self.looks_at(Match::Tagger)
    }

    /// A tag whose signature is worthless is `bad-signature`'s (N17). One without a signature claims no signer.
    fn check_tag(&self, tag: &TagFacts, scope: Scope<'_>) -> Vec<Finding> {
        let status = &tag.signature.status;
        let verified = matches!(status, SignatureStatus::Verified(_));
        if !self.looks_at(Match::Tagger) || !verified || Object::Tag(tag).is_untrusted(scope) {
            return Vec::new();
        }
        let found = match tag.signature.verified_by() {
            Some(signer) => {
                // A tag that names no tagger names nobody who could be the signer.
                let email = tag.tagger.as_ref().map_or(&[][..], |tagger| &tagger.email);
                self.compare(status, signer, &[Claim { role: "tagger", email }], &retag(tag))
            }
            None => Some(nobodys(status)),
        };
        found.into_iter().collect()
    }

    fn selectors(&self) -> &[Selector] {
        &self.except
    }
}

/// A verified key without an owner cannot be: refused all the same.
fn nobodys(status: &SignatureStatus) -> Finding {
    Finding {
        path: None,
        seen: format!("{status}, which nobody owns"),
        wanted: "a key whose owner the keyring names".to_owned(),
        help: "ask the keyring's keeper to check the key's entry".to_owned(),
    }
}

/// Most addresses that are shown.
const LISTED: usize = 5;

fn article(words: &str) -> &'static str {
    if words.starts_with('a') { "an" } else { "a" }
}

fn listed(emails: &[String]) -> String {
    let shown = emails.iter().take(LISTED).map(|email| text::escape_short(email.as_bytes(), SHOWN));
    let mut out = shown.collect::<Vec<_>>().join(", ");
    if emails.len() > LISTED {
        out.push_str(&format!(" and {} more", emails.len() - LISTED));
    }
    out
}
