//! What the cases about objects share: a repository with real signers, objects made by git or put
//! together byte for byte, and git's own verdict about them.

use crate::keys::*;
use crate::support::gate::Gate;
use countersign::domain::ObjectFormat;
use countersign::signature::object::{parse_commit_by, parse_tag_by};
use countersign::signature::{self, Rules, SignatureStatus, Times, Trace, VerifiedSignature};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

pub(crate) const TREE: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";
pub(crate) const PARENT: &str = "parent 00112233445566778899aabbccddeeff00112233\n";
pub(crate) const AUTHOR: &str = "author Test Key <test@example.org> 1748736000 +0000\n";
pub(crate) const COMMITTER: &str = "committer Test Key <test@example.org> 1748736000 +0000\n";

/// A repository, an SSH key and, where a case asks for one, an OpenPGP key.
pub(crate) struct Scene {
    dir: tempfile::TempDir,
    pub(crate) format: ObjectFormat,
    pub(crate) ssh: Ssh,
    pub(crate) ssh_key: PathBuf,
    gpg: OnceCell<(Gpg, String)>,
}

/// What became of an object: one word, and the codes of what was found odd.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) word: String,
    pub(crate) findings: Vec<&'static str>,
    pub(crate) proof: Option<VerifiedSignature>,
}

impl Verdict {
    fn of(status: SignatureStatus, findings: Vec<&'static str>) -> Self {
        let word = match &status {
            SignatureStatus::Malformed { code, .. } => *code,
            other => other.name(),
        };
        let word = word.to_owned();
        let proof = if let SignatureStatus::Verified(proof) = status { Some(proof) } else { None };
        Verdict { word, findings, proof }
    }

    fn refused(code: &str) -> Self {
        Verdict { word: code.to_owned(), findings: Vec::new(), proof: None }
    }
}

