//! Rulesets of GitHub, as its export and its API write them.

use super::dialect::{self, Expression, Subject, Unconvertible};
use super::document::{Document, Ruleset, list, shown, string};
use super::{ImportError, Weight, json_error};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What a ruleset is, as far as it matters here. Keys that are about its page or its history are left alone.
#[derive(Deserialize)]
struct Source {
    name: String,
    target: Option<String>,
    #[serde(default)]
    source_type: Option<String>,
    #[serde(default)]
    source: Option<String>,
    enforcement: String,
    #[serde(default)]
    bypass_actors: Option<Vec<Map<String, Value>>>,
    #[serde(default)]
    conditions: Option<Map<String, Value>>,
    rules: Option<Vec<Rule>>,
}

#[derive(Deserialize)]
struct Rule {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    parameters: Option<Map<String, Value>>,
}

pub(super) fn read(
    document: &mut Document,
    source: &str,
    repositories: &[String],
) -> Result<(), ImportError> {
    match super::json::parse(source)? {
        Value::Array(many) if many.is_empty() => Err(ImportError::whole("the list has no ruleset")),
        Value::Array(many) => {
            let sources: Vec<Source> =
                serde_json::from_str(source).map_err(|error| explained(&error, &many))?;
            sources.iter().try_for_each(|one| ruleset(document, one, repositories))
        }
        one => {
            let source: Source = serde_json::from_str(source)
                .map_err(|error| explained(&error, std::slice::from_ref(&one)))?;
            ruleset(document, &source, repositories)
        }
    }
}

/// Tells the lists of the API that have other things in them.
fn explained(error: &serde_json::Error, found: &[Value]) -> ImportError {
    let mut made = json_error(error);
    if found.iter().any(|one| one.get("ruleset_id").is_some() && one.get("type").is_some()) {
        made.why.push_str(
            "; these are the rules of one branch: take the rulesets, `GET /repos/OWNER/REPO/rulesets/ID`",
        );
    }
    made
}

fn ruleset(document: &mut Document, source: &Source, repositories: &[String]) -> Result<(), ImportError> {
    document.gap();
    document.comment(&format!(
        "ruleset \"{}\" of {}",
        shown(&source.name),
        shown(source.source.as_deref().unwrap_or("-"))
    ));
    let Some(rules) = &source.rules else {
        return Err(ImportError::whole(&format!(
            "ruleset \"{}\" has no `rules`: the list of the API leaves them out; take each by its own id, \
             `GET /repos/OWNER/REPO/rulesets/ID`",
            source.name
        )));
    };
    let (hierarchy, all) = match source.target.as_deref() {
        None | Some("branch") => ("refs/heads/", "refs/heads/**"),
        Some("tag") => ("refs/tags/", "refs/tags/**"),
        Some("push") => ("", "~ALL"),
        Some(other) => {
            document.note(Weight::Weaker, &whole(source), &format!("a target `{other}` is not known here"));
            return Ok(());
        }
    };
    let enforcement = match source.enforcement.as_str() {
        "active" => "enforce",
        "evaluate" => "evaluate",
        "disabled" => "off",
        other => {
            document.note(
                Weight::Weaker,
                &whole(source),
                &format!("an enforcement `{other}` is not known here"),
            );
            return Ok(());
        }
    };
    let empty = Map::new();
    let conditions = source.conditions.as_ref().unwrap_or(&empty);
    let Some(repositories) = covered_repositories(document, source, conditions, repositories) else {
        return Ok(());
    };
    let refs = if hierarchy.is_empty() {
        vec![all.to_owned()]
    } else {
        match covered_refs(document, source, conditions, hierarchy, all) {
            Some(refs) => refs,
            None => return Ok(()),
        }
    };
    let known = ["ref_name", "repository_name", "repository_id", "repository_property"];
    for (key, value) in conditions.iter().filter(|(key, _)| !known.contains(&key.as_str())) {
        let what = format!("condition {key} = {value} of \"{}\"", source.name);
        document.note(Weight::Stricter, &what, "it would narrow the ruleset, and has no equal");
    }
    let mut made = Ruleset { repositories, refs, enforcement, ..Ruleset::default() };
    let has = |kind: &str| rules.iter().any(|rule| rule.kind == kind);
    let locked =
        ["creation", "update", "deletion"].iter().all(|kind| has(kind)) && hierarchy == "refs/heads/";
    if locked {
        made.rule("locked-ref", "true");
    }
    let mut wants = Wants::default();
    for rule in rules {
        one(document, source, rule, hierarchy, locked, &mut made, &mut wants);
    }
    wants.finish(&mut made);
    bypasses(document, source, &made);
    document.ruleset(&source.name, &made);
    Ok(())
}

