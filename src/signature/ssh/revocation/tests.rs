//! Revocation lists: truncated, lying and oversized ones first; lists by ssh-keygen are in
//! `tests/conformance/ssh.rs`.

use super::*;
use crate::signature::testing::{ssh_blob, strings};
use ed25519_dalek::{Signer, SigningKey};
use proptest::prelude::*;

fn blob(seed: u8) -> Vec<u8> {
    ssh_blob(&SigningKey::from_bytes(&[seed; 32]))
}

fn header(flags: u64) -> Vec<u8> {
    let numbers = [7, 1_700_000_000, flags].map(u64::to_be_bytes).concat();
    [krl::MAGIC, &1_u32.to_be_bytes(), &numbers, &strings(&[b"", b"a \x1b comment"])].concat()
}

fn section(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind][..], &strings(&[content])].concat()
}

fn certificates(authority: &[u8], parts: &[Vec<u8>]) -> Vec<u8> {
    section(1, &[strings(&[authority, b""]), parts.concat()].concat())
}

fn parse(sections: &[Vec<u8>]) -> Result<RevocationList, RevocationError> {
    RevocationList::parse(&[header(0), sections.concat()].concat())
}

fn fault(sections: &[Vec<u8>]) -> Fault {
    match parse(sections) {
        Err(RevocationError::Fault { fault, place: Place::Byte(at) }) => {
            assert!(at > 8, "{at}");
            fault
        }
        other => panic!("{other:?}"),
    }
}

fn everything() -> Vec<u8> {
    let numbers = |all: &[u64]| all.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
    let bitmap = [&numbers(&[1000])[..], &strings(&[&[0x01, 0x00, 0x05]])].concat();
    let parts = [
        section(0x20, &numbers(&[5, 3])),
        section(0x21, &numbers(&[10, 20])),
        section(0x22, &bitmap),
        section(0x23, &strings(&[b"laptop", b"phone"])),
        section(0x39, &[&strings(&[b"note"])[..], &[0], &strings(&[b"x"])].concat()),
    ];
    let sections = [
        certificates(&blob(9), &parts),
        certificates(b"", &[section(0x20, &numbers(&[77])), section(0x23, &strings(&[b"anybody's"]))]),
        section(2, &strings(&[&blob(1), &blob(2)])),
        section(3, &strings(&[&HashAlgorithm::Sha1.digest(&blob(3)).unwrap()])),
        section(5, &strings(&[&Sha256::digest(blob(4))])),
        section(255, &[&strings(&[b"note"])[..], &[0], &strings(&[b"x"])].concat()),
    ];
    [header(0), sections.concat()].concat()
}

#[test]
fn every_way_to_be_revoked() {
    let list = RevocationList::parse(&everything()).unwrap();
    assert_eq!((list.header().version, list.header().generated), (7, 1_700_000_000));
    assert_eq!(list.header().comment, "a \\x1b comment");
    assert_eq!(list.len(), 4 + 4 + 2 + 2);
    let wanted = [Some(Why::Key), Some(Why::Key), Some(Why::Fingerprint), Some(Why::Fingerprint), None];
    for (seed, wanted) in (1..).zip(wanted) {
        assert_eq!(list.revokes_key(&blob(seed)), wanted);
    }
    let serial =
        |authority: u8, serial: u64| list.revokes_certificate(&blob(authority), serial, b"x", &blob(5));
    for (number, wanted) in [
        (3, true),
        (4, false),
        (5, true),
        (9, false),
        (10, true),
        (15, true),
        (20, true),
        (21, false),
        (999, false),
        (1000, true),
        (1001, false),
        (1002, true),
        (1003, false),
        (1015, false),
        (1016, true),
        (1017, false),
        (0, false),
        (u64::MAX, false),
        (77, true),
    ] {
        assert_eq!(serial(9, number), wanted.then_some(Why::Serial), "{number}");
        assert_eq!(serial(8, number), (number == 77).then_some(Why::Serial), "another authority, {number}");
    }
    let key_id = |authority: u8, name: &[u8]| list.revokes_certificate(&blob(authority), 0, name, &blob(5));
    assert_eq!(key_id(9, b"laptop"), Some(Why::KeyId));
    assert_eq!(key_id(8, b"laptop"), None);
    assert_eq!(key_id(8, b"anybody's"), Some(Why::KeyId));
    assert_eq!(key_id(9, b"Laptop"), None);
    assert_eq!(list.revokes_certificate(&blob(1), 0, b"", &blob(5)), Some(Why::Authority));
    assert_eq!(list.revokes_certificate(&blob(3), 0, b"", &blob(5)), Some(Why::Authority));
    assert_eq!(list.revokes_certificate(&blob(9), 0, b"", &blob(1)), Some(Why::Key));
    assert_eq!(list.revokes(&Revocable::Authority(&blob(2))), Some(Why::Authority));
    assert!(list.revokes(&Revocable::Key(&blob(9))).is_none(), "its certificates, not the authority itself");
}

