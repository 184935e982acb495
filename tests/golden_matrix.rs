//! Situations × rules → outcome, as one table that a reviewer reads as a diff: `tests/golden/matrix.txt`.
//!
//! Every cell is one decision of the real gate: a repository and a quarantine written by git, keys from
//! `ssh-keygen` and `gpg`, a keyring and a configuration loaded from files, an adopted base in a real
//! store, and the text that a pusher reads. Only git's call of the hook is left out.
//!
//! To accept a change: `UPDATE_GOLDEN=1 cargo test --test golden_matrix`, and read the diff.

#![allow(clippy::unwrap_used, clippy::panic)]

use countersign::hook::wire::{Bytes, Outcome, PROTOCOL, Place, Request};
use countersign::policy::facts::BuiltinRule;
use countersign::policy::rules;
use countersign::service::{self, Gate};
use countersign::store::{Mode, Store};
use regex::Regex;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

const ZERO: &str = "0000000000000000000000000000000000000000";
/// What commits name, unless a situation says otherwise.
const EMAIL: &str = "test@example.org";
/// Where the objects of the pushes lie, as git would name it.
const QUARANTINE: &str = "objects/tmp_objdir-incoming-golden";

// ---------------------------------------------------------------------------------------------------
// Columns

const UNCOVERED: &str = "builtin, uncovered = refuse";
const BRANCH: &str = "missing-ticket, where = branch";
const EVALUATE: &str = "all, evaluated only";

/// What a column's configuration refuses, beyond the built-in rules.
fn columns() -> Vec<(String, String)> {
    let set = |enforcement: &str, refuse: &str| {
        format!(
            "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"rules\"\nrepositories = [\"**\"]\n\
             refs = [\"refs/heads/**\", \"refs/tags/**\"]\nenforcement = \"{enforcement}\"\n\
             [ruleset.refuse]\n{refuse}"
        )
    };
    let line = |rule: &str| match rule {
        "missing-ticket" => "missing-ticket = { projects = [\"OPS\"] }\n".to_owned(),
        "message-format" => "message-format = { subject-max = 20 }\n".to_owned(),
        "untrusted-signer" => "untrusted-signer = { allow = [\"group:sre\"] }\n".to_owned(),
        "email-domain" => "email-domain = { domains = [\"example.org\"] }\n".to_owned(),
        "protected-path" => {
            "protected-path = { paths = [\"deploy/**\"], allow = [\"group:sre\"] }\n".to_owned()
        }
        "forbidden-path" => "forbidden-path = { paths = [\"**/*.pem\"] }\n".to_owned(),
        "large-file" => "large-file = { max = \"10 MiB\" }\n".to_owned(),
        "too-many-files" => "too-many-files = { max = 1000 }\n".to_owned(),
        "stale-signature" => "stale-signature = { days = 30 }\n".to_owned(),
        "unauthorized-pusher" => "unauthorized-pusher = { update = [\"group:sre\"] }\n".to_owned(),
        other => format!("{other} = true\n"),
    };
    let mut out = vec![
        ("builtin".to_owned(), "[policy]\nuncovered = \"accept\"\n".to_owned()),
        (UNCOVERED.to_owned(), "[policy]\nuncovered = \"refuse\"\n".to_owned()),
    ];
    // Where these stand, somebody says who pushes. The policy comes behind the keys of `[repositories]`.
    let asks = |name: &str| ["pusher-mismatch", "unauthorized-pusher"].contains(&name);
    let told = |policy: String| format!("server = \"gitolite\"\n{policy}");
    out.extend(rules::ALL.iter().map(|kind| {
        let policy = set("enforce", &line(kind.name));
        (kind.name.to_owned(), if asks(kind.name) { told(policy) } else { policy })
    }));
    let branch = "missing-ticket = { projects = [\"OPS\"], where = [\"branch\"] }\n";
    out.push((BRANCH.to_owned(), set("enforce", branch)));
    let all: String = rules::ALL.iter().map(|kind| line(kind.name)).collect();
    out.push(("all".to_owned(), told(set("enforce", &all))));
    out.push((EVALUATE.to_owned(), told(set("evaluate", &all))));
    out
}

// ---------------------------------------------------------------------------------------------------
// The world: repositories, keys, commits

struct World {
    directory: tempfile::TempDir,
    root: PathBuf,
    /// Ids that a run makes, and what they are called in the table.
    names: BTreeMap<String, String>,
    /// The committer's e-mail; by default one that every principal of the keyring has.
    committer: String,
}

impl Drop for World {
    fn drop(&mut self) {
        let mut kill = Command::new("gpgconf");
        let _ = kill.arg("--homedir").arg(self.root.join("gnupg")).args(["--kill", "all"]).output();
        let _ = &self.directory;
    }
}

fn run(mut command: Command, input: &[u8]) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} is needed: {error}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}");
    String::from_utf8(output.stdout).unwrap()
}