fn whole(source: &Source) -> String {
    format!("the whole ruleset \"{}\"", source.name)
}

/// Texts of a list in JSON; `None` where it is something else.
fn texts(value: Option<&Value>) -> Option<Vec<&str>> {
    match value {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(all)) => all.iter().map(Value::as_str).collect(),
        Some(_) => None,
    }
}

fn covered_repositories(
    document: &mut Document,
    source: &Source,
    conditions: &Map<String, Value>,
    said: &[String],
) -> Option<Vec<String>> {
    if !said.is_empty() {
        return Some(said.to_vec());
    }
    let by_other_means = ["repository_id", "repository_property"];
    let other = by_other_means.iter().find(|key| conditions.contains_key(**key));
    if let Some(other) = other {
        let why = format!(
            "`{other}` says which repositories, and only the forge knows: say it with --repositories"
        );
        document.note(Weight::Weaker, &whole(source), &why);
        return None;
    }
    let owner = source.source.as_deref().unwrap_or_default();
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte))
    };
    let organization =
        source.source_type.as_deref() == Some("Organization") || conditions.contains_key("repository_name");
    if !plain(owner) || owner.contains('/') == organization {
        let why = "it does not say which repositories are meant: say it with --repositories";
        document.note(Weight::Weaker, &whole(source), why);
        return None;
    }
    if !organization {
        return Some(vec![owner.to_owned()]);
    }
    let Some(condition) = conditions.get("repository_name") else { return Some(vec![format!("{owner}/*")]) };
    let (include, exclude) = (texts(condition.get("include")), texts(condition.get("exclude")));
    let (Some(include), Some(exclude)) = (include, exclude) else {
        document.note(Weight::Weaker, &whole(source), "`repository_name` is not understood");
        return None;
    };
    let mut made = Vec::new();
    for pattern in include {
        if pattern == "~ALL" {
            made.push(format!("{owner}/*"));
            continue;
        }
        match dialect::fnmatch_name(pattern) {
            Ok(name) => made.push(format!("{owner}/{name}")),
            Err(why) => {
                let what = format!("repositories \"{pattern}\" of ruleset \"{}\"", source.name);
                document.note(Weight::Weaker, &what, &why.0);
            }
        }
    }
    for pattern in exclude {
        let what = format!("the exclusion of repositories \"{pattern}\" from ruleset \"{}\"", source.name);
        document.note(Weight::Stricter, &what, "repositories are listed here and cannot be excluded");
    }
    if made.is_empty() {
        document.note(Weight::Weaker, &whole(source), "no repository of it is left");
        return None;
    }
    Some(made)
}

fn covered_refs(
    document: &mut Document,
    source: &Source,
    conditions: &Map<String, Value>,
    hierarchy: &str,
    all: &str,
) -> Option<Vec<String>> {
    let condition = conditions.get("ref_name");
    let part = |key: &str| texts(condition.and_then(|one| one.get(key)));
    let (Some(include), Some(exclude)) = (part("include"), part("exclude")) else {
        document.note(Weight::Weaker, &whole(source), "`ref_name` is not understood");
        return None;
    };
    let convert = |pattern: &str| match pattern {
        "~ALL" => Ok(all.to_owned()),
        "~DEFAULT_BRANCH" if hierarchy == "refs/heads/" => Ok("~DEFAULT".to_owned()),
        pattern => dialect::fnmatch(pattern, hierarchy),
    };
    let mut refs = Vec::new();
    for pattern in include {
        match convert(pattern) {
            Ok(pattern) => refs.push(pattern),
            Err(why) => {
                let what = format!("refs \"{pattern}\" of ruleset \"{}\"", source.name);
                document.note(Weight::Weaker, &what, &why.0);
            }
        }
    }
    if refs.is_empty() {
        document.note(Weight::Weaker, &whole(source), "no ref of it is left");
        return None;
    }
    for pattern in exclude {
        match convert(pattern) {
            Ok(pattern) => refs.push(format!("!{pattern}")),
            Err(why) => {
                let what = format!("the exclusion of refs \"{pattern}\" from ruleset \"{}\"", source.name);
                document.note(Weight::Stricter, &what, &why.0);
            }
        }
    }
    Some(refs)
}

