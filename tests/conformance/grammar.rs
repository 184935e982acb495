//! Conformance cases G: Object grammar, adversarial.
//!
//! Most objects are signed over as they are by the right key: what is refused is refused although the
//! signature is right. `Git` is the verdict of `git verify-commit` on the same bytes.

use crate::keys::*;
use crate::objects::*;
use crate::support::gate::{Gate, PRODUCTION};
use countersign::domain::{ObjectFormat, ObjectId};
use countersign::git::verify_commit_id;
use countersign::signature::Rules;
use countersign::signature::object::{parents_lenient, parse_commit};
use data_encoding::{BASE64, HEXLOWER};
use std::time::{Duration, Instant};

/// Header lines, signed over as they are.
fn over(scene: &Scene, lines: &str) -> Vec<u8> {
    scene.ssh_signed(&crafted(lines))
}

/// A signature header with something else about its armor.
fn armored(scene: &Scene, change: impl Fn(&str) -> String) -> Vec<u8> {
    let payload = plain();
    let armor = String::from_utf8(scene.ssh_armor(&payload)).unwrap();
    let changed = change(&armor);
    assert_ne!(armor, changed);
    scene.with_header(&payload, changed.as_bytes())
}

/// The same by the OpenPGP key.
fn pgp_armored(scene: &Scene, change: impl Fn(&str) -> String) -> Vec<u8> {
    let payload = plain();
    let armor = String::from_utf8(scene.pgp_armor(&payload)).unwrap();
    let changed = change(&armor);
    assert_ne!(armor, changed);
    scene.with_header(&payload, changed.as_bytes())
}

#[test]
fn g001_g002_g003_smuggled_headers() {
    let scene = Scene::new();
    let good = scene.ssh_signed(&plain());
    for line in ["gpgsigfoo payload\n", "gpgsig-sha256 junk\n", "gpgsigfoo a\n b\n"] {
        let before = replaced(&good, "gpgsig ", format!("{line}gpgsig "));
        assert_eq!(scene.word(&before, Git::Good), "sig.smuggled_header", "{line}");
        let after = replaced(&good, "\n\n", format!("\n{line}\n"));
        assert_eq!(scene.word(&after, Git::Good), "sig.smuggled_header", "{line}");
    }
}

#[test]
fn g004_a_sha256_repository_has_its_own_header() {
    let scene = Scene::of(ObjectFormat::Sha256);
    let tree = "tree 6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321\n";
    let good = over(&scene, &format!("{tree}{AUTHOR}{COMMITTER}"));
    assert_eq!(scene.word(&good, Git::Good), "verified");
    let wrong = replaced(&good, "gpgsig-sha256 ", "gpgsig ");
    assert_eq!(scene.word(&wrong, Git::Bad), "sig.smuggled_header");
    let both = replaced(&good, "gpgsig-sha256 ", "gpgsig junk\ngpgsig-sha256 ");
    assert_eq!(scene.word(&both, Git::Good), "sig.smuggled_header");
    // And the other way round.
    let scene = Scene::new();
    let wrong = replaced(&scene.ssh_signed(&plain()), "gpgsig ", "gpgsig-sha256 ");
    assert_eq!(scene.word(&wrong, Git::Bad), "sig.smuggled_header");
}

/// Real git signs commits and a tag in a SHA-256 repository and pushes them.
#[test]
fn g004_sha256_end_to_end() {
    let both = PRODUCTION.replace("\"refs/heads/main\"", "\"refs/heads/main\", \"refs/tags/v*\"");
    let (gate, alice) = Gate::with_alice(&both);
    let bare = gate.repository_with("wide", &["--object-format=sha256"]);
    let work = gate.clone_of(&bare);
    let id = work.commit(Some(&alice), "OPS-1: wide");
    assert_eq!(id.len(), 64);
    let raw = work.git(&["cat-file", "commit", "HEAD"]).ok().stdout;
    assert!(raw.contains("\ngpgsig-sha256 -----BEGIN SSH SIGNATURE-----\n"), "{raw}");
    work.sign(Some(&alice), &["tag", "-s", "-m", "OPS-1: release", "v1"]);
    work.accepted(&["main", "v1"]);
    let narrow = raw.replacen("gpgsig-sha256 ", "gpgsig ", 1);
    let forged = gate.sandbox.git_with_input(
        &work.path,
        &["hash-object", "-t", "commit", "-w", "--stdin", "--literally"],
        narrow.as_bytes(),
    );
    let refspec = format!("{}:main", forged.ok().line());
    let push = work.push(&["--force", &refspec]);
    assert!(push.rules().contains("bad-signature"), "{}", push.text());
    work.commit(None, "OPS-2: unsigned");
    work.push(&["main"]).assert_refused(&["unsigned-commit"]);
}

