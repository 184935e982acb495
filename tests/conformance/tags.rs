//! Conformance cases T: Tags.
//!
//! Rules about tags themselves (unsigned and lightweight ones, a tag under another name, tag updates) are
//! not there yet, and no rule refuses a tag for its own signature, which is verified and recorded. Such a
//! case asserts that a configuration which asks for the rule does not load, and what holds without it.

use crate::crafted::*;
use crate::keys::*;
use crate::objects::*;
use crate::support::clone::Clone;
use crate::support::gate::{Gate, PRODUCTION};
use countersign::domain::{ObjectFormat, ObjectKind};
use countersign::signature::object::parse_tag;
use countersign::signature::{self, Rules, SignatureStatus, Times, Trace};
use pgp::crypto::hash::HashAlgorithm;

const OBJECT: &str = "object 00112233445566778899aabbccddeeff00112233\n";
const TAGGER: &str = "tagger Test Key <test@example.org> 1748736000 +0000\n";

fn unsigned_tag(lines: &str, body: &str) -> Vec<u8> {
    format!("{lines}\n{body}").into_bytes()
}

fn plain_tag() -> Vec<u8> {
    unsigned_tag(&format!("{OBJECT}type commit\ntag v1\n{TAGGER}"), "release\n")
}

/// A tag with its signature by the SSH key behind it.
fn ssh_tag(scene: &Scene, payload: &[u8]) -> Vec<u8> {
    [payload, &scene.ssh_armor(payload)].concat()
}

fn pgp_tag(scene: &Scene, payload: &[u8]) -> Vec<u8> {
    [payload, &scene.pgp_armor(payload)].concat()
}

/// Commits and tags have to be signed, on the main branch and on `v*`.
fn tags_covered() -> String {
    PRODUCTION
        .replace("\"refs/heads/main\"", "\"refs/heads/main\", \"refs/tags/v*\"")
        .replace("missing-ticket = { projects = [\"OPS\"], where = [\"subject\"] }\n", "")
}

/// Writes an object into a work tree, whatever git thinks of it.
fn store(gate: &Gate, work: &Clone<'_>, kind: &str, raw: &str) -> String {
    let hash = ["hash-object", "-t", kind, "-w", "--stdin", "--literally"];
    gate.sandbox.git_with_input(&work.path, &hash, raw.as_bytes()).ok().line().to_owned()
}

/// What the record of the last push says about the signatures of its tags, outermost first.
fn recorded(gate: &Gate) -> Vec<String> {
    let decision = gate.last_decision();
    let tags = decision["tags"].as_array().unwrap_or_else(|| panic!("{decision}")).clone();
    tags.iter().map(|tag| tag["status"].as_str().unwrap_or_else(|| panic!("{tag}")).to_owned()).collect()
}

#[test]
fn t001_a_signed_tag_of_a_commit() {
    let scene = Scene::new();
    scene.git(&["commit", "-q", "--allow-empty", "-m", "base"]);
    scene.git_pgp(&["tag", "-s", "-m", "release", "pgp"]);
    scene.git_ssh(&["tag", "-s", "-m", "release", "ssh"]);
    for name in ["pgp", "ssh"] {
        let raw = scene.cat("tag", name);
        assert_eq!(scene.tag_word(&raw, Git::Good), "verified");
        let tag = parse_tag(ObjectFormat::Sha1, &raw).unwrap();
        assert_eq!((tag.name, tag.target_kind), (name.as_bytes(), ObjectKind::Commit));
        assert_eq!(tag.target.to_string(), scene.line(&["rev-parse", "HEAD"]));
    }
}

