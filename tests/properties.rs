//! Properties of a verdict that hold for every key and every time, with a keyring as it is loaded: time
//! does not wash a compromised key clean, asking twice gives one answer, and keys that have nothing to do
//! with a signature have no say in it.

#![allow(clippy::unwrap_used, missing_docs)]

#[path = "support/crafted.rs"]
mod crafted;
#[path = "support/keys.rs"]
mod keys;
#[path = "support/ssh_craft.rs"]
mod ssh_craft;

use countersign::domain::{ObjectFormat, Timestamp};
use countersign::keyring::Keyring;
use countersign::signature::{Rules, SignatureStatus, Times, Trace, judge, object};
use crafted::{CraftedKey, CraftedSignature, ED448, ED25519, EDDSA_LEGACY};
use keys::{BORN, DAY, NOW, at, commit, signed};
use proptest::prelude::*;
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
    }
    let larger = load(&files);
    assert_eq!(larger.keys().len(), world.keyring.keys().len() + 100);
    for (name, raw) in &world.commits {
        for (received, now) in grid().into_iter().step_by(7) {
            let (received, now) = (received.map(at), at(now));
            let alone = owned_verdict(&world.keyring, raw, received, now);
            assert_eq!(alone, owned_verdict(&larger, raw, received, now), "{name} at {received:?}, {now}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// And any two moments, not only those of the grid.
    #[test]
    fn asking_twice_gives_one_answer_and_later_no_better_one(
        which in 0..25_usize,
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
