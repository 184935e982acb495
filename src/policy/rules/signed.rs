//! What the rules about signatures share: which objects they look at, and what helps.

use super::{Finding, Judges, Kind, Rule, Scope, redo, unsigned_commit, unsigned_tag, untrusted_signer};
use crate::domain::text;
use crate::policy::Selector;
use crate::policy::facts::{CommitFacts, SignatureFacts, TagFacts};
use crate::signature::{SignatureStatus, VerifiedSignature};
use serde::Deserialize;
use std::fmt::Debug;

/// Which signed objects a rule looks at: its option `of`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Of {
    pub(super) commits: bool,
    pub(super) tags: bool,
}

/// The option as it is written.
#[derive(Deserialize)]
#[serde(untagged, expecting = "`of` is \"commit\", \"tag\" or a list of them")]
pub(super) enum Written {
    One(String),
    Many(Vec<String>),
}

impl Of {
    pub(super) const BOTH: Of = Of { commits: true, tags: true };

    /// `None` where the option is left out.
    pub(super) fn parse(written: Option<Written>) -> Result<Option<Self>, String> {
        let words = match written {
            None => return Ok(None),
            Some(Written::One(word)) => vec![word],
            Some(Written::Many(words)) if words.is_empty() => {
                return Err("`of = []` looks at nothing; write \"commit\", \"tag\" or both".into());
            }
            Some(Written::Many(words)) => words,
        };
        let mut of = Of { commits: false, tags: false };
        for word in words {
            match word.as_str() {
                "commit" => of.commits = true,
                "tag" => of.tags = true,
                other => {
                    let shown = text::escape(other.as_bytes());
                    return Err(format!("unknown variant `{shown}`, expected one of `commit`, `tag`"));
                }
            }
        }
        Ok(Some(of))
    }
}

/// Something that can be signed.
#[derive(Clone, Copy)]
pub(super) enum Object<'a> {
    Commit(&'a CommitFacts),
    Tag(&'a TagFacts),
}

impl<'a> Object<'a> {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Object::Commit(_) => "commit",
            Object::Tag(_) => "tag",
        }
    }

    pub(super) const fn signature(self) -> &'a SignatureFacts {
        match self {
            Object::Commit(commit) => &commit.signature,
            Object::Tag(tag) => &tag.signature,
        }
    }

    /// The proof, where there is one that counts.
    pub(super) const fn proof(self) -> Option<&'a VerifiedSignature> {
        match &self.signature().status {
            SignatureStatus::Verified(proof) => Some(proof),
            _ => None,
        }
    }

    /// The command that signs it anew.
    pub(super) fn resign(self, scope: Scope<'_>) -> String {
        match self {
            Object::Commit(commit) => {
                redo(commit, scope.reference, "--no-edit -S", "--force-rebase --gpg-sign")
            }
            Object::Tag(tag) => retag(tag),
        }
    }

    /// Whether another rule of the ruleset has the say already (N17): about absence where a rule about absence
    /// is on, about whoever is not on the list.
    pub(super) fn spoken_for(self, scope: Scope<'_>) -> bool {
        let absent = matches!(self.signature().status, SignatureStatus::Unsigned);
        let absence = match self {
            Object::Commit(_) => unsigned_commit::NAME,
            Object::Tag(_) => unsigned_tag::NAME,
        };
        (absent && scope.ruleset.leaves_to(absence)) || self.is_untrusted(scope)
    }

    /// Whether the list of the ruleset refuses it.
    pub(super) fn is_untrusted(self, scope: Scope<'_>) -> bool {
        let rule = scope.ruleset.rule(untrusted_signer::NAME);
        let rule = rule.filter(|_| scope.ruleset.leaves_to(untrusted_signer::NAME));
        rule.is_some_and(|rule| match self {
            Object::Commit(commit) => !rule.check_commit(commit, scope).is_empty(),
            Object::Tag(tag) => !rule.check_tag(tag, scope).is_empty(),
        })
    }
}

/// A rule about the signatures of single commits and tags: of those that its option `of` names.
pub(super) trait SignatureRule: Debug + Send + Sync {
    fn kind(&self) -> &'static Kind;

    fn of(&self) -> Of;

    fn check(&self, object: Object<'_>, scope: Scope<'_>) -> Vec<Finding>;

    /// As [`Rule::check_ref`].
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let _ = scope;
        Vec::new()
    }

    /// As [`Rule::selectors`].
    fn selectors(&self) -> &[Selector] {
        &[]
    }
}

impl<R: SignatureRule> Rule for R {
    fn kind(&self) -> &'static Kind {
        SignatureRule::kind(self)
    }

    fn judges(&self) -> Judges {
        if self.of().commits { Judges::Commit } else { Judges::RefUpdate }
    }

    fn is_about_signatures(&self) -> bool {
        true
    }

    fn is_about_tag_signatures(&self) -> bool {
        self.of().tags
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        if self.of().commits { self.check(Object::Commit(commit), scope) } else { Vec::new() }
    }

    fn check_tag(&self, tag: &TagFacts, scope: Scope<'_>) -> Vec<Finding> {
        if self.of().tags { self.check(Object::Tag(tag), scope) } else { Vec::new() }
    }

    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        SignatureRule::check_ref(self, scope)
    }

    fn selectors(&self) -> &[Selector] {
        SignatureRule::selectors(self)
    }
}

/// The command that makes a tag again, signed.
pub(super) fn retag(tag: &TagFacts) -> String {
    format!("`git tag --force --sign {} {}`", plain(&tag.name, "NAME"), tag.target.short())
}

/// Most characters of a word that are shown.
pub(super) const SHOWN: usize = 100;

/// A word for a command line that somebody may copy: `otherwise` where a shell could read it differently.
pub(super) fn plain<'a>(word: &'a [u8], otherwise: &'a str) -> &'a str {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"@._+/-".contains(byte);
    match std::str::from_utf8(word) {
        Ok(text)
            if !text.is_empty() && !text.starts_with('-') && text.len() <= SHOWN && word.iter().all(fits) =>
        {
            text
        }
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_are_shown_hold_nothing_for_a_shell() {
        for word in ["", "-x", "a b", "$(id)", "`id`", "a;b", "a'b", "a\"b", "a|b", "\u{e9}", "a\nb", "a*"] {
            assert_eq!(plain(word.as_bytes(), "NAME"), "NAME", "{word:?}");
        }
        assert_eq!(plain(b"release/v1.0", "NAME"), "release/v1.0");
        assert_eq!(plain(&[b'x'; 101], "NAME"), "NAME");
    }
}
