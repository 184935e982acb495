//! `countersign config import`: what comes of the rules of other systems, and what hostile ones cannot do.

use crate::json;
use crate::support::gate::Gate;
use crate::support::sandbox::{Ran, run};
use crate::support::signers::Signer;
use countersign::import::{Format, Imported, Weight, import};
use countersign::policy::{Pattern, Refs};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// A gate that includes what an import writes.
const INCLUDING: &str = "[policy]\nuncovered = \"accept\"\ninclude = \"rulesets.d/*.toml\"\n";

fn including() -> Gate {
    let gate = Gate::prepared(INCLUDING);
    "server = \"gitolite\"".clone_into(&mut gate.repository_keys.borrow_mut());
    gate.configure(INCLUDING);
    fs::create_dir(gate.home.join("rulesets.d")).unwrap();
    gate
}

/// Imports a source and has the result checked as part of a configuration.
fn imported(gate: &Gate, from: &str, source: &str, more: &[&str]) -> Ran {
    let file = gate.sandbox.path("source");
    fs::write(&file, source).unwrap();
    let to = gate.home.join("rulesets.d/imported.toml");
    let _ = fs::remove_file(&to);
    let output = ["--output", to.to_str().unwrap()];
    let ran =
        gate.program(&[&["config", "import", from, file.to_str().unwrap()], more, &output[..]].concat());
    if ran.code() != Some(2) {
        gate.countersign(&["config", "check"]).ok();
    }
    ran
}

fn result(gate: &Gate) -> String {
    fs::read_to_string(gate.home.join("rulesets.d/imported.toml")).unwrap()
}

const GITHUB: &str = r#"{
  "id": 7, "name": "Main protection", "target": "branch", "source_type": "Repository", "source": "octo/app",
  "enforcement": "active",
  "conditions": { "ref_name": { "include": ["~DEFAULT_BRANCH", "refs/heads/releases/**/*"], "exclude": ["refs/heads/releases/old*"] } },
  "rules": [
    { "type": "deletion" }, { "type": "non_fast_forward" }, { "type": "required_signatures" },
    { "type": "required_linear_history" },
    { "type": "pull_request", "parameters": { "required_approving_review_count": 2 } },
    { "type": "commit_message_pattern", "parameters": { "name": "", "negate": false, "operator": "regex", "pattern": "^[A-Z]+-\\d+: " } },
    { "type": "commit_message_pattern", "parameters": { "negate": true, "operator": "contains", "pattern": "do not merge" } },
    { "type": "commit_author_email_pattern", "parameters": { "negate": false, "operator": "ends_with", "pattern": "@corp.example" } },
    { "type": "branch_name_pattern", "parameters": { "negate": false, "operator": "starts_with", "pattern": "releases/" } }
  ],
  "bypass_actors": [ { "actor_id": 5, "actor_type": "RepositoryRole", "bypass_mode": "always" } ]
}"#;