/// What git says about a signature.
pub(crate) struct GitSays {
    pub(crate) good: bool,
    pub(crate) text: String,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::of(ObjectFormat::Sha1)
    }

    pub(crate) fn of(format: ObjectFormat) -> Self {
        let ssh = Ssh::new();
        let ssh_key = ssh.generate("key", "ed25519", "256");
        let dir = tempfile::Builder::new().prefix("cs-case").tempdir().unwrap();
        let scene = Scene { dir, format, ssh, ssh_key, gpg: OnceCell::new() };
        scene.git(&["init", "-q", "-b", "main", "--object-format", format.name()]);
        let allowed = scene.path().join(".git/allowed");
        std::fs::write(&allowed, format!("test@example.org {}", Ssh::public(&scene.ssh_key))).unwrap();
        scene.config("gpg.ssh.allowedSignersFile", allowed.to_str().unwrap());
        scene
    }

    /// A scene whose OpenPGP key is of this algorithm.
    pub(crate) fn with_gpg(algorithm: &str) -> Self {
        let scene = Self::new();
        let gpg = Gpg::new();
        let key = gpg.generate(BORN, algorithm, "sign,cert", "never");
        scene.use_gpg(&gpg);
        assert!(scene.gpg.set((gpg, key)).is_ok());
        scene
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn config(&self, key: &str, value: &str) {
        self.git(&["config", key, value]);
    }

    /// The OpenPGP key, made on first use, with its home.
    pub(crate) fn gpg(&self) -> &(Gpg, String) {
        self.gpg.get_or_init(|| {
            let gpg = Gpg::new();
            let key = gpg.generate(BORN, "ed25519", "sign,cert", "never");
            self.use_gpg(&gpg);
            (gpg, key)
        })
    }

    /// Lets git use this GnuPG home from now on, at the time that the tests judge by.
    pub(crate) fn use_gpg(&self, gpg: &Gpg) {
        let program = self.path().join(".git/gpg");
        let home = gpg.home().display();
        let clock = at(NOW).strftime("%Y%m%dT%H%M%S!").to_string();
        let script = format!(
            "#!/bin/sh\nexec gpg --homedir '{home}' --faked-system-time '{clock}' --batch --no-tty \"$@\"\n"
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        self.config("gpg.program", program.to_str().unwrap());
    }

    /// Both keys.
    pub(crate) fn keys(&self) -> KeyBox {
        let mut keys = KeyBox::ssh(&Ssh::public(&self.ssh_key));
        if let Some((gpg, key)) = self.gpg.get() {
            keys.openpgp = KeyBox::openpgp(&gpg.export(key)).openpgp;
        }
        keys
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.path()).args(args).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("HOME", self.path()).env("GIT_CONFIG_GLOBAL", "/dev/null").env("LC_ALL", "C");
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GNUPGHOME"] {
            command.env_remove(name);
        }
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "Test Key");
            command.env(format!("GIT_{who}_EMAIL"), "test@example.org");
            command.env(format!("GIT_{who}_DATE"), format!("{NOW} +0000"));
        }
        command
    }

    pub(crate) fn git(&self, args: &[&str]) -> Vec<u8> {
        run(&mut self.command(args), b"")
    }

    pub(crate) fn line(&self, args: &[&str]) -> String {
        String::from_utf8(self.git(args)).unwrap().trim_end().to_owned()
    }

    /// Runs a git command that signs, with the SSH key.
    pub(crate) fn git_ssh(&self, args: &[&str]) -> Vec<u8> {
        let key = format!("user.signingKey={}", self.ssh_key.display());
        self.git(&[&["-c", "gpg.format=ssh", "-c", &key], args].concat())
    }

    /// Runs a git command that signs, with the OpenPGP key.
    pub(crate) fn git_pgp(&self, args: &[&str]) -> Vec<u8> {
        let key = format!("user.signingKey={}", self.gpg().1);
        self.git(&[&["-c", &key], args].concat())
    }

    pub(crate) fn cat(&self, kind: &str, revision: &str) -> Vec<u8> {
        self.git(&["cat-file", kind, revision])
    }

    pub(crate) fn ssh_armor(&self, payload: &[u8]) -> Vec<u8> {
        Ssh::sign(&self.ssh_key, "git", &[], payload)
    }

    pub(crate) fn pgp_armor(&self, payload: &[u8]) -> Vec<u8> {
        let (gpg, key) = self.gpg();
        gpg.sign(NOW, key, &[], payload)
    }

    /// A payload with its signature header by the SSH key.
    pub(crate) fn ssh_signed(&self, payload: &[u8]) -> Vec<u8> {
        self.with_header(payload, &self.ssh_armor(payload))
    }

    /// A payload with its signature header by the OpenPGP key.
    pub(crate) fn pgp_signed(&self, payload: &[u8]) -> Vec<u8> {
        self.with_header(payload, &self.pgp_armor(payload))
    }

    /// The signature header right before the empty line, as git writes it.
    pub(crate) fn with_header(&self, payload: &[u8], armor: &[u8]) -> Vec<u8> {
        let split = payload.windows(2).position(|pair| pair == b"\n\n").unwrap() + 1;
        [&payload[..split], &header(self.format, armor), &payload[split..]].concat()
    }

    /// Writes an object as it is, whatever git thinks of it.
    pub(crate) fn store(&self, kind: &str, raw: &[u8]) -> String {
        let args = ["hash-object", "-t", kind, "-w", "--stdin", "--literally"];
        String::from_utf8(run(&mut self.command(&args), raw)).unwrap().trim().to_owned()
    }

    /// What a git command says, whether it succeeds or not.
    pub(crate) fn ask(&self, args: &[&str]) -> GitSays {
        let output = self.command(args).stdin(Stdio::null()).output().unwrap();
        let text = [output.stdout, output.stderr].map(|out| String::from_utf8_lossy(&out).into_owned());
        GitSays { good: output.status.success(), text: text.concat() }
    }

    /// `git verify-commit --raw` on an object.
    pub(crate) fn git_verifies(&self, raw: &[u8]) -> GitSays {
        self.ask(&["verify-commit", "--raw", &self.store("commit", raw)])
    }

    /// `git verify-tag --raw` on an object.
    pub(crate) fn git_verifies_tag(&self, raw: &[u8]) -> GitSays {
        self.ask(&["verify-tag", "--raw", &self.store("tag", raw)])
    }

    /// Whether `git fsck --strict` complains about an object, and how.
    pub(crate) fn fsck(&self, kind: &str, raw: &[u8]) -> GitSays {
        self.ask(&["fsck", "--strict", "--no-dangling", &self.store(kind, raw)])
    }

    pub(crate) fn verdict(&self, raw: &[u8]) -> Verdict {
        self.verdict_by(raw, &Rules::default())
    }

    pub(crate) fn verdict_by(&self, raw: &[u8], rules: &Rules) -> Verdict {
        commit_verdict(self.format, raw, &self.keys(), rules)
    }

    pub(crate) fn tag_verdict(&self, raw: &[u8]) -> Verdict {
        self.tag_verdict_by(raw, &Rules::default())
    }

    pub(crate) fn tag_verdict_by(&self, raw: &[u8], rules: &Rules) -> Verdict {
        tag_verdict(self.format, raw, &self.keys(), rules)
    }

    /// The word of the default verdict, after asking git whether it thinks the same of the object as the
    /// case says.
    #[track_caller]
    pub(crate) fn word(&self, raw: &[u8], git: Git) -> String {
        let says = self.git_verifies(raw);
        assert_eq!(says.good, git == Git::Good, "{}\n{}", String::from_utf8_lossy(raw), says.text);
        self.verdict(raw).word
    }

    /// The same for a tag.
    #[track_caller]
    pub(crate) fn tag_word(&self, raw: &[u8], git: Git) -> String {
        let says = self.git_verifies_tag(raw);
        assert_eq!(says.good, git == Git::Good, "{}\n{}", String::from_utf8_lossy(raw), says.text);
        self.tag_verdict(raw).word
    }
}

