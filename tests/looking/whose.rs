//! `keyring whose`: by every name that programs give a key, and by what it signed.

use super::keys::{DAY, Gpg};
use super::{ANN, BOB, CY, NOW, Place, openpgp_with, ssh, ssh_with, time};
use crate::support::gate::{Gate, PRODUCTION};
use crate::support::signers::Signer;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// What `ssh-keygen -l` says of a key.
fn openssh_says(key: &str, hash: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("k.pub");
    fs::write(&file, format!("{key}\n")).unwrap();
    let ran = Command::new("ssh-keygen").args(["-l", "-E", hash, "-f"]).arg(&file).output().unwrap();
    String::from_utf8(ran.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
}

#[test]
fn every_name_of_an_ssh_key() {
    let place = Place::new();
    place.write("ann", &ssh(ANN));
    place.write("bob", &ssh(BOB));
    let file = place.path("some.pub");
    fs::write(&file, format!("{BOB} some comment\n")).unwrap();
    let (sha256, md5) = (openssh_says(BOB, "sha256"), openssh_says(BOB, "md5"));
    assert!(md5.starts_with("MD5:"), "{md5}");
    for name in
        [&sha256, &format!("{sha256}="), &md5, md5.strip_prefix("MD5:").unwrap(), file.to_str().unwrap()]
    {
        let ran = place.run(&["whose", name, "json"]);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        let owners = ran.json()["owners"].clone();
        assert_eq!((owners.as_array().unwrap().len(), &owners[0]["principal"]), (1, &json!("bob")), "{name}");
        assert_eq!(owners[0]["fingerprint"], sha256.as_str());
    }
    let ran = place.run(&["whose", &openssh_says(CY, "sha256")]);
    assert_eq!((ran.code, ran.out.as_str()), (1, "nobody of the keyring has this key\n"));
    assert_eq!(place.run(&["whose", &openssh_says(CY, "md5")]).code, 1);
}

#[test]
fn every_name_of_an_openpgp_key_and_its_subkeys() {
    let place = Place::new();
    let gpg = Gpg::new();
    let now = time(NOW).as_second();
    let key = gpg.generate(now - 100 * DAY, "ed25519", "cert", "never");
    gpg.run(now - 100 * DAY, &["--quick-add-key", &key, "ed25519", "sign", "never"], b"");
    let armor = gpg.run(now, &["--armor", "--export", &key], b"");
    place.write("ann", &openpgp_with(&armor, ""));
    place.write("bob", &ssh(BOB));
    let subkey = gpg.fingerprints().into_iter().find(|one| *one != key).unwrap();
    let file = place.path("ann.asc");
    fs::write(&file, &armor).unwrap();
    let spaced: Vec<String> =
        key.as_bytes().chunks(4).map(|four| String::from_utf8(four.to_vec()).unwrap()).collect();
    let (lower, spaced) = (key.to_lowercase(), spaced.join(" "));
    let id = |fingerprint: &str| format!("0x{}", &fingerprint[24..]);
    let names = [(&key, None), (&lower, None), (&spaced, None), (&id(&key), None)]
        .map(|(name, sub)| (name.clone(), sub));
    let subs = [(subkey.clone(), Some(&subkey)), (id(&subkey), Some(&subkey))];
    let file = (file.to_str().unwrap().to_owned(), None);
    for (name, sub) in names.into_iter().chain(subs).chain([file]) {
        let ran = place.run(&["whose", &name, "json"]);
        assert_eq!(ran.code, 0, "{name}: {ran:?}");
        let owner = ran.json()["owners"][0].clone();
        assert_eq!((&owner["principal"], &owner["fingerprint"]), (&json!("ann"), &json!(key)), "{name}");
        assert_eq!(owner["subkey"], json!(sub), "{name}");
    }
    let ran = place.run(&["whose", &key[32..]]);
    assert!(ran.code == 2 && ran.err.contains("8 digits"), "{ran:?}");
    let stranger = "0".repeat(40);
    assert_eq!(place.run(&["whose", &stranger]).code, 1);
}

#[test]
fn authorities_revoked_keys_and_lists() {
    let place = Place::new();
    place.write("ca", &format!("\n[[authority]]\nssh = \"{CY}\"\nprincipals = [\"*@example.org\"]\n"));
    let revoked = "revoked = { at = 2030-01-01T00:00:00Z, reason = \"retired\" }\n";
    place.write("ann", &ssh_with(ANN, revoked));
    let ran = place.run(&["whose", &openssh_says(CY, "sha256"), "json"]);
    assert_eq!((ran.code, &ran.json()["owners"][0]["authority"]), (0, &json!(openssh_says(CY, "sha256"))));
    let ran = place.run(&["whose", &openssh_says(ANN, "sha256")]);
    assert!(ran.code == 0 && ran.out.contains("standing   revoked (retired)"), "{ran:?}");
    let list = place.path("revoked_keys");
    fs::write(&list, format!("{BOB}\n")).unwrap();
    super::chmod(&list, 0o644);
    let config = fs::read_to_string(place.path("countersign.toml")).unwrap();
    let named = format!("[[keyring.revocation]]\npath = \"{}\"\n\n[repositories]", list.display());
    fs::write(place.path("countersign.toml"), config.replace("[repositories]", &named)).unwrap();
    let ran = place.run(&["whose", &openssh_says(BOB, "sha256")]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("it is in the revocation list PLACE/revoked_keys"), "{ran:?}");
}

#[test]
fn what_names_no_key() {
    let place = Place::new();
    place.write("ann", &ssh(ANN));
    for name in ["alice", "SHA256:abc", "MD5:ab", "12345", "HEAD", ""] {
        let ran = place.run(&["whose", name]);
        assert!(ran.code == 2 && !ran.err.is_empty() && ran.out.is_empty(), "{name}: {ran:?}");
    }
    let secret = place.path("id_ed25519");
    fs::write(&secret, "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n")
        .unwrap();
    let ran = place.run(&["whose", secret.to_str().unwrap()]);
    assert!(ran.code == 2 && ran.err.contains("private key") && !ran.err.contains("c2VjcmV0"), "{ran:?}");
}

#[test]
fn whose_signature_is_on_a_commit_or_tag() {
    let gate = Gate::prepared(PRODUCTION);
    let alice = Signer::ssh(&gate.sandbox, "alice", &["ed25519"]);
    let stranger = Signer::ssh(&gate.sandbox, "stranger", &["ed25519"]);
    gate.trust(&alice, "sre");
    let repository = gate.repository("app");
    let work = gate.clone_of(&repository);
    let dir = work.path.to_str().unwrap().to_owned();
    let whose = |name: &str| {
        let ran = gate.countersign(&["keyring", "whose", name, "--repo", &dir, "--format", "json"]);
        let json =
            serde_json::from_str::<Value>(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
        (ran.code().unwrap(), json)
    };
    let good = work.commit(Some(&alice), "OPS-1: signed");
    for name in [good.as_str(), "HEAD", &good[..10]] {
        let (code, json) = whose(name);
        assert_eq!(
            (code, &json["signer"], &json["object"]),
            (0, &json!("person:alice"), &json!(good)),
            "{name}"
        );
    }
    work.sign(Some(&alice), &["tag", "-s", "-m", "release", "v1"]);
    let (code, json) = whose("v1");
    assert_eq!((code, &json["kind"], &json["signer"]), (0, &json!("tag"), &json!("person:alice")));
    work.commit(Some(&stranger), "OPS-2: by nobody");
    let (code, json) = whose("HEAD");
    assert_eq!((code, &json["signer"], &json["status"]), (1, &Value::Null, &json!("unknown-key")));
    work.commit(None, "OPS-3: unsigned");
    assert_eq!(whose("HEAD").0, 1);
    // The same signature over something else names alice, and proves nothing.
    let raw = work.git(&["cat-file", "commit", &good]).ok().stdout.replace("OPS-1", "OPS-9");
    let hash = ["hash-object", "-t", "commit", "-w", "--stdin"];
    let forged = gate.sandbox.git_with_input(&work.path, &hash, raw.as_bytes()).ok().line().to_owned();
    let (code, json) = whose(&forged);
    assert_eq!(
        (code, &json["signer"], &json["claims_to_be"]),
        (1, &Value::Null, &json!("person:alice")),
        "{json:#}"
    );
    let text = gate.countersign(&["keyring", "whose", &forged, "--repo", &dir]).stdout;
    assert!(text.contains("nobody, as far as this proves"), "{text}");
    let ran = gate.countersign(&["keyring", "whose", "no-such-thing", "--repo", &dir]);
    assert_eq!(ran.code(), Some(2), "{ran:?}");
    let ran = gate.countersign(&["keyring", "whose", "HEAD", "--repo", "/nowhere"]);
    assert_eq!(ran.code(), Some(2), "{ran:?}");
}
