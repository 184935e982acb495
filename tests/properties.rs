//! Properties of a verdict that hold for every key and every time, with a keyring as it is loaded: time
//! does not wash a compromised key clean, asking twice gives one answer, keys that have nothing to do
//! with a signature have no say in it, a key less lets nothing more in, and no bit of a signed object is
//! free but those that the documentation lists.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/crafted.rs"]
mod crafted;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/ssh_craft.rs"]
mod ssh_craft;

use countersign::domain::{ObjectFormat, Timestamp};
use countersign::keyring::Keyring;
use countersign::signature::object::{self, Payload, SignatureField};
use countersign::signature::{Rules, SignatureStatus, Times, Trace, judge};
use crafted::{CraftedKey, CraftedSignature, ED448, ED25519, EDDSA_LEGACY};
use keys::{BORN, DAY, NOW, at, commit, signed};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::LazyLock;

/// When everything is signed.
const SIGNED: i64 = NOW - 50 * DAY;

/// A keyring of these files, by name and text.
fn load(files: &[(String, String)]) -> Keyring {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, text) in files {
        let path = directory.path().join(format!("{name}.toml"));
        fs::write(&path, format!("name = \"{name}\"\n{text}")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    Keyring::load(directory.path()).unwrap_or_else(|error| panic!("{error}")).keyring
}

fn openpgp(packets: &[u8], entry: &str) -> String {
    let armor = String::from_utf8(crafted::key_armor(packets)).unwrap();
    format!("[[key]]\nopenpgp = \"\"\"\n{armor}\"\"\"\n{entry}\n")
}

fn authority(key: &ssh_craft::Key, entry: &str) -> String {
    let line = key.line();
    format!("[[authority]]\nssh = \"{line}\"\nprincipals = [\"*@example.org\", \"ssh-*\"]\n{entry}\n")
}

fn openssh(key: &ssh_craft::Key, entry: &str) -> String {
    format!("[[key]]\nssh = \"{}\"\n{entry}\n", key.line())
}

const COMPROMISED: &str = "revoked = { at = 2025-05-01T00:00:00Z, reason = \"compromised\" }";
const COMPROMISED_SINCE: &str = "revoked = { at = 2025-05-01T00:00:00Z, reason = \"compromised\", \
                                 effective-from = 2025-04-20T00:00:00Z }";
const SUPERSEDED: &str = "revoked = { at = 2025-05-01T00:00:00Z, reason = \"superseded\" }";
const WINDOW: &str = "valid-from = 2025-03-01T00:00:00Z\nvalid-until = 2025-07-01T00:00:00Z";

/// Commits by keys in every state, and the keyring's files.
struct World {
    files: Vec<(String, String)>,
    keyring: Keyring,
    commits: Vec<(String, Vec<u8>)>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut files = Vec::new();
    let mut commits = Vec::new();
    let payload = commit(SIGNED, "a property\n");
    let mut seed = 0;
    let mut pgp =
        |name: &str, algorithm: u8, version: u8, more: &dyn Fn(&CraftedKey) -> Vec<u8>, entry: &str| {
            seed += 1;
            let key = CraftedKey::of(algorithm, seed, version, BORN);
            let packets = [crafted::simple(&key, BORN), more(&key)].concat();
            files.push((name.to_owned(), openpgp(&packets, entry)));
            let armor = CraftedSignature::new(0, SIGNED).over(&key, &payload);
            commits.push((name.to_owned(), signed(&payload, &armor)));
        };
    let nothing = |_: &CraftedKey| Vec::new();
    pgp("pgp-4", ED25519, 4, &nothing, "");
    pgp("pgp-legacy", EDDSA_LEGACY, 4, &nothing, "");
    pgp("pgp-6", ED25519, 6, &nothing, "");
    pgp("pgp-448", ED448, 6, &nothing, "");
    pgp("pgp-window", ED25519, 4, &nothing, WINDOW);
    pgp("pgp-compromised", ED25519, 4, &nothing, COMPROMISED);
    pgp("pgp-since", ED25519, 4, &nothing, COMPROMISED_SINCE);
    pgp("pgp-superseded", ED25519, 4, &nothing, SUPERSEDED);
    for (name, reason) in
        [("none", None), ("0", Some(0)), ("1", Some(1)), ("2", Some(2)), ("3", Some(3)), ("99", Some(99))]
    {
        let made = move |key: &CraftedKey| crafted::revoked(key, NOW - 20 * DAY, reason);
        pgp(&format!("pgp-revoked-{name}"), ED25519, 4, &made, "");
    }
    // A newer self-signature undoes nothing that is hard (K057).
    let undone = |key: &CraftedKey| {
        let later = crafted::certify(key, NOW + 10 * DAY, 3, vec![]);
        [crafted::revoked(key, NOW - 20 * DAY, Some(2)), later].concat()
    };
    pgp("pgp-undone", ED25519, 4, &undone, "");
    let mut ssh = |name: &str, key: &ssh_craft::Key, entry: &str| {
        files.push((name.to_owned(), openssh(key, entry)));
        commits.push((name.to_owned(), signed(&payload, &key.sshsig(&payload))));
    };
    ssh("ssh-ed25519", &ssh_craft::Key::ed25519(101), "");
    ssh("ssh-p256", &ssh_craft::Key::p256(102), "");
    ssh("ssh-fido", &ssh_craft::Key::ed25519(103).fido("ssh:"), "");
    ssh("ssh-window", &ssh_craft::Key::ed25519(104), WINDOW);
    ssh("ssh-compromised", &ssh_craft::Key::ed25519(105), COMPROMISED);
    ssh("ssh-since", &ssh_craft::Key::p256(106), COMPROMISED_SINCE);
    ssh("ssh-superseded", &ssh_craft::Key::ed25519(107), SUPERSEDED);
    // Certificates: for nobody of the keyring, for one of it, by an authority that is gone.
    let (first, gone) = (ssh_craft::Key::ed25519(110), ssh_craft::Key::p256(111));
    for (name, by, principal) in [
        ("certified-holder", &first, "holder@example.org"),
        ("certified-known", &first, "ssh-p256"),
        ("certified-gone", &gone, "holder@example.org"),
    ] {
        let key = ssh_craft::Key::ed25519(112);
        let certificate = ssh_craft::Cert {
            principals: vec![principal.as_bytes()],
            ..ssh_craft::Cert::new(SIGNED - DAY, NOW + 200 * DAY)
        };
        let armor = ssh_craft::sshsig(&certificate.make(&key, by), &key, &payload);
        commits.push((name.to_owned(), signed(&payload, &armor)));
    }
    files.push(("authority".to_owned(), authority(&first, "")));
    files.push(("authority-gone".to_owned(), authority(&gone, COMPROMISED)));
    let (stranger, other) = (ssh_craft::Key::ed25519(108), CraftedKey::new(99, BORN));
    commits.push(("ssh-stranger".to_owned(), signed(&payload, &stranger.sshsig(&payload))));
    let armor = CraftedSignature::new(0, SIGNED).over(&other, &payload);
    commits.push(("pgp-stranger".to_owned(), signed(&payload, &armor)));
    let changed = [&commits[0].1[..], b"more"].concat();
    commits.push(("pgp-bad".to_owned(), changed));
    World { keyring: load(&files), files, commits }
});