#[test]
fn a_ruleset_of_github_and_what_has_no_equal() {
    let gate = including();
    let ran = imported(&gate, "github-ruleset", GITHUB, &[]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    let text = result(&gate);
    for line in [
        "name = \"main-protection\"",
        "repositories = [\"octo/app\"]",
        "enforcement = \"enforce\"",
        "ref-deletion = true",
        "force-push = true",
        "unsigned-commit = true",
        "identity-mismatch = { match = [\"committer\"] }",
        "merge-commit = true",
        "email-domain = { domains = [\"corp.example\"], who = \"author\" }",
        "ref-name = { allow = [\"re:refs/heads/(?:releases/.*)\"] }",
    ] {
        assert!(text.lines().any(|one| one == line), "no {line} in\n{text}");
    }
    assert!(text.contains("# not imported: rule pull_request {"), "{text}");
    assert!(
        text.contains("# to fill in: a bypass of ruleset \"Main protection\" for \\\"RepositoryRole\\\" 5")
            || text
                .contains("# to fill in: a bypass of ruleset \"Main protection\" for \"RepositoryRole\" 5"),
        "{text}"
    );
    assert!(
        !text.lines().any(|line| line.starts_with("[[ruleset.bypass")),
        "nobody is granted a bypass\n{text}"
    );
    assert!(ran.stderr.contains("1 parts not imported, 1 to fill in"), "{}", ran.stderr);
    assert!(ran.stderr.contains("not imported: rule pull_request"), "{}", ran.stderr);
    // The API's array of the same; and JSON out.
    let array =
        format!("[{GITHUB}, {}]", GITHUB.replace("Main protection", "Second").replace("active", "evaluate"));
    imported(&gate, "github-ruleset", &array, &[]);
    assert!(result(&gate).contains("enforcement = \"evaluate\""));
    fs::write(gate.sandbox.path("source"), GITHUB).unwrap();
    let file = gate.sandbox.path("source");
    let ran =
        gate.program(&["config", "import", "github-ruleset", file.to_str().unwrap(), "--format", "json"]);
    let document = json(&ran);
    assert_eq!(document["notes"][0]["weight"], "weaker");
    assert_eq!(document["rulesets"], 1);
}

#[test]
fn what_is_imported_refuses_at_a_real_push() {
    let gate = including();
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    gate.trust(&alice, "sre");
    "".clone_into(&mut gate.repository_keys.borrow_mut());
    gate.configure(INCLUDING);
    imported(&gate, "github-ruleset", GITHUB, &[]);
    gate.start();
    let bare = gate.repository("octo/app");
    let work = gate.clone_of(&bare);
    work.commit(None, "whatever");
    let push = work.push(&["HEAD:refs/heads/releases/1/x"]);
    push.assert_refused(&["unsigned-commit", "message-format", "email-domain"]);
    // Excluded, and another repository.
    work.accepted(&["HEAD:refs/heads/releases/older"]);
    let other = gate.clone_of(&gate.repository("octo/other"));
    other.commit(None, "whatever");
    other.accepted(&["HEAD:refs/heads/releases/1"]);
}

#[test]
fn push_rulesets_of_github() {
    let gate = including();
    let source = r#"[{ "name": "files", "target": "push", "source_type": "Organization", "source": "octo", "enforcement": "active",
      "conditions": { "repository_name": { "include": ["app-*"], "exclude": [] } },
      "rules": [
        { "type": "file_path_restriction", "parameters": { "restricted_file_paths": ["secrets/**/*", ".github/*"] } },
        { "type": "file_extension_restriction", "parameters": { "restricted_file_extensions": ["*.exe", "jar"] } },
        { "type": "max_file_size", "parameters": { "max_file_size": 10 } },
        { "type": "max_file_path_length", "parameters": { "max_file_path_length": 200 } } ] }]"#;
    let ran = imported(&gate, "github-ruleset", source, &[]);
    assert_eq!(ran.code(), Some(0), "{}", ran.stderr);
    let text = result(&gate);
    for part in [
        "repositories = [\"octo/app-*\"]",
        "refs = [\"~ALL\"]",
        "changes = [\"add\", \"modify\", \"delete\"]",
        "[\"**/*.exe\", \"**/*.jar\"]",
        "large-file = { max = 10000000 }",
        "path-max = 200",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    // Two rules of one kind both hold.
    assert_eq!(text.matches("[[ruleset]]").count(), 2, "{text}");
}

