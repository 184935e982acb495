//! `allowed_signers` files: what must not load first.

use super::*;
use crate::signature::testing::{ssh_blob, strings};
use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use proptest::prelude::*;

fn key(seed: u8) -> String {
    format!("ssh-ed25519 {}", BASE64.encode(&ssh_blob(&SigningKey::from_bytes(&[seed; 32]))))
}

fn one(text: &str) -> Line {
    let mut lines = parse(text.as_bytes(), None).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
    assert_eq!(lines.len(), 1, "{text}");
    lines.remove(0)
}

/// Line, column and fault of every fault.
fn faults(text: &str) -> Vec<(usize, usize, Fault)> {
    let errors = parse(text.as_bytes(), None).unwrap_err();
    for error in &errors {
        assert!(error.suggestion().len() > 10, "{error}");
    }
    errors.into_iter().map(|error| (error.line, error.column, error.fault)).collect()
}

#[test]
fn every_fault_has_its_place() {
    let key = key(1);
    let encoded = key.split_once(' ').unwrap().1;
    for (text, wanted) in [
        (format!("a octopus {key}"), (1, 3, Fault::UnknownOption("octopus".into()))),
        (format!("a octopus=\"x\" {key}"), (1, 3, Fault::UnknownOption("octopus".into()))),
        (
            format!("a namespaces=\"git\",no-touch-required {key}"),
            (1, 20, Fault::UnknownOption("no-touch-required".into())),
        ),
        (format!("a cert-authority,CERT-AUTHORITY {key}"), (1, 18, Fault::DuplicateOption("cert-authority"))),
        (
            format!("a namespaces=\"git\",namespaces=\"file\" {key}"),
            (1, 20, Fault::DuplicateOption("namespaces")),
        ),
        (
            format!("a valid-after=\"20200101Z\",valid-after=\"20210101Z\" {key}"),
            (1, 27, Fault::DuplicateOption("valid-after")),
        ),
        (format!("a cert-authority, {key}"), (1, 18, Fault::EmptyOption)),
        (format!("a ,cert-authority {key}"), (1, 3, Fault::EmptyOption)),
        (format!("a cert-authority=\"yes\" {key}"), (1, 3, Fault::SuperfluousValue("cert-authority"))),
        (format!("a namespaces {key}"), (1, 3, Fault::OptionValue("namespaces"))),
        (format!("a namespaces=git {key}"), (1, 13, Fault::OptionValue("namespaces"))),
        (format!("a namespaces=\"git {key}"), (1, 14, Fault::Quote)),
        (format!("a namespaces=\"git\"x {key}"), (1, 19, Fault::Quote)),
        (format!("a namespaces=\"\" {key}"), (1, 15, Fault::Namespaces(PatternError::Empty))),
        (format!("a namespaces=\"git,\" {key}"), (1, 15, Fault::Namespaces(PatternError::Empty))),
        (format!("a valid-before=\"20250101\" {key}"), (1, 17, Fault::LocalTime("valid-before"))),
        (format!("a valid-before=\"202501010000\" {key}"), (1, 17, Fault::LocalTime("valid-before"))),
        (format!("a valid-before=\"20251301Z\" {key}"), (1, 17, Fault::Time("valid-before"))),
        (format!("a valid-before=\"20250229Z\" {key}"), (1, 17, Fault::Time("valid-before"))),
        (format!("a valid-before=\"20250101240000Z\" {key}"), (1, 17, Fault::Time("valid-before"))),
        (format!("a valid-before=\"2025-01-01Z\" {key}"), (1, 17, Fault::Time("valid-before"))),
        (format!("a valid-before=\"+2025010Z\" {key}"), (1, 17, Fault::Time("valid-before"))),
        (format!("a valid-before=\"Z\" {key}"), (1, 17, Fault::Time("valid-before"))),
        (format!("a valid-before=\"forever\" {key}"), (1, 17, Fault::Time("valid-before"))),
        (format!("a valid-after=\"20250101Z\",valid-before=\"20250101Z\" {key}"), (1, 27, Fault::Window)),
        (format!("a valid-before=\"20240101Z\",valid-after=\"20250101Z\" {key}"), (1, 28, Fault::Window)),
        (format!("* {key}"), (1, 1, Fault::WildcardPrincipal("*".into()))),
        (format!("a,*@example.org {key}"), (1, 3, Fault::WildcardPrincipal("*@example.org".into()))),
        (format!("a? {key}"), (1, 1, Fault::WildcardPrincipal("a?".into()))),
        (format!("\"b,!bob\" {key}"), (1, 4, Fault::NegatedPrincipal("!bob".into()))),
        (format!("\"a, b\" {key}"), (1, 4, Fault::BlankPrincipal(" b".into()))),
        (format!("a\u{a0},b {key}"), (1, 1, Fault::BlankPrincipal("a\u{a0}".into()))),
        (format!("a,b\u{200b} {key}"), (1, 3, Fault::InvisiblePrincipal("b\\u{200b}".into()))),
        (format!("\u{feff}a {key}"), (1, 1, Fault::InvisiblePrincipal("\\u{feff}a".into()))),
        (format!("\"*@x, !b@x\" cert-authority {key}"), (1, 6, Fault::BlankPrincipal(" !b@x".into()))),
        (format!("a namespaces=\"file, git\" {key}"), (1, 15, Fault::Namespaces(PatternError::Blank))),
        (format!("a,,b {key}"), (1, 3, Fault::EmptyPrincipal)),
        (format!("a, {key}"), (1, 3, Fault::EmptyPrincipal)),
        (format!("\"\" {key}"), (1, 2, Fault::EmptyPrincipal)),
        (format!("\"a {key}"), (1, 1, Fault::Quote)),
        (format!("\"a\"b {key}"), (1, 1, Fault::Quote)),
        (format!("a\"b\" {key}"), (1, 2, Fault::Quote)),
        (format!("!a,!b cert-authority {key}"), (1, 1, Fault::Nobody)),
        ("a".into(), (1, 2, Fault::MissingKey)),
        ("a cert-authority".into(), (1, 17, Fault::MissingKey)),
        ("a ssh-ed25519".into(), (1, 3, Fault::MissingKey)),
        (format!("# a\n\nü,b ssh-ed25519 {encoded}x"), (3, 17, Fault::Key(SshKeyError::Base64))),
        (format!("a ssh-ed25519 {}", encoded.replace('A', "*")), (1, 15, Fault::Key(SshKeyError::Base64))),
        (format!("a ssh-rsa {encoded}"), (1, 11, Fault::Key(SshKeyError::TypeMismatch))),
        (
            format!("a ssh-foo@example.org {encoded}"),
            (1, 3, Fault::Key(SshKeyError::Unsupported("ssh-foo@example.org".into()))),
        ),
        (
            format!("a cert-authority ssh-ed25519-cert-v01@openssh.com {encoded}"),
            (1, 18, Fault::Key(SshKeyError::Certificate("ssh-ed25519-cert-v01@openssh.com".into()))),
        ),
        (format!("a\u{7} {key}"), (1, 2, Fault::Control)),
        (format!("a {key} comm\rent"), (1, 3 + key.chars().count() + 5, Fault::Control)),
        (format!("{} {key}", "a".repeat(MAX_LINE)), (1, 1, Fault::LineTooLong)),
        ("\n".repeat(MAX_LINES + 1), (MAX_LINES + 1, 1, Fault::TooManyLines)),
    ] {
        assert_eq!(faults(&text), [wanted], "{}", &text[..text.len().min(200)]);
    }
    let errors = parse(format!("é\u{e9} {key}\n").replace('é', "x").as_bytes(), None);
    assert!(errors.is_ok());
    let latin = [b"x\xe9 ", key.as_bytes()].concat();
    assert_eq!(parse(&latin, None).unwrap_err()[0], LineError { line: 1, column: 2, fault: Fault::NotUtf8 });
    assert_eq!(parse(&vec![b'\n'; MAX_FILE + 1], None).unwrap_err()[0].fault, Fault::FileTooLarge);
}

