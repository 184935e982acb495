//! Push rules, protected branches and protected tags of GitLab, as its API writes them.

use super::dialect::{self, Expression, Subject, Unconvertible};
use super::document::{Document, Ruleset, list, shown, string};
use super::{ImportError, Weight};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

pub(super) fn read(
    document: &mut Document,
    source: &str,
    repositories: &[String],
) -> Result<(), ImportError> {
    if repositories.is_empty() {
        return Err(ImportError::whole(
            "these files do not say which repositories they are about: say it with --repositories",
        ));
    }
    any(document, &super::json::parse(source)?, repositories)
}

fn any(document: &mut Document, value: &Value, repositories: &[String]) -> Result<(), ImportError> {
    let unknown = "it is neither push rules nor a list of protected branches or tags";
    let wrapped = ["push_rule", "protected_branches", "protected_tags"];
    match value {
        Value::Object(one) if wrapped.iter().any(|key| one.contains_key(*key)) => {
            if let Some(other) = one.keys().find(|key| !wrapped.contains(&key.as_str())) {
                return Err(ImportError::whole(&format!(
                    "`{other}` beside push_rule, protected_branches, protected_tags"
                )));
            }
            let parts = one.values().filter(|value| !value.is_null());
            parts
                .filter(|value| **value != Value::Array(Vec::new()))
                .try_for_each(|value| any(document, value, repositories))
        }
        Value::Object(one) if one.contains_key("push_access_levels") => branch(document, one, repositories),
        Value::Object(one) if one.contains_key("create_access_levels") => tag(document, one, repositories),
        Value::Object(one) if RULES.iter().any(|rule| one.contains_key(*rule)) => {
            push_rule(document, one, repositories);
            Ok(())
        }
        Value::Array(all) => {
            overlaps(document, all);
            for one in all {
                match one {
                    Value::Object(one) if one.contains_key("push_access_levels") => {
                        branch(document, one, repositories)?
                    }
                    Value::Object(one) if one.contains_key("create_access_levels") => {
                        tag(document, one, repositories)?
                    }
                    _ => return Err(ImportError::whole(unknown)),
                }
            }
            Ok(())
        }
        _ => Err(ImportError::whole(unknown)),
    }
}

/// Most protected names that are held against each other.
const MOST_NAMES: usize = 500;

/// Says which protected names meet: in GitLab the most permissive of them decides, here the strictest.
fn overlaps(document: &mut Document, all: &[Value]) {
    let why =
        "in GitLab the most permissive of them decides, here all of them hold: leave out what is not meant";
    let name = |one: &'_ Value| one.get("name").and_then(Value::as_str).map(str::to_owned);
    let names: Vec<String> = all.iter().filter_map(name).collect();
    if names.len() > MOST_NAMES {
        document.note(Weight::Stricter, "protected names that may be for the same refs", why);
        return;
    }
    for (at, one) in names.iter().enumerate() {
        let other = names[..at].iter().find(|other| meet(one.as_bytes(), other.as_bytes()));
        if let Some(other) = other {
            document.note(Weight::Stricter, &format!("refs that both \"{other}\" and \"{one}\" match"), why);
        }
    }
}

/// Whether there is a name that both of two wildcards match, `*` being anything.
fn meet(one: &[u8], other: &[u8]) -> bool {
    // Which beginnings of `other` can be what the beginning of `one` so far is.
    let star = |pattern: &[u8], at: usize| at > 0 && pattern.get(at - 1) == Some(&b'*');
    let mut row: Vec<bool> =
        (0..=other.len()).map(|at| other[..at].iter().all(|byte| *byte == b'*')).collect();
    for at in 1..=one.len() {
        let mut next = vec![row[0] && star(one, at); other.len() + 1];
        for to in 1..=other.len() {
            next[to] = match (star(one, at), star(other, to)) {
                (true, _) | (_, true) => row[to] || next[to - 1] || row[to - 1],
                _ => one[at - 1] == other[to - 1] && row[to - 1],
            };
        }
        row = next;
    }
    row[other.len()]
}

/// What push rules are told by.
const RULES: &[&str] =
    &["commit_message_regex", "deny_delete_tag", "reject_unsigned_commits", "max_file_size"];

