//! OpenPGP keys and signatures that no tool would make, byte by byte. Every key is a test key, made from a
//! seed that is one number.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part")]

use data_encoding::BASE64;
use ed25519_dalek::{Signer, SigningKey};
use pgp::crypto::Signer as _;
use pgp::crypto::ed448;
use pgp::crypto::hash::HashAlgorithm;
use pgp::types::SignatureBytes;

/// What signs.
pub enum Secret {
    Ed25519(SigningKey),
    Ed448(Box<ed448::SecretKey>),
}

/// A key packet and what signs for it.
pub struct CraftedKey {
    pub secret: Secret,
    pub version: u8,
    pub algorithm: u8,
    pub body: Vec<u8>,
}

/// Algorithm numbers.
pub const ED25519: u8 = 27;
pub const ED448: u8 = 28;
pub const EDDSA_LEGACY: u8 = 22;

impl CraftedKey {
    /// A native Ed25519 key of version 4.
    pub fn new(seed: u8, born: i64) -> Self {
        Self::of(ED25519, seed, 4, born)
    }

    pub fn of(algorithm: u8, seed: u8, version: u8, born: i64) -> Self {
        if algorithm == ED448 {
            let secret = ed448::SecretKey::try_from_bytes([seed; 57]).unwrap();
            let public = pgp::types::Ed448PublicParams::from(&secret).key.as_bytes().to_vec();
            return Self::with(Secret::Ed448(Box::new(secret)), algorithm, version, born, &public);
        }
        Self::from_seed([seed; 32], algorithm, version, born)
    }

    /// An Ed25519 key from its whole seed.
    pub fn from_seed(seed: [u8; 32], algorithm: u8, version: u8, born: i64) -> Self {
        let secret = SigningKey::from_bytes(&seed);
        let public = secret.verifying_key().to_bytes();
        let numbers = if algorithm == EDDSA_LEGACY {
            // Curve, then a number of 263 bits: the octet 0x40 and the point.
            [&b"\x09\x2b\x06\x01\x04\x01\xda\x47\x0f\x01\x01\x07\x40"[..], &public].concat()
        } else {
            public.to_vec()
        };
        Self::with(Secret::Ed25519(secret), algorithm, version, born, &numbers)
    }

    fn with(secret: Secret, algorithm: u8, version: u8, born: i64, numbers: &[u8]) -> Self {
        let mut body = vec![version];
        body.extend_from_slice(&u32::try_from(born).unwrap().to_be_bytes());
        body.push(algorithm);
        if version == 6 {
            body.extend_from_slice(&u32::try_from(numbers.len()).unwrap().to_be_bytes());
        }
        body.extend_from_slice(numbers);
        Self { secret, version, algorithm, body }
    }

    /// The key as it is hashed.
    pub fn framed(&self) -> Vec<u8> {
        if self.version == 6 {
            let length = u32::try_from(self.body.len()).unwrap();
            [&[0x9b][..], &length.to_be_bytes(), &self.body].concat()
        } else {
            let length = u16::try_from(self.body.len()).unwrap();
            [&[0x99][..], &length.to_be_bytes(), &self.body].concat()
        }
    }

    pub fn fingerprint(&self) -> Vec<u8> {
        let hash = if self.version == 6 { HashAlgorithm::Sha256 } else { HashAlgorithm::Sha1 };
        hash.digest(&self.framed()).unwrap()
    }

    pub fn hex(&self) -> String {
        data_encoding::HEXUPPER.encode(&self.fingerprint())
    }

    pub fn key_id(&self) -> Vec<u8> {
        let fingerprint = self.fingerprint();
        if self.version == 6 { fingerprint[..8].to_vec() } else { fingerprint[12..].to_vec() }
    }

    /// The public key packet, or that of a subkey.
    pub fn primary(&self) -> Vec<u8> {
        packet(6, &self.body)
    }

    pub fn subkey(&self) -> Vec<u8> {
        packet(14, &self.body)
    }

