//! The configuration file: what loads, and what each fault says.

#![allow(missing_docs, clippy::unwrap_used)]

use countersign::cli::common::Format;
use countersign::cli::{config_check, init};
use countersign::config::{self, Config, ConfigError, ServerKind, Warning};
use countersign::domain::RefName;
use countersign::forge::ForgeKind;
use countersign::keyring::{Keyring, Reason, Revocation};
use countersign::policy::{Enforcement, Limits, Proof, Uncovered};
use countersign::signature::Rules;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

/// A directory in which [`GOOD`] loads.
struct Place {
    dir: TempDir,
}

const OWN: &str = "the account that runs this can change";

const GOOD: &str = r#"[daemon]
socket = "run/hook.sock"
state = "state"

[keyring]
path = "keyring"

[repositories]
root = "repositories"
server = "sshd"

[policy]
uncovered = "accept"

[[ruleset]]
name = "production"
repositories = ["infra/**"]
refs = ["refs/heads/main"]
enforcement = "enforce"

[ruleset.refuse]
unsigned-commit = true
untrusted-signer = { allow = ["group:sre"] }
"#;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        chmod(dir.path(), 0o755);
        fs::create_dir(dir.path().join("keyring")).unwrap();
        chmod(&dir.path().join("keyring"), 0o755);
        fs::create_dir(dir.path().join("repositories")).unwrap();
        Place { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("c.toml")
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        chmod(&path, 0o644);
        path
    }

    fn load(&self, text: &str) -> Result<config::Loaded, ConfigError> {
        config::load(&self.write("c.toml", text))
    }

    fn ok(&self, text: &str) -> Config {
        self.load(text).map_err(|error| panic!("{error}")).unwrap().config
    }

    /// What the errors print, with the directory's name replaced.
    fn errors(&self, text: &str) -> String {
        let error = self.load(text).expect_err("this must not load");
        error.to_string().replace(self.dir.path().to_str().unwrap(), "DIR")
    }

    /// Without the one that everybody but root gets, whose own files these are.
    fn warnings(&self, text: &str) -> Vec<String> {
        let loaded = self.load(text).unwrap();
        let messages = loaded.warnings.iter().map(|warning| warning.message.clone());
        messages.filter(|message| !message.starts_with(OWN)).collect()
    }
}

/// `GOOD` with one line replaced.
fn with(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    GOOD.replacen(from, to, 1)
}

#[track_caller]
fn golden(text: &str, wanted: &str) {
    let seen = Place::new().errors(text);
    assert_eq!(seen, wanted.trim_matches('\n'), "\n--- seen ---\n{seen}\n---");
}

#[test]
fn what_is_written_is_what_is_read() {
    let place = Place::new();
    let config = place.ok(GOOD);
    let dir = place.dir.path();
    assert_eq!(config.source, dir.join("c.toml"));
    assert_eq!(config.daemon.socket, dir.join("run/hook.sock"));
    assert_eq!(config.daemon.listen, None);
    assert_eq!(config.daemon.clients, [rustix::process::geteuid().as_raw()]);
    assert_eq!(config.daemon.deadline, Duration::from_secs(30));
    assert_eq!(config.daemon.last_good, Duration::from_secs(24 * 3600));
    assert_eq!(config.keyring.dir, dir.join("keyring"));
    assert_eq!(config.repositories.root, fs::canonicalize(dir.join("repositories")).unwrap());
    assert_eq!(config.repositories.server, Some(ServerKind::Sshd));
    assert_eq!(config.repositories.namespaces, ["refs/heads/", "refs/tags/", "refs/notes/"]);
    assert!(!config.repositories.allow_symref_push);
    assert_eq!(config.policy.uncovered, Uncovered::Accept);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.contact, None);
    assert_eq!(config.digest.len(), 64);
    let ruleset = &config.policy.rulesets[0];
    assert_eq!((ruleset.name.as_str(), ruleset.enforcement), ("production", Enforcement::Enforce));
    assert!(ruleset.has_rule("untrusted-signer") && ruleset.has_rule("bad-signature"));
    assert!(ruleset.covers("infra/x", &RefName::parse(b"refs/heads/main").unwrap(), None));
    assert!(place.warnings(GOOD).is_empty());
}

#[test]
fn every_option_is_read() {
    let place = Place::new();
    let text = with(
        "state = \"state\"",
        "state = \"/s\"\nlisten = \"[::1]:80\"\nclients = [7, 3, 7]\ncontact = \"a\\\\b\"",
    )
    .replace(
        "server = \"sshd\"",
        "server = \"gitea\"\nnamespaces = [\"refs/heads/\", \"refs/for/\"]\nallow-symref-push = true",
    ) + "[limits]\nrefs = 1\ncommits = 2\nparents = 3\nobject-bytes = \"4 KiB\"\npush-bytes = \"1GiB\"\n\
           message-bytes = 0x10\ntag-depth = 5\nviolations = 6\ntree-entries = 7\ntree-bytes = \"8 KiB\"\n\
           one-tree-bytes = 9\ntree-depth = 10\nchanged-paths = 11\nchanged-path-bytes = 12\none-path-bytes = 13\n\
           blobs = 14\nblob-bytes = 15\ndeadline = \"1500ms\"\n";
    let config = place.ok(&text);
    assert_eq!(config.daemon.listen, Some("[::1]:80".parse().unwrap()));
    assert_eq!(config.daemon.clients, [3, 7]);
    assert_eq!(config.daemon.deadline, Duration::from_millis(1500));
    assert_eq!(config.daemon.state, Path::new("/s"));
    assert_eq!(config.contact.as_deref(), Some("a\\b"));
    assert_eq!(config.repositories.server.map(|kind| kind.variable()), Some("GITEA_PUSHER_NAME"));
    assert_eq!(config.repositories.namespaces, ["refs/heads/", "refs/for/"]);
    assert!(config.repositories.allow_symref_push);
    let wanted = Limits {
        refs: 1,
        commits: 2,
        parents: 3,
        object_bytes: 4096,
        push_bytes: 1 << 30,
        message_bytes: 16,
        tag_depth: 5,
        violations: 6,
        tree_entries: 7,
        tree_bytes: 8192,
        one_tree_bytes: 9,
        tree_depth: 10,
        changed_paths: 11,
        changed_path_bytes: 12,
        one_path_bytes: 13,
        blobs: 14,
        blob_bytes: 15,
    };
    assert_eq!(config.limits, wanted);
}

