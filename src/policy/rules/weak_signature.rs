//! `weak-signature`: signatures that verify, and yet not by the formats, algorithms, digests and sizes that are
//! wanted here. What is too weak anywhere never verifies, and is `bad-signature`'s.

use super::signed::{Object, Of, SignatureRule, Written};
use super::{Finding, Judges, Kind, Scope, options};
use crate::domain::text;
use crate::signature::{KeyFamily, Scheme, VerifiedSignature};
use serde::Deserialize;

/// The registry line.
pub const KIND: Kind = Kind {
    name: "weak-signature",
    summary: "a signature by a format, algorithm, hash or key size that is not wanted",
    judges: Judges::Commit,
    build: |table| {
        let Options { formats, algorithms, hashes, min_bits, of } = options(table)?;
        let of = Of::parse(of)?.unwrap_or(Of::BOTH);
        let formats = words("formats", formats, &FORMATS)?;
        let algorithms = words("algorithms", algorithms, &KeyFamily::ALL.map(KeyFamily::name))?;
        let hashes = words("hashes", hashes, &HASHES)?;
        let MinBits { rsa, ecdsa } = min_bits;
        if !(RSA_LEAST..=RSA_MOST).contains(&rsa) {
            return Err(format!(
                "`rsa` is a number of bits from {RSA_LEAST}, below which nothing verifies, to {RSA_MOST}"
            ));
        }
        if !ECDSA_SIZES.contains(&ecdsa) {
            return Err("`ecdsa` is the size of a curve: 256, 384 or 521".into());
        }
        Ok(Box::new(WeakSignature { formats, algorithms, hashes, rsa, ecdsa, of }))
    },
};

const FORMATS: [&str; 3] = ["ssh", "ssh-certificate", "openpgp"];
const HASHES: [&str; 5] = ["sha256", "sha384", "sha512", "sha3-256", "sha3-512"];
const RSA_LEAST: u32 = 2048;
const RSA_MOST: u32 = 16_384;
const ECDSA_SIZES: [u32; 3] = [256, 384, 521];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Options {
    formats: Option<Vec<String>>,
    algorithms: Option<Vec<String>>,
    hashes: Option<Vec<String>>,
    #[serde(default)]
    min_bits: MinBits,
    of: Option<Written>,
}

/// The other algorithms have one size only.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct MinBits {
    rsa: u32,
    ecdsa: u32,
}

impl Default for MinBits {
    fn default() -> Self {
        MinBits { rsa: 3072, ecdsa: 256 }
    }
}

/// A list of words that are known; all of them where it is left out.
fn words(
    option: &str,
    written: Option<Vec<String>>,
    known: &[&'static str],
) -> Result<Vec<&'static str>, String> {
    let Some(written) = written else { return Ok(known.to_vec()) };
    if written.is_empty() {
        return Err(format!(
            "`{option} = []` would refuse every signature; leave it out to take all of them"
        ));
    }
    let word = |one: &String| {
        known.iter().copied().find(|word| word == one).ok_or_else(|| {
            let shown = text::escape(one.as_bytes());
            format!("unknown variant `{shown}`, expected one of `{}`", known.join("`, `"))
        })
    };
    written.iter().map(word).collect()
}

#[derive(Debug)]
struct WeakSignature {
    formats: Vec<&'static str>,
    algorithms: Vec<&'static str>,
    hashes: Vec<&'static str>,
    rsa: u32,
    ecdsa: u32,
    of: Of,
}

fn format_of(proof: &VerifiedSignature) -> &'static str {
    match proof.scheme() {
        Scheme::OpenPgp => "openpgp",
        Scheme::Ssh if proof.ssh_certificate().is_some() => "ssh-certificate",
        Scheme::Ssh => "ssh",
    }
}

impl WeakSignature {
    /// What is not wanted about a signature, everything at once: it is signed anew only once.
    fn weaknesses(&self, proof: &VerifiedSignature) -> Vec<String> {
        let mut out = Vec::new();
        let format = format_of(proof);
        if !self.formats.contains(&format) {
            out.push(format!("the format `{format}`"));
        }
        let Some(strength) = proof.strength() else {
            // A proof by an algorithm that this rule does not know is not taken for a strong one.
            out.push("an algorithm of unknown strength".to_owned());
            return out;
        };
        let family = strength.family;
        if !self.algorithms.contains(&family.name()) {
            out.push(format!("the algorithm `{}`", family.name()));
        }
        let least = match family {
            KeyFamily::Rsa => self.rsa,
            KeyFamily::Ecdsa => self.ecdsa,
            KeyFamily::Ed25519 | KeyFamily::Ed448 => 0,
        };
        if strength.bits < least {
            out.push(format!("a key of {} bits", strength.bits));
        }
        let unwanted = strength.hashes.iter().filter(|hash| !self.hashes.contains(&hash.as_str()));
        out.extend(unwanted.map(|hash| format!("the hash `{}`", text::escape(hash.as_bytes()))));
        out
    }

    fn wanted(&self) -> String {
        let algorithms = self.algorithms.iter().map(|name| match *name {
            "rsa" => format!("rsa from {} bits", self.rsa),
            "ecdsa" => format!("ecdsa from {} bits", self.ecdsa),
            other => other.to_owned(),
        });
        let algorithms: Vec<String> = algorithms.collect();
        let mut out = format!("a signature by a key of {}", algorithms.join(", "));
        if self.formats.len() < FORMATS.len() {
            out.push_str(&format!(", in the format {}", self.formats.join(", ")));
        }
        if self.hashes.len() < HASHES.len() {
            out.push_str(&format!(", over {}", self.hashes.join(", ")));
        }
        out
    }
}

impl SignatureRule for WeakSignature {
    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn of(&self) -> Of {
        self.of
    }

    /// What does not verify is `bad-signature`'s, who is not on the list `untrusted-signer`'s (N17).
    fn check(&self, object: Object<'_>, scope: Scope<'_>) -> Vec<Finding> {
        let Some(proof) = object.proof().filter(|_| !object.spoken_for(scope)) else { return Vec::new() };
        let weaknesses = self.weaknesses(proof);
        if weaknesses.is_empty() {
            return Vec::new();
        }
        vec![Finding {
            path: None,
            seen: format!("{}, with {}", object.signature().status, weaknesses.join(" and ")),
            wanted: self.wanted(),
            help: format!(
                "make a key of the kind that is wanted, such as with `ssh-keygen -t ed25519`, have the keyring's keeper \
                 add it, and sign again with {}",
                object.resign(scope)
            ),
        }]
    }
}