impl World {
    fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("cs-").tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for name in ["gnupg", "keys", "keyring", "git"] {
            fs::create_dir(root.join(name)).unwrap();
            fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o700)).unwrap();
        }
        World { directory, root, names: BTreeMap::new(), committer: EMAIL.to_owned() }
    }

    fn repository(&self, name: &str) -> PathBuf {
        self.root.join("git").join(format!("{name}.git"))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", &self.root).env("GNUPGHOME", self.root.join("gnupg"));
        command.env("LC_ALL", "C").env("TZ", "UTC");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for (who, email) in [("AUTHOR", EMAIL), ("COMMITTER", self.committer.as_str())] {
            command.env(format!("GIT_{who}_NAME"), "Test Key");
            command.env(format!("GIT_{who}_EMAIL"), email);
        }
        command
    }

    fn init(&mut self, name: &str, options: &[&str]) -> PathBuf {
        let path = self.repository(name);
        let mut command = self.command("git");
        run_ok(command.args(["init", "--quiet", "--bare", "-b", "main"]).args(options).arg(&path));
        fs::write(path.join("countersign-id"), format!("{:0>32}\n", self.names.len())).unwrap();
        fs::create_dir(path.join(QUARANTINE)).unwrap();
        self.names.insert(path.display().to_string(), format!("git/{name}.git"));
        path
    }

    /// Git in a repository, writing to its own objects.
    fn git(&self, name: &str, arguments: &[&str], input: &[u8]) -> String {
        let mut command = self.command("git");
        command.arg("--git-dir").arg(self.repository(name)).args(arguments);
        run(command, input).trim_end().to_owned()
    }

    /// Git in a repository, writing to the quarantine, as a push does.
    fn push(&mut self, repository: &str, label: &str, arguments: &[&str], input: &[u8]) -> String {
        let path = self.repository(repository);
        let mut command = self.command("git");
        command.env("GIT_OBJECT_DIRECTORY", path.join(QUARANTINE));
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", path.join("objects"));
        command.arg("--git-dir").arg(path).args(arguments);
        let id = run(command, input).trim_end().to_owned();
        self.call(&id, label);
        id
    }

    /// Names an id in the table.
    fn call(&mut self, id: &str, label: &str) {
        self.names.entry(id.to_owned()).or_insert_with(|| label.to_owned());
    }

    /// A commit with an empty tree; `signer` is `""`, an SSH key's name or `gpg:` and a fingerprint.
    fn commit(
        &mut self,
        repository: &str,
        label: &str,
        parents: &[&str],
        signer: &str,
        message: &str,
    ) -> String {
        let tree = self.git(repository, &["hash-object", "-t", "tree", "-w", "--stdin"], b"");
        let key = match signer.strip_prefix("gpg:") {
            Some(fingerprint) => fingerprint.to_owned(),
            None => self.root.join("keys").join(format!("{signer}.pub")).display().to_string(),
        };
        let format = if signer.starts_with("gpg:") { "gpg.format=openpgp" } else { "gpg.format=ssh" };
        let key = format!("user.signingKey={key}");
        let mut arguments = vec!["-c", format, "-c", &key, "commit-tree"];
        arguments.extend(parents.iter().flat_map(|parent| ["-p", *parent]));
        if !signer.is_empty() {
            arguments.push("-S");
        }
        arguments.push(&tree);
        self.push(repository, label, &arguments, message.as_bytes())
    }

    /// An object of any bytes.
    fn object(&mut self, repository: &str, label: &str, kind: &str, raw: &str) -> String {
        let arguments = ["hash-object", "-t", kind, "-w", "--stdin", "--literally"];
        self.push(repository, label, &arguments, raw.as_bytes())
    }

    fn raw(&self, repository: &str, id: &str) -> String {
        let path = self.repository(repository);
        let mut command = self.command("git");
        command.env("GIT_OBJECT_DIRECTORY", path.join(QUARANTINE));
        command.env("GIT_ALTERNATE_OBJECT_DIRECTORIES", path.join("objects"));
        command.arg("--git-dir").arg(path).args(["cat-file", "-p", id]);
        run(command, b"")
    }

    fn ssh_key(&self, name: &str, kind: &[&str], groups: &str, options: &str) {
        let private = self.root.join("keys").join(name);
        let mut command = self.command("ssh-keygen");
        command.args(["-q", "-N", "", "-C", "test key", "-f"]).arg(&private).arg("-t").args(kind);
        run_ok(&mut command);
        if groups != "-" {
            let public = fs::read_to_string(private.with_extension("pub")).unwrap();
            let key = format!("ssh = \"{}\"\n{options}", public.trim_end());
            self.principal(name, groups, &key);
        }
    }

    fn principal(&self, name: &str, groups: &str, key: &str) {
        let text = format!(
            "name = \"{name}\"\nemails = [\"{name}@example.org\", \"{EMAIL}\"]\ngroups = [{groups}]\n\n[[key]]\n{key}"
        );
        let path = self.root.join("keyring").join(format!("{name}.toml"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn openpgp_key(&self, name: &str, groups: &str) -> String {
        let user = format!("Test Key {name} (not a real one) <{name}@example.org>");
        let mut command = self.command("gpg");
        command.args([
            "--batch",
            "--quiet",
            "--passphrase",
            "",
            "--quick-generate-key",
            &user,
            "ed25519",
            "sign",
        ]);
        run_ok(command.arg("never"));
        let mut command = self.command("gpg");
        command.args(["--batch", "--with-colons", "--list-keys", name]);
        let listed = run(command, b"");
        let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap();
        let fingerprint = fingerprint.trim_matches(':').to_owned();
        let mut command = self.command("gpg");
        command.args(["--batch", "--armor", "--export", &fingerprint]);
        self.principal(name, groups, &format!("openpgp = '''\n{}'''\n", run(command, b"")));
        fingerprint
    }

    /// The text without what differs from run to run.
    fn mask(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for (id, label) in &self.names {
            out = out.replace(id, label);
            if id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                out = out.replace(&id[..10], label);
            }
        }
        out = out.replace(&self.root.display().to_string(), "ROOT");
        out = Regex::new("SHA256:[A-Za-z0-9+/]{43}").unwrap().replace_all(&out, "SHA256:...").into_owned();
        Regex::new("\\b[0-9A-F]{40}\\b").unwrap().replace_all(&out, "FINGERPRINT").into_owned()
    }
}

fn run_ok(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} is needed: {error}"));
    assert!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
}

