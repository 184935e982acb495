//! The pusher's side of git's protocol by hand, for pushes that `git push` would not send.

use super::sandbox::{Sandbox, run};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// One command of a push: claimed old id, new id, name. `zero` stands for no object.
pub type Update<'a> = (&'a str, &'a str, &'a [u8]);

/// What `git receive-pack` said.
pub struct Answer {
    /// All of it.
    pub text: String,
    /// What hooks said.
    pub hooks: String,
}

impl Answer {
    /// Whether git reports that this ref moved.
    pub fn moved(&self, name: &str) -> bool {
        self.text.contains(&format!("ok {name}\n"))
    }

    /// The rules of the refusal.
    pub fn rules(&self) -> BTreeSet<&str> {
        let named = self.text.lines().filter_map(|line| line.strip_prefix("error["));
        named.filter_map(|rest| rest.split_once("]: ")).map(|(rule, _)| rule).collect()
    }

    /// Whether the push was undecided.
    pub fn is_undecided(&self) -> bool {
        self.text.lines().any(|line| line.starts_with("countersign could not decide about this push."))
    }
}

/// Sends the commands with a pack of everything that `revisions` (as for `git rev-list`) names in
/// `from`, which may be nothing.
pub fn push(
    sandbox: &Sandbox,
    repository: &Path,
    from: &Path,
    updates: &[Update<'_>],
    revisions: &[&str],
    environment: &[(&str, &str)],
) -> Answer {
    push_with_options(sandbox, repository, from, (updates, revisions), &[], environment)
}

/// The same with push options, whatever is in them.
pub fn push_with_options(
    sandbox: &Sandbox,
    repository: &Path,
    from: &Path,
    (updates, revisions): (&[Update<'_>], &[&str]),
    options: &[&[u8]],
    environment: &[(&str, &str)],
) -> Answer {
    let only_deletes = updates.iter().all(|(_, new, _)| new.bytes().all(|byte| byte == b'0'));
    let pack = if only_deletes {
        Vec::new()
    } else {
        let mut command = sandbox.command("git", from);
        command.args(["pack-objects", "--quiet", "--stdout", "--revs"]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let list = revisions.iter().map(|revision| format!("{revision}\n")).collect::<String>();
        child.stdin.take().unwrap().write_all(list.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    };
    let mut message = Vec::new();
    for (index, (old, new, name)) in updates.iter().enumerate() {
        let mut line = format!("{old} {new} ").into_bytes();
        line.extend_from_slice(name);
        if index == 0 {
            let format = if old.len() == 64 { " object-format=sha256" } else { "" };
            let wanted = if options.is_empty() { "" } else { " push-options" };
            line.extend_from_slice(format!("\0report-status{wanted}{format}").as_bytes());
        }
        message.extend_from_slice(format!("{:04x}", line.len() + 4).as_bytes());
        message.extend_from_slice(&line);
    }
    message.extend_from_slice(b"0000");
    for option in options {
        message.extend_from_slice(format!("{:04x}", option.len() + 4).as_bytes());
        message.extend_from_slice(option);
    }
    if !options.is_empty() {
        message.extend_from_slice(b"0000");
    }
    message.extend_from_slice(&pack);
    let mut command: Command = sandbox.command("git", repository);
    command.args(["receive-pack", "."]).envs(environment.iter().copied());
    let ran = run(command, &message);
    // Packets are told apart by their length; for reading what was said this is not needed.
    let mut text = ran.stdout;
    text.push('\n');
    text.push_str(&ran.stderr);
    Answer { text, hooks: ran.stderr }
}
