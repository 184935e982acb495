//! What a signature turned out to be.

use super::Finding;
use crate::domain::Timestamp;
use std::fmt;

/// The kinds of signature that can be verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// OpenPGP, RFC 9580 and its predecessors.
    OpenPgp,
    /// SSHSIG, as `ssh-keygen -Y sign` makes it.
    Ssh,
}

impl Scheme {
    /// The word used in records and output.
    pub const fn name(self) -> &'static str {
        match self {
            Scheme::OpenPgp => "openpgp",
            Scheme::Ssh => "ssh",
        }
    }
}

/// How a key is named to people: `SHA256:...` for SSH, upper-case hexadecimal for OpenPGP.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyId {
    /// Which kind of key.
    pub scheme: Scheme,
    /// The full fingerprint, or, for an unknown OpenPGP key, the 64-bit key id where the signature
    /// gives nothing better.
    pub text: String,
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key {}", self.scheme.name(), self.text)
    }
}

/// The families of algorithms whose signatures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyFamily {
    /// RSA; its size is that of the modulus.
    Rsa,
    /// ECDSA on a curve of NIST's, whose size it has.
    Ecdsa,
    /// Ed25519.
    Ed25519,
    /// Ed448.
    Ed448,
}

impl KeyFamily {
    /// All of them.
    pub const ALL: [KeyFamily; 4] = [KeyFamily::Rsa, KeyFamily::Ecdsa, KeyFamily::Ed25519, KeyFamily::Ed448];

    /// The word used in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            KeyFamily::Rsa => "rsa",
            KeyFamily::Ecdsa => "ecdsa",
            KeyFamily::Ed25519 => "ed25519",
            KeyFamily::Ed448 => "ed448",
        }
    }
}

/// What a signature's strength rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strength {
    /// The algorithm of the key that signed.
    pub family: KeyFamily,
    /// The size of that key, bits.
    pub bits: u32,
    /// The digests that the object was put through, such as `sha512`: for SSH that of the message, and for
    /// RSA that of the signature algorithm besides.
    pub hashes: Vec<String>,
}

/// What a FIDO authenticator said about its signature (S5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fido {
    /// The application that the key is for, `ssh:` by default.
    pub application: String,
    /// Somebody touched the authenticator (flag 0x01).
    pub user_present: bool,
    /// The authenticator knew who it was, by PIN or finger (flag 0x04).
    pub user_verified: bool,
    /// The authenticator's count of signatures so far.
    pub counter: u32,
}

/// The OpenSSH user certificate that vouched for the key (S10).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshCertificate {
    /// `SHA256:` fingerprint of the certification authority.
    pub authority: String,
    /// What the authority calls the certificate, escaped.
    pub key_id: String,
    /// Its number.
    pub serial: u64,
    /// For whom it was made, never empty.
    pub principals: Vec<String>,
    /// First second in which it is valid, since the epoch.
    pub valid_after: u64,
    /// First second in which it is not any more; `u64::MAX` is never.
    pub valid_before: u64,
    /// It demands that the user was verified (the critical option `verify-required`).
    pub verify_required: bool,
    /// It says that no touch is needed (the extension `no-touch-required`).
    pub no_touch_required: bool,
}

/// Proof that a key made this signature over these bytes and that the key and the signature are valid
/// by their own rules at the times judged. Only the verifiers in this module can make one; whether
/// its owner is trusted is the keyring's and the policy's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSignature {
    scheme: Scheme,
    fingerprint: String,
    certificate: String,
    algorithm: String,
    signed_at: Option<Timestamp>,
    /// Apart, so that a status stays small.
    more: Box<More>,
}

/// What few proofs have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct More {
    fido: Option<Fido>,
    ssh_certificate: Option<SshCertificate>,
    strength: Option<Strength>,
    findings: Vec<Finding>,
}

impl VerifiedSignature {
    pub(in crate::signature) fn new(
        scheme: Scheme,
        fingerprint: String,
        certificate: String,
        algorithm: String,
        signed_at: Option<Timestamp>,
    ) -> Self {
        Self { scheme, fingerprint, certificate, algorithm, signed_at, more: Box::default() }
    }