// ---------------------------------------------------------------------------------------------------
// Rows

struct Situation {
    name: &'static str,
    repository: &'static str,
    updates: String,
    quarantine: bool,
    environment: Vec<(&'static str, &'static str)>,
    protocol: u32,
}

fn update(old: &str, new: &str, reference: &str) -> String {
    format!("{old} {new} {reference}\n")
}

fn situations(world: &mut World) -> Vec<Situation> {
    let mut rows: Vec<Situation> = Vec::new();
    fn row<'a>(rows: &'a mut Vec<Situation>, name: &'static str, updates: String) -> &'a mut Situation {
        let situation = Situation {
            name,
            repository: "app",
            updates,
            quarantine: true,
            environment: Vec::new(),
            protocol: PROTOCOL,
        };
        rows.push(situation);
        rows.last_mut().unwrap()
    }
    const MAIN: &str = "refs/heads/main";
    let base = world.git("app", &["rev-parse", "main"], b"");
    let older = world.git("app", &["rev-parse", "old"], b"");
    let drift = world.git("app", &["rev-parse", "drift"], b"");
    let laundered = world.git("app", &["rev-parse", "refs/notes/scratch"], b"");
    let b = [base.as_str()];
    let pgp = world.names.iter().find(|(_, label)| *label == "carol's key").unwrap().0.clone();

    // Ordinary pushes.
    let good = world.commit("app", "good", &b, "alice", "OPS-1: do it\n");
    row(&mut rows, "fast-forward, signed by alice", update(&base, &good, MAIN));
    let carol = world.commit("app", "carols", &b, &format!("gpg:{pgp}"), "OPS-1: do it\n");
    row(&mut rows, "fast-forward, OpenPGP by carol", update(&base, &carol, MAIN));
    row(&mut rows, "the ref stays where it is", update(&base, &base, MAIN));
    row(&mut rows, "create a branch, new commit", update(ZERO, &good, "refs/heads/new"));
    row(&mut rows, "create a branch, ticket in its name", update(ZERO, &good, "refs/heads/OPS-1-new"));
    row(&mut rows, "create a branch at judged history", update(ZERO, &older, "refs/heads/new"));
    row(&mut rows, "rewind to judged history", update(&base, &older, MAIN));
    let sibling = world.commit("app", "sibling", &[&older], "alice", "OPS-2: instead\n");
    row(&mut rows, "force push", update(&base, &sibling, MAIN));
    row(&mut rows, "delete a branch", update(&base, ZERO, MAIN)).quarantine = false;

    // Signatures.
    let unsigned = world.commit("app", "unsigned", &b, "", "OPS-1: do it\n");
    row(&mut rows, "unsigned", update(&base, &unsigned, MAIN));
    let stranger = world.commit("app", "strangers", &b, "stranger", "OPS-1: do it\n");
    row(&mut rows, "signed by a stranger", update(&base, &stranger, MAIN));
    let mallory = world.commit("app", "mallorys", &b, "mallory", "OPS-1: do it\n");
    row(&mut rows, "signed by mallory, not in sre", update(&base, &mallory, MAIN));
    for (name, key) in [
        ("key expired in the keyring", "expired"),
        ("key valid from 2999", "future"),
        ("key superseded", "superseded"),
        ("key compromised", "compromised"),
        ("RSA with 1024 bits", "weak"),
    ] {
        let id = world.commit("app", &format!("by-{key}"), &b, key, "OPS-1: do it\n");
        row(&mut rows, name, update(&base, &id, MAIN));
    }
    let signed = world.raw("app", &good);
    let tampered = world.object("app", "tampered", "commit", &signed.replace("do it", "do another thing"));
    row(&mut rows, "changed after it was signed", update(&base, &tampered, MAIN));
    let start = signed.find("gpgsig ").unwrap();
    let end = start + signed[start..].find("\n\n").unwrap() + 1;
    let (head, header, rest) = (&signed[..start], &signed[start..end], &signed[end..]);
    let twice = world.object("app", "twice", "commit", &format!("{head}{header}{header}{rest}"));
    row(&mut rows, "two signatures", update(&base, &twice, MAIN));
    let other_space = {
        let mut command = world.command("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", "file", "-f"]).arg(world.root.join("keys/alice"));
        let armor = run(command, format!("{head}{rest}").as_bytes());
        format!("{head}gpgsig {}\n{rest}", armor.trim_end().replace('\n', "\n "))
    };
    let other_space = world.object("app", "other-namespace", "commit", &other_space);
    row(&mut rows, "SSH signature for files", update(&base, &other_space, MAIN));
    let x509 =
        format!("{head}gpgsig -----BEGIN SIGNED MESSAGE-----\n MIIA\n -----END SIGNED MESSAGE-----\n{rest}");
    let x509 = world.object("app", "x509", "commit", &x509);
    row(&mut rows, "X.509 signature", update(&base, &x509, MAIN));

    // Who is named beside whoever signed.
    world.committer = "mallory@example.org".to_owned();
    let named = world.commit("app", "names-another", &b, "alice", "OPS-1: do it\n");
    row(&mut rows, "signed by alice, committer is mallory", update(&base, &named, MAIN));
    let named = world.commit("app", "names-alice", &b, "stranger", "OPS-1: do it\n");
    row(&mut rows, "signed by a stranger, as mallory", update(&base, &named, MAIN));
    world.committer = "Alice@EXAMPLE.org".to_owned();
    let named = world.commit("app", "local-case", &b, "alice", "OPS-1: do it\n");
    row(&mut rows, "committer in other letters", update(&base, &named, MAIN));
    world.committer = "alice@EXAMPLE.org".to_owned();
    let named = world.commit("app", "host-case", &b, "alice", "OPS-1: do it\n");
    row(&mut rows, "committer's host in other letters", update(&base, &named, MAIN));
    world.committer = EMAIL.to_owned();

    // Messages, and several faults.
    let trailer = world.commit("app", "trailer", &b, "alice", "do it\n\nBecause.\n\nTicket: OPS-3\n");
    row(&mut rows, "ticket in a trailer", update(&base, &trailer, MAIN));
    let plain = world.commit("app", "no-ticket", &b, "alice", "do it\n");
    row(&mut rows, "no ticket", update(&base, &plain, MAIN));
    let two = world.commit("app", "two-faults", &b, "", "do it\n");
    row(&mut rows, "two faults: unsigned, no ticket", update(&base, &two, MAIN));
    let below = world.commit("app", "on-top", &[&two], "alice", "OPS-1: on top\n");
    row(&mut rows, "two faults below a good tip", update(&base, &below, MAIN));
    let merge = world.commit("app", "merge", &[&base, &unsigned], "alice", "OPS-1: merge\n");
    row(&mut rows, "signed merge of an unsigned branch", update(&base, &merge, MAIN));
    let merge = world.commit("app", "bare-merge", &[&base, &good], "", "Merge branch 'x'\n");
    row(&mut rows, "unsigned merge of a signed branch", update(&base, &merge, MAIN));
    let hostile = world.commit("app", "hostile", &b, "alice", "\x1b[31mred\u{202e} x\n");
    row(&mut rows, "control bytes in the subject", update(&base, &hostile, MAIN));

    // What was there before.
    row(&mut rows, "commit that an uncovered ref has", update(&base, &laundered, MAIN));
    let onto = world.commit("app", "onto-drift", &[&drift], "alice", "OPS-1: on top\n");
    row(&mut rows, "onto a ref moved past the gate", update(&drift, &onto, "refs/heads/drift"));
    let lines = update(ZERO, &unsigned, "refs/notes/x") + &update(&base, &unsigned, MAIN);
    row(&mut rows, "uncovered and covered ref at once", lines);
    let lines = update(&base, &good, MAIN) + &update(ZERO, &two, "refs/heads/new");
    row(&mut rows, "two refs, one faulty", lines);

    // Tags and other refs.
    row(&mut rows, "light tag on judged history", update(ZERO, &base, "refs/tags/v1"));
    row(&mut rows, "light tag on an unsigned commit", update(ZERO, &unsigned, "refs/tags/v1"));
    let tag = |target: &str, kind: &str| {
        format!(
            "object {target}\ntype {kind}\ntag v1\ntagger Test Key <test@example.org> 1748736000 +0000\n\nv1\n"
        )
    };
    let annotated = world.object("app", "tag", "tag", &tag(&base, "commit"));
    row(&mut rows, "unsigned tag on judged history", update(ZERO, &annotated, "refs/tags/v1"));
    for (name, label, key, email) in [
        ("tag signed by its tagger", "tag-own", "alice", "alice@example.org"),
        ("tag signed by another than its tagger", "tag-another", "alice", "mallory@example.org"),
        ("tag signed by a stranger", "tag-stranger", "stranger", "alice@example.org"),
    ] {
        let payload = tag(&base, "commit").replace(EMAIL, email);
        let mut command = world.command("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", "git", "-f"]).arg(world.root.join("keys").join(key));
        let armor = run(command, payload.as_bytes());
        let signed = world.object("app", label, "tag", &format!("{payload}{armor}"));
        row(&mut rows, name, update(ZERO, &signed, "refs/tags/v1"));
    }
    let to_new = world.object("app", "tag-unsigned", "tag", &tag(&unsigned, "commit"));
    row(&mut rows, "tag on an unsigned commit", update(ZERO, &to_new, "refs/tags/v1"));
    let tree = world.git("app", &["hash-object", "-t", "tree", "-w", "--stdin"], b"");
    let to_tree = world.object("app", "tag-tree", "tag", &tag(&tree, "tree"));
    row(&mut rows, "tag on a tree", update(ZERO, &to_tree, "refs/tags/v1"));
    let liar = world.object("app", "tag-liar", "tag", &tag(&base, "tree"));
    row(&mut rows, "tag that calls its commit a tree", update(ZERO, &liar, "refs/tags/v1"));
    let mut nested = annotated;
    for depth in 1..=4 {
        nested = world.object("app", &format!("nested-{depth}"), "tag", &tag(&nested, "tag"));
    }
    row(&mut rows, "five tags behind each other", update(ZERO, &nested, "refs/tags/v1"));
    row(&mut rows, "notes", update(ZERO, &unsigned, "refs/notes/x"));

    // Updates that are none.
    row(&mut rows, "unknown namespace", update(ZERO, &good, &format!("refs/replace/{base}")));
    row(&mut rows, "symbolic ref", update(&base, &good, "refs/heads/stable"));
    row(&mut rows, "link in place of a ref", update(&base, &good, "refs/heads/linked"));
    let lines = update(&base, &good, "refs/heads/stable") + &update(&base, &good, MAIN);
    row(&mut rows, "symbolic ref and its target", lines);
    let lines = update(&base, &good, MAIN) + &update(&base, &good, MAIN);
    row(&mut rows, "the same ref twice", lines);
    let lines = update(&base, ZERO, MAIN) + &update(ZERO, &good, MAIN);
    row(&mut rows, "delete and create the same ref", lines);
    row(&mut rows, "old value is not the ref's", update(&older, &good, MAIN));
    row(&mut rows, "create a ref that exists", update(ZERO, &good, MAIN));
    world.call(&"7".repeat(40), "absent");
    row(&mut rows, "new object is absent", update(&base, &"7".repeat(40), MAIN));
    row(&mut rows, "both ids zero", update(ZERO, ZERO, MAIN));
    row(&mut rows, "name against git's rules", update(ZERO, &good, "refs/heads/a..b"));
    row(&mut rows, "list cut in the middle of a line", update(&base, &good, MAIN).trim_end().to_owned());
    row(&mut rows, "no update at all", String::new());

    // Objects and histories.
    let (line, _) = signed[signed.find("author ").unwrap()..].split_once('\n').unwrap();
    let unsigned_raw = world.raw("app", &unsigned);
    let authors = unsigned_raw.replace(&format!("{line}\n"), &format!("{line}\n{line}\n"));
    let authors = match authors == unsigned_raw {
        // The two commits may be from two seconds.
        true => {
            let (line, _) = unsigned_raw[unsigned_raw.find("author ").unwrap()..].split_once('\n').unwrap();
            unsigned_raw.replacen(line, &format!("{line}\n{line}"), 1)
        }
        false => authors,
    };
    let authors = world.object("app", "two-authors", "commit", &authors);
    row(&mut rows, "two author lines", update(&base, &authors, MAIN));
    row(&mut rows, "two author lines, uncovered ref", update(ZERO, &authors, "refs/notes/x"));
    let large = world.commit("app", "large", &b, "alice", &format!("OPS-1: {}\n", "x".repeat(65_529)));
    row(&mut rows, "message of more than 64 KiB", update(&base, &large, MAIN));
    let parents: Vec<String> = (0..65)
        .map(|n| world.commit("app", &format!("parent-{n}"), &b, "", &format!("OPS-{}: x\n", n + 1)))
        .collect();
    let octopus = parents.iter().map(String::as_str).collect::<Vec<_>>();
    let octopus = world.commit("app", "octopus", &octopus, "alice", "OPS-1: merge\n");
    row(&mut rows, "65 parents", update(&base, &octopus, MAIN));
    let absent = unsigned_raw.replace(&base, &"7".repeat(40));
    let absent = world.object("app", "cut", "commit", &absent);
    row(&mut rows, "parent is nowhere", update(&base, &absent, MAIN));
    row(&mut rows, "parent is nowhere, new branch", update(ZERO, &absent, "refs/heads/new"));
    row(&mut rows, "shallow push", update(&base, &good, MAIN)).environment =
        vec![("GIT_SHALLOW_FILE", "/x/shallow")];

    // Other repositories.
    let first = world.commit("empty", "first", &[], "alice", "OPS-1: begin\n");
    row(&mut rows, "first push, signed", update(ZERO, &first, MAIN)).repository = "empty";
    let first = world.commit("empty", "first-unsigned", &[], "", "OPS-1: begin\n");
    row(&mut rows, "first push, unsigned", update(ZERO, &first, MAIN)).repository = "empty";
    let wide = world.commit("sha256", "wide", &[], "alice", "OPS-1: begin\n");
    row(&mut rows, "SHA-256, signed", update(&"0".repeat(64), &wide, MAIN)).repository = "sha256";
    let wide = world.commit("sha256", "wide-unsigned", &[], "", "OPS-1: begin\n");
    row(&mut rows, "SHA-256, unsigned", update(&"0".repeat(64), &wide, MAIN)).repository = "sha256";
    let base = world.git("history", &["rev-parse", "main"], b"");
    let onto = world.commit("history", "onto", &[&base], "alice", "OPS-1: on top\n");
    row(&mut rows, "history that nobody adopted", update(&base, &onto, MAIN)).repository = "history";
    row(&mut rows, "no adopted history, delete", update(&base, ZERO, MAIN)).repository = "history";

    // What cannot be decided.
    for (name, repository) in [
        ("shallow repository", "shallow"),
        ("unknown extension", "extension"),
        ("repository without an identity", "nameless"),
        ("copy of another repository", "copy"),
    ] {
        let id = world.commit(repository, &format!("in-{repository}"), &[], "alice", "OPS-1: x\n");
        row(&mut rows, name, update(ZERO, &id, MAIN)).repository = repository;
    }
    row(&mut rows, "GIT_NAMESPACE", update(ZERO, &good, "refs/heads/new")).environment =
        vec![("GIT_NAMESPACE", "tenant")];
    row(&mut rows, "hook of another protocol", update(ZERO, &good, "refs/heads/new")).protocol = PROTOCOL + 1;
    rows
}