#[test]
fn s043_truncated_anywhere() {
    let whole = everything();
    let starts = [header(0).len()];
    for end in 1..whole.len() {
        match RevocationList::parse(&whole[..end]) {
            Err(RevocationError::Fault { place: Place::Byte(at), fault: Fault::Truncated }) => {
                assert!(at <= end)
            }
            // Between two sections the list is whole: nothing in the format says how many there are.
            Ok(_) => assert!(starts.iter().any(|start| end >= *start), "{end}"),
            other => panic!("{end}: {other:?}"),
        }
    }
    let whole_ends =
        (header(0).len()..whole.len()).filter(|end| RevocationList::parse(&whole[..*end]).is_ok());
    assert_eq!(whole_ends.count(), 6, "one before each section");
}

#[test]
fn s044_and_other_faults() {
    let numbers = |all: &[u64]| all.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
    let critical = [&strings(&[b"new"])[..], &[1], &strings(&[b""])].concat();
    let of_ca = |part: Vec<u8>| certificates(b"", &[part]);
    for (sections, wanted) in [
        (section(255, &critical), Fault::Critical("new".into())),
        (of_ca(section(0x39, &critical)), Fault::Critical("new".into())),
        (section(6, b""), Fault::Section(6)),
        (of_ca(section(0x24, b"")), Fault::Section(0x24)),
        (of_ca(section(0x21, &numbers(&[2, 1]))), Fault::Range),
        (of_ca(section(0x21, &numbers(&[1, 2, 3]))), Fault::Trailing),
        (of_ca(section(0x20, &[0; 9])), Fault::Truncated),
        (of_ca(section(0x22, &[&numbers(&[u64::MAX])[..], &strings(&[&[2]])].concat())), Fault::Bitmap),
        (of_ca(section(0x22, &[&numbers(&[1])[..], &strings(&[&[0]])].concat())), Fault::Number),
        (of_ca(section(0x22, &[&numbers(&[1])[..], &strings(&[&[0x80]])].concat())), Fault::Number),
        (section(3, &strings(&[&[0; 32]])), Fault::Fingerprint(32)),
        (section(5, &strings(&[&[0; 20]])), Fault::Fingerprint(20)),
        (section(2, &strings(&[b""])), Fault::Key(SshKeyError::Encoding("it ends too early"))),
        (section(2, &strings(&[&blob(1)[..40]])), Fault::Key(SshKeyError::Encoding("it ends too early"))),
        (
            section(2, &strings(&[&strings(&[b"ssh-ed25519-cert-v01@openssh.com"])])),
            Fault::Key(SshKeyError::Certificate("ssh-ed25519-cert-v01@openssh.com".into())),
        ),
        (certificates(b"x", &[]), Fault::Key(SshKeyError::Encoding("it ends too early"))),
        (section(1, b"").repeat(100_001), Fault::Truncated),
        (section(2, b"").repeat(100_001), Fault::TooManySections),
    ] {
        assert_eq!(
            fault(std::slice::from_ref(&sections)),
            wanted,
            "{:?}",
            &sections[..sections.len().min(40)]
        );
    }
    let flags = RevocationList::parse(&header(1)).unwrap_err();
    assert_eq!(flags.to_string(), "byte 28: the list has flags that nobody has defined");
    let mut version = header(0);
    version[11] = 2;
    let place = Place::Byte(8);
    assert_eq!(
        RevocationList::parse(&version).unwrap_err(),
        RevocationError::Fault { place, fault: Fault::Version(2) }
    );
    let length = [&header(0)[..], &[2, 0xff, 0xff, 0xff, 0xff]].concat();
    assert!(RevocationList::parse(&length).unwrap_err().to_string().ends_with("ends too early"));
    assert_eq!(RevocationList::parse(&vec![b'#'; MAX_FILE + 1]).unwrap_err(), RevocationError::TooLarge);
}

#[test]
fn ranges_and_bitmaps_are_kept_as_they_are() {
    let numbers = |all: &[u64]| all.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
    let all = parse(&[certificates(b"", &[section(0x21, &numbers(&[0, u64::MAX]))])]).unwrap();
    assert_eq!(all.len(), 1);
    for serial in [0, 1, 1 << 40, u64::MAX] {
        assert_eq!(all.revokes_certificate(b"x", serial, b"", b"y"), Some(Why::Serial));
    }
    let at_the_end = [&numbers(&[u64::MAX - 8])[..], &strings(&[&[1, 0]])].concat();
    let last = parse(&[certificates(b"", &[section(0x22, &at_the_end)])]).unwrap();
    assert_eq!(last.revokes_certificate(b"x", u64::MAX, b"", b"y"), Some(Why::Serial));
    assert_eq!(last.revokes_certificate(b"x", u64::MAX - 1, b"", b"y"), None);
    let touching =
        [[1, 5], [6, 9], [2, 3], [20, u64::MAX], [30, 40]].map(|range| section(0x21, &numbers(&range)));
    assert_eq!(parse(&[certificates(b"", &touching)]).unwrap().len(), 2, "joined");
}