/// What `git verify-commit` or `git verify-tag` makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Git {
    Good,
    Bad,
}

/// The relaxations for history that predates the gate.
pub(crate) fn import() -> Rules {
    Rules { import: true, ..Rules::default() }
}

pub(crate) fn commit_verdict(format: ObjectFormat, raw: &[u8], keys: &KeyBox, rules: &Rules) -> Verdict {
    let commit = match parse_commit_by(format, raw, rules, &mut Trace::off()) {
        Ok(commit) => commit,
        Err(error) => return Verdict::refused(error.code),
    };
    let times = Times::introduced(commit.committer.time, at(NOW));
    let (field, payload) = (&commit.signature, &commit.payload);
    let status = signature::judge(field, payload, keys, times, rules, &mut Trace::off());
    Verdict::of(status, commit.findings.iter().map(|finding| finding.code).collect())
}

pub(crate) fn tag_verdict(format: ObjectFormat, raw: &[u8], keys: &KeyBox, rules: &Rules) -> Verdict {
    let tag = match parse_tag_by(format, raw, rules, &mut Trace::off()) {
        Ok(tag) => tag,
        Err(error) => return Verdict::refused(error.code),
    };
    let times = Times::introduced(tag.time(), at(NOW));
    let status = signature::judge(&tag.signature, &tag.payload, keys, times, rules, &mut Trace::off());
    Verdict::of(status, tag.findings.iter().map(|finding| finding.code).collect())
}

/// The lines of the signature header that holds `armor`.
pub(crate) fn header(format: ObjectFormat, armor: &[u8]) -> Vec<u8> {
    let name = if format == ObjectFormat::Sha1 { "gpgsig" } else { "gpgsig-sha256" };
    let folded = String::from_utf8(armor.to_vec()).unwrap().trim_end_matches('\n').replace('\n', "\n ");
    format!("{name} {folded}\n").into_bytes()
}

/// A commit with these header lines.
pub(crate) fn crafted(lines: &str) -> Vec<u8> {
    format!("{lines}\nmessage\n").into_bytes()
}

/// An ordinary unsigned commit.
pub(crate) fn plain() -> Vec<u8> {
    crafted(&format!("{TREE}{AUTHOR}{COMMITTER}"))
}

/// Replaces the first occurrence in bytes; it must be there.
#[track_caller]
pub(crate) fn replaced(raw: &[u8], from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Vec<u8> {
    let from = from.as_ref();
    let at = raw.windows(from.len()).position(|window| window == from).expect("the text is there");
    [&raw[..at], to.as_ref(), &raw[at + from.len()..]].concat()
}

/// A policy with one ruleset that refuses this on these refs.
pub(crate) fn policy(refs: &str, refuse: &str) -> String {
    format!(
        "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"only\"\nrepositories = [\"**\"]\n\
         refs = [\"{refs}\"]\nenforcement = \"enforce\"\n\n[ruleset.refuse]\n{refuse}\n"
    )
}

/// What `config check` says about a configuration that must not load.
#[track_caller]
pub(crate) fn does_not_load(policy: &str) -> String {
    let gate = Gate::prepared(policy);
    let ran = gate.countersign(&["config", "check"]);
    assert_eq!(ran.code(), Some(2), "{}{}", ran.stdout, ran.stderr);
    ran.stdout + &ran.stderr
}
