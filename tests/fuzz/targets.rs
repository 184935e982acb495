//! What is done with arbitrary bytes, and what must hold whatever they are. The fuzzer runs these, and
//! `tests/fuzz_corpus.rs` runs them over the corpus that is kept here.
//!
//! The keys and signatures of the corpus were made for this purpose; the private keys are gone, so no
//! input that is not a copy of a seed, or one of the other spellings that are named below, can be
//! verified by them.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each program uses its own part")]

use countersign::domain::{BlobFacts, FileMode, LfsPointer, ObjectFormat, ObjectKind, Timestamp, fold_name};
use countersign::forge::{
    AuthError, Event, ForgeKind, Headers, Secret, Secrets, as_form, authenticate, parse, sign,
};
use countersign::git::{EntryKind, Tree};
use countersign::signature::mergetag;
use countersign::signature::object::{self, Payload, SignatureBlock, SignatureField, SignatureFormat};
use countersign::signature::openpgp::Certificate;
use countersign::signature::ssh::{PublicKey, Revocable, RevocationList, allowed_signers, parse_public_key};
use countersign::signature::{Keys, Rules, SignatureStatus, Times, Trace, verify};
use data_encoding::BASE64;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// When everything is judged: 2025-06-01, the time of the seeds.
const NOW: i64 = 1_748_736_000;

const COMMIT: &[u8] = include_bytes!("keys/commit.payload");
const TAG: &[u8] = include_bytes!("keys/tag.payload");

const SSH: [&str; 5] = [
    include_str!("keys/ssh-ed25519.pub"),
    include_str!("keys/ssh-ecdsa256.pub"),
    include_str!("keys/ssh-ecdsa384.pub"),
    include_str!("keys/ssh-ecdsa521.pub"),
    include_str!("keys/ssh-rsa.pub"),
];

const OPENPGP: [&[u8]; 3] = [
    include_bytes!("keys/pgp-ed25519.asc"),
    include_bytes!("keys/pgp-nistp256.asc"),
    include_bytes!("keys/pgp-rsa2048.asc"),
];

static KEYS: LazyLock<KeyBox> = LazyLock::new(|| KeyBox {
    authority: parse_public_key(include_str!("keys/ssh-authority.pub")).expect("a seed").blob().to_vec(),
    ssh: SSH.iter().map(|line| parse_public_key(line).expect("a seed").blob().to_vec()).collect(),
    openpgp: OPENPGP.iter().flat_map(|file| Certificate::parse_all(file).expect("a seed")).collect(),
});

/// How often a signature was judged: what a target may take depends on it.
pub static JUDGED: AtomicU32 = AtomicU32::new(0);

struct KeyBox {
    authority: Vec<u8>,
    ssh: Vec<Vec<u8>>,
    openpgp: Vec<Certificate>,
}

impl Keys for KeyBox {
    fn has_ssh_authority(&self, blob: &[u8]) -> bool {
        self.authority == blob
    }

    fn has_ssh(&self, blob: &[u8]) -> bool {
        self.ssh.iter().any(|known| known == blob)
    }

    fn openpgp_by_fingerprint(&self, fingerprint: &[u8]) -> Vec<&Certificate> {
        let has = |one: &&Certificate| one.component_fingerprints().iter().any(|known| known == fingerprint);
        self.openpgp.iter().filter(has).collect()
    }

    fn openpgp_by_key_id(&self, key_id: [u8; 8]) -> Vec<&Certificate> {
        self.openpgp.iter().filter(|one| one.key_ids().contains(&key_id)).collect()
    }
}

/// The whole payload, put together.
fn joined(payload: &Payload<'_>) -> Vec<u8> {
    [payload.before, payload.after].concat()
}

/// The rules by default, and as an operator may set them for old history.
fn both_rules() -> [Rules; 2] {
    let import = Rules {
        import: true,
        text_signatures: true,
        sha1_bindings: true,
        trailing_timestamps: true,
        ..Rules::default()
    };
    [Rules::default(), import]
}

