//! OpenSSH objects byte by byte: keys that are nothing but a seed, an authenticator in software, and
//! certificates in every detail that a test may want wrong. Everything here is a test key.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    missing_docs,
    reason = "each test uses its own part"
)]

use data_encoding::BASE64;
use ed25519_dalek::Signer;
use sha2::{Digest, Sha256, Sha512};

pub const CERTIFICATE: &str = "-cert-v01@openssh.com";

pub fn string(value: &[u8]) -> Vec<u8> {
    [&u32::try_from(value.len()).unwrap().to_be_bytes()[..], value].concat()
}

pub fn strings(fields: &[&[u8]]) -> Vec<u8> {
    fields.iter().flat_map(|field| string(field)).collect()
}

/// A positive number as SSH writes it.
fn number(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = &bytes[start..];
    let sign: &[u8] = if digits.first().is_some_and(|first| *first >= 0x80) { &[0] } else { &[] };
    string(&[sign, digits].concat())
}

#[derive(Clone)]
enum Secret {
    Ed25519(Box<ed25519_dalek::SigningKey>),
    P256(Box<p256::ecdsa::SigningKey>),
}

/// A key; with an application it is an authenticator's.
#[derive(Clone)]
pub struct Key {
    secret: Secret,
    pub application: Option<&'static str>,
    /// What the authenticator says: 1 is a touch, 4 that it knows who it was.
    pub flags: u8,
    pub counter: u32,
}

impl Key {
    pub fn ed25519(seed: u8) -> Self {
        let secret = Secret::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(&[seed; 32])));
        Key { secret, application: None, flags: 1, counter: 1 }
    }

    pub fn p256(seed: u8) -> Self {
        let secret = Secret::P256(Box::new(p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()));
        Key { secret, application: None, flags: 1, counter: 1 }
    }

    pub fn fido(mut self, application: &'static str) -> Self {
        self.application = Some(application);
        self
    }

    pub fn with(mut self, flags: u8, counter: u32) -> Self {
        (self.flags, self.counter) = (flags, counter);
        self
    }

    pub fn name(&self) -> &'static str {
        match (&self.secret, self.application) {
            (Secret::Ed25519(_), None) => "ssh-ed25519",
            (Secret::Ed25519(_), Some(_)) => "sk-ssh-ed25519@openssh.com",
            (Secret::P256(_), None) => "ecdsa-sha2-nistp256",
            (Secret::P256(_), Some(_)) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn numbers(&self) -> Vec<u8> {
        let mut out = match &self.secret {
            Secret::Ed25519(key) => string(key.verifying_key().as_bytes()),
            Secret::P256(key) => strings(&[b"nistp256", key.verifying_key().to_sec1_point(false).as_bytes()]),
        };
        out.extend(self.application.iter().flat_map(|name| string(name.as_bytes())));
        out
    }

    pub fn blob(&self) -> Vec<u8> {
        [string(self.name().as_bytes()), self.numbers()].concat()
    }

    /// The line of a `.pub` file.
    pub fn line(&self) -> String {
        format!("{} {} test key, not a real one", self.name(), BASE64.encode(&self.blob()))
    }

    /// A signature over some bytes, with its algorithm in front.
    pub fn sign(&self, data: &[u8]) -> Vec<u8> {
        let tail = [&[self.flags][..], &self.counter.to_be_bytes()].concat();
        let framed =
            self.application.map(|name| [&Sha256::digest(name)[..], &tail, &Sha256::digest(data)].concat());
        let data = framed.as_deref().unwrap_or(data);
        let numbers = match &self.secret {
            Secret::Ed25519(key) => key.sign(data).to_bytes().to_vec(),
            Secret::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(data);
                let bytes = signature.to_bytes();
                [number(&bytes[..32]), number(&bytes[32..])].concat()
            }
        };
        let mut out = strings(&[self.name().as_bytes(), &numbers]);
        out.extend(framed.iter().flat_map(|_| tail.clone()));
        out
    }

    /// An SSHSIG by this key, armored.
    pub fn sshsig(&self, payload: &[u8]) -> Vec<u8> {
        sshsig(&self.blob(), self, payload)
    }
}

