//! Conformance cases C: Commits, as git's own suite has them.

use crate::keys::*;
use crate::objects::*;
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::signers::Signer;

const COMMIT: [&str; 4] = ["commit", "-q", "-S", "--allow-empty"];

#[test]
fn c001_a_signed_root_commit() {
    let scene = Scene::new();
    scene.git_pgp(&[&COMMIT[..], &["-m", "root"]].concat());
    let raw = scene.cat("commit", "HEAD");
    assert_eq!(scene.word(&raw, Git::Good), "verified");
    assert_eq!(scene.verdict(&raw).proof.unwrap().certificate(), scene.gpg().1);
}

#[test]
fn c002_merges_and_octopuses_by_signature() {
    let scene = Scene::new();
    for branch in ["main", "one", "two"] {
        scene.git(&["checkout", "-q", "--orphan", branch]);
        scene.git_ssh(&[&COMMIT[..], &["-m", branch]].concat());
    }
    scene.git(&["checkout", "-q", "main"]);
    let merge = ["merge", "-q", "-S", "--no-ff", "--allow-unrelated-histories", "-m", "merge", "-s", "ours"];
    for (from, parents) in [(&["one"][..], 2), (&["one", "two"], 3)] {
        scene.git(&["checkout", "-q", "-B", "again", "main"]);
        scene.git_ssh(&[&merge[..], from].concat());
        let raw = scene.cat("commit", "HEAD");
        assert_eq!(scene.line(&["rev-list", "--parents", "-1", "HEAD"]).split(' ').count(), parents + 1);
        assert_eq!(scene.word(&raw, Git::Good), "verified");
    }
}

/// An octopus is let in unless a rule forbids it: `merge-commit` by its parents, `unclean-merge` because nothing
/// can compute it again.
#[test]
fn c002_an_octopus_is_for_the_policy_to_decide() {
    let (gate, alice) = Gate::production();
    let bare = gate.repository("infra/live");
    let work = gate.clone_of(&bare);
    work.commit(Some(&alice), "OPS-1: base");
    for topic in ["one", "two"] {
        work.branch(topic, "main");
        work.commit(Some(&alice), &format!("OPS-2: {topic}"));
    }
    work.branch("main", "main");
    work.sign(Some(&alice), &["merge", "-q", "-s", "ours", "-S", "-m", "OPS-3: both", "one", "two"]);
    assert_eq!(work.git(&["rev-list", "--parents", "-1", "HEAD"]).ok().line().split(' ').count(), 4);
    let refuse = |rule: &str| gate.reconfigure(&format!("{PRODUCTION}{rule}\n"));
    for (rule, name) in
        [("merge-commit = { octopus = true }", "merge-commit"), ("unclean-merge = true", "unclean-merge")]
    {
        refuse(rule);
        work.push(&["main"]).assert_refused(&[name]);
    }
    refuse("");
    work.accepted(&["main"]);
}