fn verdict(keyring: &Keyring, raw: &[u8], received: Option<Timestamp>, now: Timestamp) -> SignatureStatus {
    owned_verdict(keyring, raw, received, now).0
}

/// The verdict, and whose key it is.
fn owned_verdict(
    keyring: &Keyring,
    raw: &[u8],
    received: Option<Timestamp>,
    now: Timestamp,
) -> (SignatureStatus, Option<String>) {
    let rules = Rules::default();
    let parsed = object::parse_commit(ObjectFormat::Sha1, raw).unwrap();
    let times = Times { object: parsed.committer.time, received, now };
    let status = judge(&parsed.signature, &parsed.payload, keyring, times, &rules, &mut Trace::off());
    let (status, owner) = keyring.assess(status, &times, &rules);
    (status, owner.map(|owner| owner.name.clone()))
}

/// Receipts and clocks from long before the signature to long after it; no receipt comes after all.
fn grid() -> Vec<(Option<i64>, i64)> {
    let days: Vec<i64> = (-300..=300).step_by(20).map(|day| NOW + day * DAY).collect();
    let mut all = Vec::new();
    for now in &days {
        all.extend(days.iter().filter(|received| *received <= now).map(|received| (Some(*received), *now)));
        all.push((None, *now));
    }
    all
}

