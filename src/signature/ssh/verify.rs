//! From an armor to a verdict (S1 to S5).

use super::super::{
    Fido, Finding, KeyFamily, KeyId, Keys, Rules, Scheme, SignatureStatus, Strength, Times, Trace,
    VerifiedSignature,
};
use super::super::{armor, object::Payload, object::SignatureFormat};
use super::certificate::{self, Certificate, CertificateError};
use super::key::{Kind, PublicKey, SshKeyError};
use super::raw::{FOREIGN_FLAGS, RawFault, RawSignature, USER_PRESENT, USER_VERIFIED};
use super::revocation::{Revocable, Revoked};
use super::sshsig::{SshSig, broken};
use super::{NAMESPACE, malformed};
use crate::domain::text;

/// Widths of the base64 lines that tools make (S2).
const WIDTHS: [usize; 3] = [70, 76, 64];

/// Verifies one armored SSHSIG (S1 to S5, S10).
///
/// An SSHSIG carries no time. When a plain key may sign is the keyring's question; `times` are for
/// certificates, which have a window of their own.
pub fn verify(
    armor: &[u8],
    payload: &Payload<'_>,
    keys: &dyn Keys,
    times: Times,
    rules: &Rules,
    trace: &mut Trace,
) -> SignatureStatus {
    verify_in(NAMESPACE, armor, payload, keys, times, rules, trace)
}

/// The same for a signature in another namespace than git's: one that is made for something else is never a
/// signature of this.
pub fn verify_in(
    namespace: &'static str,
    armor: &[u8],
    payload: &Payload<'_>,
    keys: &dyn Keys,
    times: Times,
    rules: &Rules,
    trace: &mut Trace,
) -> SignatureStatus {
    let mut judge = Judge { keys, times, rules, trace, findings: Vec::new(), login: false, namespace };
    judge.check(armor, payload).unwrap_or_else(|status| status)
}

/// What the steps of a verification share.
pub(super) struct Judge<'a> {
    pub(super) keys: &'a dyn Keys,
    pub(super) times: Times,
    pub(super) rules: &'a Rules,
    pub(super) trace: &'a mut Trace,
    pub(super) findings: Vec<Finding>,
    /// Whether this is about a login that sshd let in, and not about a signature on an object.
    pub(super) login: bool,
    /// The namespace that the signature has to be in.
    pub(super) namespace: &'static str,
}

pub(super) fn ssh_id(key: &PublicKey) -> KeyId {
    KeyId { scheme: Scheme::Ssh, text: key.fingerprint() }
}

pub(super) fn weak(key: &KeyId, what: impl Into<String>) -> SignatureStatus {
    SignatureStatus::WeakAlgorithm { key: key.clone(), what: what.into() }
}

fn unsupported(name: &[u8]) -> SignatureStatus {
    SignatureStatus::Unsupported { what: format!("SSH signature of type {}", text::escape_short(name, 60)) }
}

/// What the strength of a signature rests on; `None` for a kind of key that no signature counts of.
fn strength_of(key: &PublicKey, algorithm: &[u8], hash: &[u8]) -> Option<Strength> {
    let family = match key.kind() {
        Kind::Rsa { .. } => KeyFamily::Rsa,
        Kind::Ecdsa(_) | Kind::SkEcdsa => KeyFamily::Ecdsa,
        Kind::Ed25519 | Kind::SkEd25519 => KeyFamily::Ed25519,
        Kind::Dsa => return None,
    };
    let own: Option<&[u8]> = match algorithm {
        b"rsa-sha2-256" => Some(b"sha256"),
        b"rsa-sha2-512" => Some(b"sha512"),
        _ => None,
    };
    let mut hashes: Vec<String> = [Some(hash), own].into_iter().flatten().map(text::escape).collect();
    hashes.dedup();
    Some(Strength { family, bits: u32::try_from(key.bits()).ok()?, hashes })
}

