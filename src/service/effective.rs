//! What would judge a ref: the rulesets that cover it, their rules with all options, and who may break them.

use super::fault::{Fault, all_known};
use super::gate::Snapshot;
use crate::config::{Config, Place};
use crate::domain::{Principal, PrincipalKind, RefName, Timestamp, text};
use crate::git::Repository;
use crate::policy::facts::BuiltinRule;
use crate::policy::rules::{self, Configured};
use crate::policy::{Bypass, Enforcement, Pattern, Refs, Ruleset};
use serde::Serialize;
use serde_json::{Map, Value};

/// Everything of the policy that is about one ref of one repository. All text is escaped.
#[derive(Clone, Debug, Serialize)]
pub struct Effective {
    /// The repository's name, as selectors match it.
    pub repository: String,
    /// The ref's full name.
    #[serde(rename = "ref")]
    pub reference: String,
    /// What `HEAD` of the repository names, where that is known: what `~DEFAULT` stands for.
    pub default_branch: Option<String>,
    /// Whether the ref lies in one of `[repositories] namespaces`; all others are refused.
    pub in_namespace: bool,
    /// `ruleset`, `uncovered-accept` or `uncovered-refuse` (N2).
    pub coverage: &'static str,
    /// The rules that no configuration turns off (N1).
    pub builtin: Vec<&'static str>,
    /// The rulesets that judge the ref.
    pub rulesets: Vec<EffectiveRuleset>,
    /// Those that do not, and why.
    pub others: Vec<Spared>,
}

/// A ruleset that judges the ref.
#[derive(Clone, Debug, Serialize)]
pub struct EffectiveRuleset {
    /// Its name.
    pub name: String,
    /// Where it is written, `FILE:LINE:COLUMN`; nowhere for what comes with every configuration.
    pub place: Option<String>,
    /// `enforce` or `evaluate`.
    pub enforcement: &'static str,
    /// `configuration`, `included`, `tenant`, or `default` for what comes with every configuration.
    pub origin: &'static str,
    /// Its patterns for repositories.
    pub repositories: Vec<String>,
    /// Its patterns for refs, exclusions with `!`.
    pub refs: Vec<String>,
    /// Whose pushes it judges; empty: everybody's.
    pub actors: Vec<String>,
    /// Its rules.
    pub rules: Vec<EffectiveRule>,
    /// Who may break which of them, on this ref.
    pub bypass: Vec<EffectiveBypass>,
}

/// A rule with its options.
#[derive(Clone, Debug, Serialize)]
pub struct EffectiveRule {
    /// Its name.
    pub rule: &'static str,
    /// Where it is written; nowhere if another rule brought it, or every configuration does.
    pub place: Option<String>,
    /// `commit`, `ref-update` or `net-range` (N11).
    pub judges: &'static str,
    /// What it wants, or refuses.
    pub about: String,
    /// Its options as they are written.
    pub options: Map<String, Value>,
    /// Options that are not written, and what holds then, as TOML would have it.
    pub defaults: Map<String, Value>,
    /// What the administrator has to say with its refusals.
    pub help: Option<String>,
    /// From when on it judges commits, by the gate's own record (N13).
    pub effective_from: Option<String>,
}

/// A bypass (N19).
#[derive(Clone, Debug, Serialize)]
pub struct EffectiveBypass {
    /// Of which ruleset.
    pub ruleset: String,
    /// Where it is written.
    pub place: Option<String>,
    /// Whom it is for.
    pub who: Vec<String>,
    /// Whom of the keyring that is now. Agents bypass nothing.
    pub members: Vec<String>,
    /// `key` or `pusher`: what shows that it is them.
    pub proof: &'static str,
    /// Which rules they may break.
    pub rules: Vec<String>,
    /// On which of the ruleset's refs; `None` for all of them.
    pub refs: Option<Vec<String>>,
    /// Why it is there.
    pub reason: String,
    /// Until when.
    pub expires: Option<String>,
    /// `active`, or `expired`: it does nothing then.
    pub state: &'static str,
    /// Seconds until it expires, or since it did (negative).
    pub seconds_left: Option<i64>,
    /// Whether it has to be asked for with `git push -o countersign.bypass=RULE:REASON`.
    pub ask: bool,
}

/// A ruleset that does not judge the ref.
#[derive(Clone, Debug, Serialize)]
pub struct Spared {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub place: Option<String>,
    /// Which part keeps it away: `enforcement`, `tenant`, `repositories` or `refs`.
    pub by: &'static str,
    /// The same in words.
    pub why: String,
}

