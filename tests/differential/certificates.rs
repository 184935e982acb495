//! Certificates beside others: crafted ones with several self-signatures, limits and revocations at random times,
//! each with a signature that is pushed now, judged by this program, by gpg and by `sqv`. Whatever counts here
//! counts for one of them.

use crate::crafted::*;
use crate::keys::{DAY, KeyBox, at, commit, signed};
use crate::objects::Random;
use countersign::domain::{ObjectFormat, Timestamp};
use countersign::signature::openpgp::Certificate;
use countersign::signature::{self, Rules, SignatureStatus, Times, Trace, object};
use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

/// Where the certificates begin; a failure shows what the certificate holds.
const SEED: u64 = 20_261_121;
const CERTIFICATES: usize = 150;

/// A certificate, a signature, and what they are.
struct Case {
    certificate: Vec<u8>,
    payload: Vec<u8>,
    armor: Vec<u8>,
    signed: i64,
    /// Self-signatures of the key that signed or of its primary key are all younger than the signature. Then
    /// the oldest stands in for what GnuPG has replaced; for sqv there is none.
    stands_in: bool,
    described: String,
}

/// GnuPG files no signature without the 64-bit id of its key.
fn made(kind: u8, created: i64, by: &CraftedKey) -> CraftedSignature {
    CraftedSignature::new(kind, created).unhashed(subpacket(16, &by.key_id()))
}

fn case(random: &mut Random, number: usize, now: i64) -> Case {
    let born = now - 100 * DAY;
    let seed = u8::try_from(number % 100).unwrap();
    let (primary, subkey) =
        (CraftedKey::of(EDDSA_LEGACY, seed + 1, 4, born), CraftedKey::of(EDDSA_LEGACY, seed + 120, 4, born));
    let day = |random: &mut Random| now - i64::try_from(random.below(106)).unwrap() * DAY - 5;
    let mut told = String::new();
    // Limits of a self-signature: of the key, and of its own.
    let limits = |random: &mut Random, told: &mut String| {
        let mut out = Vec::new();
        for (kind, one_in, most) in [(9, 2, 120), (3, 6, 60)] {
            if random.below(one_in) == 0 {
                let days = i64::try_from(random.below(most)).unwrap() + 1;
                write!(told, " {}+{days}", if kind == 9 { "key" } else { "itself" }).unwrap();
                out.extend(crate::crafted::number(kind, days * DAY));
            }
        }
        out
    };
    let started = |random: &mut Random| if random.below(2) == 0 { born } else { day(random) };
    let (mut oldest, mut bound) = (i64::MAX, i64::MAX);
    let (mut over_key, mut over_id) = (Vec::new(), Vec::new());
    for _ in 0..=random.below(2) {
        let (created, of) = (started(random), [3, 3, 3, 1][random.below(4)]);
        oldest = oldest.min(created.max(born));
        let direct = random.below(2) == 0;
        let kind = if direct { 0x1f } else { 0x13 };
        write!(told, "\n  {kind:#x} day {} flags {of}", (created - born) / DAY).unwrap();
        let signature = made(kind, created, &primary).with(flags(of)).with(limits(random, &mut told));
        if direct {
            over_key.extend(signature.packet(&primary, &[&primary.framed()]));
        } else {
            over_id.extend(signature.packet(&primary, &[&primary.framed(), &user_id_frame()]));
        }
    }
    if random.below(5) == 0 {
        let (created, reason) = (day(random), [0, 1, 2, 3][random.below(4)]);
        write!(told, "\n  revoked day {} reason {reason}", (created - born) / DAY).unwrap();
        let signature = made(0x20, created, &primary).with(subpacket(29, &[reason]));
        over_key.extend(signature.packet(&primary, &[&primary.framed()]));
    }
    let both: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
    let mut of_subkey = Vec::new();
    for _ in 0..=random.below(3) {
        let (created, of) = (started(random), [2, 2, 2, 4][random.below(4)]);
        bound = bound.min(created.max(born));
        write!(told, "\n  subkey day {} flags {of}", (created - born) / DAY).unwrap();
        let back = made(0x19, created, &subkey).body(&subkey, &both);
        let binding = made(0x18, created, &primary).with(flags(of)).with(limits(random, &mut told));
        of_subkey.extend(binding.unhashed(subpacket(32, &back)).packet(&primary, &both));
    }
    if random.below(5) == 0 {
        let (created, reason) = (day(random), [0, 1, 2, 3][random.below(4)]);
        write!(told, "\n  subkey revoked day {} reason {reason}", (created - born) / DAY).unwrap();
        let signature = made(0x28, created, &primary).with(subpacket(29, &[reason]));
        of_subkey.extend(signature.packet(&primary, &both));
    }
    let by_subkey = random.below(3) > 0;
    let time = if random.below(2) == 0 { now - 60 } else { day(random) };
    write!(
        told,
        "\n  data day {} by the {}",
        (time - born) / DAY,
        if by_subkey { "subkey" } else { "primary" }
    )
    .unwrap();
    let signer = if by_subkey { &subkey } else { &primary };
    let payload = commit(time, "certified\n");
    let certificate = [primary.primary(), over_key, user_id(), over_id, subkey.subkey(), of_subkey].concat();
    Case {
        certificate,
        armor: made(0, time, signer).over(signer, &payload),
        payload,
        signed: time,
        stands_in: time < oldest || by_subkey && time < bound,
        described: told,
    }
}

