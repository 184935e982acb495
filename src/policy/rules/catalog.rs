//! What options rules have, for people and for the schema of the configuration. The rules themselves decide:
//! a test holds each line against what the rule takes.

/// One option of a rule.
#[derive(Clone, Copy, Debug)]
pub struct Opt {
    /// The key.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// Whether the rule is none without it.
    pub required: bool,
    /// What holds where it is left out, as TOML would have it; `None` where no value says the same.
    pub default: Option<&'static str>,
    /// What it is for, in one line.
    pub about: &'static str,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Flag,
    /// A whole number from this one on.
    Count(u64),
    /// A size: a number of bytes, or `"64 KiB"`.
    Size,
    /// A span of time: a number of seconds, or `"90s"`, `"5m"`.
    Span,
    /// A text.
    Text,
    /// A point in time with an offset.
    Time,
    /// A list of texts; not an empty one.
    Texts,
    /// A list of texts, which may be empty.
    AnyTexts,
    /// A list of selectors of principals.
    Selectors,
    /// A list of selectors that each name one principal, none of them an agent.
    Named,
    /// A list of patterns for full ref names.
    Refs,
    /// A list of other patterns.
    Patterns,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of these words.
    Words(&'static [&'static str]),
    /// One of these words, or a list of them.
    WordOrWords(&'static [&'static str]),
    /// A form of the rule's own, which only the rule can check.
    Special,
}

/// An option that may be left out.
pub(crate) const fn option(name: &'static str, shape: Shape, about: &'static str) -> Opt {
    Opt { name, shape, required: false, default: None, about }
}

impl Opt {
    pub(crate) const fn required(self) -> Self {
        Opt { required: true, ..self }
    }

    pub(crate) const fn default(self, default: &'static str) -> Self {
        Opt { default: Some(default), ..self }
    }
}

