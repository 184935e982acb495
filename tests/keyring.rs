//! The keyring: what loads, what counts, and how it is changed.

#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

#[path = "support/ssh_craft.rs"]
mod craft;
#[path = "keyring/edits.rs"]
mod edits;
#[path = "keyring/export.rs"]
mod export;
#[path = "keyring/formats.rs"]
mod formats;
#[path = "support/keys.rs"]
mod gnupg;
#[path = "keyring/import.rs"]
mod import;
#[path = "keyring/people.rs"]
mod people;
#[path = "keyring/revisions.rs"]
mod revisions;
#[path = "keyring/signed.rs"]
mod signed;
#[path = "keyring/sources.rs"]
mod sources;

use countersign::cli::common::Format;
use countersign::cli::keyring::{self as cli, AddArgs, KeyringArgs, KeyringCommand, ListArgs, ShowArgs};
use countersign::domain::{ObjectFormat, PrincipalKind, ServerKind, Timestamp};
use countersign::keyring::export::{Selection, Target};
use countersign::keyring::{AddRequest, Added, EditError, Keyring, Material, Reason, Standing, add};
use countersign::signature::object::{SignatureField, parse_commit};
use countersign::signature::{self, KeyId, Keys, Rules, Scheme, SignatureStatus, Times};
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

const ANN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOJaXzR/ywf7UudEZKOnGRUNAVLhzkP24lyaYdM5k4CS";
const BOB: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdCKdpbqvoIHJXbkSGZDXQ8jYZGNdIs4T1v0UTrO+UD";

struct Ring {
    dir: TempDir,
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

impl Ring {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        chmod(dir.path(), 0o755);
        Ring { dir }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, text).unwrap();
        chmod(&path, 0o644);
        path
    }

    fn load(&self) -> Keyring {
        Keyring::load(self.path()).map_err(|error| panic!("{error}")).unwrap().keyring
    }

    fn errors(&self) -> String {
        let error = Keyring::load(self.path()).expect_err("this must not load");
        error.to_string().replace(self.path().to_str().unwrap(), "DIR")
    }

    fn warnings(&self) -> Vec<String> {
        // Without the ones that everybody but root gets, whose own files these are.
        let own = "the account that runs this can change";
        let warnings = Keyring::load(self.path()).unwrap().warnings;
        let others = warnings.iter().filter(|one| !one.message.starts_with(own));
        others.map(|one| one.to_string().replace(self.path().to_str().unwrap(), "DIR")).collect()
    }

    fn add(&self, request: &AddRequest) -> Result<Added, EditError> {
        add(self.path(), request, Timestamp::now())
    }
}

fn principal(name: &str, key: &str) -> String {
    format!("name = \"{name}\"\n\n[[key]]\nssh = \"{key}\"\n")
}

