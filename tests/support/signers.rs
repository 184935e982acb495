//! Signers with real keys, made by the programs that people use.

use super::sandbox::{Sandbox, run};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// Somebody who can sign.
#[derive(Clone, Debug)]
pub struct Signer {
    pub name: String,
    /// What `countersign keyring add --key` takes.
    pub public: PathBuf,
    /// What `git -c` needs for signing.
    options: Vec<String>,
    /// A point in time that gpg believes in, instead of now.
    faked_time: Option<String>,
}

impl Signer {
    /// A key that only its public part is known of: git cannot sign with it.
    pub fn public_only(name: &str, public: PathBuf) -> Self {
        Signer { name: name.to_owned(), public, options: Vec::new(), faked_time: None }
    }

    /// An SSH key of the given type.
    pub fn ssh(sandbox: &Sandbox, name: &str, kind: &[&str]) -> Self {
        let private = sandbox.path(format!("home/{name}"));
        let mut command = sandbox.command("ssh-keygen", sandbox.root());
        command.args(["-q", "-N", "", "-C", "test key", "-f"]).arg(&private).args(["-t"]).args(kind);
        run(command, b"").ok();
        let options = vec!["gpg.format=ssh".to_owned(), format!("user.signingKey={}", private.display())];
        Signer { name: name.to_owned(), public: private.with_extension("pub"), options, faked_time: None }
    }

    /// An OpenPGP key. `faked_time` is when it is made and used, if not now.
    pub fn openpgp(
        sandbox: &Sandbox,
        name: &str,
        algorithm: &str,
        expires: &str,
        faked_time: Option<&str>,
    ) -> Self {
        let user = format!("Test Key {name} <{name}@example.com>");
        Self::openpgp_with(sandbox, name, &user, algorithm, expires, faked_time)
    }

    /// An Ed25519 OpenPGP key with any user id.
    pub fn openpgp_as(sandbox: &Sandbox, name: &str, user: &str) -> Self {
        Self::openpgp_with(sandbox, name, user, "ed25519", "1y", None)
    }

    fn openpgp_with(
        sandbox: &Sandbox,
        name: &str,
        user: &str,
        algorithm: &str,
        expires: &str,
        faked_time: Option<&str>,
    ) -> Self {
        let home = sandbox.path("home/gnupg");
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let mut command = sandbox.command("gpg", sandbox.root());
        command.args(["--batch", "--quiet", "--passphrase", ""]);
        if let Some(time) = faked_time {
            command.arg(format!("--faked-system-time={time}"));
        }
        command.args(["--quick-generate-key", user, algorithm, "sign", expires]);
        run(command, b"").ok();
        let mut command = sandbox.command("gpg", sandbox.root());
        command.args(["--batch", "--with-colons", "--list-keys", &format!("={user}")]);
        let listed = run(command, b"").ok().stdout;
        let fingerprint = listed.lines().find_map(|line| line.strip_prefix("fpr:")).unwrap();
        let fingerprint = fingerprint.trim_matches(':').to_owned();
        let mut command = sandbox.command("gpg", sandbox.root());
        command.args(["--batch", "--armor", "--export", &fingerprint]);
        let public = sandbox.path(format!("home/{name}.asc"));
        fs::write(&public, run(command, b"").ok().stdout).unwrap();
        let mut options = vec!["gpg.format=openpgp".to_owned(), format!("user.signingKey={fingerprint}")];
        if let Some(time) = faked_time {
            let wrapper = sandbox.path(format!("home/gpg-{name}"));
            let script = format!("#!/bin/sh\nexec gpg --faked-system-time={time} \"$@\"\n");
            fs::write(&wrapper, script).unwrap();
            fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
            options.push(format!("gpg.program={}", wrapper.display()));
        }
        Signer { name: name.to_owned(), public, options, faked_time: faked_time.map(str::to_owned) }
    }

    /// The same person signing with exactly this OpenPGP key or subkey.
    pub fn using(&self, fingerprint: &str) -> Self {
        let options = self.options.iter().map(|option| match option.strip_prefix("user.signingKey=") {
            Some(_) => format!("user.signingKey={fingerprint}!"),
            None => option.clone(),
        });
        Signer { options: options.collect(), ..self.clone() }
    }

    /// Makes a git command sign with this key.
    pub fn configure(&self, command: &mut Command) {
        for option in &self.options {
            command.args(["-c", option]);
        }
    }
}