/// Rules that have options, by name.
const OPTIONS: &[(&str, &[Opt])] = &[
    (
        "bad-signature",
        &[option("tags", Shape::Flag, "whether the signatures of tags are judged as well").default("false")],
    ),
    (
        "email-domain",
        &[
            option("domains", Shape::Texts, "the domains that addresses may have").required(),
            option("subdomains", Shape::Flag, "whether what lies below them counts").default("false"),
            option("who", Shape::Special, "whose addresses: `author`, `committer`, `tagger`"),
        ],
    ),
    ("foreign-root", &[option("allow", Shape::Special, "full ids of the roots that may come in")]),
    (
        "executable-binary",
        &[
            option("mode", Shape::Word(&["executable", "any"]), "whether programs that may not be run count")
                .default("\"executable\""),
            option("paths", Shape::Patterns, "the paths that are judged; left out, all").default("[\"**\"]"),
            option("except", Shape::Patterns, "those of them that are not"),
            option("scope", Shape::Word(&["each-commit", "net"]), "each commit, or the update as a whole")
                .default("\"each-commit\""),
        ],
    ),
    (
        "forbidden-path",
        &[
            option("paths", Shape::Patterns, "what nobody may change").required(),
            option("except", Shape::Patterns, "what of it may be changed"),
            option("changes", Shape::Words(&["add", "modify", "delete"]), "what may not be done")
                .default("[\"add\", \"modify\"]"),
            option("case-insensitive", Shape::Flag, "whether paths count that a file system takes for these")
                .default("true"),
            option("scope", Shape::Word(&["each-commit", "net"]), "each commit, or the update as a whole")
                .default("\"each-commit\""),
        ],
    ),
    (
        "identity-mismatch",
        &[
            option(
                "match",
                Shape::WordOrWords(&["committer", "committer-or-author", "tagger"]),
                "whose e-mail has to be one of the signer's",
            )
            .default("[\"committer\", \"tagger\"]"),
            option("except", Shape::Named, "signers who may name others, such as a forge"),
        ],
    ),
    (
        "large-file",
        &[
            option("max", Shape::Special, "most bytes of a file"),
            option(
                "limits",
                Shape::Special,
                "a table of patterns, with most bytes for each; all that match hold",
            ),
            option("lfs-max", Shape::Special, "most bytes that a pointer of Git LFS may stand for"),
            option("lfs-required", Shape::Special, "patterns of what has to be such a pointer"),
            option("paths", Shape::Special, "where `max` holds; left out, everywhere"),
            option("except", Shape::Special, "where it does not"),
            option("scope", Shape::Special, "`each-commit` or `net`"),
        ],
    ),
    (
        "merge-commit",
        &[option("octopus", Shape::Flag, "whether merges of two are let in, and those of more are not")
            .default("false")],
    ),
    (
        "message-format",
        &[
            option("subject-min", Shape::Special, "fewest characters of a subject"),
            option("subject-max", Shape::Special, "most characters of a subject"),
            option("blank-second-line", Shape::Special, "whether the line after the subject is empty"),
            option("body-required", Shape::Special, "whether there is more than a subject"),
            option("line-max", Shape::Special, "most characters of a line"),
            option("required", Shape::Special, "patterns that have to be found"),
            option("forbidden", Shape::Special, "patterns that may not be found"),
            option("merges", Shape::Special, "`check` or `skip`"),
            option("reverts", Shape::Special, "`check` or `skip-by-message`"),
            option("except", Shape::Special, "signers who are exempt"),
            option("tags", Shape::Special, "whether the messages of tags are judged as well"),
        ],
    ),
    (
        "missing-signoff",
        &[
            option("also", Shape::Special, "who else: `committer`, `co-authors`"),
            option("merges", Shape::Word(&["check", "skip"]), "what becomes of real, clean merges")
                .default("\"check\""),
            option("except", Shape::Special, "signers who are exempt"),
        ],
    ),
    (
        "missing-ticket",
        &[
            option("projects", Shape::Texts, "the keys of the projects whose tickets count").required(),
            option(
                "where",
                Shape::Words(&["subject", "subject-prefix", "trailer", "anywhere", "branch"]),
                "where a ticket counts",
            )
            .default("[\"subject\", \"trailer\"]"),
            option("trailers", Shape::AnyTexts, "the trailers that count, if not all").default("[]"),
            option("minimum", Shape::Count(1), "how many different tickets").default("1"),
            option("ignore", Shape::Special, "words that look like tickets and are none"),
            option("merges", Shape::Word(&["check", "skip"]), "what becomes of real, clean merges")
                .default("\"check\""),
            option("reverts", Shape::Word(&["check", "skip-by-message"]), "what becomes of reverts")
                .default("\"check\""),
            option("except", Shape::Special, "signers who are exempt"),
            option("tags", Shape::Flag, "whether the messages of tags are judged as well").default("false"),
        ],
    ),
    (
        "missing-user-presence",
        &[
            option("require", Shape::Word(&["touch", "verification"]), "what the security key has to say")
                .default("\"touch\""),
            option("other-keys", Shape::Word(&["refuse", "accept"]), "what becomes of keys that are none")
                .default("\"refuse\""),
            option("except", Shape::Special, "signers who are exempt"),
            option("of", Shape::Special, "`commits`, `tags`"),
        ],
    ),
    (
        "protected-path",
        &[
            option("paths", Shape::Patterns, "what is protected").required(),
            option("except", Shape::Patterns, "what of it is not"),
            option("allow", Shape::Selectors, "who may touch it").required(),
            option("case-insensitive", Shape::Flag, "whether paths count that a file system takes for these")
                .default("true"),
            option(
                "scope",
                Shape::Word(&["each-commit", "net"]),
                "who signed each commit, or who pushes the whole",
            )
            .default("\"each-commit\""),
        ],
    ),
    (
        "pusher-mismatch",
        &[
            option(
                "match",
                Shape::Word(&["committer", "signer", "author-or-committer"]),
                "who has to be the pusher",
            )
            .default("\"committer\""),
            option("except", Shape::Special, "pushers who may push the work of others"),
        ],
    ),
    ("ref-name", &[option("allow", Shape::Refs, "patterns, one of which a new ref's name has to match")]),
    (
        "stale-signature",
        &[
            option("days", Shape::Count(1), "how old a signature may be at the receipt").required(),
            option("of", Shape::Special, "`commits`, `tags`"),
        ],
    ),
    (
        "submodule",
        &[
            option("paths", Shape::Patterns, "the paths that are judged; left out, all").default("[\"**\"]"),
            option("except", Shape::Patterns, "those of them that are not"),
            option(
                "moves",
                Shape::Word(&["refuse", "accept"]),
                "what becomes of other commits for submodules",
            )
            .default("\"refuse\""),
            option(
                "gitmodules",
                Shape::Word(&["accept", "refuse"]),
                "what becomes of changes of .gitmodules",
            )
            .default("\"accept\""),
            option("scope", Shape::Word(&["each-commit", "net"]), "each commit, or the update as a whole")
                .default("\"each-commit\""),
        ],
    ),
    (
        "symlink",
        &[
            option("links", Shape::Word(&["all", "unsafe"]), "which links are refused").default("\"all\""),
            option("max-target", Shape::Special, "most bytes of a link's target"),
            option("paths", Shape::Patterns, "the paths that are judged; left out, all").default("[\"**\"]"),
            option("except", Shape::Patterns, "those of them that are not"),
            option("scope", Shape::Word(&["each-commit", "net"]), "each commit, or the update as a whole")
                .default("\"each-commit\""),
        ],
    ),
    (
        "tag-name-mismatch",
        &[option("nested", Shape::Word(&["skip", "refuse"]), "what becomes of tags behind tags")
            .default("\"skip\"")],
    ),
    (
        "too-many-files",
        &[
            option("max", Shape::Count(1), "how many paths may change").required(),
            option("paths", Shape::Patterns, "the paths that are judged; left out, all").default("[\"**\"]"),
            option("except", Shape::Patterns, "those of them that are not"),
            option("scope", Shape::Word(&["each-commit", "net"]), "each commit, or the update as a whole")
                .default("\"each-commit\""),
        ],
    ),
    (
        "unauthorized-pusher",
        &[
            option("create", Shape::Special, "who may create the refs"),
            option("update", Shape::Special, "who may update them"),
            option("force", Shape::Special, "who may rewrite them"),
            option("delete", Shape::Special, "who may delete them"),
        ],
    ),
    (
        "unknown-identity",
        &[option("who", Shape::Special, "whose addresses: `author`, `committer`, `tagger`")],
    ),
    (
        "unsafe-message",
        &[
            option("allow", Shape::Special, "characters that are allowed, such as `U+00AD`"),
            option("encodings", Shape::Special, "encodings besides UTF-8 that a header may name"),
            option("crlf", Shape::Flag, "whether lines may end with a carriage return").default("false"),
            option("tags", Shape::Flag, "whether the messages of tags are judged as well").default("true"),
        ],
    ),
    (
        "unsafe-path",
        &[
            option("git-names", Shape::Flag, "look-alikes of .git and of links that git reads")
                .default("true"),
            option("windows", Shape::Flag, "names that Windows cannot have").default("true"),
            option("characters", Shape::Flag, "control, bidirectional and invisible characters")
                .default("true"),
            option("encoding", Shape::Flag, "paths that are not UTF-8").default("true"),
            option("duplicates", Shape::Flag, "names that differ in case or composition only")
                .default("true"),
            option("component-max", Shape::Count(1), "most bytes of one name").default("255"),
            option("path-max", Shape::Count(1), "most bytes of a path").default("1023"),
            option("paths", Shape::Patterns, "the paths that are judged; left out, all").default("[\"**\"]"),
            option("except", Shape::Patterns, "those of them that are not"),
            option("scope", Shape::Special, "`each-commit` or `net`"),
        ],
    ),
    (
        "unsigned-tag",
        &[option("nested", Shape::Word(&["check", "skip"]), "what becomes of tags behind tags")
            .default("\"check\"")],
    ),
    (
        "untrusted-signer",
        &[
            option("allow", Shape::Selectors, "who may sign; left out, everybody in the keyring"),
            option("deny", Shape::Selectors, "who may not, whoever else allows it"),
            option("of", Shape::Special, "`commits`, `tags`"),
            option("refs", Shape::Special, "a table of patterns, with who may sign for each"),
        ],
    ),
    (
        "weak-signature",
        &[
            option("formats", Shape::Special, "the formats that are allowed"),
            option("algorithms", Shape::Special, "the key algorithms that are allowed"),
            option("hashes", Shape::Special, "the hashes that are allowed"),
            option("min-bits", Shape::Special, "the least sizes of keys"),
            option("of", Shape::Special, "`commits`, `tags`"),
        ],
    ),
    ("work-in-progress", &[option("markers", Shape::Special, "what a subject may not begin with")]),
    (
        "wrong-object-kind",
        &[option("tags", Shape::Words(&["commit", "tree", "blob"]), "what tags may finally point at")
            .default("[\"commit\"]")],
    ),
];