/// Keys that say nothing about what is refused.
const ASIDE: &[&str] = &["id", "project_id", "group_id", "created_at", "updated_at", "is_sample"];

fn push_rule(document: &mut Document, one: &Object, repositories: &[String]) {
    document.gap();
    document.comment("push rules, which GitLab asks of every branch and tag");
    let set = |repositories: &[String], refs: &str| Ruleset {
        repositories: repositories.to_vec(),
        refs: vec![refs.to_owned()],
        enforcement: "enforce",
        ..Ruleset::default()
    };
    let (mut all, mut branches, mut tags) =
        (set(repositories, "~ALL"), set(repositories, "refs/heads/**"), set(repositories, "refs/tags/**"));
    let (mut required, mut forbidden) = (Vec::new(), Vec::new());
    for (key, value) in one {
        let off = match value {
            Value::Null => true,
            Value::Bool(on) => !on,
            Value::String(text) => text.is_empty(),
            Value::Number(number) => number.as_f64() == Some(0.0),
            _ => false,
        };
        if off || ASIDE.contains(&key.as_str()) {
            continue;
        }
        let text = value.as_str();
        let on = *value == Value::Bool(true);
        let outcome: Result<(), Unconvertible> = match (key.as_str(), text) {
            ("commit_message_regex", Some(text)) => message(text).map(|made| required.push(made)),
            ("commit_message_negative_regex", Some(text)) => message(text).map(|made| forbidden.push(made)),
            ("branch_name_regex", Some(text)) => branch_names(text).map(|pattern| {
                branches.rule("ref-name", format!("{{ allow = {} }}", list([pattern.as_str(), "~DEFAULT"])))
            }),
            ("author_email_regex", Some(text)) => {
                match super::domain_of(text).filter(|domain| super::is_domain(domain)) {
                    Some(domain) => {
                        let who = list(["author", "committer"]);
                        all.rule("email-domain", format!("{{ domains = {}, who = {who} }}", list([domain])));
                        Ok(())
                    }
                    None => Err(Unconvertible(
                        "only an `@`, a domain and `$` is the same as `email-domain`".to_owned(),
                    )),
                }
            }
            ("deny_delete_tag", _) if on => {
                tags.rule("ref-deletion", "true");
                Ok(())
            }
            ("member_check", _) if on => {
                all.rule("unknown-identity", "{ who = [\"author\", \"committer\"] }");
                Ok(())
            }
            ("reject_unsigned_commits", _) if on => {
                all.rule("unsigned-commit", "true");
                Ok(())
            }
            ("reject_non_dco_commits", _) if on => {
                all.rule("missing-signoff", "true");
                Ok(())
            }
            ("commit_committer_check", _) if on => {
                all.rule("pusher-mismatch", "{ match = \"committer\" }");
                Ok(())
            }
            ("prevent_secrets", _) => {
                Err(Unconvertible("contents and names of secrets are not looked for".to_owned()))
            }
            ("commit_committer_name_check", _) => {
                Err(Unconvertible("names are compared with nothing here, addresses are".to_owned()))
            }
            (key, _) => match super::paths::gitlab(key, value) {
                Some(Ok((rule, value))) => {
                    all.rule(rule, value);
                    Ok(())
                }
                Some(Err(why)) => Err(Unconvertible(why)),
                None => Err(Unconvertible("there is no such rule here".to_owned())),
            },
        };
        if let Err(why) = outcome {
            document.note(Weight::Weaker, &format!("push rule {key} = {value}"), &why.0);
        }
    }
    let mut parts = Vec::new();
    for (name, patterns) in [("required", required), ("forbidden", forbidden)] {
        if !patterns.is_empty() {
            parts.push(format!("{name} = [{}]", patterns.join(", ")));
        }
    }
    if !parts.is_empty() {
        all.rule("message-format", format!("{{ {} }}", parts.join(", ")));
    }
    if all.rules.iter().any(|(name, _)| *name == "pusher-mismatch") {
        all.about.push("needs `server = \"gitlab\"` in [repositories]".to_owned());
    }
    if branches.rules.iter().any(|(name, _)| *name == "ref-name") {
        branches.about.push("ref-name judges new refs: what is there already stays".to_owned());
    }
    for (name, set) in [("push-rules", all), ("push-rules-branches", branches), ("push-rules-tags", tags)] {
        if !set.rules.is_empty() {
            document.ruleset(name, &set);
        }
    }
}