#[test]
fn g005_g006_the_name_of_the_header() {
    let scene = Scene::new();
    let good = scene.ssh_signed(&plain());
    assert_eq!(scene.word(&replaced(&good, "gpgsig ", "gpgsig\t"), Git::Bad), "obj.bad_header");
    let loud = over(&scene, &format!("{TREE}{AUTHOR}{COMMITTER}GPGSIG x\n"));
    assert_eq!(scene.word(&loud, Git::Good), "verified");
    assert_eq!(scene.word(&replaced(&loud, "GPGSIG x", "GPGSIG y"), Git::Bad), "bad");
    assert_eq!(scene.word(&replaced(&good, "gpgsig ", "GPGSIG "), Git::Bad), "unsigned");
}

#[test]
fn g007_g008_g009_g010_more_than_one_signature_header() {
    let scene = Scene::new();
    for (signed, git) in [(scene.ssh_signed(&plain()), Git::Good), (scene.pgp_signed(&plain()), Git::Bad)] {
        let text = String::from_utf8(signed).unwrap();
        let start = text.find("gpgsig ").unwrap();
        let end = text.find("\n\n").unwrap() + 1;
        let one = &text[start..end];
        let twice = text.replacen(one, &format!("{one}{one}"), 1);
        assert_eq!(scene.word(twice.as_bytes(), git), "sig.multiple_headers");
        // Nothing of this is the form of 2011, which has headers of one line.
        assert_eq!(scene.verdict_by(twice.as_bytes(), &import()).word, "sig.multiple_headers");
        let apart = text.replacen(one, &format!("{one}x y\n{one}"), 1);
        assert_eq!(scene.word(apart.as_bytes(), Git::Bad), "sig.multiple_headers");
        let garbage = text.replacen(one, &format!("gpgsig garbage\n{one}"), 1);
        assert_eq!(scene.word(garbage.as_bytes(), Git::Bad), "sig.multiple_headers");
        assert_eq!(scene.verdict_by(garbage.as_bytes(), &import()).word, "sig.multiple_headers");
    }
}

#[test]
fn g011_a_signature_header_between_tree_and_author() {
    let scene = Scene::new();
    let payload = plain();
    let header = String::from_utf8(header(scene.format, &scene.ssh_armor(&payload))).unwrap();
    for place in ["author ", "committer ", "tree "] {
        let raw = replaced(&payload, place, format!("{header}{place}"));
        let (git, word) = match place {
            // Git reads no commit that does not begin with its tree.
            "tree " => (Git::Bad, "obj.misplaced_header"),
            _ => (Git::Good, "sig.misplaced_header"),
        };
        assert_eq!(scene.word(&raw, git), word, "{place}");
    }
    assert!(!scene.fsck("commit", &replaced(&payload, "author ", format!("{header}author "))).good);
}

#[test]
fn g012_g013_continuation_lines() {
    let scene = Scene::new();
    let good = scene.ssh_signed(&plain());
    assert_eq!(scene.word(&replaced(&good, "\n U1NI", "\n  U1NI"), Git::Good), "sig.armor");
    let wide = scene.pgp_signed(&plain());
    assert_eq!(scene.word(&replaced(&wide, "\n \n ", "\n \n  "), Git::Good), "sig.armor");
    let first = over(&scene, &format!(" x\n{TREE}{AUTHOR}{COMMITTER}"));
    assert_eq!(scene.word(&first, Git::Bad), "obj.bad_header");
}

#[test]
fn g014_g015_g016_g017_headers_twice_or_out_of_order() {
    let scene = Scene::new();
    for (lines, wanted) in [
        (format!("{TREE}{TREE}{AUTHOR}{COMMITTER}"), "obj.dup_header"),
        (format!("{TREE}{AUTHOR}{COMMITTER}{TREE}"), "obj.dup_header"),
        (format!("{TREE}{AUTHOR}{COMMITTER}{AUTHOR}"), "obj.dup_header"),
        (format!("{TREE}{AUTHOR}{COMMITTER}{COMMITTER}"), "obj.dup_header"),
        (format!("{TREE}{AUTHOR}{COMMITTER}{PARENT}"), "obj.misplaced_header"),
        (format!("{TREE}{AUTHOR}{COMMITTER}x y\n{PARENT}"), "obj.misplaced_header"),
    ] {
        assert_eq!(scene.word(&over(&scene, &lines), Git::Good), wanted, "{lines}");
    }
}

