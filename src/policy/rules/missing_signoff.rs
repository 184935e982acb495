//! `missing-signoff`: the author of a commit has signed it off.

use super::{Finding, Judges, Kind, Rule, Scope, options, readings, redo};
use crate::domain::text;
use crate::policy::Selector;
use crate::policy::facts::{CommitFacts, Needs, Person};
use crate::policy::message::{Exempt, Merges, Reverts, Trailer, trailers, trim};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The rule's one word.
pub const NAME: &str = "missing-signoff";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit without a sign-off by its author",
    judges: Judges::Commit,
    build: |table| {
        let Options { also, merges, except } = options(table)?;
        let exempt = Exempt::new(merges, Reverts::Check, except.as_deref())?;
        Ok(Box::new(MissingSignoff { also, exempt }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    also: Vec<Also>,
    #[serde(default)]
    merges: Merges,
    except: Option<Vec<String>>,
}

/// Who else has to sign off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Also {
    Committer,
    CoAuthors,
}

const SIGNED_OFF: &str = "Signed-off-by";
const CO_AUTHOR: &str = "Co-authored-by";
/// Most co-authors without a sign-off that are named.
const NAMED: usize = 5;

#[derive(Debug)]
struct MissingSignoff {
    also: Vec<Also>,
    exempt: Exempt,
}

/// A person as git writes it in a trailer.
fn written(person: &Person) -> Vec<u8> {
    let mut out = trim(&person.name).to_vec();
    if !out.is_empty() {
        out.push(b' ');
    }
    out.push(b'<');
    out.extend(trim(&person.email));
    out.push(b'>');
    out
}

impl MissingSignoff {
    /// Who has to sign the commit off: in which role, and as git writes it. Nobody twice.
    fn signers(&self, commit: &CommitFacts, trailers: &[Trailer<'_>]) -> Vec<(&'static str, Vec<u8>)> {
        let mut out = vec![("author", written(&commit.author))];
        let mut known = BTreeSet::from([written(&commit.author)]);
        let mut add = |role, who: Vec<u8>| {
            if known.insert(who.clone()) {
                out.push((role, who));
            }
        };
        if self.also.contains(&Also::Committer) {
            add("committer", written(&commit.committer));
        }
        if self.also.contains(&Also::CoAuthors) {
            for one in trailers.iter().filter(|one| one.is(CO_AUTHOR)) {
                add("co-author", one.value.clone());
            }
        }
        out
    }
}

impl Rule for MissingSignoff {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        if self.exempt.commit(commit) {
            return Vec::new();
        }
        // What ASCII is in the bytes is ASCII for every reader, and names are compared within one encoding.
        if let Err(unreadable) = readings(commit, scope) {
            return vec![unreadable];
        }
        let trailers = trailers(&commit.message);
        let off: BTreeSet<&[u8]> =
            trailers.iter().filter(|one| one.is(SIGNED_OFF)).map(|one| one.value.as_slice()).collect();
        let signers = self.signers(commit, &trailers);
        let missing = signers.iter().filter(|(_, who)| !off.contains(who.as_slice())).take(NAMED);
        let finding = |(role, who): &(&str, Vec<u8>)| {
            let who = text::escape_short(who, 120);
            let seen = match off.first() {
                None => format!("no sign-off by its {role} {who}"),
                Some(other) => {
                    format!("no sign-off by its {role} {who}, and one by {}", text::escape_short(other, 120))
                }
            };
            // `--signoff` leaves merges as they are.
            let rebase = match commit.parents.len() {
                0 | 1 => "--signoff",
                _ => "--force-rebase --exec 'git commit --amend --no-edit --allow-empty --signoff'",
            };
            let again = redo(commit, scope.reference, "--no-edit --signoff", rebase);
            let help = format!(
                "whoever that is agrees to the terms and adds the line with {again}, which takes `user.name` and \
                 `user.email`; then push again"
            );
            Finding { path: None, seen, wanted: format!("the trailer `{SIGNED_OFF}: {who}`"), help }
        };
        missing.map(finding).collect()
    }

    fn needs(&self) -> Needs {
        self.exempt.needs()
    }

    fn describe(&self) -> String {
        let mut who = vec!["author"];
        who.extend(self.also.iter().map(|one| match one {
            Also::Committer => "committer",
            Also::CoAuthors => "co-authors",
        }));
        format!("a trailer `{SIGNED_OFF}: NAME <ADDRESS>` of the {}", who.join(" and the "))
    }

    fn selectors(&self) -> &[Selector] {
        self.exempt.selectors()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_written_as_git_writes_them() {
        let person = |name: &str, email: &str| Person {
            name: name.as_bytes().to_vec(),
            email: email.as_bytes().to_vec(),
            ..Person::default()
        };
        assert_eq!(written(&person("A U Thor", "a@example.org")), b"A U Thor <a@example.org>");
        assert_eq!(written(&person("", "a@example.org")), b"<a@example.org>");
        assert_eq!(written(&person(" A ", "")), b"A <>");
    }
}