fn world() -> World {
    let mut world = World::new();
    world.ssh_key("alice", &["ed25519"], "\"sre\"", "");
    world.ssh_key("mallory", &["ed25519"], "", "");
    world.ssh_key("stranger", &["ed25519"], "-", "");
    world.ssh_key("expired", &["ed25519"], "\"sre\"", "valid-until = 2025-01-01T00:00:00Z\n");
    world.ssh_key("future", &["ed25519"], "\"sre\"", "valid-from = 2999-01-01T00:00:00Z\n");
    let revoked = |reason| format!("revoked = {{ at = 2025-01-01T00:00:00Z, reason = \"{reason}\" }}\n");
    world.ssh_key("superseded", &["ed25519"], "\"sre\"", &revoked("superseded"));
    world.ssh_key("compromised", &["ed25519"], "\"sre\"", &revoked("compromised"));
    world.ssh_key("weak", &["rsa", "-b", "1024"], "\"sre\"", "");
    let carol = world.openpgp_key("carol", "\"sre\"");
    world.call(&carol, "carol's key");

    world.init("app", &[]);
    let history = b"commit refs/heads/old\ncommitter Test Key <test@example.org> 1748736000 +0000\ndata 5\nbegin\n\
                    commit refs/heads/main\ncommitter Test Key <test@example.org> 1748736001 +0000\ndata 8\ngo ahead\n\
                    from refs/heads/old\n";
    world.git("app", &["fast-import", "--quiet"], history);
    world.git("app", &["symbolic-ref", "refs/heads/stable", "refs/heads/main"], b"");
    let link = world.repository("app").join("refs/heads/linked");
    std::os::unix::fs::symlink("refs/heads/main", link).unwrap();
    for (reference, label) in [("main", "base"), ("old", "older")] {
        let id = world.git("app", &["rev-parse", reference], b"");
        world.call(&id, label);
    }
    world.init("empty", &[]);
    world.init("sha256", &["--object-format=sha256"]);
    world.init("history", &[]);
    world.git("history", &["fast-import", "--quiet"], history);
    let shallow = world.init("shallow", &[]);
    fs::write(shallow.join("shallow"), format!("{}\n", "7".repeat(40))).unwrap();
    world.init("extension", &[]);
    world.git("extension", &["config", "core.repositoryFormatVersion", "1"], b"");
    let nameless = world.init("nameless", &[]);
    fs::remove_file(nameless.join("countersign-id")).unwrap();
    let copy = world.init("copy", &[]);
    fs::copy(world.repository("app").join("countersign-id"), copy.join("countersign-id")).unwrap();
    world
}

