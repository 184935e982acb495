//! `countersign keyring status`.

use super::super::common::{CliError, Format};
use super::print_json;
use crate::config;
use crate::keyring::Keyring;
use crate::service::Status;
use crate::service::keyring_live::{Daemon, Unreachable};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// What to ask the daemon, and for how long.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Examples:
  countersign keyring status
  countersign keyring status --wait 10
  countersign keyring status --format json | jq '.state'

Exit codes: 0 the files are in force, 1 they differ from what is in force or are rejected, 2 usage or
configuration, 3 the daemon cannot be reached. Run it as root or as the daemon's account.")]
pub struct StatusArgs {
    /// Wait up to so many seconds until what the files say is in force
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(1..=3600))]
    wait: Option<u16>,
}

/// How often to ask while waiting.
const AGAIN: Duration = Duration::from_millis(250);

/// What the files would be.
struct Files {
    configuration: Option<String>,
    keyring: Option<Counted>,
    faults: Vec<config::Diagnostic>,
}

struct Counted {
    digest: String,
    principals: usize,
    keys: usize,
    authorities: usize,
}

/// How the files and the daemon stand to each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InForce,
    Differs,
    Rejected,
    Unreachable,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            State::InForce => "in-force",
            State::Differs => "differs",
            State::Rejected => "rejected",
            State::Unreachable => "unreachable",
        }
    }

    const fn code(self) -> u8 {
        match self {
            State::InForce => 0,
            State::Differs | State::Rejected => 1,
            State::Unreachable => 3,
        }
    }
}

pub(super) fn run(
    args: &StatusArgs,
    config: &Path,
    format: Format,
    out: &mut dyn Write,
) -> Result<u8, CliError> {
    let until = Instant::now() + Duration::from_secs(args.wait.unwrap_or(0).into());
    let (state, asked, files) = loop {
        let asked = Daemon::named_by(config).and_then(|daemon| daemon.status());
        let files = read(config);
        let state = state(asked.as_ref(), &files);
        if state == State::InForce || Instant::now() >= until {
            break (state, asked, files);
        }
        std::thread::sleep(AGAIN);
    };
    if let (Err(Unreachable::NoSocket), false) = (&asked, files.faults.is_empty()) {
        // Nothing to ask, because of the configuration itself.
        return Err(CliError::usage(faults_text(&files)));
    }
    match format {
        Format::Json => print_json(&document(state, &asked, &files), out)?,
        Format::Text => print(state, &asked, &files, out)?,
    }
    Ok(state.code())
}

fn read(config: &Path) -> Files {
    let mut files = Files { configuration: None, keyring: None, faults: Vec::new() };
    let loaded = match config::load(config) {
        Ok(loaded) => loaded.config,
        Err(error) => {
            files.faults = error.diagnostics().to_vec();
            return files;
        }
    };
    files.configuration = Some(loaded.digest);
    match Keyring::load(&loaded.keyring) {
        Ok(loaded) => {
            let keyring = loaded.keyring;
            files.keyring = Some(Counted {
                digest: keyring.digest().to_owned(),
                principals: keyring.principals().len(),
                keys: keyring.keys().len(),
                authorities: keyring.authorities().len(),
            });
        }
        Err(error) => files.faults = error.diagnostics().to_vec(),
    }
    files
}

fn state(asked: Result<&Status, &Unreachable>, files: &Files) -> State {
    let Ok(status) = asked else { return State::Unreachable };
    if status.rejected.is_some() || !files.faults.is_empty() {
        return State::Rejected;
    }
    let same = files.configuration.as_ref() == Some(&status.configuration.digest)
        && files.keyring.as_ref().is_some_and(|one| one.digest == status.keyring.digest);
    if same { State::InForce } else { State::Differs }
}

