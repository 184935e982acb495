//! Putting hooks into repositories, and taking them out again.

use super::fault::Fault;
use super::locate;
use crate::git::{self, Repository};
use crate::hook::{HookFile, HookKind};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How the installed hooks reach a decision.
#[derive(Clone, Debug)]
pub enum Mode {
    /// They ask a daemon.
    Daemon {
        /// The hook client, absolute.
        client: PathBuf,
        /// The daemon's socket, absolute.
        socket: PathBuf,
        /// The account that the daemon runs under.
        server_uid: u32,
        /// How long the hook waits for the daemon.
        timeout: Duration,
    },
    /// They decide in their own process.
    Standalone {
        /// The program, absolute.
        program: PathBuf,
        /// The configuration, absolute.
        config: PathBuf,
    },
}

/// Why hooks could not be put in or taken out.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The repository cannot be used.
    #[error(transparent)]
    Repository(#[from] Fault),
    /// The path cannot be written into a hook file.
    #[error("{path} cannot be the {role}: {why}")]
    Path {
        /// The path.
        path: PathBuf,
        /// What for.
        role: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Git would not run hooks from the repository.
    #[error(
        "git runs the hooks of {repository} from {found}, because core.hooksPath says so; unset it \
         (`git config --unset core.hooksPath` in the configuration that sets it), then install again"
    )]
    HooksPath {
        /// The repository.
        repository: PathBuf,
        /// Where git looks.
        found: PathBuf,
    },
    /// Something is in the way.
    #[error("{0} exists already; look at it, and remove or rename it first")]
    InTheWay(PathBuf),
    /// A file could not be written.
    #[error("{path}: {error}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What went wrong.
        error: std::io::Error,
    },
}

/// What was done to one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// The common git directory.
    pub repository: PathBuf,
    /// Hooks that were written, or removed.
    pub hooks: Vec<&'static str>,
    /// Hooks that run first, or were put back.
    pub chained: Vec<PathBuf>,
}