#[test]
fn g018_g019_missing_lines() {
    let scene = Scene::new();
    for (lines, git) in [
        (format!("{TREE}{AUTHOR}"), Git::Bad),
        (format!("{TREE}{COMMITTER}"), Git::Good),
        (format!("{AUTHOR}{COMMITTER}"), Git::Bad),
    ] {
        assert_eq!(scene.word(&over(&scene, &lines), git), "obj.misplaced_header", "{lines}");
    }
}

#[test]
fn g020_g021_g022_nul_bytes() {
    let scene = Scene::new();
    let header = over(&scene, &format!("{TREE}{AUTHOR}{COMMITTER}x a\0b\n"));
    assert_eq!(scene.word(&header, Git::Good), "obj.nul");
    let body = scene.ssh_signed(&replaced(&plain(), "message", "shown\0hidden"));
    assert_eq!(scene.word(&body, Git::Good), "obj.nul");
    assert!(!scene.fsck("commit", &body).good, "fsck knows it as nulInCommit");
    let appended = [&scene.ssh_signed(&plain())[..], b"\0"].concat();
    assert_eq!(scene.word(&appended, Git::Bad), "obj.nul");
}

#[test]
fn g023_g024_the_body() {
    let scene = Scene::new();
    let good = scene.ssh_signed(&plain());
    assert_eq!(scene.word(&replaced(&good, "\n\nmessage\n", "\n\n"), Git::Bad), "bad");
    let inside = [&plain()[..], &scene.ssh_armor(&plain())].concat();
    assert_eq!(scene.word(&inside, Git::Bad), "unsigned");
}

#[test]
fn g025_g026_line_ends_in_the_body() {
    let scene = Scene::new();
    let crlf = replaced(&plain(), "message\n", "message\r\n");
    assert_eq!(scene.word(&scene.ssh_signed(&crlf), Git::Good), "verified");
    for good in [scene.ssh_signed(&plain()), scene.pgp_signed(&plain())] {
        assert_eq!(scene.word(&replaced(&good, "message\n", "message\r\n"), Git::Bad), "bad");
    }
}

#[test]
fn g027_a_text_signature_does_not_hold_the_line_ends() {
    let scene = Scene::new();
    let (gpg, key) = scene.gpg();
    let payload = plain();
    let good = scene.with_header(&payload, &gpg.sign(NOW, key, &["--textmode"], &payload));
    let changed = replaced(&good, "message\n", "message\r\n");
    // For git both are good: two objects, one signature.
    assert_ne!(scene.word(&good, Git::Good), "verified");
    assert_ne!(scene.word(&changed, Git::Good), "verified");
    let rules = Rules { text_signatures: true, ..Rules::default() };
    assert_ne!(scene.verdict_by(&changed, &rules).word, "verified");
}

#[test]
fn g028_g029_g031_g032_g033_text_around_the_armor() {
    let scene = Scene::new();
    type Armored = fn(&Scene, fn(&str) -> String) -> Vec<u8>;
    let (ssh, pgp): (Armored, Armored) = (|s, c| armored(s, c), |s, c| pgp_armored(s, c));
    for make in [ssh, pgp] {
        let trailing = make(&scene, |armor| format!("{armor}unsigned text\n"));
        assert_eq!(scene.word(&trailing, Git::Good), "sig.trailing");
        let done = make(&scene, |armor| format!("{armor}Sign completed\n"));
        assert_eq!(scene.word(&done, Git::Good), "sig.trailing");
        let leading = make(&scene, |armor| format!("unsigned text\n{armor}"));
        assert_eq!(scene.word(&leading, Git::Bad), "sig.leading");
        for raw in [&trailing, &done, &leading] {
            let rules = Rules { trailing_timestamps: true, ..import() };
            assert_ne!(scene.verdict_by(raw, &rules).word, "verified");
        }
    }
    let none = scene.with_header(&plain(), b"iQEzBAABCAAdFiEE\n");
    assert_eq!(scene.word(&none, Git::Bad), "sig.leading");
    assert_eq!(scene.verdict_by(&none, &import()).word, "sig.leading");
}