/// The options of a rule, besides those that every rule has; none for a rule without.
pub fn options_of(rule: &str) -> &'static [Opt] {
    OPTIONS.iter().find(|(name, _)| *name == rule).map_or(&[], |(_, options)| options)
}

/// The names of the options that a rule takes, asked of the rule itself.
pub fn names_of(kind: &super::Kind) -> Vec<String> {
    // No rule has an option of this name, and all of them say then which ones they have.
    let probe = toml::Table::from_iter([("no-such-option".to_owned(), toml::Value::Boolean(true))]);
    let Err(why) = (kind.build)(probe) else { return Vec::new() };
    let expected = why.split_once(", expected ").map_or("", |(_, expected)| expected);
    expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::rules::ALL;
    use toml::Value;

    #[test]
    fn every_option_of_every_rule_is_listed_and_no_other() {
        for kind in ALL {
            let mut listed: Vec<&str> = options_of(kind.name).iter().map(|one| one.name).collect();
            let mut taken = names_of(kind);
            listed.sort_unstable();
            taken.sort_unstable();
            assert_eq!(listed, taken, "src/policy/rules/catalog.rs, rule {}", kind.name);
        }
        for (name, _) in OPTIONS {
            assert!(ALL.iter().any(|kind| kind.name == *name), "there is no rule {name}");
        }
    }

    /// A value of a shape, and values that are none.
    fn samples(shape: Shape) -> (Value, Vec<Value>) {
        let text = |text: &str| Value::from(text);
        let list = |one: &str| Value::Array(vec![Value::from(one)]);
        let (number, flag) = (Value::Integer(1), Value::Boolean(true));
        match shape {
            Shape::Flag => (flag, vec![number, text("x")]),
            Shape::Count(least) => (Value::Integer(i64::try_from(least).unwrap()), vec![flag, text("x")]),
            Shape::Size => (text("64 KiB"), vec![flag, list("x"), text("some")]),
            Shape::Span => (text("5m"), vec![flag, list("x"), text("some")]),
            Shape::Text => (text("x"), vec![flag, number, list("x")]),
            Shape::Time => (text("2026-01-31T00:00:00Z"), vec![flag, number, text("x")]),
            Shape::Texts | Shape::AnyTexts => (list("OPS"), vec![flag, number, text("OPS")]),
            Shape::Selectors => (list("group:sre"), vec![flag, number, text("group:sre"), list("sre")]),
            Shape::Named => {
                (list("forge:web"), vec![flag, number, text("forge:web"), list("group:sre"), list("agent:x")])
            }
            Shape::Refs => (list("refs/heads/*"), vec![flag, number, list("main")]),
            Shape::Patterns => (list("a/**"), vec![flag, number]),
            Shape::Word(words) => (text(words[0]), vec![flag, number, text("zzz"), list(words[0])]),
            Shape::Words(words) => (list(words[0]), vec![flag, number, text(words[0]), list("zzz")]),
            Shape::WordOrWords(words) => (text(words[0]), vec![flag, number, text("zzz"), list("zzz")]),
            Shape::Special => unreachable!("it has no sample"),
        }
    }

    #[test]
    fn every_option_takes_what_its_shape_says_and_nothing_else() {
        for kind in ALL {
            let options = options_of(kind.name);
            let required = |but: &str| {
                let others = options.iter().filter(|one| one.required && one.name != but);
                others.map(|one| (one.name.to_owned(), samples(one.shape).0)).collect::<toml::Table>()
            };
            for one in options.iter().filter(|one| one.shape != Shape::Special) {
                let with = |value: Value| {
                    let mut table = required(one.name);
                    table.insert(one.name.to_owned(), value);
                    (kind.build)(table)
                };
                let (good, bad) = samples(one.shape);
                let what = format!("{} of {}", one.name, kind.name);
                if let Err(why) = with(good.clone()) {
                    panic!("{what} does not take {good}: {why}");
                }
                for bad in bad {
                    assert!(with(bad.clone()).is_err(), "{what} takes {bad}");
                }
                if let Some(default) = one.default {
                    let table: toml::Table = format!("value = {default}").parse().unwrap();
                    // An empty list may be what holds without the option, and yet nothing to write.
                    let value = table["value"].clone();
                    let empty = value.as_array().is_some_and(Vec::is_empty);
                    assert!(empty || with(value).is_ok(), "the default of {what}");
                }
                assert_eq!((kind.build)(required(one.name)).is_err(), one.required, "{what} is required");
            }
        }
    }
}