/// Whether both times of `b` are as late as those of `a` or later.
fn later(a: (Option<i64>, i64), b: (Option<i64>, i64)) -> bool {
    let receipt = match (a.0, b.0) {
        (Some(a), Some(b)) => a <= b,
        (_, None) => true,
        (None, Some(_)) => false,
    };
    receipt && a.1 <= b.1
}

#[test]
fn time_never_washes_a_hard_revocation_off() {
    let world = &*WORLD;
    let (mut hard, mut verified) = (0, 0);
    for (name, raw) in &world.commits {
        let all: Vec<_> = grid()
            .into_iter()
            .map(|times| (times, verdict(&world.keyring, raw, times.0.map(at), at(times.1))))
            .collect();
        let good: Vec<_> =
            all.iter().filter(|(_, status)| matches!(status, SignatureStatus::Verified(_))).collect();
        verified += good.len();
        for (times, status) in &all {
            let SignatureStatus::Revoked { hard: true, .. } = status else { continue };
            hard += 1;
            if let Some((after, _)) = good.iter().find(|(one, _)| later(*times, *one)) {
                panic!("{name}: hard revoked at {times:?} and verified at {after:?}");
            }
        }
    }
    // Of nothing, everything would hold.
    assert!(hard > 1_000 && verified > 1_000, "{hard} hard, {verified} verified");
}

#[test]
fn keys_that_nobody_asked_for_change_no_verdict() {
    let world = &*WORLD;
    let mut files = world.files.clone();
    for seed in 0..50_u8 {
        let mut whole = [0xa5; 32];
        whole[0] = seed;
        let key = CraftedKey::from_seed(whole, ED25519, if seed % 2 == 0 { 4 } else { 6 }, BORN);
        let entry = [COMPROMISED, SUPERSEDED, WINDOW, ""][usize::from(seed % 4)];
        files.push((format!("other-{seed}"), openpgp(&crafted::simple(&key, BORN), entry)));
        let key = ssh_craft::Key::ed25519(150 + seed);
        files.push((format!("other-ssh-{seed}"), openssh(&key, entry)));
        let key = ssh_craft::Key::p256(150 + seed);
        files.push((format!("other-authority-{seed}"), authority(&key, entry)));
    }
    let larger = load(&files);
    assert_eq!(larger.keys().len(), world.keyring.keys().len() + 100);
    assert_eq!(larger.authorities().len(), world.keyring.authorities().len() + 50);
    for (name, raw) in &world.commits {
        for (received, now) in grid().into_iter().step_by(7) {
            let (received, now) = (received.map(at), at(now));
            let alone = owned_verdict(&world.keyring, raw, received, now);
            assert_eq!(alone, owned_verdict(&larger, raw, received, now), "{name} at {received:?}, {now}");
        }
    }
}

/// The keyring without some of its files.
fn without(world: &World, gone: impl Fn(usize) -> bool) -> Keyring {
    let left = world.files.iter().enumerate().filter(|(index, _)| !gone(*index));
    load(&left.map(|(_, file)| file.clone()).collect::<Vec<_>>())
}

/// Fails if the smaller keyring lets in what the whole one refuses; says how much each lets in.
fn compare(world: &World, smaller: &Keyring, times: &[(Option<i64>, i64)]) -> (usize, usize) {
    let mut counts = (0, 0);
    for (name, raw) in &world.commits {
        for (received, now) in times {
            let (received, now) = (received.map(at), at(*now));
            let whole = verdict(&world.keyring, raw, received, now);
            let less = verdict(smaller, raw, received, now);
            let good = |status: &SignatureStatus| matches!(status, SignatureStatus::Verified(_));
            counts.0 += usize::from(good(&whole));
            counts.1 += usize::from(good(&less));
            assert!(good(&whole) || !good(&less), "{name} at {received:?}, {now}: {whole}, then {less}");
        }
    }
    counts
}