/// A blob with this key in it, signed by that one, in the namespace `git`.
pub fn sshsig(blob: &[u8], signer: &Key, payload: &[u8]) -> Vec<u8> {
    let signed = [&b"SSHSIG"[..], &strings(&[b"git", b"", b"sha512", &Sha512::digest(payload)])].concat();
    armored(&sshsig_blob(blob, &signer.sign(&signed)))
}

pub fn sshsig_blob(key: &[u8], inner: &[u8]) -> Vec<u8> {
    [&b"SSHSIG\0\0\0\x01"[..], &strings(&[key, b"git", b"", b"sha512", inner])].concat()
}

pub fn armored(blob: &[u8]) -> Vec<u8> {
    armored_at(blob, 70)
}

pub fn armored_at(blob: &[u8], width: usize) -> Vec<u8> {
    let text = BASE64.encode(blob);
    let lines: Vec<_> =
        text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN SSH SIGNATURE-----\n{}\n-----END SSH SIGNATURE-----\n", lines.join("\n")).into_bytes()
}

/// The blob in an armor.
pub fn dearmored(armor: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(armor.to_vec()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    BASE64.decode(lines.collect::<String>().as_bytes()).unwrap()
}

/// A certificate to be.
#[derive(Clone)]
pub struct Cert<'a> {
    pub kind: u32,
    pub serial: u64,
    pub key_id: &'a [u8],
    pub principals: Vec<&'a [u8]>,
    pub after: u64,
    pub before: u64,
    pub critical: Vec<(&'a [u8], Vec<u8>)>,
    pub extensions: Vec<(&'a [u8], Vec<u8>)>,
    pub reserved: &'a [u8],
    /// The authority's key as the certificate has it, if that shall not be the signer's.
    pub authority: Option<Vec<u8>>,
    /// The authority's signature, if it shall not be one.
    pub signature: Option<Vec<u8>>,
    pub trailing: &'a [u8],
}

impl<'a> Cert<'a> {
    /// A user's certificate for `alice@example.org`, from `after` and before `before`.
    pub fn new(after: i64, before: i64) -> Self {
        Cert {
            kind: 1,
            serial: 7,
            key_id: b"alice's laptop",
            principals: vec![b"alice@example.org"],
            after: u64::try_from(after).unwrap(),
            before: u64::try_from(before).unwrap(),
            critical: Vec::new(),
            extensions: Vec::new(),
            reserved: b"",
            authority: None,
            signature: None,
            trailing: b"",
        }
    }

    pub fn make(&self, key: &Key, authority: &Key) -> Vec<u8> {
        let options = |all: &[(&[u8], Vec<u8>)]| {
            all.iter().flat_map(|(name, data)| strings(&[name, data])).collect::<Vec<u8>>()
        };
        let name = format!("{}{CERTIFICATE}", key.name().trim_end_matches("@openssh.com"));
        let mut out = strings(&[name.as_bytes(), &[9; 32]]);
        out.extend(key.numbers());
        out.extend(self.serial.to_be_bytes());
        out.extend(self.kind.to_be_bytes());
        out.extend(strings(&[self.key_id, &strings(&self.principals)]));
        out.extend(self.after.to_be_bytes());
        out.extend(self.before.to_be_bytes());
        let blob = self.authority.clone().unwrap_or_else(|| authority.blob());
        out.extend(strings(&[&options(&self.critical), &options(&self.extensions), self.reserved, &blob]));
        let signature = self.signature.clone().unwrap_or_else(|| authority.sign(&out));
        out.extend(string(&signature));
        out.extend(self.trailing);
        out
    }
}
