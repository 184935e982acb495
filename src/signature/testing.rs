//! What the unit tests share: a keyring of vectors, and crafted OpenPGP and SSH signatures by keys that
//! are nothing but a seed. Everything here is a test key.

use super::openpgp::Certificate;
use super::{Keys, SignatureStatus, object};
use crate::domain::{ObjectFormat, Timestamp};
use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use pgp::crypto::hash::HashAlgorithm;
use sha2::{Digest, Sha512};

/// The time at which the tests judge: 2025-06-01.
pub(super) const NOW: i64 = 1_748_736_000;
pub(super) const DAY: i64 = 86_400;
/// When crafted keys were made.
pub(super) const BORN: i64 = NOW - 100 * DAY;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[derive(Default)]
pub(super) struct KeyBox {
    pub(super) ssh: Vec<Vec<u8>>,
    pub(super) openpgp: Vec<Certificate>,
}

impl Keys for KeyBox {
    fn has_ssh(&self, blob: &[u8]) -> bool {
        self.ssh.iter().any(|known| known == blob)
    }

    fn openpgp_by_fingerprint(&self, fingerprint: &[u8]) -> Vec<&Certificate> {
        let has = |certificate: &&Certificate| {
            certificate.component_fingerprints().iter().any(|known| known == fingerprint)
        };
        self.openpgp.iter().filter(has).collect()
    }

    fn openpgp_by_key_id(&self, key_id: [u8; 8]) -> Vec<&Certificate> {
        self.openpgp.iter().filter(|certificate| certificate.key_ids().contains(&key_id)).collect()
    }
}

pub(super) const TREE: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";
pub(super) const AUTHOR: &str = "author Test Key <test@example.org> 1748736000 +0000\n";
pub(super) const COMMITTER: &str = "committer Test Key <test@example.org> 1748736000 +0000\n";

/// An unsigned commit with this message, made at [`NOW`].
pub(super) fn commit(message: &str) -> Vec<u8> {
    format!("{TREE}{AUTHOR}{COMMITTER}\n{message}").into_bytes()
}

/// The lines of a header that holds `armor`.
pub(super) fn header(name: &str, armor: &[u8]) -> Vec<u8> {
    let armor = String::from_utf8(armor.to_vec()).unwrap();
    format!("{name} {}\n", armor.trim_end_matches('\n').replace('\n', "\n ")).into_bytes()
}

/// `payload` with a signature header behind its committer line.
pub(super) fn with_signature(payload: &[u8], armor: &[u8]) -> Vec<u8> {
    let split = payload.windows(2).position(|pair| pair == b"\n\n").unwrap() + 1;
    [&payload[..split], &header("gpgsig", armor), &payload[split..]].concat()
}

/// Parses and verifies a commit; grammar faults are panics.
pub(super) fn verify_commit(raw: &[u8], keys: &KeyBox) -> SignatureStatus {
    let commit = object::parse_commit(ObjectFormat::Sha1, raw).unwrap();
    match &commit.signature {
        object::SignatureField::Absent => SignatureStatus::Unsigned,
        object::SignatureField::Malformed { code, why } => {
            SignatureStatus::Malformed { code, why: why.clone() }
        }
        object::SignatureField::Present(block) => {
            super::verify_now(block, &commit.payload, keys, at(NOW), commit.committer.time)
        }
    }
}

/// One word: the status, or the code of a malformed signature.
pub(super) fn word(status: &SignatureStatus) -> &'static str {
    match status {
        SignatureStatus::Malformed { code, .. } => code,
        other => other.name(),
    }
}

fn armored(label: &str, head: &str, bytes: &[u8]) -> Vec<u8> {
    let text = BASE64.encode(bytes);
    let lines: Vec<_> = text.as_bytes().chunks(70).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{head}{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

pub(super) fn pgp_armor(packets: &[u8]) -> Vec<u8> {
    armored("PGP SIGNATURE", "\n", packets)
}

pub(super) fn ssh_armor(blob: &[u8]) -> Vec<u8> {
    armored("SSH SIGNATURE", "", blob)
}

pub(super) fn key_block(packets: &[u8]) -> Vec<u8> {
    armored("PGP PUBLIC KEY BLOCK", "Comment: test key\n\n", packets)
}

/// An SSHSIG in every detail that a test may want wrong.
pub(super) struct CraftedSsh<'a> {
    pub(super) version: u32,
    pub(super) namespace: &'a [u8],
    pub(super) reserved: &'a [u8],
    pub(super) hash: &'a [u8],
    pub(super) trailing: &'a [u8],
    pub(super) inner_trailing: &'a [u8],
}

impl Default for CraftedSsh<'_> {
    fn default() -> Self {
        Self {
            version: 1,
            namespace: b"git",
            reserved: b"",
            hash: b"sha512",
            trailing: b"",
            inner_trailing: b"",
        }
    }
}

