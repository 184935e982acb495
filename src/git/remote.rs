//! A repository at a forge, asked by git's own programs as child processes (N31).
//!
//! They get no shell from here, nothing of our environment, no configuration of the system or of a user, and a
//! private directory for a home. Only the scheme that is configured may be spoken, redirects are not followed,
//! and the password lies in a file of that directory, where git's own helper hands it out for exactly this scheme,
//! host and port: it is in no argument and in no environment. Whatever takes too long is ended with everything
//! that it started.

use super::address::{Address, Scheme};
use super::child::{self, Ended, Manner, Room, RunError};
use crate::domain::{ObjectFormat, ObjectId, RefName, text};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// What a repository is fetched with.
#[derive(Clone, Default)]
pub enum Credential {
    /// Nothing: it is open, or a file.
    #[default]
    None,
    /// A name and a password or token, for HTTP.
    Password {
        /// The name; forges that look at the token only take any.
        user: String,
        /// The password or token.
        password: Vec<u8>,
    },
    /// The file of a private key, for SSH.
    Key(PathBuf),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Credential::None => "None",
            Credential::Password { .. } => "Password(..)",
            Credential::Key(_) => "Key(..)",
        })
    }
}

/// A repository elsewhere.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where.
    pub address: Address,
    /// With what.
    pub credential: Credential,
    /// The file with the host keys that count, for SSH.
    pub known_hosts: Option<PathBuf>,
    /// The file with the certificate authorities that count, for HTTPS; otherwise those of the system.
    pub authorities: Option<PathBuf>,
    /// The proxy to go through, for HTTP and HTTPS; otherwise none, whatever the environment says.
    pub proxy: Option<String>,
}

/// For how long, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Patience<'a> {
    /// When whatever runs is ended.
    pub until: Instant,
    /// The same, once this is set.
    pub stop: &'a AtomicBool,
}

/// What a repository elsewhere holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Its refs, sorted by name.
    pub refs: Vec<(RefName, ObjectId)>,
    /// The branch that `HEAD` points at.
    pub head: Option<RefName>,
    /// Refs that are there, and of which it is not said what they hold. They are not gone.
    pub unreadable: BTreeSet<RefName>,
    /// Lines that name no ref that can be one, escaped: the first few.
    pub malformed: Vec<String>,
    /// How many of those there are.
    pub malformed_count: usize,
}

impl Listing {
    /// The object format of its ids, where it has any.
    pub fn format(&self) -> Option<ObjectFormat> {
        self.refs.first().map(|(_, id)| id.format())
    }
}

/// Why a repository elsewhere could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// Git cannot be run here.
    #[error("{0}")]
    Program(String),
    /// It took too long.
    #[error("no answer in time")]
    Time,
    /// The daemon is on its way out.
    #[error("the daemon is shutting down")]
    Stopped,
    /// The other side does not have this object (any more), or does not hand it out.
    #[error("the other side does not have {0}")]
    Gone(ObjectId),
    /// More than is taken.
    #[error("{0}")]
    TooMuch(String),
    /// What it said is not what such a program says.
    #[error("the answer is not understood: {0}")]
    Format(String),
    /// Git failed; what it said, escaped.
    #[error("git: {0}")]
    Failed(String),
}

/// Most refs that a repository may have, and most bytes that their list may have.
const MAX_REFS: usize = 500_000;
const MAX_LISTING: usize = 96 << 20;
/// Malformed lines that are shown.
const SHOWN: usize = 10;