/// Rules of which one of ours holds several.
#[derive(Default)]
struct Wants {
    required: Vec<String>,
    forbidden: Vec<String>,
}

impl Wants {
    fn finish(self, made: &mut Ruleset) {
        let mut parts = Vec::new();
        if !self.required.is_empty() {
            parts.push(format!("required = [{}]", self.required.join(", ")));
        }
        if !self.forbidden.is_empty() {
            parts.push(format!("forbidden = [{}]", self.forbidden.join(", ")));
        }
        if !parts.is_empty() {
            made.rule("message-format", format!("{{ {} }}", parts.join(", ")));
        }
    }
}

#[allow(clippy::too_many_arguments)]
fn one(
    document: &mut Document,
    source: &Source,
    rule: &Rule,
    hierarchy: &str,
    locked: bool,
    made: &mut Ruleset,
    wants: &mut Wants,
) {
    let empty = Map::new();
    let parameters = rule.parameters.as_ref().unwrap_or(&empty);
    let mut cannot = |why: &str| {
        let shown = serde_json::to_string(parameters).unwrap_or_default();
        let what = format!("rule {} {shown} of ruleset \"{}\"", rule.kind, source.name);
        document.note(Weight::Weaker, &what, why);
    };
    let tags = hierarchy == "refs/tags/";
    match rule.kind.as_str() {
        "creation" | "update" | "deletion" if locked => {}
        "creation" => made.rule("ref-creation", "true"),
        "deletion" => made.rule("ref-deletion", "true"),
        "update" if tags => made.rule("tag-update", "true"),
        "update" => cannot(
            "nobody may update but those who bypass: write `unauthorized-pusher` with who may, or `locked-ref`",
        ),
        "non_fast_forward" => made.rule("force-push", "true"),
        "required_signatures" => {
            made.rule("unsigned-commit", "true");
            // The forge takes a signature for verified only if the committer's address is the signer's.
            made.rule("identity-mismatch", "{ match = [\"committer\"] }");
        }
        "commit_message_pattern" => match pattern(parameters) {
            Ok((true, pattern)) => wants.forbidden.push(pattern),
            Ok((false, pattern)) => wants.required.push(pattern),
            Err(why) => cannot(&why.0),
        },
        "commit_author_email_pattern" | "committer_email_pattern" => match domain(parameters) {
            Ok(domain) => {
                let who = if rule.kind == "committer_email_pattern" { "committer" } else { "author" };
                made.rule(
                    "email-domain",
                    format!("{{ domains = {}, who = {} }}", list([domain]), string(who)),
                );
            }
            Err(why) => cannot(&why.0),
        },
        "branch_name_pattern" | "tag_name_pattern"
            if !hierarchy.is_empty() && (rule.kind == "tag_name_pattern") == tags =>
        {
            match name(parameters, hierarchy) {
                Ok(pattern) => {
                    made.about.push("ref-name judges new refs: what is there already stays".to_owned());
                    made.rule("ref-name", format!("{{ allow = {} }}", list([pattern])));
                }
                Err(why) => cannot(&why.0),
            }
        }
        kind => match super::paths::github(kind, parameters) {
            Some(Ok((rule, value))) => made.rule(rule, value),
            Some(Err(why)) => cannot(&why),
            None => cannot(why_not(kind)),
        },
    }
}