pub(super) fn strings(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields {
        super::wire::put_string(&mut out, field);
    }
    out
}

pub(super) fn ssh_blob(key: &SigningKey) -> Vec<u8> {
    strings(&[b"ssh-ed25519", key.verifying_key().as_bytes()])
}

impl CraftedSsh<'_> {
    pub(super) fn make(&self, key: &SigningKey, payload: &[u8]) -> Vec<u8> {
        let digest = if self.hash == b"sha256" {
            sha2::Sha256::digest(payload).to_vec()
        } else {
            Sha512::digest(payload).to_vec()
        };
        // OpenSSH signs an empty reserved field whatever the blob says.
        let signed = [&b"SSHSIG"[..], &strings(&[self.namespace, b"", self.hash, &digest])].concat();
        let inner =
            [&strings(&[b"ssh-ed25519", &key.sign(&signed).to_bytes()]), self.inner_trailing].concat();
        let blob = [
            &b"SSHSIG"[..],
            &self.version.to_be_bytes(),
            &strings(&[&ssh_blob(key), self.namespace, self.reserved, self.hash, &inner]),
            self.trailing,
        ];
        ssh_armor(&blob.concat())
    }
}

/// A crafted OpenPGP key: native Ed25519, version 4 or 6.
pub(super) struct PgpKey {
    pub(super) secret: SigningKey,
    pub(super) version: u8,
    pub(super) body: Vec<u8>,
}

impl PgpKey {
    pub(super) fn new(seed: u8) -> Self {
        Self::of_version(seed, 4, BORN)
    }

    pub(super) fn of_version(seed: u8, version: u8, born: i64) -> Self {
        let secret = SigningKey::from_bytes(&[seed; 32]);
        let mut body = vec![version];
        body.extend_from_slice(&u32::try_from(born).unwrap().to_be_bytes());
        body.push(27);
        if version == 6 {
            body.extend_from_slice(&32_u32.to_be_bytes());
        }
        body.extend_from_slice(secret.verifying_key().as_bytes());
        Self { secret, version, body }
    }

    pub(super) fn framed(&self) -> Vec<u8> {
        if self.version == 6 {
            let length = u32::try_from(self.body.len()).unwrap();
            [&[0x9b][..], &length.to_be_bytes(), &self.body].concat()
        } else {
            let length = u16::try_from(self.body.len()).unwrap();
            [&[0x99][..], &length.to_be_bytes(), &self.body].concat()
        }
    }

    pub(super) fn fingerprint(&self) -> Vec<u8> {
        let hash = if self.version == 6 { HashAlgorithm::Sha256 } else { HashAlgorithm::Sha1 };
        hash.digest(&self.framed()).unwrap()
    }

    pub(super) fn key_id(&self) -> Vec<u8> {
        let fingerprint = self.fingerprint();
        if self.version == 6 { fingerprint[..8].to_vec() } else { fingerprint[12..].to_vec() }
    }
}

pub(super) fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0xc0 | tag, 0xff][..], &length, body].concat()
}

pub(super) fn subpacket(kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
    [&[0xff][..], &length, &[kind], data].concat()
}

pub(super) fn number(kind: u8, value: i64) -> Vec<u8> {
    subpacket(kind, &u32::try_from(value).unwrap().to_be_bytes())
}

/// A crafted OpenPGP signature in every detail that a test may want wrong.
pub(super) struct PgpSig {
    pub(super) kind: u8,
    pub(super) hash: HashAlgorithm,
    pub(super) hashed: Vec<u8>,
    pub(super) unhashed: Vec<u8>,
    /// Whether to name the issuer by fingerprint, hashed.
    pub(super) issuer: bool,
    /// The version octet to write, if it shall lie.
    pub(super) version: Option<u8>,
    pub(super) break_prefix: bool,
}