#[test]
fn all_faults_of_all_lines_are_told() {
    let text =
        format!("* octopus {}\nb {}\nc namespaces=\"git ssh-rsa x\nd ssh-ed25519 !!\n", key(1), key(2));
    let found = faults(&text);
    assert_eq!(
        found,
        [
            (1, 3, Fault::UnknownOption("octopus".into())),
            (1, 1, Fault::WildcardPrincipal("*".into())),
            (3, 14, Fault::Quote),
            (4, 15, Fault::Key(SshKeyError::Base64)),
        ]
    );
}

#[test]
fn a_private_key_ends_it_and_is_not_repeated() {
    let text = format!("a {}\n-----BEGIN OPENSSH PRIVATE KEY-----\nU0VDUkVU U0VDUkVU\n", key(1));
    assert_eq!(faults(&text), [(2, 1, Fault::Key(SshKeyError::PrivateKey))]);
    let word = format!("a U0VDUkVU+/{} comment", "x".repeat(40));
    for error in parse(word.as_bytes(), None).unwrap_err() {
        assert!(error.to_string().len() < 120, "{error}");
    }
}

#[test]
fn lines_that_are_right() {
    let key = key(1);
    let line = one(&format!("# comment\r\n\r\n  \talice@example.org,bob {key} a comment, with words \r\n"));
    assert_eq!(line.principals, ["alice@example.org", "bob"]);
    assert_eq!((line.line, line.authority, line.namespaces.is_none()), (3, false, true));
    assert_eq!((line.valid_after, line.valid_before), (None, None));
    assert_eq!(line.comment, "a comment, with words");
    assert_eq!(line.key.algorithm(), "ssh-ed25519");
    assert!(line.covers(i64::MIN) && line.covers(i64::MAX) && line.signs_in("git"));

    assert_eq!(one(&format!("\"alice smith,bob\" {key}")).principals, ["alice smith", "bob"]);
    assert_eq!(one(&format!("git.robot-1 {key}")).comment, "");
    let line = one(&format!(
        "a NameSpaces=\"file,g*\",valid-AFTER=\"20240101Z\",valid-before=\"20250101120000utc\"\t{key}"
    ));
    assert_eq!((line.valid_after, line.valid_before), (Some(1_704_067_200), Some(1_735_732_800)));
    assert!(line.signs_in("git") && !line.signs_in("ssh"));
    assert!(line.covers(1_735_732_800) && !line.covers(1_735_732_801), "inclusive (S010)");
    assert!(line.covers(1_704_067_200) && !line.covers(1_704_067_199));
    assert!(!one(&format!("a namespaces=\"!git,*\" {key}")).signs_in("git"), "S020");
    assert_eq!(one(&format!("a namespaces=\"a\\\"b\" {key}")).namespaces, PatternList::parse("a\"b").ok());

    let line = one(&format!("*@example.org,!root@* cert-authority {key}"));
    assert!(line.authority);
    let patterns = line.patterns().unwrap();
    assert!(patterns.matches("a@example.org") && !patterns.matches("root@example.org"));
    // Whether a weak key may be listed is not this parser's question.
    assert_eq!(parse(b"", None), Ok(Vec::new()));
    assert_eq!(parse(b"\n# nothing\n", None), Ok(Vec::new()));
    let many = format!("a {key}\n").repeat(3);
    assert_eq!(parse(many.as_bytes(), None).unwrap().len(), 3, "S018: the union is the keyring's");
}