/// What would judge a push to `reference` of the repository called `repository`.
///
/// # Errors
/// [`Fault::Tenant`] where not all of the policy is known (N15).
pub fn effective(
    snapshot: &Snapshot,
    repository: &str,
    reference: &RefName,
    default_branch: Option<&RefName>,
    now: Timestamp,
) -> Result<Effective, Fault> {
    let config = &snapshot.config;
    all_known(config, repository)?;
    let mut rulesets = Vec::new();
    let mut others = Vec::new();
    for ruleset in &config.policy.rulesets {
        match spared(ruleset, repository, reference, default_branch) {
            None => rulesets.push(effective_ruleset(snapshot, ruleset, reference, default_branch, now)),
            Some((by, why)) => {
                let place = place(config, ruleset, "name");
                others.push(Spared { name: ruleset.name.clone(), place, by, why });
            }
        }
    }
    let namespaces = &config.repositories.namespaces;
    Ok(Effective {
        repository: text::escape(repository.as_bytes()),
        reference: reference.to_string(),
        default_branch: default_branch.map(ToString::to_string),
        in_namespace: namespaces.iter().any(|one| reference.as_bytes().starts_with(one.as_bytes())),
        coverage: config.policy.coverage(repository, reference, default_branch).name(),
        builtin: BuiltinRule::ALL.iter().map(|rule| rule.name()).collect(),
        rulesets,
        others,
    })
}

/// Why a ruleset does not judge a ref; `None` if it does.
fn spared(
    ruleset: &Ruleset,
    repository: &str,
    reference: &RefName,
    default_branch: Option<&RefName>,
) -> Option<(&'static str, String)> {
    let list = |sources: Vec<String>| sources.join(", ");
    if ruleset.enforcement == Enforcement::Off {
        return Some(("enforcement", "its enforcement is `off`".to_owned()));
    }
    if let Some(tenant) = ruleset.tenant.as_ref().filter(|tenant| !tenant.has(repository)) {
        let own = list(patterns(&tenant.repositories));
        return Some(("tenant", format!("it is tenant `{}`'s, whose repositories are {own}", tenant.name)));
    }
    if !ruleset.applies_to_repository(repository) {
        let why = if ruleset.by_default {
            "no enforcing ruleset is for this repository, so there is nothing to stand in for".to_owned()
        } else {
            format!("its repositories are {}", list(patterns(&ruleset.repositories)))
        };
        return Some(("repositories", why));
    }
    if !ruleset.refs.is_match(reference, default_branch) {
        return Some(("refs", format!("its refs are {}", list(ref_patterns(&ruleset.refs)))));
    }
    None
}

fn effective_ruleset(
    snapshot: &Snapshot,
    ruleset: &Ruleset,
    reference: &RefName,
    default_branch: Option<&RefName>,
    now: Timestamp,
) -> EffectiveRuleset {
    let config = &snapshot.config;
    let here =
        |bypass: &Bypass| bypass.refs.as_ref().is_none_or(|refs| refs.is_match(reference, default_branch));
    let bypass = ruleset.bypass.iter().enumerate().filter(|(_, bypass)| here(bypass));
    EffectiveRuleset {
        name: ruleset.name.clone(),
        place: place(config, ruleset, "name"),
        enforcement: ruleset.enforcement.name(),
        origin: match ruleset {
            Ruleset { by_default: true, .. } => "default",
            Ruleset { tenant: Some(_), .. } => "tenant",
            Ruleset { included: true, .. } => "included",
            _ => "configuration",
        },
        repositories: patterns(&ruleset.repositories),
        refs: ref_patterns(&ruleset.refs),
        actors: ruleset.actors.iter().map(|one| text::escape(one.to_string().as_bytes())).collect(),
        rules: ruleset.rules().iter().map(|rule| effective_rule(config, ruleset, rule)).collect(),
        bypass: bypass
            .map(|(index, bypass)| effective_bypass(snapshot, ruleset, index, bypass, now))
            .collect(),
    }
}

fn effective_rule(config: &Config, ruleset: &Ruleset, configured: &Configured) -> EffectiveRule {
    let rule = configured.rule.as_ref();
    let name = rule.name();
    let written = |key: &str| configured.written.contains_key(key);
    let defaults = rules::options_of(name).iter().filter(|one| !written(one.name));
    let defaults = defaults.filter_map(|one| Some((one.name.to_owned(), Value::from(one.default?))));
    EffectiveRule {
        rule: name,
        place: place(config, ruleset, name),
        judges: rule.judges().name(),
        about: rule.describe(),
        options: configured.written.iter().map(|(key, value)| (shown(key), json(value))).collect(),
        defaults: defaults.collect(),
        help: configured.note.as_deref().map(shown),
        effective_from: configured.effective_from.map(|time| time.to_string()),
    }
}