#[test]
fn n18_each_server_has_one_variable() {
    for kind in ServerKind::ALL {
        assert!(!kind.variable().starts_with("COUNTERSIGN"), "{}", kind.name());
        let config = Place::new().ok(&with("server = \"sshd\"", &format!("server = \"{}\"", kind.name())));
        assert_eq!(config.repositories.server, Some(*kind));
    }
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    golden(
        &with("enforcement = \"enforce\"", "enforcment = \"enforce\""),
        r#"
error: unknown key `enforcment` in [[ruleset]]
  --> DIR/c.toml:19:1
    |
 19 | enforcment = "enforce"
    | ^^^^^^^^^^
    = help: did you mean `enforcement`?
"#,
    );
    golden(
        &with("[policy]", "[polices]\nx = 1\n[policy]"),
        r#"
error: unknown key `polices` in the configuration
  --> DIR/c.toml:12:2
    |
 12 | [polices]
    |  ^^^^^^^
    = help: did you mean `policy`?
"#,
    );
    for (from, to) in [
        ("state = \"state\"", "state = \"state\"\nsokcet = 1"),
        ("path = \"keyring\"", "path = \"keyring\"\nx = 1"),
        ("server = \"sshd\"", "server = \"sshd\"\nroots = []"),
        ("uncovered = \"accept\"", "uncovered = \"accept\"\nincludes = \"x\""),
        ("[daemon]", "[limits]\nref = 1\n[daemon]"),
        ("enforcement = \"enforce\"", "actor = [\"person:alice\"]"),
        ("[ruleset.refuse]", "[[ruleset.waiver]]\nx = 1\n[ruleset.refuse]"),
        ("[daemon]", "[[sources]]\nx = 1\n[daemon]"),
    ] {
        let seen = Place::new().errors(&with(from, to));
        assert!(seen.starts_with("error: unknown key `") && seen.contains("= help: "), "{seen}");
        assert_eq!(seen.matches("error:").count(), 1, "{seen}");
    }
}

#[test]
fn rules_and_their_options_are_checked_with_places() {
    golden(
        &with("unsigned-commit = true", "unsigned-comit = true"),
        r#"
error: there is no rule `unsigned-comit`
  --> DIR/c.toml:22:1
    |
 22 | unsigned-comit = true
    | ^^^^^^^^^^^^^^
    = help: did you mean `unsigned-commit`?
"#,
    );
    golden(
        &with("allow = [\"group:sre\"]", "alow = [\"group:sre\"]"),
        r#"
error: rule `untrusted-signer`: unknown field `alow`, expected one of `allow`, `deny`, `of`, `refs`
  --> DIR/c.toml:23:22
    |
 23 | untrusted-signer = { alow = ["group:sre"] }
    |                      ^^^^
    = help: did you mean `allow`?
"#,
    );
    golden(
        &with("[\"group:sre\"]", "[\"kind:bot\", \"sre\"]"),
        r#"
error: rule `untrusted-signer`: `sre` selects nobody: write `group:NAME`, `person:NAME`, `bot:NAME`, `agent:NAME`, `forge:NAME` or `kind:person`
  --> DIR/c.toml:23:43
    |
 23 | untrusted-signer = { allow = ["kind:bot", "sre"] }
    |                                           ^^^^^
"#,
    );
    golden(
        &with("unsigned-commit = true", "identity-mismatch = { match = [\"tagger\", \"comitter\"] }"),
        r#"
error: rule `identity-mismatch`: unknown variant `comitter`, expected one of `committer`, `committer-or-author`, `tagger`
  --> DIR/c.toml:22:42
    |
 22 | identity-mismatch = { match = ["tagger", "comitter"] }
    |                                          ^^^^^^^^^^
    = help: did you mean `committer`?
"#,
    );
    golden(
        &with("unsigned-commit = true", "unsigned-commit = 1"),
        r#"
error: rule `unsigned-commit`: its value is `true`, `false` or a table of options
  --> DIR/c.toml:22:19
    |
 22 | unsigned-commit = 1
    |                   ^
"#,
    );
    golden(
        &with(
            "unsigned-commit = true\nuntrusted-signer = { allow = [\"group:sre\"] }\n",
            "force-push = false\n",
        ),
        r#"
error: this ruleset refuses nothing
  --> DIR/c.toml:21:1
    |
 21 | [ruleset.refuse]
    | ^^^^^^^^^^^^^^^^
    = help: name a rule, such as `unsigned-commit = true`
"#,
    );
}

#[test]
fn n17_switching_off_what_a_signature_rule_brings_is_a_warning() {
    let text = with("unsigned-commit = true", "unsigned-commit = true\nbad-signature = false");
    let place = Place::new();
    let warnings = place.warnings(&text);
    assert!(matches!(&warnings[..], [one] if one.contains("`false` changes nothing")), "{warnings:?}");
    assert!(place.ok(&text).policy.rulesets[0].has_rule("bad-signature"));
}

#[test]
fn patterns_that_protect_nothing_are_errors() {
    golden(
        &with("[\"refs/heads/main\"]", "[\"refs/heads/x\", \"!main\"]"),
        r#"
error: `main` can match no ref: patterns are matched against full names
  --> DIR/c.toml:18:25
    |
 18 | refs = ["refs/heads/x", "!main"]
    |                         ^^^^^^^
    = help: write "!refs/heads/main"
"#,
    );
    for (from, to, wanted) in [
        ("[\"refs/heads/main\"]", "[]", "an empty list matches no ref"),
        ("[\"refs/heads/main\"]", "[\"!refs/heads/main\"]", "these patterns only exclude"),
        ("[\"refs/heads/main\"]", "[\"re:(\"]", "is not a valid regular expression"),
        ("[\"refs/heads/main\"]", "[\"refs/heads/[\"]", "is not a valid glob"),
        ("[\"refs/heads/main\"]", "\"refs/heads/main\"", "write [\"refs/heads/main\"]"),
        ("[\"refs/heads/main\"]", "[1]", "`refs` is a whole number, not a string"),
        ("[\"infra/**\"]", "[]", "an empty list matches no repository"),
        ("[\"infra/**\"]", "[\"!x\"]", "repositories cannot be excluded"),
        ("[\"infra/**\"]", "[\"\"]", "a pattern cannot be empty"),
        ("\"enforce\"", "\"enforced\"", "did you mean \"enforce\"?"),
        (
            "\"production\"",
            "\"builtin\"",
            "`builtin` is the name of the rules that no configuration turns off",
        ),
        ("\"production\"", "\"Production\"", "`Production` cannot name a ruleset"),
        ("name = \"production\"\n", "", "`name` is missing in [[ruleset]]"),
        ("repositories = [\"infra/**\"]\n", "", "`repositories` is missing in [[ruleset]]"),
        ("refs = [\"refs/heads/main\"]\n", "", "`refs` is missing in [[ruleset]]"),
    ] {
        let seen = Place::new().errors(&with(from, to));
        assert!(seen.contains(wanted), "{wanted}\n{seen}");
        assert!(seen.contains("DIR/c.toml:1"), "{seen}");
        assert_eq!(seen.matches("error:").count(), 1, "{seen}");
    }
}

