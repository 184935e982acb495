//! Signed commits in bulk: no tool makes ten thousand signatures in a second, so keys, signatures and the pack are
//! made here.

use super::sandbox::{Sandbox, run};
use super::signers::Signer;
use data_encoding::BASE64;
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest, Sha512};
use std::fs;
use std::path::Path;

const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// An Ed25519 key that is nothing but a seed. A test key.
pub struct BulkKey {
    key: SigningKey,
}

impl BulkKey {
    pub fn new(seed: u8) -> Self {
        BulkKey { key: SigningKey::from_bytes(&[seed; 32]) }
    }

    fn blob(&self) -> Vec<u8> {
        [string(b"ssh-ed25519"), string(self.key.verifying_key().as_bytes())].concat()
    }

    /// The key as OpenSSH writes it into `.pub` files.
    pub fn public(&self) -> String {
        format!("ssh-ed25519 {} test key, not a real one\n", BASE64.encode(&self.blob()))
    }

    /// An armored SSH signature for git over `payload`.
    pub fn sign(&self, payload: &[u8]) -> String {
        let head = [string(b"git"), string(b""), string(b"sha512")].concat();
        let digest = string(&Sha512::digest(payload));
        let signature = self.key.sign(&[b"SSHSIG".as_slice(), &head, &digest].concat());
        let signature = [string(b"ssh-ed25519"), string(&signature.to_bytes())].concat();
        let blob =
            [b"SSHSIG\0\0\0\x01".as_slice(), &string(&self.blob()), &head, &string(&signature)].concat();
        let encoded = BASE64.encode(&blob);
        let lines: Vec<&str> =
            encoded.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n"))
    }
}

/// Puts a straight line of signed commits without content on `reference` and gives their ids, oldest first.
/// `signer` is asked for each commit; `None` leaves it unsigned.
pub fn signed_line<'k>(
    sandbox: &Sandbox,
    repository: &Path,
    reference: &str,
    length: usize,
    signer: impl Fn(usize) -> Option<&'k BulkKey>,
) -> Vec<String> {
    sandbox.git_with_input(repository, &["hash-object", "-w", "-t", "tree", "--stdin"], b"").ok();
    let mut pack = [b"PACK\0\0\0\x02".as_slice(), &u32::try_from(length).unwrap().to_be_bytes()].concat();
    let mut ids: Vec<String> = Vec::new();
    for index in 0..length {
        let who = format!("Test Key <test@example.com> {} +0000", 1_750_000_000 + index);
        let parent = ids.last().map(|parent| format!("parent {parent}\n")).unwrap_or_default();
        let head = format!("tree {EMPTY_TREE}\n{parent}author {who}\ncommitter {who}\n");
        let body = format!("\nOPS-{}: line\n", index + 1);
        let header = match signer(index) {
            Some(key) => {
                let armor = key.sign(format!("{head}{body}").as_bytes());
                format!("gpgsig {}\n", armor.trim_end().replace('\n', "\n "))
            }
            None => String::new(),
        };
        let raw = format!("{head}{header}{body}").into_bytes();
        let id = gix::objs::compute_hash(gix::hash::Kind::Sha1, gix::objs::Kind::Commit, &raw).unwrap();
        ids.push(id.to_string());
        entry(&mut pack, &raw);
    }
    let mut hasher = gix::hash::hasher(gix::hash::Kind::Sha1);
    hasher.update(&pack);
    pack.extend_from_slice(hasher.try_finalize().unwrap().as_slice());
    let mut index = sandbox.command("git", repository);
    index.args(["index-pack", "--stdin"]);
    run(index, &pack).ok();
    sandbox.git(repository, &["update-ref", reference, ids.last().unwrap()]).ok();
    ids
}

/// Puts such a key into the keyring of a gate as somebody's.
pub fn as_signer(sandbox: &Sandbox, name: &str, key: &BulkKey) -> Signer {
    let public = sandbox.path(format!("home/{name}.pub"));
    fs::write(&public, key.public()).unwrap();
    Signer::public_only(name, public)
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// One commit in a pack: type and size, then the bytes in a zlib stream that does not compress.
fn entry(pack: &mut Vec<u8>, raw: &[u8]) {
    let mut size = raw.len() >> 4;
    let mut byte = 0x10 | u8::try_from(raw.len() & 15).unwrap();
    while size > 0 {
        pack.push(byte | 0x80);
        byte = u8::try_from(size & 0x7f).unwrap();
        size >>= 7;
    }
    pack.push(byte);
    let length = u16::try_from(raw.len()).unwrap();
    pack.extend_from_slice(&[0x78, 0x01, 0x01]);
    pack.extend_from_slice(&length.to_le_bytes());
    pack.extend_from_slice(&(!length).to_le_bytes());
    pack.extend_from_slice(raw);
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in raw {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    pack.extend_from_slice(&(b << 16 | a).to_be_bytes());
}