/// Each file alone, and its entry with it, be it one that revokes: none of these keys stands elsewhere.
#[test]
fn a_key_less_lets_nothing_more_in() {
    let world = &*WORLD;
    let times: Vec<_> = grid().into_iter().step_by(11).collect();
    let mut mattered = 0;
    for index in 0..world.files.len() {
        let (whole, less) = compare(world, &without(world, |one| one == index), &times);
        assert!(whole > 100);
        mattered += usize::from(less < whole);
    }
    // Most have a commit of their own, which is refused without them.
    assert!(mattered >= 12, "only {mattered} files mattered");
    assert_eq!(compare(world, &without(world, |_| true), &times).1, 0, "without keys nothing is let in");
}

/// Where the property ends, as it must: with its entry a revocation goes, and a name's second holder.
#[test]
fn a_revocation_goes_with_its_entry_and_a_doubt_with_its_reason() {
    let (key, by) = (ssh_craft::Key::ed25519(21), ssh_craft::Key::ed25519(22));
    let payload = commit(SIGNED, "certified\n");
    let under = |principals: Vec<&'static [u8]>| {
        let certificate = ssh_craft::Cert { principals, ..ssh_craft::Cert::new(SIGNED - DAY, NOW + DAY) };
        signed(&payload, &ssh_craft::sshsig(&certificate.make(&key, &by), &key, &payload))
    };
    let file = |name: &str, text: String| (name.to_owned(), text);
    let own = |seed: u8| openssh(&ssh_craft::Key::ed25519(seed), "");
    let files = [
        file("authority", authority(&by, "")),
        file("bob", openssh(&key, COMPROMISED)),
        file("ssh-one", own(23)),
        file("ssh-two", own(24)),
    ];
    let said = |raw: &[u8], gone: &[&str]| {
        let left = files.iter().filter(|(name, _)| !gone.contains(&&name[..])).cloned();
        verdict(&load(&left.collect::<Vec<_>>()), raw, None, at(NOW)).name()
    };
    let (one, two) = (under(vec![b"holder@example.org"]), under(vec![b"ssh-one", b"ssh-two"]));
    assert_eq!((said(&one, &[]), said(&one, &["bob"])), ("revoked", "verified"));
    assert_eq!(said(&one, &["bob", "authority"]), "unknown-key");
    assert_eq!((said(&two, &["bob"]), said(&two, &["bob", "ssh-two"])), ("wrong-purpose", "verified"));
}

/// Signed objects of each kind, and the keyring's entry for their key.
fn to_be_flipped() -> Vec<(String, String, Vec<u8>)> {
    let who = format!("Test Key <test@example.org> {SIGNED} +0000");
    let id = "5f549aa2f78314ac37bbd436c8f80aea4c752e07";
    let tag = format!("object {id}\ntype commit\ntag v1\ntagger {who}\n\na tag \u{e9}\n").into_bytes();
    let commit = commit(SIGNED, "a commit \u{e9}\n");
    let mut all = Vec::new();
    let mut both = |name: &str, entry: &str, sign: &dyn Fn(&[u8]) -> Vec<u8>| {
        all.push((format!("{name} commit"), entry.to_owned(), signed(&commit, &sign(&commit))));
        all.push((format!("{name} tag"), entry.to_owned(), [&tag[..], &sign(&tag)].concat()));
    };
    for (name, algorithm, version) in [
        ("openpgp legacy", EDDSA_LEGACY, 4),
        ("openpgp 4", ED25519, 4),
        ("openpgp 6", ED25519, 6),
        ("openpgp 448", ED448, 6),
    ] {
        let key = CraftedKey::of(algorithm, 7, version, BORN);
        let entry = openpgp(&crafted::simple(&key, BORN), "");
        both(name, &entry, &|payload| CraftedSignature::new(0, SIGNED).over(&key, payload));
    }
    for (name, key) in [
        ("ssh ed25519", ssh_craft::Key::ed25519(7)),
        ("ssh p256", ssh_craft::Key::p256(7)),
        ("fido ed25519", ssh_craft::Key::ed25519(7).fido("ssh:")),
        ("fido p256", ssh_craft::Key::p256(7).fido("ssh:")),
    ] {
        both(name, &openssh(&key, ""), &|payload| key.sshsig(payload));
    }
    let (key, by) = (ssh_craft::Key::ed25519(7), ssh_craft::Key::ed25519(8));
    let certificate = ssh_craft::Cert::new(SIGNED - DAY, NOW + DAY).make(&key, &by);
    both("certified", &authority(&by, ""), &|payload| ssh_craft::sshsig(&certificate, &key, payload));
    all
}