#[test]
fn two_rulesets_of_one_name_are_an_error_that_names_both_places() {
    let second = "\n[[ruleset]]\nname = \"production\"\nrepositories = [\"**\"]\nrefs = [\"refs/heads/**\"]\n\
                  [ruleset.refuse]\nforce-push = true\n";
    golden(
        &format!("{GOOD}{second}"),
        r#"
error: a ruleset called `production` is already at DIR/c.toml:16:8
  --> DIR/c.toml:26:8
    |
 26 | name = "production"
    |        ^^^^^^^^^^^^
    = help: give each ruleset a name of its own
"#,
    );
}

#[test]
fn n02_uncovered_has_no_default() {
    golden(
        &with("uncovered = \"accept\"\n", ""),
        r#"
error: `uncovered` is missing in [policy]
  --> DIR/c.toml:12:1
    |
 12 | [policy]
    | ^^^^^^^^
    = help: write `uncovered = "accept"` or `uncovered = "refuse"`: what becomes of refs that no enforcing ruleset covers
"#,
    );
    golden(
        &with("[policy]\nuncovered = \"accept\"\n", ""),
        r#"
error: `policy` is missing in the configuration
  --> DIR/c.toml
   = help: write `[policy]` with `uncovered = "accept"` or `uncovered = "refuse"`
"#,
    );
    assert_eq!(Place::new().ok(&with("\"accept\"", "\"refuse\"")).policy.uncovered, Uncovered::Refuse);
    assert!(Place::new().errors(&with("\"accept\"", "\"allow\"")).contains("one of \"accept\", \"refuse\""));
}

#[test]
fn values_that_cannot_work_are_errors() {
    let long = format!("socket = \"/{}\"", "x".repeat(107));
    for (from, to, wanted) in [
        (
            "socket = \"run/hook.sock\"",
            long.as_str(),
            "the socket's path has 108 bytes, and a Unix socket's has at most 107",
        ),
        ("socket = \"run/hook.sock\"", "socket = \"\"", "a path cannot be empty"),
        ("socket = \"run/hook.sock\"", "socket = \"~/x\"", "`~` and variables are not expanded"),
        ("socket = \"run/hook.sock\"", "", "`socket` is missing in [daemon]"),
        ("state = \"state\"", "", "`state` is missing in [daemon]"),
        ("state = \"state\"", "state = 1", "`state` is a whole number, not a string"),
        ("state = \"state\"", "state = \"s\"\nlisten = \"localhost:80\"", "write \"127.0.0.1:80\""),
        ("state = \"state\"", "state = \"s\"\nclients = []", "without clients no hook may ask"),
        ("state = \"state\"", "state = \"s\"\nclients = [4294967295]", "this is no user id"),
        ("state = \"state\"", "state = \"s\"\nclients = [-1]", "must be a whole number from 0 on"),
        (
            "state = \"state\"",
            "state = \"s\"\ncontact = \"a\\nb\"",
            "`contact` is one line of visible characters",
        ),
        (
            "state = \"state\"",
            "state = \"s\"\ncontact = \"a\\u001b[0m\"",
            "`contact` is one line of visible characters",
        ),
        ("[daemon]", "contact = \"a\"\n[daemon]\ncontact = \"b\"", "`contact` is given twice"),
        ("root = \"repositories\"", "root = \"nowhere\"", "nowhere`: No such file or directory"),
        ("root = \"repositories\"", "root = \"c.toml\"", "is not a directory"),
        ("root = \"repositories\"", "root = \"/\"", "cannot be the root of repositories"),
        ("root = \"repositories\"", "", "`root` is missing in [repositories]"),
        ("path = \"keyring\"", "path = \"keys\"", "help: mkdir -m 755 'DIR/keys'"),
        ("server = \"sshd\"", "server = \"ssh\"", "did you mean \"sshd\"?"),
        ("server = \"sshd\"", "server = \"svn\"", "one of \"sshd\", \"sshd-key\", \"git-http-backend\""),
        ("[daemon]", "[limits]\ncommits = 0\n[daemon]", "a limit of zero would refuse every push"),
        ("[daemon]", "[limits]\npush-bytes = \"1 MB\"\n[daemon]", "`1 MB` is not a size"),
        ("[daemon]", "[limits]\npush-bytes = \"99999999999 GiB\"\n[daemon]", "is not a size"),
        ("[daemon]", "[limits]\none-tree-bytes = \"1 GiB\"\n[daemon]", "`one-tree-bytes` is at most 64 MiB"),
        ("[daemon]", "[limits]\nobject-bytes = 67108865\n[daemon]", "`object-bytes` is at most 64 MiB"),
        (
            "[daemon]",
            "[limits]\ndeadline = \"0s\"\n[daemon]",
            "a deadline of zero would leave every push undecided",
        ),
        ("[daemon]", "[limits]\ndeadline = \"2h\"\n[daemon]", "`2h` is not a duration"),
        ("[daemon]", "[limits]\ndeadline = 3601\n[daemon]", "at most one hour"),
        ("[daemon]\n", "[[daemon]]\n", "`daemon` is a list, not a table"),
    ] {
        let seen = Place::new().errors(&with(from, to));
        assert!(seen.contains(wanted), "{wanted}\n{seen}");
        assert_eq!(seen.matches("error:").count(), 1, "{seen}");
        assert!(seen.contains("DIR/c.toml:"), "{seen}");
    }
}

#[test]
fn some_namespaces_can_never_be_pushed() {
    for (namespaces, wanted) in [
        ("[\"refs/replace/\"]", "would let `refs/replace/` be pushed"),
        ("[\"refs/replace/x/\"]", "would let `refs/replace/` be pushed"),
        ("[\"refs/original/\"]", "would let"),
        ("[\"refs/bisect/\"]", "would let"),
        ("[\"refs/worktree/\"]", "would let"),
        ("[\"refs/rewritten/\"]", "would let"),
        ("[\"refs/\"]", "would let `refs/replace/` be pushed"),
        ("[\"heads/\"]", "write \"refs/heads/\""),
        ("[\"refs/heads\"]", "write \"refs/heads/\""),
        ("[\"refs/**\"]", "is a pattern"),
        ("[\"refs//x/\"]", "it has an empty component"),
        ("[\"refs/heads/\", \"refs/heads/\"]", "is listed twice"),
        ("[]", "without namespaces nothing can be pushed"),
    ] {
        let text = with("server = \"sshd\"", &format!("namespaces = {namespaces}"));
        let seen = Place::new().errors(&text);
        assert!(seen.contains(wanted), "{wanted}\n{seen}");
        assert_eq!(seen.matches("error:").count(), 1, "{seen}");
    }
}

