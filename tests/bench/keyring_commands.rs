//! What the commands of `keyring` take as whole programs, at 12 and at 1,000 principals: from the start of the process
//! to its end, configuration and rulesets included. One principal in ten has an OpenPGP certificate, made by gpg; the
//! others an SSH key. All commands run once a round, in turns; medians, with the least and the most.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_countersign");
const ROUNDS: usize = 15;
/// What is aimed at with 1,000 principals, milliseconds.
const AIM: f64 = 200.0;

const POLICY: &str = "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"production\"\nrepositories = [\"**\"]\n\
     refs = [\"refs/heads/main\"]\nenforcement = \"enforce\"\n\n[ruleset.refuse]\nunsigned-commit = true\n\
     untrusted-signer = { allow = [\"group:staff\"] }\n";

/// The key of a principal, made for this measurement and good for nothing.
fn ssh(number: usize) -> String {
    let mut seed = [9_u8; 32];
    seed[..8].copy_from_slice(&(number as u64).to_be_bytes());
    let point = SigningKey::from_bytes(&seed).verifying_key();
    let fields: [&[u8]; 2] = [b"ssh-ed25519", point.as_bytes()];
    let blob = fields.map(|field| [&(field.len() as u32).to_be_bytes()[..], field].concat()).concat();
    format!("ssh-ed25519 {} test key", BASE64.encode(&blob))
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// OpenPGP certificates, each for one principal.
fn certificates(count: usize) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let gpg = |arguments: &[&str]| {
        let mut gpg = Command::new("gpg");
        output(gpg.arg("--homedir").arg(home.path()).args(["--batch", "--quiet"]).args(arguments))
    };
    let made = (0..count).map(|number| {
        let user = format!("Test Key p{number} <p{number}@example.org>");
        gpg(&["--passphrase", "", "--quick-generate-key", &user, "ed25519", "sign", "never"]);
        String::from_utf8(gpg(&["--armor", "--export", &format!("<p{number}@example.org>")])).unwrap()
    });
    let made = made.collect();
    let mut end = Command::new("gpgconf");
    output(end.arg("--homedir").arg(home.path()).args(["--kill", "all"]));
    made
}

/// A gate's configuration and keyring.
fn gate(principals: usize, certificates: &[String]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("gate");
    output(Command::new(PROGRAM).arg("init").arg(&home));
    let config = home.join("countersign.toml");
    let text = fs::read_to_string(&config).unwrap();
    let (head, _) = text.split_once("[policy]").unwrap();
    fs::write(&config, format!("{head}{POLICY}")).unwrap();
    for number in 0..principals {
        let key = match certificates.get(number / 10).filter(|_| number % 10 == 9) {
            Some(armor) => format!("openpgp = \"\"\"\n{armor}\"\"\""),
            None => format!("ssh = \"{}\"", ssh(number)),
        };
        let text = format!(
            "name = \"p{number}\"\nkind = \"person\"\nemails = [\"p{number}@example.org\"]\ngroups = [\"staff\"]\n\n\
             [[key]]\n{key}\n"
        );
        let path = home.join("keyring").join(format!("p{number}.toml"));
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    (dir, config)
}

fn timed(config: Option<&Path>, arguments: &[&str]) -> f64 {
    let mut command = Command::new(PROGRAM);
    if let Some(config) = config {
        command.arg("--config").arg(config).arg("keyring");
    }
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let status = command.status().unwrap();
    let took = began.elapsed().as_secs_f64() * 1e3;
    // `check` ends with 1 where it has found something.
    assert!(matches!(status.code(), Some(0 | 1)), "{arguments:?}: {status}");
    took
}

/// Median, least and most.
fn of(mut all: Vec<f64>) -> (f64, f64, f64) {
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[0], all[all.len() - 1])
}

fn main() {
    let certificates = certificates(100);
    let gates = [12, 1_000].map(|principals| gate(principals, &certificates));
    let new = gates[0].0.path().join("new.pub");
    fs::write(&new, ssh(1_000_000)).unwrap();
    let new = new.to_str().unwrap();
    let commands: [&[&str]; 9] = [
        &["list"],
        &["list", "--format", "json"],
        &["show", "p5"],
        &["check"],
        &["whose", "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
        &["add", "new", "--key", new, "--dry-run"],
        &["suspend", "p5", "--reason", "measured", "--dry-run"],
        &["export", "--to", "allowed-signers"],
        &["export", "--to", "openpgp"],
    ];
    let mut taken = vec![[Vec::new(), Vec::new()]; commands.len()];
    let mut started = Vec::new();
    for _ in 0..ROUNDS {
        started.push(timed(None, &["--version"]));
        for (words, taken) in commands.iter().zip(&mut taken) {
            for ((_, config), taken) in gates.iter().zip(taken) {
                taken.push(timed(Some(config), words));
            }
        }
    }
    let (start, least, most) = of(started);
    println!("`countersign --version`: {start:.1} ms ({least:.1}-{most:.1})");
    println!("| command | ms at 1,000 | at 1,000 / at 12 |\n| --- | --- | --- |");
    let mut late = false;
    for (words, [few, many]) in commands.iter().zip(taken) {
        let ratio = of(many.iter().zip(&few).map(|(many, few)| many / few).collect());
        let (median, least, most) = of(many);
        late |= median > AIM;
        let words: Vec<&str> = words.iter().map(|word| if *word == new { "FILE" } else { word }).collect();
        println!(
            "| `keyring {}` | {median:.0} ({least:.0}-{most:.0}) | {:.1} ({:.1}-{:.1}) |",
            words.join(" "),
            ratio.0,
            ratio.1,
            ratio.2
        );
    }
    println!("aimed at: {AIM:.0} ms{}", if late { ", and missed" } else { "" });
}