/// Verifies twice, with and without a trace: the same both times.
fn judged(
    block: &SignatureBlock,
    payload: &Payload<'_>,
    keys: &dyn Keys,
    time: i64,
    rules: &Rules,
) -> SignatureStatus {
    JUDGED.fetch_add(2, Ordering::Relaxed);
    let times = Times::introduced(time, Timestamp::from_second(NOW).expect("in range"));
    let status = verify(block, payload, keys, times, rules, &mut Trace::off());
    assert_eq!(status, verify(block, payload, keys, times, rules, &mut Trace::on()));
    status
}

/// Whoever the signature is said to be by: only the bytes that the seeds' keys signed may be verified.
fn only_seeds(field: &SignatureField, payload: &Payload<'_>, time: i64, rules: &Rules) {
    let SignatureField::Present(block) = field else { return };
    if let SignatureStatus::Verified(_) = judged(block, payload, &*KEYS, time, rules) {
        let payload = joined(payload);
        assert!(payload == COMMIT || payload == TAG, "a payload that nobody signed is verified");
    }
}

/// What a signature is under the default rules it is under those for old history: they forgive, and
/// change nothing that needs no forgiving.
fn unchanged(strict: &SignatureField, forgiving: &SignatureField) {
    if !matches!(strict, SignatureField::Malformed { .. }) {
        assert_eq!(strict, forgiving);
    }
}

/// A commit: the splitter, and what it hands on.
pub fn commit(data: &[u8]) {
    for (format, header) in [(ObjectFormat::Sha1, "gpgsig "), (ObjectFormat::Sha256, "gpgsig-sha256 ")] {
        let [strict, import] =
            both_rules().map(|rules| object::parse_commit_by(format, data, &rules, &mut Trace::off()));
        assert_eq!(format!("{strict:?}"), format!("{:?}", object::parse_commit(format, data)));
        let [default_rules, import_rules] = both_rules();
        if let Ok(forgiven) = &import {
            only_seeds(&forgiven.signature, &forgiven.payload, forgiven.committer.time, &import_rules);
            let _ = mergetag::judge(format, forgiven, &import_rules, &mut Trace::off(), &mut |_, _| {
                SignatureStatus::Unsigned
            });
        }
        let Ok(commit) = strict else { continue };
        let import = import.expect("old history's rules forgive more, not less");
        unchanged(&commit.signature, &import.signature);
        let Payload { before, after } = commit.payload;
        assert!(data.starts_with(before) && data.ends_with(after));
        let cut = &data[before.len()..data.len() - after.len()];
        match &commit.signature {
            SignatureField::Present(block) => {
                assert_eq!(commit.payload, import.payload);
                let value = cut.strip_prefix(header.as_bytes()).expect("the signature's header was cut out");
                let lines: Vec<&[u8]> = value.split_inclusive(|byte| *byte == b'\n').collect();
                let rest = lines[1..].iter().map(|line| line.strip_prefix(b" ").expect("a continuation"));
                let unfolded = [lines[0].to_vec(), rest.collect::<Vec<_>>().concat()].concat();
                let tail = unfolded.strip_prefix(&block.armor[..]).expect("nothing before the armor");
                assert!(tail.iter().all(|byte| *byte == b'\n'), "something after the armor");
                // Without its signature it is the same commit, unsigned.
                let payload = joined(&commit.payload);
                let bare = object::parse_commit(format, &payload).expect("the payload is a commit");
                assert_eq!(bare.signature, SignatureField::Absent);
                assert_eq!((&bare.tree, &bare.parents), (&commit.tree, &commit.parents));
                assert_eq!((bare.author, bare.committer), (commit.author, commit.committer));
                assert_eq!((bare.message, bare.merge_tags), (commit.message, commit.merge_tags.clone()));
            }
            SignatureField::Absent => assert!(cut.is_empty() && after.is_empty()),
            SignatureField::Malformed { .. } => {}
        }
        assert!(data.ends_with(commit.message) && !data.contains(&0));
        assert!(data.starts_with(format!("tree {}\n", commit.tree).as_bytes()));
        assert_eq!(object::parents_lenient(format, data).as_ref(), Some(&commit.parents));
        only_seeds(&commit.signature, &commit.payload, commit.committer.time, &default_rules);
    }
}