#[test]
fn all_errors_are_reported_in_order() {
    let text = with("socket = \"run/hook.sock\"", "socket = 1")
        .replace("server = \"sshd\"", "server = \"x\"")
        .replace("\"refs/heads/main\"", "\"main\", \"tags/v*\"")
        .replace("unsigned-commit = true", "unsigned = true\nforce-push = 3")
        + "[limits]\nrefs = 0\ndeadline = \"x\"\n[nonsense]\n";
    let error = Place::new().load(&text).unwrap_err();
    let places: Vec<(usize, usize)> = error.diagnostics().iter().map(|one| (one.line, one.column)).collect();
    assert_eq!(places, [(2, 10), (10, 10), (18, 9), (18, 17), (22, 1), (23, 14), (26, 8), (27, 12), (28, 2)]);
}

#[test]
fn syntax_errors_have_places_and_do_not_hide_the_rest() {
    let seen = Place::new().errors(&with("state = \"state\"", "state = \"state"));
    assert!(seen.starts_with("error: ") && seen.contains("DIR/c.toml:3:"), "{seen}");
    let error = Place::new().load(&with("state = \"state\"", "state = = 1\nsocekt = 2")).unwrap_err();
    assert!(error.diagnostics().iter().any(|one| one.message.contains("socekt")), "{error}");
    let seen = Place::new().errors(&with("state = \"state\"", "state = \"s\"\nstate = \"t\""));
    assert!(seen.contains("duplicate key") && seen.contains("c.toml:4:1"), "{seen}");
    let seen = Place::new().errors("");
    assert_eq!(seen.matches("error:").count(), 4, "{seen}");
}

#[test]
fn bytes_that_are_no_text_and_files_that_are_no_files() {
    let place = Place::new();
    fs::write(place.path(), b"a = 1\n\xff").unwrap();
    let seen = config::load(&place.path()).unwrap_err().to_string();
    assert!(seen.contains("the file is not UTF-8 text"), "{seen}");
    fs::remove_file(place.path()).unwrap();
    let seen = config::load(&place.path()).unwrap_err();
    assert_eq!(seen.diagnostics().len(), 1);
    assert!(seen.to_string().contains("cannot read the file: No such file"), "{seen}");
    fs::create_dir(place.path()).unwrap();
    assert!(config::load(&place.path()).unwrap_err().to_string().contains("not a regular file"));
    fs::remove_dir(place.path()).unwrap();
    let made = std::process::Command::new("mkfifo").arg(place.path()).status();
    if made.is_ok_and(|status| status.success()) {
        assert!(config::load(&place.path()).unwrap_err().to_string().contains("not a regular file"));
    }
}

#[test]
fn what_others_can_write_is_refused() {
    for (mode, who) in [(0o664, "its group"), (0o646, "everybody"), (0o666, "its group and everybody else")] {
        let place = Place::new();
        place.write("c.toml", GOOD);
        chmod(&place.path(), mode);
        let seen = config::load(&place.path()).unwrap_err().to_string();
        let wanted = format!("error: the file can be written by {who} (mode {mode:04o})");
        assert!(seen.contains(&wanted) && seen.contains("help: chmod go-w '"), "{seen}");
    }
    let place = Place::new();
    place.write("c.toml", GOOD);
    chmod(place.dir.path(), 0o1777);
    let seen = config::load(&place.path()).unwrap_err().to_string();
    assert!(seen.contains("error: the directory can be written by"), "{seen}");
    assert_eq!(seen.matches("error:").count(), 1, "the same directory is reported once: {seen}");
}

#[test]
fn what_the_own_account_can_write_is_a_warning_unless_it_is_root() {
    let place = Place::new();
    let loaded = place.load(GOOD).unwrap();
    let own = loaded.warnings.iter().filter(|one| one.message.starts_with(OWN)).count();
    let root = rustix::process::geteuid().is_root();
    assert_eq!(own, if root { 0 } else { 2 }, "the file and its directory");
}

#[test]
fn a_link_is_no_way_around_the_checks() {
    let place = Place::new();
    let other = Place::new();
    chmod(other.dir.path(), 0o777);
    symlink(other.write("real.toml", GOOD), place.path()).unwrap();
    let seen = config::load(&place.path()).unwrap_err().to_string();
    assert!(seen.contains("the directory can be written by"), "{seen}");
    chmod(other.dir.path(), 0o755);
    assert!(config::load(&place.path()).is_ok(), "relative paths hang on the link's directory");
}

fn included(place: &Place) -> String {
    fs::create_dir(place.dir.path().join("rulesets.d")).unwrap();
    chmod(&place.dir.path().join("rulesets.d"), 0o755);
    with("uncovered = \"accept\"", "uncovered = \"accept\"\ninclude = \"rulesets.d/*.toml\"")
}

const TIGHTER: &str = "[[ruleset]]\nname = \"NAME\"\nrepositories = [\"**\"]\nrefs = [\"refs/tags/**\"]\n\
                       [ruleset.refuse]\nref-deletion = true\n";

#[test]
fn included_files_add_rulesets_in_order() {
    let place = Place::new();
    let text = included(&place);
    assert_eq!(place.warnings(&text), ["`include` matches no file"]);
    let alone = place.ok(&text).digest;
    place.write("rulesets.d/b.toml", &TIGHTER.replace("NAME", "b"));
    place.write("rulesets.d/a.toml", &TIGHTER.replace("NAME", "a"));
    place.write("rulesets.d/.hidden.toml", "nonsense");
    place.write("rulesets.d/other.txt", "nonsense");
    let config = place.ok(&text);
    let names: Vec<&str> = config.policy.configured().map(|ruleset| ruleset.name.as_str()).collect();
    assert_eq!(names, ["production", "a", "b"]);
    assert_ne!(config.digest, alone, "the digest covers what is included");
}

#[test]
fn included_files_can_only_tighten() {
    let place = Place::new();
    let text = included(&place);
    place.write("rulesets.d/a.toml", "[policy]\nuncovered = \"accept\"\n[keyring]\npath = \"/tmp\"\n");
    let seen = place.errors(&text);
    assert_eq!(seen.matches("in an included file, which only holds `[[ruleset]]`").count(), 2, "{seen}");
    place.write("rulesets.d/a.toml", &TIGHTER.replace("NAME", "production"));
    let seen = place.errors(&text);
    assert!(
        seen.contains("is already at DIR/c.toml:17:8") && seen.contains("rulesets.d/a.toml:2:8"),
        "{seen}"
    );
    chmod(&place.write("rulesets.d/a.toml", &TIGHTER.replace("NAME", "a")), 0o666);
    assert!(place.errors(&text).contains("the file can be written by"));
    chmod(&place.write("rulesets.d/a.toml", &TIGHTER.replace("NAME", "a")), 0o644);
    chmod(&place.dir.path().join("rulesets.d"), 0o777);
    assert!(place.errors(&text).contains("the directory can be written by"));
}

