//! The corpus of the fuzz targets, replayed: what once was found stays found. `scripts/fuzz` runs the
//! fuzzer itself.

#![allow(clippy::unwrap_used)]

#[path = "fuzz/targets.rs"]
mod targets;

use std::fs;
use std::path::Path;

#[test]
fn every_input_of_the_corpus_keeps_what_its_target_asserts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let mut directories: Vec<_> =
        fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    directories.sort();
    let names: Vec<_> = targets::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(directories, names, "one directory a target");
    let mut size = 0;
    for (name, target) in targets::ALL {
        let mut inputs: Vec<_> =
            fs::read_dir(root.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() >= 5, "the corpus of {name} is nearly empty");
        for path in inputs {
            let bytes = fs::read(&path).unwrap();
            size += bytes.len();
            let outcome = std::panic::catch_unwind(|| target(&bytes));
            assert!(outcome.is_ok(), "{name} fails on {}", path.display());
        }
    }
    assert!(size < 1 << 20, "the corpus has {size} bytes: minimise it");
}

#[test]
fn the_seeds_verify_so_that_what_is_asserted_of_verified_ones_can_fail() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/keys");
    let read = |name: &str| fs::read(root.join(name)).unwrap();
    for key in ["ssh-ed25519", "ssh-ecdsa256", "ssh-ecdsa384", "ssh-ecdsa521", "ssh-rsa"] {
        assert!(targets::seed_verifies(&read(&format!("signature-{key}.asc"))), "{key}");
    }
    for name in ["certificate", "certificate-forever"] {
        assert!(targets::seed_verifies(&targets::under_certificate(&read(name))), "{name}");
    }
    for key in ["ed25519", "nistp256", "rsa2048"] {
        assert!(targets::seed_verifies(&read(&format!("signature-{key}.asc"))), "{key}");
    }
}