/// An annotated tag: the splitter, and what it hands on.
pub fn tag(data: &[u8]) {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let [strict, import] =
            both_rules().map(|rules| object::parse_tag_by(format, data, &rules, &mut Trace::off()));
        assert_eq!(format!("{strict:?}"), format!("{:?}", object::parse_tag(format, data)));
        let [default_rules, import_rules] = both_rules();
        if let Ok(forgiven) = &import {
            only_seeds(&forgiven.signature, &forgiven.payload, forgiven.time(), &import_rules);
        }
        let Ok(tag) = strict else { continue };
        let import = import.expect("old history's rules forgive more, not less");
        unchanged(&tag.signature, &import.signature);
        let Payload { before, after } = tag.payload;
        assert!(after.is_empty());
        let signature = data.strip_prefix(before).expect("the payload is how the tag begins");
        assert!(before.ends_with(tag.message));
        match &tag.signature {
            SignatureField::Present(block) => {
                let tail = signature.strip_prefix(&block.armor[..]).expect("nothing before the armor");
                assert!(tail.iter().all(|byte| *byte == b'\n'), "something after the armor");
                assert!(before.ends_with(b"\n"), "a signature begins a line");
            }
            SignatureField::Absent => assert!(signature.is_empty()),
            SignatureField::Malformed { .. } => {}
        }
        assert!(data.starts_with(format!("object {}\n", tag.target).as_bytes()));
        only_seeds(&tag.signature, &tag.payload, tag.time(), &default_rules);
    }
}

/// A tag inside a merge: it is judged as the tag that it is outside of one.
pub fn merge_tag(data: &[u8]) {
    let [first, second] =
        ["83baae61804e65cc73a7201a7252750c76066a30", "5f549aa2f78314ac37bbd436c8f80aea4c752e07"];
    let message = COMMIT.windows(2).position(|pair| pair == b"\n\n").expect("a seed") + 1;
    let who: Vec<&[u8]> = COMMIT[..message].split_inclusive(|byte| *byte == b'\n').skip(2).collect();
    let mut raw = format!("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nparent {first}\nparent {second}\n");
    raw.push_str(std::str::from_utf8(&who.concat()).expect("a seed"));
    let mut raw = [raw.as_bytes(), b"mergetag "].concat();
    let tag = [data.strip_suffix(b"\n").unwrap_or(data), b"\n"].concat();
    for line in tag.split_inclusive(|byte| *byte == b'\n').enumerate() {
        raw.extend_from_slice(if line.0 == 0 { b"" } else { b" " });
        raw.extend_from_slice(line.1);
    }
    raw.extend_from_slice(&COMMIT[message..]);
    let format = ObjectFormat::Sha1;
    let parsed = object::parse_commit(format, &raw);
    assert_eq!(parsed.is_ok(), !data.contains(&0));
    let Ok(commit) = parsed else { return };
    assert_eq!(commit.merge_tags.len(), 1);
    let rules = Rules::default();
    let of = |tag: &object::TagObject<'_>| match &tag.signature {
        SignatureField::Present(block) => judged(block, &tag.payload, &*KEYS, tag.time(), &rules),
        _ => SignatureStatus::Unsigned,
    };
    let merged = mergetag::judge(format, &commit, &rules, &mut Trace::off(), &mut |tag, _| of(tag));
    let outside = object::parse_tag(format, &tag).is_ok_and(|tag| {
        tag.target.to_string() == second
            && tag.target_kind == ObjectKind::Commit
            && matches!(of(&tag), SignatureStatus::Verified(_))
    });
    assert_eq!(merged.len(), 1);
    assert_eq!(matches!(merged[0], mergetag::MergedTag::Good { .. }), outside);
    assert!(!outside || tag.starts_with(TAG), "a tag that nobody signed is good");
}