/// Why a kind of rule has no equal.
fn why_not(kind: &str) -> &'static str {
    match kind {
        "pull_request" | "merge_queue" | "copilot_code_review" => {
            "reviews and queues are the forge's: a push has none"
        }
        "required_status_checks"
        | "required_deployments"
        | "workflows"
        | "code_scanning"
        | "code_quality" => "checks that run elsewhere are not asked for at a push",
        _ => "there is no such rule here",
    }
}

/// Operator and pattern of a metadata rule, and whether it is negated.
fn operator(parameters: &Map<String, Value>) -> Result<(bool, &str, &str), Unconvertible> {
    let text = |key: &str| parameters.get(key).and_then(Value::as_str);
    let negated = match parameters.get("negate") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(negated)) => *negated,
        Some(_) => return Err(Unconvertible("`negate` is not understood".to_owned())),
    };
    match (text("operator"), text("pattern")) {
        (Some(operator), Some(pattern)) if !pattern.is_empty() => Ok((negated, operator, pattern)),
        _ => Err(Unconvertible("operator and pattern are not understood".to_owned())),
    }
}

/// A pattern for messages, as `message-format` writes it, and whether it is forbidden.
fn pattern(parameters: &Map<String, Value>) -> Result<(bool, String), Unconvertible> {
    let (negated, operator, pattern) = operator(parameters)?;
    let end = || {
        Err(Unconvertible("whether the last line feed belongs to the message is not documented".to_owned()))
    };
    let contains = match operator {
        "starts_with" => format!("^{}", regex::escape(pattern)),
        "contains" => regex::escape(pattern),
        "ends_with" => return end(),
        "regex" => {
            let Expression { body, start, end: ends, .. } = dialect::expression(pattern, Subject::Text)?;
            if ends {
                return end();
            }
            format!("{}(?:{body})", if start { "^" } else { "" })
        }
        _ => return Err(Unconvertible("the operator is not known here".to_owned())),
    };
    super::usable(&contains)?;
    Ok((negated, format!("{{ target = \"message\", contains = {} }}", string(&contains))))
}

/// The domain of a rule that says where addresses end.
fn domain(parameters: &Map<String, Value>) -> Result<String, Unconvertible> {
    let (negated, operator, pattern) = operator(parameters)?;
    let refused =
        || Unconvertible("only `ends_with` an `@` and a domain is the same as `email-domain`".to_owned());
    let domain = match operator {
        "ends_with" => pattern.strip_prefix('@').map(str::to_owned),
        "regex" => super::domain_of(pattern),
        _ => None,
    };
    domain.filter(|domain| !negated && super::is_domain(domain)).ok_or_else(refused)
}

/// A pattern for full names of refs.
fn name(parameters: &Map<String, Value>, hierarchy: &str) -> Result<String, Unconvertible> {
    let (negated, operator, pattern) = operator(parameters)?;
    if negated {
        return Err(Unconvertible("names that must not match: `ref-name` lists those that may".to_owned()));
    }
    let literal = regex::escape(pattern);
    let rest = match operator {
        "starts_with" => format!("{literal}.*"),
        "ends_with" => format!(".*{literal}"),
        "contains" => format!(".*{literal}.*"),
        "regex" => dialect::name_search(pattern)?,
        _ => return Err(Unconvertible("the operator is not known here".to_owned())),
    };
    super::usable_ref(&format!("re:{}(?:{rest})", regex::escape(hierarchy)))
}

fn bypasses(document: &mut Document, source: &Source, made: &Ruleset) {
    let actors = source.bypass_actors.as_deref().unwrap_or_default();
    if actors.is_empty() || made.rules.is_empty() {
        return;
    }
    for actor in actors {
        let text = |key: &str| actor.get(key).map_or("-".to_owned(), |value| value.to_string());
        let what = format!(
            "a bypass of ruleset \"{}\" for {} {}, {}",
            source.name,
            text("actor_type"),
            text("actor_id"),
            text("bypass_mode")
        );
        document.note(
            Weight::Stricter,
            &what,
            "nobody is granted a bypass by an import: write one with who it is for",
        );
    }
    let rules: Vec<&str> = made.rules.iter().map(|(name, _)| *name).collect();
    super::bypass_form(document, &rules);
}