#[test]
fn fido_keys_may_be_listed() {
    let point = *SigningKey::from_bytes(&[1; 32]).verifying_key().as_bytes();
    let blob = strings(&[b"sk-ssh-ed25519@openssh.com", &point, b"ssh:git"]);
    let line = one(&format!("a sk-ssh-ed25519@openssh.com {} token", BASE64.encode(&blob)));
    assert_eq!(line.key.application(), Some("ssh:git"));
}

#[test]
fn s012_local_times_need_a_zone() {
    let zone = TimeZone::fixed(jiff::tz::offset(2));
    let text = |time: &str| format!("a valid-before=\"{time}\" {}", key(1));
    let before = |time: &str, zone: &TimeZone| {
        parse(text(time).as_bytes(), Some(zone)).map(|lines| lines[0].valid_before.unwrap())
    };
    assert_eq!(before("202501010200", &zone), Ok(1_735_689_600));
    assert_eq!(before("20250101", &TimeZone::UTC), Ok(1_735_689_600));
    assert_eq!(before("20250101Z", &zone), Ok(1_735_689_600), "the zone is for times without one");
    // A rule of summer time, so that nothing on the machine has to be there.
    let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
    assert_eq!(before("20250701", &zone), Ok(1_751_320_800));
    for time in ["20250330023000", "20251026023000"] {
        assert_eq!(before(time, &zone).unwrap_err()[0].fault, Fault::AmbiguousTime("valid-before"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever comes: an answer, and every fault inside the text.
    #[test]
    fn nothing_panics(
        noise in proptest::collection::vec(any::<u8>(), 0..100),
        words in proptest::collection::vec("[ \t\",=!*a\\\\\r\n]{0,4}|cert-authority|namespaces|valid-after=\"2025|ssh-ed25519|AAAA|ü", 0..12),
    ) {
        let words = words.concat();
        for bytes in [noise.as_slice(), words.as_bytes(), format!("{words} {}", key(1)).as_bytes()] {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            for error in parse(bytes, None).err().into_iter().flatten() {
                prop_assert!(error.line >= 1 && error.line <= lines && error.column >= 1);
            }
        }
    }
}