/// A signature's armor, once at the end of a tag and once folded into a commit's header: both readers
/// must make the same of it.
pub fn armor(data: &[u8]) {
    let tag = [TAG, data].concat();
    let (head, message) =
        COMMIT.split_at(COMMIT.windows(2).position(|pair| pair == b"\n\n").expect("a seed") + 1);
    let mut folded = b"gpgsig ".to_vec();
    for byte in data.strip_suffix(b"\n").unwrap_or(data) {
        folded.push(*byte);
        if *byte == b'\n' {
            folded.push(b' ');
        }
    }
    folded.push(b'\n');
    let commit = [head, &folded, message].concat();
    let (tag, commit) =
        (object::parse_tag(ObjectFormat::Sha1, &tag), object::parse_commit(ObjectFormat::Sha1, &commit));
    assert!(commit.is_ok() != data.contains(&0));
    let (Ok(tag), Ok(commit)) = (tag, commit) else { return };
    only_seeds(&tag.signature, &tag.payload, NOW, &Rules::default());
    only_seeds(&commit.signature, &commit.payload, NOW, &Rules::default());
    let word = |field: &SignatureField| match field {
        SignatureField::Absent => "absent".to_owned(),
        SignatureField::Present(block) => {
            let armor = block.armor.strip_suffix(b"\n").unwrap_or(&block.armor);
            format!("{:?} {}", block.format, data_encoding::HEXLOWER.encode(armor))
        }
        SignatureField::Malformed { code, .. } => (*code).to_owned(),
    };
    // A header has a last line feed in any case, which counts.
    let at_the_cap = data.len() == 16 * 1024 && !data.ends_with(b"\n");
    if tag.payload.before == TAG && data.starts_with(b"-----BEGIN ") && !at_the_cap {
        assert_eq!(word(&tag.signature), word(&commit.signature));
    }
    if let SignatureField::Present(block) = &commit.signature {
        // Whatever else it is, it is base64 in lines between two lines; before it, in OpenPGP alone, lines
        // that say what they like, but for controls.
        let lines: Vec<&[u8]> = block.armor.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.iter().filter(|line| line.starts_with(b"-----BEGIN ")).count(), 1);
        assert!(!block.armor.iter().any(|byte| byte.is_ascii_control() && *byte != b'\n'));
        let pgp = block.format == SignatureFormat::OpenPgp;
        let heads = lines.iter().position(|line| pgp && line.is_empty()).unwrap_or(0);
        let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        let mut data = lines[heads + 1..].iter().filter(|line| !line.starts_with(b"-----"));
        assert!(data.all(|line| line.iter().all(base64)));
    }
}

