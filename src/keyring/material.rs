//! Public keys as they stand in keyring files and as people hand them in.

use super::document::looks_private;
use super::{Reason, Revocation, Standing};
use crate::domain::{Timestamp, text};
use crate::signature::{Scheme, openpgp, ssh};

/// A public key.
#[derive(Clone, Debug)]
pub enum Material {
    /// An OpenSSH public key.
    Ssh(ssh::PublicKey),
    /// An OpenPGP certificate.
    OpenPgp(Box<openpgp::Certificate>),
}

/// Why bytes are not a public key that the keyring can hold. No message repeats the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MaterialError {
    /// A private key, which has no business here.
    #[error("this is a private key: it must not leave its owner's machine; give the public key instead")]
    Private,
    /// More than one key where one is wanted.
    #[error("this holds {} keys; give one at a time: {}", .0.len(), .0.join(", "))]
    Several(Vec<String>),
    /// Nothing at all.
    #[error("this holds no key")]
    Empty,
    /// Too large to be a key.
    #[error(
        "this is too large to be a public key: 1 MiB is the most; a certificate that others have signed very often is \
         smaller with `gpg --export-options export-minimal --export --armor FINGERPRINT`"
    )]
    TooLarge,
    /// Not an OpenSSH public key.
    #[error("this is not an OpenSSH public key: {0}")]
    Ssh(#[source] ssh::SshKeyError),
    /// Not an OpenPGP certificate.
    #[error("this is not an OpenPGP certificate: {0}")]
    OpenPgp(#[source] openpgp::CertificateError),
    /// Neither.
    #[error("this is neither an OpenSSH public key nor an OpenPGP certificate")]
    Unknown,
}

/// RSA keys below this size are told, in bits (O4).
const ADVISED_RSA_BITS: u64 = 3072;

impl Material {
    /// Longest key that is read, in bytes: certificates with many signatures are large.
    pub const MAX_LEN: usize = 1 << 20;

    /// Parses the value of `ssh = "..."`.
    ///
    /// # Errors
    /// See [`MaterialError`].
    pub fn ssh(line: &str) -> Result<Self, MaterialError> {
        if looks_private(line) {
            return Err(MaterialError::Private);
        }
        ssh::parse_public_key(line).map(Material::Ssh).map_err(|error| match error {
            ssh::SshKeyError::PrivateKey => MaterialError::Private,
            other => MaterialError::Ssh(other),
        })
    }

    /// Parses the value of `openpgp = """..."""`: one armored certificate.
    ///
    /// # Errors
    /// See [`MaterialError`].
    pub fn openpgp(armor: &str) -> Result<Self, MaterialError> {
        if looks_private(armor) {
            return Err(MaterialError::Private);
        }
        Self::certificate_of(armor.as_bytes())
    }

    fn certificate_of(bytes: &[u8]) -> Result<Self, MaterialError> {
        let mut all = openpgp::Certificate::parse_all(bytes).map_err(|error| match error {
            openpgp::CertificateError::SecretKey => MaterialError::Private,
            other => MaterialError::OpenPgp(other),
        })?;
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Ok(Material::OpenPgp(Box::new(one))),
            (Some(last), false) => {
                all.push(last);
                Err(MaterialError::Several(all.iter().map(named).collect()))
            }
            (None, _) => Err(MaterialError::Empty),
        }
    }

    /// Parses a key as a file holds it, and gives the text for the principal's file along with it:
    /// an OpenSSH public key, or an OpenPGP certificate, armored or binary.
    ///
    /// # Errors
    /// See [`MaterialError`]; several keys in one file are one.
    pub fn from_file(bytes: &[u8]) -> Result<(Self, String), MaterialError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(MaterialError::TooLarge);
        }
        if looks_private(&String::from_utf8_lossy(bytes)) {
            return Err(MaterialError::Private);
        }
        // The first octet of every OpenPGP packet has its high bit set, and that of no text does.
        if bytes.first().is_some_and(|first| *first >= 0x80) && !bytes.starts_with(b"\xef\xbb\xbf") {
            let material = Self::certificate_of(bytes).map_err(|error| match error {
                MaterialError::OpenPgp(openpgp::CertificateError::NotACertificate) => MaterialError::Unknown,
                other => other,
            })?;
            return Ok((material, armored(bytes)));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| MaterialError::Unknown)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.contains("-----BEGIN PGP") {
            let material = Self::certificate_of(text.as_bytes())?;
            // Without the armor's headers: they prove nothing and may hold anything.
            let lines = text.lines().map(str::trim_end).filter(|line| !line.contains(':'));
            return Ok((material, lines.map(|line| format!("{line}\n")).collect()));
        }
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        match lines[..] {
            [] => Err(MaterialError::Empty),
            [line] => Ok((Self::ssh(line)?, line.to_owned())),
            _ => {
                let keys: Result<Vec<_>, _> = lines.iter().map(|line| Self::ssh(line)).collect();
                let keys = keys.map_err(|_| MaterialError::Unknown)?;
                Err(MaterialError::Several(keys.iter().map(Self::fingerprint).collect()))
            }
        }
    }

    /// OpenPGP or SSH.
    pub fn scheme(&self) -> Scheme {
        match self {
            Material::Ssh(_) => Scheme::Ssh,
            Material::OpenPgp(_) => Scheme::OpenPgp,
        }
    }

    /// `SHA256:...` for SSH, the primary key's upper-case hexadecimal fingerprint for OpenPGP.
    pub fn fingerprint(&self) -> String {
        match self {
            Material::Ssh(key) => key.fingerprint(),
            Material::OpenPgp(certificate) => certificate.fingerprint(),
        }
    }

    /// The algorithm, for lists: `ssh-ed25519` for example.
    pub fn algorithm(&self) -> String {
        match self {
            Material::Ssh(key) => key.algorithm().to_owned(),
            Material::OpenPgp(certificate) => certificate.algorithm().to_string(),
        }
    }

    /// Why no signature by this key would be accepted, whatever its dates.
    pub fn weakness(&self) -> Option<String> {
        match self {
            Material::Ssh(key) => key.weakness().map(|weakness| weakness.to_string()),
            Material::OpenPgp(_) => None,
        }
    }

    /// What is weaker than is advised, where signatures by the key are accepted nonetheless.
    pub fn advice(&self, now: Timestamp) -> Option<String> {
        let small = |bits: u64| (bits < ADVISED_RSA_BITS).then(|| format!("RSA-{bits}"));
        match self {
            Material::Ssh(key) if key.algorithm() == "ssh-rsa" && key.weakness().is_none() => {
                small(key.bits() as u64)
            }
            Material::Ssh(_) => None,
            Material::OpenPgp(certificate) => {
                let keys = certificate.component_keys(now).into_iter();
                let mut usable = keys
                    .filter(|key| key.primary || matches!(key.standing, openpgp::Standing::Usable { .. }));
                usable.find_map(|key| small(u64::from(key.rsa_bits?)))
            }
        }
    }

    /// Whether this is an OpenPGP key or subkey, or an SSH key, of this fingerprint as people see it.
    pub fn has_fingerprint(&self, fingerprint: &str) -> bool {
        self.fingerprint() == fingerprint
            || self.components().iter().any(|(component, _)| hex(component) == fingerprint)
    }

    /// The certificate, where it is OpenPGP.
    pub fn certificate(&self) -> Option<&openpgp::Certificate> {
        match self {
            Material::Ssh(_) => None,
            Material::OpenPgp(certificate) => Some(certificate),
        }
    }

    /// Full fingerprint and key id of every component key of an OpenPGP certificate.
    pub(super) fn components(&self) -> Vec<(Vec<u8>, [u8; 8])> {
        match self {
            Material::Ssh(_) => Vec::new(),
            Material::OpenPgp(certificate) => {
                certificate.component_fingerprints().into_iter().zip(certificate.key_ids()).collect()
            }
        }
    }

    /// What the key says of itself, where its entry ends at `until`.
    pub(super) fn standing(&self, now: Timestamp, until: Option<Timestamp>) -> Standing {
        let Material::OpenPgp(certificate) = self else { return Standing::Valid { until } };
        match certificate.standing(now) {
            openpgp::Standing::Usable { until: own } => {
                let ends = [own, until].into_iter().flatten().min();
                Standing::Valid { until: ends }
            }
            openpgp::Standing::Expired { at } => Standing::Expired { at },
            openpgp::Standing::NotYetValid { from } => Standing::NotYetValid { from },
            openpgp::Standing::Revoked { reason, .. } => Standing::Revoked { reason },
            openpgp::Standing::Weak { what } => Standing::Weak { what },
            openpgp::Standing::NoSigningKey { why } => Standing::Unusable { why: why.to_owned() },
        }
    }

    /// The key as its file has it, whatever the rest of the keyring says of it.
    pub(super) fn by_its_own_word(&self) -> Material {
        match self {
            Material::Ssh(key) => Material::Ssh(key.clone()),
            Material::OpenPgp(certificate) => Material::OpenPgp(Box::new(certificate.by_its_own_word())),
        }
    }

    /// The revocation that the key's owner put into the certificate, if nothing in it is usable any more.
    pub(super) fn own_revocation(&self, now: Timestamp) -> Option<Revocation> {
        let openpgp::Standing::Revoked { reason, .. } = self.certificate()?.by_its_own_word().standing(now)
        else {
            return None;
        };
        let soft = Reason::WORDS.iter().find(|(word, _)| *word == reason).map(|(_, reason)| *reason);
        // Like in the certificate itself: in effect whatever its date says (K065).
        Some(Revocation { at: None, effective_from: None, reason: soft.unwrap_or(Reason::Compromised) })
    }

    /// Whether another copy of the certificate has a revocation, of a subkey too, that this one lacks.
    pub(super) fn lacks_revocations_of(&self, other: &Material) -> bool {
        let pair = self.certificate().zip(other.certificate());
        pair.is_some_and(|(own, other)| own.lacks_revocations_of(other))
    }

    /// Takes over the revocations that another copy of the certificate has besides; whether there are any.
    pub(super) fn take_revocations_of(&mut self, other: &Material) -> bool {
        let (Material::OpenPgp(own), Material::OpenPgp(other)) = (self, other) else { return false };
        let Some(merged) = own.with_revocations_of(other) else { return false };
        **own = merged;
        true
    }

    /// What the revocations inside say, to tell states of the keyring apart.
    pub(super) fn revocations(&self) -> String {
        self.certificate().map_or_else(String::new, openpgp::Certificate::revocations)
    }

    /// What an operator should ask the key's owner about.
    pub(super) fn remarks(&self) -> Vec<&'static str> {
        let Some(findings) = self.certificate().map(openpgp::Certificate::findings) else {
            return Vec::new();
        };
        let mut remarks = Vec::new();
        if findings.designated_revocations > 0 {
            remarks.push(
                "it holds a revocation by somebody whom its owner named; it counts if the keyring has that key: ask the owner",
            );
        }
        if findings.false_revocations > 0 {
            remarks
                .push("it holds a revocation that claims to be its own and does not verify: ask the owner");
        }
        remarks
    }

    /// Bytes that are the same for the same key, to find duplicates.
    pub(super) fn identities(&self) -> Vec<Vec<u8>> {
        match self {
            Material::Ssh(key) => vec![key.blob().to_vec()],
            Material::OpenPgp(_) => {
                self.components().into_iter().map(|(fingerprint, _)| fingerprint).collect()
            }
        }
    }
}

/// A fingerprint as people see it.
pub(super) fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXUPPER.encode(bytes)
}

/// A certificate as people recognise it.
fn named(certificate: &openpgp::Certificate) -> String {
    let user = certificate.user_ids().into_iter().next();
    let user = user.map(|id| format!(" ({})", text::escape_short(&id, 60)));
    format!("{}{}", certificate.fingerprint(), user.unwrap_or_default())
}

/// Binary packets in ASCII armor, with the checksum that GnuPG 2.2 cannot read armor without.
pub(super) fn armored(bytes: &[u8]) -> String {
    let encoded = data_encoding::BASE64.encode(bytes);
    let mut armor = String::from("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n");
    for line in encoded.as_bytes().chunks(64) {
        armor.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
        armor.push('\n');
    }
    armor.push('=');
    armor.push_str(&data_encoding::BASE64.encode(&crc24(bytes).to_be_bytes()[1..]));
    armor.push_str("\n-----END PGP PUBLIC KEY BLOCK-----\n");
    armor
}

/// RFC 9580, section 6.1.
fn crc24(bytes: &[u8]) -> u32 {
    let mut crc: u32 = 0x00b7_04ce;
    for byte in bytes {
        crc ^= u32::from(*byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    crc & 0x00ff_ffff
}