fn request(name: &str, key: impl Into<Vec<u8>>) -> AddRequest {
    AddRequest {
        name: name.into(),
        kind: None,
        emails: Vec::new(),
        groups: Vec::new(),
        accounts: Vec::new(),
        key: Some(key.into()),
        reused: Vec::new(),
        returning: false,
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[track_caller]
fn golden(text: &str, wanted: &str) {
    let ring = Ring::new();
    ring.write("ann.toml", text);
    let seen = ring.errors();
    assert_eq!(seen, wanted.trim_matches('\n'), "\n--- seen ---\n{seen}\n---");
}

fn run(program: &str, args: &[&str], dir: &Path, input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(args)
        .current_dir(dir)
        .env("GNUPGHOME", dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Makes an SSH key pair; gives the public line. The private key is in `DIR/NAME`.
fn ssh_key(dir: &Path, name: &str, kind: &[&str]) -> String {
    let mut args = vec!["-q", "-N", "", "-C", "ann@laptop", "-f", name];
    args.extend(kind);
    run("ssh-keygen", &args, dir, b"");
    fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap()
}

#[test]
fn an_empty_directory_is_an_empty_keyring() {
    let ring = Ring::new();
    let keyring = ring.load();
    assert!(keyring.principals().is_empty() && keyring.keys().is_empty());
    assert_eq!(keyring.digest(), Keyring::empty().digest());
    ring.write("ann.toml", &principal("ann", ANN));
    let one = ring.load();
    assert_ne!(one.digest(), keyring.digest());
    ring.write("ann.toml", &format!("{}# a comment\n", principal("ann", ANN)));
    assert_ne!(ring.load().digest(), one.digest());
}

#[test]
fn what_is_written_is_what_is_read() {
    let ring = Ring::new();
    ring.write(
        "ann.toml",
        &format!(
            "name = \"ann\"\nkind = \"agent\"\nemails = [\"ann@example.org\"]\ngroups = [\"sre\", \"web-1\"]\n\
             [[key]]\nssh = \"{ANN} a comment\"\nvalid-from = 2026-01-01T00:00:00Z\n\
             valid-until = \"2027-01-01T00:00:00+01:00\"\n\
             revoked = {{ at = 2026-06-01T00:00:00Z, effective-from = 2026-05-01T00:00:00Z, reason = \"compromised\" }}\n"
        ),
    );
    ring.write("bob.toml", &principal("bob", BOB));
    let keyring = ring.load();
    let names: Vec<&str> = keyring.principals().iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["ann", "bob"]);
    let key = &keyring.keys()[0];
    assert_eq!((key.principal.kind, key.principal.groups.len()), (PrincipalKind::Agent, 2));
    assert_eq!(key.windows.begins(), Some(time("2026-01-01T00:00:00Z")));
    assert_eq!(key.windows.ends(), Some(time("2026-12-31T23:00:00Z")));
    let revoked = key.revoked.as_ref().unwrap();
    assert_eq!(
        (revoked.reason, revoked.effective_from),
        (Reason::Compromised, Some(time("2026-05-01T00:00:00Z")))
    );
    assert_eq!((key.place.line, key.place.column), (5, 1));
    let Material::Ssh(public) = &key.material else { panic!("this is an SSH key") };
    assert!(keyring.has_ssh(public.blob()));
    assert!(!keyring.has_ssh(b"") && !keyring.has_ssh(&public.blob()[1..]));
    assert!(keyring.openpgp_by_key_id([0; 8]).is_empty());
    assert_eq!(keyring.find(&key.id()).unwrap().principal.name, "ann");
    assert_eq!(keyring.principal("bbo"), Err(Some("bob")));
}

#[test]
fn names_are_those_of_the_files() {
    golden(
        "name = \"bob\"\n",
        r#"
error: the file is called `ann.toml`, and the name in it is `bob`
  --> DIR/ann.toml:1:8
   |
 1 | name = "bob"
   |        ^^^^^
   = help: rename the file to `bob.toml`, or write `name = "ann"`
"#,
    );
    golden(
        "kind = \"person\"\n",
        r#"
error: `name` is missing in the principal's file
  --> DIR/ann.toml
   = help: write `name = "ann"`, the file's name without `.toml`
"#,
    );
    let ring = Ring::new();
    ring.write("An n.toml", "name = \"An n\"\n");
    assert_eq!(ring.errors().matches("cannot name a principal").count(), 2);
}

#[test]
fn unknown_keys_are_refused_with_a_suggestion() {
    golden(
        "name = \"ann\"\nemial = [\"a@b\"]\n",
        r#"
error: unknown key `emial` in the principal's file
  --> DIR/ann.toml:2:1
   |
 2 | emial = ["a@b"]
   | ^^^^^
   = help: did you mean `emails`?
"#,
    );
    golden(
        &format!("{}valid_until = 2026-01-01T00:00:00Z\n", principal("ann", ANN)),
        r#"
error: unknown key `valid_until` in [[key]]
  --> DIR/ann.toml:5:1
   |
 5 | valid_until = 2026-01-01T00:00:00Z
   | ^^^^^^^^^^^
   = help: did you mean `valid-until`?
"#,
    );
}

#[test]
fn times_need_a_zone() {
    golden(
        &format!("{}valid-from = 2026-01-31\n", principal("ann", ANN)),
        r#"
error: `2026-01-31` has no time zone, so it means another moment on every machine
  --> DIR/ann.toml:5:14
   |
 5 | valid-from = 2026-01-31
   |              ^^^^^^^^^^
   = help: add it: `valid-from = 2026-01-31T00:00:00Z`
"#,
    );
    for (line, wanted) in [
        ("valid-from = 2026-01-31T10:00:00", "add it: `valid-from = 2026-01-31T10:00:00Z`"),
        ("valid-from = \"2026-01-31 10:00\"", "has no time zone"),
        ("valid-until = \"tomorrow\"", "`tomorrow` is not a time"),
        ("valid-until = 10:00:00", "is not a time"),
        ("valid-until = 1", "`valid-until` is not a time"),
        (
            "valid-from = 2026-01-02T00:00:00Z\nvalid-until = 2026-01-02T01:00:00+01:00",
            "`valid-until` is not after `valid-from`",
        ),
        ("revoked = true", "`revoked` says when and why"),
        ("revoked = { reason = \"retired\" }", "`at` is missing"),
        ("revoked = { at = 2026-01-01T00:00:00Z }", "`reason` is missing"),
        ("revoked = { at = 2026-01-01, reason = \"retired\" }", "has no time zone"),
        ("revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromise\" }", "did you mean \"compromised\"?"),
        (
            "revoked = { at = 2026-01-01T00:00:00Z, reason = \"retired\", effective-from = 2025-01-01T00:00:00Z }",
            "`effective-from` goes with \"compromised\" only",
        ),
        (
            "revoked = { at = 2026-01-01T00:00:00Z, reason = \"compromised\", effective-from = 2027-01-01T00:00:00Z }",
            "the compromise cannot follow its discovery",
        ),
    ] {
        let ring = Ring::new();
        ring.write("ann.toml", &format!("{}{line}\n", principal("ann", ANN)));
        let seen = ring.errors();
        assert!(seen.contains(wanted), "{wanted}\n{seen}");
        assert_eq!(seen.matches("error:").count(), 1, "{seen}");
    }
}

#[test]
fn values_are_checked() {
    for (line, wanted) in [
        ("kind = \"bots\"", "did you mean \"bot\"?"),
        ("kind = \"x\"", "one of \"person\", \"bot\", \"agent\", \"forge\""),
        ("emails = [\"ann\"]", "`ann` is no address"),
        ("emails = [\"Ann <a@b>\"]", "is no address"),
        ("emails = \"a@b\"", "write [\"a@b\"]"),
        ("emails = [\"a@b\\u202e\"]", "is no address"),
        ("groups = [\"SRE\"]", "`SRE` cannot name a group"),
        ("groups = [\"group:sre\"]", "write \"sre\""),
        ("[[key]]", "this `[[key]]` holds no key"),
        ("[key]", "`key` is a table, not a list of tables"),
        ("[[key]]\nssh = \"x\"\nopenpgp = \"y\"", "`ssh` or `openpgp`, not both"),
        ("[[key]]\nssh = 1", "`ssh` is a whole number, not a string"),
        ("[[key]]\nssh = \"ssh-ed25519\"", "a public key is one line"),
        ("[[key]]\nssh = \"ssh-ed25519 AAAA\"", "this is not an OpenSSH public key"),
        ("[[key]]\nopenpgp = \"x\"", "this is not an OpenPGP certificate"),
        ("[[key]]\nopenpgp = \"\"", "this is not an OpenPGP certificate"),
    ] {
        let ring = Ring::new();
        ring.write("ann.toml", &format!("name = \"ann\"\n{line}\n"));
        let seen = ring.errors();
        assert!(seen.contains(wanted), "{wanted}\n{seen}");
        assert_eq!(seen.matches("error:").count(), 1, "{seen}");
    }
}

#[test]
fn one_key_belongs_to_one_principal_once() {
    let ring = Ring::new();
    ring.write("ann.toml", &principal("ann", ANN));
    ring.write("bob.toml", &principal("bob", &format!("{ANN} another comment")));
    let seen = ring.errors();
    assert!(seen.contains("is held by `ann` already, at DIR/ann.toml:3:1\n  --> DIR/bob.toml:3:1"), "{seen}");
    ring.write("bob.toml", &format!("{}[[key]]\nssh = \"{BOB}\"\n", principal("bob", BOB)));
    let seen = ring.errors();
    assert!(
        seen.contains("is held by `ann` already")
            || seen.contains("DIR/bob.toml:3:1\n  --> DIR/bob.toml:5:1"),
        "{seen}"
    );
}

#[test]
fn all_faults_of_all_files_are_reported() {
    let ring = Ring::new();
    ring.write("a.toml", "name = \"b\"\nkind = \"x\"\n");
    ring.write("b.toml", "= broken\n");
    ring.write("c.toml", "name = \"c\"\nx = 1\ny = 2\n");
    let error = Keyring::load(ring.path()).unwrap_err();
    let places: Vec<(String, usize)> = error
        .diagnostics()
        .iter()
        .map(|one| (one.file.file_name().unwrap().to_string_lossy().into_owned(), one.line))
        .collect();
    for wanted in [("a.toml", 1), ("a.toml", 2), ("b.toml", 1), ("c.toml", 2), ("c.toml", 3)] {
        assert!(places.iter().any(|(file, line)| (file.as_str(), *line) == wanted), "{wanted:?} {places:?}");
    }
}

#[test]
fn private_keys_are_refused_without_echo() {
    let dir = tempfile::tempdir().unwrap();
    ssh_key(dir.path(), "id", &["-t", "ed25519"]);
    let private = fs::read_to_string(dir.path().join("id")).unwrap();
    let secret: Vec<&str> = private.lines().filter(|line| !line.starts_with("---")).collect();
    let clean = |text: &str| secret.iter().all(|line| !text.contains(line)) && !text.contains("BEGIN");

    for text in [
        format!("name = \"ann\"\n[[key]]\nssh = \"\"\"{private}\"\"\"\n"),
        format!("name = \"ann\"\n[[key]]\nopenpgp = \"\"\"{private}\"\"\"\n"),
        // Pasted without quotes, so that the syntax error is on the secret itself.
        format!("name = \"ann\"\n[[key]]\nssh = {private}"),
        format!("name = \"ann\"\n{private}"),
        // Without the lines that say what it is.
        format!("name = \"ann\"\n[[key]]\nssh = \"ssh-ed25519 {}\"\n", secret.concat()),
        format!("name = \"ann\"\n[[key]]\nssh = {}\n", secret.concat()),
    ] {
        let ring = Ring::new();
        ring.write("ann.toml", &text);
        let seen = ring.errors();
        assert!(clean(&seen), "{seen}");
    }
    let ring = Ring::new();
    ring.write("ann.toml", &format!("name = \"ann\"\n[[key]]\nssh = \"\"\"{private}\"\"\"\n"));
    assert!(ring.errors().contains("this is a private key") && ring.errors().contains("ann.toml:3:7"));

    let ring = Ring::new();
    let error = ring.add(&request("ann", private.as_bytes())).unwrap_err().to_string();
    assert!(error.starts_with("this is a private key") && clean(&error), "{error}");
    let bare = ring.add(&request("ann", secret.concat())).unwrap_err().to_string();
    assert!(bare.starts_with("this is a private key") && clean(&bare), "{bare}");
    let crlf = private.replace('\n', "\r\n");
    assert!(matches!(ring.add(&request("ann", crlf)), Err(EditError::Key(_))));
    assert!(!ring.path().join("ann.toml").exists());
}

#[test]
fn what_others_can_write_is_refused() {
    for mode in [0o664, 0o646, 0o622] {
        let ring = Ring::new();
        chmod(&ring.write("ann.toml", &principal("ann", ANN)), mode);
        let seen = ring.errors();
        assert!(
            seen.contains("the file can be written by") && seen.contains("help: chmod go-w 'DIR/ann.toml'"),
            "{seen}"
        );
    }
    let ring = Ring::new();
    chmod(ring.path(), 0o1777);
    assert!(ring.errors().contains("the directory can be written by"));
    let ring = Ring::new();
    let file = ring.write("ann.toml", &principal("ann", ANN));
    if chown(&file, Some(12345), None).is_ok() {
        let seen = ring.errors();
        assert!(seen.contains("the file belongs to user 12345, not to root"), "{seen}");
        chown(&file, Some(0), None).unwrap();
        chown(ring.path(), Some(12345), None).unwrap();
        assert!(ring.errors().contains("the directory belongs to user 12345"));
    }
}

/// Whoever may propose a keyring could otherwise keep whoever looks at it busy for hours.
#[test]
fn a_file_of_nothing_but_faults_is_refused_soon() {
    let size = 1 << 20;
    let keys: String = (0..size / 9).map(|number| format!("x{number} = 0\n")).collect();
    for text in [
        format!("emails = [{}]\n", "\"\",".repeat(size / 3)),
        format!("groups = [{}]\n", "\"\",\n".repeat(size / 4)),
        "[[key]]\n".repeat(size / 8),
        "[[key]]\nssh = 1\nrevoked = 1\n".repeat(size / 26),
        format!("[[key]]\n{keys}"),
        "= = =\n".repeat(size / 6),
        "key = [".to_owned() + &"{}, ".repeat(size / 4) + "]\n",
        "a.".repeat(size / 2),
        "[".repeat(size),
    ] {
        let ring = Ring::new();
        ring.write("ann.toml", &format!("name = \"ann\"\n{text}"));
        let begin = Instant::now();
        let error = ring.errors();
        assert!(begin.elapsed().as_secs() < 30, "{:?} for {}", begin.elapsed(), &text[..40]);
        assert!(error.len() < 100_000, "{} bytes for {}", error.len(), &text[..40]);
    }
    // What is not told is counted.
    let ring = Ring::new();
    ring.write("ann.toml", &format!("name = \"ann\"\nemails = [{}]\n", "\"\",".repeat(250)));
    let error = ring.errors();
    assert_eq!(error.matches("is no address").count(), 100);
    assert!(error.contains("the file has 150 more faults than these 100"), "{error}");
}

/// As sshd has it: whoever can write above the keyring can put another one in its place.
#[test]
fn what_others_can_write_above_is_refused() {
    let top = tempfile::tempdir().unwrap();
    let (above, aside) = (top.path().join("above"), top.path().join("aside"));
    let dir = above.join("between/keyring");
    fs::create_dir_all(&dir).unwrap();
    fs::create_dir(&aside).unwrap();
    let link = aside.join("keyring");
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    for one in [top.path(), &above, &above.join("between"), &dir, &aside] {
        chmod(one, 0o755);
    }
    fs::write(dir.join("ann.toml"), principal("ann", ANN)).unwrap();
    chmod(&dir.join("ann.toml"), 0o644);
    let seen = |path: &Path| match Keyring::load(path) {
        Ok(_) => String::new(),
        Err(error) => error.to_string(),
    };
    assert_eq!((seen(&dir), seen(&link)), (String::new(), String::new()));
    for mode in [0o775, 0o757, 0o777] {
        chmod(&above, mode);
        for path in [&dir, &link] {
            let error = seen(path);
            assert!(
                error.contains("others can write this directory") && error.contains("chmod go-w"),
                "{error}"
            );
            assert!(error.contains(above.to_str().unwrap()), "{error}");
        }
        chmod(&above, 0o755);
    }
    // The way through a link counts, too: who can write there can lay another link.
    chmod(&aside, 0o777);
    assert_eq!(seen(&dir), "");
    assert!(seen(&link).contains("others can write this directory"), "{}", seen(&link));
    // In a directory like `/tmp` nobody can take away what is somebody else's.
    chmod(&aside, 0o1777);
    assert_eq!(seen(&link), "");
    // But for a link that is his own, and every link on the way counts.
    let (second, third) = (above.join("second"), dir.parent().unwrap().join("third"));
    symlink(&link, &second).unwrap();
    assert_eq!(seen(&second), "");
    if rustix::process::geteuid().is_root() {
        lchown(&link, Some(4711), Some(4711)).unwrap();
        for path in [&link, &second] {
            assert!(seen(path).contains("the link belongs to user 4711"), "{}", seen(path));
        }
        chmod(&aside, 0o755);
        assert_eq!(seen(&link), "", "where only root can lay links it is root's");
        chmod(&aside, 0o1777);
        lchown(&link, Some(0), Some(0)).unwrap();
    }
    chmod(&aside, 0o777);
    assert!(seen(&second).contains("others can write this directory"), "{}", seen(&second));
    chmod(&aside, 0o1777);
    symlink("third", &third).unwrap();
    assert!(!seen(&third).is_empty(), "a link in a circle leads nowhere");
    fs::remove_file(&third).unwrap();
    // Nothing is written there either.
    chmod(&above, 0o777);
    let request = AddRequest {
        name: "bob".to_owned(),
        kind: None,
        emails: Vec::new(),
        groups: Vec::new(),
        accounts: Vec::new(),
        reused: Vec::new(),
        returning: false,
        key: Some(BOB.as_bytes().to_vec()),
    };
    assert!(add(&dir, &request, Timestamp::now()).is_err());
    assert!(!dir.join("bob.toml").exists());
    chmod(&above, 0o755);
    if chown(&above, Some(12345), None).is_ok() {
        assert!(seen(&dir).contains("belongs to user 12345, who can put another one"), "{}", seen(&dir));
    }
}

#[test]
fn what_is_no_principal_is_ignored_aloud() {
    let ring = Ring::new();
    for quiet in ["README", "README.md", ".lock", ".tmp-0123", ".ann.toml.swp"] {
        ring.write(quiet, "= nonsense");
    }
    assert!(ring.warnings().is_empty());
    ring.write("ann.toml~", "x");
    ring.write("ann.asc", "x");
    fs::create_dir(ring.path().join("old")).unwrap();
    ring.write("bob.toml", "name = \"bob\"\n");
    assert_eq!(
        ring.warnings(),
        [
            "warning: ignored: a principal's file ends in `.toml`\n  --> DIR/ann.asc",
            "warning: ignored: a principal's file ends in `.toml`\n  --> DIR/ann.toml~",
            "warning: ignored: a principal's file ends in `.toml`\n  --> DIR/old",
            "warning: `bob` has no key\n  --> DIR/bob.toml:1:8",
        ]
    );
    fs::create_dir(ring.path().join("carol.toml")).unwrap();
    assert!(ring.errors().contains("this is not a regular file"));
    assert!(
        Keyring::load(&ring.path().join("nowhere"))
            .unwrap_err()
            .to_string()
            .contains("cannot read the directory")
    );
}

/// A repository with one commit, signed by the SSH key `id` in the same directory; gives the commit.
fn signed_commit(dir: &Path) -> Vec<u8> {
    run("git", &["init", "-q", "."], dir, b"");
    let key = format!("user.signingkey={}", dir.join("id.pub").display());
    let args = [
        "-c",
        "user.name=Ann",
        "-c",
        "user.email=ann@example.org",
        "-c",
        "gpg.format=ssh",
        "-c",
        &key,
        "commit",
        "-q",
        "--allow-empty",
        "-S",
        "-m",
        "x",
    ];
    run("git", &args, dir, b"");
    run("git", &["cat-file", "commit", "HEAD"], dir, b"")
}

fn status(commit: &[u8], keyring: &Keyring, now: Timestamp) -> SignatureStatus {
    let commit = parse_commit(ObjectFormat::Sha1, commit).unwrap();
    let SignatureField::Present(block) = &commit.signature else { panic!("the commit is signed") };
    signature::verify_now(block, &commit.payload, keyring, now, commit.committer.time)
}

#[test]
fn n13_n14_a_verified_signature_counts_within_its_window_only() {
    let dir = tempfile::tempdir().unwrap();
    let key = ssh_key(dir.path(), "id", &["-t", "ed25519"]);
    let commit = signed_commit(dir.path());
    let now = Timestamp::now();
    let judge = |extra: &str| {
        let ring = Ring::new();
        ring.write("ann.toml", &format!("{}{extra}\n", principal("ann", key.trim())));
        let keyring = ring.load();
        let status = status(&commit, &keyring, now);
        assert_eq!(status.name(), "verified");
        let (status, owner) =
            keyring.assess(status, &Times::introduced(now.as_second(), now), &Rules::default());
        assert_eq!(owner.unwrap().name, "ann", "the owner is told whatever the status");
        let standing = keyring.keys()[0].standing(now);
        assert_eq!(
            standing == Standing::Valid { until: keyring.keys()[0].windows.ends() },
            status.name() == "verified"
        );
        status.to_string()
    };
    let (past, future) = ("2001-01-01T00:00:00Z", "2199-01-01T00:00:00Z");
    assert!(judge("").contains("a valid signature"));
    assert!(judge(&format!("valid-from = {past}\nvalid-until = {future}")).contains("a valid signature"));
    assert!(judge(&format!("valid-until = {past}")).contains("whose keyring entry expired at 2001"));
    assert!(judge(&format!("valid-from = {future}")).contains("keyring entry is not valid before 2199"));
    let revoked = |reason: &str, at: &str, more: &str| {
        judge(&format!("revoked = {{ at = {at}, reason = \"{reason}\"{more} }}"))
    };
    assert!(revoked("superseded", past, "").contains("revoked (superseded)"));
    assert!(revoked("retired", past, "").contains("revoked (retired)"));
    assert!(revoked("retired", future, "").contains("a valid signature"), "from `at` on");
    assert!(revoked("compromised", future, "").contains("revoked (compromised)"), "always");
    assert!(
        revoked("compromised", past, &format!(", effective-from = {past}")).contains("revoked (compromised)")
    );
    let later = format!(", effective-from = {future}");
    assert!(revoked("compromised", future, &later).contains("a valid signature"));
    let both = format!("valid-until = {past}\nrevoked = {{ at = {past}, reason = \"compromised\" }}");
    assert!(judge(&both).contains("revoked (compromised)"), "what says most comes first");
}

#[test]
fn a_proof_by_a_key_that_this_snapshot_lacks_is_worth_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let key = ssh_key(dir.path(), "id", &["-t", "ed25519"]);
    let commit = signed_commit(dir.path());
    let now = Timestamp::now();
    let ring = Ring::new();
    ring.write("ann.toml", &principal("ann", key.trim()));
    let verified = status(&commit, &ring.load(), now);
    assert_eq!(verified.name(), "verified");
    ring.write("ann.toml", &principal("ann", ANN));
    let (status, owner) =
        ring.load().assess(verified, &Times::introduced(now.as_second(), now), &Rules::default());
    assert_eq!((status.name(), owner), ("unknown-key", None));
}

#[test]
fn a_bad_signature_names_an_owner_and_stays_bad() {
    let ring = Ring::new();
    ring.write("ann.toml", &principal("ann", ANN));
    let keyring = ring.load();
    let key = keyring.keys()[0].id();
    let (status, owner) = keyring.assess(
        SignatureStatus::Bad { key: key.clone() },
        &Times::introduced(Timestamp::now().as_second(), Timestamp::now()),
        &Rules::default(),
    );
    assert_eq!((status.name(), owner.unwrap().name.as_str()), ("bad", "ann"));
    let other = KeyId { text: "SHA256:x".into(), ..key };
    assert_eq!(
        keyring
            .assess(
                SignatureStatus::UnknownKey { key: other },
                &Times::introduced(Timestamp::now().as_second(), Timestamp::now()),
                &Rules::default()
            )
            .1,
        None
    );
    assert_eq!(
        keyring.assess(
            SignatureStatus::Unsigned,
            &Times::introduced(Timestamp::now().as_second(), Timestamp::now()),
            &Rules::default()
        ),
        (SignatureStatus::Unsigned, None)
    );
}

#[test]
fn n15_revocations_outlive_a_rejected_change() {
    let ring = Ring::new();
    ring.write("ann.toml", &principal("ann", ANN));
    ring.write("bob.toml", &principal("bob", BOB));
    let good = ring.load();
    assert_eq!(good.with_revocations_from(ring.path()).1, 0);
    let now = Timestamp::now();
    let count = |text: &str| {
        ring.write("ann.toml", text);
        assert!(Keyring::load(ring.path()).is_err(), "{text}");
        let (kept, news) = good.with_revocations_from(ring.path());
        assert_eq!(kept.keys().len(), 2);
        assert!(kept.keys()[1].revoked.is_none(), "nobody else is touched");
        let refused = matches!(kept.keys()[0].standing(now), Standing::Revoked { .. });
        assert_eq!(refused, news == 1, "{text}");
        assert_eq!(kept.digest() == good.digest(), news == 0);
        news
    };
    let base = principal("ann", ANN);
    let revoked = "revoked = { at = 2020-01-01T00:00:00Z, reason = \"superseded\" }\n";
    assert_eq!(count(&format!("{base}nonsense = 1\n")), 0);
    assert_eq!(count(&format!("{base}{revoked}nonsense = 1\n")), 1);
    assert_eq!(count(&format!("{base}{revoked}").replace("\"ann\"", "\"other\"")), 1, "under a wrong name");
    assert_eq!(count(&format!("{base}{revoked}= syntax\n")), 1, "before a syntax error");
    assert_eq!(
        count(&format!("{base}revoked = {{ reason = \"supersede\" }}\n")),
        1,
        "illegible means compromised"
    );
    assert_eq!(count(&format!("{base}revoked = true\n")), 1);
    assert_eq!(count(&format!("{base}valid-until = 2020-01-01\n")), 0, "windows are not revocations");

    // A file that others can write, and a key that moved to another file.
    let text = format!("{}{revoked}", principal("eve", ANN));
    ring.write("ann.toml", &base);
    chmod(&ring.write("eve.toml", &text), 0o666);
    assert!(Keyring::load(ring.path()).is_err());
    assert_eq!(good.with_revocations_from(ring.path()).1, 1);
    assert_eq!(good.with_revocations_from(&ring.path().join("nowhere")).1, 0);

    // What is known already is no news, and is never softened.
    let (once, _) = good.with_revocations_from(ring.path());
    assert_eq!(once.with_revocations_from(ring.path()).1, 0);
    ring.write("eve.toml", &text.replace("2020", "2190"));
    assert_eq!(once.with_revocations_from(ring.path()).1, 0);
    assert!(matches!(
        once.with_revocations_from(ring.path()).0.keys()[0].standing(now),
        Standing::Revoked { .. }
    ));
}

#[test]
fn root_does_not_lock_another_account_out_of_its_keyring() {
    use std::os::unix::fs::MetadataExt;
    let ring = Ring::new();
    if chown(ring.path(), Some(12345), Some(12345)).is_err() {
        eprintln!("SKIPPED: only root can give files away, so nothing was tried");
        return;
    }
    // What another account can change is not root's keyring; the attempt leaves nothing of root's.
    assert!(ring.add(&request("ann", ANN)).is_err());
    let files: Vec<_> = fs::read_dir(ring.path()).unwrap().map(Result::unwrap).collect();
    assert!(!files.is_empty());
    for file in files {
        assert_eq!(
            (file.metadata().unwrap().uid(), file.metadata().unwrap().gid()),
            (12345, 12345),
            "{file:?}"
        );
    }
}

#[test]
fn adding_makes_and_extends_principals() {
    let ring = Ring::new();
    let first = AddRequest {
        emails: vec!["ann@example.org".into()],
        groups: vec!["sre".into()],
        ..request("ann", format!("{ANN} ann@laptop\n"))
    };
    let added = ring.add(&first).unwrap();
    assert!(added.created && added.key_added && added.changed && added.warnings.is_empty());
    let file = ring.path().join("ann.toml");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        format!(
            "name = \"ann\"\nkind = \"person\"\nemails = [\"ann@example.org\"]\ngroups = [\"sre\"]\n\n[[key]]\n\
             ssh = \"{ANN} ann@laptop\"\n"
        )
    );
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o644);

    // The same again, and without the comment: nothing to do, the file is not even written.
    let before = fs::metadata(&file).unwrap();
    for key in [format!("{ANN} ann@laptop\n"), ANN.to_owned(), format!("# mine\n\n{ANN}\r\n")] {
        let again = ring.add(&AddRequest { key: Some(key.into()), ..first.clone() }).unwrap();
        assert!(!again.created && !again.key_added && !again.changed);
    }
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(&file).unwrap().ino(), before.ino());

    // Comments and order survive; only what is new is added.
    let text = fs::read_to_string(&file).unwrap();
    ring.write(
        "ann.toml",
        &text.replace("[[key]]", "# her laptop\n[[key]]").replace("\"sre\"]", "\"sre\"] # on call"),
    );
    let more = AddRequest { groups: vec!["sre".into(), "web".into()], ..request("ann", BOB) };
    let added = ring.add(&more).unwrap();
    assert!(!added.created && added.key_added);
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("groups = [\"sre\", \"web\"] # on call\n\n# her laptop\n[[key]]"), "{text}");
    assert_eq!(ring.load().keys().len(), 2);
    assert!(ring.warnings().is_empty());
    let left: Vec<_> = fs::read_dir(ring.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "the file and the lock: {left:?}");
}

