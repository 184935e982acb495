//! `work-in-progress`: commits that say themselves that they are not done.

use super::{Finding, Judges, Kind, Rule, Scope, options, readings, redo};
use crate::domain::text;
use crate::policy::facts::CommitFacts;
use crate::policy::message::{subject, trim};
use serde::Deserialize;

/// The rule's one word.
pub const NAME: &str = "work-in-progress";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit whose subject says that it is not done",
    judges: Judges::Commit,
    build: |table| {
        let Options { markers } = options(table)?;
        if markers.is_empty() {
            return Err("`markers = []` would refuse nothing; leave it out for the usual ones".into());
        }
        let fits = |one: &&String| {
            let visible = |byte: u8| (b' '..=b'~').contains(&byte);
            !one.is_empty() && one.len() <= LONGEST && one.bytes().all(visible) && one.trim() == one.as_str()
        };
        if let Some(wrong) = markers.iter().find(|one| !fits(one)) {
            return Err(format!(
                "`{}` is no marker: up to {LONGEST} characters of ASCII, no blank at either end",
                text::escape_short(wrong.as_bytes(), 60)
            ));
        }
        Ok(Box::new(WorkInProgress { markers }))
    },
};

/// Longest marker, bytes.
const LONGEST: usize = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default = "usual")]
    markers: Vec<String>,
}

/// What git's `--autosquash` folds away, and what forges take for a draft.
fn usual() -> Vec<String> {
    let usual = ["fixup!", "squash!", "amend!", "WIP", "[WIP]", "(WIP)", "Draft:", "[Draft]", "(Draft)"];
    usual.map(str::to_owned).to_vec()
}

#[derive(Debug)]
struct WorkInProgress {
    markers: Vec<String>,
}

impl WorkInProgress {
    /// The marker that the subject begins with, as a word of its own.
    fn marker(&self, subject: &[u8]) -> Option<&str> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || byte >= 0x80;
        let begins = |marker: &&String| {
            let Some((start, rest)) = subject.split_at_checked(marker.len()) else { return false };
            let ends_in_word = marker.bytes().last().is_some_and(word);
            start.eq_ignore_ascii_case(marker.as_bytes())
                && !(ends_in_word && rest.first().is_some_and(|byte| word(*byte)))
        };
        self.markers.iter().find(begins).map(String::as_str)
    }
}

impl Rule for WorkInProgress {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        let all = match readings(commit, scope) {
            Ok(all) => all,
            Err(unreadable) => return vec![unreadable],
        };
        let marked = all.iter().find_map(|message| {
            let subject = subject(message);
            self.marker(trim(&subject)).map(|marker| (marker, subject.clone()))
        });
        let Some((marker, subject)) = marked else { return Vec::new() };
        let squashes = ["fixup!", "squash!", "amend!"].iter().any(|one| marker.eq_ignore_ascii_case(one));
        let help = if squashes {
            "fold it into the commit that it is for with `git rebase -i --autosquash`, then push again"
                .to_owned()
        } else {
            let again = redo(commit, scope.reference, "", "-i");
            format!("finish it and reword it with {again}, then push again")
        };
        let shown = text::escape_short(&subject, 60);
        vec![Finding {
            path: None,
            seen: format!("a subject that begins with `{marker}`: \"{shown}\""),
            wanted: "a commit that is done".to_owned(),
            help,
        }]
    }

    fn describe(&self) -> String {
        format!("a subject that does not begin with {}", self.markers.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers_begin_the_subject_and_are_words() {
        let rule = WorkInProgress { markers: usual() };
        let marked = |text: &str| rule.marker(text.as_bytes()).is_some();
        for yes in [
            "fixup! x",
            "squash! x",
            "amend! x",
            "FIXUP! x",
            "fixup!x",
            "WIP",
            "wip",
            "WIP: x",
            "wip x",
            "WIP on main: 3f2a9c1 x",
            "[wip] x",
            "[WIP]x",
            "(WIP) x",
            "Draft: x",
            "draft: x",
            "[Draft] x",
            "(Draft) x",
            "wip!",
        ] {
            assert!(marked(yes), "{yes}");
        }
        for no in [
            "wiping",
            "WIP-1: x",
            "wip_x",
            "wip\u{e9}",
            "Draft the notes",
            "drafts: x",
            "x WIP",
            "fix up! x",
            "Revert \"fixup! x\"",
            "",
            "w",
        ] {
            assert!(!marked(no), "{no}");
        }
    }
}