fn armored(label: &str, gap: &str, bytes: &[u8]) -> Vec<u8> {
    let text = BASE64.encode(bytes);
    let lines: Vec<_> =
        text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
    format!("-----BEGIN {label}-----\n{gap}{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

/// What a block is worth over the commit that its seeds signed, and that it is worth nothing over another.
fn over_both(format: SignatureFormat, armor: Vec<u8>, keys: &dyn Keys) -> SignatureStatus {
    let block = SignatureBlock { format, armor };
    let at = COMMIT.len() / 2;
    let payload = Payload { before: &COMMIT[..at], after: &COMMIT[at..] };
    let other = [COMMIT, b"x"].concat();
    let [status, forgiven] = both_rules().map(|rules| {
        let other = judged(&block, &Payload { before: &other, after: b"" }, keys, NOW, &rules);
        assert!(!matches!(other, SignatureStatus::Verified(_)), "a payload that nobody signed is verified");
        judged(&block, &payload, keys, NOW, &rules)
    });
    let verified = |status: &SignatureStatus| matches!(status, SignatureStatus::Verified(_));
    assert!(verified(&forgiven) || !verified(&status), "old history's rules forgive more, not less");
    status
}

/// An SSHSIG blob.
pub fn sshsig(data: &[u8]) {
    let status = over_both(SignatureFormat::Ssh, armored("SSH SIGNATURE", "", data), &*KEYS);
    if let SignatureStatus::Verified(proof) = status {
        assert!(
            data.starts_with(b"SSHSIG\0\0\0\x01") && data.windows(7).any(|field| field == b"\0\0\0\x03git")
        );
        // Strict Ed25519: there is one way to write it.
        if proof.algorithm().starts_with("ssh-ed25519") {
            assert!(
                [
                    &include_bytes!("keys/sshsig-ed25519")[..],
                    include_bytes!("keys/sshsig-ed25519-sha256"),
                    include_bytes!("keys/sshsig-certificate")
                ]
                .contains(&data)
            );
        }
    }
}

fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("inputs are small");
    [&length.to_be_bytes()[..], bytes].concat()
}

/// A signature over the commit by the key in the seed's certificate, under the certificate given.
pub fn under_certificate(certificate: &[u8]) -> Vec<u8> {
    let inner = include_bytes!("keys/certificate-signature");
    let mut blob = b"SSHSIG\0\0\0\x01".to_vec();
    for part in [certificate, b"git", b"", b"sha512", inner] {
        blob.extend(field(part));
    }
    armored("SSH SIGNATURE", "", &blob)
}

/// An OpenSSH certificate, in a signature that the key in the seed's certificate made.
pub fn ssh_certificate(data: &[u8]) {
    let status = over_both(SignatureFormat::Ssh, under_certificate(data), &*KEYS);
    if let SignatureStatus::Verified(proof) = status {
        // The authority signs with Ed25519, strictly: what it signed has one form.
        let made = [&include_bytes!("keys/certificate")[..], include_bytes!("keys/certificate-forever")];
        assert!(made.contains(&data), "a certificate that nobody made counts");
        assert!(proof.ssh_certificate().is_some_and(|made| !made.principals.is_empty()));
    }
}

/// A revocation list in either form.
pub fn revocation_list(data: &[u8]) {
    let (one, two) = (RevocationList::parse(data), RevocationList::parse(data));
    let (Ok(one), Ok(two)) = (&one, &two) else {
        assert_eq!(one.err(), two.err());
        return;
    };
    assert_eq!((one.header(), one.len()), (two.header(), two.len()));
    let authority = &KEYS.authority[..];
    for key in &KEYS.ssh {
        assert_eq!(one.revokes_key(key), two.revokes_key(key));
        for serial in [0, 1, 7, 8, 100_000, u64::MAX] {
            let certificate = Revocable::Certificate { authority, serial, key_id: b"fuzz test", key };
            assert_eq!(one.revokes(&certificate), two.revokes(&certificate));
            // Who revoked a key, or an authority, has revoked every certificate of theirs.
            let either = one.revokes_key(key).is_some() || one.revokes_key(authority).is_some();
            assert!(!either || one.revokes(&certificate).is_some());
        }
    }
    if one.is_empty() {
        assert!(KEYS.ssh.iter().all(|key| one.revokes_key(key).is_none()));
    }
    if !data.starts_with(b"SSHKRL") {
        // No key of a flat list is lost.
        let text = std::str::from_utf8(data).expect("a flat list is text");
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Ok(key) = parse_public_key(line) {
                assert!(one.revokes_key(key.blob()).is_some());
            }
        }
    }
}

/// An `allowed_signers` file.
pub fn allowed_signers(data: &[u8]) {
    let utc = jiff::tz::TimeZone::UTC;
    let (bare, zoned) = (allowed_signers::parse(data, None), allowed_signers::parse(data, Some(&utc)));
    assert_eq!(format!("{bare:?}"), format!("{:?}", allowed_signers::parse(data, None)));
    if let Ok(lines) = &bare {
        assert_eq!(zoned.as_ref(), Ok(lines), "a zone changes nothing for times that have one");
    }
    match &zoned {
        Ok(lines) => {
            let count = data.split(|byte| *byte == b'\n').count();
            assert!(lines.len() <= count && lines.is_sorted_by(|a, b| a.line < b.line));
            for line in lines {
                assert_eq!(PublicKey::from_blob(line.key.blob()).as_ref(), Ok(&line.key));
                assert!(!line.principals.is_empty() && line.line <= count);
                // One that is never in force is a mistake, and an error.
                let window = line.valid_after.zip(line.valid_before);
                assert!(window.is_none_or(|(after, before)| after < before));
                let _ = (line.signs_in("git"), line.covers(NOW), line.patterns());
            }
        }
        Err(errors) => assert!(!errors.is_empty() && errors.is_sorted_by_key(|error| error.line)),
    }
}