#[test]
fn adding_refuses_what_would_not_load() {
    let ring = Ring::new();
    ring.add(&request("ann", ANN)).unwrap();
    let error = |request: &AddRequest| ring.add(request).unwrap_err().to_string();
    assert!(error(&request("bob", ANN)).contains("is held by `ann` already"));
    assert!(error(&request("Bob", BOB)).contains("cannot name a principal"));
    assert!(error(&request("../bob", BOB)).contains("cannot name a principal"));
    assert!(error(&request("", BOB)).contains("cannot name a principal"));
    assert!(
        error(&AddRequest { groups: vec!["a b".into()], ..request("bob", BOB) })
            .contains("cannot name a group")
    );
    assert!(error(&AddRequest { emails: vec!["x".into()], ..request("bob", BOB) }).contains("is no address"));
    let kind = Some(PrincipalKind::Bot);
    assert!(error(&AddRequest { kind, ..request("ann", BOB) }).contains("`ann` is a person, not a bot"));
    assert!(error(&request("bob", "")).contains("this holds no key"));
    assert!(error(&request("bob", "hello")).contains("this is not an OpenSSH public key"));
    assert!(error(&request("bob", b"\x00\x01\x02".as_slice())).contains("not an OpenSSH public key"));
    assert!(error(&request("bob", vec![0xff; 100])).contains("OpenPGP"));
    assert!(error(&request("bob", vec![b'a'; 2 << 20])).contains("too large"));
    let two = error(&request("bob", format!("{ANN}\n{BOB}\n")));
    assert!(two.contains("this holds 2 keys; give one at a time: SHA256:"), "{two}");
    assert!(!ring.path().join("bob.toml").exists());

    ring.write("broken.toml", "= x");
    let seen = error(&request("bob", BOB));
    assert!(
        seen.starts_with("the keyring does not load as it is") && seen.contains("broken.toml:1:1"),
        "{seen}"
    );
    fs::remove_file(ring.path().join("broken.toml")).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("bob.toml");
    fs::write(&target, "name = \"bob\"\n").unwrap();
    symlink(&target, ring.path().join("bob.toml")).unwrap();
    assert!(error(&request("bob", BOB)).contains("is a symbolic link"));
    assert!(matches!(
        add(&ring.path().join("nowhere"), &request("x", BOB), Timestamp::now()),
        Err(EditError::Io { .. })
    ));
}