    pub(in crate::signature) fn with_fido(mut self, fido: Option<Fido>) -> Self {
        self.more.fido = fido;
        self
    }

    pub(in crate::signature) fn with_ssh_certificate(mut self, certificate: Option<SshCertificate>) -> Self {
        self.more.ssh_certificate = certificate;
        self
    }

    pub(in crate::signature) fn with_strength(mut self, strength: Option<Strength>) -> Self {
        self.more.strength = strength;
        self
    }

    pub(in crate::signature) fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.more.findings = findings;
        self
    }

    /// The same proof with something odd noted about it. Findings never make a proof stronger, so anybody
    /// may add one.
    #[must_use]
    pub fn noting(mut self, finding: Finding) -> Self {
        self.more.findings.push(finding);
        self
    }

    /// OpenPGP or SSH.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Full fingerprint of the key that signed: for OpenPGP the component key (maybe a subkey), for an
    /// OpenSSH certificate the certified key.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Fingerprint under which the keyring holds the key: for OpenPGP the primary key's, for an OpenSSH
    /// certificate its authority's, for an SSH key the same as [`Self::fingerprint`].
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Key algorithm and digest, for records (`ssh-ed25519 sha512`).
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The time claimed inside the signature; SSH signatures carry none.
    pub fn signed_at(&self) -> Option<Timestamp> {
        self.signed_at
    }

    /// What a FIDO authenticator said, where one signed.
    pub fn fido(&self) -> Option<&Fido> {
        self.more.fido.as_ref()
    }

    /// The OpenSSH certificate, where one vouched for the key.
    pub fn ssh_certificate(&self) -> Option<&SshCertificate> {
        self.more.ssh_certificate.as_ref()
    }

    /// What its strength rests on, where that is known of the algorithm.
    pub fn strength(&self) -> Option<&Strength> {
        self.more.strength.as_ref()
    }

    /// What is odd about it.
    pub fn findings(&self) -> &[Finding] {
        &self.more.findings
    }
}

/// The verdict on one object's signature. Exhaustive on purpose: a new state must be thought through
/// everywhere. Only [`SignatureStatus::Verified`] ever counts for an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureStatus {
    /// There is no signature at all.
    Unsigned,
    /// The key signed these bytes, and both are valid now.
    Verified(VerifiedSignature),
    /// Well-formed, but by a key that the keyring does not have.
    UnknownKey {
        /// The key as the signature names it.
        key: KeyId,
    },
    /// The arithmetic says no: the bytes were changed or somebody else signed.
    Bad {
        /// The key as the signature names it.
        key: KeyId,
    },
    /// The key, its subkey or the signature has expired.
    Expired {
        /// Which key.
        key: KeyId,
        /// What expired: `key`, `subkey`, `signature`, `keyring entry`.
        what: &'static str,
        /// When.
        at: Timestamp,
    },
    /// The key or signature lies in the future.
    NotYetValid {
        /// Which key.
        key: KeyId,
        /// What is not valid yet: `key`, `signature`, `keyring entry`.
        what: &'static str,
        /// From when it will be.
        from: Timestamp,
    },
    /// The key was revoked, by its owner or by the keyring's operator.
    Revoked {
        /// Which key.
        key: KeyId,
        /// Why: `superseded`, `retired`, `compromised`, or the OpenPGP reason.
        reason: String,
        /// Somebody else may have the key, so that nothing it ever signed proves anything: what stands in
        /// repositories is tainted (N14, O10). Otherwise it only stopped being used.
        hard: bool,
    },
    /// The key may not sign commits or tags, or not like this: no signing flag, no back signature, wrong
    /// namespace, no touch, a certificate that does not say enough.
    WrongPurpose {
        /// Which key.
        key: KeyId,
        /// What is missing.
        why: String,
        /// How to sign so that it counts, behind "sign again, ".
        remedy: &'static str,
    },
    /// A hash, algorithm or key size that is not accepted.
    WeakAlgorithm {
        /// Which key.
        key: KeyId,
        /// What is too weak.
        what: String,
    },
    /// Recognised, but not a kind that this program verifies. Never the same as unsigned.
    Unsupported {
        /// The kind.
        what: String,
    },
    /// A signature is there but breaks the grammar, so that two readers could disagree about it.
    Malformed {
        /// A stable reason code such as `sig.trailing`.
        code: &'static str,
        /// The same for people.
        why: String,
    },
}

