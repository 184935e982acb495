//! Grammar cases; the names give the clause or the conformance case.

use super::*;
use crate::signature::testing::*;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

fn code(raw: &[u8]) -> &'static str {
    match parse_commit(ObjectFormat::Sha1, raw) {
        Err(error) => error.code,
        Ok(commit) => field(&commit.signature),
    }
}

fn field(signature: &SignatureField) -> &'static str {
    match signature {
        SignatureField::Absent => "unsigned",
        SignatureField::Present(_) => "signed",
        SignatureField::Malformed { code, .. } => code,
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn keyring() -> KeyBox {
    KeyBox { ssh: vec![ssh_blob(&key())], ..KeyBox::default() }
}

fn armor(payload: &[u8]) -> Vec<u8> {
    CraftedSsh::default().make(&key(), payload)
}

fn signed(payload: &[u8]) -> Vec<u8> {
    with_signature(payload, &armor(payload))
}

/// A commit whose headers are these lines, signed over by a key of the keyring where it has a header
/// part at all: what is refused is refused although the signature is right.
fn crafted(lines: &str) -> Vec<u8> {
    format!("{lines}\nmessage\n").into_bytes()
}

const PARENT: &str = "parent 00112233445566778899aabbccddeeff00112233\n";

#[test]
fn a_plain_commit_is_read_whole() {
    let raw = crafted(&format!("{TREE}{PARENT}{AUTHOR}{COMMITTER}encoding ISO-8859-1\n"));
    let commit = parse_commit(ObjectFormat::Sha1, &raw).unwrap();
    assert_eq!(commit.tree.to_string(), "4b825dc642cb6eb9a060e54bf8d69288fbee4904");
    assert_eq!(commit.parents.len(), 1);
    assert_eq!(commit.committer, Identity { name: b"Test Key", email: b"test@example.org", time: NOW });
    assert_eq!(commit.encoding, Some(&b"ISO-8859-1"[..]));
    assert_eq!(commit.message, b"message\n");
    assert_eq!(commit.signature, SignatureField::Absent);
    assert_eq!(commit.payload, Payload { before: &raw, after: b"" });
}

#[test]
fn g15_the_payload_is_the_object_without_the_header() {
    let payload = commit("subject\n\nbody\r\nmore \u{e9}\n");
    let raw = signed(&payload);
    let commit = parse_commit(ObjectFormat::Sha1, &raw).unwrap();
    assert_eq!([commit.payload.before, commit.payload.after].concat(), payload);
    assert_eq!(word(&verify_commit(&raw, &keyring())), "verified");
}

#[test]
fn c017_c018_c020_other_headers_and_empty_messages_are_covered() {
    for payload in [
        crafted(&format!("{TREE}{AUTHOR}{COMMITTER}encoding ISO-8859-1\nchange-id z\n")),
        crafted(&format!("{TREE}{AUTHOR}{COMMITTER}HG:extra a:b\nmergetag object 1\n  tag\n")),
        commit(""),
        commit("\n\n\n"),
    ] {
        assert_eq!(word(&verify_commit(&signed(&payload), &keyring())), "verified");
    }
}

#[test]
fn g01_g02_header_order() {
    for (lines, wanted) in [
        (format!("{AUTHOR}{COMMITTER}"), "obj.misplaced_header"),
        (format!("{TREE}{COMMITTER}"), "obj.misplaced_header"),
        (format!("{TREE}{AUTHOR}"), "obj.misplaced_header"),
        (format!("{TREE}{TREE}{AUTHOR}{COMMITTER}"), "obj.dup_header"),
        (format!("{TREE}{AUTHOR}{AUTHOR}{COMMITTER}"), "obj.dup_header"),
        (format!("{TREE}{AUTHOR}{COMMITTER}{AUTHOR}"), "obj.dup_header"),
        (format!("{TREE}{AUTHOR}{COMMITTER}{COMMITTER}"), "obj.dup_header"),
        (format!("{TREE}{AUTHOR}{COMMITTER}{TREE}"), "obj.dup_header"),
        (format!("{TREE}{AUTHOR}{COMMITTER}{PARENT}"), "obj.misplaced_header"),
        (format!("{TREE}{AUTHOR}{PARENT}{COMMITTER}"), "obj.misplaced_header"),
        (format!("{PARENT}{TREE}{AUTHOR}{COMMITTER}"), "obj.misplaced_header"),
        (format!("{TREE}{PARENT}gpgsig x\n{PARENT}{AUTHOR}{COMMITTER}"), "obj.misplaced_header"),
        (format!("{TREE}gpgsig-sha256 x\n{PARENT}{AUTHOR}{COMMITTER}"), "obj.misplaced_header"),
        (format!("{TREE}encoding x\n{AUTHOR}{COMMITTER}"), "obj.misplaced_header"),
        (format!("{TREE}{COMMITTER}{AUTHOR}"), "obj.misplaced_header"),
    ] {
        assert_eq!(code(&crafted(&lines)), wanted, "{lines}");
    }
    assert_eq!(code(format!("{TREE}{AUTHOR}{COMMITTER}").as_bytes()), "obj.no_header_end");
    assert_eq!(code(b""), "obj.no_header_end");
    assert_eq!(code(b"\n\n"), "obj.bad_header");
    assert_eq!(code(b"\nx\n\ny"), "obj.bad_header");
}

#[test]
fn g03_ids() {
    for (from, to) in [
        ("4b825dc6", "4B825DC6"),
        ("4b825dc6", "4b825dc"),
        ("4b825dc6", "4b825dc6a"),
        ("4b825dc6", "4b825dcg"),
        ("4b825dc642cb6eb9a060e54bf8d69288fbee4904", "0000000000000000000000000000000000000000"),
        ("4b825dc6", " 4b825dc"),
    ] {
        assert_eq!(code(&crafted(&format!("{}{AUTHOR}{COMMITTER}", TREE.replace(from, to)))), "obj.bad_oid");
    }
    let raw = commit("m\n");
    assert_eq!(parse_commit(ObjectFormat::Sha256, &raw).unwrap_err().code, "obj.bad_oid");
}

#[test]
fn g04_nul_anywhere() {
    assert_eq!(code(&commit("a\0b")), "obj.nul");
    assert_eq!(code(&signed(&commit("a\0b"))), "obj.nul");
    assert_eq!(code(&crafted(&format!("{TREE}{AUTHOR}{COMMITTER}x a\0b\n"))), "obj.nul");
    assert_eq!(code(&[&signed(&commit("a\n"))[..], b"\0"].concat()), "obj.nul");
}

#[test]
fn g05_carriage_returns() {
    for line in [TREE, AUTHOR, COMMITTER] {
        let lines = format!("{TREE}{AUTHOR}{COMMITTER}").replace(line, &line.replace('\n', "\r\n"));
        assert_eq!(code(&crafted(&lines)), "obj.cr_header", "{line}");
    }
    assert_eq!(code(&crafted(&format!("{TREE}{AUTHOR}{COMMITTER}x a\r\n"))), "unsigned");
}

#[test]
fn g06_header_lines() {
    for line in ["gpgsig\tvalue\n", "nospace\n", "b\u{e9}ta x\n", "a/b x\n", "a\u{1b} x\n", "-----BEGIN, x\n"]
    {
        assert_eq!(code(&crafted(&format!("{TREE}{AUTHOR}{COMMITTER}{line}"))), "obj.bad_header", "{line}");
    }
    assert_eq!(code(&crafted(&format!(" x\n{TREE}{AUTHOR}{COMMITTER}"))), "obj.bad_header", "G013");
    assert_eq!(code(&crafted(&format!("{TREE} x\n{AUTHOR}{COMMITTER}"))), "obj.bad_header");
    assert_eq!(code(&crafted(&format!("{TREE}{AUTHOR}{COMMITTER} x\n"))), "obj.bad_header");
    // G006: upper case is an ordinary header, covered by the signature.
    let raw = signed(&crafted(&format!("{TREE}{AUTHOR}{COMMITTER}GPGSIG x\nmergetagx y\n")));
    assert_eq!(word(&verify_commit(&raw, &keyring())), "verified");
}

#[test]
fn g07_smuggled_headers() {
    let payload = commit("m\n");
    let good = signed(&payload);
    for smuggled in ["gpgsigfoo payload\n", "gpgsig-sha256 junk\n", "gpgsig-sha256 a\n b\n", "gpgsig. x\n"] {
        let text = String::from_utf8(good.clone()).unwrap();
        let before = text.replacen("gpgsig ", &format!("{smuggled}gpgsig "), 1);
        let after = text.replacen("\n\n", &format!("\n{smuggled}\n"), 1);
        assert_eq!(code(before.as_bytes()), "sig.smuggled_header", "G001 {smuggled}");
        assert_eq!(code(after.as_bytes()), "sig.smuggled_header", "G002 {smuggled}");
        let alone = crafted(&format!("{TREE}{AUTHOR}{COMMITTER}{smuggled}"));
        assert_eq!(code(&alone), "sig.smuggled_header", "G004 {smuggled}");
    }
}

#[test]
fn g07_a_sha256_repository_has_its_own_header() {
    let wide = format!(
        "tree {}\n{AUTHOR}{COMMITTER}\nm\n",
        "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321"
    );
    let armor = armor(wide.as_bytes());
    for (name, wanted) in [("gpgsig-sha256", "signed"), ("gpgsig", "sig.smuggled_header")] {
        let header = String::from_utf8(header(name, &armor)).unwrap();
        let raw = wide.replacen("\n\n", &format!("\n{header}\n"), 1);
        let commit = parse_commit(ObjectFormat::Sha256, raw.as_bytes()).unwrap();
        assert_eq!(field(&commit.signature), wanted);
    }
}

#[test]
fn g08_more_than_one_signature_header() {
    let payload = commit("m\n");
    let one = header("gpgsig", &armor(&payload));
    let twice = with_signature(&signed(&payload), &armor(&payload));
    assert_eq!(code(&twice), "sig.multiple_headers", "G007");
    let text = String::from_utf8(twice).unwrap();
    let one = String::from_utf8(one).unwrap();
    let split = text.replacen(&one, &format!("{one}x y\n"), 1);
    assert_eq!(code(split.as_bytes()), "sig.multiple_headers", "G009");
    let garbage = text.replacen(&one, "gpgsig garbage\n", 1);
    assert_eq!(code(garbage.as_bytes()), "sig.multiple_headers", "G010");
    let lines = "gpgsig -----BEGIN SSH SIGNATURE-----\ngpgsig AAAA\ngpgsig -----END SSH SIGNATURE-----\n";
    let old = crafted(&format!("{TREE}{AUTHOR}{COMMITTER}{lines}"));
    assert_eq!(code(&old), "sig.multiple_headers", "G034");
}

#[test]
fn g09_misplaced_signature_header() {
    let header = String::from_utf8(header("gpgsig", &armor(&commit("message\n")))).unwrap();
    let first = crafted(&format!("{header}{TREE}{AUTHOR}{COMMITTER}"));
    assert_eq!(code(&first), "obj.misplaced_header", "git reads no such commit");
    for lines in [format!("{TREE}{header}{AUTHOR}{COMMITTER}"), format!("{TREE}{AUTHOR}{header}{COMMITTER}")]
    {
        assert_eq!(code(&crafted(&lines)), "sig.misplaced_header");
    }
}

#[test]
fn g10_what_may_stand_around_the_armor() {
    let payload = commit("m\n");
    let armor = armor(&payload);
    let text = String::from_utf8(armor.clone()).unwrap();
    let ots = "-----BEGIN OPENTIMESTAMPS-----\nAAAA\n-----END OPENTIMESTAMPS-----\n";
    for (value, wanted) in [
        (format!("{text}x"), "sig.trailing"),
        (format!("{text}{ots}"), "sig.trailing"),
        (format!("x\n{text}"), "sig.leading"),
        ("garbage".to_owned(), "sig.leading"),
        (text.replace("SSH SIGNATURE", "PGP MESSAGE"), "sig.label"),
        (text.replacen('\n', "\r\n", 2), "sig.cr"),
        (text.replacen("\n", "\n ", 1), "sig.armor"),
        (text.replacen("U1NI", "U1 NI", 1), "sig.armor"),
        (text.replacen("-----END SSH SIGNATURE-----\n", "", 1), "sig.truncated"),
    ] {
        assert_eq!(code(&with_signature(&payload, value.as_bytes())), wanted, "{value}");
    }
    // Old versions of git left an empty continuation line behind the END line.
    let raw = String::from_utf8(with_signature(&payload, &armor)).unwrap();
    let raw = raw.replacen("-----END SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n \n", 1);
    assert_eq!(word(&verify_commit(raw.as_bytes(), &keyring())), "verified");
}

#[test]
fn c012_an_empty_signature_is_not_no_signature() {
    for line in ["gpgsig \n", "gpgsig\n", "gpgsig \n \n"] {
        assert_eq!(code(&crafted(&format!("{TREE}{AUTHOR}{COMMITTER}{line}"))), "sig.empty", "{line:?}");
    }
}

#[test]
fn g12_g047_sizes() {
    let payload = commit("m\n");
    let large = |size: usize| {
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", "A".repeat(size))
    };
    assert_eq!(code(&with_signature(&payload, large(17 * 1024).as_bytes())), "sig.too_large");
    let wide = crafted(&format!("{TREE}{AUTHOR}{COMMITTER}x {}\n", "y".repeat(MAX_HEADER)));
    assert_eq!(code(&wide), "obj.header_too_large");
    let parents = crafted(&format!("{TREE}{}{AUTHOR}{COMMITTER}", PARENT.repeat(200_000)));
    assert_eq!(code(&parents), "obj.header_too_large", "G042");
    let some = crafted(&format!("{TREE}{}{AUTHOR}{COMMITTER}", PARENT.repeat(20_000)));
    assert_eq!(parse_commit(ObjectFormat::Sha1, &some).unwrap().parents.len(), 20_000);
}

#[test]
fn g13_identities() {
    let of = |value: &str| crafted(&format!("{TREE}{AUTHOR}committer {value}\n"));
    for (value, wanted) in [
        ("A <a@b> 1 +0000", "unsigned"),
        ("A <a@b> 0 -0330", "unsigned"),
        (" <a@b> 1 +0000", "unsigned"),
        ("<a@b> 1 +0000", "unsigned"),
        ("A <> 1 +0000", "unsigned"),
        ("A \u{1b}[31m <a@b> 1 +0000", "unsigned"),
        ("A <a@b> 253402300799 +0000", "unsigned"),
        ("A a@b 1 +0000", "obj.bad_ident"),
        ("A <a@b 1 +0000", "obj.bad_ident"),
        ("A a@b> 1 +0000", "obj.bad_ident"),
        ("A>a@b< 1 +0000", "obj.bad_ident"),
        ("A<a@b> 1 +0000", "obj.bad_ident"),
        ("A <boss@corp> <a@b> 1 +0000", "obj.bad_ident"),
        ("A <a@b> x> 1 +0000", "obj.bad_ident"),
        ("A > <a@b> 1 +0000", "obj.bad_ident"),
        ("A <a@b>", "obj.bad_date"),
        ("A <a@b> ", "obj.bad_date"),
        ("A <a@b> 1", "obj.bad_date"),
        ("A <a@b> -1 +0000", "obj.bad_date"),
        ("A <a@b> +1 +0000", "obj.bad_date"),
        ("A <a@b> 01 +0000", "obj.bad_date"),
        ("A <a@b> 1  +0000", "obj.bad_date"),
        ("A <a@b>  1 +0000", "obj.bad_date"),
        ("A <a@b> 1x +0000", "obj.bad_date"),
        ("A <a@b> 253402300800 +0000", "obj.bad_date"),
        ("A <a@b> 18446744073709551616 +0000", "obj.bad_date"),
        ("A <a@b> 99999999999999999999999999999999 +0000", "obj.bad_date"),
        ("A <a@b> 1 0000", "obj.bad_date"),
        ("A <a@b> 1 +000", "obj.bad_date"),
        ("A <a@b> 1 +00000", "obj.bad_date"),
        ("A <a@b> 1 +0000 ", "obj.bad_date"),
        ("A <a@b> 1 UTC", "obj.bad_date"),
    ] {
        assert_eq!(code(&of(value)), wanted, "{value}");
    }
}

#[test]
fn g14_the_time_zero_is_no_time_base() {
    let payload = commit("m\n");
    let text = String::from_utf8(payload).unwrap().replace("1748736000", "0");
    let raw = signed(text.as_bytes());
    assert_eq!(code(&raw), "signed");
    assert_eq!(word(&verify_commit(&raw, &keyring())), "time.zero");
}

#[test]
fn g024_a_signature_in_the_message_is_text() {
    let payload = commit("m\n");
    let raw = [&payload[..], &armor(&payload)].concat();
    assert_eq!(code(&raw), "unsigned");
}

const TAG: &str = "object 00112233445566778899aabbccddeeff00112233\ntype commit\ntag v1\n\
    tagger Test Key <test@example.org> 1748736000 +0000\n\nrelease\n";

fn tag_code(raw: &[u8]) -> &'static str {
    match parse_tag(ObjectFormat::Sha1, raw) {
        Err(error) => error.code,
        Ok(tag) => field(&tag.signature),
    }
}