#[test]
fn a_crash_while_adding_leaves_the_old_file_and_litter_that_nobody_reads() {
    let ring = Ring::new();
    ring.add(&request("ann", ANN)).unwrap();
    ring.write(".tmp-00112233", "name = \"ann\"\n[[key]]\nssh = \"half a k");
    assert!(ring.warnings().is_empty());
    assert_eq!(ring.load().keys().len(), 1);
    assert!(ring.add(&request("bob", BOB)).is_ok());
}

#[test]
fn edits_at_the_same_time_all_arrive() {
    let ring = Ring::new();
    let keys = tempfile::tempdir().unwrap();
    let keys: Vec<String> =
        (0..6).map(|number| ssh_key(keys.path(), &format!("k{number}"), &["-t", "ed25519"])).collect();
    std::thread::scope(|scope| {
        for key in &keys {
            scope.spawn(|| ring.add(&request("ann", key.as_str())).unwrap());
        }
    });
    assert_eq!(ring.load().keys().len(), keys.len());
}

#[test]
fn keys_of_every_usual_kind_from_ssh_keygen() {
    let dir = tempfile::tempdir().unwrap();
    let ring = Ring::new();
    let kinds: [(&str, &[&str]); 4] = [
        ("ed", &["-t", "ed25519"]),
        ("ec", &["-t", "ecdsa", "-b", "384"]),
        ("rsa", &["-t", "rsa", "-b", "3072"]),
        ("small", &["-t", "rsa", "-b", "1024"]),
    ];
    for (name, kind) in kinds {
        let key = ssh_key(dir.path(), name, kind);
        let added = ring.add(&request(name, key.as_str())).unwrap();
        let shown = run("ssh-keygen", &["-lf", &format!("{name}.pub")], dir.path(), b"");
        assert!(String::from_utf8(shown).unwrap().contains(&added.key.as_ref().unwrap().text), "{name}");
        let weak = added.warnings.iter().any(|one| one.contains("too weak (RSA-1024)"));
        assert_eq!(weak, name == "small", "{:?}", added.warnings);
    }
    assert_eq!(ring.load().keys().len(), 4);
}