#[test]
fn a_ruleset_of_github_that_cannot_be_placed_is_not_imported_at_all() {
    let base = |conditions: &str, more: &str| {
        format!(
            r#"{{ "name": "x", "target": "branch", "enforcement": "active", "conditions": {conditions}, "rules": [{{ "type": "deletion" }}] {more} }}"#
        )
    };
    let all = r#"{ "ref_name": { "include": ["~ALL"], "exclude": [] } }"#;
    let said = vec!["octo/app".to_owned()];
    let made =
        |text: String, said: &[String]| import(Format::GithubRuleset, &[text.into_bytes()], said).unwrap();
    let weak = |made: &Imported| made.notes.iter().filter(|note| note.weight == Weight::Weaker).count();
    assert_eq!((made(base(all, ""), &said).rulesets, weak(&made(base(all, ""), &said))), (1, 0));
    for (conditions, more) in [
        (r#"{ "ref_name": { "include": ["refs/heads/[ab]"], "exclude": [] } }"#, ""),
        (r#"{ "ref_name": { "include": ["main"], "exclude": [] } }"#, ""),
        (r#"{ "ref_name": { "include": "~ALL" } }"#, ""),
    ] {
        let made = made(base(conditions, more), &said);
        assert_eq!(made.rulesets, 0, "{conditions}");
        assert!(weak(&made) > 0, "{conditions}");
    }
    // Which repositories, nobody says.
    assert_eq!(made(base(all, ""), &[]).rulesets, 0);
    let by_id = r#"{ "ref_name": { "include": ["~ALL"], "exclude": [] }, "repository_id": { "repository_ids": [1] } }"#;
    assert_eq!(made(base(by_id, ""), &[]).rulesets, 0);
    assert_eq!(made(base(by_id, ""), &said).rulesets, 1);
    // An exclusion that is lost makes it stricter, and is said.
    let excluding = r#"{ "ref_name": { "include": ["~ALL"], "exclude": ["refs/heads/[ab]"] } }"#;
    let excluded = made(base(excluding, ""), &said);
    assert_eq!((excluded.rulesets, weak(&excluded), excluded.notes.len()), (1, 0, 1));
}

const GITLAB: &str = r#"{
  "push_rule": { "id": 1, "project_id": 3, "commit_message_regex": "^[A-Z]+-\\d+", "commit_message_negative_regex": "",
    "branch_name_regex": "^(feature|hotfix)\\/[a-z0-9-]+$", "deny_delete_tag": true, "member_check": true,
    "prevent_secrets": true, "author_email_regex": "@corp\\.example$", "file_name_regex": "(jar|exe)$", "max_file_size": 5,
    "reject_unsigned_commits": true, "reject_non_dco_commits": true, "commit_committer_check": false },
  "protected_branches": [
    { "id": 1, "name": "production/*", "push_access_levels": [{ "access_level": 40, "access_level_description": "Maintainers" },
        { "user_id": 7, "access_level": 40, "access_level_description": "Zoe" }],
      "merge_access_levels": [{ "access_level": 30 }], "allow_force_push": false, "code_owner_approval_required": true },
    { "name": "frozen", "push_access_levels": [{ "access_level": 0 }], "merge_access_levels": [], "allow_force_push": true } ],
  "protected_tags": [ { "name": "v*", "create_access_levels": [{ "access_level": 40 }] } ]
}"#;

#[test]
fn push_rules_and_protected_refs_of_gitlab() {
    let gate = including();
    let ran = imported(&gate, "gitlab", GITLAB, &["--repositories", "group/project"]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    let text = result(&gate);
    for part in [
        "contains = \"(?m)^(?:[A-Z]+\\\\-[0-9]+)\"",
        "unknown-identity = { who = [\"author\", \"committer\"] }",
        "email-domain = { domains = [\"corp.example\"], who = [\"author\", \"committer\"] }",
        "large-file = { max = \"5 MiB\" }",
        "changes = [\"add\"]",
        "missing-signoff = true",
        // Their star crosses slashes.
        "refs = [\"re:refs/heads/production/.*\"]",
        "create = [\"group:admins\", \"group:maintainers\", \"group:owners\"]",
        "refs = [\"re:refs/tags/v.*\"]",
        "tag-update = true",
        "# not imported: push rule prevent_secrets = true",
        "# not imported: code_owner_approval_required of \"production/*\"",
        "# to fill in: pushing to \"production/*\" for user_id 7 \"Zoe\"",
        "# to fill in: merging into \"production/*\" for group:developers",
        "name = \"branch-frozen\"",
        "locked-ref = true",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
    let two = |first: &str| {
        let branch = |name: &str, level: u8| serde_json::json!({ "name": name, "push_access_levels": [{ "access_level": level }] });
        let source = serde_json::json!([branch(first, 30), branch("main", 0)]).to_string();
        import(Format::Gitlab, &[source.into_bytes()], &["x".to_owned()]).unwrap().notes
    };
    // There developers may push to `main` by the first of them.
    let notes = two("m*");
    assert!(notes.len() == 1 && notes[0].weight == Weight::Stricter, "{notes:?}");
    assert_eq!(notes[0].what, "refs that both \"m*\" and \"main\" match");
    assert!(two("x*").is_empty());
    let ran = imported(&gate, "gitlab", GITLAB, &[]);
    assert_eq!(ran.code(), Some(2));
    assert!(ran.stderr.contains("--repositories"), "{}", ran.stderr);
}

const GITOLITE: &str = "
# people
@dev   = alice bob   # two of them
@ops   = carol @dev
include \"more.conf\"
repo app
    -    master$     = bob
    RW+  master      = @ops
    RW   refs/tags/v = @dev
    -    refs/tags/v = @all
    RW+CD            = carol
    -    VREF/COUNT/9 = @dev
    config hooks.x   = y
repo open
    RW+ = @all
repo dead
    R = @all
";

#[test]
fn gitolites_order_becomes_rulesets_that_hold_at_once() {
    let gate = including();
    let ran = imported(&gate, "gitolite", GITOLITE, &[]);
    assert_eq!(ran.code(), Some(1), "{}", ran.stderr);
    let text = result(&gate);
    for part in [
        "# not imported: include \\\"more.conf\\\"",
        "# not imported: - VREF/COUNT/9 = @dev",
        "# group:ops is @ops: carol alice bob",
        "# everybody may do everything to refs/**",
        "locked-ref = true",
    ] {
        let part = part.replace("\\\"", "\"");
        assert!(
            text.contains(&part) || text.split_whitespace().collect::<Vec<_>>().join(" ").contains(&part),
            "no {part} in\n{text}"
        );
    }
    let (allows, strict) = judge(&import(Format::Gitolite, &[GITOLITE.into()], &[]).unwrap(), GITOLITE);
    assert!(!strict);
    // `master` is a prefix to gitolite, `master$` is not.
    assert!(!allows("app", "refs/heads/master", "bob", "update"));
    assert!(allows("app", "refs/heads/master-evil", "bob", "update"));
    assert!(allows("app", "refs/heads/master", "alice", "force"));
    assert!(!allows("app", "refs/heads/other", "alice", "update"));
    assert!(allows("app", "refs/tags/x", "carol", "delete"));
    // Moving a tag is a rewrite, whatever it follows.
    assert!(!allows("app", "refs/tags/v1", "alice", "update"));
    assert!(!allows("dead", "refs/heads/x", "alice", "create"));
    assert!(allows("open", "refs/heads/x", "mallory", "force"));
}

/// Who may do what by the rulesets of an import, as `(repository, ref, user, action)`; and whether they are stricter
/// than the source in places that are said.
fn judge(imported: &Imported, conf: &str) -> (impl Fn(&str, &str, &str, &str) -> bool + use<>, bool) {
    let toml: toml::Table = imported.toml.parse().unwrap();
    let groups = groups(conf);
    let strict = imported.notes.iter().any(|note| note.weight == Weight::Stricter);
    let strings = |value: &toml::Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let mut rulesets = Vec::new();
    for ruleset in toml.get("ruleset").into_iter().flat_map(|all| all.as_array().unwrap()) {
        let repositories: Vec<Pattern> =
            strings(&ruleset["repositories"]).iter().map(|one| Pattern::new(one).unwrap()).collect();
        let refs = Refs::new(strings(&ruleset["refs"]).iter().map(String::as_str)).unwrap();
        let rules = ruleset["refuse"].as_table().unwrap();
        let listed: BTreeMap<String, Vec<String>> = match rules.get("unauthorized-pusher") {
            Some(lists) => {
                lists.as_table().unwrap().iter().map(|(key, value)| (key.clone(), strings(value))).collect()
            }
            None => {
                assert!(rules.contains_key("locked-ref"), "{rules:?}");
                BTreeMap::new()
            }
        };
        rulesets.push((repositories, refs, listed));
    }
    let allows = move |repository: &str, reference: &str, user: &str, action: &str| {
        let name = countersign::domain::RefName::parse(reference.as_bytes()).unwrap();
        rulesets.iter().all(|(repositories, refs, listed)| {
            let here = repositories.iter().any(|one| one.is_match(repository.as_bytes()));
            if !here || !refs.is_match(&name, None) {
                return true;
            }
            let listed = listed.get(action).map_or(&[][..], Vec::as_slice);
            listed.iter().any(|selector| match selector.split_once(':').unwrap() {
                ("person", name) => name == user,
                ("group", name) => groups.get(name).is_some_and(|members| members.contains(user)),
                ("kind", kind) => kind == "person",
                _ => false,
            })
        })
    };
    (allows, strict)
}

/// The groups of a conf without groups that hold each other, by a reading of its own.
fn groups(conf: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut made: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in conf.lines().filter(|line| line.starts_with('@')) {
        let line = line.split('#').next().unwrap();
        let (name, members) = line.split_once('=').unwrap();
        for member in members.split_whitespace() {
            let more = match member.strip_prefix('@') {
                Some(group) => made.get(group).cloned().unwrap_or_default(),
                None => BTreeSet::from([member.to_owned()]),
            };
            made.entry(name.trim()[1..].to_owned()).or_default().extend(more);
        }
    }
    made
}

/// One rule of a generated conf: letters, an expression as written, whom it is for.
type Line = (&'static str, &'static str, &'static str);

/// gitolite's own way: the first rule that is for the user and matches either denies or, where it has the letter,
/// allows; the end denies.
fn gitolite_allows(
    lines: &[Line],
    groups: &BTreeMap<String, BTreeSet<String>>,
    reference: &str,
    user: &str,
    action: &str,
) -> bool {
    let separate = |letter: char| lines.iter().any(|(perm, ..)| perm.contains(letter));
    let letter = match action {
        "create" if separate('C') => 'C',
        "delete" if separate('D') => 'D',
        "delete" | "force" => '+',
        "update" if reference.starts_with("refs/tags/") => '+',
        _ => 'W',
    };
    for (perm, refex, who) in lines {
        let full = match *refex {
            "" => "refs/.*".to_owned(),
            full if full.starts_with("refs/") => full.to_owned(),
            short => format!("refs/heads/{short}"),
        };
        let for_user = match *who {
            "@all" => true,
            group if group.starts_with('@') => {
                groups.get(&group[1..]).is_some_and(|members| members.contains(user))
            }
            name => name == user,
        };
        if !for_user || !expression(&full).is_match(reference) {
            continue;
        }
        if *perm == "-" {
            return false;
        }
        if perm.contains(letter) {
            return true;
        }
    }
    false
}

/// Anchored at the start, and made once.
fn expression(full: &str) -> regex::Regex {
    thread_local! {
        static MADE: std::cell::RefCell<BTreeMap<String, regex::Regex>> = const { std::cell::RefCell::new(BTreeMap::new()) };
    }
    MADE.with_borrow_mut(|made| {
        let new = || regex::Regex::new(&format!("^{full}")).unwrap();
        made.entry(full.to_owned()).or_insert_with(new).clone()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn who_may_do_what_is_as_gitolite_has_it(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec!["-", "RW", "RW+", "RWC", "RWD", "RW+CD", "RWCD", "R"]),
                prop::sample::select(vec![
                    "", "master", "master$", "master-", "release/", "release/[0-9]+$", "refs/tags/", "refs/tags/v",
                    "refs/heads/", "refs/", "wip.*", "dev/[a-z]", "hot/(a|b)$",
                ]),
                prop::sample::select(vec!["a", "b", "c", "@g", "@h", "@all"]),
            ),
            1..7,
        ),
    ) {
        let groups_text = "@g = a b\n@h = @g c\n";
        let mut conf = format!("{groups_text}repo app\n");
        for (perm, refex, who) in &lines {
            conf.push_str(&format!("  {perm} {refex} = {who}\n"));
        }
        let made = import(Format::Gitolite, &[conf.clone().into_bytes()], &[]).unwrap();
        // Nothing of it has no equal, so nothing may be weaker, and what is stricter is said.
        prop_assert!(made.notes.iter().all(|note| note.weight == Weight::Stricter), "{conf}{:?}", made.notes);
        let (allows, strict) = judge(&made, &conf);
        let groups = groups(&conf);
        let own: Vec<Line> = lines.clone();
        for reference in [
            "refs/heads/master", "refs/heads/master-evil", "refs/heads/release/1", "refs/heads/release/x", "refs/heads/wip",
            "refs/heads/x", "refs/tags/v1", "refs/tags/x", "refs/notes/n", "refs/heads/dev/a", "refs/heads/dev/1", "refs/heads/hot/a",
        ] {
            for user in ["a", "b", "c", "zed"] {
                for action in ["create", "update", "force", "delete"] {
                    let ours = allows("app", reference, user, action);
                    let theirs = gitolite_allows(&own, &groups, reference, user, action);
                    let fits = ours == theirs || (strict && theirs);
                    prop_assert!(fits, "{user} {action} {reference}: ours {ours}, theirs {theirs}\n{conf}\n{}", made.toml);
                }
            }
        }
    }

    #[test]
    fn hostile_text_never_breaks_out_of_a_comment_or_a_string(
        text in prop::collection::vec(
            prop_oneof![
                any::<char>().prop_map(|c| c.to_string()),
                prop::sample::select(vec![
                    "\n", "\r", "\"", "'", "\"\"\"", "'''", "\\", "\\\"", "]", "#", "\n[[ruleset]]\n", "\n[[ruleset.bypass]]\nwho=[\"kind:person\"]\n",
                    "\u{2028}", "\u{85}", "\u{0}", "\u{7f}", "\u{202e}", "\\u000a", "]\nforce-push = false\n", "*", "refs/heads/",
                ]).prop_map(str::to_owned),
            ],
            0..12,
        ).prop_map(|parts| parts.concat()),
        which in 0..6_usize,
    ) {
        let said = vec!["octo/app".to_owned()];
        let text = text.as_str();
        let with = |place: usize| if place == which { text } else { "plain" };
        let github = serde_json::json!({
            "name": with(0), "target": "branch", "source_type": "Repository", "source": with(1), "enforcement": "active",
            "conditions": { "ref_name": { "include": ["~ALL", format!("refs/heads/{}", with(2))], "exclude": [format!("refs/heads/{}", with(3))] } },
            "rules": [
                { "type": "deletion" }, { "type": with(4), "parameters": { "x": with(4) } },
                { "type": "commit_message_pattern", "parameters": { "operator": "contains", "pattern": with(5) } },
                { "type": "branch_name_pattern", "parameters": { "operator": "ends_with", "pattern": with(5) } },
            ],
            "bypass_actors": [{ "actor_type": with(0), "actor_id": with(1), "bypass_mode": with(2) }],
        });
        let gitlab = serde_json::json!({
            "push_rule": { "deny_delete_tag": true, "commit_message_regex": with(0), "branch_name_regex": with(1), "file_name_regex": with(5), "other": with(2) },
            "protected_branches": [{
                "name": with(3), "allow_force_push": false,
                "push_access_levels": [{ "user_id": 1, "access_level_description": with(4) }, { "access_level": 30 }], "x": with(5),
            }],
        });
        for (format, source) in [(Format::GithubRuleset, github), (Format::Gitlab, gitlab)] {
            let made = import(format, &[source.to_string().into_bytes()], &said).unwrap();
            well_formed(&made, &said)?;
        }
        // gitolite.conf is text itself: it is read, or refused with a line.
        let conf = format!("@g = a\nrepo app\n RW+ {} = a\n RW = a {}\n config x = {}\n", with(0), with(1), with(2));
        match import(Format::Gitolite, &[conf.clone().into_bytes()], &[]) {
            Ok(made) => well_formed(&made, &["app".to_owned()])?,
            Err((_, error)) => prop_assert!(error.line > 0, "{error}"),
        }
        // Whatever it is, nothing panics.
        for format in [Format::GithubRuleset, Format::Gitlab, Format::Gitolite] {
            let _ = import(format, &[text.as_bytes().to_vec()], &said);
            let _ = import(format, &[text.as_bytes().to_vec()], &[]);
        }
    }
}

/// It is TOML, of rulesets alone, none of which has anything that was not meant; and every other line is a comment.
fn well_formed(made: &Imported, repositories: &[String]) -> Result<(), TestCaseError> {
    let table: toml::Table =
        made.toml.parse().map_err(|e| TestCaseError::fail(format!("{e}\n{}", made.toml)))?;
    prop_assert!(table.keys().all(|key| key == "ruleset"), "{}", made.toml);
    let rulesets = table.get("ruleset").map_or(0, |all| all.as_array().unwrap().len());
    prop_assert_eq!(rulesets, made.rulesets);
    for ruleset in table.get("ruleset").into_iter().flat_map(|all| all.as_array().unwrap()) {
        let keys: Vec<&String> = ruleset.as_table().unwrap().keys().collect();
        prop_assert_eq!(
            keys,
            ["enforcement", "name", "refs", "refuse", "repositories"].iter().collect::<Vec<_>>()
        );
        prop_assert_eq!(ruleset["repositories"].as_array().unwrap().len(), repositories.len());
        prop_assert!(
            ruleset["refuse"].as_table().unwrap().values().all(|value| *value != toml::Value::Boolean(false))
        );
    }
    for line in made.toml.lines().filter(|line| line.starts_with('#')) {
        prop_assert!(
            !line.chars().any(|c| c.is_control() || "\u{2028}\u{2029}\u{202e}\u{85}".contains(c)),
            "{line:?}"
        );
    }
    for note in &made.notes {
        prop_assert!(!note.what.chars().chain(note.why.chars()).any(char::is_control));
    }
    Ok(())
}

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    let gate = including();
    let said = ["--repositories", "x"];
    for (from, source, parts) in [
        ("github-ruleset", "{\n \"name\": ]", &["line 2, column 10"][..]),
        (
            "github-ruleset",
            "{\"name\": \"x\", \"enforcement\": 3, \"rules\": []}",
            &["line 1, column 30", "expected a string"],
        ),
        (
            "github-ruleset",
            "{\"name\": \"a\",\n\"name\": \"b\"}",
            &["line 2", "the key `name` is there twice"],
        ),
        (
            "github-ruleset",
            "{\"name\": \"x\", \"enforcement\": \"active\"}",
            &["has no `rules`", "GET /repos/OWNER/REPO/rulesets/ID"],
        ),
        ("github-ruleset", "[]", &["no ruleset"]),
        ("github-ruleset", "[{\"type\": \"deletion\", \"ruleset_id\": 3}]", &["rules of one branch"]),
        ("gitlab", "{\"x\": 1}", &["neither push rules"]),
        ("gitlab", "[1]", &["neither push rules"]),
        ("gitlab", "{\"name\": \"main\", \"push_access_levels\": 3}", &["access levels"]),
        ("gitolite", "repo a\n RW+ = \n", &["line 2", "a rule for nobody"]),
        ("gitolite", "RW+ = a\n", &["line 1", "before the first `repo`"]),
        ("gitolite", "repo a\n RW+ = a \\\n b\n", &["line 2", "join them"]),
        ("gitolite", "repo a\n RWX = a\n", &["line 2", "not understood"]),
        ("gitolite", "repo a\n RW+ = a\u{1b}b\n", &["line 2", "control character"]),
    ] {
        let more: &[&str] = if from == "gitolite" { &[] } else { &said };
        let ran = imported(&gate, from, source, more);
        assert_eq!(ran.code(), Some(2), "{source} {}", ran.stderr);
        for part in parts {
            assert!(ran.stderr.contains(part), "no {part:?} in {:?} for {source}", ran.stderr);
        }
        assert!(ran.stderr.contains("source: "), "names the file: {}", ran.stderr);
        assert!(!gate.home.join("rulesets.d/imported.toml").exists());
    }
    let file = gate.sandbox.path("source");
    fs::write(&file, b"{\n\xff").unwrap();
    let ran = gate.program(&["config", "import", "gitlab", file.to_str().unwrap(), "--repositories", "x"]);
    assert_eq!(ran.code(), Some(2));
    assert!(ran.stderr.contains("line 2, column 1: it is not UTF-8"), "{}", ran.stderr);
    let deep = "[".repeat(100_000);
    assert!(import(Format::GithubRuleset, &[deep.into_bytes()], &[]).is_err());
    // What is there already is not written over, and standard input is read.
    fs::write(&file, "repo a\n RW+ = alice\n").unwrap();
    let ran = gate.program(&[
        "config",
        "import",
        "gitolite",
        file.to_str().unwrap(),
        "--output",
        file.to_str().unwrap(),
    ]);
    assert_eq!(ran.code(), Some(2), "{}", ran.stderr);
    let mut command = gate.sandbox.command(crate::support::gate::PROGRAM, gate.sandbox.root());
    command.args(["config", "import", "gitolite", "-"]);
    let ran = run(command, b"repo a\n RW+ = alice\n").ok();
    assert!(ran.stdout.contains("person:alice"), "{}", ran.stdout);
}

#[test]
fn repositories_that_other_blocks_may_name_as_well_are_said() {
    let made = |conf: &str| import(Format::Gitolite, &[conf.into()], &[]).unwrap();
    let weak = |made: &Imported| made.notes.iter().filter(|note| note.weight == Weight::Weaker).count();
    let alone = made("repo @all\n RW+ = alice\n");
    assert!(alone.toml.contains("repositories = [\"**\"]"), "{}", alone.toml);
    assert_eq!(weak(&alone), 0);
    // The admins may push to app, too; which other repositories there are, nobody says.
    let both = made("repo @all\n RW+ = admin\nrepo app\n RW+ = alice\n");
    let (allows, _) = judge(&both, "");
    assert!(
        allows("app", "refs/heads/x", "admin", "update") && allows("app", "refs/heads/x", "alice", "update")
    );
    assert!(!allows("app", "refs/heads/x", "bob", "update"));
    assert_eq!(weak(&both), 1, "{}", both.toml);
    let wild = made("repo team/..*\n RW+ = alice\nrepo app\n RW+ = bob\n");
    let (allows, _) = judge(&wild, "");
    assert!(
        allows("team/x/y", "refs/heads/x", "alice", "update")
            && !allows("team/x", "refs/heads/x", "bob", "update")
    );
    assert_eq!(weak(&wild), 0, "{}", wild.toml);
    for lost in [
        "repo u/CREATOR/[a-z]+\n RW+ = alice\n",
        "repo @none\n RW = a\n",
        "repo a\n RW+ x(?i)y = a\n",
        "repo a\n RW+ v[0-9] = a\n - v[1-3] = b\n",
        "repo a\n RW+ x|y = a\n",
        "repo a|b+\n RW+ = a\n",
    ] {
        assert!(weak(&made(lost)) > 0, "{lost}");
    }
}

/// What gitolite makes of a file that this has to say something about, where it cannot do the same.
const ODD: &str = "\
repo gitolite-admin
    RW+ = admin
@everyone = @all
@important = master$ QA_done
@inner = alice
@outer = @inner bob
@inner = late
repo foo
    -   @important = bob
    RW+ = @all
repo everyone
    RW+ = @everyone
    RW  notes = bob
repo dot.git
    RW+ = @outer
repo denied
    - = @outer
    RW+=late
repo tight
    RW+ master=alice
repo letter
    option DELETE_IS_D = 1
    RW+ = alice
repo path
    - NAME/secret = bob
    RW+ = bob
repo own
    RW+ personal/USER/ = @all
    -   personal/ = @all
    RW+ = @all
repo not-own
    -   personal/USER/ = @all
    RW+ = @all
";

#[test]
fn what_a_real_gitolite_denies_is_denied_or_said() {
    let gate = including();
    let gitolite = |arguments: &[&str]| {
        let mut command = gate.sandbox.command("gitolite", gate.sandbox.root());
        command.args(arguments);
        run(command, b"")
    };
    gitolite(&["setup", "-a", "admin"]).ok();
    fs::write(gate.sandbox.path("home/.gitolite/conf/gitolite.conf"), ODD).unwrap();
    gitolite(&["compile"]).ok();
    let made = import(Format::Gitolite, &[ODD.into()], &[]).unwrap();
    let (allows, _) = judge(&made, ODD);
    // Who is weaker or stricter than there, and what says so.
    let said = |repository: &str, weight: Weight| {
        let of = match repository {
            "own" | "not-own" => "personal/USER/` of own",
            // Everybody but some: who is not named.
            "foo" => "whoever is not named",
            _ => return false,
        };
        let of = of.replace(" of own", &format!(" of {repository}"));
        made.notes.iter().any(|note| note.weight == weight && note.what.contains(&of))
    };
    for (repository, users, references) in [
        ("foo", &["alice", "bob", "zed"][..], &["master", "QA_done-2", "x"][..]),
        ("everyone", &["alice", "bob"], &["x", "notes"]),
        ("dot", &["alice", "late"], &["x"]),
        ("denied", &["alice", "late", "zed"], &["x"]),
        ("tight", &["alice", "zed"], &["master", "x"]),
        ("own", &["bob"], &["personal/bob/x", "personal/zed/x", "x"]),
        ("not-own", &["bob"], &["personal/bob/x", "personal/zed/x", "x"]),
    ] {
        for (user, reference) in users.iter().flat_map(|user| references.iter().map(move |one| (user, one))) {
            let reference = format!("refs/heads/{reference}");
            let theirs = gitolite(&["access", "-q", repository, user, "W", &reference]).code() == Some(0);
            let ours = allows(repository, &reference, user, "update");
            let weight = if ours { Weight::Weaker } else { Weight::Stricter };
            assert!(
                ours == theirs || said(repository, weight),
                "{repository} {user} {reference}: ours {ours}, theirs {theirs}\n{}",
                made.toml
            );
        }
    }
    let weaker: Vec<&str> =
        made.notes.iter().filter(|one| one.weight == Weight::Weaker).map(|one| one.what.as_str()).collect();
    assert_eq!(weaker.len(), 3, "{weaker:?}");
    let undefined =
        import(Format::Gitolite, &[b"@a = x @b\n@b = y\nrepo r\n RW+ = @a\n".to_vec()], &[]).unwrap();
    assert!(undefined.notes.iter().any(|one| one.what.contains("@b within @a, in line 1")));
    let (_, error) =
        import(Format::Gitolite, &[b"repo r\n - @none = a\n RW+ = a\n".to_vec()], &[]).unwrap_err();
    assert!(error.to_string().starts_with("line 2: a group of refs"), "{error}");
}

#[test]
fn a_large_file_is_read_in_bounded_time() {
    let mut conf = String::new();
    for n in (0..2_000).rev() {
        let inner = if n % 20 == 19 { "x".to_owned() } else { format!("@g{}", n + 1) };
        let team = n % 50;
        conf.push_str(&format!(
            "@g{n} = u{n} {inner}\nrepo r{n} t{team}/..*\n RW+ = @g{n}\n - master$ = u{n}\n"
        ));
    }
    let started = std::time::Instant::now();
    let made = import(Format::Gitolite, &[conf.into_bytes()], &[]).unwrap();
    assert!(made.rulesets > 2_000);
    // One whose answer would be without end is refused.
    let mut deep = String::new();
    for n in (0..5_000).rev() {
        deep.push_str(&format!("@g{n} = u{n} @g{}\nrepo r{n}\n - = x\n RW+ = @g{n}\n", n + 1));
    }
    let (_, error) = import(Format::Gitolite, &[deep.into_bytes()], &[]).unwrap_err();
    assert!(error.to_string().contains("too many"), "{error}");
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
}