fn document(state: State, asked: &Result<Status, Unreachable>, files: &Files) -> Value {
    let keyring = files.keyring.as_ref().map(|one| {
        json!({
            "digest": one.digest,
            "principals": one.principals,
            "keys": one.keys,
            "authorities": one.authorities,
        })
    });
    let faults: Vec<Value> = files
        .faults
        .iter()
        .map(|one| {
            json!({
                "file": one.file.to_string_lossy(),
                "line": one.line,
                "column": one.column,
                "message": one.message,
                "help": one.suggestion,
            })
        })
        .collect();
    json!({
        "state": state.name(),
        "daemon": asked.as_ref().ok(),
        "error": asked.as_ref().err().map(ToString::to_string),
        "files": {
            "configuration": files.configuration,
            "keyring": keyring,
            "faults": faults,
        },
    })
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn holds(principals: usize, keys: usize, authorities: usize) -> String {
    format!(
        "{}, {}, {}",
        counted(principals, "principal", "principals"),
        counted(keys, "key", "keys"),
        counted(authorities, "authority", "authorities")
    )
}

fn faults_text(files: &Files) -> String {
    files.faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n")
}

fn print(
    state: State,
    asked: &Result<Status, Unreachable>,
    files: &Files,
    out: &mut dyn Write,
) -> io::Result<()> {
    match asked {
        Ok(status) => print_daemon(status, out)?,
        Err(error) if error.is_absent() => writeln!(out, "no daemon runs: {error}")?,
        Err(error) => writeln!(out, "the daemon cannot be asked: {error}")?,
    }
    match (&files.keyring, state) {
        (_, State::InForce) => writeln!(out, "on disk:       the same"),
        (Some(keyring), _) if files.faults.is_empty() => {
            let holds = holds(keyring.principals, keyring.keys, keyring.authorities);
            writeln!(out, "on disk:       keyring {}: {holds}", short(&keyring.digest))?;
            let configuration = files.configuration.as_deref().map_or("-", short);
            writeln!(out, "               configuration {configuration}")?;
            match state {
                State::Differs => writeln!(
                    out,
                    "What is on disk is not in force yet. `countersign keyring status --wait 10` waits for it."
                ),
                State::Unreachable => writeln!(out, "It loads, and would be in force at the daemon's start."),
                _ => Ok(()),
            }
        }
        _ => writeln!(out, "on disk:       what does not load\n\n{}", faults_text(files)),
    }
}

fn print_daemon(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let keyring = &status.keyring;
    let holds = holds(keyring.principals, keyring.keys, keyring.authorities);
    writeln!(out, "in force:      keyring {}: {holds}", short(&keyring.digest))?;
    writeln!(out, "               from {}", keyring.directory)?;
    for path in keyring.allowed_signers.iter().chain(&keyring.revocation_lists) {
        writeln!(out, "               and  {path}")?;
    }
    let (digest, path) = (short(&status.configuration.digest), &status.configuration.path);
    writeln!(out, "               configuration {digest} from {path}")?;
    writeln!(out, "               loaded {}, by process {}", status.loaded_at, status.pid)?;
    if let Some(since) = &status.changing_since {
        writeln!(out, "changing:      since {since}; it is read when it is left alone")?;
    }
    if let Some(source) = &status.source {
        let commit = source.commit.as_deref().unwrap_or("nothing yet");
        writeln!(out, "follows:       {} {}, taken over: {commit}", source.repository, source.reference)?;
        super::source::told(source, out)?;
    }
    let Some(rejected) = &status.rejected else { return Ok(()) };
    writeln!(out, "rejected:      since {}, read last {}", rejected.since, rejected.last)?;
    let taken = rejected.revocations_taken;
    if taken > 0 {
        let revocations = counted(taken, "revocation", "revocations");
        writeln!(out, "               {revocations} in it count all the same")?;
    }
    let until = status.last_good_until.as_deref().unwrap_or("-");
    if status.decides {
        writeln!(out, "               what is in force goes on until {until}; then pushes are undecided")?;
    } else {
        writeln!(out, "               every push is undecided since {until}")?;
    }
    for fault in &rejected.faults {
        let place = if fault.line > 0 { format!(":{}:{}", fault.line, fault.column) } else { String::new() };
        writeln!(out, "               {}{place}: {}", fault.file, fault.message)?;
    }
    Ok(())
}