struct Gpg {
    home: TempDir,
}

impl Gpg {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        chmod(home.path(), 0o700);
        Gpg { home }
    }

    fn run(&self, args: &[&str]) -> Vec<u8> {
        let mut all =
            vec!["--batch", "--quiet", "--no-tty", "--passphrase", "", "--pinentry-mode", "loopback"];
        all.extend(args);
        run("gpg", &all, self.home.path(), b"")
    }

    fn generate(&self, who: &str, expires: &str) {
        self.run(&["--quick-generate-key", who, "ed25519", "sign", expires]);
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").args(["--kill", "all"]).env("GNUPGHOME", self.home.path()).status();
    }
}

#[test]
fn certificates_from_gpg_armored_and_binary() {
    let gpg = Gpg::new();
    gpg.generate("Ann <ann@example.org>", "2y");
    let armored = gpg.run(&["--armor", "--export", "ann@example.org"]);
    let binary = gpg.run(&["--export", "ann@example.org"]);
    let ring = Ring::new();
    let added = ring.add(&request("ann", armored.as_slice())).unwrap();
    let listed = String::from_utf8(gpg.run(&["--with-colons", "--list-keys"])).unwrap();
    assert!(
        listed.contains(&added.key.as_ref().unwrap().text) && added.key_added && added.warnings.is_empty(),
        "{added:?}"
    );
    let again = ring.add(&request("ann", armored.as_slice())).unwrap();
    assert!(!again.changed, "{again:?}");
    assert!(matches!(ring.add(&request("bob", binary.as_slice())), Err(EditError::Taken { .. })));

    let keyring = ring.load();
    let key = &keyring.keys()[0];
    assert!(matches!(key.standing(Timestamp::now()), Standing::Valid { until: Some(_) }));
    let raw = data_encoding::HEXUPPER.decode(added.key.as_ref().unwrap().text.as_bytes()).unwrap();
    assert_eq!(keyring.openpgp_by_fingerprint(&raw).len(), 1);
    let id: [u8; 8] = raw[raw.len() - 8..].try_into().unwrap();
    assert_eq!(keyring.openpgp_by_key_id(id).len(), 1);
    assert!(keyring.openpgp_by_fingerprint(&raw[1..]).is_empty());
    // A key id is an index and never an identity (O6).
    let short = KeyId { text: data_encoding::HEXUPPER.encode(&id), ..key.id() };
    assert!(keyring.find(&short).is_none() && keyring.find(&key.id()).is_some());

    let other = Ring::new();
    other.add(&request("ann", binary.as_slice())).unwrap();
    let text = fs::read_to_string(other.path().join("ann.toml")).unwrap();
    assert!(text.contains("openpgp = \"\"\"\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n"), "{text}");
    assert_eq!(other.load().keys()[0].id(), key.id());
    // What we armored is what gpg reads.
    let armor = text.split("\"\"\"\n").nth(1).unwrap().replace("\"\"\"", "");
    run("gpg", &["--batch", "--no-tty", "--show-keys"], gpg.home.path(), armor.as_bytes());
}

#[test]
fn gpg_secret_keys_and_several_keys_are_refused() {
    let gpg = Gpg::new();
    gpg.generate("Ann <ann@example.org>", "2y");
    gpg.generate("Bob <bob@example.org>", "never");
    let ring = Ring::new();
    let secret = gpg.run(&["--export-secret-keys", "ann@example.org"]);
    let armored = gpg.run(&["--armor", "--export-secret-keys", "ann@example.org"]);
    for key in [secret, armored] {
        let error = ring.add(&request("ann", key)).unwrap_err().to_string();
        assert!(error.starts_with("this is a private key"), "{error}");
    }
    for args in [&["--export"][..], &["--armor", "--export"]] {
        let error = ring.add(&request("ann", gpg.run(args))).unwrap_err().to_string();
        assert!(error.starts_with("this holds 2 keys; give one at a time: "), "{error}");
        assert!(
            error.contains("(Ann <ann@example.org>)") && error.contains("(Bob <bob@example.org>)"),
            "{error}"
        );
    }
}

