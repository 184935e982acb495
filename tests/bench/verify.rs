//! What a verification costs above its arithmetic: from a commit's raw bytes to the assessed status, with a
//! keyring as it is loaded, beside the same library call on prepared inputs in the same run. Only the
//! ratios mean anything elsewhere: `scripts/bench` prints them.
//!
//! And what the most expensive objects and trust files at the caps of their size cost, in milliseconds: group
//! `worst`.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../support/crafted.rs"]
mod crafted;
#[path = "../support/keys.rs"]
mod keys;
#[path = "../support/ssh_craft.rs"]
mod ssh_craft;
#[path = "../support/worst.rs"]
mod worst;

use countersign::domain::ObjectFormat;
use countersign::keyring::Keyring;
use countersign::signature::{Rules, SignatureStatus, Times, Trace, judge, object};
use crafted::{CraftedKey, CraftedSignature, ED25519, EDDSA_LEGACY};
use criterion::Criterion;
use ed25519_dalek::Verifier;
use keys::{BORN, Gpg, NOW, Ssh, at, commit, signed};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PacketHeader, PublicKey};
use pgp::types::{KeyDetails, Mpi, PublicParams, SignatureBytes, Tag, VerifyingKey};
use sha2::{Digest, Sha256, Sha512};
use ssh_key::encoding::Decode;
use ssh_key::public::KeyData;
use std::fs;
use std::hint::black_box;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

/// One algorithm: a commit, its key's file, and the bare arithmetic for it.
struct Case {
    name: &'static str,
    commit: Vec<u8>,
    entry: String,
    bare: Box<dyn Fn() -> bool>,
}

fn ssh_case(name: &'static str, payload: &[u8], line: &str, armor: &[u8]) -> Case {
    let blob = ssh_craft::dearmored(armor);
    let mut rest = &blob[10..];
    let mut next = || {
        let (length, tail) = rest.split_first_chunk::<4>().unwrap();
        let (field, tail) = tail.split_at(u32::from_be_bytes(*length) as usize);
        rest = tail;
        field.to_vec()
    };
    let (key, _, _, hash, inner) = (next(), next(), next(), next(), next());
    assert_eq!(hash, b"sha512");
    let length = u32::from_be_bytes(inner[..4].try_into().unwrap()) as usize;
    let (algorithm, tail) = (inner[4..4 + length].to_vec(), &inner[4 + length..]);
    let width = u32::from_be_bytes(tail[..4].try_into().unwrap()) as usize;
    let (numbers, tail) = (tail[4..4 + width].to_vec(), tail[4 + width..].to_vec());
    let data = payload.to_vec();
    let to_be_signed = move || {
        let digest = Sha512::digest(&data);
        [&b"SSHSIG"[..], &ssh_craft::strings(&[b"git", b"", b"sha512", &digest])].concat()
    };
    let bare: Box<dyn Fn() -> bool> = if algorithm.ends_with(b"ssh-ed25519") {
        let point = key[key.len() - 32..].try_into().unwrap();
        let point = ed25519_dalek::VerifyingKey::from_bytes(&point).unwrap();
        let signature = ed25519_dalek::Signature::from_slice(&numbers).unwrap();
        Box::new(move || point.verify_strict(&to_be_signed(), &signature).is_ok())
    } else if algorithm.starts_with(b"sk-ssh-ed25519") {
        // string name, string point, string application
        let start = 4 + algorithm.len() + 4;
        let point = key[start..start + 32].try_into().unwrap();
        let point = ed25519_dalek::VerifyingKey::from_bytes(&point).unwrap();
        let application = key[start + 36..].to_vec();
        let signature = ed25519_dalek::Signature::from_slice(&numbers).unwrap();
        Box::new(move || {
            let inner = Sha256::digest(to_be_signed());
            let whole = [&Sha256::digest(&application)[..], &tail, &inner].concat();
            point.verify_strict(&whole, &signature).is_ok()
        })
    } else {
        let whole = ssh_key::Signature::decode(&mut &inner[..]).unwrap();
        let data = KeyData::decode(&mut &key[..]).unwrap();
        Box::new(move || data.verify(&to_be_signed(), &whole).is_ok())
    };
    let entry = format!("[[key]]\nssh = \"{}\"\n", line.trim());
    Case { name, commit: signed(payload, armor), entry, bare }
}

