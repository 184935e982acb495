//! What `check --self` says where the next commit or tag would be refused, and that it helps: each command is run as it
//! is printed, by a shell, and then the question is asked again.

use super::Machine;
use crate::support::gate::PROGRAM;
use crate::support::sandbox::{Ran, run};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const RULES: &str = "[policy]\nuncovered = \"accept\"\n\n[[ruleset]]\nname = \"all\"\nrepositories = [\"**\"]\n\
     refs = [\"refs/heads/**\", \"refs/tags/**\"]\nenforcement = \"enforce\"\n\n[ruleset.refuse]\nunsigned-commit = true\n\
     unsigned-tag = true\nuntrusted-signer = true\n";

/// A developer's machine, and the gate's configuration and keyring beside it.
struct Both {
    machine: Machine,
    home: PathBuf,
}

impl Both {
    /// With an Ed25519 key that git signs with; gives its public part, too.
    fn new() -> (Self, String) {
        let machine = Machine::new();
        let public = machine.ssh("id_ed25519", &["ed25519"], "");
        machine.setup(&["--apply"]);
        (Both::of(machine), public)
    }

    fn of(machine: Machine) -> Self {
        let home = machine.sandbox.path("gate");
        machine.run(&["init", home.to_str().unwrap()]).ok();
        let file = home.join("countersign.toml");
        let text = fs::read_to_string(&file).unwrap();
        let (head, _) = text.split_once("[policy]").unwrap();
        fs::write(&file, format!("{head}{RULES}")).unwrap();
        Both { machine, home }
    }

    fn config(&self) -> String {
        self.home.join("countersign.toml").to_str().unwrap().to_owned()
    }

    /// What a keeper does.
    #[track_caller]
    fn keeper(&self, arguments: &[&str], input: &str) {
        let config = self.config();
        let all = [&["--config", &config, "keyring"], arguments].concat();
        self.machine.run_with(&all, input.as_bytes()).ok();
    }

    fn add(&self, public: &str) {
        self.keeper(&["add", "dev", "--email", "dev@example.com", "--key", "-"], public);
    }

    /// Writes a line behind the key that holds some text.
    fn edit(&self, key: &str, line: &str) {
        let file = self.home.join("keyring/dev.toml");
        let text = fs::read_to_string(&file).unwrap();
        let at = text.find(key).unwrap();
        let end = at + text[at..].find('\n').unwrap() + 1;
        fs::write(&file, format!("{}{line}\n{}", &text[..end], &text[end..])).unwrap();
    }

    #[track_caller]
    fn ask(&self, more: &[&str]) -> (i32, Value) {
        let config = self.config();
        self.machine.check(&[&["--config", &config], more].concat())
    }

    #[track_caller]
    fn refused(&self, more: &[&str], reason: &str) -> Value {
        let (code, said) = self.ask(more);
        assert_eq!((code, &said["outcome"]), (1, &"refuse".into()), "{said:#}");
        assert!(said["reason"].as_str().unwrap().contains(reason), "{said:#}");
        assert!(said["fix"].is_string() && said["by"].is_string(), "{said:#}");
        said
    }

    #[track_caller]
    fn accepted(&self, more: &[&str]) {
        let (code, said) = self.ask(more);
        assert_eq!((code, &said["outcome"], &said["fix"]), (0, &"accept".into(), &Value::Null), "{said:#}");
    }

    /// Runs the command that was said, word for word, by whom it was said to be for.
    #[track_caller]
    fn follow(&self, said: &Value, by: &str, input: &str) -> Ran {
        assert_eq!(said["by"], by, "{said:#}");
        let line = said["command"].as_str().unwrap_or_else(|| panic!("no command: {said:#}"));
        assert!(said["fix"].as_str().unwrap().contains(line), "{said:#}");
        let mut shell = self.machine.command("sh");
        let mut path = vec![Path::new(PROGRAM).parent().unwrap().to_owned()];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
        shell.env("PATH", std::env::join_paths(path).unwrap()).args(["-c", line]);
        if by == "keeper" {
            shell.env("COUNTERSIGN_CONFIG", self.config());
        }
        let input = if line.ends_with("--key -") { said["public"].as_str().unwrap() } else { input };
        run(shell, input.as_bytes()).ok()
    }
}

#[test]
fn an_unknown_key_is_added_to_whose_address_it_is() {
    let (both, _) = Both::new();
    let said = both.refused(&[], "untrusted-signer");
    assert!(said["command"].as_str().unwrap().contains("add NAME --email dev@example.com"), "{said:#}");
    let other = both.machine.ssh("other", &["ed25519"], "");
    both.add(&other);
    let said = both.refused(&[], "untrusted-signer");
    assert_eq!(said["command"], "countersign keyring add dev --key -");
    both.follow(&said, "keeper", "");
    both.accepted(&[]);
}