#[test]
fn a_newer_copy_of_a_certificate_takes_its_place_and_an_older_one_never_revives_it() {
    let gpg = Gpg::new();
    gpg.generate("Ann <ann@example.org>", "1y");
    let ring = Ring::new();
    let export = || gpg.run(&["--armor", "--export", "ann@example.org"]);
    let old = export();
    let added = ring.add(&request("ann", old.as_slice())).unwrap();
    let file = ring.path().join("ann.toml");
    let text = fs::read_to_string(&file).unwrap();
    ring.write("ann.toml", &text.replace("[[key]]\n", "[[key]]\nvalid-from = 2020-01-01T00:00:00Z # kept\n"));
    let first = ring.load();

    gpg.run(&["--quick-set-expire", &added.key.as_ref().unwrap().text, "3y"]);
    let updated = ring.add(&request("ann", export())).unwrap();
    assert!(updated.key_updated && !updated.key_added && updated.changed, "{updated:?}");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("# kept") && text.matches("[[key]]").count() == 1, "{text}");
    let until = |keyring: &Keyring| match keyring.keys()[0].standing(Timestamp::now()) {
        Standing::Valid { until } => until.unwrap(),
        other => panic!("{other}"),
    };
    assert!(until(&ring.load()) > until(&first));

    // Its owner revokes it: gpg keeps a prepared revocation, with a guard in front of its first line.
    let prepared = gpg.home.path().join(format!("openpgp-revocs.d/{}.rev", added.key.as_ref().unwrap().text));
    let revocation = fs::read_to_string(prepared).unwrap();
    let revocation = revocation.split("\n:").nth(1).unwrap();
    run("gpg", &["--batch", "--no-tty", "--quiet", "--import"], gpg.home.path(), revocation.as_bytes());
    let revoked = export();

    // N15: also from a directory that does not load.
    let broken = Ring::new();
    broken.write("bad.toml", "= x");
    let text = String::from_utf8(revoked.clone()).unwrap();
    broken.write("ann.toml", &format!("name = \"ann\"\n[[key]]\nopenpgp = \"\"\"\n{text}\"\"\"\n"));
    assert!(Keyring::load(broken.path()).is_err());
    let (kept, news) = first.with_revocations_from(broken.path());
    assert_eq!(news, 1);
    assert!(matches!(kept.keys()[0].standing(Timestamp::now()), Standing::Revoked { .. }));
    assert_eq!(kept.with_revocations_from(broken.path()).1, 0);

    let added = ring.add(&request("ann", revoked)).unwrap();
    assert!(added.key_updated && added.warnings[0].starts_with("the key is revoked"), "{added:?}");
    let error = ring.add(&request("ann", old)).unwrap_err().to_string();
    assert!(error.contains("is revoked in the keyring and not in this copy"), "{error}");
}

/// The same of one subkey, where the rest of the certificate stays good.
#[test]
fn n15_a_revoked_subkey_is_not_revived_and_outlives_a_rejected_change() {
    let gpg = Gpg::new();
    gpg.generate("Ann <ann@example.org>", "never");
    let ring = Ring::new();
    let export = || gpg.run(&["--armor", "--export", "ann@example.org"]);
    let primary = ring.add(&request("ann", export())).unwrap().key.unwrap().text;
    for _ in 0..2 {
        gpg.run(&["--quick-add-key", &primary, "ed25519", "sign", "never"]);
    }
    let old = export();
    ring.add(&request("ann", old.as_slice())).unwrap();
    let first = ring.load();
    let now = Timestamp::now();
    assert!(first.compromised(now).is_empty());
    let listed = gpg.run(&["--with-colons", "--with-subkey-fingerprint", "--list-keys"]);
    let listed = String::from_utf8(listed).unwrap();
    let subkeys: Vec<String> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("fpr:"))
        .skip(1)
        .map(|line| line.trim_matches(':').to_owned())
        .collect();
    assert_eq!(subkeys.len(), 2);

    // One after the other is revoked as compromised. Each time the newer copy is in a keyring that does not
    // load.
    let mut digests = vec![first.digest().to_owned()];
    let mut known = first.clone();
    for (number, subkey) in subkeys.iter().enumerate() {
        let answers = format!("key {}\nrevkey\ny\n1\n\ny\nsave\n", number + 1);
        let dialogue = ["--no-tty", "--quiet", "--command-fd", "0", "--pinentry-mode", "loopback"];
        let dialogue = [&dialogue[..], &["--passphrase", "", "--edit-key", &primary]].concat();
        run("gpg", &dialogue, gpg.home.path(), answers.as_bytes());
        let text = String::from_utf8(export()).unwrap();
        let broken = Ring::new();
        broken.write("bad.toml", "= x");
        broken.write("ann.toml", &format!("name = \"ann\"\n[[key]]\nopenpgp = \"\"\"\n{text}\"\"\"\n"));
        assert!(Keyring::load(broken.path()).is_err());
        let (kept, news) = known.with_revocations_from(broken.path());
        assert_eq!(news, 1);
        assert!(kept.compromised(now).contains(&(subkey.clone(), i64::MIN)), "{:?}", kept.compromised(now));
        assert_eq!(kept.compromised(now).len(), number + 1, "nothing but the subkeys");
        assert!(matches!(kept.keys()[0].standing(now), Standing::Valid { .. }), "the primary key signs");
        assert_eq!(kept.with_revocations_from(broken.path()).1, 0);
        assert!(!digests.contains(&kept.digest().to_owned()), "another state has another digest");
        digests.push(kept.digest().to_owned());
        known = kept;
    }

    let updated = ring.add(&request("ann", export())).unwrap();
    assert!(updated.key_updated, "{updated:?}");
    let error = ring.add(&request("ann", old)).unwrap_err().to_string();
    assert!(error.contains("has a revocation in the keyring that this copy lacks"), "{error}");
    assert_eq!(ring.load().compromised(now).len(), 2);
}

/// N14, O12: who is named by a key's owner to revoke it may taint what it signed as well as the owner.
#[test]
fn n14_a_named_revoker_taints_what_the_key_signed() {
    let gpg = Gpg::new();
    gpg.generate("Ann <ann@example.org>", "never");
    gpg.generate("Bob <bob@example.org>", "never");
    let converse = |arguments: &[&str], answers: &str| {
        let dialogue = ["--no-tty", "--quiet", "--command-fd", "0", "--pinentry-mode", "loopback"];
        let dialogue = [&dialogue[..], &["--passphrase", ""], arguments].concat();
        run("gpg", &dialogue, gpg.home.path(), answers.as_bytes())
    };
    converse(&["--edit-key", "ann@example.org"], "addrevoker\nbob@example.org\ny\nsave\n");
    let (ring, now) = (Ring::new(), Timestamp::now());
    let ann = gpg.run(&["--armor", "--export", "ann@example.org"]);
    let ann = ring.add(&request("ann", ann)).unwrap().key.unwrap().text;
    let block = converse(&["--armor", "--desig-revoke", "ann@example.org"], "y\ny\n1\n\ny\n");
    run("gpg", &["--batch", "--no-tty", "--quiet", "--import"], gpg.home.path(), &block);
    ring.add(&request("ann", gpg.run(&["--armor", "--export", "ann@example.org"]))).unwrap();
    assert!(ring.load().compromised(now).is_empty(), "nobody knows the revoker's key");
    ring.add(&request("bob", gpg.run(&["--armor", "--export", "bob@example.org"]))).unwrap();
    let keyring = ring.load();
    assert_eq!(keyring.compromised(now), [(ann.clone(), i64::MIN)]);
    // It is shown, and goes out, as what it is.
    let key = keyring.find(&KeyId { scheme: Scheme::OpenPgp, text: ann.clone() }).unwrap();
    assert!(matches!(key.standing(now), Standing::Revoked { .. }), "{:?}", key.standing(now));
    let rules = Rules::default();
    for target in [Target::OpenPgp, Target::ArgoCd, Target::FluxSecret] {
        let selection = Selection {
            target,
            at: now,
            group: None,
            principal: None,
            rules: &rules,
            asked: &[],
            restricted: false,
            wider: true,
        };
        let export = keyring.export(&selection, &|_| true);
        let names: Vec<&str> = export.keys.iter().map(|one| one.key.principal.name.as_str()).collect();
        assert_eq!(names, ["bob"]);
    }
    // Its copy is still the same certificate.
    ring.add(&request("ann", gpg.run(&["--armor", "--export", "ann@example.org"]))).unwrap();
}

