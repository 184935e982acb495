//! Every rule with options that load, for tests that are about all of them.

/// Values for the rule's line in `[ruleset.refuse]`, at least one; the first is the plainest. A rule that is
/// not here takes `true`.
const OPTIONS: &[(&str, &[&str])] = &[
    ("bad-signature", &["true", "{ tags = true }"]),
    ("email-domain", &["{ domains = [\"example.org\"] }"]),
    (
        "identity-mismatch",
        &["true", "{ match = \"committer\" }", "{ match = [\"committer-or-author\", \"tagger\"] }"],
    ),
    ("message-format", &["{ subject-max = 20 }", "{ body-required = true, merges = \"skip\" }"]),
    (
        "missing-ticket",
        &[
            "{ projects = [\"OPS\"] }",
            "{ projects = [\"OPS\"], where = [\"branch\"] }",
            "{ projects = [\"OPS\"], merges = \"skip\" }",
        ],
    ),
    (
        "forbidden-path",
        &[
            "{ paths = [\"**/*.pem\"] }",
            "{ paths = [\"deploy\", \"deploy/**\"] }",
            "{ paths = [\"deploy\", \"deploy/**\"], scope = \"net\" }",
        ],
    ),
    ("large-file", &["{ max = \"10 MiB\" }", "{ max = \"10 MiB\", scope = \"net\" }"]),
    (
        "protected-path",
        &[
            "{ paths = [\"deploy/**\"], allow = [\"group:sre\"] }",
            "{ paths = [\"src/**\"], allow = [\"person:bob\"] }",
        ],
    ),
    ("too-many-files", &["{ max = 1000 }", "{ max = 1 }", "{ max = 1, scope = \"net\" }"]),
    ("ref-name", &["true", "{ allow = [\"refs/heads/**\", \"refs/tags/v*\"] }"]),
    ("stale-signature", &["{ days = 30 }"]),
    (
        "unauthorized-pusher",
        &["{ update = [\"group:sre\"] }", "{ create = [\"person:bob\"], delete = [\"group:sre\"] }"],
    ),
    (
        "untrusted-signer",
        &["{ allow = [\"group:sre\"] }", "true", "{ of = [\"commit\", \"tag\"], deny = [\"person:bob\"] }"],
    ),
];

/// What can stand behind the rule's name.
pub(crate) fn options(rule: &str) -> &'static [&'static str] {
    OPTIONS.iter().find(|(name, _)| *name == rule).map_or(&["true"], |(_, options)| options)
}

/// The rule's line in `[ruleset.refuse]`, with the plainest of its options.
#[allow(dead_code)]
pub(crate) fn line(rule: &str) -> String {
    format!("{rule} = {}\n", options(rule)[0])
}