#[test]
fn g030_an_opentimestamps_block_behind_the_signature() {
    let scene = Scene::new();
    let raw = pgp_armored(&scene, |armor| {
        format!(
            "{armor}-----BEGIN OPENTIMESTAMPS GIT TIMESTAMP-----\n\nAQDwEPyUcFjpQf0P0ntz\nAIPf4w0u\n\
             -----END OPENTIMESTAMPS GIT TIMESTAMP-----\n"
        )
    });
    assert_eq!(scene.word(&raw, Git::Good), "sig.trailing");
    let rules = Rules { trailing_timestamps: true, ..Rules::default() };
    let by_option = scene.verdict_by(&raw, &rules);
    assert_eq!(
        (&by_option.word[..], &by_option.findings[..]),
        ("verified", &["sig.trailing_timestamps"][..])
    );
    assert_eq!(scene.verdict_by(&raw, &import()).word, "sig.trailing", "an option of its own");
    let more = replaced(&raw, "GIT TIMESTAMP-----\n\n", "GIT TIMESTAMP-----\n more\n\n");
    assert_eq!(scene.verdict_by(&more, &rules).word, "sig.trailing");
    assert_eq!(scene.verdict_by(&replaced(&raw, "message", "forged"), &rules).word, "bad");
}

#[test]
fn g034_the_form_of_2011() {
    let scene = Scene::new();
    let payload = plain();
    for (armor, says) in [(scene.pgp_armor(&payload), "verified"), (scene.ssh_armor(&payload), "verified")] {
        let armor = String::from_utf8(armor).unwrap();
        let lines: String = armor.lines().map(|line| format!("gpgsig {line}\n")).collect();
        let raw = replaced(&payload, "\n\n", format!("\n{lines}\n"));
        assert_eq!(scene.word(&raw, Git::Good), "sig.multiple_headers");
        let old = scene.verdict_by(&raw, &import());
        assert_eq!((&old.word[..], &old.findings[..]), (says, &["import.repeated_header"][..]));
        for (from, to) in [
            // Something between the lines, a folded line, one more line, other text.
            ("gpgsig -----END", "x y\ngpgsig -----END"),
            ("\ngpgsig -----END", "\n -----END"),
            ("\n\nmessage", "\ngpgsig more\n\nmessage"),
            ("\n\nmessage", "\ngpgsig-sha256 more\n\nmessage"),
            ("message", "forged"),
        ] {
            let changed = replaced(&raw, from, to);
            assert_ne!(scene.verdict_by(&changed, &import()).word, "verified", "{to}");
        }
    }
}

#[test]
fn g035_g036_g037_dates() {
    let scene = Scene::new();
    let of =
        |stamp: &str| over(&scene, &format!("{TREE}{AUTHOR}committer Test Key <test@example.org>{stamp}\n"));
    assert_eq!(scene.word(&of(" -1 +0000"), Git::Good), "obj.bad_date");
    assert_eq!(scene.word(&of(""), Git::Good), "obj.bad_date");
    assert_eq!(scene.word(&of(" 1748736000"), Git::Good), "obj.bad_date");
    for huge in [" 18446744073709551616 +0000", " 99999999999999999999999 +0000"] {
        let raw = of(huge);
        assert_eq!(scene.verdict(&raw).word, "obj.bad_date");
        let says = scene.git_verifies(&raw);
        assert!(!says.good, "{}", says.text);
    }
    for odd in [" 253402300800 +0000", " 01748736000 +0000", " 1748736000 UTC", " +1748736000 +0000"] {
        assert_eq!(scene.verdict(&of(odd)).word, "obj.bad_date", "{odd}");
    }
}

#[test]
fn g038_the_second_zero() {
    let scene = Scene::new();
    let who = "Test Key <test@example.org> 0 +0000\n";
    let raw = over(&scene, &format!("{TREE}author {who}committer {who}"));
    assert_eq!(scene.word(&raw, Git::Good), "time.zero");
}

