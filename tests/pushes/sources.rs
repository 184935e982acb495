//! Live sources of the keyring across real pushes and reloads (S8, S10, S11, N15): `allowed_signers` files,
//! authorities, revocation lists.

use crate::craft::{Cert, Key, sshsig};
use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use countersign::domain::Timestamp;
use std::fs;

fn now() -> i64 {
    Timestamp::now().as_second()
}

/// Adds a commit that `sign` signs.
fn commit(work: &Clone<'_>, message: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>) -> String {
    work.commit(None, &format!("OPS-1: {message}"));
    let raw = work.git(&["cat-file", "commit", "HEAD"]).ok().stdout;
    let folded = String::from_utf8(sign(raw.as_bytes())).unwrap().trim_end().replace('\n', "\n ");
    let file = work.path.join("signed-object");
    fs::write(&file, raw.replacen("\n\n", &format!("\ngpgsig {folded}\n\n"), 1)).unwrap();
    let id = work.git(&["hash-object", "-t", "commit", "-w", "signed-object"]).ok().line().to_owned();
    fs::remove_file(&file).unwrap();
    work.git(&["reset", "--quiet", "--soft", &id]).ok();
    id
}

fn by(key: &Key) -> impl Fn(&[u8]) -> Vec<u8> + '_ {
    |payload| key.sshsig(payload)
}

/// Under a certificate for `carol@example.org` by the authority.
fn certified<'k>(key: &'k Key, authority: &'k Key) -> impl Fn(&[u8]) -> Vec<u8> + 'k {
    let cert = Cert { principals: vec![b"carol@example.org"], ..Cert::new(now() - 600, now() + 3_600) };
    let blob = cert.make(key, authority);
    move |payload| sshsig(&blob, key, payload)
}

/// The policy with these lines in `[keyring]`, which stands right above the next table.
fn with_sources(gate: &Gate, keyring: &str, policy: &str) {
    gate.configure(policy);
    let text = fs::read_to_string(gate.config()).unwrap();
    fs::write(gate.config(), text.replacen("\n[repositories]", &format!("{keyring}\n[repositories]"), 1))
        .unwrap();
}

const SIGNERS: &str = "[[keyring.allowed-signers]]\npath = \"signers\"\ngroups = [\"sre\"]\n";
const LIST: &str = "[[keyring.revocation]]\npath = \"revoked\"\n";

#[test]
fn n15_a_live_source_that_breaks_leaves_the_last_good_one_and_takes_its_revocations() {
    let (ann, bob, unused) = (Key::ed25519(1), Key::ed25519(2), Key::ed25519(77));
    let gate = Gate::prepared(PRODUCTION);
    let (signers, list) = (gate.home.join("signers"), gate.home.join("revoked"));
    fs::write(&signers, format!("ann@example.org {}\nbob@example.org {}\n", ann.line(), bob.line())).unwrap();
    fs::write(&list, unused.line() + "\n").unwrap();
    with_sources(&gate, &format!("{SIGNERS}{LIST}"), PRODUCTION);
    gate.start();
    let work = gate.clone_of(&gate.repository("infra/live"));
    commit(&work, "a key of a live file", &by(&ann));
    work.accepted(&["main"]);

    // Every way for the files to break leaves what was; the list's news count where there are any.
    let broken = format!("{}\n{}\n", ann.line(), bob.line().replacen("AAAA", "A!AA", 1));
    for (breaks, says) in [
        (Box::new(|| fs::write(&signers, "ann octopus\n").unwrap()) as Box<dyn Fn()>, "signers:1:"),
        (Box::new(|| fs::remove_file(&signers).unwrap()), "cannot read the file"),
    ] {
        let before = fs::read(&signers).unwrap();
        breaks();
        gate.reload();
        assert!(gate.get("/health").1.contains(says), "{}", gate.get("/health").1);
        commit(&work, "while a file is broken", &by(&bob));
        work.accepted(&["main"]);
        fs::write(&signers, before).unwrap();
        gate.reload();
    }
    let tip = work.id("HEAD");
    fs::write(&list, broken).unwrap();
    gate.reload();
    let health = gate.get("/health").1;
    assert!(health.contains("degraded") && health.contains("revoked:2:13"), "{health}");
    commit(&work, "by a key in the half of the list that can be read", &by(&ann));
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    work.branch("main", &tip);
    commit(&work, "by the other", &by(&bob));
    work.accepted(&["main"]);

    // The standalone hook and the command line have no last good state: they say what is wrong.
    let listed = gate.countersign(&["keyring", "list"]);
    assert!(listed.code() == Some(2) && listed.stderr.contains("revoked:2:13"), "{}", listed.stderr);
}