/// What this program says, as the commit comes in now and in history without a record.
fn ours(case: &Case, now: i64) -> [SignatureStatus; 2] {
    let keys = KeyBox { openpgp: Certificate::parse_all(&case.certificate).unwrap(), ..KeyBox::default() };
    let raw = signed(&case.payload, &case.armor);
    let commit = object::parse_commit(ObjectFormat::Sha1, &raw).unwrap();
    let object::SignatureField::Present(block) = &commit.signature else { panic!("it is signed") };
    [Some(at(now)), None].map(|received| {
        let times = Times { object: case.signed, received, now: at(now) };
        signature::verify(block, &commit.payload, &keys, times, &Rules::default(), &mut Trace::off())
    })
}

/// Whether `sqv` accepts it, and gpg's word.
fn others(case: &Case) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("key"), &case.certificate).unwrap();
    std::fs::write(path("signature"), dearmored(&case.armor)).unwrap();
    std::fs::write(path("data"), &case.payload).unwrap();
    std::fs::create_dir(path("gpg")).unwrap();
    std::fs::set_permissions(path("gpg"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let ran = |program: &str, arguments: &[&str]| -> Output {
        let mut command = Command::new(program);
        command.current_dir(dir.path()).env("GNUPGHOME", path("gpg")).args(arguments);
        command.output().unwrap_or_else(|error| panic!("{program} is needed: {error}"))
    };
    let sqv = ran("sqv", &["--keyring", "key", "signature", "data"]).status.success();
    ran("gpg", &["--batch", "--quiet", "--no-autostart", "--import", "key"]);
    let verify = ["--batch", "--no-autostart", "--status-fd", "1", "--verify", "signature", "data"];
    let said = String::from_utf8_lossy(&ran("gpg", &verify).stdout).into_owned();
    let words = ["GOODSIG", "EXPKEYSIG", "REVKEYSIG", "EXPSIG", "BADSIG", "ERRSIG"];
    let word = words.iter().find(|word| said.contains(&format!("[GNUPG:] {word}")));
    (sqv, word.copied().unwrap_or("nothing").to_owned())
}

#[test]
fn what_a_certificate_says_counts_for_others_too() {
    let now = Timestamp::now().as_second();
    let mut random = Random::new(SEED);
    let (mut accepted, mut refused) = (0, 0);
    for number in 0..CERTIFICATES {
        let case = case(&mut random, number, now);
        let [pushed, history] = ours(&case, now);
        let (sqv, gpg) = others(&case);
        let good = |status: &SignatureStatus| matches!(status, SignatureStatus::Verified(_));
        let told = format!("certificate {number}:{}\n  sqv: {sqv}, gpg: {gpg}", case.described);
        if good(&pushed) {
            accepted += 1;
            assert!(good(&history), "{told}\n  pushed, and not in history: {history}");
            assert!(sqv || gpg == "GOODSIG" || case.stands_in, "{told}\n  accepted by nobody else");
        } else {
            refused += 1;
        }
        if good(&history) {
            // gpg judges by its clock: a key that ended since is an ended one.
            let known = ["EXPKEYSIG", "REVKEYSIG"].contains(&&gpg[..]) && !good(&pushed);
            assert!(sqv || gpg == "GOODSIG" || known || case.stands_in, "{told}\n  in history: {history}");
        }
    }
    assert!(accepted >= 25 && refused >= 25, "{accepted} accepted, {refused} refused: the cases say little");
}