#[test]
fn t01_a_tag_is_read_whole() {
    let raw = [TAG.as_bytes(), &armor(TAG.as_bytes())].concat();
    let tag = parse_tag(ObjectFormat::Sha1, &raw).unwrap();
    assert_eq!((tag.name, tag.target_kind, tag.message), (&b"v1"[..], ObjectKind::Commit, &b"release\n"[..]));
    assert_eq!(tag.payload, Payload { before: TAG.as_bytes(), after: b"" });
    let SignatureField::Present(block) = &tag.signature else { panic!("signed") };
    let status = crate::signature::verify_now(block, &tag.payload, &keyring(), at(NOW), tag.time());
    assert_eq!(word(&status), "verified");
    assert_eq!(tag_code(TAG.as_bytes()), "unsigned");
}

#[test]
fn t01_headers_of_a_tag() {
    for (from, to, wanted) in [
        ("tag v1\n", "tag v1\ntag v2\n", "obj.dup_header"),
        ("type commit\n", "", "obj.misplaced_header"),
        ("tagger Test Key <test@example.org> 1748736000 +0000\n", "", "obj.misplaced_header"),
        ("tag v1\n", "tag \n", "obj.bad_header"),
        ("tag v1\n", "tag\n", "obj.bad_header"),
        ("tag v1\n", "tag v1\n x\n", "obj.bad_header"),
        ("tag v1\n", "tag v1\r\n", "obj.cr_header"),
        ("tag v1\n", "tag v1\nencoding x\n", "obj.bad_header"),
        ("type commit", "type comit", "obj.bad_type"),
        ("object 0011", "object 001", "obj.bad_oid"),
        ("release", "rel\0ease", "obj.nul"),
        ("object ", "gpgsig x\nobject ", "obj.misplaced_header"),
        ("type ", "gpgsig-sha256 x\ntype ", "obj.misplaced_header"),
        ("tag v", "gpgsig-evil x\ntag v", "obj.misplaced_header"),
        ("tagger Test", "gpgsig-sha256 x\ntagger Test", "sig.smuggled_header"),
        ("tagger Test", "gpgsig-evil x\ntagger Test", "sig.smuggled_header"),
        ("+0000\n\n", "+0000\ngpgsig x\n\n", "sig.smuggled_header"),
        ("+0000\n\n", "+0000\ntagger A <a> 1 +0000\n\n", "obj.dup_header"),
        ("+0000", "+000", "obj.bad_date"),
    ] {
        assert_eq!(tag_code(TAG.replacen(from, to, 1).as_bytes()), wanted, "{to}");
    }
}

