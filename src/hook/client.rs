//! The program that git starts on every push.

use super::environment::gather;
use super::exchange::{Ask, exchange};
use super::file::{HookFile, HookKind};
use super::wire::{Answer, Outcome, POST_RECEIVE_PATH, PRE_RECEIVE_PATH, PROTOCOL, Request};
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// Why no answer can be trusted. Always undecided.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The installed hook file is damaged.
    #[error("the installed hook {0} cannot be used: {1}")]
    HookFile(String, String),
    /// Git's side of the push could not be gathered.
    #[error("{0}")]
    Environment(String),
    /// The daemon does not answer at its socket.
    #[error("the countersign daemon cannot be reached at {0}: {1}")]
    Connect(String, std::io::Error),
    /// Somebody else listens there.
    #[error(
        "the process at {socket} runs as uid {found}, not as uid {wanted}: it is not the countersign daemon"
    )]
    Peer {
        /// The socket.
        socket: String,
        /// Who listens.
        found: u32,
        /// Who should.
        wanted: u32,
    },
    /// The conversation broke off.
    #[error("the countersign daemon did not answer: {0}")]
    Talk(std::io::Error),
    /// The time is over.
    #[error("the countersign daemon did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// What came back is not an answer to this request.
    #[error("the countersign daemon's answer cannot be used: {0}")]
    Answer(String),
    /// The hook that was here before came to a bad end.
    #[error("the chained hook {0} did not decide: {1}")]
    Chained(String, ExitStatus),
    /// The hook that was here before could not be run.
    #[error("the chained hook {0} cannot be run: {1}")]
    Chain(String, std::io::Error),
}

/// Runs as the interpreter of an installed hook file, given as the first argument. Returns the exit
/// code (N24).
pub fn client_main(mut arguments: impl Iterator<Item = OsString>) -> u8 {
    let _ = arguments.next();
    let Some(path) = arguments.next() else {
        say(
            "countersign-hook: git runs this as the interpreter of a hook that `countersign install` wrote\n",
        );
        return 2;
    };
    let path = path.to_string_lossy().into_owned();
    let hook_error = |why: String| Failure::HookFile(path.clone(), why);
    let parsed = std::fs::read_to_string(&path)
        .map_err(|e| hook_error(e.to_string()))
        .and_then(|text| HookFile::parse(&text).map_err(|e| hook_error(e.to_string())));
    let file = match parsed {
        Ok(file) => file,
        Err(failure) => return undecided(&failure, None),
    };
    let mut updates = Vec::new();
    if let Err(e) = std::io::stdin().lock().read_to_end(&mut updates) {
        return undecided(&Failure::Environment(format!("cannot read the list of updates: {e}")), None);
    }
    run_hook(file.kind, file.chain.as_deref(), updates, |request| ask(&file, request))
}

/// The whole of a hook: what was there before runs first, then `decide` is asked, then the answer is
/// told. Returns the exit code (N24).
pub fn run_hook(
    kind: HookKind,
    chain: Option<&Path>,
    updates: Vec<u8>,
    decide: impl FnOnce(&Request) -> Result<Answer, Failure>,
) -> u8 {
    if let Some(chain) = chain {
        match run_chained(chain, &updates) {
            Ok(status) if status.success() => {}
            // One that was killed, or could not be started, has refused nothing.
            Ok(status) if kind == HookKind::PreReceive && !matches!(status.code(), Some(1..=125)) => {
                return undecided(&Failure::Chained(chain.display().to_string(), status), None);
            }
            // Its own refusal: it has said why. A post-receive hook cannot refuse.
            Ok(_) if kind == HookKind::PreReceive => return Outcome::Refuse.exit_code(),
            Ok(_) => {}
            Err(failure) if kind == HookKind::PreReceive => return undecided(&failure, None),
            Err(failure) => say(&format!("countersign: {failure}\n")),
        }
    }
    let request = match gather(updates) {
        Ok(request) => request,
        Err(why) => return ended(kind, &Failure::Environment(why), None),
    };
    match decide(&request) {
        Ok(answer) => print_answer(kind, &answer),
        Err(failure) => ended(kind, &failure, Some(&request.request_id)),
    }
}

/// Prints what the daemon says and gives the exit code.
fn print_answer(kind: HookKind, answer: &Answer) -> u8 {
    say(&answer.text);
    match kind {
        HookKind::PreReceive => answer.outcome.exit_code(),
        HookKind::PostReceive => 0,
    }
}

fn ended(kind: HookKind, failure: &Failure, request: Option<&str>) -> u8 {
    match kind {
        HookKind::PreReceive => undecided(failure, request),
        HookKind::PostReceive => {
            // The push is in already. The daemon sees for itself at the next one (N10).
            say(&format!(
                "countersign: could not report the applied refs ({failure}); the next push makes up for it\n"
            ));
            0
        }
    }
}