fn effective_bypass(
    snapshot: &Snapshot,
    ruleset: &Ruleset,
    index: usize,
    bypass: &Bypass,
    now: Timestamp,
) -> EffectiveBypass {
    let everybody = snapshot.keyring.principals().iter();
    let members = everybody.filter(|one| one.kind != PrincipalKind::Agent && is_for(bypass, one));
    EffectiveBypass {
        ruleset: ruleset.name.clone(),
        place: place(&snapshot.config, ruleset, &format!("bypass {index}")),
        who: bypass.who.iter().map(|one| shown(&one.to_string())).collect(),
        members: members.map(|one| format!("{}:{}", one.kind, shown(&one.name))).collect(),
        proof: bypass.proof.name(),
        rules: bypass.rules.clone(),
        refs: bypass.refs.as_ref().map(ref_patterns),
        reason: shown(&bypass.reason),
        expires: bypass.expires.map(|time| time.to_string()),
        state: if bypass.is_active(now) { "active" } else { "expired" },
        seconds_left: bypass.expires.map(|time| time.as_second() - now.as_second()),
        ask: bypass.ask,
    }
}

/// Every bypass of the configuration, of one repository where one is named: those that expire first come first,
/// those that never do come last.
pub fn bypasses(snapshot: &Snapshot, repository: Option<&str>, now: Timestamp) -> Vec<EffectiveBypass> {
    let concerned = |ruleset: &&Ruleset| repository.is_none_or(|name| ruleset.applies_to_repository(name));
    let mut all: Vec<EffectiveBypass> = Vec::new();
    for ruleset in snapshot.config.policy.rulesets.iter().filter(concerned) {
        let own = ruleset.bypass.iter().enumerate();
        all.extend(own.map(|(index, bypass)| effective_bypass(snapshot, ruleset, index, bypass, now)));
    }
    all.sort_by_key(|one| (one.seconds_left.is_none(), one.seconds_left));
    all
}

/// Whether a bypass names this principal.
pub(super) fn is_for(bypass: &Bypass, principal: &Principal) -> bool {
    bypass.who.iter().any(|one| one.matches(principal))
}

/// Where a part of a ruleset is written.
pub(super) fn place(config: &Config, ruleset: &Ruleset, key: &str) -> Option<String> {
    config.places.of(&ruleset.name, key).map(Place::to_string)
}

/// The same, to go on with.
pub(super) fn place_of(config: &Config, ruleset: &str, key: &str) -> Option<Place> {
    config.places.of(ruleset, key).cloned()
}

pub(super) fn patterns(all: &[Pattern]) -> Vec<String> {
    all.iter().map(|one| shown(one.source())).collect()
}

pub(super) fn ref_patterns(refs: &Refs) -> Vec<String> {
    refs.sources().iter().map(|one| shown(one)).collect()
}

pub(super) fn shown(text: &str) -> String {
    text::escape(text.as_bytes())
}

/// A value of TOML as JSON has it; times as text.
fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(shown(text)),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(truth) => Value::from(*truth),
        toml::Value::Datetime(time) => Value::from(time.to_string()),
        toml::Value::Array(all) => all.iter().map(json).collect(),
        toml::Value::Table(all) => all.iter().map(|(key, value)| (shown(key), json(value))).collect(),
    }
}

/// Which rulesets cover which refs of a repository.
#[derive(Clone, Debug, Serialize)]
pub struct Covered {
    /// The repository's name, as selectors match it.
    pub repository: String,
    /// What its `HEAD` names.
    pub default_branch: Option<String>,
    /// Its refs, by name.
    pub refs: Vec<CoveredRef>,
}

/// One ref.
#[derive(Clone, Debug, Serialize)]
pub struct CoveredRef {
    /// Its name.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The rulesets that refuse.
    pub enforce: Vec<String>,
    /// The rulesets that only record.
    pub evaluate: Vec<String>,
    /// As in [`Effective::coverage`].
    pub coverage: &'static str,
}

/// Which rulesets cover which refs of a repository. `said` is the name that selectors match, where somebody says
/// one.
pub fn coverage(snapshot: &Snapshot, said: Option<&str>, repository: &Repository) -> Result<Covered, Fault> {
    let config = &snapshot.config;
    let name = super::check::name(snapshot, said, repository);
    all_known(config, &name)?;
    let default_branch = repository.default_branch()?;
    let mut names: Vec<RefName> = repository.references()?.into_iter().map(|(name, _)| name).collect();
    names.sort();
    let refs = names.iter().map(|reference| {
        let covering = config.policy.covering(&name, reference, default_branch.as_ref());
        let of = |wanted: Enforcement| {
            let sets = covering.iter().map(|index| &config.policy.rulesets[*index]);
            sets.filter(|set| set.enforcement == wanted).map(|set| set.name.clone()).collect()
        };
        CoveredRef {
            reference: reference.to_string(),
            enforce: of(Enforcement::Enforce),
            evaluate: of(Enforcement::Evaluate),
            coverage: config.policy.coverage(&name, reference, default_branch.as_ref()).name(),
        }
    });
    let refs = refs.collect();
    let default_branch = default_branch.map(|branch| branch.to_string());
    Ok(Covered { repository: shown(&name), default_branch, refs })
}