#[test]
fn t02_t03_markers_in_a_tag() {
    let armor = String::from_utf8(armor(TAG.as_bytes())).unwrap();
    for (body, wanted) in [
        (armor.clone(), "signed"),
        (format!("{armor}text\n"), "sig.trailing"),
        (format!("{armor}\n\n"), "signed"),
        (format!("-----BEGIN PGP MESSAGE-----\nquoted\n{armor}"), "signed"),
        (format!("-----BEGIN PGP MESSAGE-----\nquoted\n-----END PGP MESSAGE-----\n{armor}"), "signed"),
        (format!("-----BEGIN PGP SIGNATURE-----\nquoted\n{armor}"), "signed"),
        (format!("{armor}{armor}"), "sig.multiple_blocks"),
        (format!("{armor}text\n{armor}"), "sig.multiple_blocks"),
        (armor.replacen("\n", "\n-----BEGIN PGP MESSAGE-----\n", 1) + &armor, "sig.multiple_blocks"),
        (armor.replacen("\n", "\n-----BEGIN PGP SIGNATURE-----\n", 1) + &armor, "sig.multiple_blocks"),
        (format!("{armor}-----BEGIN PGP SIGNATURE-----x\n"), "sig.multiple_blocks"),
        (format!("{armor}-----BEGIN PGP MESSAGE-----\n"), "sig.multiple_blocks"),
        (format!(" {armor}"), "unsigned"),
        (format!("\r{armor}"), "unsigned"),
    ] {
        assert_eq!(tag_code(format!("{TAG}{body}").as_bytes()), wanted, "{body}");
    }
}

