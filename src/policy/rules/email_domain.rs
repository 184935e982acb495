//! `email-domain`: the addresses in a commit or tag are of these domains. They are text that anybody can write:
//! the rule keeps out mistakes, and whose an address is, is `identity-mismatch`'s question.

use super::people::{Role, Who, accused, roles};
use super::signed::retag;
use super::{Finding, Judges, Kind, Rule, Scope, options, redo};
use crate::domain::text;
use crate::policy::facts::{CommitFacts, Person, TagFacts};
use crate::signature::SignatureStatus;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "email-domain",
    summary: "a commit or tag with an e-mail of another domain",
    judges: Judges::Commit,
    build: |table| {
        let Options { domains, subdomains, who } = options(table)?;
        let domains = domains.unwrap_or_default();
        if domains.is_empty() {
            return Err("it needs `domains = [\"corp.example\"]`: where addresses have to be".into());
        }
        if let Some(wrong) = domains.iter().find(|domain| !is_domain(domain)) {
            return Err(format!(
                "`{}` is no domain; write it like \"corp.example\", and `subdomains = true` for those below it",
                text::escape(wrong.as_bytes())
            ));
        }
        Ok(Box::new(EmailDomain { domains, subdomains, who: roles(who)? }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    domains: Option<Vec<String>>,
    #[serde(default)]
    subdomains: bool,
    who: Option<Who>,
}

/// Something that can stand behind an `@`: labels without blanks, marks or wildcards, none of them empty.
fn is_domain(written: &str) -> bool {
    let label = |label: &str| {
        let fits = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        !label.is_empty() && label.chars().all(fits)
    };
    written.split('.').all(label)
}

#[derive(Debug)]
struct EmailDomain {
    domains: Vec<String>,
    subdomains: bool,
    who: Vec<Role>,
}

impl EmailDomain {
    /// The host has no case in ASCII, nothing else is done to it. An address with several `@` could be read as of
    /// two domains, so it is of none.
    fn allows(&self, email: &[u8]) -> bool {
        let mut parts = email.split(|byte| *byte == b'@');
        let (Some(local), Some(host), None) = (parts.next(), parts.next(), parts.next()) else {
            return false;
        };
        let of = |domain: &String| {
            let domain = domain.as_bytes();
            let Some(at) = host.len().checked_sub(domain.len()) else { return false };
            let (below, own) = host.split_at(at);
            let labels = below.strip_suffix(b".");
            let below = below.is_empty()
                || (self.subdomains
                    && labels
                        .is_some_and(|labels| labels.split(|byte| *byte == b'.').all(|one| !one.is_empty())));
            own.eq_ignore_ascii_case(domain) && below
        };
        !local.is_empty() && self.domains.iter().any(of)
    }

    fn check(&self, people: &[(Role, &Person)], help: &str) -> Vec<Finding> {
        let looked_at: Vec<_> = people.iter().filter(|(role, _)| self.who.contains(role)).copied().collect();
        let found = accused(&looked_at, |person| !self.allows(&person.email)).map(|told| {
            let domains = text::escape(self.domains.join(", ").as_bytes());
            let below = if self.subdomains { ", or below" } else { "" };
            Finding {
                path: None,
                seen: told,
                wanted: format!("addresses at {domains}{below}"),
                help: format!("set `git config user.email` and {help}"),
            }
        });
        found.into_iter().collect()
    }
}

impl Rule for EmailDomain {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        let people = [(Role::Author, &commit.author), (Role::Committer, &commit.committer)];
        let author = self.who.contains(&Role::Author) && !self.allows(&commit.author.email);
        self.check(&people, &again(commit, scope, author))
    }

    fn check_tag(&self, tag: &TagFacts, _: Scope<'_>) -> Vec<Finding> {
        let nobody = Person::default();
        let tagger = tag.tagger.as_ref().unwrap_or(&nobody);
        self.check(&[(Role::Tagger, tagger)], &format!("make it again with {}", retag(tag)))
    }
}

/// How a commit is made again in one's own name: the author's line only where that is at fault, and signed where
/// it was.
pub(super) fn again(commit: &CommitFacts, scope: Scope<'_>, author: bool) -> String {
    let reset = if author { " --reset-author" } else { "" };
    let sign = if matches!(commit.signature.status, SignatureStatus::Unsigned) { "" } else { " -S" };
    let amend = format!("--no-edit{reset}{sign}");
    // An empty commit may lie on the way, and would end it.
    let rebase = format!("--force-rebase --exec 'git commit --amend --allow-empty {amend}'");
    format!("make it again with {}", redo(commit, scope.reference, &amend, &rebase))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(subdomains: bool) -> EmailDomain {
        let domains = vec!["corp.example".to_owned(), "Mail.Example".to_owned()];
        EmailDomain { domains, subdomains, who: Role::ALL.to_vec() }
    }

    #[test]
    fn hosts_are_compared_whole() {
        for (email, exact, below) in [
            ("a@corp.example", true, true),
            ("a@CORP.Example", true, true),
            ("a@mail.example", true, true),
            ("a@eu.corp.example", false, true),
            ("a@x.eu.corp.example", false, true),
            ("a@evilcorp.example", false, false),
            ("a@.corp.example", false, false),
            ("a@x..corp.example", false, false),
            ("a@corp.example.", false, false),
            ("a@corp.example.evil.org", false, false),
            ("a@corp.example@evil.org", false, false),
            ("a@evil.org@corp.example", false, false),
            ("corp.example", false, false),
            ("@corp.example", false, false),
            ("a@", false, false),
            ("", false, false),
            ("a@corp.example\0", false, false),
            ("a@corp.e\u{445}ample", false, false),
        ] {
            assert_eq!(rule(false).allows(email.as_bytes()), exact, "{email:?}");
            assert_eq!(rule(true).allows(email.as_bytes()), below, "{email:?} or below");
        }
        assert!(!rule(true).allows(b"a@\xffcorp.example"));
        assert!(
            rule(true).allows(b"a@\xff.corp.example"),
            "labels of any bytes are below the domain all the same"
        );
    }

    #[test]
    fn domains_are_written_plainly() {
        for wrong in
            ["", ".", "@corp.example", "*.corp.example", ".corp.example", "corp.example.", "a b", "a@b"]
        {
            assert!(!is_domain(wrong), "{wrong:?}");
        }
        assert!(is_domain("corp.example") && is_domain("localhost") && is_domain("b\u{fc}cher.example"));
    }
}