/// Whose signature counts over which bytes, and the bytes inside of its armor, where the object is accepted.
fn accepted(raw: &[u8], keyring: &Keyring) -> Option<(String, Vec<u8>, Vec<u8>)> {
    let (rules, now) = (Rules::default(), at(NOW));
    let of = |field: &SignatureField, payload: &Payload<'_>, time: i64| {
        let times = Times::introduced(time, now);
        let status = judge(field, payload, keyring, times, &rules, &mut Trace::off());
        let SignatureStatus::Verified(proof) = keyring.assess(status, &times, &rules).0 else { return None };
        let SignatureField::Present(block) = field else { panic!("verified without a signature") };
        let text = std::str::from_utf8(&block.armor).unwrap();
        let data: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        let inside = data_encoding::BASE64.decode(data.as_bytes()).unwrap();
        Some((proof.fingerprint().to_owned(), [payload.before, payload.after].concat(), inside))
    };
    if raw.starts_with(b"object ") {
        let tag = object::parse_tag(ObjectFormat::Sha1, raw).ok()?;
        return of(&tag.signature, &tag.payload, tag.time());
    }
    let commit = object::parse_commit(ObjectFormat::Sha1, raw).ok()?;
    of(&commit.signature, &commit.payload, commit.committer.time)
}