/// Git would verify the lower one, a reader that looks for the first BEGIN the upper one: both can be good
/// and cover different text (T009).
#[test]
fn t02_a_signature_below_another_is_refused() {
    let first = [TAG.as_bytes(), &armor(TAG.as_bytes())].concat();
    let second = [&first[..], &armor(&first)].concat();
    assert_eq!(tag_code(&second), "sig.multiple_blocks");
}

#[test]
fn n25_parents_of_old_history() {
    let read =
        |lines: &str| parents_lenient(ObjectFormat::Sha1, lines.as_bytes()).map(|parents| parents.len());
    assert_eq!(read(TREE), Some(0));
    assert_eq!(read(&format!("{TREE}{PARENT}{PARENT}author nonsense")), Some(2));
    assert_eq!(read(&format!("{TREE}{PARENT}author x\n{PARENT}\n")), Some(1), "as git's walk reads it");
    assert_eq!(read(&format!("{TREE}{}", PARENT.to_uppercase().replace("PARENT", "parent"))), Some(1));
    assert_eq!(read(&format!("{TREE}parent 0011\n")), None);
    assert_eq!(read(&format!("{TREE}parent {}\n", "0".repeat(40))), None);
    assert_eq!(read(PARENT), None);
    assert_eq!(read(""), None);
    assert_eq!(parents_lenient(ObjectFormat::Sha256, TREE.as_bytes()), None);
}