#[test]
fn include_patterns_are_plain() {
    for (include, wanted) in [
        ("*/x.toml", "only the last part of `include` may have wildcards"),
        ("nowhere/*.toml", "No such file"),
        ("*.toml", "`include` matches the file that it stands in"),
        ("[.toml", "is not a valid glob"),
        ("", "a path cannot be empty"),
    ] {
        let text =
            with("uncovered = \"accept\"", &format!("uncovered = \"accept\"\ninclude = \"{include}\""));
        let seen = Place::new().errors(&text);
        assert!(seen.contains(wanted) && seen.contains("c.toml:14:11"), "{wanted}\n{seen}");
    }
}

#[test]
fn the_digest_is_that_of_the_bytes() {
    let place = Place::new();
    let first = place.ok(GOOD).digest;
    assert_eq!(first, place.ok(GOOD).digest);
    assert_ne!(first, place.ok(&format!("{GOOD}# x\n")).digest);
}

#[test]
fn what_is_odd_is_a_warning() {
    let no_rulesets = GOOD.split("[[ruleset]]").next().unwrap();
    let warnings = Place::new().warnings(no_rulesets);
    assert!(matches!(&warnings[..], [one] if one.starts_with("there are no rulesets")), "{warnings:?}");
    let warnings = Place::new().warnings(&with("server = \"sshd\"\n", ""));
    assert!(matches!(&warnings[..], [one] if one.starts_with("`server` is not set")), "{warnings:?}");
    // Where all repositories are a forge's, nobody pushes to here.
    let source = "\n[[source]]\nname = \"hub\"\nforge = \"github\"\nsecrets = [{ file = \"hook.secret\" }]\n\
                  repositories = [\"acme/infra\"]\nurl = \"https://forge.example.org/{repository}.git\"\n";
    let place = Place::new();
    let tells = |text: &str| place.warnings(text).iter().any(|one| one.starts_with("`server` is not set"));
    let text = with("server = \"sshd\"\n", "") + source;
    assert!(!tells(&text));
    let loaded = place.ok(&text);
    std::fs::create_dir(loaded.repositories.root.join("own.git")).unwrap();
    assert!(tells(&text));
    // A log says itself that it is a warning.
    let warnings = place.load(&text).unwrap().warnings;
    let told = warnings.iter().map(config::Warning::told).find(|one| one.contains("`server`")).unwrap();
    assert!(told.starts_with("`server` is not set") && told.contains("c.toml"), "{told}");
}

#[test]
fn n02_selectors_that_select_nothing_are_warnings() {
    let place = Place::new();
    let config = place.ok(GOOD);
    let warnings = config::lint(&config, &Keyring::empty(), &["other/x".to_owned()]);
    let text: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    let text = text.join("\n").replace(place.dir.path().to_str().unwrap(), "DIR");
    assert_eq!(
        text,
        "warning: the keyring `DIR/keyring` is empty: every signature is by an unknown key; add one with \
         `countersign keyring add NAME --key FILE`\n\
         warning: ruleset `production` matches none of the known repositories\n  --> DIR/c.toml:17:1\n\
         warning: `group:sre` selects nobody in the keyring\n  --> DIR/c.toml:23:1"
    );
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILjsHwrk323j4INnHZE7APILaq2LJfnCnC3UFBUa+iCZ";
    let file = format!("name = \"ann\"\ngroups = [\"srf\"]\n[[key]]\nssh = \"{key}\"\n");
    place.write("keyring/ann.toml", &file);
    let keyring = Keyring::load(&config.keyring).unwrap().keyring;
    let warnings = config::lint(&config, &keyring, &["infra/x".to_owned()]);
    assert!(
        warnings.len() == 1 && warnings[0].message.ends_with("did you mean `group:srf`?"),
        "{warnings:?}"
    );
}

#[test]
fn a_value_of_the_wrong_sort_is_named() {
    let errors = |rule: &str| Place::new().errors(&with("unsigned-commit = true", rule));
    for (rule, message, help) in [
        (
            "unauthorized-pusher = { create = \"group:x\" }",
            "`create` is a string, not a list",
            "[\"group:x\"]",
        ),
        (
            "missing-ticket = { projects = [\"OPS\"], minimum = \"2\" }",
            "`minimum` is a string, not a number",
            "write 2",
        ),
        ("work-in-progress = { markers = \"WIP\" }", "`markers` is a string, not a list", "[\"WIP\"]"),
        ("missing-ticket = true", "missing field `projects`", "`projects` is required: "),
        ("email-domain = true", "it needs `domains = ", "corp.example"),
    ] {
        let text = errors(rule);
        assert!(text.contains(message) && text.contains(help), "{text}");
    }
    let bypass = "[[ruleset.bypass]]\nwho = [\"person:a\"]\nproof = \"key\"\nrules = [\"missing-tickets\"]\nreason = \"x\"\n";
    let text = Place::new().errors(&format!(
        "{}{bypass}",
        GOOD.replace("unsigned-commit = true\nuntrusted", "unsigned_commit = true\nuntrustet")
    ));
    assert!(text.contains("did you mean \"missing-ticket\"?"), "{text}");
}

#[test]
fn n02_patterns_that_protect_nothing_are_errors_or_warnings() {
    let place = Place::new();
    let error = |from: &str, to: &str| place.errors(&with(from, to));
    for (wrong, right) in [
        ("\"re:main|release/.*\"", "write \"re:refs/heads/(main|release/.*)\""),
        ("\"re:refs/heads/main|master\"", "its part `master` is all of a name"),
        ("\"refs/heads/main \"", "it has one of: space"),
        ("\"~default\"", "write \"~DEFAULT\""),
    ] {
        let text = error("\"refs/heads/main\"", wrong);
        assert!(text.contains(right) && text.contains("can match no ref") && text.contains(":18:"), "{text}");
    }
    for wrong in ["/srv/git/infra", "./infra/*", "infra/app/", "infra//app"] {
        let text = error("\"infra/**\"", &format!("\"{wrong}\""));
        assert!(text.contains("can match no repository") && text.contains(":17:"), "{text}");
    }
    let lint = |from: &str, to: &str| -> String {
        let config = place.ok(&with(from, to));
        let keyring = Keyring::load(&config.keyring).unwrap().keyring;
        let warnings = config::lint(&config, &keyring, &["infra/x".to_owned()]);
        warnings.iter().map(|one| one.to_string()).collect()
    };
    for (from, to, expected) in [
        ("\"infra/**\"", "\"infra/**\", \"shop/a.git\"", "`shop/a.git` of ruleset `production` matches none"),
        ("\"infra/**\"", "\"infra/**\", \"shop/a.git\"", "without `.git`; write `shop/a`"),
        (
            "\"refs/heads/main\"",
            "\"refs/head/main\"",
            "`refs/head/main` of ruleset `production` is in none of",
        ),
        // Everybody who is known would be exempt.
        ("enforcement", "actors = [\"group:contractor\"]\nenforcement", "`group:contractor` selects nobody"),
    ] {
        let text = lint(from, to);
        assert!(text.contains(expected), "no {expected:?} in {text}");
    }
    let bypass = "\n[[ruleset.bypass]]\nwho = [\"person:nobody\"]\nproof = \"pusher\"\nrules = [\"unsigned-commit\"]\nreason = \"x\"\n";
    let last = "untrusted-signer = { allow = [\"group:sre\"] }\n";
    let text = lint(last, &format!("{last}{bypass}"));
    assert!(text.contains("`person:nobody` selects nobody"), "{text}");
}

