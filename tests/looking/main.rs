//! Commands that look at the keyring: what they find, what they say, how they end.
//!
//! Transcripts are in `tests/golden/keyring`; to accept a change: `UPDATE_GOLDEN=1 cargo test --test looking`, and read
//! the diff.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

#[path = "../support/keys.rs"]
mod keys;
#[path = "../support/mod.rs"]
mod support;

mod abilities;
mod differences;
mod filters;
mod lints;
mod record;
mod transcripts;
mod whose;

use clap::Parser;
use countersign::cli::common::Format;
use countersign::cli::keyring::{self as cli, KeyringArgs};
use countersign::domain::Timestamp;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ANN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOJaXzR/ywf7UudEZKOnGRUNAVLhzkP24lyaYdM5k4CS";
const BOB: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdCKdpbqvoIHJXbkSGZDXQ8jYZGNdIs4T1v0UTrO+UD";
const CY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHt/gekdZBP6w6zAI00bJvEt0bEQaLT7MP0mPLMkK/qO";

/// The key of OpenSSH's own tests.
const EVE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEGp+s9I5jyI0mfDChEdLzlqSl/5YD6dZElTsdZKycCT";

/// The time at which these tests look, unless they say otherwise.
const NOW: &str = "2030-06-01T00:00:00Z";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A configuration, a keyring and a state directory.
struct Place {
    dir: TempDir,
}

#[derive(Debug)]
struct Ran {
    code: u8,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Only to read command lines as the program does.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: KeyringArgs,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        chmod(dir.path(), 0o755);
        for one in ["keyring", "repositories"] {
            fs::create_dir(dir.path().join(one)).unwrap();
            chmod(&dir.path().join(one), 0o755);
        }
        let place = Place { dir };
        place.policy("");
        place
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    /// Writes the configuration, with these rulesets.
    fn policy(&self, rulesets: &str) {
        let text = format!(
            "[daemon]\nsocket = \"hook.sock\"\nstate = \"state\"\n\n[keyring]\npath = \"keyring\"\n\n[repositories]\n\
             root = \"repositories\"\nserver = \"gitolite\"\n\n[policy]\nuncovered = \"accept\"\n{rulesets}"
        );
        fs::write(self.path("countersign.toml"), text).unwrap();
    }

    fn write(&self, name: &str, text: &str) {
        self.write_in("keyring", name, text);
    }

    fn write_in(&self, dir: &str, name: &str, text: &str) {
        let dir = self.path(dir);
        if !dir.exists() {
            fs::create_dir(&dir).unwrap();
            chmod(&dir, 0o755);
        }
        let path = dir.join(format!("{name}.toml"));
        fs::write(&path, format!("name = \"{name}\"\n{text}")).unwrap();
        chmod(&path, 0o644);
    }

    /// Runs `countersign keyring ...` as of a moment; JSON where the last word is `json`.
    fn at(&self, now: &str, words: &[&str]) -> Ran {
        let (words, format) = match words {
            [rest @ .., "json"] => (rest, Format::Json),
            all => (all, Format::Text),
        };
        let line = Line::try_parse_from(["keyring"].iter().chain(words));
        let args = line.unwrap_or_else(|error| panic!("{error}")).args;
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let config = self.path("countersign.toml");
        let result = cli::run_at(&args, &config, time(now), format, &mut out, &mut err);
        let place = self.dir.path().to_str().unwrap().to_owned();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&place, "PLACE");
        let (out, mut err) = (text(out), text(err));
        let code = result.unwrap_or_else(|error| {
            err.push_str(&format!("{}\n", error.message.replace(&place, "PLACE")));
            error.code
        });
        Ran { code, out, err }
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.at(NOW, words)
    }
}

fn ssh(key: &str) -> String {
    ssh_with(key, "")
}

fn ssh_with(key: &str, more: &str) -> String {
    format!("\n[[key]]\nssh = \"{key}\"\n{more}")
}

fn openpgp_with(armor: &[u8], more: &str) -> String {
    format!("\n[[key]]\nopenpgp = \"\"\"\n{}\"\"\"\n{more}", std::str::from_utf8(armor).unwrap())
}

/// Holds some text against `tests/golden/keyring/NAME.txt`.
#[track_caller]
fn golden(name: &str, seen: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/keyring").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, seen).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(seen, wanted, "{name}:\n--- seen ---\n{seen}---");
}