/// The body of the one packet, and that of the first key packet, whatever their headers look like.
fn body(packet: &[u8]) -> &[u8] {
    match packet[0] {
        0xc0.. => match packet[1] {
            255 => &packet[6..6 + u32::from_be_bytes(packet[2..6].try_into().unwrap()) as usize],
            short @ 0..192 => &packet[2..2 + usize::from(short)],
            high => &packet[3..3 + (usize::from(high) - 192) * 256 + usize::from(packet[2]) + 192],
        },
        first if first & 3 == 0 => &packet[2..2 + usize::from(packet[1])],
        _ => &packet[3..3 + usize::from(u16::from_be_bytes([packet[1], packet[2]]))],
    }
}

fn pgp_case(name: &'static str, payload: &[u8], certificate: &[u8], armor: &[u8]) -> Case {
    let packet = crafted::dearmored(armor);
    let signature = body(&packet).to_vec();
    let packets = crafted::dearmored(certificate);
    let key = body(&packets);
    let header = PacketHeader::new_fixed(Tag::PublicKey, u32::try_from(key.len()).unwrap());
    let material = PublicKey::try_from_reader(header, key).unwrap();
    let hash = HashAlgorithm::from(signature[3]);
    let width = if signature[0] == 6 { 4 } else { 2 };
    let length =
        |at: usize| signature[at..at + width].iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    let hashed = 4 + width + length(4);
    let mut at = hashed + width + length(hashed) + 2;
    let mut salt = Vec::new();
    if signature[0] == 6 {
        salt = signature[at + 1..at + 1 + usize::from(signature[at])].to_vec();
        at += 1 + salt.len();
    }
    let mut rest = &signature[at..];
    let numbers = if signature[2] == ED25519 {
        SignatureBytes::Native(rest.to_vec().into())
    } else {
        let mut all = Vec::new();
        while let Some((bits, tail)) = rest.split_first_chunk::<2>() {
            let (number, tail) = tail.split_at(usize::from(u16::from_be_bytes(*bits)).div_ceil(8));
            all.push(Mpi::from_slice(number));
            rest = tail;
        }
        SignatureBytes::Mpis(all)
    };
    let trailer =
        [&signature[..hashed], &[signature[0], 0xff], &u32::try_from(hashed).unwrap().to_be_bytes()].concat();
    let data = payload.to_vec();
    let digest = move || {
        let mut hasher = hash.new_hasher().unwrap();
        hasher.update(&salt);
        hasher.update(&data);
        hasher.update(&trailer);
        hasher.finalize().into_vec()
    };
    let point = match material.public_params().clone() {
        PublicParams::Ed25519(params) => Some(params.key),
        PublicParams::EdDSALegacy(pgp::types::EddsaLegacyPublicParams::Ed25519 { key }) => Some(key),
        _ => None,
    };
    let bare: Box<dyn Fn() -> bool> = if let Some(point) = point {
        let mut bytes = [0; 64];
        match &numbers {
            SignatureBytes::Native(native) => bytes.copy_from_slice(native),
            SignatureBytes::Mpis(both) => {
                for (half, number) in bytes.chunks_mut(32).zip(both) {
                    let digits = number.as_ref();
                    half[32 - digits.len()..].copy_from_slice(digits);
                }
            }
        }
        let signature = bytes.into();
        Box::new(move || point.verify_strict(&digest(), &signature).is_ok())
    } else {
        Box::new(move || material.verify(hash, &digest(), &numbers).is_ok())
    };
    let text = String::from_utf8(certificate.to_vec()).unwrap();
    let entry = format!("[[key]]\nopenpgp = \"\"\"\n{text}\"\"\"\n");
    Case { name, commit: signed(payload, armor), entry, bare }
}