#[test]
fn signers_without_an_address_are_a_warning_under_identity_mismatch() {
    let place = Place::new();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILjsHwrk323j4INnHZE7APILaq2LJfnCnC3UFBUa+iCZ";
    let file = |more: &str| format!("name = \"ann\"\ngroups = [\"sre\"]\n{more}[[key]]\nssh = \"{key}\"\n");
    let lint = |rule: &str, more: &str| -> Vec<String> {
        let list = "untrusted-signer = { allow = [\"group:sre\"] }\n";
        let config = place.ok(&with(list, &format!("{list}{rule}")));
        place.write("keyring/ann.toml", &file(more));
        let keyring = Keyring::load(&config.keyring).unwrap().keyring;
        let warnings = config::lint(&config, &keyring, &[]);
        warnings.iter().map(|one| one.message.clone()).collect()
    };
    let warned = lint("identity-mismatch = true\n", "");
    assert!(
        matches!(&warned[..], [one] if one.starts_with("the keyring has no e-mail of `person:ann`, so nothing")),
        "{warned:?}"
    );
    for (rule, more) in [
        ("", ""),
        ("identity-mismatch = true\n", "emails = [\"ann@example.org\"]\n"),
        ("identity-mismatch = { except = [\"person:ann\"] }\n", ""),
    ] {
        assert_eq!(lint(rule, more), Vec::<String>::new(), "{rule} {more}");
    }
}

#[test]
fn the_shipped_example_loads_with_all_that_it_shows() {
    let example = include_str!("../config/countersign.example.toml");
    let place = Place::new();
    let text = example.replace("/srv/git", "repositories");
    assert!(place.warnings(&text).is_empty());
    let config = place.ok(&text);
    assert_eq!(config.policy.configured().count(), 3);
    // With every comment that is an option switched on it loads as well, so that none of them is wrong.
    let mut all = String::new();
    for line in text.lines() {
        let option = line
            .strip_prefix("# ")
            .filter(|rest| rest.contains(" = ") || (rest.starts_with('[') && rest.ends_with(']')));
        let option = option
            .filter(|rest| rest.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte == b'['));
        all.push_str(option.unwrap_or(line));
        all.push('\n');
    }
    assert_ne!(all, text);
    fs::create_dir(place.dir.path().join("rulesets.d")).unwrap();
    chmod(&place.dir.path().join("rulesets.d"), 0o755);
    let switched = place.ok(&all);
    assert_eq!(switched.limits, Limits::default(), "the example shows the defaults");
    assert_eq!(switched.signatures, Rules::default(), "the example shows the defaults");
    assert_eq!(switched.daemon.deadline, Duration::from_secs(30));
    assert_eq!(switched.daemon.last_good, Duration::from_secs(24 * 3600), "the example shows the defaults");
    assert_eq!(switched.repositories.namespaces, config.repositories.namespaces);
    let source = &switched.sources[0];
    assert_eq!((source.max_body, source.sweep), (config::Source::MAX_BODY, Some(config::Source::SWEEP)));
    assert_eq!(source.path, format!("/hooks/{}", source.name), "the example shows the defaults");
    assert_eq!((source.fetch.deadline, source.fetch.quota), (config::Fetch::DEADLINE, config::Fetch::QUOTA));
    assert!(switched.daemon.tls.is_some() && source.report.is_some());
}

#[test]
fn docs_describe_every_key() {
    let docs = include_str!("../docs/config.md");
    for key in [
        "contact",
        "socket",
        "listen",
        "state",
        "clients",
        "last-good",
        "path",
        "root",
        "server",
        "namespaces",
        "allow-symref-push",
        "uncovered",
        "include",
        "name",
        "repositories",
        "refs",
        "enforcement",
        "refuse",
        "commits",
        "parents",
        "object-bytes",
        "push-bytes",
        "message-bytes",
        "tag-depth",
        "violations",
        "deadline",
        "tls",
        "certificate",
        "key",
        "trusted-proxies",
        "forge",
        "secrets",
        "url",
        "max-body",
        "sweep",
        "restore",
        "restore-created",
        "administrators",
        "id",
        "credential",
        "user",
        "known-hosts",
        "authority",
        "quota",
        "api",
        "token",
        "app",
        "check-runs",
        "link",
    ] {
        assert!(docs.contains(&format!("| `{key}` |")), "{key}");
    }
    for forge in ForgeKind::ALL {
        assert!(docs.contains(&format!("| `{}` |", forge.name())), "{}", forge.name());
    }
    for kind in ServerKind::ALL {
        assert!(docs.contains(&format!("| `{}` | `{}` |", kind.name(), kind.variable())), "{}", kind.name());
    }
}