impl Judge<'_> {
    /// Ends a step: writes it down as failed, and gives the status that ends everything.
    pub(super) fn refuse(
        &mut self,
        name: &'static str,
        clause: &'static str,
        status: SignatureStatus,
    ) -> SignatureStatus {
        self.trace.failed(name, clause, || status.to_string());
        status
    }

    fn check(&mut self, armor: &[u8], payload: &Payload<'_>) -> Result<SignatureStatus, SignatureStatus> {
        let blob = armor::decode(armor, SignatureFormat::Ssh)
            .map_err(|fault| self.refuse("armor", "S2", malformed(fault.code, fault.why)))?;
        self.armor_width(armor);
        let sig = SshSig::parse(&blob).map_err(|status| self.refuse("format", "S1", status))?;
        self.trace.passed("format", "S1", || "SSHSIG of version 1, reserved field empty");
        let certificate = self.certificate_of(sig.key)?;
        let key = match &certificate {
            Some(certificate) => certificate.key.clone(),
            None => self.key(sig.key)?,
        };
        self.strength(&key)?;
        let id = ssh_id(&key);
        let raw = self.raw(sig.signature, &key, &id)?;
        self.namespace(&sig, &id)?;
        let signed = self.signed(&sig, payload, &id)?;
        match &certificate {
            Some(certificate) => self.certificate(certificate)?,
            None if self.keys.has_ssh(key.blob()) => {
                self.trace.passed("known-key", "S12", || format!("{id} is in the keyring"));
            }
            None => return Err(self.refuse("known-key", "S12", SignatureStatus::UnknownKey { key: id })),
        }
        let fido = self.arithmetic(&raw, &key, &id, &signed)?;
        self.revocation(Revocable::Key(key.blob()), &id)?;
        let vouched = match &certificate {
            Some(certificate) => Some(self.vouched(certificate, fido.as_ref())?),
            None => None,
        };
        let entry = vouched.as_ref().map_or_else(|| id.text.clone(), |vouched| vouched.authority.clone());
        let words = [raw.algorithm, b" ", sig.hash].concat();
        let proof = VerifiedSignature::new(Scheme::Ssh, id.text, entry, text::escape(&words), None);
        let findings = std::mem::take(&mut self.findings);
        let proof = proof.with_fido(fido).with_ssh_certificate(vouched).with_findings(findings);
        let proof = proof.with_strength(strength_of(&key, raw.algorithm, sig.hash));
        Ok(SignatureStatus::Verified(proof))
    }

    /// The certificate in the blob, if it is one and not a plain key.
    pub(super) fn certificate_of<'b>(
        &mut self,
        blob: &'b [u8],
    ) -> Result<Option<Certificate<'b>>, SignatureStatus> {
        if !certificate::is_certificate(blob) {
            return Ok(None);
        }
        let certificate = Certificate::parse(blob).map_err(|error| {
            let status = match error {
                CertificateError::Unsupported(name)
                | CertificateError::Key(SshKeyError::Unsupported(name))
                | CertificateError::Authority(SshKeyError::Unsupported(name)) => unsupported(name.as_bytes()),
                error => malformed("ssh.certificate", format!("the SSH certificate is broken: {error}")),
            };
            self.refuse("certificate", "S10", status)
        })?;
        self.trace.passed("certificate", "S10", || {
            let key_id = text::escape_short(certificate.key_id, 60);
            format!("key id `{key_id}`, serial number {}", certificate.serial)
        });
        Ok(Some(certificate))
    }

    /// Re-wrapping an armor makes another object with the same signature (S2). The finding about it is the
    /// object's: `sig.wrapping`.
    fn armor_width(&mut self, armor: &[u8]) {
        let lines: Vec<&[u8]> = armor
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty() && !line.starts_with(b"-----"))
            .collect();
        let Some((last, full)) = lines.split_last() else { return };
        let usual =
            WIDTHS.iter().any(|width| full.iter().all(|line| line.len() == *width) && last.len() <= *width);
        if usual {
            self.trace.passed("armor", "S2", || format!("{} lines of base64", lines.len()));
        } else {
            let text = "the lines of the armor have a width that no tool makes";
            self.trace.noted("armor", "S2", || text);
        }
    }

    /// The key in the blob.
    pub(super) fn key(&mut self, blob: &[u8]) -> Result<PublicKey, SignatureStatus> {
        PublicKey::from_blob(blob).map_err(|error| {
            let status = match error {
                SshKeyError::Certificate(name) | SshKeyError::Unsupported(name) => {
                    unsupported(name.as_bytes())
                }
                error => malformed("ssh.key", format!("the key in the SSH signature is broken: {error}")),
            };
            self.refuse("key", "S4", status)
        })
    }

    pub(super) fn strength(&mut self, key: &PublicKey) -> Result<(), SignatureStatus> {
        if let Some(weakness) = key.weakness() {
            return Err(self.refuse("key", "S3", weak(&ssh_id(key), weakness.to_string())));
        }
        self.trace.passed("key", "S4", || {
            let application = key
                .application()
                .map(|name| format!(", for the application `{}`", text::escape_short(name.as_bytes(), 60)));
            let application = application.unwrap_or_default();
            format!("{}, {} bits, {}{application}", key.algorithm(), key.bits(), key.fingerprint())
        });
        Ok(())
    }

    fn raw<'b>(
        &mut self,
        blob: &'b [u8],
        key: &PublicKey,
        id: &KeyId,
    ) -> Result<RawSignature<'b>, SignatureStatus> {
        let raw = RawSignature::parse(blob, key).map_err(|fault| {
            let status = match fault {
                RawFault::Wire(error) => broken(error),
                RawFault::Shape => malformed("ssh.blob", "the SSH signature's numbers have the wrong form"),
                RawFault::Mismatch => {
                    malformed("ssh.algorithm", "the signature's algorithm is not one of the key's")
                }
                RawFault::Sha1 => weak(id, "RSA with SHA-1 (ssh-rsa)"),
                RawFault::Unsupported(name) => unsupported(name),
            };
            self.refuse("algorithm", "S3", status)
        })?;
        self.trace.passed("algorithm", "S3", || text::escape(raw.algorithm));
        Ok(raw)
    }

    fn namespace(&mut self, sig: &SshSig<'_>, id: &KeyId) -> Result<(), SignatureStatus> {
        let wanted = self.namespace;
        if sig.namespace != wanted.as_bytes() {
            let namespace = text::escape_short(sig.namespace, 60);
            let why = format!("it was made for the namespace `{namespace}`, not `{wanted}`");
            let remedy = match wanted {
                NAMESPACE => "with git itself, which signs for the namespace `git`",
                _ => "for that namespace",
            };
            let status = SignatureStatus::WrongPurpose { key: id.clone(), why, remedy };
            return Err(self.refuse("namespace", "S1", status));
        }
        self.trace.passed("namespace", "S1", || wanted);
        Ok(())
    }

    fn signed(
        &mut self,
        sig: &SshSig<'_>,
        payload: &Payload<'_>,
        id: &KeyId,
    ) -> Result<Vec<u8>, SignatureStatus> {
        let Some(signed) = sig.signed(payload) else {
            let hash = text::escape_short(sig.hash, 60);
            let status = match sig.hash {
                b"sha1" | b"md5" => weak(id, format!("the hash {hash}")),
                _ => SignatureStatus::Unsupported { what: format!("SSH signature with hash {hash}") },
            };
            return Err(self.refuse("hash", "S1", status));
        };
        self.trace.passed("hash", "S1", || text::escape(sig.hash));
        Ok(signed)
    }

    /// What the keyring's revocation lists say (S11).
    pub(super) fn revocation(&mut self, subject: Revocable<'_>, id: &KeyId) -> Result<(), SignatureStatus> {
        if let Some(Revoked { reason, hard }) = self.keys.ssh_revoked(&subject, &self.times) {
            let status = SignatureStatus::Revoked { key: id.clone(), reason, hard };
            return Err(self.refuse("revocation", "S11", status));
        }
        self.trace.passed("revocation", "S11", || match subject {
            Revocable::Key(_) => "the key is not revoked",
            Revocable::Authority(_) => "the authority is not revoked",
            Revocable::Certificate { .. } => "the certificate is not revoked",
        });
        Ok(())
    }

    /// The numbers, and what a FIDO authenticator said along with them (S5).
    fn arithmetic(
        &mut self,
        raw: &RawSignature<'_>,
        key: &PublicKey,
        id: &KeyId,
        signed: &[u8],
    ) -> Result<Option<Fido>, SignatureStatus> {
        if !raw.verifies(key, signed) {
            return Err(self.refuse("arithmetic", "S3", SignatureStatus::Bad { key: id.clone() }));
        }
        self.trace.passed("arithmetic", "S3", || "the signature fits the key and the bytes");
        let (Some(counted), Some(application)) = (raw.fido, key.application()) else { return Ok(None) };
        let (flags, counter) = (counted.flags, counted.counter);
        let (present, verified) = (flags & USER_PRESENT != 0, flags & USER_VERIFIED != 0);
        if verified && !present {
            let why = "the authenticator says who was there and that nobody was";
            return Err(self.refuse("fido-flags", "S5", malformed("fido.flags", why)));
        }
        self.trace.passed("fido-flags", "S5", || {
            let word = |set: bool| if set { "yes" } else { "no" };
            format!(
                "flags 0x{flags:02x}: touched {}, user verified {}; counter {counter}",
                word(present),
                word(verified)
            )
        });
        if flags & FOREIGN_FLAGS != 0 {
            let text =
                format!("the authenticator's flags 0x{flags:02x} announce data that SSH has no place for");
            self.trace.noted("fido-flags", "S5", || text.clone());
            self.findings.push(Finding::new("fido.flags", text));
        }
        let application = application.to_owned();
        Ok(Some(Fido { application, user_present: present, user_verified: verified, counter }))
    }
}
