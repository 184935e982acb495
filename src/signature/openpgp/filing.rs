//! What each signature of a certificate says, and of which of its keys.
//!
//! A signature is filed by its type and by what it verifies over, never by where it stands, so that
//! shuffling a file changes nothing. Loading asks which signatures the certificate's own key made; what
//! they mean at some time is [`super::validity`].

use super::certificate::{Back, Certificate, CertificateError, Delegated, Over, Revocation, SelfSignature};
use super::packet::sub;
use super::signature::{Issuer, RawSignature, kind, peek_kind};
use pgp::crypto::hash::HashAlgorithm;

/// Most signatures of one certificate that are computed, matched to components. Foreign ones are not.
const MAX_ATTEMPTS: usize = 4096;
/// Most embedded signatures of one binding that are tried.
const MAX_EMBEDDED: usize = 4;
/// Most revocations by others that are kept, to be computed with every signature that is judged.
const MAX_DELEGATED: usize = 64;

/// Most keys that a certificate may name as its revokers.
const MAX_REVOKERS: usize = 64;

/// Whose a revocation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Filed {
    /// The certificate's own: it counts.
    Own,
    /// By somebody whom the certificate names as its revoker: kept until the keyring can be asked (O12).
    Delegated,
    /// It claims to be the certificate's own and does not verify.
    False,
    /// Somebody else's.
    Foreign,
}

/// How far a positive signature may count, by its version, hash (O4) and subpackets (O5).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Acceptance {
    Full,
    /// Only where the operator lets SHA-1 count.
    Sha1,
    None,
}

impl Certificate {
    /// Files one signature packet, by its type. `hint` is the component that it stood behind: a subkey
    /// or an identity, tried first because it usually is the right one.
    pub(super) fn file(&mut self, body: &[u8], hint: usize) -> Result<(), CertificateError> {
        let revokes_key = matches!(peek_kind(body), Some(kind::KEY_REVOCATION | kind::SUBKEY_REVOCATION));
        let Ok(signature) = RawSignature::parse(body) else {
            if revokes_key {
                return Err(CertificateError::UnreadableRevocation);
            }
            self.findings.unreadable_signatures += 1;
            return Ok(());
        };
        if revokes_key {
            match self.file_revocation(&signature, hint)? {
                Filed::Own => {}
                Filed::Delegated => self.findings.designated_revocations += 1,
                Filed::False => self.findings.false_revocations += 1,
                Filed::Foreign => self.findings.foreign_revocations += 1,
            }
            return Ok(());
        }
        let ours = match signature.issuer() {
            Ok(Issuer::Fingerprint(issuer)) => issuer == self.primary.fingerprint,
            Ok(Issuer::KeyId(id)) => id == self.primary.key_id(),
            Ok(Issuer::Unnamed) => true,
            Err(_) => false,
        };
        if ours {
            self.file_self_signature(&signature, hint)
        } else {
            self.findings.foreign_signatures += 1;
            Ok(())
        }
    }

    /// Key and subkey revocations, leniently (O11): any hash, any subpackets, any position, any time, and
    /// whomever they name as their issuer, because that name may stand where everybody can change it.
    pub(super) fn file_revocation(
        &mut self,
        signature: &RawSignature,
        hint: usize,
    ) -> Result<Filed, CertificateError> {
        if self.file_own_revocation(signature, hint)? {
            return Ok(Filed::Own);
        }
        let issuer = signature.issuer();
        if self.revokers.iter().any(|revoker| may_be(&issuer, revoker)) {
            if self.delegated.len() >= MAX_DELEGATED {
                return Err(CertificateError::TooMany);
            }
            self.delegated.push(Delegated { signature: signature.clone(), revocation: meaning(signature) });
            let over = match signature.kind {
                kind::SUBKEY_REVOCATION if hint < self.subkeys.len() => Over::Subkey(hint),
                _ => Over::Primary,
            };
            self.kept.push((over, signature.body.clone()));
            return Ok(Filed::Delegated);
        }
        Ok(if may_be(&issuer, &self.primary.fingerprint) { Filed::False } else { Filed::Foreign })
    }