impl Remote {
    /// What the repository holds now: `git ls-remote`.
    ///
    /// # Errors
    /// See [`RemoteError`]. An empty list is an answer; what it means is for others to say.
    pub fn list(&self, patience: Patience<'_>) -> Result<Listing, RemoteError> {
        let (room, mut command) = self.command(None)?;
        // In no repository: neither in the private directory nor above it.
        let above = room.directory().parent().map(Path::to_owned).unwrap_or_default();
        let mut ceilings = above.clone().into_os_string();
        if let Ok(physical) = above.canonicalize() {
            ceilings.push(":");
            ceilings.push(physical);
        }
        command.env("GIT_CEILING_DIRECTORIES", ceilings);
        command.args(["ls-remote", "--quiet", "--symref", "--", self.address.as_str()]);
        let ended = self.run(&mut command, patience, &[], MAX_LISTING, None)?;
        match ended.code {
            Some(0) if ended.cut => Err(too_many()),
            Some(0) => parse(&ended.stdout),
            _ => Err(RemoteError::Failed(said(&ended))),
        }
    }

    /// Gets objects with everything that they reach into the repository at `git_dir`, by their ids and without
    /// names: `git fetch --stdin`.
    ///
    /// # Errors
    /// See [`RemoteError`]; a part of them may be there then.
    pub(super) fn fetch(
        &self,
        into: &Into<'_>,
        ids: &[ObjectId],
        patience: Patience<'_>,
    ) -> Result<(), RemoteError> {
        let (_room, mut command) = self.command(Some(into))?;
        command.args([
            "fetch",
            "--quiet",
            "--stdin",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--no-show-forced-updates",
            "--no-prune",
            "--no-filter",
            "--refmap=",
            "--",
        ]);
        command.arg(self.address.as_str());
        let input: String = ids.iter().map(|id| format!("{id}\n")).collect();
        let ended = self.run(&mut command, patience, input.as_bytes(), 4 << 10, Some(into.file_bytes))?;
        match (ended.code, ids) {
            (Some(0), _) => Ok(()),
            (_, [id]) if is_gone(&ended.stderr, id) => Err(RemoteError::Gone(*id)),
            _ => Err(RemoteError::Failed(said(&ended))),
        }
    }

    /// Moves a branch back from what it must hold, out of the repository at `git_dir`, which has what it shall hold:
    /// `git push --force-with-lease` (N32). `None` stands for no branch.
    ///
    /// # Errors
    /// See [`RemoteError`]; the branch was moved on meanwhile, for example.
    pub(super) fn push_back(
        &self,
        git_dir: &Path,
        reference: &RefName,
        bad: Option<ObjectId>,
        good: Option<ObjectId>,
        patience: Patience<'_>,
    ) -> Result<(), RemoteError> {
        let (_room, mut command) = self.command(None)?;
        command.arg("--git-dir").arg(git_dir);
        command.args(["push", "--quiet", "--no-verify", "--no-signed", "--no-follow-tags", "--no-thin"]);
        command.arg("--recurse-submodules=no");
        let word = |parts: [&[u8]; 3]| std::ffi::OsStr::from_bytes(&parts.concat()).to_owned();
        let id = |id: Option<ObjectId>| id.map_or_else(String::new, |id| id.to_string());
        let name = reference.as_bytes();
        let lease = [name, b":", id(bad).as_bytes()].concat();
        command.arg(word([b"--force-with-lease=", &lease, b""]));
        command.arg("--").arg(self.address.as_str()).arg(word([id(good).as_bytes(), b":", name]));
        let ended = self.run(&mut command, patience, &[], 4 << 10, Some(u64::MAX))?;
        match ended.code {
            Some(0) => Ok(()),
            _ => Err(RemoteError::Failed(said(&ended))),
        }
    }

    /// Runs git for as long as there is patience.
    fn run(
        &self,
        command: &mut Command,
        patience: Patience<'_>,
        input: &[u8],
        keep: usize,
        file_bytes: Option<u64>,
    ) -> Result<Ended, RemoteError> {
        let usual = Manner::new(patience.until, keep);
        let manner = Manner {
            input,
            file_bytes: file_bytes.unwrap_or(usual.file_bytes),
            // Packs are unpacked by as many threads as there are processors.
            processors: 64,
            stop: Some(patience.stop),
            ..usual
        };
        child::run_as(command, &manner).map_err(RemoteError::from)
    }