    /// The numbers of a signature over a digest, as a packet ends with them.
    fn numbers(&self, hash: HashAlgorithm, digest: &[u8]) -> Vec<u8> {
        match &self.secret {
            Secret::Ed25519(secret) => {
                let bytes = secret.sign(digest).to_bytes();
                if self.algorithm != EDDSA_LEGACY {
                    return bytes.to_vec();
                }
                bytes.chunks(32).flat_map(mpi).collect()
            }
            Secret::Ed448(secret) => match secret.sign(hash, digest).unwrap() {
                SignatureBytes::Native(bytes) => bytes.to_vec(),
                SignatureBytes::Mpis(_) => panic!("Ed448 has no numbers of its own length"),
            },
        }
    }
}

/// A number with its length in bits in front.
pub fn mpi(bytes: &[u8]) -> Vec<u8> {
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    let bits = significant.first().map_or(0, |first| significant.len() * 8 - first.leading_zeros() as usize);
    [&u16::try_from(bits).unwrap().to_be_bytes()[..], significant].concat()
}

pub fn packet(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[0xc0 | tag, 0xff][..], &length, body].concat()
}

pub fn subpacket(kind: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).unwrap().to_be_bytes();
    [&[0xff][..], &length, &[kind], data].concat()
}

/// A subpacket that is a number of four octets.
pub fn number(kind: u8, value: i64) -> Vec<u8> {
    subpacket(kind, &u32::try_from(value).unwrap().to_be_bytes())
}

pub fn flags(flags: u8) -> Vec<u8> {
    subpacket(27, &[flags])
}

/// A notation with the name `n` and the value `v`; `critical` sets the bit.
pub fn notation(critical: bool) -> Vec<u8> {
    subpacket(20 | u8::from(critical) << 7, b"\x80\0\0\0\0\x01\0\x01nv")
}

/// Names `key` as somebody who may revoke.
pub fn revoker(key: &CraftedKey) -> Vec<u8> {
    subpacket(12, &[&[0x80, key.algorithm][..], &key.fingerprint()].concat())
}

/// A signature in every detail that a test may want wrong.
pub struct CraftedSignature {
    pub kind: u8,
    pub hash: HashAlgorithm,
    pub hashed: Vec<u8>,
    pub unhashed: Vec<u8>,
    /// Whether to name the issuer by fingerprint, hashed.
    pub names_issuer: bool,
    /// The version octet to write, if it shall lie.
    pub version: Option<u8>,
    /// Whether the two leading octets of the digest are wrong.
    pub breaks_prefix: bool,
}

impl CraftedSignature {
    pub fn new(kind: u8, created: i64) -> Self {
        Self {
            kind,
            hash: HashAlgorithm::Sha512,
            hashed: number(2, created),
            unhashed: Vec::new(),
            names_issuer: true,
            version: None,
            breaks_prefix: false,
        }
    }

    pub fn with(mut self, subpacket: Vec<u8>) -> Self {
        self.hashed.extend(subpacket);
        self
    }

    pub fn unhashed(mut self, subpacket: Vec<u8>) -> Self {
        self.unhashed.extend(subpacket);
        self
    }

    pub fn hash(mut self, hash: HashAlgorithm) -> Self {
        self.hash = hash;
        self
    }

    /// Without the issuer's fingerprint.
    pub fn anonymous(mut self) -> Self {
        self.names_issuer = false;
        self
    }

    /// Without a creation time, or anything else in the hashed part.
    pub fn bare(mut self) -> Self {
        self.hashed.clear();
        self
    }

    /// The packet's body.
    pub fn body(&self, key: &CraftedKey, parts: &[&[u8]]) -> Vec<u8> {
        let mut hashed = self.hashed.clone();
        if self.names_issuer {
            hashed.extend(subpacket(33, &[&[key.version][..], &key.fingerprint()].concat()));
        }
        let version = self.version.unwrap_or(key.version);
        let length = |area: &[u8]| {
            let octets = u32::try_from(area.len()).unwrap().to_be_bytes();
            octets[if version == 6 { 0 } else { 2 }..].to_vec()
        };
        let head =
            [&[version, self.kind, key.algorithm, self.hash.into()][..], &length(&hashed), &hashed].concat();
        let salt = if version == 6 { vec![7; self.hash.salt_len().unwrap_or(16)] } else { Vec::new() };
        let trailer = [&[version, 0xff][..], &u32::try_from(head.len()).unwrap().to_be_bytes()].concat();
        let data = [&salt[..], &parts.concat(), &head, &trailer].concat();
        let digest = self.hash.digest(&data).unwrap();
        let prefix = [digest[0] ^ u8::from(self.breaks_prefix), digest[1]];
        let mut out = [&head[..], &length(&self.unhashed), &self.unhashed, &prefix].concat();
        if version == 6 {
            out.push(u8::try_from(salt.len()).unwrap());
            out.extend(salt);
        }
        out.extend(key.numbers(self.hash, &digest));
        out
    }

