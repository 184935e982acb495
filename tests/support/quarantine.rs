//! A push that stands still in `pre-receive`, so that its quarantine can be looked at while it lives.

use super::sandbox::{Ran, Sandbox};
use super::wait_for;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// A push in flight; it is refused when this is dropped.
pub struct BlockedPush {
    child: Option<Child>,
    signals: PathBuf,
    /// The quarantine as git names it; `None` where git made none.
    pub quarantine: Option<PathBuf>,
    /// What git wrote to the hook.
    pub updates: String,
}

const HOOK: &str = r#"#!/bin/sh
cd '@SIGNALS@' || exit 9
cat > updates
printf '%s' "$GIT_QUARANTINE_PATH" > quarantine.new
mv quarantine.new quarantine
turns=0
until [ -e go ]; do
    turns=$((turns + 1))
    [ "$turns" -lt 1200 ] || exit 8
    sleep 0.05
done
exit "$(cat go)"
"#;

impl BlockedPush {
    /// Pushes from `work_tree` to the repository `bare` and returns when git waits for the hook.
    pub fn start(sandbox: &Sandbox, work_tree: &Path, bare: &Path, refspecs: &[&str]) -> Self {
        let signals = sandbox.path("signals");
        let _ = fs::remove_dir_all(&signals);
        fs::create_dir(&signals).unwrap();
        let hook = bare.join("hooks/pre-receive");
        fs::create_dir_all(bare.join("hooks")).unwrap();
        fs::write(&hook, HOOK.replace("@SIGNALS@", signals.to_str().unwrap())).unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = sandbox.command("git", work_tree);
        command.args(["push", "--quiet", bare.to_str().unwrap()]).args(refspecs);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let path = wait_for("the push to reach its hook", Duration::from_secs(60), || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the push ended before its hook: {status}");
            }
            fs::read_to_string(signals.join("quarantine")).ok()
        });
        let updates = fs::read_to_string(signals.join("updates")).unwrap();
        let quarantine = (!path.is_empty()).then(|| PathBuf::from(path));
        BlockedPush { child: Some(child), signals, quarantine, updates }
    }

    /// Lets the hook end and the push with it.
    pub fn finish(mut self, accept: bool) -> Ran {
        self.go(accept);
        let output = self.child.take().unwrap().wait_with_output().unwrap();
        Ran {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn go(&self, accept: bool) {
        fs::write(self.signals.join("go.new"), if accept { "0" } else { "1" }).unwrap();
        fs::rename(self.signals.join("go.new"), self.signals.join("go")).unwrap();
    }
}

impl Drop for BlockedPush {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.go(false);
            let _ = child.wait();
        }
    }
}