#[test]
fn signatures_of_lists() {
    let key = SigningKey::from_bytes(&[6; 32]);
    let body = [&everything()[..], &[4], &strings(&[&ssh_blob(&key)])].concat();
    let inner = |data: &[u8]| strings(&[b"ssh-ed25519", &key.sign(data).to_bytes()]);
    let signed = [&body[..], &strings(&[&inner(&body)])].concat();
    let list = RevocationList::parse(&signed).unwrap();
    assert_eq!(list.header().signed_by, [super::key::fingerprint(&ssh_blob(&key))]);
    assert_eq!(RevocationList::parse(&everything()).unwrap().header().signed_by.len(), 0);
    let text = |bytes: &[u8]| RevocationList::parse(bytes).unwrap_err().to_string();
    let wrong = [&body[..], &strings(&[&inner(b"other")])].concat();
    assert!(text(&wrong).ends_with("the signature of the list does not verify"));
    // Each is over everything before it: a file of nothing else would keep whoever reads it busy for hours.
    let mut many = everything();
    for count in 1..=17 {
        many = [&many[..], &[4], &strings(&[&ssh_blob(&key)])].concat();
        many = [&many[..], &strings(&[&inner(&many)])].concat();
        assert_eq!(RevocationList::parse(&many).is_ok(), count <= 16, "{count}");
    }
    assert!(text(&many).contains("more than 16 signatures"));
    let behind = [&signed[..], &section(2, &strings(&[&blob(1)]))].concat();
    assert!(text(&behind).contains("behind the signature"));
    for end in body.len() - 60..signed.len() {
        assert!(RevocationList::parse(&signed[..end]).is_err() || end == everything().len());
    }
}

#[test]
fn flat_lists() {
    let line = |seed: u8| format!("ssh-ed25519 {}", BASE64.encode(&blob(seed)));
    let unknown = strings(&[b"ssh-future@example.org", b"x"]);
    let text = format!(
        "# revoked in spring\r\n\n{} laptop\r\n\t{}\nssh-future@example.org {}\n",
        line(1),
        line(2),
        BASE64.encode(&unknown)
    );
    let list = RevocationList::parse(text.as_bytes()).unwrap();
    assert_eq!(list.len(), 3);
    assert_eq!(list.revokes_key(&blob(1)), Some(Why::Key));
    assert_eq!(list.revokes_key(&blob(2)), Some(Why::Key));
    assert_eq!(list.revokes_key(&unknown), Some(Why::Key));
    assert_eq!(list.revokes_key(&blob(3)), None, "S038");
    assert_eq!(list.revokes_certificate(&blob(1), 1, b"", &blob(3)), Some(Why::Authority));
    for empty in ["", "\n\n", "# nothing\n", " \t\n"] {
        assert_eq!(RevocationList::parse(empty.as_bytes()).unwrap_err(), RevocationError::Empty);
    }
    assert!(RevocationList::empty().is_empty());
    for (text, wanted) in [
        ("garbage".to_owned(), "line 1, column 1: a public key is one line"),
        (format!("{}\n  garbage here\n", line(1)), "line 2, column 3: a public key is one line"),
        (format!("{}\nssh-ed25519 AAAA!\n", line(1)), "line 2, column 13: the key is not valid base64"),
        (format!("alice {}\n", line(1)), "line 1, column 1: a public key is one line"),
        ("serial: 1-5\n".to_owned(), "line 1, column 1: `serial:` is for the source of a KRL"),
        ("id: x\n".to_owned(), "line 1, column 1: `id:` is for the source of a KRL"),
        (format!("key: {}\n", line(1)), "line 1, column 1: `key:` is for the source of a KRL"),
        ("sha256: SHA256:xyz\n".to_owned(), "line 1, column 1: `sha256:` is for the source of a KRL"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned(), "line 1, column 1: this is a private key"),
        (
            format!("ssh-future@example.org {}", BASE64.encode(&blob(1))),
            "line 1, column 24: the type on the line",
        ),
        ("ssh-ed25519-cert-v01@openssh.com AAAA".to_owned(), "line 1, column 1: this is an SSH certificate"),
    ] {
        let error = RevocationList::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{text}: {error}");
    }
    let binary = RevocationList::parse(b"# x\nab\xff").unwrap_err();
    assert_eq!(binary.to_string(), "line 2, column 3: this is neither a KRL nor a list of public keys");
    assert!(RevocationList::parse(b"SSHKRL\n").is_err(), "cut off in its first word");
    assert!(RevocationList::parse(b"SSHKRL\n\x01").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Changed and random lists: an answer in no time, and no panic.
    #[test]
    fn nothing_panics(at in any::<prop::sample::Index>(), byte in any::<u8>(),
                      noise in proptest::collection::vec(any::<u8>(), 0..120)) {
        let mut changed = everything();
        let index = at.index(changed.len());
        changed[index] = byte;
        for bytes in [changed, noise.clone(), [header(0), noise].concat()] {
            if let Ok(list) = RevocationList::parse(&bytes) {
                let _ = list.revokes_certificate(&blob(9), u64::from(byte), b"laptop", &blob(1));
            }
        }
    }
}
