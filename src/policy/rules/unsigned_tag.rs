//! `unsigned-tag`: every annotated tag carries a signature. Absence only, as for commits (N17); a tag without
//! an object of its own is `lightweight-tag`'s question.

use super::signed::retag;
use super::{Finding, Judges, Kind, Rule, Scope, options};
use crate::policy::facts::TagFacts;
use crate::signature::SignatureStatus;
use serde::Deserialize;

/// The rule's one word.
pub const NAME: &str = "unsigned-tag";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "an annotated tag without a signature",
    judges: Judges::RefUpdate,
    build: |table| {
        let Options { nested } = options(table)?;
        Ok(Box::new(UnsignedTag { nested }))
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
    /// They carry signatures, too.
    #[default]
    Check,
    /// The outermost one's signature is over what they say, so it is enough.
    Skip,
}

#[derive(Debug)]
struct UnsignedTag {
    nested: Nested,
}

impl Rule for UnsignedTag {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn is_about_signatures(&self) -> bool {
        true
    }

    fn is_about_tag_signatures(&self) -> bool {
        true
    }

    fn check_tag(&self, tag: &TagFacts, scope: Scope<'_>) -> Vec<Finding> {
        let outermost = scope.reference.tags.first().is_some_and(|first| first.id == tag.id);
        let looked_at = outermost || self.nested == Nested::Check;
        match tag.signature.status {
            SignatureStatus::Unsigned if looked_at => vec![absent(tag)],
            _ => Vec::new(),
        }
    }
}

/// The finding for a tag without a signature; other rules use it where this one is off.
pub(super) fn absent(tag: &TagFacts) -> Finding {
    Finding {
        path: None,
        seen: "no signature".to_owned(),
        wanted: "a signature by a key of the keyring".to_owned(),
        help: format!("sign it with {}, then push again", retag(tag)),
    }
}