/// A second `<` gives a line two addresses: git shows that of the first pair, G13 would take the last. The
/// gate refuses the line, because whoever reads the log would be shown somebody else than was judged.
#[test]
fn g039_a_second_pair_of_brackets() {
    let scene = Scene::new();
    for (who, shown) in [
        ("Boss <boss@corp.example> <test@example.org>", "boss@corp.example"),
        ("A <B <test@example.org>", "B <test@example.org"),
        ("A <boss@corp.example> x>", "boss@corp.example"),
        ("A <boss@corp.example>> <test@example.org>", "boss@corp.example"),
    ] {
        let line = format!("{who} 1748736000 +0000\n");
        let raw = over(&scene, &format!("{TREE}author {line}committer {line}"));
        assert_eq!(scene.word(&raw, Git::Good), "obj.bad_ident", "{who}");
        let id = scene.store("commit", &raw);
        assert_eq!(scene.line(&["log", "-1", "--format=%ce", &id]), shown, "{who}");
        assert_eq!(scene.verdict_by(&raw, &import()).word, "obj.bad_ident");
    }
    // One pair, one address, byte for byte.
    let line = "A \"B\" (c) <t\u{e9}st@example.org> 1748736000 +0000\n";
    let raw = over(&scene, &format!("{TREE}author {line}committer {line}"));
    assert_eq!(scene.word(&raw, Git::Good), "verified");
    let commit = parse_commit(ObjectFormat::Sha1, &raw).unwrap();
    assert_eq!(commit.committer.email, "t\u{e9}st@example.org".as_bytes());
}

#[test]
fn g040_terminal_escapes_in_a_name() {
    let scene = Scene::new();
    let line = "A \u{1b}[31mred\u{7} <test@example.org> 1748736000 +0000\n";
    let raw = over(&scene, &format!("{TREE}author {line}committer {line}"));
    assert_eq!(scene.word(&raw, Git::Good), "verified");
    // What a refusal quotes reaches a terminal.
    let (gate, alice) = Gate::production();
    let work = gate.clone_of(&gate.repository("infra/live"));
    work.commit(Some(&alice), "OPS-1: base");
    let tree = work.id("HEAD^{tree}");
    let raw = format!("tree {tree}\nauthor {line}committer {line}\n\u{1b}]0;owned\u{7}no ticket\u{9b}\n");
    let hash = ["hash-object", "-t", "commit", "-w", "--stdin", "--literally"];
    let id = gate.sandbox.git_with_input(&work.path, &hash, raw.as_bytes()).ok().line().to_owned();
    let push = work.push(&[&format!("{id}:refs/heads/main")]);
    assert!(push.rules().contains("unsigned-commit"), "{}", push.text());
    assert!(!push.text().contains(['\u{1b}', '\u{7}', '\u{9b}']), "{:?}", push.text());
}

#[test]
fn g041_a_signature_of_17_kib() {
    let scene = Scene::new();
    let padded = pgp_armored(&scene, |armor| {
        let comment = format!("Comment: {}\n", "x".repeat(60)).repeat(250);
        armor.replacen("\n\n", &format!("\n{comment}\n"), 1)
    });
    assert!(padded.len() > 17 * 1024);
    assert_eq!(scene.word(&padded, Git::Good), "sig.too_large");
    assert_eq!(scene.verdict_by(&padded, &import()).word, "sig.too_large");
}

#[test]
fn g042_a_commit_with_very_many_parents() {
    let many = crafted(&format!("{TREE}{}{AUTHOR}{COMMITTER}", PARENT.repeat(200_000)));
    let begun = Instant::now();
    assert_eq!(parse_commit(ObjectFormat::Sha1, &many).unwrap_err().code, "obj.header_too_large");
    assert_eq!(parents_lenient(ObjectFormat::Sha1, &many).unwrap().len(), 200_000);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());

    let (gate, alice) = Gate::production();
    let work = gate.clone_of(&gate.repository("infra/live"));
    let base = work.commit(Some(&alice), "OPS-1: base");
    work.accepted(&["main"]);
    let tree = work.id("HEAD^{tree}");
    for count in [65, 200_000] {
        let parents = format!("parent {base}\n").repeat(count);
        let raw = crafted(&format!("tree {tree}\n{parents}{AUTHOR}{COMMITTER}"));
        let hash = ["hash-object", "-t", "commit", "-w", "--stdin", "--literally"];
        let id = gate.sandbox.git_with_input(&work.path, &hash, &raw).ok().line().to_owned();
        // What is not read has no ancestors, so that it is no fast-forward either.
        let push = work.push(&[&format!("{id}:refs/heads/main")]);
        assert!(push.rules().contains("push-too-large"), "{}", push.text());
    }
}