/// A pattern for messages: GitLab searches it in the whole of the message, line by line for `^` and `$`.
fn message(pattern: &str) -> Result<String, Unconvertible> {
    let Expression { body, start, end, .. } = dialect::expression(pattern, Subject::Text)?;
    let (before, after) = (if start { "^" } else { "" }, if end { "$" } else { "" });
    let lines = if start || end { "(?m)" } else { "" };
    let contains = format!("{lines}{before}(?:{body}){after}");
    super::usable(&contains)?;
    Ok(format!("{{ target = \"message\", contains = {} }}", string(&contains)))
}

fn branch_names(pattern: &str) -> Result<String, Unconvertible> {
    super::usable_ref(&format!("re:refs/heads/(?:{})", dialect::name_search(pattern)?))
}

/// Whom a list of access levels lets do something.
struct Who {
    /// Selectors.
    selectors: Vec<String>,
    /// Whoever cannot be named, for a note.
    unnamed: Vec<String>,
}

fn who(levels: &Value) -> Result<Who, ImportError> {
    let wrong = || ImportError::whole("a list of access levels is not understood");
    let mut made = Who { selectors: Vec::new(), unnamed: Vec::new() };
    for level in levels.as_array().ok_or_else(wrong)? {
        let level = level.as_object().ok_or_else(wrong)?;
        let some = |key: &str| level.get(key).filter(|value| !value.is_null());
        let described = some("access_level_description").and_then(Value::as_str).unwrap_or("-");
        if let Some((key, id)) = ["user_id", "group_id", "deploy_key_id", "member_role_id"]
            .iter()
            .find_map(|key| some(key).map(|id| (key, id)))
        {
            made.unnamed.push(format!("{key} {id} \"{described}\""));
            continue;
        }
        let roles: &[&str] = match some("access_level").and_then(Value::as_i64).ok_or_else(wrong)? {
            0 => &[],
            30 => &["developers", "maintainers", "owners", "admins"],
            40 => &["maintainers", "owners", "admins"],
            50 => &["owners", "admins"],
            60 => &["admins"],
            other => {
                made.unnamed.push(format!("access_level {other} \"{described}\""));
                continue;
            }
        };
        made.selectors.extend(roles.iter().map(|role| format!("group:{role}")));
    }
    made.selectors.sort();
    made.selectors.dedup();
    Ok(made)
}

/// `unauthorized-pusher` for these actions, or `locked-ref` where nobody is left.
fn actors(document: &mut Document, what: &str, made: &mut Ruleset, who: &Who, actions: &[&str]) {
    for one in &who.unnamed {
        let why = match who.selectors.is_empty() {
            false => "the file does not say who that is in the keyring: add them to `unauthorized-pusher`",
            true => {
                "the file does not say who that is in the keyring: write `unauthorized-pusher` with them, in place of \
                 `locked-ref`"
            }
        };
        document.note(Weight::Stricter, &format!("{what} for {one}"), why);
    }
    if who.selectors.is_empty() {
        made.rule("locked-ref", "true");
        return;
    }
    made.about.push(
        "needs `server = \"gitlab\"` in [repositories], and groups by the names of GitLab's roles".to_owned(),
    );
    let parts: Vec<String> =
        actions.iter().map(|action| format!("{action} = {}", list(&who.selectors))).collect();
    made.rule("unauthorized-pusher", format!("{{ {} }}", parts.join(", ")));
}

fn named(
    document: &mut Document,
    one: &Object,
    hierarchy: &str,
    kind: &str,
) -> Result<Option<(String, String)>, ImportError> {
    let wrong = || ImportError::whole(&format!("a protected {kind} has no name"));
    let name = one.get("name").and_then(Value::as_str).ok_or_else(wrong)?;
    document.gap();
    document.comment(&format!("protected {kind} \"{}\"", shown(name)));
    match dialect::gitlab_wildcard(name, hierarchy).and_then(|pattern| super::usable_ref(&pattern)) {
        Ok(pattern) => Ok(Some((name.to_owned(), pattern))),
        Err(why) => {
            document.note(Weight::Weaker, &format!("the whole protected {kind} \"{name}\""), &why.0);
            Ok(None)
        }
    }
}

