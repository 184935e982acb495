//! What a large keyring costs: loading it, looking a key up in it, and listing it. Only the ratios of the
//! look-ups mean anything elsewhere; the times are printed beside what was aimed at.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use countersign::cli::common::Format;
use countersign::cli::keyring::{self as cli, KeyringArgs};
use countersign::keyring::{Keyring, Material};
use countersign::signature::{KeyId, Keys};
use criterion::Criterion;
use data_encoding::BASE64;
use ed25519_dalek::SigningKey;
use std::fs;
use std::hint::black_box;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How often whatever is timed as a whole is done; the median counts.
const ROUNDS: usize = 5;

#[derive(clap::Parser)]
struct Command {
    #[command(flatten)]
    keyring: KeyringArgs,
}

/// The key of a principal, made for this measurement and good for nothing.
fn line(number: u32) -> String {
    let mut seed = [7_u8; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    let point = SigningKey::from_bytes(&seed).verifying_key();
    let fields: [&[u8]; 2] = [b"ssh-ed25519", point.as_bytes()];
    let blob = fields.map(|field| [&(field.len() as u32).to_be_bytes()[..], field].concat()).concat();
    format!("ssh-ed25519 {}", BASE64.encode(&blob))
}

fn ring(principals: u32) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    mode(dir.path(), 0o755);
    for number in 0..principals {
        let path = dir.path().join(format!("p{number}.toml"));
        let text = format!(
            "name = \"p{number}\"\nkind = \"person\"\nemails = [\"p{number}@example.org\"]\n\
             groups = [\"staff\"]\n\n[[key]]\nssh = \"{} test key\"\n",
            line(number)
        );
        fs::write(&path, text).unwrap();
        mode(&path, 0o644);
    }
    dir
}

fn median(mut once: impl FnMut()) -> Duration {
    let mut all: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            once();
            began.elapsed()
        })
        .collect();
    all.sort();
    all[ROUNDS / 2]
}

/// The quickest of many rounds of look-ups, of keys that are there and one that is not, a look-up.
fn look_up(keyring: &Keyring) -> f64 {
    const KEYS: usize = 12;
    let all = keyring.keys();
    let keys: Vec<_> = (0..KEYS).map(|at| &all[at * all.len() / KEYS]).collect();
    let wanted: Vec<(Vec<u8>, KeyId)> = keys
        .iter()
        .map(|key| match &key.material {
            Material::Ssh(public) => (public.blob().to_vec(), key.id()),
            Material::OpenPgp(_) => unreachable!("none was made"),
        })
        .collect();
    let stranger = vec![0_u8; wanted[0].0.len()];
    let round = || {
        let began = Instant::now();
        for _ in 0..200 {
            for (blob, id) in &wanted {
                assert!(black_box(keyring.has_ssh(black_box(blob))));
                assert!(black_box(keyring.find(black_box(id))).is_some());
            }
            assert!(!black_box(keyring.has_ssh(black_box(&stranger))));
        }
        began.elapsed().as_secs_f64() / (200 * KEYS) as f64
    };
    (0..300).map(|_| round()).fold(f64::INFINITY, f64::min)
}

fn list(dir: &Path) -> usize {
    use clap::Parser;
    let path = dir.to_str().unwrap();
    let args = Command::try_parse_from(["x", "--keyring", path, "list"]).unwrap().keyring;
    let mut out = Vec::new();
    let code = cli::run(&args, Path::new("/nonexistent"), Format::Text, &mut out, &mut io::sink()).unwrap();
    assert_eq!(code, 0);
    out.len()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let rings = [12, 1000, 10_000].map(|principals| (principals, ring(principals)));
    let loaded: Vec<_> = rings
        .iter()
        .map(|(principals, dir)| {
            let keyring = Keyring::load(dir.path()).unwrap().keyring;
            assert_eq!(keyring.keys().len(), *principals as usize);
            (*principals, keyring)
        })
        .collect();
    let mut group = criterion.benchmark_group("keyring");
    for (principals, keyring) in &loaded {
        let middle = keyring.keys()[keyring.keys().len() / 2].id();
        group.bench_function(format!("find, {principals} principals"), |bencher| {
            bencher.iter(|| black_box(keyring.find(black_box(&middle))).is_some());
        });
    }
    group.finish();
    let base = look_up(&loaded[0].1);
    for (principals, keyring) in &loaded {
        let took = look_up(keyring);
        println!("look-up at {principals:>6} keys: {:>7.1} ns, {:.2} of that at 12", took * 1e9, took / base);
    }
    for (principals, dir) in &rings {
        let took = median(|| drop(black_box(Keyring::load(dir.path()).unwrap())));
        println!("loading  {principals:>6} principals: {:>7.1} ms", took.as_secs_f64() * 1e3);
    }
    let (_, thousand) = &rings[1];
    let took = median(|| assert!(list(thousand.path()) > 0));
    println!(
        "`keyring list` at 1,000 principals, without the start of a program: {:.1} ms (aimed at: 200)",
        took.as_secs_f64() * 1e3
    );
}
