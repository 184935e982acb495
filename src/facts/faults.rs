//! What facts say of a push that git's rules, the repository or a counted limit do not allow.

use crate::domain::{ObjectId, ObjectKind};
use crate::policy::facts::{BuiltinFault, BuiltinRule};

/// A `malformed-update` fault.
pub(super) fn malformed_update(reference: &str, seen: String) -> BuiltinFault {
    BuiltinFault {
        rule: BuiltinRule::MalformedUpdate,
        reference: reference.to_owned(),
        object: None,
        seen,
        wanted: "one well-formed update for each ref, from the value that the ref has now".to_owned(),
        help: "fetch, then push again with an ordinary `git push`".to_owned(),
    }
}

/// A `malformed-object` fault of an object, on no ref yet.
pub(super) fn malformed_object(kind: ObjectKind, id: ObjectId, seen: String) -> BuiltinFault {
    BuiltinFault {
        rule: BuiltinRule::MalformedObject,
        reference: String::new(),
        object: Some((kind, id)),
        seen,
        wanted: BuiltinRule::MALFORMED_OBJECT_WANTED.to_owned(),
        help: BuiltinRule::MALFORMED_OBJECT_HELP.to_owned(),
    }
}

/// A `malformed-update` fault for a branch that would hold something else than a commit. Git refuses it as
/// well, after the hook.
pub(super) fn no_branch(reference: &str, new: ObjectId, kind: ObjectKind) -> BuiltinFault {
    let seen = format!("the branch would hold {}, which is a {}", new.short(), kind.name());
    let wanted = "a commit on a branch".to_owned();
    let help = "push the commit itself, such as `git push REMOTE 'TAG^{commit}:BRANCH'`".to_owned();
    BuiltinFault { wanted, help, ..malformed_update(reference, seen) }
}

/// A `shallow-graft` fault for a commit whose parent is nowhere.
pub(super) fn cut(reference: &str, child: Option<ObjectId>, parent: ObjectId) -> BuiltinFault {
    let child = child.map_or_else(String::new, |child| child.short());
    let seen = format!(
        "commit {child} has a parent, {}, that neither the push nor the repository has",
        parent.short()
    );
    shallow(reference, seen)
}

pub(super) fn shallow(reference: &str, seen: String) -> BuiltinFault {
    BuiltinFault {
        rule: BuiltinRule::ShallowGraft,
        reference: reference.to_owned(),
        object: None,
        seen,
        wanted: "a push whose history is complete".to_owned(),
        help: "complete the clone with `git fetch --unshallow`, then push again".to_owned(),
    }
}

/// A `push-too-large` fault with its figures.
pub(super) fn too_large(
    reference: &str,
    object: Option<(ObjectKind, ObjectId)>,
    seen: String,
    wanted: String,
    help: &str,
) -> BuiltinFault {
    BuiltinFault {
        rule: BuiltinRule::PushTooLarge,
        reference: reference.to_owned(),
        object,
        seen,
        wanted,
        help: help.to_owned(),
    }
}
