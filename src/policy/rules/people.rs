//! What the rules about people share: lists of selectors, exemptions by name, the pusher, addresses.

use super::Scope;
use super::signed::SHOWN;
use crate::domain::{Principal, PrincipalKind, Pusher, text};
use crate::policy::Selector;
use crate::policy::facts::Person;
use serde::Deserialize;

/// Parses selectors.
pub(super) fn selectors(written: &[String]) -> Result<Vec<Selector>, String> {
    written.iter().map(|one| Selector::parse(one).map_err(|error| error.to_string())).collect()
}

/// Selectors as people read them, escaped.
pub(super) fn listed(selectors: &[Selector]) -> String {
    let names: Vec<String> = selectors.iter().map(ToString::to_string).collect();
    text::escape(names.join(", ").as_bytes())
}

/// Whether one of them means this principal.
pub(super) fn any(selectors: &[Selector], principal: &Principal) -> bool {
    selectors.iter().any(|one| one.matches(principal))
}

/// The option `except`. Each one is named: a group or a kind would exempt whoever joins it later (N20). Nothing
/// is relaxed for an agent (N19).
pub(super) fn exempt(written: Option<Vec<String>>) -> Result<Vec<Selector>, String> {
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

/// A principal as people read it, escaped: ``person `alice` ``.
pub(super) fn called(principal: &Principal) -> String {
    format!("{} `{}`", principal.kind, text::escape(principal.name.as_bytes()))
}

/// The pusher as people read it, where the keyring does not know the account.
pub(super) fn nobody(scope: Scope<'_>) -> String {
    match &scope.facts.context.pusher {
        Pusher::Known { name, .. } => {
            format!(
                "the account `{}`, which is nobody's in the keyring",
                text::escape_short(name.as_bytes(), SHOWN)
            )
        }
        _ => "a pusher whom the server did not name".to_owned(),
    }
}

/// Whose lines in an object a rule looks at: its option `who`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Author,
    Committer,
    Tagger,
}

impl Role {
    pub(super) const ALL: [Role; 3] = [Role::Author, Role::Committer, Role::Tagger];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Role::Author => "author",
            Role::Committer => "committer",
            Role::Tagger => "tagger",
        }
    }
}

/// The option as it is written.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`who` is \"author\", \"committer\", \"tagger\" or a list of them")]
pub(super) enum Who {
    One(String),
    Many(Vec<String>),
}

/// The option `who`; all of them where it is left out.
pub(super) fn roles(written: Option<Who>) -> Result<Vec<Role>, String> {
    let words = match written {
        None => return Ok(Role::ALL.to_vec()),
        Some(Who::One(word)) => vec![word],
        Some(Who::Many(words)) if words.is_empty() => {
            return Err("`who = []` looks at nobody; leave it out for all of them".into());
        }
        Some(Who::Many(words)) => words,
    };
    let role = |word: &String| {
        Role::ALL.into_iter().find(|role| role.name() == word).ok_or_else(|| {
            let shown = text::escape(word.as_bytes());
            format!("unknown variant `{shown}`, expected one of `author`, `committer`, `tagger`")
        })
    };
    words.iter().map(role).collect()
}

/// An address as people read it, escaped.
pub(super) fn address(person: &Person) -> String {
    text::escape_short(&person.email, SHOWN)
}

/// The people of an object among whom `wrong` finds some, in words: ``the author `a@b` and the committer `c@d` ``;
/// one who is both is told once.
pub(super) fn accused(people: &[(Role, &Person)], wrong: impl Fn(&Person) -> bool) -> Option<String> {
    let mut found: Vec<(Vec<&str>, &Person)> = Vec::new();
    for (role, person) in people.iter().filter(|(_, person)| wrong(person)) {
        match found.iter_mut().find(|(_, known)| known.email == person.email) {
            Some((roles, _)) => roles.push(role.name()),
            None => found.push((vec![role.name()], person)),
        }
    }
    let told: Vec<String> = found
        .iter()
        .map(|(roles, person)| format!("the {} `{}`", roles.join(" and "), address(person)))
        .collect();
    (!told.is_empty()).then(|| told.join(" and "))
}