    /// Git with everything but a subcommand, and the directory that has to outlive it.
    fn command(&self, into: Option<&Into<'_>>) -> Result<(Room, Command), RemoteError> {
        let git = child::program("git").map_err(RemoteError::Program)?;
        let failed =
            |e: std::io::Error| RemoteError::Program(format!("a private directory cannot be used: {e}"));
        child::remove_left_behind();
        let room = Room::new().map_err(failed)?;
        let mut command = child::command(&room, &git);
        if let Some(into) = into {
            into.apply(&mut command);
        }
        let scheme = self.address.scheme;
        let mut settings = settings(scheme);
        match (&self.credential, scheme) {
            (Credential::Password { user, password }, Scheme::Https | Scheme::Http) => {
                let authority = &self.address.authority;
                let line = credential_line(scheme, authority, user, password);
                write_private(&room.path(".git-credentials"), &line).map_err(failed)?;
                settings.push("credential.helper=store".into());
            }
            (Credential::Password { .. } | Credential::None | Credential::Key(_), _) => {}
        }
        if let (Some(file), Scheme::Https) = (&self.authorities, scheme) {
            let mut setting = OsString::from("http.sslCAInfo=");
            setting.push(file);
            settings.push(setting);
        }
        settings.push(format!("http.proxy={}", self.proxy.as_deref().unwrap_or_default()).into());
        for setting in settings {
            command.arg("-c").arg(setting);
        }
        if scheme == Scheme::Ssh {
            command.env("GIT_SSH_COMMAND", self.ssh()?).env("GIT_SSH_VARIANT", "ssh");
        }
        Ok((room, command))
    }

    /// OpenSSH with options that leave nothing to files of a user or of the system. Git hands this to a shell,
    /// so each word is quoted.
    fn ssh(&self) -> Result<OsString, RemoteError> {
        let ssh = child::program("ssh").map_err(RemoteError::Program)?;
        let known_hosts = self.known_hosts.as_deref().ok_or_else(|| {
            RemoteError::Program("no file of known host keys is configured for ssh".to_owned())
        })?;
        let mut words: Vec<OsString> = vec![ssh.into_os_string(), "-F".into(), "none".into()];
        for option in SSH_OPTIONS {
            words.extend(["-o".into(), (*option).into()]);
        }
        words.extend(["-o".into(), ssh_file("UserKnownHostsFile", known_hosts)?]);
        match &self.credential {
            Credential::Key(file) => words.extend(["-o".into(), ssh_file("IdentityFile", file)?]),
            Credential::None | Credential::Password { .. } => {
                words.extend(["-o".into(), "IdentityFile=none".into()]);
            }
        }
        let quoted = words.iter().map(|word| quoted(word.as_bytes()));
        let line = quoted.collect::<Vec<_>>().join(&b' ');
        Ok(std::ffi::OsStr::from_bytes(&line).to_owned())
    }
}

/// Options that hold whatever is configured elsewhere.
const SSH_OPTIONS: &[&str] = &[
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=none",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "PreferredAuthentications=publickey",
    "ForwardAgent=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "ProxyCommand=none",
    "ControlMaster=no",
    "ControlPath=none",
    "CanonicalizeHostname=no",
    "RequestTTY=no",
    "ConnectTimeout=30",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
];

/// A file's path as the value of one of ssh's options: quoted, because spaces part several files, and `%` doubled,
/// because it stands for something.
fn ssh_file(option: &str, file: &Path) -> Result<OsString, RemoteError> {
    let path = file.as_os_str().as_bytes();
    if path.iter().any(|byte| byte.is_ascii_control() || b"\"\\$".contains(byte)) || !file.is_absolute() {
        return Err(RemoteError::Program(format!(
            "{}: ssh cannot be given such a path",
            text::escape_short(path, 300)
        )));
    }
    let mut value = format!("{option}=\"").into_bytes();
    for byte in path {
        value.extend(std::iter::repeat_n(*byte, if *byte == b'%' { 2 } else { 1 }));
    }
    value.push(b'"');
    Ok(std::ffi::OsStr::from_bytes(&value).to_owned())
}