fn check(path: &Path, format: Format) -> (u8, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code =
        config_check::run(&config_check::CheckArgs::default(), path, format, &mut out, &mut err).unwrap();
    assert!(err.is_empty());
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn init_makes_what_loads_and_overwrites_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let new = dir.path().join("a \"quoted\" one");
    let mut out = Vec::new();
    assert_eq!(init::run(init::InitArgs { dir: new.clone() }, &mut out), Ok(0));
    let config = new.join("countersign.toml");
    let loaded = config::load(&config).unwrap().config;
    assert_eq!(loaded.daemon.socket, new.join("run/hook.sock"));
    assert_eq!(loaded.daemon.state, new.join("state"));
    assert_eq!(loaded.keyring.dir, new.join("keyring"));
    assert_eq!(loaded.repositories.server, None, "a variable that nobody sets would stop every push");
    assert_eq!(fs::metadata(new.join("state")).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(Keyring::load(&loaded.keyring).unwrap().warnings.iter().all(|one| one.message.starts_with(OWN)));
    let (code, text) = check(&config, Format::Text);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("the keyring ") && text.contains("loads: 3 rulesets, 0 principals, 0 keys"),
        "{text}"
    );

    fs::write(&config, "mine").unwrap();
    let error = init::run(init::InitArgs { dir: new.clone() }, &mut out).unwrap_err();
    assert!(error.code == 2 && error.message.ends_with("exists; nothing is overwritten"), "{error}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "mine");

    let open = dir.path().join("open");
    fs::create_dir(&open).unwrap();
    chmod(&open, 0o777);
    assert!(init::run(init::InitArgs { dir: open }, &mut out).unwrap_err().message.contains("chmod go-w"));
    let long = dir.path().join("x".repeat(100));
    assert!(init::run(init::InitArgs { dir: long.clone() }, &mut out).is_err());
    assert!(!long.exists(), "nothing is left behind");
}

/// What forges have is known as well: a ruleset for it matches, and a mistyped one protects nothing.
#[test]
fn check_knows_what_is_watched_and_what_cannot_be_read() {
    let place = Place::new();
    let secret = |name: &str, text: &str| {
        let path = place.write(name, text);
        chmod(&path, 0o600);
    };
    secret("hook.secret", "a secret of the tests, long enough");
    let source = "\n[[source]]\nname = \"hub\"\nforge = \"github\"\nsecrets = [{ file = \"hook.secret\" }]\n\
        repositories = [\"acme/infra\"]\nurl = \"https://github.com/{repository}.git\"\n";
    let checked = |text: &str| {
        place.write("c.toml", text);
        check(&place.path(), Format::Text)
    };
    let (code, text) = checked(&format!("{}{source}", with("infra/**", "hub/acme/**")));
    assert!(code == 0 && !text.contains("none of the known repositories"), "{text}");
    for mistyped in ["hbu/acme/**", "hub/amce/infra", "acme/infra"] {
        let (code, text) = checked(&format!("{}{source}", with("infra/**", mistyped)));
        assert!(code == 0 && text.contains("matches none of the known repositories"), "{mistyped}: {text}");
    }
    let more = "[source.fetch]\ncredential = { file = \"fetch.token\" }\nauthority = \"ca.pem\"\n\
        [source.report]\napi = \"https://api.github.com\"\n\
        app = { id = 1, installation = 2, key = { file = \"app.pem\" } }\n";
    let all = format!("{}{source}{more}", with("infra/**", "hub/acme/**"));
    secret("app.pem", "no key");
    let (code, text) = checked(&all);
    for wanted in
        ["`credential` in [source.fetch]", "`authority` in [source.fetch]", "`app` in [source.report]"]
    {
        assert!(
            code == 0 && text.contains(&format!("{wanted} of source `hub` cannot be used")),
            "{wanted}: {text}"
        );
    }
    secret("fetch.token", "hunter2");
    chmod(&place.dir.path().join("fetch.token"), 0o644);
    assert!(checked(&all).1.contains("is open to everybody"));
    chmod(&place.dir.path().join("fetch.token"), 0o600);
    let (_, text) = checked(&all);
    assert!(!text.contains("`credential` in") && !text.contains("hunter2"), "{text}");
}

#[test]
fn check_says_whether_it_loads() {
    let place = Place::new();
    place.write("c.toml", GOOD);
    fs::create_dir_all(place.dir.path().join("repositories/infra/a.git/objects")).unwrap();
    fs::write(place.dir.path().join("repositories/infra/a.git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let (code, text) = check(&place.path(), Format::Text);
    assert_eq!(code, 0);
    assert!(!text.contains("none of the known repositories"), "{text}");
    assert!(text.contains("loads: 1 ruleset, 0 principals, 0 keys; "), "{text}");
    let (code, text) = check(&place.path(), Format::Json);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["ok"], &json["summary"]["repositories"]), (0, &true.into(), &1.into()));

    place.write("c.toml", &with("unsigned-commit", "unsigned-comit"));
    let (code, text) = check(&place.path(), Format::Text);
    assert_eq!(code, 2);
    assert!(
        text.contains("did you mean `unsigned-commit`?") && text.ends_with("does not load: 1 error\n"),
        "{text}"
    );
    let (code, text) = check(&place.path(), Format::Json);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &json["ok"], &json["errors"][0]["line"]), (2, &false.into(), &22.into()));

    place.write("c.toml", GOOD);
    place.write("keyring/x.toml", "name = \"y\"\n");
    let (code, text) = check(&place.path(), Format::Text);
    assert!(code == 2 && text.contains("keyring/x.toml:1:8"), "{text}");
}

#[test]
fn n02_check_warns_of_patterns_that_match_no_ref() {
    let place = Place::new();
    place.write("c.toml", GOOD);
    let bare = place.dir.path().join("repositories/infra/a.git");
    fs::create_dir_all(&bare).unwrap();
    let git = |arguments: &[&str]| {
        let status = std::process::Command::new("git")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.org", "--git-dir"])
            .arg(&bare)
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{arguments:?}");
    };
    git(&["init", "--quiet", "--bare"]);
    let warned = |text: &str| text.contains("`refs/heads/main` of ruleset `production` matches no ref that");
    assert!(!warned(&check(&place.path(), Format::Text).1), "a repository without refs proves nothing");
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    git(&["hash-object", "-t", "tree", "-w", "/dev/null"]);
    fs::create_dir_all(bare.join("refs/heads")).unwrap();
    fs::write(bare.join("refs/heads/mian"), format!("{tree}\n")).unwrap();
    let (code, text) = check(&place.path(), Format::Text);
    assert!(code == 0 && warned(&text), "{text}");
    fs::write(bare.join("refs/heads/main"), format!("{tree}\n")).unwrap();
    assert!(!warned(&check(&place.path(), Format::Text).1));
}

#[test]
fn nothing_from_a_file_reaches_the_terminal_raw() {
    let text = with("enforcement = \"enforce\"", "\"\\u001b[31m\\u202e\" = \"enforce\"")
        .replace("\"group:sre\"", "\"a\\u001b]0;x\\u0007\"")
        .replace("\"infra/**\"", "\"[\\u001b\"")
        .replace("\"sshd\"", "\"\\u009b31m\"");
    let place = Place::new();
    let error = place.load(&text).unwrap_err();
    assert!(error.diagnostics().len() >= 4);
    let shown = error.to_string();
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{9b}', '\u{7}']), "{shown:?}");
    let raw = place.errors(&format!("{GOOD}# \u{1b}[31m\n\"\u{202e}\" = 1\n"));
    assert!(!raw.contains(['\u{1b}', '\u{202e}']), "{raw:?}");
}