#[test]
fn n13_an_ended_key_gives_way_to_another_of_the_same_machine() {
    let (both, public) = Both::new();
    both.add(&public);
    let ended = "valid-until = 2021-01-01T00:00:00Z";
    both.edit(public.split(' ').nth(1).unwrap(), ended);
    // Alone there is nothing that the developer could run.
    let said = both.refused(&[], "expired");
    assert_eq!((&said["by"], &said["command"]), (&"keeper".into(), &Value::Null), "{said:#}");
    assert!(said["fix"].as_str().unwrap().contains("valid-until"), "{said:#}");
    // Another of theirs that has ended as well does not help, and a stranger's neither.
    let second = both.machine.ssh("id_second", &["ed25519"], "");
    both.keeper(&["add", "boss", "--key", "-"], &second);
    assert_eq!(both.refused(&[], "expired")["command"], Value::Null);
    let third = both.machine.ssh("id_third", &["ecdsa"], "");
    both.add(&third);
    let said = both.refused(&[], "expired");
    assert!(said["command"].as_str().unwrap().ends_with("/.ssh/id_third.pub"), "{said:#}");
    both.follow(&said, "you", "");
    both.accepted(&[]);
}

#[test]
fn n14_a_revoked_key_is_replaced_in_two_steps_each_of_which_is_told() {
    for reason in ["superseded", "compromised"] {
        let (both, public) = Both::new();
        both.add(&public);
        // Without a daemon nobody confirms it, which is exit code 3.
        let config = both.config();
        let fingerprint = both.ask(&[]).1["key"].as_str().unwrap().to_owned();
        let revoke = ["--config", &config, "keyring", "revoke", "dev", &fingerprint, "--reason", reason];
        assert_eq!(both.machine.run(&revoke).code(), Some(3));
        let said = both.refused(&[], "revoked");
        let command = said["command"].as_str().unwrap();
        assert!(command.starts_with("ssh-keygen -t ed25519 -C dev@example.com"), "{said:#}");
        assert!(command.contains("-f ~/.ssh/id_ed25519_2 "), "what is there is not overwritten: {said:#}");
        both.follow(&said, "you", "\n\n");
        let said = both.refused(&[], "untrusted-signer");
        both.follow(&said, "keeper", "");
        both.accepted(&[]);
    }
}

#[test]
fn n14_a_suspension_is_the_keepers_to_take_back() {
    let (both, public) = Both::new();
    both.add(&public);
    let config = both.config();
    let suspend = ["--config", &config, "keyring", "suspend", "dev", "--reason", "laptop lost"];
    assert_eq!(both.machine.run(&suspend).code(), Some(3));
    let said = both.refused(&[], "suspended");
    assert_eq!(said["command"], "countersign keyring resume dev");
    both.follow(&said, "keeper", "");
    both.accepted(&[]);
}

#[test]
fn a_key_without_the_role_gives_way_to_one_that_has_it() {
    let (both, public) = Both::new();
    both.add(&public);
    both.edit(public.split(' ').nth(1).unwrap(), "roles = [\"tag\"]");
    both.accepted(&["--tag", "v1.0"]);
    let said = both.refused(&[], "role");
    assert_eq!((&said["by"], &said["command"]), (&"keeper".into(), &Value::Null), "{said:#}");
    assert!(said["fix"].as_str().unwrap().contains("role `commit`"), "{said:#}");
    let other = both.machine.ssh("id_other", &["ed25519"], "");
    both.add(&other);
    both.edit(other.split(' ').nth(1).unwrap(), "roles = [\"commit\"]");
    let said = both.refused(&[], "role");
    both.follow(&said, "you", "");
    both.accepted(&[]);
    // And now it is the tag's turn.
    let said = both.refused(&["--tag", "v1.0"], "role");
    both.follow(&said, "you", "");
    both.accepted(&["--tag", "v1.0"]);
}