#[test]
fn g043_an_id_in_upper_case() {
    let scene = Scene::new();
    let raw = over(&scene, &format!("{}{AUTHOR}{COMMITTER}", TREE.replace("4b825dc6", "4B825DC6")));
    assert_eq!(scene.word(&raw, Git::Good), "obj.bad_oid");
}

/// At the gate that is an outage and no refusal: the repository lies, not the pusher.
#[test]
fn g044_bytes_that_are_not_what_the_id_names() {
    let scene = Scene::new();
    for raw in [scene.ssh_signed(&plain()), plain()] {
        let id = ObjectId::parse(scene.store("commit", &raw).as_bytes()).unwrap();
        verify_commit_id(&id, &raw).unwrap();
        for at in [0, raw.len() / 2, raw.len() - 1] {
            let mut changed = raw.clone();
            changed[at] ^= 1;
            let error = verify_commit_id(&id, &changed).unwrap_err().to_string();
            assert!(error.contains("does not have the content that its id names"), "{error}");
        }
    }
}

/// Two strings that collide: see `tests/vectors/sha1/README.md`.
fn colliding() -> [Vec<u8>; 2] {
    [include_str!("../vectors/sha1/collision-one.hex"), include_str!("../vectors/sha1/collision-two.hex")]
        .map(|text| HEXLOWER.decode(text.replace('\n', "").as_bytes()).unwrap())
}

/// A commit with such a block needs a collision computed for a commit's own beginning, which nobody has
/// published. So the strings go to the hasher as they are: the one that every judged object goes through, as
/// the unit test of `git::objects` shows.
#[test]
fn g045_a_block_of_a_collision_attack() {
    let digest = |bytes: &[u8]| {
        let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
        hasher.update(bytes);
        hasher.try_finalize().map_err(|error| error.to_string().to_lowercase())
    };
    let both = colliding();
    assert_ne!(both[0], both[1]);
    let scene = Scene::new();
    for bytes in both {
        let error = digest(&bytes).unwrap_err();
        assert!(error.contains("collision"), "{error}");
        // Without its second block it is like any other text.
        digest(&bytes[..256]).unwrap();
        // Inside of a commit the blocks meet another state and collide with nothing.
        let raw = [&plain()[..], &bytes].concat();
        let id = ObjectId::parse(scene.store("commit", &raw).as_bytes()).unwrap();
        verify_commit_id(&id, &raw).unwrap();
    }
}

#[test]
fn g046_headers_that_begin_like_others() {
    let scene = Scene::new();
    for line in ["mergetagx y\n", "treefoo x\n", "parents x\n", "authored x\n", "xgpgsig y\n"] {
        let raw = over(&scene, &format!("{TREE}{AUTHOR}{COMMITTER}{line}"));
        assert_eq!(scene.word(&raw, Git::Good), "verified", "{line}");
    }
}

