//! What git tells a hook through its environment and its standard input.

use super::wire::{Bytes, PROTOCOL, Place, Request};
use crate::domain::RequestId;
use std::collections::BTreeMap;
use std::env;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The variables that are passed on, and no others: git's own, and those by which servers name the
/// pusher. The daemon uses only the one that its configuration names (N18). None of them is ours, so
/// nothing a pusher might set steers this program (N22).
pub const ENVIRONMENT: &[&str] = &[
    "BB_USER_NAME",
    "GATE_USER",
    "GITEA_PUSHER_NAME",
    "GITHUB_USER_LOGIN",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GL_USER",
    "GL_USERNAME",
    "REMOTE_ADDR",
    "REMOTE_USER",
    "SOFT_SERVE_USERNAME",
    "SSH_CONNECTION",
];

/// Most push options that are passed on, for the record; git itself has no bound.
const MAX_PUSH_OPTIONS: usize = 256;

/// Builds the request for the push that git is telling this process about. `updates` is what git wrote
/// to the hook's standard input.
///
/// # Errors
/// A sentence that says what is missing or contradictory; the push is undecided then.
pub fn gather(updates: Vec<u8>) -> Result<Request, String> {
    let mut random = [0_u8; 16];
    getrandom::fill(&mut random).map_err(|e| format!("no random bytes for a request id: {e}"))?;
    let git_dir = git_dir()?;
    let common = common_dir(&git_dir);
    Ok(Request {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        request_id: RequestId::from_random(random).as_str().to_owned(),
        quarantine: quarantine(&common)?,
        git_dir: place(&git_dir, utf8(&git_dir)?)?,
        updates: Bytes(updates),
        push_options: push_options()?,
        environment: variables()?,
    })
}

/// Git starts hooks in the git directory of a bare repository and sets `GIT_DIR`, mostly to `.`.
fn git_dir() -> Result<PathBuf, String> {
    let named = env::var_os("GIT_DIR").ok_or("GIT_DIR is not set: git starts this program, not a person")?;
    Path::new(&named).canonicalize().map_err(|e| format!("cannot resolve GIT_DIR: {e}"))
}

/// The directory that holds the objects: another one for work trees of a repository.
fn common_dir(git_dir: &Path) -> PathBuf {
    match std::fs::read_to_string(git_dir.join("commondir")) {
        Ok(text) => git_dir.join(text.trim_end()),
        Err(_) => git_dir.to_owned(),
    }
}

fn quarantine(common: &Path) -> Result<Option<Place>, String> {
    let path = env::var_os("GIT_QUARANTINE_PATH").map(PathBuf::from);
    let objects = env::var_os("GIT_OBJECT_DIRECTORY").map(PathBuf::from);
    let Some(path) = path else {
        // Objects that lie somewhere else, outside any quarantine, could not be seen by the daemon.
        return match objects {
            None => Ok(None),
            Some(_) => Err("GIT_OBJECT_DIRECTORY is set but GIT_QUARANTINE_PATH is not".to_owned()),
        };
    };
    if objects.as_ref() != Some(&path) {
        return Err("GIT_QUARANTINE_PATH and GIT_OBJECT_DIRECTORY differ".to_owned());
    }
    let resolve =
        |path: &Path| path.canonicalize().map_err(|e| format!("cannot resolve the quarantine: {e}"));
    // Git makes it directly in the object directory, which may itself be a link to somewhere else.
    let name = path.file_name().ok_or("GIT_QUARANTINE_PATH has no name")?;
    let relative = Path::new("objects").join(name);
    if resolve(&common.join(&relative))? != resolve(&path)? {
        return Err(format!("the quarantine {} lies outside the repository", path.display()));
    }
    place(&path, utf8(&relative)?).map(Some)
}

fn place(path: &Path, name: String) -> Result<Place, String> {
    let seen = std::fs::metadata(path).map_err(|e| format!("cannot look at {}: {e}", path.display()))?;
    Ok(Place { path: name, device: seen.dev(), inode: seen.ino() })
}

fn push_options() -> Result<Vec<Bytes>, String> {
    let Some(count) = env::var_os("GIT_PUSH_OPTION_COUNT") else { return Ok(Vec::new()) };
    let count: usize =
        count.to_str().and_then(|text| text.parse().ok()).ok_or("GIT_PUSH_OPTION_COUNT is not a number")?;
    let option = |index| {
        let name = format!("GIT_PUSH_OPTION_{index}");
        let value = env::var_os(&name).ok_or_else(|| format!("{name} is not set"))?;
        Ok(Bytes(value.into_vec()))
    };
    (0..count.min(MAX_PUSH_OPTIONS)).map(option).collect()
}

fn variables() -> Result<BTreeMap<String, String>, String> {
    let set = ENVIRONMENT.iter().filter_map(|name| env::var_os(name).map(|value| (*name, value)));
    set.map(|(name, value)| match value.into_string() {
        Ok(value) => Ok((name.to_owned(), value)),
        Err(_) => Err(format!("{name} is not UTF-8")),
    })
    .collect()
}

fn utf8(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("the path {} is not UTF-8", path.display()))
}