impl PgpSig {
    pub(super) fn new(kind: u8, created: i64) -> Self {
        Self {
            kind,
            hash: HashAlgorithm::Sha512,
            hashed: number(2, created),
            unhashed: Vec::new(),
            issuer: true,
            version: None,
            break_prefix: false,
        }
    }

    pub(super) fn with(mut self, subpacket: Vec<u8>) -> Self {
        self.hashed.extend(subpacket);
        self
    }

    pub(super) fn unhashed(mut self, subpacket: Vec<u8>) -> Self {
        self.unhashed.extend(subpacket);
        self
    }

    pub(super) fn hash(mut self, hash: HashAlgorithm) -> Self {
        self.hash = hash;
        self
    }

    pub(super) fn anonymous(mut self) -> Self {
        self.issuer = false;
        self
    }

    /// The packet body.
    pub(super) fn body(&self, key: &PgpKey, parts: &[&[u8]]) -> Vec<u8> {
        let mut hashed = self.hashed.clone();
        if self.issuer {
            hashed.extend(subpacket(33, &[&[key.version][..], &key.fingerprint()].concat()));
        }
        let version = self.version.unwrap_or(key.version);
        let length = |area: &[u8]| {
            if version == 6 {
                u32::try_from(area.len()).unwrap().to_be_bytes().to_vec()
            } else {
                u16::try_from(area.len()).unwrap().to_be_bytes().to_vec()
            }
        };
        let head = [&[version, self.kind, 27, self.hash.into()][..], &length(&hashed), &hashed].concat();
        let salt = if version == 6 { vec![7; self.hash.salt_len().unwrap_or(16)] } else { Vec::new() };
        let trailer = [&[version, 0xff][..], &u32::try_from(head.len()).unwrap().to_be_bytes()].concat();
        let mut data = salt.clone();
        parts.iter().for_each(|part| data.extend_from_slice(part));
        let digest = self.hash.digest(&[data, head.clone(), trailer].concat()).unwrap();
        let mut prefix = [digest[0], digest[1]];
        prefix[0] ^= u8::from(self.break_prefix);
        let mut out = [&head[..], &length(&self.unhashed), &self.unhashed, &prefix].concat();
        if version == 6 {
            out.push(u8::try_from(salt.len()).unwrap());
            out.extend(salt);
        }
        out.extend(key.secret.sign(&digest).to_bytes());
        out
    }

    pub(super) fn packet(&self, key: &PgpKey, parts: &[&[u8]]) -> Vec<u8> {
        packet(2, &self.body(key, parts))
    }

    /// Over data, in armor.
    pub(super) fn over(&self, key: &PgpKey, payload: &[u8]) -> Vec<u8> {
        pgp_armor(&self.packet(key, &[payload]))
    }
}

pub(super) const USER_ID: &[u8] = b"Test Key (not a real one) <test@example.org>";

pub(super) fn user_id_frame() -> Vec<u8> {
    [&[0xb4][..], &u32::try_from(USER_ID.len()).unwrap().to_be_bytes(), USER_ID].concat()
}

/// A certification of the test user id by the key itself, with these flags.
pub(super) fn certify(key: &PgpKey, created: i64, flags: u8, more: Vec<u8>) -> Vec<u8> {
    let signature = PgpSig::new(0x13, created).with(subpacket(27, &[flags])).with(more);
    signature.packet(key, &[&key.framed(), &user_id_frame()])
}

/// A certificate of one key that certifies and signs.
pub(super) fn simple(key: &PgpKey) -> Vec<u8> {
    let id = packet(13, USER_ID);
    [packet(6, &key.body), id, certify(key, BORN, 0x03, vec![])].concat()
}

/// A binding of `subkey`, with a back signature where its flags are for signing.
pub(super) fn bind(primary: &PgpKey, subkey: &PgpKey, created: i64, flags: u8, more: Vec<u8>) -> Vec<u8> {
    let parts: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
    let mut binding = PgpSig::new(0x18, created).with(subpacket(27, &[flags])).with(more);
    if flags & 2 != 0 {
        let back = PgpSig::new(0x19, created).body(subkey, &parts);
        binding = binding.unhashed(subpacket(32, &back));
    }
    binding.packet(primary, &parts)
}

pub(super) fn keys(packets: &[u8]) -> KeyBox {
    KeyBox { openpgp: Certificate::parse_all(packets).unwrap(), ..KeyBox::default() }
}