#[test]
fn c003_an_unsigned_commit() {
    let scene = Scene::new();
    scene.git(&["commit", "-q", "--allow-empty", "-m", "unsigned"]);
    assert_eq!(scene.word(&scene.cat("commit", "HEAD"), Git::Bad), "unsigned");
    let (gate, alice) = Gate::production();
    let work = gate.clone_of(&gate.repository("infra/live"));
    work.commit(Some(&alice), "OPS-1: signed");
    work.commit(None, "OPS-2: unsigned");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn c004_c005_a_fudged_commit() {
    let scene = Scene::new();
    scene.git_pgp(&[&COMMIT[..], &["-m", "seventh signed"]].concat());
    let raw = scene.cat("commit", "HEAD");
    let forged = replaced(&raw, "seventh signed", "7th forged");
    assert_eq!(scene.word(&forged, Git::Bad), "bad");
    let hidden = replaced(&raw, "seventh signed", "seventh\0signed");
    assert_eq!(scene.word(&hidden, Git::Bad), "obj.nul");
    scene.git_ssh(&[&COMMIT[..], &["-m", "seventh signed"]].concat());
    let raw = scene.cat("commit", "HEAD");
    assert_eq!(scene.word(&replaced(&raw, "seventh signed", "7th forged"), Git::Bad), "bad");
}

#[test]
fn c006_c007_amended_with_and_without_a_signature() {
    let scene = Scene::new();
    scene.git_pgp(&[&COMMIT[..], &["-m", "first"]].concat());
    let first = scene.line(&["rev-parse", "HEAD"]);
    scene.git_pgp(&["commit", "-q", "--amend", "--allow-empty", "-S", "-m", "second"]);
    assert_ne!(scene.line(&["rev-parse", "HEAD"]), first);
    assert_eq!(scene.word(&scene.cat("commit", "HEAD"), Git::Good), "verified");
    scene.git_pgp(&["commit", "-q", "--amend", "--allow-empty", "--no-gpg-sign", "-m", "third"]);
    assert_eq!(scene.word(&scene.cat("commit", "HEAD"), Git::Bad), "unsigned");
}

#[test]
fn c008_c009_a_key_that_is_not_in_the_keyring() {
    let scene = Scene::new();
    let gpg = &scene.gpg().0;
    let stranger = gpg.generate(BORN, "nistp256", "sign,cert", "never");
    let payload = plain();
    let raw = scene.with_header(&payload, &gpg.sign(NOW, &stranger, &[], &payload));
    // GnuPG has the key, so git is content.
    assert_eq!(scene.word(&raw, Git::Good), "unknown-key");
    let elsewhere = Gpg::new();
    let foreign = elsewhere.generate(BORN, "nistp256", "sign,cert", "never");
    let raw = scene.with_header(&payload, &elsewhere.sign(NOW, &foreign, &[], &payload));
    assert_eq!(scene.word(&raw, Git::Bad), "unknown-key");
    assert!(scene.git_verifies(&raw).text.contains("NO_PUBKEY"));
    let other = scene.ssh.generate("other", "ed25519", "256");
    let raw = scene.with_header(&payload, &Ssh::sign(&other, "git", &[], &payload));
    assert_eq!(scene.word(&raw, Git::Bad), "unknown-key");
}

#[test]
fn c010_trust_is_the_keyring_s_and_not_gnupg_s() {
    let scene = Scene::new();
    let (gpg, key) = scene.gpg();
    let raw = scene.pgp_signed(&plain());
    // A GnuPG that has the key and no opinion about it.
    let neutral = Gpg::new();
    neutral.run(NOW, &["--import"], &gpg.export(key));
    scene.use_gpg(&neutral);
    let says = scene.git_verifies(&raw);
    assert!(says.good && says.text.contains("TRUST_UNDEFINED"), "{}", says.text);
    assert_eq!(scene.verdict(&raw).word, "verified");
}

/// There is no scale of trust. What comes nearest to a minimum is who a rule lists.
#[test]
fn c011_a_principal_below_what_the_rule_asks_for() {
    let (gate, alice) = Gate::production();
    let dave = Signer::ssh(&gate.sandbox, "dave", &["ed25519"]);
    gate.trust(&dave, "developers");
    gate.reload();
    let work = gate.clone_of(&gate.repository("infra/live"));
    work.commit(Some(&alice), "OPS-1: by somebody of sre");
    work.accepted(&["main"]);
    work.commit(Some(&dave), "OPS-2: by a developer");
    work.push(&["main"]).assert_refused(&["untrusted-signer"]);
}

#[test]
fn c012_a_bare_signature_header() {
    let scene = Scene::new();
    for line in ["gpgsig\n", "gpgsig \n", "gpgsig \n \n"] {
        let raw = crafted(&format!("{TREE}{AUTHOR}{COMMITTER}{line}"));
        assert_eq!(scene.word(&raw, Git::Bad), "sig.empty", "{line:?}");
    }
}

#[test]
fn c013_two_signatures_in_one_armor() {
    let scene = Scene::new();
    let (gpg, key) = scene.gpg();
    let second = gpg.generate(BORN, "nistp256", "sign,cert", "never");
    let payload = plain();
    let armor = gpg.sign(NOW, key, &["--local-user", &second], &payload);
    assert_eq!(gpg.packets(&armor).matches(":signature packet:").count(), 2);
    let raw = scene.with_header(&payload, &armor);
    assert_eq!(scene.word(&raw, Git::Bad), "sig.multiple_packets");
}

#[test]
fn c014_both_signature_headers() {
    let scene = Scene::new();
    let payload = plain();
    let raw = scene.ssh_signed(&payload);
    let wide =
        String::from_utf8(header(countersign::domain::ObjectFormat::Sha256, &scene.ssh_armor(&payload)));
    let wide = wide.unwrap();
    // Git takes both out of what it verifies, and verifies one.
    let both = replaced(&raw, "gpgsig ", format!("{wide}gpgsig "));
    assert_eq!(scene.word(&both, Git::Good), "sig.smuggled_header");
}

#[test]
fn c015_the_label_of_a_message() {
    let scene = Scene::new();
    let payload = plain();
    let armor = String::from_utf8(scene.pgp_armor(&payload)).unwrap();
    let raw = scene.with_header(&payload, armor.replace("PGP SIGNATURE", "PGP MESSAGE").as_bytes());
    assert_eq!(scene.verdict(&raw).word, "sig.label");
    let by_option = scene.verdict_by(&raw, &import());
    assert_eq!((&by_option.word[..], &by_option.findings[..]), ("verified", &["import.message_label"][..]));
    // A real message under that label, signed by the right key, is not a signature over the commit.
    let (gpg, key) = scene.gpg();
    let message = gpg.run(NOW, &["--armor", "--local-user", key, "--sign"], &payload);
    let raw = scene.with_header(&payload, &message);
    assert!(raw.windows(17).any(|window| window == b"BEGIN PGP MESSAGE"));
    assert_eq!(scene.verdict(&raw).word, "sig.label");
    assert_eq!(scene.verdict_by(&raw, &import()).word, "pgp.packet");
    // BEGIN and END have to agree.
    let mixed = armor.replacen("BEGIN PGP SIGNATURE", "BEGIN PGP MESSAGE", 1);
    let raw = scene.with_header(&payload, mixed.as_bytes());
    assert_eq!(scene.verdict_by(&raw, &import()).word, "sig.label");
}

#[test]
fn c016_c017_messages_in_other_encodings() {
    let scene = Scene::new();
    let latin = [&plain()[..], b"\xe9\xff\xfe\n"].concat();
    assert_eq!(scene.word(&scene.ssh_signed(&latin), Git::Good), "verified");
    scene.git_pgp(&[
        "-c",
        "i18n.commitEncoding=ISO-8859-1",
        "commit",
        "-q",
        "-S",
        "--allow-empty",
        "-m",
        "\u{e9}",
    ]);
    let raw = scene.cat("commit", "HEAD");
    assert!(raw.windows(21).any(|window| window == b"\nencoding ISO-8859-1\n"));
    assert_eq!(scene.word(&raw, Git::Good), "verified");
}

#[test]
fn c018_unknown_headers_are_signed_like_everything_else() {
    let scene = Scene::new();
    for line in ["change-id lqzxpwmrnokv\n", "HG:extra branch:default\n", "x-tool a\n b\n  c\n", "x \n"] {
        let payload = crafted(&format!("{TREE}{AUTHOR}{COMMITTER}{line}"));
        let raw = scene.ssh_signed(&payload);
        assert_eq!(scene.word(&raw, Git::Good), "verified", "{line}");
        assert_eq!(scene.word(&replaced(&raw, line, ""), Git::Bad), "bad", "{line}");
    }
}

/// The format is what the BEGIN line says; nothing selects it. Words of the configuration have one case.
#[test]
fn c019_words_with_odd_case() {
    let scene = Scene::new();
    let payload = plain();
    let armor = String::from_utf8(scene.ssh_armor(&payload)).unwrap();
    let odd = scene.with_header(&payload, armor.replace("BEGIN SSH", "Begin Ssh").as_bytes());
    assert_eq!(scene.word(&odd, Git::Bad), "sig.leading");
    // The relaxations for old history are for nobody to switch on.
    for line in ["merge-tags = \"Report\"", "touch = \"REQUIRED\"", "format = \"SSH\"", "import = true"] {
        let text = does_not_load(&format!("[signatures]\n{line}\n\n{PRODUCTION}"));
        assert!(text.contains(line.split(' ').next().unwrap()), "{text}");
    }
}

#[test]
fn c020_an_empty_message() {
    let scene = Scene::new();
    scene.git_pgp(&[&COMMIT[..], &["--allow-empty-message", "-m", ""]].concat());
    let raw = scene.cat("commit", "HEAD");
    assert!(raw.ends_with(b"\n\n"));
    assert_eq!(scene.word(&raw, Git::Good), "verified");
}
