//! Rulesets: which refs of which repositories, and what they refuse.

use super::pattern::{Pattern, PatternError};
use super::rules::{self, Judges, Rule};
use crate::domain::RefName;

/// What a ruleset's violations do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Enforcement {
    /// They refuse the push.
    Enforce,
    /// They are recorded only. Nothing judged this way becomes frontier (N7).
    Evaluate,
    /// The ruleset is not looked at.
    Off,
}

impl Enforcement {
    /// The word used in configuration and records.
    pub const fn name(self) -> &'static str {
        match self {
            Enforcement::Enforce => "enforce",
            Enforcement::Evaluate => "evaluate",
            Enforcement::Off => "off",
        }
    }
}

/// What happens to refs that no enforcing ruleset covers (N2). There is no default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncovered {
    /// They move freely, and the record says so.
    Accept,
    /// They are refused.
    Refuse,
}

/// Ref patterns with exclusions.
#[derive(Clone, Debug, Default)]
pub struct Refs {
    include: Vec<Pattern>,
    exclude: Vec<Pattern>,
}

impl Refs {
    /// Compiles patterns; one that starts with `!` excludes. At least one must include.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        let mut refs = Refs::default();
        for source in sources {
            match source.strip_prefix('!') {
                Some(rest) => refs.exclude.push(Pattern::for_refs(rest)?),
                None => refs.include.push(Pattern::for_refs(source)?),
            }
        }
        if refs.include.is_empty() { Err(PatternError::Empty) } else { Ok(refs) }
    }

    /// Whether the ref is included and not excluded. Order does not matter.
    pub fn is_match(&self, name: &[u8]) -> bool {
        self.include.iter().any(|p| p.is_match(name)) && !self.exclude.iter().any(|p| p.is_match(name))
    }

    /// The patterns as written, exclusions with their `!`.
    pub fn sources(&self) -> Vec<String> {
        let include = self.include.iter().map(|p| p.source().to_owned());
        include.chain(self.exclude.iter().map(|p| format!("!{}", p.source()))).collect()
    }
}

/// A named set of rules for some refs of some repositories. All rulesets that match apply; there is
/// no order and no priority, so a ruleset can only tighten what others say.
#[derive(Debug)]
pub struct Ruleset {
    /// Its name: records hang on it, so a renamed ruleset starts anew.
    pub name: String,
    /// Repositories, by name below the root; empty means none.
    pub repositories: Vec<Pattern>,
    /// Full ref names.
    pub refs: Refs,
    /// Whether its refusals count.
    pub enforcement: Enforcement,
    /// It comes from an included file, which can only tighten: where uncovered refs are refused, it does
    /// not open them.
    pub included: bool,
    rules: Vec<Box<dyn Rule>>,
}

/// Why a ruleset cannot be built from its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The name breaks `[a-z0-9][a-z0-9._-]*`, or is reserved.
    #[error(
        "`{0}` cannot name a ruleset: use lower-case letters, digits, `.`, `_` and `-`; `builtin` is reserved"
    )]
    Name(String),
    /// A ruleset that can never do anything.
    #[error("ruleset `{0}` refuses nothing: add at least one rule to `[ruleset.refuse]`")]
    NoRules(String),
}

impl Ruleset {
    /// Puts a ruleset together. `bad-signature` is added wherever another signature rule is (N17).
    pub fn new(
        name: &str,
        repositories: Vec<Pattern>,
        refs: Refs,
        enforcement: Enforcement,
        mut rules: Vec<Box<dyn Rule>>,
    ) -> Result<Self, SpecError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let valid = name.len() <= 100
            && name.bytes().next().is_some_and(fits)
            && name.bytes().all(|byte| fits(byte) || b"._-".contains(&byte));
        if !valid || name == Ruleset::BUILTIN {
            return Err(SpecError::Name(name.to_owned()));
        }
        if rules.is_empty() {
            return Err(SpecError::NoRules(name.to_owned()));
        }
        let has = |rules: &[Box<dyn Rule>], name: &str| rules.iter().any(|rule| rule.name() == name);
        if rules.iter().any(|rule| rule.is_about_signatures()) && !has(&rules, rules::bad_signature::NAME) {
            rules.push(rules::bad_signature::implied());
        }
        rules.sort_by_key(|rule| rule.name());
        Ok(Ruleset { name: name.to_owned(), repositories, refs, enforcement, included: false, rules })
    }

    /// The name under which verdicts list the rules that no configuration turns off.
    pub const BUILTIN: &'static str = "builtin";

    /// Whether this ruleset judges that ref of that repository, in whatever enforcement but `off`.
    pub fn covers(&self, repository: &str, reference: &RefName) -> bool {
        self.enforcement != Enforcement::Off
            && self.applies_to_repository(repository)
            && self.refs.is_match(reference.as_bytes())
    }

    /// Whether its repository patterns match.
    pub fn applies_to_repository(&self, repository: &str) -> bool {
        self.repositories.iter().any(|pattern| pattern.is_match(repository.as_bytes()))
    }

    /// Its rules, by name.
    pub fn rules(&self) -> &[Box<dyn Rule>] {
        &self.rules
    }

    /// Whether a rule of this name is part of it.
    pub fn has_rule(&self, name: &str) -> bool {
        self.rules.iter().any(|rule| rule.name() == name)
    }

    /// Whether some rule looks at commits, so that a frontier is needed (N11).
    pub fn judges_commits(&self) -> bool {
        self.rules.iter().any(|rule| rule.judges() == Judges::Commit)
    }
}

/// The whole policy.
#[derive(Debug)]
pub struct Rulesets {
    /// The configured rulesets; indexes into this list name them in facts and verdicts.
    pub rulesets: Vec<Ruleset>,
    /// What becomes of refs that none of them covers.
    pub uncovered: Uncovered,
}

impl Rulesets {
    /// Indexes of the rulesets that judge a ref.
    pub fn covering(&self, repository: &str, reference: &RefName) -> Vec<usize> {
        let covers = |set: &Ruleset| set.covers(repository, reference);
        self.rulesets.iter().enumerate().filter(|(_, set)| covers(set)).map(|(index, _)| index).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusions_win_whatever_their_order() {
        let refs = Refs::new(["!refs/heads/wip/**", "refs/heads/**"]).unwrap();
        assert!(refs.is_match(b"refs/heads/main"));
        assert!(!refs.is_match(b"refs/heads/wip/x"));
        assert!(Refs::new(["!refs/heads/x"]).is_err(), "only exclusions match nothing");
    }

    #[test]
    fn n17_bad_signature_comes_with_every_signature_rule() {
        let build = |rule: &str| {
            let rule = rules::build(rule, &toml::Value::Boolean(true)).unwrap().unwrap();
            Ruleset::new("x", Vec::new(), Refs::default(), Enforcement::Enforce, vec![rule]).unwrap()
        };
        assert!(build("unsigned-commit").has_rule("bad-signature"));
        assert!(build("untrusted-signer").has_rule("bad-signature"));
        assert!(!build("force-push").has_rule("bad-signature"));
    }

    #[test]
    fn names_are_safe_to_record() {
        for name in ["", "Builtin", "builtin", "a b", "-x", "ä"] {
            let rule = rules::build("force-push", &toml::Value::Boolean(true)).unwrap().unwrap();
            let made = Ruleset::new(name, Vec::new(), Refs::default(), Enforcement::Enforce, vec![rule]);
            assert!(matches!(made, Err(SpecError::Name(_))), "{name}");
        }
    }
}