/// A public key, as a line and as a blob.
pub fn ssh_public_key(data: &[u8]) {
    if let Ok(key) = PublicKey::from_blob(data) {
        let line = format!("{} {}", key.algorithm(), BASE64.encode(data));
        assert_eq!(parse_public_key(&line).as_ref(), Ok(&key));
    }
    let Ok(line) = std::str::from_utf8(data) else { return };
    match parse_public_key(line) {
        Ok(key) => {
            assert_eq!(PublicKey::from_blob(key.blob()).as_ref(), Ok(&key));
            assert!(key.fingerprint().starts_with("SHA256:") && key.bits() >= 1);
            let _ = key.weakness();
        }
        // Nothing of what may be a secret is repeated.
        Err(error) => assert!(error.to_string().len() < 200),
    }
}

/// Signature packets.
pub fn openpgp_signature(data: &[u8]) {
    let status = over_both(SignatureFormat::OpenPgp, armored("PGP SIGNATURE", "\n", data), &*KEYS);
    if let SignatureStatus::Verified(proof) = status {
        assert!(KEYS.openpgp.iter().any(|known| known.fingerprint() == proof.certificate()));
    }
}

/// A key file.
pub fn openpgp_certificate(data: &[u8]) {
    let parsed = Certificate::parse_all(data);
    let shown = |parsed: &Result<Vec<Certificate>, _>| {
        let standings = |one: &Certificate| {
            // Hard revocations are never undone by time (O10).
            let mut all = Vec::new();
            for years in [-40, -1, 0, 1, 40_i64] {
                let at = Timestamp::from_second(NOW + years * 31_557_600).expect("in range");
                all.push(one.standing(at));
            }
            all
        };
        format!("{parsed:?} {:?}", parsed.as_ref().map(|all| all.iter().map(standings).collect::<Vec<_>>()))
    };
    assert_eq!(shown(&parsed), shown(&Certificate::parse_all(data)));
    let Ok(certificates) = parsed else { return };
    assert!(!certificates.is_empty());
    for one in &certificates {
        assert_eq!(one.component_fingerprints().len(), one.key_ids().len());
        let _ = (one.user_ids(), one.algorithm().to_string(), one.findings());
    }
    // The seeds' signatures are by nobody else, whoever takes their subkeys into a certificate (O7).
    let keys = KeyBox { authority: Vec::new(), ssh: Vec::new(), openpgp: certificates };
    for armor in SEED_SIGNATURES {
        if let SignatureStatus::Verified(proof) = over_both(SignatureFormat::OpenPgp, armor.to_vec(), &keys) {
            assert!(KEYS.openpgp.iter().any(|known| known.fingerprint() == proof.certificate()));
        }
    }
}

const SEED_SIGNATURES: [&[u8]; 3] = [
    include_bytes!("keys/signature-ed25519.asc"),
    include_bytes!("keys/signature-nistp256.asc"),
    include_bytes!("keys/signature-rsa2048.asc"),
];

/// Whether a seed's signature is good over the seeds' commit.
pub fn seed_verifies(armor: &[u8]) -> bool {
    let label =
        if armor.starts_with(b"-----BEGIN SSH") { SignatureFormat::Ssh } else { SignatureFormat::OpenPgp };
    matches!(over_both(label, armor.to_vec(), &*KEYS), SignatureStatus::Verified(_))
}

/// A tree: what is taken without a fault can be written back byte for byte. The same bytes as a blob, and
/// as names.
pub fn tree(data: &[u8]) {
    for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
        let tree = Tree::decode(format, data, u64::MAX).expect("there is no limit");
        assert!(tree.whole || !tree.faults.is_empty());
        let mut again = Vec::new();
        for entry in &tree.entries {
            let mode = match entry.kind {
                EntryKind::Tree => "40000",
                EntryKind::Leaf(mode) => mode.octal(),
            };
            again.extend([mode.as_bytes(), b" ", entry.name, b"\0", entry.id.as_bytes()].concat());
            assert!(!entry.name.is_empty() && !entry.name.contains(&0));
            let key = fold_name(entry.name);
            assert_eq!(fold_name(&key), key);
            assert_eq!(fold_name(&entry.name.to_ascii_uppercase()), key);
        }
        if tree.faults.is_empty() {
            assert_eq!(again, data);
            let names: std::collections::HashSet<_> = tree.entries.iter().map(|entry| entry.name).collect();
            assert_eq!(names.len(), tree.entries.len());
        } else {
            assert!(again != data || tree.entries.len() > 1 || data.contains(&b'/'));
        }
        let limit = tree.entries.len() as u64;
        assert!(limit == 0 || Tree::decode(format, data, limit - 1).is_err());
    }
    let facts = BlobFacts::of(data.len() as u64, data);
    assert_eq!(facts.lfs, LfsPointer::parse(data));
    assert!(facts.lfs.is_none() || !facts.binary && facts.program.is_none());
    assert!(!FileMode::Submodule.has_blob());
}

