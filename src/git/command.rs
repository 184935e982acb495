//! Asking the git program, for what only it knows. Never on the way of a push.

use crate::domain::ObjectId;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory that git runs a repository's hooks from, `core.hooksPath` of every configuration level
/// considered.
///
/// # Errors
/// What git says.
pub fn hooks_path(git_dir: &Path) -> Result<PathBuf, String> {
    let out = run(git_dir, &["rev-parse", "--git-path", "hooks"])?;
    Ok(git_dir.join(out))
}

/// The commit that an expression such as `HEAD~3` or `main` names.
///
/// # Errors
/// What git says.
pub fn rev_parse(git_dir: &Path, expression: &str) -> Result<ObjectId, String> {
    let out = run(git_dir, &["rev-parse", "--verify", "--quiet", "--end-of-options", expression]).map_err(
        |said| match said.split_once("fatal: ") {
            // The repository itself is the trouble: it belongs to somebody else, for example.
            Some((_, why)) if !why.contains("single revision") => format!("git: {why}"),
            _ => format!("`{}` names no object", crate::domain::text::escape(expression.as_bytes())),
        },
    )?;
    ObjectId::parse(out.as_bytes()).map_err(|e| e.to_string())
}

fn run(git_dir: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    // Whatever `GIT_*` surrounds us is about another repository.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("GIT_") {
            command.env_remove(name);
        }
    }
    command.current_dir(git_dir).env("GIT_NO_REPLACE_OBJECTS", "1").env("LC_ALL", "C");
    command.arg("--git-dir").arg(git_dir).args(arguments);
    let output = command.output().map_err(|e| format!("cannot run git: {e}"))?;
    if !output.status.success() {
        let said = crate::domain::text::escape_short(output.stderr.trim_ascii(), 300);
        return Err(format!("git {}: {said}", arguments.join(" ")));
    }
    String::from_utf8(output.stdout.trim_ascii_end().to_vec())
        .map_err(|_| "git's answer is not UTF-8".to_owned())
}
