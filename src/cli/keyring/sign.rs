//! Having a change signed by whoever makes it.

use crate::domain::text;
use crate::keyring::{CHANGE_NAMESPACE, MAX_SIGNATURE};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// Signs with `ssh-keygen`, which finds the key in a file or, for a public one, in an agent. It asks for a
/// passphrase or a touch as it always does, so that it has the surroundings and the terminal of whoever runs this.
pub(super) fn sign(key: &Path, change: &str) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot run `ssh-keygen`: {error}");
    let mut child = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", CHANGE_NAMESPACE, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // Less than a pipe holds, unless there is nobody to read it: then its end says why.
    let written = child.stdin.take().map(|mut input| input.write_all(change.as_bytes()));
    let mut armor = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(MAX_SIGNATURE as u64 + 1).read_to_end(&mut armor).map_err(failed)?;
    }
    let mut said = Vec::new();
    if let Some(errors) = child.stderr.take() {
        let _ = errors.take(4096).read_to_end(&mut said);
    }
    let status = child.wait().map_err(failed)?;
    if !status.success() {
        return Err(format!("`ssh-keygen`: {}", text::escape_short(said.trim_ascii(), 300)));
    }
    written.transpose().map_err(failed)?;
    String::from_utf8(armor).map_err(|_| "`ssh-keygen` gave no signature".to_owned())
}