fn branch(document: &mut Document, one: &Object, repositories: &[String]) -> Result<(), ImportError> {
    let Some((name, pattern)) = named(document, one, "refs/heads/", "branch")? else { return Ok(()) };
    let mut made = Ruleset {
        repositories: repositories.to_vec(),
        refs: vec![pattern],
        enforcement: "enforce",
        ..Ruleset::default()
    };
    let pushers = who(&one["push_access_levels"])?;
    let what = format!("pushing to \"{name}\"");
    let force = one.get("allow_force_push") == Some(&Value::Bool(true));
    let actions: &[&str] = if force { &["create", "update", "force"] } else { &["create", "update"] };
    actors(document, &what, &mut made, &pushers, actions);
    if !force {
        made.rule("force-push", "true");
    }
    // In GitLab a protected branch is deleted by its web interface and its API only.
    made.rule("ref-deletion", "true");
    let empty = Value::Array(Vec::new());
    let mergers = who(one.get("merge_access_levels").unwrap_or(&empty))?;
    let more: Vec<&String> =
        mergers.selectors.iter().filter(|one| !pushers.selectors.contains(one)).collect();
    if !more.is_empty() || !mergers.unnamed.is_empty() {
        let whom: Vec<&str> = more.into_iter().chain(&mergers.unnamed).map(String::as_str).collect();
        let why =
            "a merge of theirs comes in as a push of theirs: add them to `unauthorized-pusher` if they may";
        document.note(Weight::Stricter, &format!("merging into \"{name}\" for {}", whom.join(", ")), why);
    }
    if one.get("code_owner_approval_required") == Some(&Value::Bool(true)) {
        let why = "approvals are the forge's: a push has none";
        document.note(Weight::Weaker, &format!("code_owner_approval_required of \"{name}\""), why);
    }
    unknown(
        document,
        one,
        &name,
        &["push_access_levels", "merge_access_levels", "allow_force_push", "code_owner_approval_required"],
    );
    document.ruleset(&format!("branch-{name}"), &made);
    Ok(())
}

fn tag(document: &mut Document, one: &Object, repositories: &[String]) -> Result<(), ImportError> {
    let Some((name, pattern)) = named(document, one, "refs/tags/", "tag")? else { return Ok(()) };
    let mut made = Ruleset {
        repositories: repositories.to_vec(),
        refs: vec![pattern],
        enforcement: "enforce",
        ..Ruleset::default()
    };
    let creators = who(&one["create_access_levels"])?;
    actors(document, &format!("creating tag \"{name}\""), &mut made, &creators, &["create"]);
    made.rule("tag-update", "true");
    made.rule("ref-deletion", "true");
    unknown(document, one, &name, &["create_access_levels"]);
    document.ruleset(&format!("tag-{name}"), &made);
    Ok(())
}

/// Settings that nobody here has heard of may refuse something.
fn unknown(document: &mut Document, one: &Object, name: &str, known: &[&str]) {
    const ASIDE: &[&str] = &["id", "name", "unprotect_access_levels", "inherited", "protected_branch_id"];
    for (key, value) in one {
        let off = matches!(value, Value::Null | Value::Bool(false));
        if !off && !known.contains(&key.as_str()) && !ASIDE.contains(&key.as_str()) {
            document.note(
                Weight::Weaker,
                &format!("{key} = {value} of \"{name}\""),
                "there is no such setting here",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_meet_where_one_name_is_of_both() {
        for (one, other, expected) in [
            ("main", "main", true),
            ("main", "mai", false),
            ("*", "main", true),
            ("*", "", true),
            ("", "", true),
            ("a*", "*b", true),
            ("a*", "b*", false),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("*-stable", "production/*", true),
            ("release/*", "rel*/1", true),
            ("x*y*", "*z", true),
            ("**", "a", true),
        ] {
            assert_eq!(meet(one.as_bytes(), other.as_bytes()), expected, "{one} {other}");
            assert_eq!(meet(other.as_bytes(), one.as_bytes()), expected, "{other} {one}");
        }
    }
}