fn cases() -> Vec<Case> {
    let payload = commit(NOW, "what a verification costs\n");
    let ssh = Ssh::new();
    let gpg = Gpg::new();
    let mut all = Vec::new();
    for (name, key) in [
        ("ssh ed25519", ssh_craft::Key::ed25519(1)),
        ("ssh sk-ed25519", ssh_craft::Key::ed25519(2).fido("ssh:")),
    ] {
        all.push(ssh_case(name, &payload, &key.line(), &key.sshsig(&payload)));
    }
    for (name, kind, bits) in [
        ("ssh ecdsa p256", "ecdsa", "256"),
        ("ssh ecdsa p384", "ecdsa", "384"),
        ("ssh ecdsa p521", "ecdsa", "521"),
        ("ssh rsa 2048", "rsa", "2048"),
        ("ssh rsa 4096", "rsa", "4096"),
    ] {
        let key = ssh.generate(&name.replace(' ', "-"), kind, bits);
        all.push(ssh_case(name, &payload, &Ssh::public(&key), &Ssh::sign(&key, "git", &[], &payload)));
    }
    for (name, algorithm, version) in
        [("openpgp ed25519 v4", EDDSA_LEGACY, 4), ("openpgp ed25519 v6", ED25519, 6)]
    {
        let key = CraftedKey::of(algorithm, version, version, BORN);
        let certificate = crafted::key_armor(&crafted::simple(&key, BORN));
        all.push(pgp_case(name, &payload, &certificate, &CraftedSignature::new(0, NOW).over(&key, &payload)));
    }
    for (name, algorithm) in
        [("openpgp ecdsa p256", "nistp256"), ("openpgp rsa 2048", "rsa2048"), ("openpgp rsa 4096", "rsa4096")]
    {
        let key = gpg.generate(BORN, algorithm, "sign", "never");
        let known = gpg.fingerprints();
        assert!(known.contains(&key));
        all.push(pgp_case(name, &payload, &gpg.export(&key), &gpg.sign(NOW, &key, &[], &payload)));
    }
    all
}

/// The keys of the cases, and as many others, half of each kind, as make `total`.
fn keyring(cases: &[Case], total: usize) -> Keyring {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(format!("{name}.toml"));
        fs::write(&path, format!("name = \"{name}\"\n{text}")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    };
    for (index, case) in cases.iter().enumerate() {
        write(&format!("case-{index}"), &case.entry);
    }
    for index in cases.len()..total {
        let mut seed = [0xc5; 32];
        seed[..8].copy_from_slice(&(index as u64).to_be_bytes());
        let text = if index % 2 == 0 {
            let point = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
            let blob = ssh_craft::strings(&[b"ssh-ed25519", point.as_bytes()]);
            format!("[[key]]\nssh = \"ssh-ed25519 {}\"\n", data_encoding::BASE64.encode(&blob))
        } else {
            let key = CraftedKey::from_seed(seed, ED25519, 4, BORN);
            let armor = String::from_utf8(crafted::key_armor(&crafted::simple(&key, BORN))).unwrap();
            format!("[[key]]\nopenpgp = \"\"\"\n{armor}\"\"\"\n")
        };
        write(&format!("other-{index}"), &text);
    }
    let loaded = Keyring::load(directory.path()).unwrap_or_else(|error| panic!("{error}")).keyring;
    assert_eq!(loaded.keys().len(), total.max(cases.len()));
    loaded
}

/// From bytes to the assessed status, as it is done for every commit of a push.
fn whole(raw: &[u8], keyring: &Keyring, rules: &Rules) -> bool {
    let parsed = object::parse_commit(ObjectFormat::Sha1, raw).unwrap();
    let times = Times::introduced(parsed.committer.time, at(NOW));
    let status = judge(&parsed.signature, &parsed.payload, keyring, times, rules, &mut Trace::off());
    matches!(keyring.assess(status, &times, rules).0, SignatureStatus::Verified(_))
}

