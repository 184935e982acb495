//! `unknown-identity`: whom a commit or tag names is somebody of the keyring, by the address.

use super::email_domain::again;
use super::people::{Role, Who, accused, roles};
use super::signed::retag;
use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::policy::facts::{CommitFacts, Needs, Person, TagFacts};
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "unknown-identity",
    summary: "a commit or tag that names somebody whose address the keyring does not have",
    judges: Judges::Commit,
    build: |table| {
        let Options { who } = options(table)?;
        Ok(Box::new(UnknownIdentity { who: roles(who)? }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    who: Option<Who>,
}

#[derive(Debug)]
struct UnknownIdentity {
    who: Vec<Role>,
}

impl UnknownIdentity {
    fn check(&self, people: &[(Role, &Person)], help: &str) -> Vec<Finding> {
        let looked_at: Vec<_> = people.iter().filter(|(role, _)| self.who.contains(role)).copied().collect();
        let found = accused(&looked_at, |person| person.principal.is_none()).map(|told| Finding {
            path: None,
            seen: format!("{told}, whom the keyring does not know by that address"),
            wanted: "people whose address the keyring has, of one of them and nobody else".to_owned(),
            help: format!(
                "set `git config user.email` and {help}; or ask the keyring's keeper to add the address: `countersign \
                 keyring add NAME --email ADDRESS --key FILE`"
            ),
        });
        found.into_iter().collect()
    }
}

impl Rule for UnknownIdentity {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn needs(&self) -> Needs {
        Needs::PEOPLE
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        let people = [(Role::Author, &commit.author), (Role::Committer, &commit.committer)];
        let author = self.who.contains(&Role::Author) && commit.author.principal.is_none();
        self.check(&people, &again(commit, scope, author))
    }

    fn check_tag(&self, tag: &TagFacts, _: Scope<'_>) -> Vec<Finding> {
        let nobody = Person::default();
        let tagger = tag.tagger.as_ref().unwrap_or(&nobody);
        self.check(&[(Role::Tagger, tagger)], &format!("make it again with {}", retag(tag)))
    }
}
