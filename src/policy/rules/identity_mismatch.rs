//! `identity-mismatch`: whom a commit or tag names is whoever signed it (1.8).
//!
//! A signature says which key made it, and the keyring whose that is. The names and addresses inside the
//! object are text that anybody can write; this rule holds them against the signer's own addresses.

use super::{Finding, Judges, Kind, Rule, options, redo, untrusted_signer};
use crate::domain::{Principal, PrincipalKind, text};
use crate::policy::Selector;
use crate::policy::facts::{CommitFacts, RefFacts, TagFacts};
use crate::policy::ruleset::Ruleset;
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

/// Whoever is exempt may sign in anybody's name, so each one is named: a group or a kind would exempt whoever
/// joins it later (N20). An agent's word is never taken for somebody else's (N19).
fn exempt(written: Option<Vec<String>>) -> Result<Vec<Selector>, String> {
    let Some(written) = written else { return Ok(Vec::new()) };
    if written.is_empty() {
        return Err("`except = []` exempts nobody; leave it out".into());
    }
    let one = |written: &String| match Selector::parse(written).map_err(|error| error.to_string())? {
        Selector::Named(PrincipalKind::Agent, _) => Err(format!(
            "`{}` cannot be exempt: an agent signs in its own name only",
            text::escape(written.as_bytes())
        )),
        named @ Selector::Named(..) => Ok(named),
        Selector::Group(_) | Selector::Kind(_) => Err(format!(
            "`{}` would exempt whoever joins it later; name each one, such as `forge:web-flow`",
            text::escape(written.as_bytes())
        )),
    };
    written.iter().map(one).collect()
}

#[derive(Debug)]
struct IdentityMismatch {
    compare: Vec<Match>,
    /// Single principals, who sign for others.
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
        let committer = Claim { role: "committer", email: &commit.committer_email };
        if self.looks_at(Match::CommitterOrAuthor) {
            vec![Claim { role: "author", email: &commit.author_email }, committer]
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
        let own = |claim: &Claim<'_>| signer.emails.iter().any(|email| same(email.as_bytes(), claim.email));
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
        Some(Finding { seen, wanted, help })
    }
}

impl Rule for IdentityMismatch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judges(&self) -> Judges {
        KIND.judges
    }

    fn is_about_signatures(&self) -> bool {
        true
    }

    /// Commits without a verified signature are other rules' matter (N17).
    fn check_commit(&self, commit: &CommitFacts, reference: &RefFacts, ruleset: &Ruleset) -> Option<Finding> {
        let signature = &commit.signature;
        if !matches!(signature.status, SignatureStatus::Verified(_)) {
            return None;
        }
        // A signer who is not on the list is refused by the list: who else it claims to be adds nothing.
        let refused = |rule: &dyn Rule| rule.check_commit(commit, reference, ruleset).is_some();
        if ruleset.rules().iter().any(|rule| rule.name() == untrusted_signer::NAME && refused(rule.as_ref()))
        {
            return None;
        }
        let claims = self.claims(commit);
        match signature.verified_by() {
            Some(signer) => {
                let again = redo(commit, reference, "--no-edit -S", "--force-rebase --gpg-sign");
                self.compare(&signature.status, signer, &claims, &again)
            }
            None => (!claims.is_empty()).then(|| nobodys(&signature.status)),
        }
    }

    /// A tag that is signed, and not by somebody known, is refused here, since nothing can be compared. A tag
    /// without a signature claims no signer.
    fn check_tag(&self, tag: &TagFacts, _: &RefFacts, _: &Ruleset) -> Option<Finding> {
        if !self.looks_at(Match::Tagger) {
            return None;
        }
        let again = format!("`git tag --force --sign {} {}`", plain(&tag.name, "NAME"), tag.target.short());
        let status = &tag.signature.status;
        match status {
            SignatureStatus::Unsigned => None,
            SignatureStatus::Verified(_) => match tag.signature.verified_by() {
                Some(signer) => {
                    // A tag that names no tagger names nobody who could be the signer.
                    let email = tag.tagger_email.as_deref().unwrap_or_default();
                    self.compare(status, signer, &[Claim { role: "tagger", email }], &again)
                }
                None => Some(nobodys(status)),
            },
            _ => Some(Finding {
                seen: status.to_string(),
                wanted: "a signature that verifies, by a key of the keyring that is valid now, whose owner is the tagger"
                    .to_owned(),
                help: format!(
                    "sign it with a key of the keyring that is valid: {again}; the keyring's keeper adds keys with \
                     `countersign keyring add NAME --key FILE`"
                ),
            }),
        }
    }

    fn selectors(&self) -> &[Selector] {
        &self.except
    }
}