/// The group of what costs most.
const WORST: &str = "worst";
const FEW: usize = 12;
const MANY: usize = 10_000;

fn main() {
    // Short measurements, taken in turns: a machine that is busy is busy for all of them.
    let mut criterion = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots()
        .configure_from_args();
    let cases = cases();
    let (few, many) = (keyring(&cases, FEW), keyring(&cases, MANY));
    let rules = Rules::default();
    for case in &cases {
        assert!((case.bare)(), "{}: the bare arithmetic says no", case.name);
        assert!(whole(&case.commit, &few, &rules) && whole(&case.commit, &many, &rules), "{}", case.name);
        let mut group = criterion.benchmark_group(case.name);
        group.bench_function("bare", |bencher| bencher.iter(|| black_box((case.bare)())));
        group.bench_function("few", |bencher| bencher.iter(|| whole(black_box(&case.commit), &few, &rules)));
        group
            .bench_function("many", |bencher| bencher.iter(|| whole(black_box(&case.commit), &many, &rules)));
        group.finish();
    }
    let all: Vec<_> = worst::of_objects().into_iter().chain(worst::of_files()).collect();
    let mut group = criterion.benchmark_group(WORST);
    group.sample_size(10);
    for worst in &all {
        group.bench_function(worst.name, |bencher| bencher.iter(&worst.run));
    }
    group.finish();
    criterion.final_summary();
    // Whoever asks for the worst objects alone does not wait for these.
    let wanted: Vec<String> = std::env::args().skip(1).filter(|one| !one.starts_with('-')).collect();
    println!("\n{:<22} {:>16} {:>16} {:>12}", "", "whole / bare,", "whole / bare,", "10,000 keys");
    println!("{:<22} {:>16} {:>16} {:>12}", "", "a dozen keys", "10,000 keys", "/ a dozen");
    for case in cases.iter().filter(|case| wanted.iter().all(|one| case.name.contains(one.as_str()))) {
        let [bare, few, many] = in_turns([&|| (case.bare)(), &|| whole(&case.commit, &few, &rules), &|| {
            whole(&case.commit, &many, &rules)
        }]);
        println!("{:<22} {:>16.2} {:>16.2} {:>12.2}", case.name, few / bare, many / bare, many / few);
    }
    for (what, title) in [
        (worst::What::Object, "an object at the caps, from bytes to status, ms (at most 50)"),
        (worst::What::File, "a trust file at the caps, once when it is loaded, ms"),
    ] {
        println!("\n{title}");
        for worst in all.iter().filter(|worst| worst.what == what) {
            let Some(nanoseconds) = median(WORST, worst.name) else { continue };
            println!("{:<50} {:>8.1}", worst.name, nanoseconds / 1e6);
        }
    }
}

/// What each takes, in nanoseconds, in the quickest of many short rounds: they take turns, so that what
/// else the machine does slows none of them alone, and the quickest round is the one that nobody broke into.
fn in_turns(all: [&dyn Fn() -> bool; 3]) -> [f64; 3] {
    let once = |run: &dyn Fn() -> bool, times: u32| {
        let start = Instant::now();
        for _ in 0..times {
            assert!(black_box(run()));
        }
        start.elapsed() / times
    };
    // About a millisecond a round.
    let times = u32::try_from(1_000_000 / once(all[0], 10).as_nanos().max(1)).unwrap_or(1).max(1);
    let mut least = [Duration::MAX; 3];
    for _ in 0..400 {
        for (least, run) in least.iter_mut().zip(all) {
            *least = once(run, times).min(*least);
        }
    }
    least.map(|one| one.as_secs_f64() * 1e9)
}

/// The median that criterion measured, in nanoseconds.
fn median(group: &str, function: &str) -> Option<f64> {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let directory = std::path::Path::new(&target).join("criterion").join(group).join(function);
    let text = fs::read(directory.join("new/estimates.json")).ok()?;
    let estimates: serde_json::Value = serde_json::from_slice(&text).ok()?;
    estimates.get("median")?.get("point_estimate")?.as_f64()
}