#[test]
fn the_keyring_has_other_sources() {
    let place = Place::new();
    let more = "path = \"keyring\"\n[[keyring.allowed-signers]]\npath = \"signers\"\ngroups = [\"a\", \"b\"]\n\
                timezone = \"Europe/Berlin\"\n[[keyring.allowed-signers]]\npath = \"/abs\"\n\
                [[keyring.revocation]]\npath = \"gone\"\n[[keyring.revocation]]\npath = \"old\"\n\
                reason = \"retired\"\nat = 2026-01-01T00:00:00Z\nallow-empty = true\n";
    let keyring = place.ok(&with("path = \"keyring\"", more)).keyring;
    let dir = place.dir.path();
    let [first, second] = &keyring.allowed_signers[..] else { panic!("there are two") };
    assert_eq!((first.path.clone(), first.groups.len()), (dir.join("signers"), 2));
    assert_eq!(first.zone.as_ref().unwrap().iana_name(), Some("Europe/Berlin"));
    assert_eq!((second.path.to_str(), second.zone.is_none()), (Some("/abs"), true));
    let [first, second] = &keyring.revocations[..] else { panic!("there are two") };
    let always = Revocation { at: None, effective_from: None, reason: Reason::Compromised };
    assert_eq!((&first.path, &first.revocation, first.allow_empty), (&dir.join("gone"), &always, false));
    assert!(
        second.allow_empty && second.revocation.reason == Reason::Retired && second.revocation.at.is_some()
    );

    for (more, wanted) in [
        ("[[keyring.allowed-signers]]\ngroups = []", "`path` is missing in [[keyring.allowed-signers]]"),
        ("[[keyring.allowed-signers]]\npath = \"x\"\ntimezone = \"Mars/Base\"", "is no time zone"),
        ("[[keyring.allowed-signers]]\npath = \"x\"\ntimezone = \"\"", "is no time zone"),
        ("[[keyring.allowed-signers]]\npath = \"x\"\ngroups = [\"A\"]", "cannot name a group"),
        ("[[keyring.allowed-signers]]\npath = \"x\"\ngroup = [\"a\"]", "did you mean `groups`?"),
        ("allowed-signers = \"x\"", "write `[[keyring.allowed-signers]]` above it"),
        ("[[keyring.revocation]]\nreason = \"retired\"", "`path` is missing in [[keyring.revocation]]"),
        ("[[keyring.revocation]]\npath = \"x\"\nreason = \"bad\"", "`reason` cannot be \"bad\""),
        (
            "[[keyring.revocation]]\npath = \"x\"\nreason = \"retired\"\neffective-from = 2026-01-01T00:00:00Z",
            "goes with \"compromised\" only",
        ),
    ] {
        let text = with("path = \"keyring\"", &format!("path = \"keyring\"\n{more}"));
        let seen = place.errors(&text);
        assert!(seen.contains(wanted) && seen.matches("error:").count() == 1, "{wanted}\n{seen}");
    }
}

#[test]
fn bypasses_and_actors_are_checked_like_everything_else() {
    let with_force = with("unsigned-commit = true", "unsigned-commit = true\nforce-push = true");
    let bypass = |lines: &str| {
        with_force.replace("[ruleset.refuse]", &format!("[[ruleset.bypass]]\n{lines}\n[ruleset.refuse]"))
    };
    let full = "who = [\"group:sre\"]\nproof = \"pusher\"\nrules = [\"force-push\"]\nreason = \"releases\"";
    let loaded = Place::new().load(&bypass(&format!("{full}\nrefs = [\"~DEFAULT\"]\nask = true"))).unwrap();
    let found = &loaded.config.policy.rulesets[0].bypass[0];
    assert_eq!(
        (found.rules.as_slice(), found.ask, found.proof),
        (&["force-push".to_owned()][..], true, Proof::Pusher)
    );
    assert!(loaded.warnings.iter().all(|warning| !warning.to_string().contains("bypass")));
    let expired = Place::new().load(&bypass(&format!("{full}\nexpires = 2020-01-01T00:00:00Z"))).unwrap();
    let warned = |warning: &Warning| warning.to_string().contains("expired at 2020-01-01T00:00:00Z");
    assert!(expired.warnings.iter().any(warned));

    for (lines, fragment) in [
        ("", "`who`"),
        ("who = []\nproof = \"key\"\nrules = [\"unsigned-commit\"]\nreason = \"x\"", "selects nobody"),
        (
            "who = [\"kind:agent\"]\nproof = \"key\"\nrules = [\"unsigned-commit\"]\nreason = \"x\"",
            "agent never",
        ),
        (
            "who = [\"group:sre\"]\nproof = \"word\"\nrules = [\"force-push\"]\nreason = \"x\"",
            "cannot be \"word\"",
        ),
        (
            "who = [\"group:sre\"]\nproof = \"key\"\nrules = [\"force-push\"]\nreason = \"x\"",
            "a signature cannot show",
        ),
        (
            "who = [\"group:sre\"]\nproof = \"pusher\"\nrules = [\"symref-push\"]\nreason = \"x\"",
            "not a rule of this ruleset",
        ),
        (
            "who = [\"group:sre\"]\nproof = \"pusher\"\nrules = [\"force-pusj\"]\nreason = \"x\"",
            "did you mean \"force-push\"?",
        ),
        (
            "who = [\"group:sre\"]\nproof = \"pusher\"\nrules = [\"force-push\"]\nreason = \" \"",
            "a reason has",
        ),
        ("who = [\"group:sre\"]\nproof = \"pusher\"\nrules = [\"force-push\"]", "`reason`"),
    ] {
        let seen = Place::new().errors(&bypass(lines));
        assert!(seen.contains(fragment) && seen.contains("c.toml:"), "{lines}: {seen}");
    }
    // Who pushes has to be known to somebody (N18).
    let nobody = |text: String| Place::new().errors(&text.replace("server = \"sshd\"\n", ""));
    assert!(nobody(bypass(full)).contains("`bypass` of ruleset `production` needs to know who pushes"));
    let actors = with("enforcement = \"enforce\"", "actors = [\"group:sre\"]");
    assert!(nobody(actors).contains("`actors` of ruleset `production` needs to know who pushes"));
    for rule in ["pusher-mismatch = true", "unauthorized-pusher = { update = [\"group:sre\"] }"] {
        let text = with("untrusted-signer = { allow = [\"group:sre\"] }", rule);
        Place::new().ok(&text);
        let name = rule.split(' ').next().unwrap();
        let wanted = format!("`{name}` of ruleset `production` needs to know who pushes");
        assert!(nobody(text).contains(&wanted), "{rule}");
    }
}

#[test]
fn n13_a_receipt_from_before_a_time_to_come_exempts_nothing() {
    let to_come = "weak-signature = { min-bits = { rsa = 3072 }, effective-from = 2199-01-01T00:00:00Z }";
    golden(
        &with("unsigned-commit = true", to_come),
        r#"
error: `effective-from` is in the future: 2199-01-01T00:00:00Z
  --> DIR/c.toml:22:47
    |
 22 | weak-signature = { min-bits = { rsa = 3072 }, effective-from = 2199-01-01T00:00:00Z }
    |                                               ^^^^^^^^^^^^^^
    = help: it exempts what the record has from before; write a time that has passed, or add the rule when it is to begin
"#,
    );
    let passed = "weak-signature = { min-bits = { rsa = 3072 }, effective-from = 2025-01-01T00:00:00Z }";
    Place::new().ok(&with("unsigned-commit = true", passed));
}