    fn file_own_revocation(
        &mut self,
        signature: &RawSignature,
        hint: usize,
    ) -> Result<bool, CertificateError> {
        let revocation = meaning(signature);
        if signature.kind == kind::KEY_REVOCATION {
            self.count_attempt()?;
            let own = self.primary.revoked_by(signature, &[self.primary.framed()]);
            if own {
                self.revocations.push(revocation);
                self.kept.push((Over::Primary, signature.body.clone()));
            }
            return Ok(own);
        }
        for index in hinted(hint, self.subkeys.len()) {
            self.count_attempt()?;
            let parts = [self.primary.framed(), self.subkeys[index].key.framed()];
            if self.primary.revoked_by(signature, &parts) {
                self.subkeys[index].revocations.push(revocation);
                self.kept.push((Over::Subkey(index), signature.body.clone()));
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Signatures that give the key standing, strictly (O4, O5, O7).
    fn file_self_signature(&mut self, signature: &RawSignature, hint: usize) -> Result<(), CertificateError> {
        let positive = matches!(signature.kind, kind::SUBKEY_BINDING | kind::DIRECT_KEY | 0x10..=0x13);
        if !positive {
            // Revoked user ids change nothing: a user id gives no authority (O13, K067). They are kept because
            // others who get the certificate may think more of it.
            if signature.kind != kind::CERTIFICATION_REVOCATION {
                self.findings.false_signatures += 1;
            } else if let Some(index) = self.place(signature, hint)? {
                self.kept.push((Over::Identity(index), signature.body.clone()));
            }
            return Ok(());
        }
        let acceptance = acceptance(signature);
        let names_revoker = signature.hashed(sub::REVOCATION_KEY).is_some();
        // Whom the owner named as revoker counts by any hash, like a revocation.
        if acceptance == Acceptance::None && !names_revoker {
            self.findings.refused_self_signatures += 1;
            return Ok(());
        }
        let Some(place) = self.place(signature, hint)? else {
            self.findings.false_signatures += 1;
            return Ok(());
        };
        let named = signature.hashed.iter().filter(|subpacket| subpacket.kind == sub::REVOCATION_KEY);
        // Class octet, algorithm octet, fingerprint.
        for fingerprint in named.filter_map(|subpacket| subpacket.data.get(2..)) {
            if !self.revokers.iter().any(|known| known == fingerprint) {
                self.revokers.push(fingerprint.to_vec());
            }
        }
        if self.revokers.len() > MAX_REVOKERS {
            return Err(CertificateError::TooMany);
        }
        let born = match signature.kind {
            kind::SUBKEY_BINDING => self.primary.created.max(self.subkeys[place].key.created),
            _ => self.primary.created,
        };
        // Nobody vouches for a key that does not exist yet.
        if acceptance == Acceptance::None || signature.created().is_none_or(|created| created < born) {
            self.findings.refused_self_signatures += 1;
            if names_revoker {
                self.kept.push((Over::Primary, signature.body.clone()));
            }
            return Ok(());
        }
        let sha1 = acceptance == Acceptance::Sha1;
        self.findings.sha1_self_signatures += usize::from(sha1);
        let facts = SelfSignature {
            created: signature.created().unwrap_or(i64::MAX),
            expires: signature.expires(),
            key_period: signature.hashed_u32(sub::KEY_EXPIRES).filter(|period| *period != 0),
            flags: signature.hashed(sub::KEY_FLAGS).map(|flags| flags.first().copied().unwrap_or(0)),
            sha1,
            back: Vec::new(),
        };
        let over = match signature.kind {
            kind::DIRECT_KEY => {
                self.direct.push(facts);
                Over::Primary
            }
            kind::SUBKEY_BINDING => {
                let back = self.back_signatures(signature, place)?;
                self.subkeys[place].bindings.push(SelfSignature { back, ..facts });
                Over::Subkey(place)
            }
            _ => {
                self.certifications.push(facts);
                Over::Identity(place)
            }
        };
        // What SHA-1 vouches for counts for some and not for others, so it is not passed on (O4).
        if !sha1 || names_revoker {
            self.kept.push((over, signature.body.clone()));
        }
        Ok(())
    }

    /// The component of its kind that a positive signature by the primary key is over, if it is over any.
    fn place(&mut self, signature: &RawSignature, hint: usize) -> Result<Option<usize>, CertificateError> {
        let count = match signature.kind {
            kind::DIRECT_KEY => 1,
            kind::SUBKEY_BINDING => self.subkeys.len(),
            _ => self.identities.len(),
        };
        for index in hinted(hint, count) {
            self.count_attempt()?;
            let primary = self.primary.framed();
            let made = match signature.kind {
                kind::DIRECT_KEY => self.primary.made(signature, &[primary]),
                kind::SUBKEY_BINDING => {
                    self.primary.made(signature, &[primary, self.subkeys[index].key.framed()])
                }
                _ => self.primary.made(signature, &[primary, &self.identities[index].framed]),
            };
            if made {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// The valid back signatures inside a binding: by the subkey, over both keys (O7). Never deeper:
    /// what is embedded in them is not looked at.
    fn back_signatures(
        &mut self,
        binding: &RawSignature,
        index: usize,
    ) -> Result<Vec<Back>, CertificateError> {
        let mut back = Vec::new();
        for body in binding.embedded().take(MAX_EMBEDDED) {
            self.count_attempt()?;
            let Ok(embedded) = RawSignature::parse(body) else { continue };
            let subkey = &self.subkeys[index].key;
            let acceptance = acceptance(&embedded);
            let valid = embedded.kind == kind::PRIMARY_BINDING
                && acceptance != Acceptance::None
                && subkey.made(&embedded, &[self.primary.framed(), subkey.framed()]);
            let born = self.primary.created.max(subkey.created);
            if let Some(created) = embedded.created().filter(|created| valid && *created >= born) {
                let sha1 = acceptance == Acceptance::Sha1;
                back.push(Back { created, expires: embedded.expires(), sha1 });
            }
        }
        Ok(back)
    }

    fn count_attempt(&mut self) -> Result<(), CertificateError> {
        self.attempts += 1;
        if self.attempts > MAX_ATTEMPTS { Err(CertificateError::TooMany) } else { Ok(()) }
    }
}

/// What a revocation says, if it counts. Without a time it revokes from the beginning.
fn meaning(signature: &RawSignature) -> Revocation {
    Revocation { created: signature.created().unwrap_or(0), reason: signature.reason() }
}

/// Whether a signature that names this issuer may be by the key of this fingerprint: no name and
/// contradictory ones exclude nobody.
pub(super) fn may_be(issuer: &Result<Issuer, &'static str>, fingerprint: &[u8]) -> bool {
    match issuer {
        Ok(Issuer::Fingerprint(named)) => named == fingerprint,
        Ok(Issuer::KeyId(id)) if fingerprint.len() == 20 => fingerprint.ends_with(id),
        Ok(Issuer::KeyId(id)) => fingerprint.starts_with(id),
        Ok(Issuer::Unnamed) | Err(_) => true,
    }
}

/// All indices below `count`, beginning with `hint`.
pub(super) fn hinted(hint: usize, count: usize) -> impl Iterator<Item = usize> {
    let first = (hint < count).then_some(hint);
    first.into_iter().chain((0..count).filter(move |index| *index != hint))
}

fn acceptance(signature: &RawSignature) -> Acceptance {
    if !matches!(signature.version, 4 | 6) || signature.check_subpackets().is_err() {
        Acceptance::None
    } else if strong(signature.hash) {
        Acceptance::Full
    } else if signature.version == 4 && signature.hash == HashAlgorithm::Sha1 {
        Acceptance::Sha1
    } else {
        Acceptance::None
    }
}

/// The hashes that are accepted for anything but a revocation (O4).
pub(super) fn strong(hash: HashAlgorithm) -> bool {
    use HashAlgorithm::{Sha3_256, Sha3_512, Sha256, Sha384, Sha512};
    matches!(hash, Sha256 | Sha384 | Sha512 | Sha3_256 | Sha3_512)
}
