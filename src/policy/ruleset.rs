//! Rulesets: which refs of which repositories, and what they refuse.

use super::bypass::Bypass;
use super::facts::Needs;
use super::pattern::{Pattern, PatternError};
use super::rules::{self, Configured, Judges, Rule};
use super::selector::Selector;
use super::verdict::Coverage;
use crate::domain::{Principal, RefName, text};
use std::sync::Arc;

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
    include: Vec<RefPattern>,
    exclude: Vec<RefPattern>,
    /// Nothing but what these hold, too.
    within: Option<Box<Refs>>,
}

/// One pattern for refs.
#[derive(Clone, Debug)]
enum RefPattern {
    /// `~DEFAULT`: the branch that `HEAD` names.
    Default,
    /// `~ALL`: every ref.
    All,
    /// Full names.
    Names(Pattern),
}

impl RefPattern {
    fn parse(source: &str) -> Result<Self, PatternError> {
        match source {
            "~DEFAULT" => Ok(RefPattern::Default),
            "~ALL" => Ok(RefPattern::All),
            names => Pattern::for_refs(names).map(RefPattern::Names),
        }
    }

    fn is_match(&self, name: &RefName, default_branch: Option<&RefName>) -> bool {
        match self {
            RefPattern::Default => default_branch == Some(name),
            RefPattern::All => true,
            RefPattern::Names(pattern) => pattern.is_match(name.as_bytes()),
        }
    }

    fn source(&self) -> &str {
        match self {
            RefPattern::Default => "~DEFAULT",
            RefPattern::All => "~ALL",
            RefPattern::Names(pattern) => pattern.source(),
        }
    }
}

impl Refs {
    /// Compiles patterns; one that starts with `!` excludes. At least one must include.
    pub fn new<'a>(sources: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        let mut refs = Refs::default();
        for source in sources {
            match source.strip_prefix('!') {
                Some(rest) => refs.exclude.push(RefPattern::parse(rest)?),
                None => refs.include.push(RefPattern::parse(source)?),
            }
        }
        if refs.include.is_empty() { Err(PatternError::Empty) } else { Ok(refs) }
    }

    /// Whether the ref is included and not excluded. Order does not matter. `default_branch` is what
    /// `HEAD` of the repository names.
    pub fn is_match(&self, name: &RefName, default_branch: Option<&RefName>) -> bool {
        let any = |list: &[RefPattern]| list.iter().any(|one| one.is_match(name, default_branch));
        let within = self.within.as_ref().is_none_or(|refs| refs.is_match(name, default_branch));
        any(&self.include) && !any(&self.exclude) && within
    }

    /// Each pattern that includes, by itself.
    pub fn included(&self) -> impl Iterator<Item = Refs> {
        let one = |pattern: &RefPattern| Refs { include: vec![pattern.clone()], ..Refs::default() };
        self.include.iter().map(one)
    }

    /// Those of them that the others hold as well.
    fn and(&self, others: &Refs) -> Refs {
        let within = match &self.within {
            Some(within) => within.and(others),
            None => others.clone(),
        };
        Refs { within: Some(Box::new(within)), ..self.clone() }
    }

    /// The patterns as written, exclusions with their `!`, those that must match besides with an `&`.
    pub fn sources(&self) -> Vec<String> {
        let include = self.include.iter().map(|one| one.source().to_owned());
        let exclude = self.exclude.iter().map(|one| format!("!{}", one.source()));
        let within = self.within.iter().flat_map(|refs| refs.sources());
        include.chain(exclude).chain(within.map(|one| format!("&{one}"))).collect()
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
    /// Whose pushes it judges; empty: everybody's. It narrows the ruleset to pushers that are known not to
    /// be somebody else: one that nobody knows is judged (N18).
    pub actors: Vec<Selector>,
    /// Who may break which of its rules (N19).
    pub bypass: Vec<Bypass>,
    /// Whether its refusals count.
    pub enforcement: Enforcement,
    /// It comes from an included file, which can only tighten: where uncovered refs are refused, it does
    /// not open them.
    pub included: bool,
    /// Whose file it comes from, where a tenant has its own: it is for that tenant's repositories only.
    pub tenant: Option<Arc<Tenant>>,
    /// Of the ruleset that comes with every configuration: what the tenants' rulesets protect.
    of_tenants: Vec<(Arc<Tenant>, Vec<Pattern>)>,
    /// It is the one that comes with every configuration ([`Ruleset::DEFAULT`]): it judges all refs of the
    /// repositories that others protect, and protects none by itself.
    pub by_default: bool,
    /// It was made of a part of the ruleset of this name ([`Ruleset::split`]).
    pub part_of: Option<String>,
    rules: Vec<Configured>,
}