fn undecided(failure: &Failure, request: Option<&str>) -> u8 {
    let mut text =
        String::from("countersign could not decide about this push. This is not a policy decision.\n");
    text.push_str(&format!("  cause: {failure}\n"));
    if let Some(id) = request {
        text.push_str(&format!("  request: {id}\n"));
    }
    text.push_str("  help: nothing was changed; try again later, or tell the administrator of this server\n");
    say(&text);
    Outcome::Undecided.exit_code()
}

fn run_chained(program: &Path, input: &[u8]) -> Result<ExitStatus, Failure> {
    let error = |e| Failure::Chain(program.display().to_string(), e);
    let mut child = Command::new(program).stdin(Stdio::piped()).spawn().map_err(error)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A hook need not read its input: a closed pipe is not a failure.
        let _ = stdin.write_all(input);
    }
    child.wait().map_err(error)
}

/// Sends one request and reads the one answer.
pub fn ask(file: &HookFile, request: &Request) -> Result<Answer, Failure> {
    let body = serde_json::to_vec(request).map_err(|e| Failure::Environment(e.to_string()))?;
    let path = match file.kind {
        HookKind::PreReceive => PRE_RECEIVE_PATH,
        HookKind::PostReceive => POST_RECEIVE_PATH,
    };
    let trusted = |uid| if uid == file.server_uid { Ok(()) } else { Err(file.server_uid) };
    let asked = Ask { method: "POST", path, body: &body, timeout: file.timeout };
    let (status, body) = exchange(&file.socket, trusted, &asked)?;
    read_answer(status, &body, request)
}

/// Only a well-formed answer to this very request counts.
fn read_answer(status: u16, body: &[u8], request: &Request) -> Result<Answer, Failure> {
    let error = |why: &str| Failure::Answer(why.to_owned());
    if status != 200 {
        let why = crate::domain::text::escape_short(body, 300);
        return Err(error(&format!("HTTP status {status}: {why}")));
    }
    let answer: Answer =
        serde_json::from_slice(body).map_err(|e| error(&format!("it is not understood: {e}")))?;
    if answer.protocol != PROTOCOL {
        return Err(error(&format!(
            "the daemon (version {}) speaks protocol {}, this hook (version {}) speaks {PROTOCOL}; \
             install both from one release",
            crate::domain::text::escape_short(answer.version.as_bytes(), 40),
            answer.protocol,
            env!("CARGO_PKG_VERSION")
        )));
    }
    if answer.request_id != request.request_id {
        return Err(error("it answers another request"));
    }
    Ok(answer)
}

/// Writes to the pusher's terminal. The daemon has escaped what came from outside; this is the second
/// look, for control characters of any kind but the newline.
fn say(text: &str) {
    let safe: String = text.chars().map(|c| if c.is_control() && c != '\n' { '?' } else { c }).collect();
    // The pusher may be gone; the exit code says it all the same.
    let _ = std::io::stderr().lock().write_all(safe.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hook::wire::{Bytes, Place};

    fn request() -> Request {
        Request {
            protocol: PROTOCOL,
            version: "0".into(),
            request_id: "a".repeat(32),
            git_dir: Place { path: "/x".into(), device: 0, inode: 0 },
            quarantine: None,
            updates: Bytes(Vec::new()),
            push_options: Vec::new(),
            environment: Default::default(),
            ssh_user_auth: None,
        }
    }

    fn http(body: &str, length: usize) -> Vec<u8> {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}").into_bytes()
    }

    fn answer(id: &str, protocol: u32) -> String {
        format!(r#"{{"protocol":{protocol},"version":"9","request_id":"{id}","outcome":"accept","text":""}}"#)
    }

    fn parse_answer(received: &[u8], request: &Request) -> Result<Answer, Failure> {
        let (status, body) = super::super::exchange::parse(received).map_err(Failure::Answer)?;
        read_answer(status, body, request)
    }

    fn why(received: &[u8]) -> String {
        parse_answer(received, &request()).unwrap_err().to_string()
    }

    #[test]
    fn only_a_whole_answer_to_this_request_counts() {
        let good = answer(&"a".repeat(32), PROTOCOL);
        assert_eq!(parse_answer(&http(&good, good.len()), &request()).unwrap().outcome, Outcome::Accept);
        assert!(why(b"").contains("closed without one"));
        assert!(why(b"HTTP/1.1 200 OK\r\ncontent-le").contains("breaks off"));
        assert!(why(b"garbage\r\n\r\n").contains("not HTTP"));
        assert!(why(&http(&good[..good.len() - 1], good.len())).contains("bytes of"));
        assert!(why(&http(&format!("{good} "), good.len())).contains("bytes of"));
        assert!(why(b"HTTP/1.1 200 OK\r\n\r\n{}").contains("how long"));
        assert!(why(b"HTTP/1.1 503 No\r\ncontent-length: 4\r\n\r\ndown").contains("status 503: down"));
        let other = answer(&"b".repeat(32), PROTOCOL);
        assert!(why(&http(&other, other.len())).contains("another request"));
        let future = answer(&"a".repeat(32), PROTOCOL + 1);
        assert!(why(&http(&future, future.len())).contains("speaks protocol"));
        assert!(why(&http("{}", 2)).contains("not understood"));
    }
}