/// Every bit of every object. What is listed in `docs/signatures.md` as malleable needs more than one bit,
/// but for the bit counts of OpenPGP's numbers; these signatures have no unhashed part and no checksum.
#[test]
fn one_flipped_bit_is_seen() {
    std::thread::scope(|scope| {
        for (name, entry, raw) in to_be_flipped() {
            scope.spawn(move || {
                let keyring = load(&[("signer".to_owned(), entry)]);
                let whole = accepted(&raw, &keyring).unwrap_or_else(|| panic!("{name} is not accepted"));
                let mut free = BTreeSet::new();
                let mut changed = raw.clone();
                for place in 0..raw.len() {
                    for bit in 0..8 {
                        changed[place] ^= 1 << bit;
                        if let Some(now) = accepted(&changed, &keyring) {
                            assert_eq!((&now.0, &now.1), (&whole.0, &whole.1), "{name}: {bit} of {place}");
                            let differs = now.2.iter().zip(&whole.2).position(|(one, other)| one != other);
                            free.insert(differs.expect("the armor's text has one form"));
                        }
                        changed[place] ^= 1 << bit;
                    }
                }
                let mut counts = BTreeSet::new();
                if name.starts_with("openpgp legacy") {
                    // The packet ends with two numbers, each behind two octets that count its bits.
                    let length = |at: usize| {
                        usize::from(u16::from_be_bytes([whole.2[at], whole.2[at + 1]])).div_ceil(8)
                    };
                    let first = (whole.2.len() - 68..whole.2.len() - 2)
                        .find(|at| {
                            at + 4 + length(*at) <= whole.2.len() && {
                                let second = at + 2 + length(*at);
                                length(*at) > 28 && second + 2 + length(second) == whole.2.len()
                            }
                        })
                        .expect("two numbers");
                    let second = first + 2 + length(first);
                    counts.extend([first, first + 1, second, second + 1]);
                }
                assert!(free.is_subset(&counts), "{name}: free at {free:?}, allowed {counts:?}");
            });
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// The packets of a certificate behind its primary key, self-signatures that contradict each other and
    /// are of the same second among them: in two orders they say the same.
    #[test]
    fn the_order_of_packets_changes_no_verdict(
        chosen in prop::collection::vec((0..12_usize, 0..3_i64), 1..7),
        seed in any::<u64>(),
        reason in prop::option::of(0..4_u8),
    ) {
        let (primary, subkey) = (CraftedKey::of(EDDSA_LEGACY, 1, 4, BORN), CraftedKey::new(2, BORN));
        let mut packets = vec![
            crafted::user_id(),
            crafted::certify(&primary, BORN, 3, vec![]),
            subkey.subkey(),
            crafted::bind(&primary, &subkey, BORN, 2, vec![]),
        ];
        for (which, week) in chosen {
            let when = BORN + week * 7 * DAY;
            let direct = |more: Vec<u8>| {
                let signature = CraftedSignature::new(0x1f, when).with(more);
                signature.packet(&primary, &[&primary.framed()])
            };
            let ended = || crafted::number(9, 30 * DAY);
            packets.push(match which {
                0 => crafted::certify(&primary, when, 3, vec![]),
                1 => crafted::certify(&primary, when, 1, vec![]),
                2 => crafted::certify(&primary, when, 3, ended()),
                3 => crafted::certify(&primary, when, 3, crafted::number(3, 30 * DAY)),
                4 => crafted::bind(&primary, &subkey, when, 2, vec![]),
                5 => crafted::bind(&primary, &subkey, when, 0x0c, vec![]),
                6 => crafted::bind(&primary, &subkey, when, 2, ended()),
                7 => crafted::bind(&primary, &subkey, when, 2, crafted::number(3, 30 * DAY)),
                8 => crafted::subkey_revoked(&primary, &subkey, NOW - 20 * DAY, 1),
                9 => direct(crafted::flags(1)),
                10 => direct(ended()),
                _ => direct(Vec::new()),
            });
        }
        packets.extend(reason.map(|reason| crafted::revoked(&primary, NOW - 20 * DAY, Some(reason))));
        let mut shuffled = packets.clone();
        let mut state = seed;
        for at in (1..shuffled.len()).rev() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            shuffled.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
        }
        let said = |packets: &[Vec<u8>]| -> Vec<String> {
            let certificate = [primary.primary(), packets.concat()].concat();
            let keys = keys::KeyBox::openpgp(&crafted::key_armor(&certificate));
            let mut all = Vec::new();
            for signer in [&primary, &subkey] {
                let payload = commit(SIGNED, "an order\n");
                let raw = signed(&payload, &CraftedSignature::new(0, SIGNED).over(signer, &payload));
                let parsed = object::parse_commit(ObjectFormat::Sha1, &raw).unwrap();
                for received in [Some(at(SIGNED)), Some(at(NOW)), None] {
                    let times = Times { object: SIGNED, received, now: at(NOW) };
                    let (field, payload) = (&parsed.signature, &parsed.payload);
                    let status =
                        judge(field, payload, &keys, times, &Rules::default(), &mut Trace::off());
                    all.push(format!("{} {status}", status.name()));
                }
            }
            all
        };
        prop_assert_eq!(said(&packets), said(&shuffled));
    }

    /// And any keys less, at any times.
    #[test]
    fn any_keys_less_let_nothing_more_in(
        gone in any::<u64>(),
        received in -300_i64 * DAY..300 * DAY,
        later in 0..300 * DAY,
    ) {
        let world = &*WORLD;
        let smaller = without(world, |index| gone >> index & 1 == 1);
        compare(world, &smaller, &[(Some(NOW + received), NOW + received + later), (None, NOW + received)]);
    }

    /// And any two moments, not only those of the grid.
    #[test]
    fn asking_twice_gives_one_answer_and_later_no_better_one(
        which in any::<usize>(),
        received in -400_i64 * DAY..400 * DAY,
        later in 0..800 * DAY,
        anchored: bool,
    ) {
        let world = &*WORLD;
        let (_, raw) = &world.commits[which % world.commits.len()];
        let before = at(NOW + received);
        let after = at(NOW + received + later);
        let first = verdict(&world.keyring, raw, Some(before), before);
        prop_assert_eq!(&first, &verdict(&world.keyring, raw, Some(before), before));
        if let SignatureStatus::Revoked { hard: true, .. } = first {
            let second = verdict(&world.keyring, raw, anchored.then_some(before), after);
            prop_assert!(!matches!(second, SignatureStatus::Verified(_)), "{:?}", second);
        }
    }
}