/// A delivery: a line with the forge, a line with the event, and the body. Signed, it is believed, and what is
/// understood of it can be kept; as it is, it is not believed, and neither are headers made of it.
pub fn delivery(data: &[u8]) {
    let mut lines = data.splitn(3, |byte| *byte == b'\n');
    let (Some(forge), Some(event), Some(body)) = (lines.next(), lines.next(), lines.next()) else { return };
    let Some(forge) = ForgeKind::ALL.iter().copied().find(|kind| kind.name().as_bytes() == forge) else {
        return;
    };
    let event = String::from_utf8_lossy(event);
    let now = Timestamp::from_second(NOW).expect("in range");
    let secret =
        Secret::new(b"whsec_dGVzdCBrZXksIG5vdCBhIHJlYWwgb25lISEhISEhISE=".to_vec()).expect("not empty");
    let mut secrets = Secrets::new();
    secrets.add(forge, Secrets::usual_kind(forge, &secret), &secret).expect("of the usual kind");
    let headers = sign(forge, &secrets, &event, "1", body, now);
    match authenticate(forge, &secrets, &headers, body, now) {
        Ok(one) => {
            assert_eq!(one.payload(), body);
            match parse(&one) {
                Ok(event) => understood(&event),
                Err(error) => assert!(error.to_string().len() < 500),
            }
        }
        // Of the headers only the event's name is not ours.
        Err(error) => assert!(matches!(error, AuthError::Header(_) | AuthError::Form(_)), "{error}"),
    }
    assert!(authenticate(forge, &Secrets::new(), &headers, body, now).is_err());
    let names = headers.iter().map(|(name, _)| name.to_owned()).filter(|name| name != "content-type");
    let made = Headers::new(names.map(|name| (name, body.to_vec())));
    assert!(authenticate(forge, &secrets, &made, body, now).is_err());
    // As a form it is the same, where there are forms.
    if matches!(forge, ForgeKind::Gitea | ForgeKind::Forgejo | ForgeKind::Gogs) {
        let form = as_form(body);
        let typed = headers.iter().map(|(name, value)| {
            let form: &[u8] = b"application/x-www-form-urlencoded";
            (name.to_owned(), if name == "content-type" { form.to_vec() } else { value.to_vec() })
        });
        if let Ok(one) = authenticate(forge, &secrets, &Headers::new(typed), &form, now) {
            assert_eq!(one.payload(), body);
        }
        let _ = authenticate(forge, &secrets, &headers, body, now);
    }
}

fn understood(event: &Event) {
    let kept = serde_json::to_string(event).expect("it can be written");
    assert_eq!(&serde_json::from_str::<Event>(&kept).expect("and read"), event);
    match event {
        Event::Push(push) => {
            assert!(push.claims.iter().all(|claim| claim.before != claim.after));
            assert!(push.unreadable.iter().all(|why| !why.chars().any(char::is_control)));
            assert!(!push.repository.id.is_empty() && push.repository.id.is_ascii());
        }
        Event::Ignored(name) => assert!(!name.chars().any(char::is_control)),
        Event::Proposal(_) | Event::Ping(_) => {}
    }
}

/// A target's name and the function.
pub type Target = (&'static str, fn(&[u8]));

/// Every target by its name, which is that of its directory in the corpus.
pub const ALL: &[Target] = &[
    ("allowed_signers", allowed_signers),
    ("armor", armor),
    ("commit", commit),
    ("delivery", delivery),
    ("merge_tag", merge_tag),
    ("openpgp_certificate", openpgp_certificate),
    ("openpgp_signature", openpgp_signature),
    ("revocation_list", revocation_list),
    ("ssh_certificate", ssh_certificate),
    ("ssh_public_key", ssh_public_key),
    ("sshsig", sshsig),
    ("tag", tag),
    ("tree", tree),
];
