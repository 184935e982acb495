//! What judging a whole history costs: `countersign check --history` on a repository of SSH-signed commits,
//! beside git's own walk over it and beside the bare arithmetic, round by round. Only the ratios mean
//! anything elsewhere. `COMMITS` says how many there are; 10,000 without it. `PROGRAM` may name another build.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "../support/ssh_craft.rs"]
mod ssh_craft;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha512};
use ssh_craft::{Key, strings};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const SIGNERS: u8 = 20;
const ROUNDS: usize = 5;
const BORN: i64 = 1_600_000_000;

/// What one program took: until it ended, of the processor, and in memory at its peak.
struct Ran {
    wall: Duration,
    processor: Duration,
    /// Resident KiB: all, and what is not mapped from files.
    peak: (u64, u64),
}

/// Processor time of a process or thread. Ticks are hundredths of a second on every machine that is to be had.
fn used(proc: &str) -> Duration {
    let stat = fs::read_to_string(format!("{proc}/stat")).unwrap_or_default();
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn run(command: &mut Command) -> Ran {
    let started = Instant::now();
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let proc = format!("/proc/{}", child.id());
    let (mut processor, mut peak) = (Duration::ZERO, (0, 0));
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        // A zombie tells its times no more, so what it told last counts: at most 5 ms too little.
        processor = processor.max(used(&proc));
        let status = fs::read_to_string(format!("{proc}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|text| text.parse().ok()).unwrap_or(0)
        };
        peak = (peak.0.max(field("VmHWM:")), peak.1.max(field("RssAnon:")));
        std::thread::sleep(Duration::from_millis(5));
    };
    assert!(status.success(), "{command:?}: {status}");
    Ran { wall: started.elapsed(), processor, peak }
}

/// An object as a pack has it: deflated without being made smaller, which git does afterwards.
fn packed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut size = body.len() >> 4;
    let mut out = vec![kind << 4 | (body.len() & 15) as u8];
    while size > 0 {
        *out.last_mut().unwrap() |= 0x80;
        out.push((size & 0x7f) as u8);
        size >>= 7;
    }
    out.extend([0x78, 0x01, 0x01]);
    let length = u16::try_from(body.len()).unwrap();
    out.extend(length.to_le_bytes().into_iter().chain((!length).to_le_bytes()));
    out.extend(body);
    let (a, b) = body.iter().fold((1_u32, 0_u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    out.extend((b << 16 | a).to_be_bytes());
    out
}

fn sha1(bytes: &[u8]) -> Vec<u8> {
    pgp::crypto::hash::HashAlgorithm::Sha1.digest(bytes).unwrap()
}

/// A key, and what it signs with without a detour.
fn signer(n: u8) -> (Key, SigningKey) {
    let key = Key::ed25519(100 + n);
    (key, SigningKey::from_bytes(&[100 + n; 32]))
}

/// Makes the repository, and gives key, data and numbers of each signature.
fn repository(at: &Path, count: usize) -> Vec<(VerifyingKey, Vec<u8>, Signature)> {
    let git = |arguments: &[&str]| Command::new("git").arg("-C").arg(at).args(arguments).status().unwrap();
    fs::create_dir_all(at).unwrap();
    assert!(git(&["init", "--quiet", "--bare"]).success());
    let keys: Vec<_> = (0..SIGNERS).map(signer).collect();
    let tree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    let mut objects = packed(2, b"");
    let mut signatures = Vec::with_capacity(count);
    let mut history: Vec<String> = Vec::with_capacity(count);
    for n in 0..count {
        let (key, secret) = &keys[n * 7 % keys.len()];
        // A merge in every 20, of what came ten commits before.
        let mut parents: Vec<&String> = history.last().into_iter().collect();
        if n % 20 == 19 {
            parents.push(&history[n - 10]);
        }
        let parents: String = parents.iter().map(|id| format!("parent {id}\n")).collect();
        let who = format!("Signer <signer@example.com> {} +0000", BORN + n as i64 * 60);
        let head = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n");
        let body = format!(
            "\nOPS-{n}: change the thing\n\nWith a body of ordinary length, so that an object is\nwhat objects are.\n"
        );
        let payload = [head.as_bytes(), body.as_bytes()].concat();
        let data = [&b"SSHSIG"[..], &strings(&[b"git", b"", b"sha512", &Sha512::digest(&payload)])].concat();
        let armor = String::from_utf8(key.sshsig(&payload)).unwrap();
        let raw = format!("{head}gpgsig {}\n{body}", armor.trim_end().replace('\n', "\n "));
        history.push(HEXLOWER.encode(&sha1(format!("commit {}\0{raw}", raw.len()).as_bytes())));
        objects.extend(packed(1, raw.as_bytes()));
        signatures.push((secret.verifying_key(), data.clone(), secret.sign(&data)));
    }
    let total = u32::try_from(count + 1).unwrap();
    let mut pack = [&b"PACK\0\0\0\x02"[..], &total.to_be_bytes(), &objects].concat();
    pack.extend(sha1(&pack));
    let mut index = Command::new("git");
    index.arg("-C").arg(at).args(["index-pack", "--stdin"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut index = index.spawn().unwrap();
    index.stdin.take().unwrap().write_all(&pack).unwrap();
    assert!(index.wait().unwrap().success());
    assert!(git(&["update-ref", "refs/heads/main", history.last().unwrap()]).success());
    assert!(git(&["repack", "-adFq", "--window=0"]).success());
    signatures
}

fn main() {
    // `cargo test --benches` runs this as well; there is nothing to learn from that.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let count = std::env::var("COMMITS").map_or(10_000, |text| text.parse().unwrap());
    let program = std::env::var("PROGRAM").unwrap_or_else(|_| env!("CARGO_BIN_EXE_countersign").to_owned());
    let room = tempfile::tempdir().unwrap();
    let at = room.path().join("repositories/history.git");
    let signatures = repository(&at, count);
    let keyring = room.path().join("keyring");
    fs::create_dir_all(&keyring).unwrap();
    for n in 0..SIGNERS {
        let (key, _) = signer(n);
        let file = format!("name = \"signer{n}\"\ngroups = [\"sre\"]\n\n[[key]]\nssh = \"{}\"\n", key.line());
        fs::write(keyring.join(format!("signer{n}.toml")), file).unwrap();
    }
    let config = room.path().join("countersign.toml");
    let place = room.path().display();
    let text = format!(
        "[daemon]\nsocket = \"{place}/hook.sock\"\nstate = \"{place}/state\"\n[keyring]\npath = \"{place}/keyring\"\n\
         [repositories]\nroot = \"{place}/repositories\"\n[policy]\nuncovered = \"accept\"\n"
    );
    fs::write(&config, text).unwrap();
    let mut rows: Vec<(&str, Vec<Ran>)> = Vec::new();
    let mut note = |name: &'static str, ran: Ran| match rows.iter_mut().find(|(known, _)| *known == name) {
        Some((_, all)) => all.push(ran),
        None => rows.push((name, vec![ran])),
    };
    for _ in 0..ROUNDS {
        let git = |arguments: &[&str]| run(Command::new("git").arg("-C").arg(&at).args(arguments));
        note("git log --format=%H", git(&["log", "--format=%H", "main"]));
        note("git log --format=raw", git(&["log", "--format=raw", "main"]));
        let (started, before) = (Instant::now(), used("/proc/thread-self"));
        let good = signatures.iter().filter(|(key, data, it)| key.verify_strict(data, it).is_ok()).count();
        let (wall, processor) = (started.elapsed(), used("/proc/thread-self") - before);
        assert_eq!(good, count);
        note("bare arithmetic, one thread", Ran { wall, processor, peak: (0, 0) });
        for jobs in ["1", "0"] {
            let mut check = Command::new(&program);
            check.arg("check").arg("--history").arg("--repo").arg(&at).args(["--ref", "refs/heads/main"]);
            check.args(["--jobs", jobs, "--config"]).arg(&config);
            let name = if jobs == "1" { "check --history --jobs 1" } else { "check --history" };
            note(name, run(&mut check));
        }
    }
    println!("{count} commits, the median of {ROUNDS} rounds");
    println!("{:<30} {:>9} {:>9} {:>12} {:>12}", "", "wall", "processor", "resident", "own memory");
    for (name, all) in &mut rows {
        let median = |of: &dyn Fn(&Ran) -> Duration| {
            let mut values: Vec<_> = all.iter().map(of).collect();
            values.sort_unstable();
            values[ROUNDS / 2].as_secs_f64()
        };
        let (wall, processor) = (median(&|ran| ran.wall), median(&|ran| ran.processor));
        let peak = |of: fn(&Ran) -> u64| all.iter().map(of).max().unwrap() / 1024;
        let (resident, own) = (peak(|ran| ran.peak.0), peak(|ran| ran.peak.1));
        println!("{name:<30} {wall:>8.2}s {processor:>8.2}s {resident:>8} MiB {own:>8} MiB");
    }
}