#[test]
fn g047_a_header_part_of_1_mib() {
    let scene = Scene::new();
    let fits = |size: usize| {
        let rest = crafted(&format!("{TREE}{AUTHOR}{COMMITTER}x \n")).len() - "\nmessage\n".len();
        crafted(&format!("{TREE}{AUTHOR}{COMMITTER}x {}\n", "y".repeat(size - rest)))
    };
    assert_eq!(scene.verdict(&fits((1 << 20) + 2)).word, "obj.header_too_large");
    assert_eq!(scene.verdict(&fits(1 << 20)).word, "unsigned");
    let endless = [TREE.as_bytes(), &vec![b'x'; 4 << 20]].concat();
    let begun = Instant::now();
    assert_eq!(scene.verdict(&endless).word, "obj.header_too_large");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

#[test]
fn g048_g049_the_same_base64_in_other_lines() {
    let scene = Scene::new();
    let wrapped = armored(&scene, |armor| {
        let body: String = armor.lines().filter(|line| !line.starts_with('-')).collect();
        let lines: Vec<_> =
            body.as_bytes().chunks(36).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    });
    assert_eq!(scene.word(&wrapped, Git::Good), "verified");
    assert_eq!(scene.verdict(&wrapped).findings, ["sig.wrapping"]);
    assert!(scene.verdict(&scene.ssh_signed(&plain())).findings.is_empty());
    let spaced = armored(&scene, |armor| armor.replacen("U1NI", "U1 NI", 1));
    assert_eq!(scene.word(&spaced, Git::Good), "sig.armor");
}

#[test]
fn g050_g051_g052_what_pgp_armor_has_around_the_data() {
    let scene = Scene::new();
    let comment = pgp_armored(&scene, |armor| armor.replacen("\n\n", "\nComment: hello\nVersion: 1\n\n", 1));
    assert_eq!(scene.word(&comment, Git::Good), "verified");
    let line = |armor: &str| armor.lines().find(|line| line.starts_with('=')).unwrap().to_owned();
    let none = pgp_armored(&scene, |armor| armor.replace(&format!("{}\n", line(armor)), ""));
    // GnuPG 2.2 agrees only where the data ends with padding.
    assert_eq!(scene.verdict(&none).word, "verified");
    assert!(scene.verdict(&none).findings.is_empty());
    let wrong = pgp_armored(&scene, |armor| {
        let line = line(armor);
        armor.replace(&line, if line == "=AAAA" { "=BBBB" } else { "=AAAA" })
    });
    // GnuPG still takes the checksum for a proof; RFC 9580 does not.
    assert_eq!(scene.word(&wrong, Git::Bad), "verified");
    assert_eq!(scene.verdict(&wrong).findings, ["sig.checksum"]);
}

/// The packet inside an armor, as GnuPG writes it: an old header with one or two octets of length.
fn packet_body(armor: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(armor).unwrap();
    let lines = text.lines().skip_while(|line| !line.is_empty()).skip(1);
    let data: String = lines.take_while(|line| !line.starts_with('=')).collect();
    let bytes = BASE64.decode(data.as_bytes()).unwrap();
    let head = match bytes[0] {
        0x88 => 2,
        0x89 => 3,
        other => panic!("{other:#x}"),
    };
    bytes[head..].to_vec()
}

fn in_armor(packets: &[u8]) -> Vec<u8> {
    let text = BASE64.encode(packets);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let text = lines.join("\n");
    let crc = packets.iter().fold(0x00b7_04ce_u32, |crc, byte| {
        let step = |crc: u32, _| if crc & 0x80_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x0186_4cfb };
        (0..8).fold(crc ^ (u32::from(*byte) << 16), step)
    });
    let text = format!("{text}\n={}", BASE64.encode(&crc.to_be_bytes()[1..]));
    format!("-----BEGIN PGP SIGNATURE-----\n\n{text}\n-----END PGP SIGNATURE-----\n").into_bytes()
}

fn framed(head: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap().to_be_bytes();
    match head {
        0x89 => [&[head][..], &length, body].concat(),
        _ => [&[head, 0xff, 0, 0][..], &length, body].concat(),
    }
}

/// The body of a signature packet with another unhashed area.
fn with_unhashed(body: &[u8], area: &[u8]) -> Vec<u8> {
    let split = 6 + usize::from(u16::from_be_bytes([body[4], body[5]]));
    let old = usize::from(u16::from_be_bytes([body[split], body[split + 1]]));
    let length = u16::try_from(area.len()).unwrap().to_be_bytes();
    [&body[..split], &length, area, &body[split + 2 + old..]].concat()
}

#[test]
fn g053_g054_g055_packets_written_otherwise() {
    let scene = Scene::new();
    let payload = plain();
    let body = packet_body(&scene.pgp_armor(&payload));
    let raw = |packets: &[u8]| scene.with_header(&payload, &in_armor(packets));
    for head in [0x89, 0xc2] {
        assert_eq!(scene.word(&raw(&framed(head, &body)), Git::Good), "verified", "{head:#x}");
    }
    let marker = [&[0xca, 3][..], b"PGP"].concat();
    let marked = raw(&[marker, framed(0xc2, &body)].concat());
    assert_eq!(scene.word(&marked, Git::Good), "pgp.packet");
    // A notation that nobody signed, beside the issuer.
    let notation = [&[0, 0, 0, 0, 0, 3, 0, 1][..], b"a@by"].concat();
    let area = [&[u8::try_from(notation.len() + 1).unwrap(), 20][..], &notation].concat();
    let noted = raw(&framed(0xc2, &with_unhashed(&body, &area)));
    assert_eq!(scene.word(&noted, Git::Good), "verified");
    assert_eq!(
        scene.verdict(&noted).proof,
        scene.verdict(&raw(&framed(0xc2, &body))).proof.map(|proof| {
            let found = scene.verdict(&noted).proof.unwrap();
            found.findings().iter().cloned().fold(proof, countersign::signature::VerifiedSignature::noting)
        })
    );
}

