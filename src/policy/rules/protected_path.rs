//! `protected-path`: only some people touch some paths, and each commit that does is signed by one of them.

use super::paths::{Ground, Judge, Listed, Of, OnPaths, Paths, Span, deed, place};
use super::people::{any, called, listed, nobody, selectors};
use super::signed::Object;
use super::{Finding, Judges, Kind, options, yes};
use crate::domain::Change;
use crate::policy::Selector;
use crate::policy::facts::SignatureFacts;
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "protected-path",
    summary: "a change of protected paths by somebody who is not on the list",
    judges: Judges::Commit,
    build: |table| {
        let Options { paths, except, allow, scope, case_insensitive } = options(table)?;
        let Some(paths) = paths else {
            return Err("it needs `paths = [\"deploy/**\"]`: what is protected".into());
        };
        let allow = allow.unwrap_or_default();
        if allow.is_empty() {
            return Err(
                "it needs `allow = [\"group:sre\"]`: who may touch them; `forbidden-path` is for nobody"
                    .into(),
            );
        }
        let paths = Paths::new(Some(&paths), except.as_deref(), case_insensitive)?;
        let judge = ProtectedPath { paths, allow: selectors(&allow)?, span: scope };
        Ok(Box::new(OnPaths { span: scope, judge }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    paths: Option<Vec<String>>,
    except: Option<Vec<String>>,
    allow: Option<Vec<String>>,
    #[serde(default)]
    scope: Span,
    #[serde(default = "yes")]
    case_insensitive: bool,
}

#[derive(Debug)]
struct ProtectedPath {
    paths: Paths,
    allow: Vec<Selector>,
    span: Span,
}

impl ProtectedPath {
    fn pusher(&self, ground: Ground<'_>) -> Option<(String, String)> {
        let pusher = ground.scope.facts.pusher.as_deref();
        if pusher.is_some_and(|pusher| any(&self.allow, pusher)) {
            return None;
        }
        let who = pusher.map_or_else(|| nobody(ground.scope), called);
        Some((format!("pushed by {who}"), "have somebody on the list push it".to_owned()))
    }

    /// A tree or a blob has no commit that could be signed: then the tag that names it is what vouches.
    fn untagged(&self, ground: Ground<'_>) -> Option<(String, String)> {
        let tag = ground.scope.reference.innermost_signature();
        if tag.and_then(SignatureFacts::verified_by).is_some_and(|signer| any(&self.allow, signer)) {
            return None;
        }
        let seen = match tag {
            None => "in no commit, without a tag that could be signed".to_owned(),
            Some(tag) => {
                let owner = tag.verified_by().map(|signer| format!(", which is {}", called(signer)));
                format!("in no commit, by a tag with {}{}", tag.status, owner.unwrap_or_default())
            }
        };
        Some((seen, "tag a commit, or have somebody on the list sign the tag".to_owned()))
    }

    /// Who did it, as people read it, and what helps; `None` where it is somebody who may.
    fn stranger(&self, ground: Ground<'_>) -> Option<(String, String)> {
        let Some(commit) = ground.commit else {
            return match self.span {
                Span::EachCommit => self.untagged(ground),
                // Nobody signs for an update as a whole. Who pushes it answers for it.
                Span::Net => self.pusher(ground),
            };
        };
        let signer = commit.signature.verified_by();
        if signer.is_some_and(|signer| any(&self.allow, signer)) {
            return None;
        }
        let status = &commit.signature.status;
        let who = match signer {
            Some(signer) => format!("{status}, which is {}", called(signer)),
            None => status.to_string(),
        };
        let again = Object::Commit(commit).resign(ground.scope);
        Some((format!("with {who}"), format!("have somebody on the list sign the commit, {again}")))
    }
}

impl Judge for ProtectedPath {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn of(&self) -> Of {
        Of::Deeds
    }

    fn needs_pusher(&self) -> bool {
        self.span == Span::Net
    }

    fn check(&self, ground: Ground<'_>, changes: &[&Change], out: &mut Listed) {
        let Some((who, help)) = self.stranger(ground) else { return };
        for change in changes.iter().filter(|change| self.paths.concern(change)) {
            out.add(|| Finding {
                path: place(&change.path),
                seen: format!("a {} protected path, {who}", deed(change)),
                wanted: self.describe(),
                help: format!("{help}; or undo it: {}", ground.restore(change)),
            });
        }
    }

    fn describe(&self) -> String {
        let by = match self.span {
            Span::EachCommit => "commits signed by",
            Span::Net => "pushes by",
        };
        format!("{} touched by {by} {} alone", self.paths.listed(), listed(&self.allow))
    }

    fn selectors(&self) -> &[Selector] {
        &self.allow
    }
}
