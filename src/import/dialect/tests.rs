use super::*;
use crate::policy::Pattern;

fn matches(pattern: &str, name: &str) -> bool {
    Pattern::for_refs(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}")).is_match(name.as_bytes())
}

#[test]
fn fnmatch_means_what_it_means_to_ruby() {
    let made = |pattern: &str| fnmatch(pattern, "refs/heads/").unwrap();
    assert_eq!(made("refs/heads/main"), "refs/heads/main");
    // What Ruby's File.fnmatch says with File::FNM_PATHNAME.
    for (pattern, name, expected) in [
        ("qa/*", "qa/x", true),
        ("qa/*", "qa/x/y", false),
        ("qa/**/*", "qa/x", true),
        ("qa/**/*", "qa/x/y/z", true),
        ("qa/**/*", "qa", false),
        ("qa**/**/*", "qaware/x/y", true),
        ("releases/**/*", "releases/1/2", true),
        ("qa/**", "qa/x", true),
        ("qa/**", "qa/x/y", false),
        ("v?.x", "v1.x", true),
        ("v?.x", "v\u{e4}.x", true),
        ("v?.x", "v\u{e4}\u{e4}.x", false),
        ("v?.x", "v/.x", false),
        ("a{b,c}", "ab", false),
        ("a{b,c}", "a{b,c}", true),
        ("**/x", "x", true),
        ("**/x", "a/b/x", true),
        ("a.b", "aXb", false),
        ("main", "main-evil", false),
    ] {
        let converted = made(&format!("refs/heads/{pattern}"));
        assert_eq!(
            matches(&converted, &format!("refs/heads/{name}")),
            expected,
            "{pattern} {name} {converted}"
        );
    }
    for wrong in ["refs/heads/[ab]", "refs/heads/a\\*", "main", "", "refs/tags/v1", "refs/heads/a\nb"] {
        assert!(fnmatch(wrong, "refs/heads/").is_err(), "{wrong:?}");
    }
}

#[test]
fn gitlabs_star_crosses_slashes() {
    for (pattern, name, expected) in [
        ("*-stable", "x/y-stable", true),
        ("production/*", "production/a/b", true),
        ("production/*", "production", false),
        ("main", "main", true),
        ("main", "mainx", false),
        ("a.c", "abc", false),
        ("*", "anything/at.all", true),
        ("a{b,c}", "ab", false),
        ("a{b,c}", "a{b,c}", true),
    ] {
        let converted = gitlab_wildcard(pattern, "refs/heads/").unwrap();
        assert_eq!(
            matches(&converted, &format!("refs/heads/{name}")),
            expected,
            "{pattern} {name} {converted}"
        );
    }
}

#[test]
fn expressions_are_taken_as_they_are_or_not_at_all() {
    for (pattern, name, expected) in [
        ("^(feature|hotfix)\\/[a-z0-9-]+$", "feature/x-1", true),
        ("^(feature|hotfix)\\/[a-z0-9-]+$", "feature/X", false),
        ("JIRA-\\d+", "a/JIRA-12/b", true),
        ("JIRA-\\d+", "JIRA-x", false),
        ("^v[0-9]{1,2}$", "v12", true),
        ("^v[0-9]{1,2}$", "v123", false),
        ("a|b", "xbx", true),
        ("^x.y$", "x\u{e4}y", true),
        ("^x.y$", "x\u{e4}\u{e4}y", false),
        ("^x[^a]y$", "x\u{e4}y", true),
        ("^x[^a]y$", "xay", false),
        ("^[\\w.-]+$", "a_b.c-d", true),
        ("^[\\w.-]+$", "a b", false),
    ] {
        let converted = format!("re:refs/heads/(?:{})", name_search(pattern).unwrap());
        assert_eq!(
            matches(&converted, &format!("refs/heads/{name}")),
            expected,
            "{pattern} {name} {converted}"
        );
    }
    for wrong in [
        "^a|b$",
        "(?i)x",
        "(?!x)",
        "(?<=x)y",
        "\\bword",
        "\\Ax",
        "x\\z",
        "(a)\\1",
        "[[:alpha:]]",
        "[a&&b]",
        "a++",
        "\\p{L}",
        "\\Qx\\E",
        "a**",
        "*a",
        "(a",
        "a)",
        "[a",
        "a{,3}",
        "a^b",
        "a$b",
        "\u{e4}",
        "\\s",
        "[]a]",
        "a\\",
        "[z-a]",
        "x{1000}",
        "",
        "((((((((((((((((((((((a))))))))))))))))))))))",
    ] {
        assert!(name_search(wrong).is_err(), "{wrong} is not the same everywhere");
    }
    // An escaped dollar is no end.
    assert!(!expression("a\\$", Subject::Name).unwrap().end);
    assert!(expression("a\\\\$", Subject::Name).unwrap().end);
}

#[test]
fn what_an_expression_begins_with_is_known() {
    let literal = |pattern: &str| {
        let made = expression(pattern, Subject::Name).unwrap();
        (made.literal, made.plain)
    };
    assert_eq!(literal("refs/heads/master"), ("refs/heads/master".to_owned(), true));
    assert_eq!(literal("refs/heads/v[0-9]"), ("refs/heads/v".to_owned(), false));
    assert_eq!(literal("refs/heads/ab*"), ("refs/heads/a".to_owned(), false));
    assert_eq!(literal("refs/heads/v1\\.0$"), ("refs/heads/v1.0".to_owned(), true));
    assert_eq!(literal("refs/(heads|tags)/x"), ("refs/".to_owned(), false));
    assert_eq!(literal("refs/a|refs/b"), (String::new(), false));
}
