//! `lightweight-tag`: a tag is an object of its own, with a tagger, a message and maybe a signature.

use super::signed::plain;
use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::domain::ObjectKind;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "lightweight-tag",
    summary: "a tag that is no object of its own",
    judges: Judges::RefUpdate,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(LightweightTag))
    },
};

#[derive(Debug)]
struct LightweightTag;

impl Rule for LightweightTag {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    /// Whatever is below `refs/tags/` and no annotated tag: a commit, and a tree or a blob as well.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let (Some(new), Some(short)) = (reference.update.new, reference.name.tag()) else {
            return Vec::new();
        };
        let kind = match reference.tip_kind {
            Some(ObjectKind::Tag) => return Vec::new(),
            Some(kind) => kind.name(),
            None => "object",
        };
        let name = plain(short, "NAME");
        vec![Finding {
            path: None,
            seen: format!("the tag is nothing but a name for the {kind} {}", new.short()),
            wanted: "an annotated tag, which says who made it and can be signed".to_owned(),
            help: format!(
                "make it again with `git tag --force --sign {name} {}`, then push again",
                new.short()
            ),
        }]
    }
}
