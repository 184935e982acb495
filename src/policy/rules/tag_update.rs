//! `tag-update`: a tag that exists stays where it is.

use super::{Finding, Judges, Kind, Rule, Scope, no_options};
use crate::domain::UpdateKind;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "tag-update",
    summary: "a push that moves a tag that exists",
    judges: Judges::RefUpdate,
    build: |options| {
        no_options(&options)?;
        Ok(Box::new(TagUpdate))
    },
};

#[derive(Debug)]
struct TagUpdate;

impl Rule for TagUpdate {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    /// Forwards or not makes no difference: whoever fetched the tag keeps what it was. Deleting it is
    /// `ref-deletion`'s question.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let moves = matches!(reference.kind, UpdateKind::FastForward | UpdateKind::Force)
            && reference.current != reference.update.new;
        if !moves || reference.name.tag().is_none() {
            return Vec::new();
        }
        let holds = reference.current.map_or_else(String::new, |id| format!(" at {}", id.short()));
        vec![Finding {
            path: None,
            seen: format!("the tag exists already{holds}, and the push moves it"),
            wanted: "tags that stay where they are, since nobody who has one fetches it again".to_owned(),
            help: "make a new tag with another name, such as the next version".to_owned(),
        }]
    }
}