#[test]
fn n15_a_rejected_configuration_that_names_a_new_list_revokes_what_it_lists() {
    let (ann, bob) = (Key::ed25519(1), Key::ed25519(2));
    let gate = Gate::prepared(PRODUCTION);
    fs::write(
        gate.home.join("signers"),
        format!("ann@example.org {}\nbob@example.org {}\n", ann.line(), bob.line()),
    )
    .unwrap();
    fs::write(gate.home.join("revoked"), ann.line() + "\n").unwrap();
    with_sources(&gate, SIGNERS, PRODUCTION);
    gate.start();
    let work = gate.clone_of(&gate.repository("infra/live"));
    commit(&work, "before", &by(&ann));
    work.accepted(&["main"]);
    // The list comes along with a mistake somewhere else, as it does when somebody is in a hurry.
    with_sources(
        &gate,
        &format!("{SIGNERS}{LIST}"),
        &format!("{PRODUCTION}\n[signatures]\ntuoch = \"any\"\n"),
    );
    gate.reload();
    assert!(gate.get("/health").1.contains("tuoch"));
    let tip = work.id("HEAD");
    commit(&work, "by a stolen key", &by(&ann));
    work.push(&["main"]).assert_refused(&["bad-signature"]);
    work.branch("main", &tip);
    commit(&work, "by the other", &by(&bob));
    work.accepted(&["main"]);
}

#[test]
fn n14_a_certified_key_that_only_a_list_names_taints_what_it_left() {
    let (ca, laptop, other) = (Key::ed25519(9), Key::ed25519(3), Key::ed25519(4));
    let gate = Gate::prepared(PRODUCTION);
    fs::write(gate.home.join("signers"), format!("*@example.org cert-authority {}\n", ca.line())).unwrap();
    with_sources(&gate, SIGNERS, PRODUCTION);
    gate.start();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    let clean = commit(&work, "by a laptop", &certified(&other, &ca));
    let stolen = commit(&work, "by a laptop that is stolen", &certified(&laptop, &ca));
    work.accepted(&["main"]);
    assert_eq!(gate.countersign(&["taint", "list"]).code(), Some(0));
    // Among many others: a list may name more keys than anybody has.
    let many: String = (10..110).map(|seed| Key::ed25519(seed).line() + "\n").collect();
    fs::write(gate.home.join("revoked"), format!("{many}{}\n", laptop.line())).unwrap();
    with_sources(&gate, &format!("{SIGNERS}{LIST}"), PRODUCTION);
    gate.reload();
    let listed = gate.countersign(&["taint", "list"]);
    assert_eq!(listed.code(), Some(1), "{}", listed.stderr);
    assert!(listed.stdout.contains(&stolen) && !listed.stdout.contains(&clean), "{}", listed.stdout);
    assert!(!listed.stdout.contains(" of ,"), "{}", listed.stdout);
    // It counts for its own ref alone (N8).
    let push = work.push(&["main:release/1"]).assert_refused(&["bad-signature"]);
    assert!(push.text().contains(&stolen[..7]), "{}", push.text());
    work.accepted(&[&format!("{clean}:refs/heads/release/2")]);
    commit(&work, "on top", &certified(&other, &ca));
    work.accepted(&["main"]);
    gate.countersign(&[
        "taint",
        "accept",
        "--repository",
        "infra/live",
        "--reason",
        "looked at",
        "--commit",
        &stolen,
        "--yes",
    ])
    .ok();
    work.accepted(&["main:release/1"]);
}

#[test]
fn f003_x016_a_refusal_says_how_to_sign_so_that_it_counts() {
    let (token, ca, laptop) = (Key::ed25519(5).fido("ssh:"), Key::ed25519(9), Key::ed25519(3));
    let policy = format!("{PRODUCTION}\n[signatures]\nendless-certificates = \"refuse\"\n");
    let gate = Gate::prepared(&policy);
    let lines = format!("ann {}\n*@example.org cert-authority {}\n", token.line(), ca.line());
    fs::write(gate.home.join("signers"), lines).unwrap();
    with_sources(&gate, SIGNERS, &policy);
    gate.start();
    let work = gate.clone_of(&gate.repository("infra/live"));
    let base = commit(&work, "touched", &by(&token.clone().with(1, 1)));
    work.accepted(&["main"]);
    commit(&work, "not touched", &by(&token.clone().with(0, 2)));
    let push = work.push(&["main"]).assert_refused(&["bad-signature"]);
    for wanted in ["a touch is required", "--no-edit -S`, and touch the authenticator"] {
        assert!(push.text().contains(wanted), "no `{wanted}` in {}", push.text());
    }
    assert!(!push.text().contains("may sign data"), "{}", push.text());
    work.branch("main", &base);
    let endless = Cert { principals: vec![b"carol@example.org"], before: u64::MAX, ..Cert::new(0, 1) };
    let blob = endless.make(&laptop, &ca);
    commit(&work, "for ever", &|payload| sshsig(&blob, &laptop, payload));
    let push = work.push(&["main"]).assert_refused(&["bad-signature"]);
    assert!(
        push.text().contains("valid for ever") && push.text().contains("ssh-keygen -V"),
        "{}",
        push.text()
    );
    work.branch("main", &base);
    commit(&work, "with an end", &certified(&laptop, &ca));
    work.accepted(&["main"]);
}
