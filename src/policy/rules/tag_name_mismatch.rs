//! `tag-name-mismatch`: a tag stands under the name that it was made for, and that its signature is over.

use super::signed::{SHOWN, plain};
use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::domain::text;
use crate::policy::facts::TagFacts;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "tag-name-mismatch",
    summary: "a tag object that was made for another name",
    judges: Judges::RefUpdate,
    build: |table| {
        let Options { nested } = options(table)?;
        Ok(Box::new(TagNameMismatch { nested }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    nested: Nested,
}

/// What becomes of tags that a tag points at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Nested {
    /// They may have any name: they stand under none here.
    #[default]
    Skip,
    /// There are none.
    Refuse,
}

#[derive(Debug)]
struct TagNameMismatch {
    nested: Nested,
}

impl Rule for TagNameMismatch {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    /// Names are compared byte by byte. A tag object on a ref that is no tag stands under no name of its own.
    fn check_tag(&self, tag: &TagFacts, scope: Scope<'_>) -> Vec<Finding> {
        let Some(short) = scope.reference.name.tag() else { return Vec::new() };
        let outermost = scope.reference.tags.first().is_some_and(|first| first.id == tag.id);
        let shown = text::escape_short(&tag.name, SHOWN);
        if !outermost {
            let inner = Finding {
                path: None,
                seen: format!("the name `{shown}`, and stands behind another tag"),
                wanted: "a tag that points at what it is about, and not at another tag".to_owned(),
                help: format!(
                    "make the tag again for what it is finally about, with `git tag --force --sign {0} {0}^{{}}`",
                    plain(short, "NAME")
                ),
            };
            return if self.nested == Nested::Refuse { vec![inner] } else { Vec::new() };
        }
        if tag.name == short {
            return Vec::new();
        }
        vec![Finding {
            path: None,
            seen: format!("the name `{shown}` in it, which is not the ref's"),
            wanted: format!("a tag that was made for the name `{}`", text::escape_short(short, SHOWN)),
            help: format!(
                "push it under the name that it was made for; or make one for this name with `git tag --force --sign {} {}`",
                plain(short, "NAME"),
                tag.target.short()
            ),
        }]
    }
}