/// Whoever answers for some repositories of the instance, with files of rulesets of its own.
#[derive(Debug)]
pub struct Tenant {
    /// Its name. Its rulesets are called `TENANT/NAME`, so that no tenant's names meet another's.
    pub name: String,
    /// Its repositories, by name below the root.
    pub repositories: Vec<Pattern>,
}

impl Tenant {
    /// Whether a repository is this tenant's.
    pub fn has(&self, repository: &str) -> bool {
        any(&self.repositories, repository)
    }

    /// Whether some text can name a tenant: what names a ruleset can.
    pub fn can_be_called(name: &str) -> bool {
        is_name(name)
    }
}

fn any(patterns: &[Pattern], repository: &str) -> bool {
    patterns.iter().any(|pattern| pattern.is_match(repository.as_bytes()))
}

fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 100
        && name.bytes().next().is_some_and(fits)
        && name.bytes().all(|byte| fits(byte) || b"._-".contains(&byte))
}

/// Why a ruleset cannot be built from its configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The name breaks `[a-z0-9][a-z0-9._-]*`, or is reserved.
    #[error(
        "`{0}` cannot name a ruleset: use lower-case letters, digits, `.`, `_` and `-`; `builtin` and `default` are reserved"
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
        mut rules: Vec<Configured>,
    ) -> Result<Self, SpecError> {
        if !is_name(name) || [Ruleset::BUILTIN, Ruleset::DEFAULT].contains(&name) {
            return Err(SpecError::Name(name.to_owned()));
        }
        if rules.is_empty() {
            return Err(SpecError::NoRules(name.to_owned()));
        }
        let has = |rules: &[Configured], name: &str| rules.iter().any(|one| one.rule.name() == name);
        let signatures = rules.iter().any(|one| one.rule.is_about_signatures());
        if signatures && !has(&rules, rules::bad_signature::NAME) {
            rules.push(rules::bad_signature::implied(&rules).into());
        }
        rules.sort_by_key(|one| one.rule.name());
        Ok(Ruleset {
            name: name.to_owned(),
            repositories,
            refs,
            actors: Vec::new(),
            bypass: Vec::new(),
            enforcement,
            included: false,
            tenant: None,
            of_tenants: Vec::new(),
            by_default: false,
            part_of: None,
            rules,
        })
    }

    /// The same ruleset as part of a tenant's file: for its repositories only, and under its name.
    pub fn of_tenant(mut self, tenant: &Arc<Tenant>) -> Self {
        self.name = format!("{}/{}", tenant.name, self.name);
        self.tenant = Some(Arc::clone(tenant));
        self.included = true;
        self
    }

    /// The name under which verdicts list the rules that no configuration turns off.
    pub const BUILTIN: &'static str = "builtin";

    /// The name of the ruleset that comes with every configuration: once a repository has a protected ref,
    /// it keeps other refs from standing in for it. `[policy.defaults]` changes its rules.
    pub const DEFAULT: &'static str = "default";

    /// The ruleset of that name, for the repositories of these rulesets; `None` where there is nothing to
    /// keep, or no rule is left.
    pub fn by_default(of: &[Ruleset], rules: Vec<Configured>) -> Option<Self> {
        let mut repositories = Vec::new();
        let mut of_tenants = Vec::new();
        for set in of.iter().filter(|set| set.enforcement == Enforcement::Enforce) {
            match &set.tenant {
                None => repositories.extend_from_slice(&set.repositories),
                Some(tenant) => of_tenants.push((Arc::clone(tenant), set.repositories.clone())),
            }
        }
        if (repositories.is_empty() && of_tenants.is_empty()) || rules.is_empty() {
            return None;
        }
        Some(Ruleset {
            name: Ruleset::DEFAULT.to_owned(),
            repositories,
            refs: Refs { include: vec![RefPattern::All], ..Refs::default() },
            actors: Vec::new(),
            bypass: Vec::new(),
            enforcement: Enforcement::Enforce,
            included: false,
            tenant: None,
            of_tenants,
            by_default: true,
            part_of: None,
            rules,
        })
    }

    /// This ruleset, and one more for each entry of a rule that wants something else of some of its refs.
    ///
    /// What a ruleset has accepted on one ref it does not judge again on another (N7), so what is wanted of some
    /// refs only must not share a record with the rest: a commit let in on a side branch would be let in on a
    /// release by being there already. The rule of an entry therefore stands in a ruleset of its own, called
    /// `NAME[PATTERN]`, for those of the refs that the pattern matches.
    pub fn split(self) -> Vec<Ruleset> {
        let mut parts = Vec::new();
        for one in &self.rules {
            for (refs, rule) in one.rule.on_refs() {
                let beside = |name: &str| rules::untrusted_signer::BESIDE.contains(&name);
                let mut own: Vec<Configured> =
                    self.rules.iter().filter(|one| beside(one.rule.name())).cloned().collect();
                own.push(Configured { rule, ..one.clone() });
                own.sort_by_key(|one| one.rule.name());
                let pattern = refs.sources().join(" ");
                parts.push(Ruleset {
                    name: format!("{}[{}]", self.name, text::escape(pattern.as_bytes())),
                    repositories: self.repositories.clone(),
                    refs: self.refs.and(refs),
                    actors: self.actors.clone(),
                    bypass: self.bypass.clone(),
                    enforcement: self.enforcement,
                    included: self.included,
                    tenant: self.tenant.clone(),
                    of_tenants: self.of_tenants.clone(),
                    by_default: self.by_default,
                    part_of: Some(self.name.clone()),
                    rules: own,
                });
            }
        }
        std::iter::once(self).chain(parts).collect()
    }

    /// Whether a rule of it wants something of the signatures of tags.
    pub fn judges_tag_signatures(&self) -> bool {
        self.rules.iter().any(|one| one.rule.is_about_tag_signatures())
    }

    /// Whether this ruleset judges that ref of that repository, in whatever enforcement but `off`.
    pub fn covers(&self, repository: &str, reference: &RefName, default_branch: Option<&RefName>) -> bool {
        self.enforcement != Enforcement::Off
            && self.applies_to_repository(repository)
            && self.refs.is_match(reference, default_branch)
    }

    /// Whether it leaves this pusher's pushes alone: one that is known, and not among its actors (N18).
    pub fn exempts(&self, pusher: Option<&Principal>) -> bool {
        !self.actors.is_empty()
            && pusher.is_some_and(|pusher| !self.actors.iter().any(|actor| actor.matches(pusher)))
    }

    /// Whether its repository patterns match, and the repository is its tenant's where it has one.
    pub fn applies_to_repository(&self, repository: &str) -> bool {
        let own = any(&self.repositories, repository);
        let within = self.tenant.as_ref().is_none_or(|tenant| tenant.has(repository));
        (own && within)
            || self.of_tenants.iter().any(|(tenant, own)| tenant.has(repository) && any(own, repository))
    }

    /// Its rules, by name.
    pub fn rules(&self) -> &[Configured] {
        &self.rules
    }

    /// The rule of that name, if it is part of it.
    pub fn rule(&self, name: &str) -> Option<&dyn Rule> {
        self.rules.iter().find(|one| one.rule.name() == name).map(|one| one.rule.as_ref())
    }

    /// Whether another rule may leave something to the rule of that name: it is part of the ruleset, and neither
    /// a bypass nor a receipt can keep it from refusing. One fault is reported once (N17), and a waiver of one
    /// rule is none of another (N19).
    pub fn leaves_to(&self, name: &str) -> bool {
        let there = self.rules.iter().find(|one| one.rule.name() == name);
        there.is_some_and(|one| one.effective_from.is_none())
            && !self.bypass.iter().any(|one| one.rules.iter().any(|rule| rule == name))
    }

    /// Which facts its rules need that are not always there.
    pub fn needs(&self) -> Needs {
        self.rules.iter().fold(Needs::NONE, |sum, one| {
            let recorded = if one.effective_from.is_some() { Needs::RECEIVED } else { Needs::NONE };
            sum.and(one.rule.needs()).and(recorded)
        })
    }

    /// Whether a rule of this name is part of it.
    pub fn has_rule(&self, name: &str) -> bool {
        self.rule(name).is_some()
    }

    /// Whether some rule looks at commits, so that a frontier is needed (N11); or at what an update changes as a
    /// whole, for which that of a new ref begins where something was judged.
    pub fn judges_commits(&self) -> bool {
        let net = |rule: &dyn Rule| rule.judges() == Judges::NetRange || rule.needs().has_any(Needs::CONTENT);
        self.rules.iter().any(|one| one.rule.judges() == Judges::Commit || net(one.rule.as_ref()))
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
    /// The same rulesets without what can only be judged once a ref moves: rules about the update as such (N11),
    /// and those that ask who pushes. For what is proposed to a ref and has not moved it.
    pub fn for_proposals(&self) -> Rulesets {
        let set = |set: &Ruleset| {
            let stays =
                |one: &&Configured| one.rule.judges() != Judges::RefUpdate && !one.rule.needs_pusher();
            Ruleset {
                name: set.name.clone(),
                repositories: set.repositories.clone(),
                refs: set.refs.clone(),
                actors: set.actors.clone(),
                bypass: set.bypass.clone(),
                enforcement: set.enforcement,
                included: set.included,
                tenant: set.tenant.clone(),
                of_tenants: set.of_tenants.clone(),
                by_default: set.by_default,
                part_of: set.part_of.clone(),
                rules: set.rules.iter().filter(stays).cloned().collect(),
            }
        };
        Rulesets { rulesets: self.rulesets.iter().map(set).collect(), uncovered: self.uncovered }
    }

    /// The rulesets that the configuration names: all but the one that always comes with it.
    pub fn configured(&self) -> impl Iterator<Item = &Ruleset> {
        self.rulesets.iter().filter(|set| !set.by_default)
    }

    /// Whether an enforcing ruleset of the configuration covers a ref.
    pub fn protects(&self, repository: &str, reference: &RefName, default_branch: Option<&RefName>) -> bool {
        let mut enforcing = self.configured().filter(|set| set.enforcement == Enforcement::Enforce);
        enforcing.any(|set| set.covers(repository, reference, default_branch))
    }

    /// How a ref comes to be judged, as far as rulesets are concerned (N2). An included ruleset does not open
    /// what is refused without it.
    pub fn coverage(
        &self,
        repository: &str,
        reference: &RefName,
        default_branch: Option<&RefName>,
    ) -> Coverage {
        self.coverage_by(&self.covering(repository, reference, default_branch))
    }

    /// The same, by the indexes of the rulesets that judge the ref.
    pub fn coverage_by(&self, covering: &[usize]) -> Coverage {
        let opens = |set: &Ruleset| !(set.included && self.uncovered == Uncovered::Refuse);
        let mut sets = covering.iter().map(|index| &self.rulesets[*index]);
        let enforcing =
            |set: &Ruleset| set.enforcement == Enforcement::Enforce && !set.by_default && opens(set);
        match self.uncovered {
            _ if sets.any(enforcing) => Coverage::Ruleset,
            Uncovered::Accept => Coverage::UncoveredAccept,
            Uncovered::Refuse => Coverage::UncoveredRefuse,
        }
    }

    /// Indexes of the rulesets that judge a ref.
    pub fn covering(
        &self,
        repository: &str,
        reference: &RefName,
        default_branch: Option<&RefName>,
    ) -> Vec<usize> {
        self.covering_among(&self.concerned(repository), reference, default_branch)
    }

    /// Indexes of the rulesets that judge refs of a repository, in whatever enforcement but `off`.
    pub fn concerned(&self, repository: &str) -> Vec<usize> {
        let judges =
            |set: &Ruleset| set.enforcement != Enforcement::Off && set.applies_to_repository(repository);
        self.rulesets.iter().enumerate().filter(|(_, set)| judges(set)).map(|(index, _)| index).collect()
    }

    /// Those of the rulesets of a repository that judge one of its refs: for pushes of many refs.
    pub fn covering_among(
        &self,
        concerned: &[usize],
        reference: &RefName,
        default_branch: Option<&RefName>,
    ) -> Vec<usize> {
        let covers = |index: &usize| self.rulesets[*index].refs.is_match(reference, default_branch);
        concerned.iter().copied().filter(covers).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exclusions_win_whatever_their_order() {
        let refs = Refs::new(["!refs/heads/wip/**", "refs/heads/**"]).unwrap();
        let name = |name: &str| RefName::parse(name.as_bytes()).unwrap();
        assert!(refs.is_match(&name("refs/heads/main"), None));
        assert!(!refs.is_match(&name("refs/heads/wip/x"), None));
        assert!(Refs::new(["!refs/heads/x"]).is_err(), "only exclusions match nothing");
    }

    #[test]
    fn the_default_branch_is_the_one_that_head_names() {
        let name = |name: &str| RefName::parse(name.as_bytes()).unwrap();
        let (main, trunk) = (name("refs/heads/main"), name("refs/heads/trunk"));
        let refs = Refs::new(["~DEFAULT"]).unwrap();
        assert!(refs.is_match(&trunk, Some(&trunk)) && !refs.is_match(&main, Some(&trunk)));
        assert!(!refs.is_match(&main, None), "nothing is the default of a repository without one");
        let others = Refs::new(["~ALL", "!~DEFAULT"]).unwrap();
        assert!(others.is_match(&main, Some(&trunk)) && !others.is_match(&trunk, Some(&trunk)));
        assert!(others.is_match(&name("refs/tags/v1"), Some(&trunk)));
        assert_eq!(others.sources(), ["~ALL", "!~DEFAULT"]);
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
    fn a_tenants_ruleset_reaches_no_repository_but_the_tenants() {
        let tenant = |name: &str, own: &str| {
            Arc::new(Tenant { name: name.into(), repositories: vec![Pattern::new(own).unwrap()] })
        };
        let set = |repositories: &str| {
            let rule = rules::build("force-push", &toml::Value::Boolean(true)).unwrap().unwrap();
            let repositories = vec![Pattern::new(repositories).unwrap()];
            let refs = Refs::new(["~ALL"]).unwrap();
            Ruleset::new("x", repositories, refs, Enforcement::Enforce, vec![rule]).unwrap()
        };
        let all = set("**").of_tenant(&tenant("acme", "acme/**"));
        assert_eq!(all.name, "acme/x");
        assert!(all.included, "it can only tighten");
        assert!(all.applies_to_repository("acme/app") && !all.applies_to_repository("other/app"));
        let one = set("acme/app").of_tenant(&tenant("acme", "acme/**"));
        let rule = || rules::build("ref-name", &toml::Value::Boolean(true)).unwrap().unwrap();
        let default = Ruleset::by_default(&[one, set("infra/*")], vec![rule()]).unwrap();
        for (repository, expected) in
            [("acme/app", true), ("acme/web", false), ("infra/app", true), ("other/app", false)]
        {
            assert_eq!(default.applies_to_repository(repository), expected, "{repository}");
        }
        let default = Ruleset::by_default(&[all], vec![rule()]).unwrap();
        assert!(default.applies_to_repository("acme/web") && !default.applies_to_repository("other/app"));
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