#[test]
fn an_openpgp_key_that_ended_is_prolonged_here_and_refreshed_there() {
    let machine = Machine::new();
    machine.openpgp("Test Key dev <dev@example.com>");
    let said = machine.setup(&["--apply"]);
    let fingerprint = said["key"].as_str().unwrap().to_owned();
    let both = Both::of(machine);
    let mut gpg = both.machine.command("gpg");
    gpg.args(["--batch", "--passphrase", "", "--quick-set-expire", &fingerprint, "seconds=2"]);
    run(gpg, b"").ok();
    let mut export = both.machine.command("gpg");
    export.args(["--armor", "--export", &fingerprint]);
    let ending = run(export, b"").ok().stdout;
    both.add(&ending);
    std::thread::sleep(std::time::Duration::from_secs(3));
    // GnuPG does not sign with it any more, so nobody can tell.
    let (code, said) = both.ask(&[]);
    assert_eq!((code, &said["outcome"]), (3, &"undecided".into()), "{said:#}");
    assert!(said["command"].as_str().unwrap().starts_with("gpg --quick-set-expire"), "{said:#}");
    both.follow(&said, "you", "");
    // The keyring has the old copy.
    let said = both.refused(&[], "expired");
    assert_eq!(said["command"], "countersign keyring refresh dev --key -");
    both.follow(&said, "keeper", "");
    both.accepted(&[]);
    both.accepted(&["--tag", "v1.0"]);
    // Revoked by the keeper: GnuPG still signs, and another key is due.
    let config = both.config();
    let revoke = ["--config", &config, "keyring", "revoke", "dev", &fingerprint, "--reason", "retired"];
    assert_eq!(both.machine.run(&revoke).code(), Some(3));
    let said = both.refused(&[], "revoked");
    both.follow(&said, "you", "\n\n");
    let said = both.refused(&[], "untrusted-signer");
    both.follow(&said, "keeper", "");
    both.accepted(&[]);
}

#[test]
fn a_new_signing_subkey_is_refreshed_and_not_added_as_a_stranger() {
    let machine = Machine::new();
    machine.openpgp("Test Key dev <dev@example.com>");
    let said = machine.setup(&["--apply"]);
    let (fingerprint, public) = (said["key"].as_str().unwrap().to_owned(), said["public"].as_str().unwrap());
    let both = Both::of(machine);
    both.add(public);
    both.accepted(&[]);
    let mut gpg = both.machine.command("gpg");
    gpg.args(["--batch", "--passphrase", "", "--quick-add-key", &fingerprint, "ed25519", "sign", "1y"]);
    run(gpg, b"").ok();
    let said = both.refused(&[], "untrusted-signer");
    assert_eq!(said["command"], "countersign keyring refresh dev --key -", "{said:#}");
    both.follow(&said, "keeper", "");
    both.accepted(&[]);
}

#[test]
fn a_tag_is_judged_like_the_next_one() {
    let (both, public) = Both::new();
    both.add(&public);
    both.accepted(&["--tag", "v1.0"]);
    // Tags have a switch of their own.
    both.machine.git(&["config", "--local", "tag.gpgsign", "false"]).ok();
    both.accepted(&[]);
    let said = both.refused(&["--tag", "v1.0"], "tag.gpgsign");
    assert_eq!(said["command"], "git config --local tag.gpgsign true");
    both.follow(&said, "you", "");
    both.accepted(&["--tag", "v1.0"]);
    // By a keyring, too, and what is set for this repository alone counts.
    let ring = both.home.join("keyring");
    let ring = ring.to_str().unwrap();
    let (code, said) = both.machine.check(&["--keyring", ring, "--tag", "v1.0"]);
    assert_eq!((code, &said["principal"]), (0, &"dev".into()), "{said:#}");
    both.machine.ssh("other", &["ed25519"], "");
    let other = both.machine.sandbox.path("home/.ssh/other.pub");
    both.machine.git(&["config", "--local", "user.signingkey", other.to_str().unwrap()]).ok();
    let said = both.refused(&["--tag", "v1.0"], "untrusted-signer");
    assert!(said["public"].is_string(), "{said:#}");
    both.machine.git(&["config", "--local", "--unset", "user.signingkey"]).ok();
    both.machine.git(&["config", "--local", "user.email", "boss@example.com"]).ok();
    let (code, said) = both.machine.check(&["--keyring", ring, "--tag", "v1.0"]);
    assert_eq!(code, 1, "{said:#}");
    both.follow(&said, "you", "");
    assert_eq!(both.machine.check(&["--keyring", ring, "--tag", "v1.0"]).0, 0);
    // Names that are none, and options that do not go together.
    for wrong in
        [&["--tag", "a..b"][..], &["--tag", ""], &["--tag=-f"], &["--tag", "v1", "--ref", "refs/heads/main"]]
    {
        let ran = both.machine.run(&[&["check", "--self", "--keyring", ring], wrong].concat());
        assert_eq!(ran.code(), Some(2), "{wrong:?} {ran:?}");
    }
    assert_eq!(both.machine.run(&["check", "--tag", "v1", "--repo", ".", "A..B"]).code(), Some(2));
}
