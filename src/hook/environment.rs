//! What git tells a hook through its environment and its standard input.

use super::auth_info;
use super::wire::{Bytes, PROTOCOL, Place, Request};
use crate::domain::RequestId;
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The variables that are passed on, and no others: git's own, and those by which servers name the
/// pusher. The daemon uses only those of the server that its configuration names (N18). None of them is
/// ours, so nothing a pusher might set steers this program (N22).
pub const ENVIRONMENT: &[&str] = &[
    "BB_HOOK_TRIGGER_ID",
    "BB_USER_NAME",
    "BB_USER_PERMISSION",
    "GATE_USER",
    "GITEA_ACTIONS_TASK_ID",
    "GITEA_DEPLOY_KEY_ID",
    "GITEA_KEY_ID",
    "GITEA_PUSHER_ID",
    "GITEA_PUSHER_NAME",
    "GITEA_PUSH_TRIGGER",
    "GITHUB_PUBLIC_KEY_FINGERPRINT",
    "GITHUB_USER_LOGIN",
    "GITHUB_VIA",
    "GIT_NAMESPACE",
    "GIT_SHALLOW_FILE",
    "GL_ID",
    "GL_PROTOCOL",
    "GL_TID",
    "GL_USER",
    "GL_USERNAME",
    "REMOTE_ADDR",
    "REMOTE_USER",
    "SOFT_SERVE_PUBLIC_KEY",
    "SOFT_SERVE_USERNAME",
    "SSH_CONNECTION",
];

/// Names the file in which sshd says what the client logged in with. The path stays here; what stands
/// in the file is passed on.
const SSH_USER_AUTH: &str = "SSH_USER_AUTH";

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
    let (environment, exposed) = variables(env::vars_os())?;
    Ok(Request {
        protocol: PROTOCOL,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        request_id: RequestId::from_random(random).as_str().to_owned(),
        quarantine: quarantine(&common)?,
        git_dir: place(&git_dir, utf8(&git_dir)?)?,
        updates: Bytes(updates),
        push_options: push_options()?,
        environment,
        ssh_user_auth: exposed.map(|path| auth_info::read(Path::new(&path))),
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

/// The variables that are passed on, and the path of sshd's file. One that is there twice means one thing to
/// one program and another thing to the next, and somebody may have added the second.
fn variables(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(BTreeMap<String, String>, Option<OsString>), String> {
    let mut found = BTreeMap::new();
    let mut exposed = None;
    for (name, value) in all {
        let Some(name) = name.to_str() else { continue };
        let twice = if name == SSH_USER_AUTH {
            exposed.replace(value).is_some()
        } else if ENVIRONMENT.contains(&name) {
            let value = value.into_string().map_err(|_| format!("{name} is not UTF-8"))?;
            found.insert(name.to_owned(), value).is_some()
        } else {
            false
        };
        if twice {
            return Err(format!("{name} is set twice"));
        }
    }
    Ok((found, exposed.filter(|path| !path.is_empty())))
}

fn utf8(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("the path {} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ServerKind;

    fn of(all: &[(&str, &str)]) -> Result<(BTreeMap<String, String>, Option<OsString>), String> {
        variables(all.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))))
    }

    #[test]
    fn n22_only_the_listed_variables_are_passed_on() {
        let set =
            [("GL_USER", "alice"), ("COUNTERSIGN_CONFIG", "/x"), ("gl_user", "bob"), ("SSH_USER_AUTH", "/a")];
        let (found, exposed) = of(&set).unwrap();
        assert_eq!(found, BTreeMap::from([("GL_USER".to_owned(), "alice".to_owned())]));
        assert_eq!(exposed, Some(OsString::from("/a")));
        assert_eq!(of(&[("SSH_USER_AUTH", "")]).unwrap().1, None);
    }

    #[test]
    fn n18_a_variable_that_is_set_twice_names_nobody() {
        for name in ["GL_USER", "SSH_USER_AUTH"] {
            let error = of(&[(name, "alice"), ("GL_ID", "user-1"), (name, "bob")]).unwrap_err();
            assert_eq!(error, format!("{name} is set twice"));
            // Not even with the same value: what follows may read another list.
            assert!(of(&[(name, "alice"), (name, "alice")]).is_err());
        }
        assert!(of(&[("PATH", "/a"), ("PATH", "/b")]).is_ok());
    }

    #[test]
    fn n18_what_each_server_says_is_passed_on() {
        for kind in ServerKind::ALL {
            let named = std::iter::once(kind.variable()).filter(|name| *name != SSH_USER_AUTH);
            for name in named.chain(kind.details().iter().copied()) {
                assert!(ENVIRONMENT.contains(&name), "{name}");
            }
        }
        assert!(ENVIRONMENT.is_sorted(), "easy to look through");
    }
}