/// Installs both hooks into the repository at `path` and gives it an identity. Doing it again is
/// harmless.
pub fn install(path: &Path, root: &Path, mode: &Mode) -> Result<Done, InstallError> {
    let repository = Repository::open(path, None).map_err(Fault::from)?;
    let common = repository.common_dir().to_owned();
    locate::name_below(root, &common)?;
    mode.check()?;
    let hooks = hooks_directory(&common)?;
    locate::ensure_id(&common)?;
    let mut done = Done { repository: common, ..Done::default() };
    for kind in HookKind::ALL {
        let hook = hooks.join(kind.name());
        let chained = chained_path(&hook);
        match fs::read(&hook) {
            // Ours already: what is chained stays chained.
            Ok(text) if HookFile::is_ours(&text) => {}
            Ok(_) => {
                if fs::symlink_metadata(&chained).is_ok() {
                    return Err(InstallError::InTheWay(chained));
                }
                fs::rename(&hook, &chained)
                    .map_err(|error| InstallError::Io { path: hook.clone(), error })?;
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(InstallError::Io { path: hook, error }),
        }
        let chain = runnable(&chained).then_some(chained);
        write_hook(&hook, &mode.render(kind, chain.as_deref()))?;
        done.hooks.push(kind.name());
        done.chained.extend(chain);
    }
    Ok(done)
}

/// Takes our hooks out and puts back what was there. Hooks that are not ours stay.
pub fn uninstall(path: &Path) -> Result<Done, InstallError> {
    let repository = Repository::open(path, None).map_err(Fault::from)?;
    let common = repository.common_dir().to_owned();
    let hooks = hooks_directory(&common)?;
    let mut done = Done { repository: common, ..Done::default() };
    for kind in HookKind::ALL {
        let hook = hooks.join(kind.name());
        let io = |error| InstallError::Io { path: hook.clone(), error };
        match fs::read(&hook) {
            Ok(text) if HookFile::is_ours(&text) => {}
            Ok(_) => continue,
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(io(error)),
        }
        let chained = chained_path(&hook);
        if fs::symlink_metadata(&chained).is_ok() {
            fs::rename(&chained, &hook).map_err(io)?;
            done.chained.push(hook.clone());
        } else {
            fs::remove_file(&hook).map_err(io)?;
        }
        done.hooks.push(kind.name());
    }
    Ok(done)
}

/// Makes sure that the repository of that name is there, below the root, and asks a daemon about every push.
///
/// # Errors
/// What is missing, for people.
pub fn guarded(root: &Path, name: &str) -> Result<(), String> {
    let places = [root.join(format!("{name}.git")), root.join(name)];
    let Some(place) = places.iter().find(|place| place.is_dir()) else {
        return Err(format!("there is no repository `{name}` below {}", root.display()));
    };
    let install = || format!("run `countersign install {}` on the server", place.display());
    let repository = Repository::open(place, None).map_err(|error| error.to_string())?;
    let common = repository.common_dir();
    let found = locate::name_below(root, common).map_err(|fault| fault.to_string())?;
    if found != name {
        return Err(format!("the repository `{name}` is really `{found}`"));
    }
    locate::read_id(common).map_err(|fault| fault.to_string())?;
    let hooks = hooks_directory(common).map_err(|error| error.to_string())?;
    for kind in HookKind::ALL {
        let hook = hooks.join(kind.name());
        let ours = fs::read(&hook).is_ok_and(|text| HookFile::is_ours(&text)) && runnable(&hook);
        if !ours {
            return Err(format!("{} is not the hook of a daemon: {}", hook.display(), install()));
        }
    }
    Ok(())
}

impl Mode {
    fn check(&self) -> Result<(), InstallError> {
        let paths: [(&Path, &'static str); 2] = match self {
            Mode::Daemon { client, socket, .. } => [(client, "hook client"), (socket, "socket")],
            Mode::Standalone { program, config } => [(program, "program"), (config, "configuration")],
        };
        for (path, role) in paths {
            let error = |why| InstallError::Path { path: path.to_owned(), role, why };
            let text = path.to_str().ok_or_else(|| error("it is not UTF-8"))?;
            if !path.is_absolute() {
                return Err(error("it is not absolute"));
            }
            if text.chars().any(|c| c.is_control() || c == '\'') {
                return Err(error("it has a quote or a control character"));
            }
            // The kernel cuts an interpreter line at a blank, and at 256 bytes.
            if role == "hook client" && (text.contains(' ') || text.len() > 240) {
                return Err(error("an interpreter's path has no blanks and at most 240 bytes"));
            }
        }
        Ok(())
    }

    fn render(&self, kind: HookKind, chain: Option<&Path>) -> String {
        match self {
            Mode::Daemon { client, socket, server_uid, timeout } => {
                let chain = chain.map(Path::to_owned);
                HookFile { kind, socket: socket.clone(), server_uid: *server_uid, timeout: *timeout, chain }
                    .render(&client.display().to_string())
            }
            Mode::Standalone { program, config } => {
                let mut text = HookFile::header("/bin/sh");
                text.push_str(&format!("exec '{}' --config '{}'", program.display(), config.display()));
                text.push_str(&format!(" hook {kind} --standalone"));
                if let Some(chain) = chain {
                    text.push_str(&format!(" --chain '{}'", chain.display()));
                }
                text.push('\n');
                text
            }
        }
    }
}

/// Git's own answer to where it runs hooks from must be the repository's directory.
fn hooks_directory(common: &Path) -> Result<PathBuf, InstallError> {
    let expected = common.join("hooks");
    let found = git::command::hooks_path(common)
        .map_err(|why| Fault::Git(git::GitError::Open { path: common.to_owned(), why }))?;
    fs::create_dir_all(&expected).map_err(|error| InstallError::Io { path: expected.clone(), error })?;
    let same = found.canonicalize().ok() == expected.canonicalize().ok();
    if same { Ok(expected) } else { Err(InstallError::HooksPath { repository: common.to_owned(), found }) }
}

fn chained_path(hook: &Path) -> PathBuf {
    hook.with_extension("chained")
}

/// Git ignores hooks that are not executable; so do we.
fn runnable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|seen| seen.is_file() && seen.permissions().mode() & 0o111 != 0)
}

/// Writes the hook beside its place and moves it there, so that git never runs half a file.
fn write_hook(hook: &Path, text: &str) -> Result<(), InstallError> {
    let temporary = hook.with_extension(format!("new.{}", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, hook)
    };
    write().map_err(|error| InstallError::Io { path: hook.to_owned(), error })
}