/// The rules about signatures are about commits. What an unsigned tag brings in is judged all the same.
#[test]
fn t002_t003_unsigned_and_lightweight_tags_on_a_protected_pattern() {
    let scene = Scene::new();
    assert_eq!(scene.tag_word(&plain_tag(), Git::Bad), "unsigned");
    for rule in ["unsigned-tag = true", "lightweight-tag = true"] {
        let text = does_not_load(&policy("refs/tags/v*", rule));
        assert!(text.contains(rule.split(' ').next().unwrap()), "{text}");
    }
    let (gate, alice) = Gate::with_alice(&tags_covered());
    let work = gate.clone_of(&gate.repository("app"));
    work.commit(Some(&alice), "signed");
    work.accepted(&["main"]);
    work.commit(None, "unsigned");
    work.sign(None, &["tag", "v1"]);
    work.push(&["v1"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn t004_a_fudged_tag() {
    let scene = Scene::new();
    for good in [pgp_tag(&scene, &plain_tag()), ssh_tag(&scene, &plain_tag())] {
        assert_eq!(scene.tag_word(&replaced(&good, "release", "forged!"), Git::Bad), "bad");
        assert_eq!(scene.tag_word(&replaced(&good, "tag v1", "tag v2"), Git::Bad), "bad");
        assert_eq!(scene.tag_word(&replaced(&good, "type commit", "type tree"), Git::Bad), "bad");
    }
}

/// The signature is good, git takes it, and no rule compares the names yet. The name that the tag was made
/// for is a fact, byte for byte.
#[test]
fn t005_a_tag_under_another_name() {
    let scene = Scene::new();
    scene.git(&["commit", "-q", "--allow-empty", "-m", "base"]);
    scene.git_ssh(&["tag", "-s", "-m", "release", "v1"]);
    scene.git(&["update-ref", "refs/tags/v9", "refs/tags/v1"]);
    assert!(scene.ask(&["verify-tag", "v9"]).good);
    let raw = scene.cat("tag", "refs/tags/v9");
    assert_eq!(scene.tag_verdict(&raw).word, "verified");
    assert_eq!(parse_tag(ObjectFormat::Sha1, &raw).unwrap().name, b"v1");
    let text = does_not_load(&policy("refs/tags/v*", "tag-name-mismatch = true"));
    assert!(text.contains("tag-name-mismatch"), "{text}");
}

/// One that nobody can read unambiguously refuses all. One whose signature does not verify is recorded so.
#[test]
fn t006_several_tags_and_one_of_them_bad() {
    let (gate, alice) = Gate::with_alice(&tags_covered());
    let work = gate.clone_of(&gate.repository("app"));
    work.commit(Some(&alice), "base");
    work.accepted(&["main"]);
    for name in ["v1", "v2"] {
        work.sign(Some(&alice), &["tag", "-s", "-m", name, name]);
    }
    let raw = work.git(&["cat-file", "tag", "v1"]).ok().stdout;
    let twice = store(&gate, &work, "tag", &raw.replacen("\n\nv1", &format!("\n{TAGGER}\nv1"), 1));
    // Whether git was asked for all or nothing or not, nothing of it comes in.
    for options in [&[][..], &["--atomic"]] {
        let spec = format!("{twice}:refs/tags/v3");
        let push = work.push(&[options, &["v1", "v2", &spec]].concat()).assert_refused(&["malformed-object"]);
        let text = push.text();
        assert!(text.contains("refs/tags/v3") && !text.contains("refs/tags/v1"), "{text}");
        assert_eq!(work.server("refs/tags/v1"), None);
    }
    let forged = store(&gate, &work, "tag", &raw.replacen("\n\nv1", "\n\nforged", 1));
    work.accepted(&["v1", "v2", &format!("{forged}:refs/tags/v3")]);
    let mut statuses = recorded(&gate);
    statuses.sort();
    assert_eq!(statuses, ["bad", "verified", "verified"]);
}

#[test]
fn t007_tags_of_trees_blobs_and_tags() {
    let scene = Scene::new();
    scene.git(&["commit", "-q", "--allow-empty", "-m", "base"]);
    scene.git_ssh(&["tag", "-s", "-m", "of a tree", "of-tree", "HEAD^{tree}"]);
    scene.git_ssh(&["tag", "-s", "-m", "of a blob", "of-blob", &scene.store("blob", b"x\n")]);
    scene.git_ssh(&["tag", "-s", "-m", "of a tag", "of-tag", "of-tree"]);
    let kinds = [("of-tree", ObjectKind::Tree), ("of-blob", ObjectKind::Blob), ("of-tag", ObjectKind::Tag)];
    for (name, kind) in kinds {
        let raw = scene.cat("tag", name);
        assert_eq!(scene.tag_word(&raw, Git::Good), "verified");
        assert_eq!(parse_tag(ObjectFormat::Sha1, &raw).unwrap().target_kind, kind);
    }
    let (gate, alice) = Gate::with_alice(&tags_covered());
    let work = gate.clone_of(&gate.repository("app"));
    work.commit(Some(&alice), "base");
    work.accepted(&["main"]);
    work.sign(Some(&alice), &["tag", "-s", "-m", "inner", "v-inner"]);
    work.sign(Some(&alice), &["tag", "-s", "-m", "outer", "v-outer", "v-inner"]);
    work.accepted(&["v-outer"]);
    // Each level is verified, not the outermost alone.
    let raw = work.git(&["cat-file", "tag", "v-inner"]).ok().stdout;
    let forged = store(&gate, &work, "tag", &raw.replacen("\n\ninner", "\n\nforged", 1));
    work.sign(Some(&alice), &["tag", "-s", "-m", "outer", "v-other", &forged]);
    work.accepted(&["v-other"]);
    assert_eq!(recorded(&gate), ["verified", "bad"]);

    // What is no commit has no signature of its own: the tag that names it has to have one.
    let blob = store(&gate, &work, "blob", "content\n");
    for (name, object) in [("v-tree", "HEAD^{tree}"), ("v-blob", &blob[..])] {
        work.sign(None, &["tag", name, object]);
        let push = work.push(&[name]).assert_refused(&["unsigned-commit", "untrusted-signer"]);
        assert!(push.text().contains("and not to a commit, without a tag"), "{}", push.text());
        work.sign(None, &["tag", "-f", "-a", "-m", "unsigned", name, object]);
        work.push(&[name]).assert_refused(&["unsigned-commit", "untrusted-signer"]);
        work.sign(Some(&alice), &["tag", "-f", "-s", "-m", "signed", name, object]);
        work.accepted(&[name]);
    }
    let mallory = crate::support::signers::Signer::ssh(&gate.sandbox, "mallory", &["ed25519"]);
    work.sign(Some(&mallory), &["tag", "-s", "-m", "signed", "v-more", "HEAD^{tree}"]);
    work.push(&["v-more"]).assert_refused(&["unsigned-commit", "untrusted-signer"]);
}

#[test]
fn t008_a_marker_in_the_message() {
    let scene = Scene::new();
    let lines = format!("{OBJECT}type commit\ntag v1\n{TAGGER}");
    for body in [
        "-----BEGIN PGP MESSAGE-----\n\nquoted\n-----END PGP MESSAGE-----\nrelease\n",
        "-----BEGIN PGP SIGNATURE-----\nis how a signature begins\n",
        "-----BEGIN SSH SIGNATURE----- and more\n",
    ] {
        let raw = pgp_tag(&scene, &unsigned_tag(&lines, body));
        assert_eq!(scene.tag_word(&raw, Git::Good), "verified", "{body}");
        assert_eq!(scene.tag_verdict(&raw).findings, ["tag.embedded_marker"]);
        assert!(parse_tag(ObjectFormat::Sha1, &raw).unwrap().message == body.as_bytes());
    }
    let indented = ssh_tag(&scene, &unsigned_tag(&lines, " -----BEGIN PGP MESSAGE-----\n"));
    assert!(scene.tag_verdict(&indented).findings.is_empty());
}

/// Git verifies the lower signature, a reader that looks for the first BEGIN the upper one.
#[test]
fn t009_two_signatures() {
    let scene = Scene::new();
    let once = ssh_tag(&scene, &plain_tag());
    assert_eq!(scene.tag_word(&ssh_tag(&scene, &once), Git::Good), "sig.multiple_blocks");
    assert_eq!(scene.tag_word(&pgp_tag(&scene, &once), Git::Good), "sig.multiple_blocks");
    let same = [&once[..], &scene.ssh_armor(&plain_tag())].concat();
    assert_eq!(scene.tag_word(&same, Git::Bad), "sig.multiple_blocks");
}

/// What programs of that time wrote: the label of a message. (GnuPG makes no such signatures any more.)
#[test]
fn t010_the_old_label() {
    let scene = Scene::new();
    let armor = String::from_utf8(scene.pgp_armor(&plain_tag())).unwrap();
    let raw = [&plain_tag()[..], armor.replace("PGP SIGNATURE", "PGP MESSAGE").as_bytes()].concat();
    assert_eq!(scene.tag_verdict(&raw).word, "sig.label");
    assert_eq!(scene.tag_verdict_by(&raw, &import()).findings, ["import.message_label"]);
}

#[test]
fn t011_t014_keys_that_are_not_in_the_keyring() {
    let scene = Scene::new();
    let elsewhere = Gpg::new();
    let stranger = elsewhere.generate(BORN, "ed25519", "sign,cert", "never");
    let payload = plain_tag();
    let raw = [&payload[..], &elsewhere.sign(NOW, &stranger, &[], &payload)].concat();
    let _ = scene.gpg();
    assert_eq!(scene.tag_word(&raw, Git::Bad), "unknown-key");
    let other = scene.ssh.generate("other", "ed25519", "256");
    let raw = [&payload[..], &Ssh::sign(&other, "git", &[], &payload)].concat();
    assert_eq!(scene.tag_word(&raw, Git::Bad), "unknown-key");
}

/// CMS is recognised and not verified yet.
#[test]
fn t012_an_x509_signature() {
    let scene = Scene::new();
    let armor = b"-----BEGIN SIGNED MESSAGE-----\nMIIB\n-----END SIGNED MESSAGE-----\n";
    let raw = [&plain_tag()[..], armor].concat();
    assert_eq!(scene.tag_verdict(&raw).word, "unsupported");
}

/// An SSH key has its time from the keyring.
#[test]
fn t013_ssh_signed_tags_in_and_out_of_the_key_s_time() {
    let (gate, alice) = Gate::with_alice(&tags_covered());
    let work = gate.clone_of(&gate.repository("app"));
    work.commit(Some(&alice), "base");
    work.accepted(&["main"]);
    work.sign(Some(&alice), &["tag", "-s", "-m", "release", "v1"]);
    let file = gate.home.join("keyring/alice.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let with = |line: &str| {
        let changed = text.replacen("[[key]]\n", &format!("[[key]]\n{line}\n"), 1);
        assert_ne!(changed, text);
        std::fs::write(&file, changed).unwrap();
        gate.reload();
    };
    for (line, status) in [
        ("valid-until = 2026-01-01T00:00:00Z", "expired"),
        ("valid-from = 2999-01-01T00:00:00Z", "not-yet-valid"),
        ("valid-from = 2020-01-01T00:00:00Z\nvalid-until = 2999-01-01T00:00:00Z", "verified"),
    ] {
        with(line);
        work.accepted(&[&format!("v1:refs/tags/v-{status}")]);
        assert_eq!(recorded(&gate), [status]);
    }
}

#[test]
fn t015_text_behind_the_signature() {
    let scene = Scene::new();
    for good in [pgp_tag(&scene, &plain_tag()), ssh_tag(&scene, &plain_tag())] {
        let raw = [&good[..], b"shown as part of the tag\n"].concat();
        assert_eq!(scene.tag_word(&raw, Git::Good), "sig.trailing");
        let rules = Rules { trailing_timestamps: true, ..import() };
        assert_eq!(scene.tag_verdict_by(&raw, &rules).word, "sig.trailing");
        // An OpenTimestamps block, too: it is for the header of a commit, where nobody is shown it.
        let block = b"-----BEGIN OPENTIMESTAMPS GIT TIMESTAMP-----\n\nAAAA\n\
            -----END OPENTIMESTAMPS GIT TIMESTAMP-----\n";
        let raw = [&good[..], block].concat();
        assert_eq!(scene.tag_verdict_by(&raw, &rules).word, "sig.trailing");
    }
}

#[test]
fn t016_t017_signature_headers_in_a_tag() {
    let scene = Scene::new();
    let good = ssh_tag(&scene, &plain_tag());
    // Git takes the one out before it verifies, and not the other.
    for (line, git) in [("gpgsig-sha256 x\n", Git::Good), ("gpgsig-evil x\n", Git::Bad)] {
        let raw = replaced(&good, "+0000\n\n", format!("+0000\n{line}\n"));
        assert_eq!(scene.tag_word(&raw, git), "sig.smuggled_header", "{line}");
        assert_eq!(scene.tag_verdict_by(&raw, &import()).word, "sig.smuggled_header");
    }
}

#[test]
fn t018_headers_twice() {
    let scene = Scene::new();
    for (line, wanted) in [
        ("tag v1\n", "obj.dup_header"),
        (TAGGER, "obj.dup_header"),
        ("type commit\n", "obj.dup_header"),
        (OBJECT, "obj.dup_header"),
        ("x y\n", "obj.bad_header"),
    ] {
        let lines = format!("{OBJECT}type commit\ntag v1\n{TAGGER}{line}");
        let raw = ssh_tag(&scene, &unsigned_tag(&lines, "release\n"));
        assert_eq!(scene.tag_word(&raw, Git::Good), wanted, "{line}");
    }
}

#[test]
fn t019_t020_t021_t022_what_a_tag_says_and_what_is_there() {
    let (gate, alice) = Gate::with_alice(&tags_covered());
    let work = gate.clone_of(&gate.repository("app"));
    let head = work.commit(Some(&alice), "base");
    work.accepted(&["main"]);
    let tree = work.id("HEAD^{tree}");
    let tag = |object: &str, kind: &str| format!("object {object}\ntype {kind}\ntag v1\n{TAGGER}\nrelease\n");

    // It calls a tree a commit. Git itself refuses before the gate is asked, or the gate does.
    let id = store(&gate, &work, "tag", &tag(&tree, "commit"));
    let push = work.push(&[&format!("{id}:refs/tags/v1")]);
    assert!(!push.ran.status.success() && work.server("refs/tags/v1").is_none());
    let id = store(&gate, &work, "tag", &tag(&head, "tree"));
    let push = work.push(&[&format!("{id}:refs/tags/v1")]);
    assert!(!push.ran.status.success() && work.server("refs/tags/v1").is_none());

    // Its object is not there: git does not even send such a thing, and would not take it.
    let id = store(&gate, &work, "tag", &tag("00112233445566778899aabbccddeeff00112233", "commit"));
    let push = work.push(&[&format!("{id}:refs/tags/v1")]);
    assert!(!push.ran.status.success() && work.server("refs/tags/v1").is_none());

    // Five levels.
    let mut name = "HEAD".to_owned();
    for level in 1..=5 {
        work.sign(Some(&alice), &["tag", "-s", "-m", "nested", &format!("v-level{level}"), &name]);
        name = format!("v-level{level}");
    }
    work.accepted(&["v-level4"]);
    work.push(&["v-level5"]).assert_refused(&["push-too-large"]);

    // A tag object on a branch, covered or not: git refuses it as well, once the hook has had its say.
    for branch in ["refs/heads/main", "refs/heads/topic"] {
        let before = work.server(branch);
        let push = work.push(&["--force", &format!("v-level1:{branch}")]);
        assert!(push.rules().contains("malformed-update"), "{}", push.text());
        assert!(push.text().contains("which is a tag"), "{}", push.text());
        assert_eq!(work.server(branch), before);
    }
}

#[test]
fn t023_a_tag_without_a_tagger() {
    let scene = Scene::new();
    let payload = unsigned_tag(&format!("{OBJECT}type commit\ntag v0.99\n"), "ancient\n");
    let raw = pgp_tag(&scene, &payload);
    assert_eq!(scene.tag_word(&raw, Git::Bad), "obj.misplaced_header");
    let old = scene.tag_verdict_by(&raw, &import());
    assert_eq!((&old.word[..], &old.findings[..]), ("verified", &["import.no_tagger"][..]));
    assert_eq!(scene.tag_verdict_by(&replaced(&raw, "ancient", "forged!"), &import()).word, "bad");
    // Its time is the one that the signature claims; an SSH signature claims none.
    let ssh = ssh_tag(&scene, &payload);
    assert_eq!(scene.tag_verdict_by(&ssh, &import()).word, "time.zero");
    assert_eq!(scene.tag_verdict_by(&payload, &import()).word, "unsigned");
    // That time is no way out for a key that is gone.
    let (gpg, key) = scene.gpg();
    let short = gpg.generate(BORN, "nistp256", "sign,cert", "30d");
    let late = [&payload[..], &gpg.sign(BORN + DAY, &short, &[], &payload)].concat();
    let mut keys = scene.keys();
    keys.openpgp.extend(KeyBox::openpgp(&gpg.export(&short)).openpgp);
    assert_ne!(short, *key);
    assert_eq!(tag_verdict(scene.format, &late, &keys, &import()).word, "expired");
    // History that nobody anchored asks with that time alone.
    let tag = signature::object::parse_tag_by(scene.format, &late, &import(), &mut Trace::off()).unwrap();
    assert_eq!(tag.time(), BORN + DAY);
    let times = Times { object: tag.time(), received: None, now: at(NOW) };
    let status = signature::judge(&tag.signature, &tag.payload, &keys, times, &import(), &mut Trace::off());
    assert!(matches!(status, SignatureStatus::Verified(_)), "{status}");
}

/// Signatures of version 3, by hand: GnuPG makes none any more. In a push they do not count; in history that
/// predates the gate they are judged by every other rule there is, and told (O2, T8).
#[test]
fn t024_a_signature_of_version_3() {
    use ed25519_dalek::Signer;
    let (scene, payload) = (Scene::new(), plain_tag());
    let key = CraftedKey::new(24, BORN);
    let mut keys = scene.keys();
    keys.openpgp.extend(KeyBox::openpgp(&simple(&key, BORN)).openpgp);
    let Secret::Ed25519(secret) = &key.secret else { panic!("an Ed25519 key") };
    // Type and time are all of it that is signed.
    let tag = |kind: u8, time: i64, hash: HashAlgorithm, data: &[u8]| {
        let fields = [&[kind][..], &u32::try_from(time).unwrap().to_be_bytes()].concat();
        let digest = hash.digest(&[data, &fields].concat()).unwrap();
        let head = [&[3, 5][..], &fields, &key.key_id(), &[ED25519, hash.into()], &digest[..2]].concat();
        let body = [&head[..], &secret.sign(&digest).to_bytes()].concat();
        [&payload[..], &signature_armor(&packet(2, &body))].concat()
    };
    let word = |raw: &[u8], rules: &Rules| tag_verdict(scene.format, raw, &keys, rules).word;
    let raw = tag(0, NOW, HashAlgorithm::Sha256, &payload);
    assert_eq!(word(&raw, &Rules::default()), "unsupported");
    let old = tag_verdict(scene.format, &raw, &keys, &import());
    let proof = old.proof.expect("it counts in history");
    assert_eq!(proof.findings().iter().map(|one| one.code).collect::<Vec<_>>(), ["import.version_3"]);
    assert_eq!((proof.fingerprint(), proof.signed_at()), (&key.hex()[..], Some(at(NOW))));
    let text = Rules { text_signatures: true, ..import() };
    for (raw, rules, wanted) in [
        (replaced(&raw, "release", "rebased"), import(), "bad"),
        (tag(0, NOW, HashAlgorithm::Sha256, b"another object"), import(), "bad"),
        (tag(0, NOW, HashAlgorithm::Sha1, &payload), import(), "weak-algorithm"),
        (tag(0, NOW, HashAlgorithm::Md5, &payload), import(), "weak-algorithm"),
        (tag(0, NOW + DAY, HashAlgorithm::Sha256, &payload), import(), "not-yet-valid"),
        (tag(0, NOW - 2 * DAY, HashAlgorithm::Sha256, &payload), import(), "time.skew"),
        (tag(0, BORN - DAY, HashAlgorithm::Sha256, &payload), import(), "not-yet-valid"),
        (tag(0x10, NOW, HashAlgorithm::Sha256, &payload), text.clone(), "pgp.type"),
        (tag(1, NOW, HashAlgorithm::Sha256, &payload), import(), "unsupported"),
    ] {
        assert_eq!(word(&raw, &rules), wanted);
    }
    // Nobody's key, and a key that is revoked.
    assert_eq!(tag_verdict(scene.format, &raw, &scene.keys(), &import()).word, "unknown-key");
    let revoked = KeyBox::openpgp(&[simple(&key, BORN), revoked(&key, NOW - DAY, None)].concat());
    assert_eq!(tag_verdict(scene.format, &raw, &revoked, &import()).word, "revoked");
}

/// No rule is about movements of tags alone: a tag that stays on its commit moves freely. One that does not
/// move forwards is a forced update, and `ref-deletion` is for every ref that the ruleset covers.
#[test]
fn t025_t026_tags_that_move_and_go() {
    let text = does_not_load(&policy("refs/tags/v*", "tag-update = true"));
    assert!(text.contains("tag-update"), "{text}");
    let (gate, alice) = Gate::with_alice(&tags_covered());
    let work = gate.clone_of(&gate.repository("app"));
    work.commit(Some(&alice), "base");
    work.commit(Some(&alice), "next");
    work.sign(Some(&alice), &["tag", "-s", "-m", "release", "v1"]);
    work.accepted(&["main", "v1"]);
    work.sign(Some(&alice), &["tag", "-f", "-s", "-m", "release, again", "v1"]);
    work.accepted(&["--force", "v1"]);
    let before = work.server("refs/tags/v1");
    work.sign(Some(&alice), &["tag", "-f", "-s", "-m", "the old one", "v1", "HEAD~1"]);
    work.push(&["--force", "v1"]).assert_refused(&["force-push"]);
    work.push(&[":refs/tags/v1"]).assert_refused(&["ref-deletion"]);
    assert_eq!(work.server("refs/tags/v1"), before);
}

#[test]
fn t027_a_tag_s_signature_elsewhere() {
    let scene = Scene::new();
    let good = ssh_tag(&scene, &plain_tag());
    // The bytes of a signed tag are no commit, whatever kind they are stored as.
    assert_eq!(scene.verdict(&good).word, "obj.misplaced_header");
    assert_eq!(scene.tag_verdict(&scene.ssh_signed(&plain())).word, "obj.bad_header");
    // And its signature is over other bytes than a commit's.
    let moved = scene.with_header(&plain(), &scene.ssh_armor(&plain_tag()));
    assert_eq!(scene.word(&moved, Git::Bad), "bad");
}

#[test]
fn t028_the_name_byte_for_byte() {
    let scene = Scene::new();
    for (name, wanted) in [("v1\n ", "obj.bad_header"), ("v1\r", "obj.cr_header"), ("", "obj.bad_header")] {
        let lines = format!("{OBJECT}type commit\ntag {name}\n{TAGGER}");
        assert_eq!(
            scene.tag_verdict(&ssh_tag(&scene, &unsigned_tag(&lines, "r\n"))).word,
            wanted,
            "{name:?}"
        );
    }
    for name in ["release/v1", "v1 ", " v1", "refs/tags/v1", "V1"] {
        let lines = format!("{OBJECT}type commit\ntag {name}\n{TAGGER}");
        let raw = ssh_tag(&scene, &unsigned_tag(&lines, "r\n"));
        assert_eq!(scene.tag_verdict(&raw).word, "verified", "{name:?}");
        assert_eq!(parse_tag(ObjectFormat::Sha1, &raw).unwrap().name, name.as_bytes());
    }
}

#[test]
fn t029_a_carriage_return_before_the_marker() {
    let scene = Scene::new();
    let payload = plain_tag();
    let raw = [&payload[..], b"\r", &scene.ssh_armor(&payload)].concat();
    assert_eq!(scene.tag_word(&raw, Git::Bad), "unsigned");
    assert_eq!(scene.tag_verdict_by(&raw, &import()).word, "unsigned");
    let crlf = [&payload[..], b"\r\n", &scene.ssh_armor(&payload)].concat();
    assert_eq!(scene.tag_word(&crlf, Git::Bad), "bad");
}
