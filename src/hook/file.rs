//! The installed hook: a text file whose interpreter is the hook client.
//!
//! ```text
//! #!/usr/local/bin/countersign-hook
//! # Installed by `countersign install`; `countersign uninstall` takes it away.
//! hook pre-receive
//! socket /run/countersign/hook.sock
//! server-uid 998
//! timeout 40
//! chain /srv/git/x.git/hooks/pre-receive.chained
//! ```
//!
//! So one program starts per push, and everything it needs to know stands where an administrator looks
//! for it, not in an environment that a pusher may reach (N22).

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Which of git's hooks a file serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookKind {
    /// Decides.
    PreReceive,
    /// Reports what was applied.
    PostReceive,
}

impl HookKind {
    /// Both of them.
    pub const ALL: [HookKind; 2] = [HookKind::PreReceive, HookKind::PostReceive];

    /// The name of git's hook.
    pub const fn name(self) -> &'static str {
        match self {
            HookKind::PreReceive => "pre-receive",
            HookKind::PostReceive => "post-receive",
        }
    }
}

/// The parameters of an installed hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFile {
    /// Which hook.
    pub kind: HookKind,
    /// The daemon's socket, absolute.
    pub socket: PathBuf,
    /// The account that the daemon must run under.
    pub server_uid: u32,
    /// How long to wait for the daemon altogether: longer than the daemon's own deadline, so that it
    /// gets to say what took so long.
    pub timeout: Duration,
    /// What was installed before us; it runs first, and we last.
    pub chain: Option<PathBuf>,
}

/// Why a hook file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HookFileError {
    /// A line that is no parameter.
    #[error("line {line}: `{text}` is not a parameter")]
    Line {
        /// Line number, from 1.
        line: usize,
        /// The line, escaped.
        text: String,
    },
    /// A parameter that must be there is not.
    #[error("`{0}` is missing")]
    Missing(&'static str),
}

/// The line by which our own files are recognised.
const MARK: &str = "# Installed by `countersign install`; `countersign uninstall` takes it away.";

impl HookFile {
    /// Parses a hook file's text.
    pub fn parse(text: &str) -> Result<Self, HookFileError> {
        let (mut kind, mut socket, mut server_uid, mut timeout, mut chain) = (None, None, None, None, None);
        for (index, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let shown = || crate::domain::text::escape_short(line.as_bytes(), 80);
            let error = || HookFileError::Line { line: index + 1, text: shown() };
            let (key, value) = line.split_once(' ').ok_or_else(error)?;
            let absolute = || value.starts_with('/').then(|| PathBuf::from(value)).ok_or_else(error);
            match key {
                "hook" => {
                    let found = HookKind::ALL.into_iter().find(|kind| kind.name() == value);
                    kind = Some(found.ok_or_else(error)?);
                }
                "socket" => socket = Some(absolute()?),
                "server-uid" => server_uid = Some(value.parse().map_err(|_| error())?),
                "timeout" => {
                    let seconds: u32 = value.parse().map_err(|_| error())?;
                    timeout = (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)));
                }
                "chain" => chain = Some(absolute()?),
                _ => return Err(error()),
            }
        }
        Ok(HookFile {
            kind: kind.ok_or(HookFileError::Missing("hook"))?,
            socket: socket.ok_or(HookFileError::Missing("socket"))?,
            server_uid: server_uid.ok_or(HookFileError::Missing("server-uid"))?,
            timeout: timeout.ok_or(HookFileError::Missing("timeout"))?,
            chain,
        })
    }

    /// Whether a hook's text is one that `install` wrote.
    pub fn is_ours(text: &[u8]) -> bool {
        text.starts_with(b"#!") && text.split(|byte| *byte == b'\n').nth(1) == Some(MARK.as_bytes())
    }

    /// The two lines that every installed hook starts with.
    pub fn header(interpreter: &str) -> String {
        format!("#!{interpreter}\n{MARK}\n")
    }

    /// The file's text, with `client` as its interpreter.
    pub fn render(&self, client: &str) -> String {
        let mut text = HookFile::header(client);
        text.push_str(&format!("hook {}\n", self.kind.name()));
        text.push_str(&format!("socket {}\n", self.socket.display()));
        text.push_str(&format!("server-uid {}\n", self.server_uid));
        text.push_str(&format!("timeout {}\n", self.timeout.as_secs()));
        if let Some(chain) = &self.chain {
            text.push_str(&format!("chain {}\n", chain.display()));
        }
        text
    }
}

impl fmt::Display for HookKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        let file = HookFile {
            kind: HookKind::PreReceive,
            socket: "/run/x/hook.sock".into(),
            server_uid: 998,
            timeout: Duration::from_secs(40),
            chain: Some("/srv/git/x.git/hooks/pre-receive.chained".into()),
        };
        let text = file.render("/usr/bin/countersign-hook");
        assert_eq!(HookFile::parse(&text).unwrap(), file);
        assert!(HookFile::is_ours(text.as_bytes()));
        assert!(!HookFile::is_ours(b"#!/bin/sh\nexit 0\n"));
    }

    #[test]
    fn anything_unexpected_is_an_error() {
        let error = |text: &str| HookFile::parse(text).unwrap_err().to_string();
        assert_eq!(error("#!x\nhook pre-receive\nserver-uid 1\n"), "`socket` is missing");
        assert!(error("hook update\n").contains("line 1"));
        assert!(error("socket relative\n").contains("line 1"));
        assert!(error("server-uid root\n").contains("line 1"));
        assert_eq!(error("hook pre-receive\nsocket /x\nserver-uid 1\ntimeout 0\n"), "`timeout` is missing");
        assert!(error("colour blue\n").contains("not a parameter"));
    }
}