/// Moves past the gate, once the base is adopted.
fn drift(world: &mut World) {
    let tree = world.git("app", &["hash-object", "-t", "tree", "-w", "--stdin"], b"");
    for (reference, label) in [("refs/heads/drift", "drifted"), ("refs/notes/scratch", "laundered")] {
        let id = world.git("app", &["commit-tree", "-p", "main", "-m", label, &tree], b"");
        world.call(&id, label);
        world.git("app", &["update-ref", reference, &id], b"");
    }
    // Not earlier: git itself refuses to work there.
    world.git("extension", &["hash-object", "-t", "tree", "-w", "--stdin"], b"");
}

/// A gate for a column, its store new, the base of `app` adopted.
fn gate(world: &World, at: usize, policy: &str) -> Gate {
    let state = world.root.join(format!("state-{at}"));
    let text = format!(
        "contact = \"Questions? Ask #platform\"\n[daemon]\nsocket = \"{0}/hook.sock\"\nstate = \"{1}\"\n\
         [keyring]\npath = \"{0}/keyring\"\n[repositories]\nroot = \"{0}/git\"\n{policy}",
        world.root.display(),
        state.display()
    );
    let path = world.root.join(format!("column-{at}.toml"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let config = countersign::config::load(&path).unwrap_or_else(|e| panic!("{e}")).config;
    {
        let store = Store::open(&config.daemon.state, Mode::ReadWrite).unwrap();
        let repository = world.repository("app");
        let (_, listed) = service::adoptions(&config, &store, &repository).unwrap();
        service::adopt(
            &config,
            &store,
            &repository,
            &listed,
            service::Adopter { who: "test", evidence: &[], keyring: "" },
        )
        .unwrap();
    }
    Gate::standalone(&path).unwrap_or_else(|e| panic!("{e}"))
}

fn ask(world: &World, gate: &Gate, situation: &Situation, number: usize) -> (Outcome, String) {
    let place = |path: &Path, name: String| {
        let seen = fs::metadata(path).unwrap();
        Place { path: name, device: seen.dev(), inode: seen.ino() }
    };
    let git_dir = world.repository(situation.repository);
    let quarantine = git_dir.join(QUARANTINE);
    let environment = situation.environment.iter().chain(&[("GL_USER", "alice")]);
    let request = Request {
        protocol: situation.protocol,
        version: "0".to_owned(),
        request_id: format!("{number:032x}"),
        quarantine: situation.quarantine.then(|| place(&quarantine, QUARANTINE.to_owned())),
        git_dir: place(&git_dir, git_dir.display().to_string()),
        updates: Bytes(situation.updates.clone().into_bytes()),
        push_options: Vec::new(),
        environment: environment.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        ssh_user_auth: None,
    };
    let answer = gate.admit(&request, 0, &AtomicBool::new(false));
    assert_eq!(answer.request_id, request.request_id);
    (answer.outcome, world.mask(&answer.text))
}

// ---------------------------------------------------------------------------------------------------
// The table

const HEAD: &str = "\
# Situations x rules -> outcome. Made by tests/golden_matrix.rs; to accept a change, run
#   UPDATE_GOLDEN=1 cargo test --test golden_matrix
# and read the diff. `.` accepted, `R` refused, `?` undecided.
#
# The rulesets cover refs/heads/** and refs/tags/**. untrusted-signer allows group:sre (alice, carol);
# missing-ticket wants OPS. `app` has an adopted base of two unsigned commits without tickets: `older`,
# then `base`, which refs/heads/main holds. Other names stand for what the situation pushes.
#
# Below the table: what was refused and where, in the words that a pusher reads. Left out are the lines
# that say the same in nearly every row: of the second column, and of the branch's name.
";

#[test]
fn every_situation_ends_as_in_the_golden_file() {
    let mut world = world();
    let columns = columns();
    let gates: Vec<Gate> =
        columns.iter().enumerate().map(|(at, (_, policy))| gate(&world, at, policy)).collect();
    drift(&mut world);
    // The repository whose identity others carry has been seen by every gate.
    let situations = situations(&mut world);
    world.git("extension", &["config", "extensions.unknownThing", "1"], b"");

    let mut table = HEAD.to_owned();
    table.push('\n');
    for (at, (name, _)) in columns.iter().enumerate() {
        let _ = writeln!(table, "{:38}{}{name}", "", "|  ".repeat(at));
    }
    let enforced: Vec<&str> =
        columns.iter().map(|(name, _)| name.as_str()).filter(|name| *name != EVALUATE).collect();
    let mut details = String::new();
    let mut texts = String::new();
    let mut number = 0;
    for situation in &situations {
        let mut cells = Vec::new();
        let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
        for (gate, (column, _)) in gates.iter().zip(&columns) {
            number += 1;
            let (outcome, text) = ask(&world, gate, situation, number);
            cells.push(match outcome {
                Outcome::Accept => ".",
                Outcome::Refuse => "R",
                Outcome::Undecided => "?",
            });
            texts.push_str(&text);
            for line in text.lines() {
                let line = match line.strip_prefix("error[").and_then(|rest| rest.split_once("]: ")) {
                    Some((rule, seen)) => format!("{rule} -> {seen}"),
                    None => match line.trim_start().strip_prefix("cause") {
                        Some(cause) => format!("undecided -> cause{cause}"),
                        None => continue,
                    },
                };
                match lines.iter_mut().find(|(known, _)| *known == line) {
                    Some((_, columns)) => columns.push(column),
                    None => lines.push((line, vec![column])),
                }
            }
        }
        let _ = writeln!(table, "{:38}{}", situation.name, cells.join("  "));
        if lines.iter().any(|(_, spoken)| spoken != &[UNCOVERED] && spoken != &[BRANCH]) {
            let _ = writeln!(details, "\n{}", situation.name);
        }
        for (line, spoken) in &lines {
            let whose = if spoken.len() == columns.len() {
                "every column".to_owned()
            } else if *spoken == enforced {
                "every column that enforces".to_owned()
            } else {
                spoken.join(", ")
            };
            if spoken != &[UNCOVERED] && spoken != &[BRANCH] {
                let _ = writeln!(details, "  {line} [{whose}]");
            }
        }
    }
    table.push_str(&details);

    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/matrix.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &table).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap_or_default();
    let differs = golden.lines().zip(table.lines()).find(|(old, new)| old != new);
    assert!(
        golden == table,
        "the outcome differs from {}, first here: {differs:?}; see the head of the file",
        path.display()
    );
    for rule in BuiltinRule::ALL {
        page_shows_what_is_said(rule.name(), &texts);
    }
}

/// All violations count, some are shown, and the administrator's line comes last.
#[test]
fn violations_are_capped_and_counted() {
    let mut world = World::new();
    world.ssh_key("alice", &["ed25519"], "\"sre\"", "");
    world.init("app", &[]);
    let mut tip = world.commit("app", "c0", &[], "", "x\n");
    for n in 1..5 {
        tip = world.commit("app", &format!("c{n}"), &[&tip], "", "x\n");
    }
    let policy = "[limits]\nviolations = 3\n[policy]\nuncovered = \"accept\"\n[[ruleset]]\nname = \"rules\"\n\
                  repositories = [\"**\"]\nrefs = [\"refs/heads/**\"]\n[ruleset.refuse]\nunsigned-commit = true\n";
    let gate = gate(&world, 0, policy);
    let situation = Situation {
        name: "many",
        repository: "app",
        updates: update(ZERO, &tip, "refs/heads/main"),
        quarantine: true,
        environment: Vec::new(),
        protocol: PROTOCOL,
    };
    let (outcome, text) = ask(&world, &gate, &situation, 1);
    assert_eq!(outcome, Outcome::Refuse);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.starts_with("error[unsigned-commit]")).count(), 3, "{text}");
    assert_eq!(lines[lines.len() - 3], "... and 2 more");
    let summary = format!("countersign refused this push: 5 violations, request {:032x}", 1);
    assert_eq!(lines[lines.len() - 2], summary);
    assert_eq!(lines[lines.len() - 1], "Questions? Ask #platform");
}

/// A page's example has the words of a real refusal, ids aside.
fn page_shows_what_is_said(rule: &str, said: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/rules/{rule}.md"));
    let page = fs::read_to_string(page).unwrap();
    let lines: Vec<&str> = page.lines().map(|line| line.strip_prefix("remote: ").unwrap_or(line)).collect();
    let start = lines.iter().position(|line| line.starts_with(&format!("error[{rule}]")));
    let start = start.unwrap_or_else(|| panic!("{rule}.md shows no refusal"));
    let words = |text: &str| {
        let ids = Regex::new("\\b([0-9a-f]{40}|[0-9a-f]{10}|base|older|two-authors|large)\\b").unwrap();
        ids.replace_all(text, "ID").into_owned()
    };
    let quoted = words(&lines[start..start + 3].join("\n"));
    assert!(words(said).contains(&quoted), "{rule}.md shows what nobody says:\n{quoted}");
}