/// A key that is nothing but its number: any odd number of 2048 bits is an RSA key as far as a file is
/// concerned.
fn numbered_key(number: usize) -> String {
    let field = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let modulus = [&[0, 0xc0][..], &[7; 246], &(number as u64).to_be_bytes(), &[1]].concat();
    let blob = [field(b"ssh-rsa"), field(&[1, 0, 1]), field(&modulus)].concat();
    format!("ssh-rsa {}", data_encoding::BASE64.encode(&blob))
}

#[test]
fn ten_thousand_principals_load_quickly() {
    const COUNT: usize = 10_000;
    let ring = Ring::new();
    for number in 0..COUNT {
        let name = format!("p{number}");
        fs::write(ring.path().join(format!("{name}.toml")), principal(&name, &numbered_key(number))).unwrap();
    }
    let start = Instant::now();
    let keyring = ring.load();
    let loaded = start.elapsed();
    assert_eq!((keyring.principals().len(), keyring.keys().len()), (COUNT, COUNT));
    let start = Instant::now();
    let ids: Vec<KeyId> = keyring.keys().iter().map(|key| key.id()).collect();
    assert!(ids.iter().all(|id| keyring.find(id).is_some()));
    eprintln!("{COUNT} principals: loaded in {loaded:?}, each looked up in {:?}", start.elapsed());
    assert!(loaded.as_secs() < 60, "{loaded:?}");
}

fn cli_run(ring: &Ring, command: KeyringCommand, format: Format) -> Result<(u8, String, String), String> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = KeyringArgs { keyring: Some(ring.path().to_owned()), sign_with: None, command };
    let code =
        cli::run(&args, Path::new("/nowhere"), format, &mut out, &mut err).map_err(|e| e.to_string())?;
    Ok((code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap()))
}

#[test]
fn the_command_line_adds_lists_and_shows() {
    let ring = Ring::new();
    let keys = tempfile::tempdir().unwrap();
    let add = |name: &str, key: &str, groups: &[&str], kind| {
        let path = keys.path().join("k.pub");
        fs::write(&path, key).unwrap();
        KeyringCommand::Add(AddArgs {
            name: name.into(),
            emails: Vec::new(),
            groups: groups.iter().map(|one| (*one).to_owned()).collect(),
            accounts: Vec::new(),
            kind,
            key: Some(path),
            ..AddArgs::default()
        })
    };
    let (code, out, _) = cli_run(&ring, KeyringCommand::List(ListArgs::default()), Format::Text).unwrap();
    assert!(code == 0 && out.starts_with("the keyring is empty"), "{out}");
    let (code, out, err) = cli_run(&ring, add("ann", ANN, &["sre", "web"], None), Format::Text).unwrap();
    assert!(code == 0 && err.is_empty() && out.starts_with("created `ann` with ssh key SHA256:"), "{out}");
    let (code, out, _) = cli_run(&ring, add("ann", ANN, &[], None), Format::Text).unwrap();
    assert!(code == 0 && out.contains("already; nothing to do"), "{out}");
    cli_run(&ring, add("renovate", BOB, &[], Some(cli::Kind::Bot)), Format::Json).unwrap();
    let error = cli_run(&ring, add("eve", ANN, &[], None), Format::Text).unwrap_err();
    assert!(error.contains("is held by `ann` already"), "{error}");
    let file = ring.path().join("renovate.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}valid-until = 2020-01-01T00:00:00Z\n")).unwrap();

    let (_, out, _) = cli_run(&ring, KeyringCommand::List(ListArgs::default()), Format::Text).unwrap();
    let keyring = ring.load();
    let print = |index: usize| keyring.keys()[index].id().text;
    assert_eq!(
        out,
        format!(
            "PRINCIPAL  KIND    GROUPS   FORMAT  {:50}  LAST USED  STANDING\n\
             ann        person  sre,web  ssh     {}  unknown    valid\n\
             renovate   bot     -        ssh     {}  unknown    expired at 2020-01-01T00:00:00Z\n",
            "FINGERPRINT",
            print(0),
            print(1)
        )
    );
    let (_, out, _) = cli_run(&ring, KeyringCommand::List(ListArgs::default()), Format::Json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["keys"][1]["standing"], "expired");
    assert_eq!(json["keys"][0]["fingerprint"], print(0).as_str());

    let show = |name: &str| KeyringCommand::Show(ShowArgs { name: name.into() });
    let (_, out, _) = cli_run(&ring, show("renovate"), Format::Text).unwrap();
    assert!(out.contains("kind       bot\n") && out.contains("valid until  2020-01-01T00:00:00Z\n"), "{out}");
    let (_, out, _) = cli_run(&ring, show("ann"), Format::Json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["groups"][1], "web");
    let error = cli_run(&ring, show("an"), Format::Text).unwrap_err();
    assert_eq!(error, "there is nobody called `an` in the keyring; did you mean `ann`?");
}

fn with_accounts(name: &str, key: &str, accounts: &str) -> String {
    principal(name, key).replacen("\n\n", &format!("\naccounts = {accounts}\n\n"), 1)
}

