//! Whether a certificate vouches for the key inside (S10): a pinned authority made it, for a user who is
//! named, for this time, and with no demand that is not met here.

use super::super::{Fido, Finding, KeyId, SignatureStatus, SshCertificate, Strictness};
use super::certificate::Certificate;
use super::malformed;
use super::raw::{RawFault, RawSignature, USER_PRESENT};
use super::revocation::Revocable;
use super::verify::{Judge, ssh_id, weak};
use crate::domain::{Timestamp, text};

/// The type of a certificate that is a user's.
const USER: u32 = 1;
const VERIFY_REQUIRED: &[u8] = b"verify-required";
const NO_TOUCH_REQUIRED: &[u8] = b"no-touch-required";

/// What helps against a certificate that does not count.
const ANOTHER: &str = "using another key, or a certificate without that: its authority makes them";

fn time_of(seconds: u64) -> Timestamp {
    i64::try_from(seconds)
        .ok()
        .and_then(|second| Timestamp::from_second(second).ok())
        .unwrap_or(Timestamp::MAX)
}

impl Judge<'_> {
    /// What can be asked before the certified key's own signature is looked at.
    pub(super) fn certificate(&mut self, certificate: &Certificate<'_>) -> Result<(), SignatureStatus> {
        let authority = ssh_id(&certificate.authority);
        if !self.keys.has_ssh_authority(certificate.authority.blob()) {
            return Err(self.refuse("authority", "S10", SignatureStatus::UnknownKey { key: authority }));
        }
        self.trace.passed("authority", "S10", || format!("{authority} is an authority of the keyring"));
        self.strength(&certificate.authority)?;
        self.authority_signature(certificate, &authority)?;
        self.contents(certificate)
    }

    fn authority_signature(
        &mut self,
        certificate: &Certificate<'_>,
        authority: &KeyId,
    ) -> Result<(), SignatureStatus> {
        let raw = RawSignature::parse(certificate.signature, &certificate.authority).map_err(|fault| {
            let status = match fault {
                RawFault::Sha1 => weak(authority, "RSA with SHA-1 (ssh-rsa) on its certificate"),
                RawFault::Unsupported(name) => SignatureStatus::Unsupported {
                    what: format!("SSH certificate signed with {}", text::escape_short(name, 60)),
                },
                RawFault::Wire(_) | RawFault::Shape | RawFault::Mismatch => {
                    malformed("ssh.certificate", "the authority's signature on the certificate is broken")
                }
            };
            self.refuse("certificate-signature", "S10", status)
        })?;
        if !raw.verifies(&certificate.authority, certificate.signed) {
            let status = SignatureStatus::Bad { key: authority.clone() };
            return Err(self.refuse("certificate-signature", "S10", status));
        }
        self.trace.passed("certificate-signature", "S10", || text::escape(raw.algorithm));
        if raw.fido.is_some_and(|counted| counted.flags & USER_PRESENT == 0) {
            let text = "nobody touched the authority's authenticator for the certificate";
            self.trace.noted("certificate-signature", "S5", || text);
            self.findings.push(Finding::new("ssh.authority_untouched", text));
        }
        Ok(())
    }

    fn contents(&mut self, certificate: &Certificate<'_>) -> Result<(), SignatureStatus> {
        let id = ssh_id(&certificate.key);
        let purpose = |why: String| SignatureStatus::WrongPurpose { key: id.clone(), why, remedy: ANOTHER };
        if certificate.kind != USER {
            let kind = match certificate.kind {
                2 => "host's certificate".to_owned(),
                other => format!("certificate of type {other}"),
            };
            return Err(self.refuse(
                "certificate-type",
                "S10",
                purpose(format!("it has a {kind}, not a user's")),
            ));
        }
        self.trace.passed("certificate-type", "S10", || "a user's certificate");
        if certificate.principals.is_empty() {
            let status = purpose("its certificate names no principal, so anybody".to_owned());
            return Err(self.refuse("certificate-principals", "S10", status));
        }
        self.trace.passed("certificate-principals", "S10", || {
            text::escape_short(certificate.principals.join(", ").as_bytes(), 200)
        });
        for (name, data) in &certificate.critical {
            let shown = text::escape_short(name, 60);
            if *name != VERIFY_REQUIRED {
                // `force-command` and `source-address` are about logins; what is unknown may be anything.
                let status = purpose(format!("its certificate has the critical option `{shown}`"));
                return Err(self.refuse("certificate-options", "S10", status));
            }
            if !data.is_empty() {
                let why = "the critical option `verify-required` of the certificate has a value";
                return Err(self.refuse("certificate-options", "S10", malformed("ssh.certificate", why)));
            }
        }
        self.trace.passed("certificate-options", "S10", || {
            let names = |options: &[(&[u8], &[u8])]| {
                let names: Vec<String> =
                    options.iter().map(|(name, _)| text::escape_short(name, 60)).collect();
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    text::escape_short(names.join(", ").as_bytes(), 300)
                }
            };
            format!(
                "critical: {}; extensions: {}",
                names(&certificate.critical),
                names(&certificate.extensions)
            )
        });
        if certificate.valid_after >= certificate.valid_before {
            let why = "the certificate is valid at no time";
            return Err(self.refuse("certificate-window", "S10", malformed("ssh.certificate_window", why)));
        }
        Ok(())
    }

    /// What is asked once it is certain who signed: the authority's demands on the authenticator, the
    /// window, revocations. Gives what goes on record.
    pub(super) fn vouched(
        &mut self,
        certificate: &Certificate<'_>,
        fido: Option<&Fido>,
    ) -> Result<SshCertificate, SignatureStatus> {
        let (id, authority) = (ssh_id(&certificate.key), ssh_id(&certificate.authority));
        let verify_required = certificate.critical.iter().any(|(name, _)| *name == VERIFY_REQUIRED);
        if verify_required && !fido.is_some_and(|fido| fido.user_verified) {
            let why =
                "its certificate demands that the authenticator knows who it was, and it did not say so";
            let remedy = "and let the authenticator ask for your PIN or finger";
            let status = SignatureStatus::WrongPurpose { key: id, why: why.to_owned(), remedy };
            return Err(self.refuse("verify-required", "S10", status));
        }
        self.window(certificate, &id)?;
        let (authority_blob, key) = (certificate.authority.blob(), certificate.key.blob());
        self.revocation(Revocable::Authority(authority_blob), &authority)?;
        let (serial, key_id) = (certificate.serial, certificate.key_id);
        let subject = Revocable::Certificate { authority: authority_blob, serial, key_id, key };
        self.revocation(subject, &id)?;
        let has = |wanted: &[u8]| certificate.extensions.iter().any(|(name, _)| *name == wanted);
        Ok(SshCertificate {
            authority: authority.text,
            key_id: text::escape(key_id),
            serial,
            principals: certificate.principals.clone(),
            valid_after: certificate.valid_after,
            valid_before: certificate.valid_before,
            verify_required,
            no_touch_required: has(NO_TOUCH_REQUIRED),
        })
    }

    /// `valid_after <= T < valid_before`, for the claimed time, and for the receipt where there is one; for
    /// that with some grace at the end, because certificates live shorter than commits wait.
    fn window(&mut self, certificate: &Certificate<'_>, id: &KeyId) -> Result<(), SignatureStatus> {
        let (after, before) = (i128::from(certificate.valid_after), i128::from(certificate.valid_before));
        // All that lies beyond what a time can say; OpenSSH's "forever" is the largest number.
        let forever = time_of(certificate.valid_before) == Timestamp::MAX;
        let received = self.times.received.map(|received| i128::from(received.as_second()));
        let grace = i128::from(self.rules.certificate_grace.max(0));
        let ends = [(i128::from(self.times.object), 0)].into_iter().chain(received.map(|time| (time, grace)));
        for (time, grace) in ends {
            let status = if time < after {
                let from = time_of(certificate.valid_after);
                SignatureStatus::NotYetValid { key: id.clone(), what: "certificate", from }
            } else if !forever && time - grace >= before {
                let at = time_of(certificate.valid_before);
                SignatureStatus::Expired { key: id.clone(), what: "certificate", at }
            } else {
                continue;
            };
            return Err(self.refuse("certificate-window", "S10", status));
        }
        if forever && self.rules.endless_certificates == Strictness::Refuse {
            let why = "its certificate is valid for ever, and certificates must end here".to_owned();
            let remedy = "using a certificate that ends: its authority makes them with `ssh-keygen -V +52w`";
            let status = SignatureStatus::WrongPurpose { key: id.clone(), why, remedy };
            return Err(self.refuse("certificate-window", "S10", status));
        }
        self.trace.passed("certificate-window", "S10", || {
            let end = if forever {
                "for ever".to_owned()
            } else {
                format!("before {}", time_of(certificate.valid_before))
            };
            format!("valid from {}, {end}", time_of(certificate.valid_after))
        });
        if forever {
            let text = "the certificate is valid for ever";
            self.trace.noted("certificate-window", "S10", || text);
            self.findings.push(Finding::new("ssh.certificate_forever", text));
        }
        Ok(())
    }
}