    pub fn packet(&self, key: &CraftedKey, parts: &[&[u8]]) -> Vec<u8> {
        packet(2, &self.body(key, parts))
    }

    /// Over data, in armor.
    pub fn over(&self, key: &CraftedKey, payload: &[u8]) -> Vec<u8> {
        armored("PGP SIGNATURE", &self.packet(key, &[payload]))
    }
}

/// Binary in armor, without the optional checksum.
pub fn armored(label: &str, bytes: &[u8]) -> Vec<u8> {
    let text = BASE64.encode(bytes);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
}

pub fn signature_armor(packets: &[u8]) -> Vec<u8> {
    armored("PGP SIGNATURE", packets)
}

pub fn key_armor(packets: &[u8]) -> Vec<u8> {
    armored("PGP PUBLIC KEY BLOCK", packets)
}

/// What is inside an armor, its own headers and checksum left out.
pub fn dearmored(armor: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(armor).unwrap();
    let body = text.split_once("\n\n").unwrap().1;
    let lines = body.lines().take_while(|line| !line.starts_with('=') && !line.starts_with("-----"));
    BASE64.decode(lines.collect::<String>().as_bytes()).unwrap()
}

/// What the crafted certificates say that they are.
pub const USER_ID: &[u8] = b"Test Key (not a real one) <test@example.org>";

pub fn user_id() -> Vec<u8> {
    packet(13, USER_ID)
}

/// The user id as it is hashed.
pub fn user_id_frame() -> Vec<u8> {
    [&[0xb4][..], &u32::try_from(USER_ID.len()).unwrap().to_be_bytes(), USER_ID].concat()
}

/// A certification of the test user id by the key itself, with these flags.
pub fn certify(key: &CraftedKey, created: i64, of: u8, more: Vec<u8>) -> Vec<u8> {
    let signature = CraftedSignature::new(0x13, created).with(flags(of)).with(more);
    signature.packet(key, &[&key.framed(), &user_id_frame()])
}

/// A certificate of one key that certifies and signs. One of version 6 has a direct-key signature.
pub fn simple(key: &CraftedKey, born: i64) -> Vec<u8> {
    if key.version == 6 {
        let direct = CraftedSignature::new(0x1f, born).with(flags(3));
        return [key.primary(), direct.packet(key, &[&key.framed()])].concat();
    }
    [key.primary(), user_id(), certify(key, born, 3, vec![])].concat()
}

/// A binding of `subkey`, with a back signature where its flags are for signing.
pub fn bind(primary: &CraftedKey, subkey: &CraftedKey, created: i64, of: u8, more: Vec<u8>) -> Vec<u8> {
    let parts: [&[u8]; 2] = [&primary.framed(), &subkey.framed()];
    let mut binding = CraftedSignature::new(0x18, created).with(flags(of)).with(more);
    if of & 2 != 0 {
        let back = CraftedSignature::new(0x19, created).body(subkey, &parts);
        binding = binding.unhashed(subpacket(32, &back));
    }
    binding.packet(primary, &parts)
}

/// A revocation of the primary key by `by`, with a reason code or none.
pub fn revocation(created: i64, reason: Option<u8>) -> CraftedSignature {
    let revocation = CraftedSignature::new(0x20, created);
    match reason {
        Some(reason) => revocation.with(subpacket(29, &[reason])),
        None => revocation,
    }
}

/// The same made by the key itself.
pub fn revoked(key: &CraftedKey, created: i64, reason: Option<u8>) -> Vec<u8> {
    revocation(created, reason).packet(key, &[&key.framed()])
}

/// A revocation of a subkey by its primary key.
pub fn subkey_revoked(primary: &CraftedKey, subkey: &CraftedKey, created: i64, reason: u8) -> Vec<u8> {
    let revocation = CraftedSignature::new(0x28, created).with(subpacket(29, &[reason]));
    revocation.packet(primary, &[&primary.framed(), &subkey.framed()])
}
