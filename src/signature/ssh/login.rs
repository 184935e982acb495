//! Keys that sshd let log in.

use super::super::{Keys, Rules, Scheme, SignatureStatus, Times, Trace, VerifiedSignature};
use super::key;
use super::revocation::Revocable;
use super::verify::{Judge, ssh_id};
use crate::domain::Timestamp;

/// What a login with a key is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The key's fingerprint; under a certificate, that of the key inside.
    pub fingerprint: String,
    /// What a signature by this key would be worth now. `Verified` here rests on sshd's word that the client
    /// holds the key; the rest was asked as for a signature.
    pub status: SignatureStatus,
}

/// Judges a key or certificate, in the encoding of RFC 4253, that sshd let log in at `now`.
///
/// A certificate must be a user's, by an authority that the keys know, for now, and for somebody; that its
/// options about logins were kept to is sshd's part, and so is what the authenticator of a FIDO key said.
pub fn login(blob: &[u8], keys: &dyn Keys, now: Timestamp, rules: &Rules) -> Login {
    // Nobody waits between a login and its push, so the certificate has no time to run out.
    let rules = Rules { certificate_grace: 0, ..rules.clone() };
    let times = Times::introduced(now.as_second(), now);
    let mut trace = Trace::off();
    let mut judge = Judge {
        keys,
        times,
        rules: &rules,
        trace: &mut trace,
        findings: Vec::new(),
        login: true,
        namespace: super::NAMESPACE,
    };
    let mut fingerprint = key::fingerprint(blob);
    let status = judge.login(blob, &mut fingerprint).unwrap_or_else(|status| status);
    Login { fingerprint, status }
}

impl Judge<'_> {
    fn login(&mut self, blob: &[u8], fingerprint: &mut String) -> Result<SignatureStatus, SignatureStatus> {
        let certificate = self.certificate_of(blob)?;
        let key = match &certificate {
            Some(certificate) => certificate.key.clone(),
            None => self.key(blob)?,
        };
        let id = ssh_id(&key);
        fingerprint.clone_from(&id.text);
        self.strength(&key)?;
        match &certificate {
            Some(certificate) => self.certificate(certificate)?,
            None if self.keys.has_ssh(key.blob()) => {}
            None => return Err(SignatureStatus::UnknownKey { key: id }),
        }
        self.revocation(Revocable::Key(key.blob()), &id)?;
        let vouched = match &certificate {
            Some(certificate) => Some(self.vouched(certificate, None)?),
            None => None,
        };
        let entry = vouched.as_ref().map_or_else(|| id.text.clone(), |vouched| vouched.authority.clone());
        let proof = VerifiedSignature::new(Scheme::Ssh, id.text, entry, "login".to_owned(), None);
        Ok(SignatureStatus::Verified(proof.with_ssh_certificate(vouched)))
    }
}