/// A signature by a GnuPG key with nothing hashed but its time, and this unhashed area. GnuPG itself
/// always names the issuer in the hashed part.
fn bare_signature(gpg: &Gpg, key: &str, payload: &[u8]) -> Vec<u8> {
    use ed25519_dalek::{Signer, SigningKey};
    use sha2::{Digest, Sha512};
    let secret = gpg.run(NOW, &["--export-secret-keys", key], b"");
    assert_eq!((secret[0], secret[2], secret[7]), (0x94, 4, 22), "one octet of length, version 4, EdDSA");
    let packet = &secret[2..2 + usize::from(secret[1])];
    // Version, time, algorithm, curve, point; then: not encrypted, one number, two octets of checksum.
    let number = &packet[6 + 10 + 35..packet.len() - 2];
    assert_eq!(number[0], 0);
    let mut seed = [0; 32];
    seed[32 - (number.len() - 3)..].copy_from_slice(&number[3..]);
    let mut body = vec![4, 0, 22, 10, 0, 6, 5, 2];
    body.extend(u32::try_from(NOW).unwrap().to_be_bytes());
    let trailer = [&[4, 0xff][..], &u32::try_from(body.len()).unwrap().to_be_bytes()].concat();
    let digest = Sha512::digest([payload, &body, &trailer].concat());
    let signature = SigningKey::from_bytes(&seed).sign(&digest).to_bytes();
    body.extend([0, 0, digest[0], digest[1]]);
    for half in [&signature[..32], &signature[32..]] {
        let zeros = half.iter().take_while(|byte| **byte == 0).count();
        let bits = (32 - zeros) * 8 - half[zeros].leading_zeros() as usize;
        body.extend(u16::try_from(bits).unwrap().to_be_bytes());
        body.extend(&half[zeros..]);
    }
    body
}

#[test]
fn g056_no_issuer() {
    let scene = Scene::new();
    let payload = plain();
    // Without the unhashed one there is still the hashed one.
    let body = packet_body(&scene.pgp_armor(&payload));
    let raw = scene.with_header(&payload, &in_armor(&framed(0xc2, &with_unhashed(&body, b""))));
    assert_eq!(scene.word(&raw, Git::Good), "verified");
    let (gpg, key) = scene.gpg();
    let body = bare_signature(gpg, key, &payload);
    let raw = scene.with_header(&payload, &in_armor(&framed(0xc2, &body)));
    assert_eq!(scene.verdict(&raw).word, "pgp.no_issuer");
    // The same with the key's id in the unhashed area verifies: the signature is right.
    let id = data_encoding::HEXUPPER.decode(&key.as_bytes()[24..]).unwrap();
    let named = with_unhashed(&body, &[&[9, 16][..], &id].concat());
    let raw = scene.with_header(&payload, &in_armor(&framed(0xc2, &named)));
    assert_eq!(scene.word(&raw, Git::Good), "verified");
}

#[test]
fn g057_g058_carriage_returns_in_the_armor() {
    let scene = Scene::new();
    for raw in [
        armored(&scene, |armor| armor.replace('\n', "\r\n")),
        pgp_armored(&scene, |armor| armor.replace('\n', "\r\n")),
    ] {
        assert_eq!(scene.verdict(&raw).word, "sig.cr");
        let old = scene.verdict_by(&raw, &import());
        assert_eq!((&old.word[..], &old.findings[..]), ("verified", &["import.cr_line_ends"][..]));
        assert_eq!(scene.verdict_by(&replaced(&raw, "message", "forged"), &import()).word, "bad");
        // One at the end of a line, no more and nowhere else.
        let doubled = replaced(&raw, "\r\n ", "\r\r\n ");
        assert_eq!(scene.verdict_by(&doubled, &import()).word, "sig.cr");
        let outside = replaced(&raw, "+0000\n", "+0000\r\n");
        assert_eq!(scene.verdict_by(&outside, &import()).word, "obj.cr_header");
    }
    // This GnuPG does not mind; whether ssh-keygen does depends on its version.
    let pgp = pgp_armored(&scene, |armor| armor.replace('\n', "\r\n"));
    assert!(scene.git_verifies(&pgp).good);
}
