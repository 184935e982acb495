//! `countersign init`: a directory to start from.

use super::common::CliError;
use crate::config::{self, Daemon};
use crate::domain::text;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The shipped example, which a test loads.
const EXAMPLE: &str = include_str!("../../config/countersign.example.toml");

const README: &str = "\
One file per principal, called after it: `alice.toml`. Add keys with

    countersign keyring add alice --email alice@example.org --group sre --key id_ed25519.pub

or write the file by hand:

    name = \"alice\"
    kind = \"person\"
    emails = [\"alice@example.org\"]
    groups = [\"sre\"]

    [[key]]
    ssh = \"ssh-ed25519 AAAA... alice@laptop\"

`countersign config check` says whether everything loads.
";

/// Make a directory with a configuration, an empty keyring and room for repositories.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Example:
  countersign init /srv/countersign
  countersign --config /srv/countersign/countersign.toml config check

Nothing that exists is overwritten.")]
pub struct InitArgs {
    /// The directory; it is made if it does not exist.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

/// Runs `countersign init`; gives the exit code.
///
/// # Errors
/// Code 2 where something is in the way or cannot be written.
pub fn run(args: InitArgs, out: &mut dyn Write) -> Result<u8, CliError> {
    let dir = std::path::absolute(&args.dir).map_err(CliError::usage)?;
    let dir: PathBuf = dir.components().collect();
    let shown = |path: &Path| text::escape(path.as_os_str().as_encoded_bytes());
    let config = dir.join("countersign.toml");
    if config.symlink_metadata().is_ok() {
        return Err(CliError::usage(format!("`{}` exists; nothing is overwritten", shown(&config))));
    }
    let text = adapted(&dir)?;
    make(&dir, 0o755)?;
    let mode = dir.metadata().map_or(0, |metadata| metadata.mode());
    if mode & 0o022 != 0 {
        return Err(CliError::usage(format!(
            "`{0}` can be written by others, who could then change the configuration; chmod go-w '{0}'",
            shown(&dir)
        )));
    }
    make(&dir.join("keyring"), 0o755)?;
    make(&dir.join("repositories"), 0o755)?;
    make(&dir.join("run"), 0o755)?;
    make(&dir.join("state"), 0o700)?;
    let readme = dir.join("keyring/README.md");
    match write_new(&readme, README) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        result => result.map_err(|error| cannot("write", &readme, &error))?,
    }
    write_new(&config, &text).map_err(|error| cannot("write", &config, &error))?;
    // What was just written must load, or the first thing that people see is an error that is ours.
    config::load(&config).map_err(CliError::usage)?;
    let path = shown(&config);
    writeln!(out, "wrote {path}")?;
    writeln!(out, "\nnext:")?;
    writeln!(out, "  countersign --config '{path}' keyring add NAME --email ADDRESS --key FILE.pub")?;
    writeln!(out, "  edit the rulesets in {path}")?;
    writeln!(out, "  countersign --config '{path}' config check")?;
    Ok(0)
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> CliError {
    let shown = text::escape(path.as_os_str().as_encoded_bytes());
    CliError::usage(format!("cannot {what} `{shown}`: {error}"))
}

/// Makes a directory with exactly this mode at most; one that exists stays as it is.
fn make(dir: &Path, mode: u32) -> Result<(), CliError> {
    DirBuilder::new().recursive(true).mode(mode).create(dir).map_err(|error| cannot("make", dir, &error))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// The example with the paths of `dir`. Without `listen` and `server`: a port may be taken, and a
/// server kind whose variable is not set leaves every push undecided (N18).
fn adapted(dir: &Path) -> Result<String, CliError> {
    let unfit = || CliError::usage("the directory's name is not UTF-8, which the configuration is");
    let quoted = |name: &str| {
        let path = dir.join(name);
        path.to_str().map(|path| toml::Value::String(path.to_owned()).to_string()).ok_or_else(unfit)
    };
    let socket = dir.join("run/hook.sock");
    if socket.as_os_str().len() > Daemon::MAX_SOCKET {
        let (length, most) = (socket.as_os_str().len(), Daemon::MAX_SOCKET);
        return Err(CliError::usage(format!(
            "the socket's path would have {length} bytes, and a Unix socket's has at most {most}: use a shorter directory"
        )));
    }
    let replacements = [
        ("socket = ", format!("socket = {}", quoted("run/hook.sock")?)),
        ("state = ", format!("state = {}", quoted("state")?)),
        ("path = ", format!("path = {}", quoted("keyring")?)),
        ("root = ", format!("root = {}", quoted("repositories")?)),
    ];
    let mut text = String::new();
    for line in EXAMPLE.lines() {
        let replaced = replacements.iter().find(|(start, _)| line.starts_with(start));
        match replaced {
            Some((_, new)) => text.push_str(new),
            None if line.starts_with("listen = ") || line.starts_with("server = ") => {
                text.push_str("# ");
                text.push_str(line);
            }
            None => text.push_str(line),
        }
        text.push('\n');
    }
    Ok(text)
}
