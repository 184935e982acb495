//! `pusher-mismatch`: whoever pushes something is the one who made it. It rests on the server's word on who
//! pushes (N18).

use super::people::{any, called, exempt, nobody};
use super::signed::{Object, SHOWN};
use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::domain::{Principal, PrincipalKind, same_address, text};
use crate::policy::Selector;
use crate::policy::facts::{CommitFacts, Needs, Person, TagFacts};
use crate::signature::SignatureStatus;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "pusher-mismatch",
    summary: "a commit or tag that somebody else made than pushes it",
    judges: Judges::Commit,
    build: |table| {
        let Options { compare, except } = options(table)?;
        let except = exempt(except)?;
        let people =
            |one: &&Selector| matches!(one, Selector::Named(kind, _) if *kind == PrincipalKind::Person);
        if let Some(person) = except.iter().find(people) {
            let shown = text::escape(person.to_string().as_bytes());
            return Err(format!("`{shown}` cannot be exempt: only forges and bots push for others"));
        }
        Ok(Box::new(PusherMismatch { compare, except }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(rename = "match", default)]
    compare: Match,
    except: Option<Vec<String>>,
}

/// Who the pusher has to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Match {
    /// The committer, by address; of a tag the tagger.
    #[default]
    Committer,
    /// Whose key verifiably signed.
    Signer,
    /// The author or the committer, by address; of a tag the tagger.
    AuthorOrCommitter,
}

#[derive(Debug)]
struct PusherMismatch {
    compare: Match,
    /// Single forges and bots.
    except: Vec<Selector>,
}

impl PusherMismatch {
    const fn wanted(&self, object: Object<'_>) -> &'static str {
        match (self.compare, object) {
            (Match::Signer, Object::Commit(_)) => "commits that the pusher signed",
            (Match::Signer, Object::Tag(_)) => "tags that the pusher signed",
            (Match::Committer, Object::Commit(_)) => "commits whose committer is the pusher",
            (Match::AuthorOrCommitter, Object::Commit(_)) => {
                "commits whose author or committer is the pusher"
            }
            (_, Object::Tag(_)) => "tags whose tagger is the pusher",
        }
    }

    /// Who made it, as far as this is not the pusher.
    fn made_by_another(&self, object: Object<'_>, scope: Scope<'_>) -> Option<String> {
        let pusher = scope.facts.pusher.as_deref();
        if self.compare == Match::Signer {
            return self.signed_by_another(object, pusher, scope);
        }
        let people: Vec<(&str, Option<&Person>)> = match object {
            Object::Tag(tag) => vec![("tagger", tag.tagger.as_ref())],
            Object::Commit(commit) if self.compare == Match::AuthorOrCommitter => {
                vec![("author", Some(&commit.author)), ("committer", Some(&commit.committer))]
            }
            Object::Commit(commit) => vec![("committer", Some(&commit.committer))],
        };
        let email = |person: &Option<&Person>| person.map_or(&[][..], |person| &person.email).to_vec();
        let is_pusher = |(_, person): &(&str, Option<&Person>)| {
            let claimed = email(person);
            pusher.is_some_and(|one| one.emails.iter().any(|own| same_address(own.as_bytes(), &claimed)))
        };
        if people.iter().any(is_pusher) {
            return None;
        }
        let told = people
            .iter()
            .map(|(role, person)| format!("the {role} `{}`", text::escape_short(&email(person), SHOWN)));
        Some(told.collect::<Vec<_>>().join(" and "))
    }

    /// Worthless signatures are `bad-signature`'s; absence is `unsigned-commit`'s and `unsigned-tag`'s where they
    /// are on (N17).
    fn signed_by_another(
        &self,
        object: Object<'_>,
        pusher: Option<&Principal>,
        scope: Scope<'_>,
    ) -> Option<String> {
        let status = &object.signature().status;
        match status {
            _ if object.spoken_for(scope) => None,
            SignatureStatus::Unsigned => Some("no signature".to_owned()),
            SignatureStatus::Verified(_) => match object.signature().verified_by() {
                Some(signer)
                    if pusher.is_some_and(|one| (one.kind, &one.name) == (signer.kind, &signer.name)) =>
                {
                    None
                }
                Some(signer) => Some(format!("{status}, which is {}", called(signer))),
                None => Some(format!("{status}, which nobody owns")),
            },
            _ => None,
        }
    }

    /// What a bot signed is its own work, whoever brings it. A forge signs whatever somebody does on its pages, in
    /// whichever repository: only its merges say nothing but what the parents say (N20).
    fn may_be_pushed_by_others(&self, object: Object<'_>) -> bool {
        let signer = object.signature().verified_by().filter(|signer| any(&self.except, signer));
        let merged = match object {
            Object::Commit(commit) => commit.merge.as_ref().is_some_and(|merge| merge.real && merge.clean),
            Object::Tag(_) => false,
        };
        signer.is_some_and(|signer| signer.kind != PrincipalKind::Forge || merged)
    }

    fn check(&self, object: Object<'_>, scope: Scope<'_>) -> Vec<Finding> {
        let pusher = scope.facts.pusher.as_deref();
        if pusher.is_some_and(|one| any(&self.except, one)) || self.may_be_pushed_by_others(object) {
            return Vec::new();
        }
        let Some(by) = self.made_by_another(object, scope) else { return Vec::new() };
        let who = pusher.map_or_else(|| nobody(scope), called);
        let help = match (pusher, self.compare) {
            (None, _) => "ask the keyring's keeper to add your account to your entry, or push with another account".to_owned(),
            (Some(_), Match::Signer) => {
                format!("have whoever signed it push it, or sign it yourself with {}", object.resign(scope))
            }
            (Some(_), _) => {
                "have whoever made it push it; or, if it is yours, have the keyring's keeper add the address to your entry: \
                 `countersign keyring add NAME --email ADDRESS --key FILE`"
                    .to_owned()
            }
        };
        vec![Finding {
            path: None,
            seen: format!("{by}, and is pushed by {who}"),
            wanted: self.wanted(object).to_owned(),
            help,
        }]
    }
}

impl Rule for PusherMismatch {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn is_about_signatures(&self) -> bool {
        self.compare == Match::Signer
    }

    fn is_about_tag_signatures(&self) -> bool {
        self.compare == Match::Signer
    }

    fn needs_pusher(&self) -> bool {
        true
    }

    fn needs(&self) -> Needs {
        let forge = |one: &Selector| matches!(one, Selector::Named(PrincipalKind::Forge, _));
        if self.except.iter().any(forge) { Needs::MERGES } else { Needs::NONE }
    }

    /// A signature says nothing of who pushes what it is on.
    fn is_about_the_pusher(&self) -> bool {
        true
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        self.check(Object::Commit(commit), scope)
    }

    fn check_tag(&self, tag: &TagFacts, scope: Scope<'_>) -> Vec<Finding> {
        self.check(Object::Tag(tag), scope)
    }

    fn selectors(&self) -> &[Selector] {
        &self.except
    }
}