/// Every relaxation.
fn everything() -> Rules {
    Rules { trailing_timestamps: true, import: true, ..Rules::default() }
}

/// What is accepted strictly is read the same under every relaxation, and what is accepted by one of them
/// only has a finding.
fn only_adds(
    strict: Result<SignatureField, GrammarError>,
    read: Result<(SignatureField, Vec<Finding>), GrammarError>,
) {
    let clean = |field: &SignatureField| !matches!(field, SignatureField::Malformed { .. });
    match (strict, read) {
        (Ok(strict), Ok((read, _))) if clean(&strict) => assert_eq!(strict, read),
        (Ok(strict), Ok((read, findings))) => assert!(!clean(&read) || !findings.is_empty(), "{strict:?}"),
        (Ok(strict), Err(error)) => panic!("{strict:?} became {error}"),
        (Err(error), Ok((_, findings))) => assert!(!findings.is_empty(), "{error}"),
        (Err(_), Err(_)) => {}
    }
}

#[test]
fn the_reasoning_is_written_down_for_those_who_ask() {
    let steps = |raw: &[u8], rules: &Rules| {
        let mut trace = Trace::on();
        let _ = parse_commit_by(ObjectFormat::Sha1, raw, rules, &mut trace);
        let checks = trace.checks().iter();
        checks.map(|check| format!("{} {}", check.name, check.result.name())).collect::<Vec<_>>()
    };
    let payload = commit("m\n");
    let good = signed(&payload);
    let rules = Rules::default();
    let all = ["grammar passed", "signature-field passed", "armor passed", "payload passed"];
    assert_eq!(steps(&good, &rules), all);
    assert_eq!(steps(&payload, &rules), ["grammar passed", "signature-field noted"]);
    assert_eq!(steps(b"nothing", &rules), ["grammar failed"]);
    let twice = with_signature(&good, &armor(&payload));
    assert_eq!(steps(&twice, &rules), ["grammar passed", "signature-field failed"]);
    let crlf = String::from_utf8(armor(&payload)).unwrap().replace('\n', "\r\n");
    let crlf = with_signature(&payload, crlf.as_bytes());
    assert_eq!(steps(&crlf, &rules), ["grammar passed", "signature-field passed", "armor failed"]);
    let noted = [&all[..3], &["armor noted"], &all[3..]].concat();
    assert_eq!(steps(&crlf, &everything()), noted);
    let mut trace = Trace::on();
    let tag = [TAG.as_bytes(), &armor(TAG.as_bytes())].concat();
    parse_tag_by(ObjectFormat::Sha1, &tag, &rules, &mut trace).unwrap();
    assert_eq!(trace.checks().len(), 4);
    parse_tag_by(ObjectFormat::Sha1, b"", &rules, &mut trace).unwrap_err();
    assert_eq!(trace.checks().len(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Section 3.2's property: whatever bit is flipped outside of the signature header, the object is
    /// not verified any more.
    #[test]
    fn no_flipped_bit_outside_the_header_verifies(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let payload = crafted(&format!("{TREE}{PARENT}{AUTHOR}{COMMITTER}encoding x\n"));
        let header = header("gpgsig", &armor(&payload));
        let mut raw = with_signature(&payload, &armor(&payload));
        let start = raw.windows(7).position(|window| window == b"gpgsig ").unwrap();
        let mut index = at.index(payload.len());
        if index >= start { index += header.len(); }
        raw[index] ^= 1 << bit;
        let verified = parse_commit(ObjectFormat::Sha1, &raw).is_ok() && {
            word(&verify_commit(&raw, &keyring())) == "verified"
        };
        prop_assert!(!verified);
    }

    /// Inside of the header a flip is refused, or leaves key and payload the same. There is no such
    /// flip in an SSH armor.
    #[test]
    fn no_flipped_bit_inside_the_header_verifies(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let payload = commit("m\n");
        let header = header("gpgsig", &armor(&payload));
        let mut raw = with_signature(&payload, &armor(&payload));
        let start = raw.windows(7).position(|window| window == b"gpgsig ").unwrap();
        raw[start + at.index(header.len())] ^= 1 << bit;
        let verified = parse_commit(ObjectFormat::Sha1, &raw).is_ok() && {
            word(&verify_commit(&raw, &keyring())) == "verified"
        };
        prop_assert!(!verified);
    }

    #[test]
    fn nothing_panics(raw in proptest::collection::vec(any::<u8>(), 0..400), cut in any::<prop::sample::Index>(),
                      insert in proptest::collection::vec(prop::sample::select(b"\n gpsi-<>0\0\r".to_vec()), 0..8)) {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            for base in [raw.clone(), signed(&commit("m\n")), TAG.as_bytes().to_vec()] {
                let split = cut.index(base.len() + 1);
                for candidate in [base[..split].to_vec(), [&base[..split], &insert, &base[split..]].concat()] {
                    let _ = parse_commit(format, &candidate);
                    let _ = parse_tag(format, &candidate);
                    let _ = parents_lenient(format, &candidate);
                    for rules in [everything(), Rules::default()] {
                        let strict = parse_commit(format, &candidate);
                        let read = parse_commit_by(format, &candidate, &rules, &mut Trace::on());
                        only_adds(strict.map(|one| one.signature), read.map(|one| (one.signature, one.findings)));
                        let strict = parse_tag(format, &candidate);
                        let read = parse_tag_by(format, &candidate, &rules, &mut Trace::on());
                        only_adds(strict.map(|one| one.signature), read.map(|one| (one.signature, one.findings)));
                    }
                }
            }
        }
    }
}