/// A verified key without an owner cannot be: refused all the same.
fn nobodys(status: &SignatureStatus) -> Finding {
    Finding {
        seen: format!("{status}, which nobody owns"),
        wanted: "a key whose owner the keyring names".to_owned(),
        help: "ask the keyring's keeper to check the key's entry".to_owned(),
    }
}

/// Most characters of an address that are shown.
const SHOWN: usize = 100;
/// Most addresses that are shown.
const LISTED: usize = 5;

/// Whether two addresses are one. What stands before the `@` is its host's to interpret, so it counts byte by
/// byte; the host's name has no case in ASCII. No mailmap, ever.
fn same(own: &[u8], claimed: &[u8]) -> bool {
    let split = |email: &[u8]| email.iter().rposition(|byte| *byte == b'@');
    match (split(own), split(claimed)) {
        (Some(a), Some(b)) => own[..a] == claimed[..b] && own[a..].eq_ignore_ascii_case(&claimed[b..]),
        _ => false,
    }
}

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

/// A word for a command line that somebody may copy: `otherwise` where a shell could read it differently.
fn plain<'a>(word: &'a [u8], otherwise: &'a str) -> &'a str {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"@._+/-".contains(byte);
    match std::str::from_utf8(word) {
        Ok(text)
            if !text.is_empty() && !text.starts_with('-') && text.len() <= SHOWN && word.iter().all(fits) =>
        {
            text
        }
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_byte_by_byte_but_for_the_case_of_the_host() {
        for (own, claimed, one) in [
            ("alice@example.org", "alice@example.org", true),
            ("alice@example.org", "alice@EXAMPLE.Org", true),
            ("alice@Example.ORG", "alice@example.org", true),
            ("alice@example.org", "Alice@example.org", false),
            ("alice@example.org", "alice@example.org ", false),
            ("alice@example.org", " alice@example.org", false),
            ("alice@example.org", "alice@example.org.", false),
            ("alice@example.org", "alice+x@example.org", false),
            ("alice@example.org", "alice@mail.example.org", false),
            ("alice@example.org", "x@alice@example.org", false),
            ("alice@example.org", "alice", false),
            ("alice@example.org", "", false),
            ("alice@example.org", "@example.org", false),
            // Letters that only look alike, and such as fold to ASCII by wider rules (the Kelvin sign).
            ("alice@example.org", "\u{430}lice@example.org", false),
            ("alice@kernel.org", "alice@\u{212a}ernel.org", false),
            ("\u{e9}@b\u{fc}cher.example", "\u{e9}@b\u{fc}cher.example", true),
            ("\u{e9}@b\u{fc}cher.example", "\u{e9}@b\u{dc}cher.example", false),
            ("", "", false),
        ] {
            assert_eq!(same(own.as_bytes(), claimed.as_bytes()), one, "{own:?} {claimed:?}");
            assert_eq!(same(claimed.as_bytes(), own.as_bytes()), one, "{claimed:?} {own:?}");
        }
        assert!(!same(b"alice@example.org", b"alice@example.org\0"));
        assert!(!same(b"alice@example.org", b"alice@example.\xf2rg"));
    }

    #[test]
    fn commands_that_are_shown_hold_nothing_for_a_shell() {
        for word in ["", "-x", "a b", "$(id)", "`id`", "a;b", "a'b", "a\"b", "a|b", "\u{e9}", "a\nb", "a*"] {
            assert_eq!(plain(word.as_bytes(), "NAME"), "NAME", "{word:?}");
        }
        assert_eq!(plain(b"release/v1.0", "NAME"), "release/v1.0");
        assert_eq!(plain(&[b'x'; 101], "NAME"), "NAME");
    }
}