/// A word for a POSIX shell.
fn quoted(word: &[u8]) -> Vec<u8> {
    let mut out = vec![b'\''];
    for byte in word {
        match byte {
            b'\'' => out.extend_from_slice(b"'\\''"),
            byte => out.push(*byte),
        }
    }
    out.push(b'\'');
    out
}

/// Where fetched objects go.
pub(super) struct Into<'a> {
    /// The git directory.
    pub(super) git_dir: &'a Path,
    /// The object directory that takes them, where it is not the repository's own.
    pub(super) quarantine: Option<&'a Path>,
    /// Whether git checks their format.
    pub(super) check: bool,
    /// Most bytes of one pack.
    pub(super) file_bytes: u64,
}

impl Into<'_> {
    /// Points git at the repository.
    pub(super) fn apply(&self, command: &mut Command) {
        command.arg("--git-dir").arg(self.git_dir);
        if let Some(quarantine) = self.quarantine {
            command
                .env("GIT_OBJECT_DIRECTORY", quarantine)
                .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", quoted_alternate(&self.git_dir.join("objects")));
        }
        let check = if self.check { "true" } else { "false" };
        for key in ["transfer.fsckObjects", "fetch.fsckObjects"] {
            command.arg("-c").arg(format!("{key}={check}"));
        }
    }
}

/// A path for `GIT_ALTERNATE_OBJECT_DIRECTORIES`, where a colon parts and quotes enclose.
pub(super) fn quoted_alternate(path: &Path) -> OsString {
    let mut out = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        if b"\"\\".contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
    std::ffi::OsStr::from_bytes(&out).to_owned()
}

/// Settings on the command line, which come before all others.
fn settings(scheme: Scheme) -> Vec<OsString> {
    let mut out: Vec<OsString> = [
        "http.followRedirects=false",
        "http.sslVerify=true",
        "http.emptyAuth=false",
        "http.lowSpeedLimit=100",
        "http.lowSpeedTime=60",
        "protocol.allow=never",
        "protocol.version=2",
        "core.hooksPath=/dev/null",
        "core.askPass=",
        "core.fsmonitor=false",
        "core.alternateRefsCommand=true",
        "credential.helper=",
        "credential.interactive=false",
        "submodule.recurse=false",
        "fetch.recurseSubmodules=false",
        "fetch.unpackLimit=1",
        "fetch.writeCommitGraph=false",
        "fetch.prune=false",
        "transfer.unpackLimit=1",
        "transfer.bundleURI=false",
        "gc.auto=0",
        "maintenance.auto=false",
    ]
    .into_iter()
    .map(OsString::from)
    .collect();
    out.push(format!("protocol.{}.allow=always", scheme.name()).into());
    out
}

/// A line of `git credential-store`: everything but letters and digits is escaped.
fn credential_line(scheme: Scheme, authority: &str, user: &str, password: &[u8]) -> Vec<u8> {
    let escaped = |bytes: &[u8]| -> String {
        let one = |byte: &u8| match byte {
            byte if byte.is_ascii_alphanumeric() => char::from(*byte).to_string(),
            byte => format!("%{byte:02x}"),
        };
        bytes.iter().map(one).collect()
    };
    format!("{}://{}:{}@{authority}\n", scheme.name(), escaped(user.as_bytes()), escaped(password))
        .into_bytes()
}

fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)
}

/// Whether git failed because the other side lacks the one object that was asked for. Only whole lines count that git
/// writes itself, about this object: what the other side wants to be shown has `remote: ` before it.
fn is_gone(stderr: &[u8], id: &ObjectId) -> bool {
    let lines = [
        format!("fatal: remote error: upload-pack: not our ref {id}"),
        // JGit.
        format!("fatal: remote error: want {id} not valid"),
        format!("error: Server does not allow request for unadvertised object {id}"),
        format!("fatal: couldn't find remote ref {id}"),
    ];
    stderr.split(|byte| *byte == b'\n').any(|said| lines.iter().any(|line| line.as_bytes() == said))
}