impl SignatureStatus {
    /// How the reason begins where not the key is revoked but whose it is suspended: that can be taken back.
    pub const SUSPENDED: &'static str = "its holder is suspended";

    /// One word for records and output.
    pub const fn name(&self) -> &'static str {
        match self {
            SignatureStatus::Unsigned => "unsigned",
            SignatureStatus::Verified(_) => "verified",
            SignatureStatus::UnknownKey { .. } => "unknown-key",
            SignatureStatus::Bad { .. } => "bad",
            SignatureStatus::Expired { .. } => "expired",
            SignatureStatus::NotYetValid { .. } => "not-yet-valid",
            SignatureStatus::Revoked { .. } => "revoked",
            SignatureStatus::WrongPurpose { .. } => "wrong-purpose",
            SignatureStatus::WeakAlgorithm { .. } => "weak-algorithm",
            SignatureStatus::Unsupported { .. } => "unsupported",
            SignatureStatus::Malformed { .. } => "malformed",
        }
    }

    /// The key that the signature is by or claims to be by, where it names one.
    pub fn key(&self) -> Option<KeyId> {
        match self {
            SignatureStatus::Verified(signature) => {
                Some(KeyId { scheme: signature.scheme, text: signature.fingerprint.clone() })
            }
            SignatureStatus::UnknownKey { key }
            | SignatureStatus::Bad { key }
            | SignatureStatus::Expired { key, .. }
            | SignatureStatus::NotYetValid { key, .. }
            | SignatureStatus::Revoked { key, .. }
            | SignatureStatus::WrongPurpose { key, .. }
            | SignatureStatus::WeakAlgorithm { key, .. } => Some(key.clone()),
            SignatureStatus::Unsigned
            | SignatureStatus::Unsupported { .. }
            | SignatureStatus::Malformed { .. } => None,
        }
    }
}

impl fmt::Display for SignatureStatus {
    /// What was seen, as a phrase: "a signature that does not verify (ssh key SHA256:...)".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SignatureStatus::Unsigned => write!(f, "no signature"),
            SignatureStatus::Verified(signature) => {
                write!(f, "a valid signature by {} key {}", signature.scheme.name(), signature.fingerprint)
            }
            SignatureStatus::UnknownKey { key } => {
                write!(f, "a signature by {key}, which is not in the keyring")
            }
            SignatureStatus::Bad { key } => write!(f, "a signature that does not verify, naming {key}"),
            SignatureStatus::Expired { key, what, at } => {
                write!(f, "a signature by {key}, whose {what} expired at {at}")
            }
            SignatureStatus::NotYetValid { key, what, from } => {
                write!(f, "a signature by {key}, whose {what} is not valid before {from}")
            }
            SignatureStatus::Revoked { key, reason, .. } if reason.starts_with(Self::SUSPENDED) => {
                write!(f, "a signature by {key}, which does not count now: {reason}")
            }
            SignatureStatus::Revoked { key, reason, .. } => {
                write!(f, "a signature by {key}, which is revoked ({reason})")
            }
            SignatureStatus::WrongPurpose { key, why, .. } => {
                write!(f, "a signature by {key}, which may not sign this: {why}")
            }
            SignatureStatus::WeakAlgorithm { key, what } => {
                write!(f, "a signature by {key} that is too weak: {what}")
            }
            SignatureStatus::Unsupported { what } => write!(f, "a signature of an unsupported kind: {what}"),
            SignatureStatus::Malformed { code, why } => write!(f, "a malformed signature ({code}): {why}"),
        }
    }
}
