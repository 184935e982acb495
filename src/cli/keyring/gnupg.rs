//! Reading the public keys of a GnuPG home.

use super::super::common::CliError;
use crate::domain::text;
use crate::keyring::MAX_IMPORT;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The files that hold public keys, the newer one first.
const RINGS: [&str; 2] = ["pubring.kbx", "pubring.gpg"];

/// Where programs are looked for: never in what the environment says.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A directory of our own that goes away.
struct Private(PathBuf);

impl Private {
    fn new() -> io::Result<Self> {
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let name = format!("countersign-{}", data_encoding::HEXLOWER.encode(&random));
        let path = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Private(path))
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Best effort: it holds public keys only.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The public keys of a GnuPG home, in binary. Its key box is copied and `gpg` runs on the copy, so that
/// nothing in the home is written, no agent is started, and none of its settings counts.
pub(super) fn export(home: &Path) -> Result<Vec<u8>, CliError> {
    let shown = text::escape(home.as_os_str().as_encoded_bytes());
    let ring = RINGS.iter().map(|name| home.join(name)).find(|path| path.is_file());
    let Some(ring) = ring else {
        return Err(CliError::usage(format!(
            "`{shown}` holds neither `pubring.kbx` nor `pubring.gpg`: give the directory that GnuPG calls its home"
        )));
    };
    let cannot = |step: &str, error: &io::Error| CliError::usage(format!("cannot {step} `{shown}`: {error}"));
    let copy = Private::new().map_err(|error| cannot("copy", &error))?;
    let name = ring.file_name().unwrap_or_default();
    copy_ring(&ring, &copy.0.join(name)).map_err(|error| cannot("copy", &error))?;
    let mut command = Command::new("gpg");
    command
        .args(["--batch", "--no-tty", "--no-options", "--quiet", "--no-auto-check-trustdb"])
        .args(["--no-auto-key-locate", "--no-autostart", "--lock-never"])
        .arg("--homedir")
        .arg(&copy.0)
        .args(["--export-options", "no-export-attributes", "--export"])
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .env("HOME", &copy.0)
        .current_dir(&copy.0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| {
        CliError::usage(format!("cannot run `gpg`: {error}; export the keys with it, and import the file"))
    })?;
    let mut bytes = Vec::new();
    let read = match child.stdout.take() {
        Some(output) => output.take(MAX_IMPORT as u64 + 1).read_to_end(&mut bytes).map(drop),
        None => Ok(()),
    };
    // What it says beyond a pipe's worth would keep it waiting; it is ended below.
    let mut said = Vec::new();
    if bytes.len() > MAX_IMPORT {
        let _ = child.kill();
    } else if let Some(errors) = child.stderr.take() {
        let _ = errors.take(4096).read_to_end(&mut said);
    }
    let status = child.wait().map_err(|error| cannot("export", &error))?;
    read.map_err(|error| cannot("export", &error))?;
    if bytes.len() > MAX_IMPORT {
        return Err(CliError::usage(format!("`{shown}` holds more than 64 MiB of keys")));
    }
    if !status.success() {
        let said = text::escape_short(&said, 300);
        return Err(CliError::usage(format!("`gpg` cannot export the keys of `{shown}`: {said}")));
    }
    if bytes.is_empty() {
        return Err(CliError::usage(format!("`{shown}` holds no public key")));
    }
    Ok(bytes)
}

fn copy_ring(from: &Path, to: &Path) -> io::Result<()> {
    let mut input = File::open(from)?.take(2 * MAX_IMPORT as u64 + 1);
    let mut output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    let copied = io::copy(&mut input, &mut output)?;
    if copied > 2 * MAX_IMPORT as u64 {
        return Err(io::Error::other("the key box is larger than 128 MiB"));
    }
    output.flush()
}