#[test]
fn n18_an_account_is_whose_file_lists_it() {
    let ring = Ring::new();
    ring.write(
        "ann.toml",
        &with_accounts("ann", ANN, r#"["ann", "gitlab:asmith", "gitea:#17", "ghes:DOM\\ann"]"#),
    );
    ring.write("bob.toml", &with_accounts("bob", BOB, r#"["gitolite:asmith", "git-http-backend:a:b"]"#));
    ring.write(
        "carol.toml",
        "name = \"carol\"\naccounts = [\"forgejo:#17\"]\nemails = [\"eve@example.org\"]\n",
    );
    let keyring = ring.load();
    let holder = |server, name| keyring.account_holder(server, name).map(|one| one.name.clone());
    let is = |name: &str| Some(name.to_owned());
    for server in ServerKind::ALL.iter().filter(|kind| kind.has_accounts()) {
        assert_eq!(holder(*server, "ann"), is("ann"), "a plain name is one on any server");
    }
    assert_eq!(holder(ServerKind::GitLab, "asmith"), is("ann"));
    assert_eq!(holder(ServerKind::Gitolite, "asmith"), is("bob"));
    assert_eq!(holder(ServerKind::Ghes, "asmith"), None);
    assert_eq!(holder(ServerKind::Gitea, "#17"), is("ann"));
    assert_eq!(holder(ServerKind::Forgejo, "#17"), is("carol"));
    assert_eq!(holder(ServerKind::Ghes, "DOM\\ann"), is("ann"));
    assert_eq!(holder(ServerKind::GitHttpBackend, "a:b"), is("bob"));
    // Names of principals, addresses and what differs in case prove nothing.
    for name in ["bob", "carol", "eve@example.org", "Ann", "ANN", "ann ", "", "gitlab:asmith", "17"] {
        assert_eq!(holder(ServerKind::GitLab, name), None, "{name}");
    }
    let accounts: Vec<String> = keyring.accounts_of("ann").map(ToString::to_string).collect();
    assert_eq!(accounts, ["ann", "gitlab:asmith", "gitea:#17", "ghes:DOM\\ann"]);
    assert_eq!(keyring.accounts_of("nobody").count(), 0);
    assert!(ring.warnings().is_empty(), "carol needs no key: {:?}", ring.warnings());
    let before = keyring.digest().to_owned();
    ring.write("carol.toml", "name = \"carol\"\naccounts = [\"forgejo:#18\"]\n");
    assert_ne!(ring.load().digest(), before);
}

#[test]
fn n18_an_account_at_a_forge_is_whose_file_lists_it_with_its_forge() {
    let ring = Ring::new();
    ring.write("ann.toml", &with_accounts("ann", ANN, r#"["plain", "github:asmith", "gitlab:#user-42"]"#));
    ring.write(
        "bob.toml",
        &with_accounts(
            "bob",
            BOB,
            r##"["github:#583231", "github:bob", "ghes:asmith", "bitbucket-cloud:bob", "bitbucket-cloud:#{0a1b-2c}"]"##,
        ),
    );
    let keyring = ring.load();
    let holder =
        |server, id, name| keyring.forge_account_holder(server, id, name).map(|one| one.name.clone());
    let (ann, bob) = (Some("ann".to_owned()), Some("bob".to_owned()));
    assert_eq!(holder(ServerKind::GitHub, Some("7"), "asmith"), ann);
    assert_eq!(holder(ServerKind::GitHub, None, "asmith"), ann);
    assert_eq!(holder(ServerKind::Ghes, None, "asmith"), bob, "another server, another account");
    assert_eq!(holder(ServerKind::GitLab, Some("42"), "whatever"), ann);
    assert_eq!(holder(ServerKind::GitHub, Some("583231"), "renamed"), bob);
    // A name that became free was taken by somebody else: the number says who it is.
    assert_eq!(holder(ServerKind::GitHub, Some("9"), "bob"), None);
    assert_eq!(holder(ServerKind::GitHub, None, "bob"), bob);
    // Anybody may be called so at a public forge, or like a number.
    assert_eq!(holder(ServerKind::GitHub, Some("8"), "plain"), None);
    assert_eq!(holder(ServerKind::GitHub, Some("8"), "#583231"), None);
    assert_eq!(holder(ServerKind::GitHub, None, "#583231"), None);
    assert_eq!(holder(ServerKind::BitbucketCloud, None, "asmith"), None);
    // Its webhooks tell a nickname, which anybody may take; the number counts, as it is told and as it is shown.
    assert_eq!(holder(ServerKind::BitbucketCloud, Some("0a1b-2c"), "whatever"), bob);
    assert_eq!(holder(ServerKind::BitbucketCloud, Some("dead-beef"), "bob"), None);
    assert_eq!(holder(ServerKind::BitbucketCloud, None, "bob"), None);
}

#[test]
fn n18_an_account_of_two_is_an_error_with_both_places() {
    let ring = Ring::new();
    ring.write("ann.toml", &with_accounts("ann", ANN, r#"["asmith", "sshd:x"]"#));
    ring.write("bob.toml", &with_accounts("bob", BOB, r#"["gitlab:asmith", "gitolite:x"]"#));
    let wanted = r#"
error: the account `gitlab:asmith` overlaps with `asmith` of `ann`, at DIR/ann.toml:2:13
  --> DIR/bob.toml:2:13"#;
    let seen = ring.errors();
    assert!(seen.starts_with(wanted.trim_start()), "{seen}");
    assert_eq!(seen.matches("error:").count(), 1, "other servers, other accounts\n{seen}");
    // Of one principal, what overlaps is no harm; what is there twice is a slip.
    let ring = Ring::new();
    ring.write("ann.toml", &with_accounts("ann", ANN, r#"["asmith", "gitlab:asmith"]"#));
    assert_eq!(ring.load().accounts_of("ann").count(), 2);
    ring.write("ann.toml", &with_accounts("ann", ANN, r#"["asmith", "gitlab:x", "asmith"]"#));
    assert!(ring.errors().contains("`asmith` is listed twice"));
}

#[test]
fn n18_what_is_no_account_is_refused() {
    for (listed, wanted) in [
        (r#"["gitlap:ann"]"#, "did you mean \"gitlab:ann\"?"),
        (r#"["githup:ann"]"#, "did you mean \"github:ann\"?"),
        (r#"["ldap:ann"]"#, "before the `:` stands one of sshd, git-http-backend, gitolite"),
        (r#"["sshd-key:ann"]"#, "put the key into the keyring"),
        (r#"[""]"#, "names no account"),
        (r#"["gitlab:"]"#, "names no account"),
        (r#"[" ann"]"#, "names no account"),
        (r#"["ann\u001b"]"#, "not visible"),
        (r#"["ann\u200b"]"#, "not visible"),
        (r##"["#17"]"##, "which only some servers tell"),
        (r##"["gitolite:#17"]"##, "which only some servers tell"),
        (r#""ann""#, "write [\"ann\"]"),
        ("[7]", "is a whole number"),
    ] {
        let ring = Ring::new();
        ring.write("ann.toml", &with_accounts("ann", ANN, listed));
        let seen = ring.errors();
        assert!(seen.contains(wanted), "{listed}: {seen}");
    }
    let long = format!("[\"{}\"]", "x".repeat(257));
    let ring = Ring::new();
    ring.write("ann.toml", &with_accounts("ann", ANN, &long));
    assert!(ring.errors().contains("names no account"));
}

#[test]
fn n18_accounts_are_added_listed_and_shown() {
    let ring = Ring::new();
    let with = |name: &str, key: &str, accounts: &[&str]| AddRequest {
        accounts: accounts.iter().map(|one| (*one).to_owned()).collect(),
        ..request(name, key)
    };
    ring.add(&with("ann", ANN, &["gitlab:ann"])).unwrap();
    let added = ring.add(&with("ann", ANN, &["gitlab:ann", "gitea:#17"])).unwrap();
    assert!(added.changed && !added.key_added);
    let text = fs::read_to_string(ring.path().join("ann.toml")).unwrap();
    assert!(text.contains("accounts = [\"gitlab:ann\", \"gitea:#17\"]\n"), "{text}");
    assert!(!ring.add(&with("ann", ANN, &["gitea:#17"])).unwrap().changed);
    let error = ring.add(&with("bob", BOB, &["ann"])).unwrap_err().to_string();
    assert!(error.contains("nothing is written") && error.contains("overlaps with `gitlab:ann`"), "{error}");
    let error = ring.add(&with("bob", BOB, &["ldap:bob"])).unwrap_err().to_string();
    assert!(error.contains("begins with no kind of server"), "{error}");
    assert!(!ring.path().join("bob.toml").exists());
    ring.add(&request("bob", BOB)).unwrap();

    let (_, out, _) = cli_run(&ring, KeyringCommand::List(ListArgs::default()), Format::Text).unwrap();
    assert!(out.ends_with("\n\nPRINCIPAL  ACCOUNTS\nann        gitlab:ann, gitea:#17\n"), "{out}");
    let (_, out, _) = cli_run(&ring, KeyringCommand::List(ListArgs::default()), Format::Json).unwrap();
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["accounts"], serde_json::json!({ "ann": ["gitlab:ann", "gitea:#17"] }));
    let show =
        |format| cli_run(&ring, KeyringCommand::Show(ShowArgs { name: "ann".into() }), format).unwrap().1;
    assert!(show(Format::Text).contains("accounts   gitlab:ann, gitea:#17\n"));
    let json: serde_json::Value = serde_json::from_str(&show(Format::Json)).unwrap();
    assert_eq!(json["accounts"], serde_json::json!(["gitlab:ann", "gitea:#17"]));
}

#[test]
fn the_documented_file_loads() {
    let docs = include_str!("../docs/keyring.md");
    let example = docs.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
    let ssh_only = example.split("[[key]]\nopenpgp").next().unwrap();
    let ring = Ring::new();
    ring.write("alice.toml", ssh_only.split_once('\n').unwrap().1);
    assert_eq!(ring.load().keys().len(), 1);
    for key in [
        "name",
        "kind",
        "emails",
        "groups",
        "accounts",
        "ssh",
        "openpgp",
        "valid-from",
        "valid-until",
        "revoked",
        "at",
        "reason",
        "effective-from",
    ] {
        assert!(docs.contains(&format!("| `{key}` |")), "{key}");
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    /// Whatever is in a file: an answer and no panic, nothing raw on the terminal, and no key of others lost.
    #[test]
    fn any_file_gets_an_answer(at in 0_usize..400, cut in 0_usize..40, put in "\\PC{0,12}|[\\[\\]\"'=\n#{}.,\\\\u\u{0}-\u{1f}]{0,12}") {
        let good = format!(
            "name = \"ann\"\nkind = \"bot\"\nemails = [\"a@b.c\"]\ngroups = [\"x\"]\n[[key]]\nssh = \"{ANN} é\"\n\
             valid-from = 2026-01-01T00:00:00Z\nrevoked = {{ at = 2026-06-01T00:00:00Z, reason = \"retired\" }}\n"
        );
        let floor = |mut at: usize| { at = at.min(good.len()); while !good.is_char_boundary(at) { at -= 1 } at };
        let text = format!("{}{put}{}", &good[..floor(at)], &good[floor(at + cut)..]);
        let ring = Ring::new();
        ring.write("ann.toml", &text);
        if let Err(error) = Keyring::load(ring.path()) {
            proptest::prop_assert!(!error.diagnostics().is_empty());
            let shown = error.to_string();
            proptest::prop_assert!(shown.chars().all(|c| c == '\n' || !c.is_control()), "{shown:?}");
        }
        Keyring::empty().with_revocations_from(ring.path());
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_crash() {
    for text in [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}", "{b=".repeat(100_000)),
        format!("a{} = 1", ".a".repeat(100_000)),
    ] {
        let ring = Ring::new();
        ring.write("ann.toml", &text);
        assert!(Keyring::load(ring.path()).is_err());
    }
}