impl From<RunError> for RemoteError {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Failed(why) => RemoteError::Program(why),
            RunError::Time => RemoteError::Time,
            RunError::Stopped => RemoteError::Stopped,
        }
    }
}

/// What git said at its end, escaped. The last words are the ones that matter.
pub(super) fn said(ended: &Ended) -> String {
    let words = ended.stderr.trim_ascii();
    let words = &words[words.len().saturating_sub(400)..];
    match (ended.code, words.is_empty()) {
        (Some(code), true) => format!("it ended with {code}"),
        (None, true) => "it was ended by a signal".to_owned(),
        (_, false) => text::escape_short(words, 500),
    }
}

fn too_many() -> RemoteError {
    RemoteError::TooMuch(format!(
        "the repository has more than {MAX_REFS} refs, or their list more than {MAX_LISTING} bytes"
    ))
}

/// Reads what `git ls-remote --symref` prints, as bytes.
fn parse(output: &[u8]) -> Result<Listing, RemoteError> {
    let mut listing = Listing::default();
    let Some(body) = output.strip_suffix(b"\n") else {
        return if output.is_empty() {
            Ok(listing)
        } else {
            Err(RemoteError::Format("it ends in the middle of a line".to_owned()))
        };
    };
    let strange = |line: &[u8]| RemoteError::Format(format!("`{}`", text::escape_short(line, 200)));
    for line in body.split(|byte| *byte == b'\n') {
        let tab = line.iter().position(|byte| *byte == b'\t').ok_or_else(|| strange(line))?;
        let (value, name) = (&line[..tab], &line[tab + 1..]);
        if let Some(target) = value.strip_prefix(b"ref: ") {
            if name == b"HEAD" {
                listing.head = RefName::parse(target).ok();
            }
            // Other symbolic refs come once more with what they hold.
            continue;
        }
        // What is broken there is listed with zeros.
        let id = ObjectId::parse_optional(value).map_err(|_| strange(line))?;
        // What a tag points at follows the tag, under a name that no ref can have.
        if name == b"HEAD" || name.ends_with(b"^{}") {
            continue;
        }
        match RefName::parse(name) {
            Ok(name) => match id {
                Some(id) => listing.refs.push((name, id)),
                None => drop(listing.unreadable.insert(name)),
            },
            Err(error) => {
                listing.malformed_count += 1;
                if listing.malformed.len() < SHOWN {
                    listing.malformed.push(text::escape_short(error.to_string().as_bytes(), 300));
                }
            }
        }
        if listing.refs.len() > MAX_REFS {
            return Err(too_many());
        }
    }
    listing.refs.sort();
    let format = listing.format();
    if listing.refs.iter().any(|(_, id)| Some(id.format()) != format) {
        return Err(RemoteError::Format("ids of two object formats".to_owned()));
    }
    let twice = listing.refs.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if twice || listing.refs.iter().any(|(name, _)| listing.unreadable.contains(name)) {
        return Err(RemoteError::Format("one ref has two values".to_owned()));
    }
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n31_a_credential_is_for_one_host_and_is_shown_to_nobody() {
        let line = credential_line(Scheme::Https, "forge.example:8443", "x@y", b"a:b/c\n");
        assert_eq!(line, b"https://x%40y:a%3ab%2fc%0a@forge.example:8443\n");
        let shown = format!("{:?}", Credential::Password { user: "u".into(), password: b"geheim".to_vec() });
        assert!(!shown.contains("geheim"), "{shown}");
    }

    #[test]
    fn n30_refs_are_read_as_bytes_and_one_bad_name_blocks_only_itself() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let mut output =
            format!("ref: refs/heads/main\tHEAD\n{a}\tHEAD\n{a}\trefs/heads/main\n").into_bytes();
        output.extend(format!("{b}\trefs/heads/").into_bytes());
        output.extend([0xff, 0xfe, b'\n']);
        output.extend(format!("{b}\trefs/heads/a..b\n{b}\trefs/heads/\x1b[31m\n").into_bytes());
        output.extend(
            format!("{b}\t--upload-pack=x\n{b}\trefs/tags/v1\n{a}\trefs/tags/v1^{{}}\n").into_bytes(),
        );
        output.extend(format!("{}\trefs/heads/broken\n", "0".repeat(40)).into_bytes());
        let listing = parse(&output).unwrap();
        assert_eq!(
            listing.unreadable.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["refs/heads/broken"]
        );
        let names: Vec<_> = listing.refs.iter().map(|(name, _)| name.as_bytes().to_vec()).collect();
        assert_eq!(
            names,
            [b"refs/heads/main".to_vec(), b"refs/heads/\xff\xfe".to_vec(), b"refs/tags/v1".to_vec()]
        );
        assert_eq!(listing.refs[2].1.to_string(), b, "the tag itself, not what it points at");
        assert_eq!(listing.head.unwrap().as_bytes(), b"refs/heads/main");
        assert_eq!((listing.malformed.len(), listing.malformed_count), (3, 3));
        assert!(!listing.malformed.concat().contains('\x1b'));
    }

    #[test]
    fn n30_an_answer_that_is_none_is_no_empty_repository() {
        let a = "a".repeat(40);
        assert_eq!(parse(b"").unwrap(), Listing::default());
        for strange in [
            "\n".to_owned(),
            "x".to_owned(),
            "x\n".to_owned(),
            format!("{a} refs/heads/main\n"),
            format!("{a}\trefs/heads/main\n{}\trefs/heads/main\n", "0".repeat(40)),
            format!("{a}\trefs/heads/main"),
            format!("{a}\trefs/heads/main\n{a}\trefs/heads/main\n"),
            format!("{a}\trefs/heads/main\n{}\trefs/heads/x\n", "b".repeat(64)),
        ] {
            assert!(matches!(parse(strange.as_bytes()), Err(RemoteError::Format(_))), "{strange:?}");
        }
    }

    #[test]
    fn only_gits_own_words_about_the_object_say_that_it_is_gone() {
        let (id, other) = (ObjectId::from_bytes(&[7; 20]).unwrap(), ObjectId::from_bytes(&[8; 20]).unwrap());
        let gone = |said: &str| is_gone(said.as_bytes(), &id);
        assert!(gone(&format!("fatal: remote error: upload-pack: not our ref {id}\n")));
        assert!(gone(&format!("remote: hello\nfatal: remote error: want {id} not valid")));
        assert!(gone(&format!("error: Server does not allow request for unadvertised object {id}\n")));
        for said in [
            "fatal: the licence of this server is not valid".to_owned(),
            format!("remote: fatal: remote error: upload-pack: not our ref {id}"),
            format!("remote: fatal: remote error: want {id} not valid        "),
            format!("fatal: remote error: upload-pack: not our ref {other}"),
            format!("fatal: remote error: upload-pack: not our ref {id}, perhaps"),
            format!(" fatal: remote error: upload-pack: not our ref {id}"),
            format!("fatal: remote error: the token is not valid for {id}"),
            format!("upload-pack: not our ref {id}"),
        ] {
            assert!(!gone(&said), "{said}");
        }
    }

    #[test]
    fn words_for_a_shell_and_for_ssh_are_quoted() {
        assert_eq!(quoted(b"a'b $(c)"), b"'a'\\''b $(c)'");
        let value = ssh_file("UserKnownHostsFile", Path::new("/x y/100%/k")).unwrap();
        assert_eq!(value, "UserKnownHostsFile=\"/x y/100%%/k\"");
        for wrong in ["/a\"b", "relative", "/a\nb", "/a$b", "/a\\b"] {
            assert!(ssh_file("IdentityFile", Path::new(wrong)).is_err(), "{wrong}");
        }
        assert_eq!(quoted_alternate(Path::new("/a:b\"c")), "\"/a:b\\\"c\"");
    }
}
