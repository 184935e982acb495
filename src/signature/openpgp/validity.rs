//! Whether a key may sign at some time, and what became of it (O7 to O10).

use super::certificate::{Certificate, Revocation, SelfSignature};
use super::key::{Key, KeyAlgorithm};
use crate::domain::Timestamp;
use std::fmt;

/// Key flag: may sign data.
const SIGN: u8 = 0x02;

/// Which key of a certificate: the primary or a subkey by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Component {
    Primary,
    Subkey(usize),
}

/// Why a key's signature does not count, although the numbers fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Revoked { reason: String, since: i64, hard: bool },
    Expired { what: &'static str, at: i64 },
    NotYetValid { what: &'static str, from: i64 },
    WrongPurpose(&'static str),
    Weak(String),
}

/// What a certificate is worth at some time, for people who manage keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// At least one key of it may sign.
    Usable {
        /// When the last of them expires; `None` for never.
        until: Option<Timestamp>,
    },
    /// The certificate, or every key in it that could sign, has expired.
    Expired {
        /// When.
        at: Timestamp,
    },
    /// It begins in the future.
    NotYetValid {
        /// When.
        from: Timestamp,
    },
    /// Revoked by its owner: the certificate, or every key in it that could sign.
    Revoked {
        /// `superseded`, `retired`, `compromised`, or what OpenPGP's reason code says.
        reason: String,
        /// The revocation's own date.
        since: Timestamp,
    },
    /// An algorithm or size that is not accepted, or self-signatures by one.
    Weak {
        /// Which, `RSA-1024` for example.
        what: String,
    },
    /// No key in it may sign data.
    NoSigningKey {
        /// What is missing.
        why: &'static str,
    },
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standing::Usable { until: None } => write!(f, "usable"),
            Standing::Usable { until: Some(until) } => write!(f, "usable until {until}"),
            Standing::Expired { at } => write!(f, "expired at {at}"),
            Standing::NotYetValid { from } => write!(f, "not valid before {from}"),
            Standing::Revoked { reason, since } => write!(f, "revoked at {since} ({reason})"),
            Standing::Weak { what } => write!(f, "weak: {what}"),
            Standing::NoSigningKey { why } => write!(f, "no signing key: {why}"),
        }
    }
}

/// A time of OpenPGP as ours. The sums of two 32-bit numbers that occur fit.
pub(super) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// What the self-signatures in force say together.
struct InForce {
    flags: u8,
    period: Option<u32>,
    /// A back signature is in force too.
    backed: bool,
}

/// Among the self-signatures in force at `time` the newest by creation; several of the same second
/// count with what all of them allow (O8).
fn in_force<'a>(signatures: impl Iterator<Item = &'a SelfSignature> + Clone, time: i64) -> Option<InForce> {
    let alive = |created: i64, expires: Option<i64>| created <= time && expires.is_none_or(|at| at > time);
    let valid = signatures.filter(move |one| alive(one.created, one.expires));
    let newest = valid.clone().map(|one| one.created).max()?;
    let mut ties = valid.filter(|one| one.created == newest);
    let of = |one: &SelfSignature| InForce {
        // Without the subpacket nothing says that the key may sign (O7).
        flags: one.flags.unwrap_or(0),
        period: one.key_period,
        backed: one.back.iter().any(|(created, expires)| alive(*created, *expires)),
    };
    let first = of(ties.next()?);
    Some(ties.map(of).fold(first, |all, one| InForce {
        flags: all.flags & one.flags,
        period: match (all.period, one.period) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        },
        backed: all.backed && one.backed,
    }))
}

fn earlier(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

impl Certificate {
    pub(super) fn components(&self) -> impl Iterator<Item = (Component, &Key)> {
        let subkeys = self.subkeys.iter().enumerate();
        std::iter::once((Component::Primary, &self.primary))
            .chain(subkeys.map(|(index, subkey)| (Component::Subkey(index), &subkey.key)))
    }

    /// What the key is worth at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let now = now.as_second();
        let mut until: Option<Option<i64>> = None;
        let mut refusals = Vec::new();
        for (component, _) in self.components() {
            match self.judge(component, now, now) {
                Ok(expires) => {
                    until = Some(match until {
                        None => expires,
                        Some(before) => before.zip(expires).map(|(a, b)| a.max(b)),
                    });
                }
                Err(refusal) => refusals.push(refusal),
            }
        }
        if let Some(until) = until {
            return Standing::Usable { until: until.map(timestamp) };
        }
        // What says most: a signing subkey that ended says more than a primary that only certifies.
        let rank = |refusal: &Refusal| match refusal {
            Refusal::Revoked { .. } => 0,
            Refusal::Expired { .. } => 1,
            Refusal::NotYetValid { .. } => 2,
            Refusal::Weak(_) => 3,
            Refusal::WrongPurpose(_) => 4,
        };
        refusals.sort_by_key(rank);
        match refusals.into_iter().next() {
            Some(Refusal::Revoked { reason, since, .. }) => {
                Standing::Revoked { reason, since: timestamp(since) }
            }
            Some(Refusal::Expired { at, .. }) => Standing::Expired { at: timestamp(at) },
            Some(Refusal::NotYetValid { from, .. }) => Standing::NotYetValid { from: timestamp(from) },
            Some(Refusal::Weak(what)) => Standing::Weak { what },
            Some(Refusal::WrongPurpose(why)) => Standing::NoSigningKey { why },
            None => Standing::NoSigningKey { why: "there is no key" },
        }
    }

    /// Whether `component` may have signed at `signed` and may still at `now`, both judged (O9, N13).
    /// Gives when it expires.
    pub(super) fn judge(&self, component: Component, signed: i64, now: i64) -> Result<Option<i64>, Refusal> {
        let key = match component {
            Component::Primary => &self.primary,
            Component::Subkey(index) => &self.subkeys[index].key,
        };
        for key in [&self.primary, key] {
            if let Some(what) = key.algorithm.weakness() {
                return Err(Refusal::Weak(what));
            }
        }
        if matches!(key.algorithm, KeyAlgorithm::EncryptionOnly(_)) {
            return Err(Refusal::WrongPurpose("its algorithm only encrypts"));
        }
        if let Component::Subkey(index) = component {
            // Before any revocation: one that the key itself never agreed to be in is not its matter.
            let bindings = &self.subkeys[index].bindings;
            if bindings.is_empty() {
                return Err(Refusal::WrongPurpose("nothing valid binds it to its primary key"));
            }
            if bindings.iter().all(|one| one.flags.is_none_or(|flags| flags & SIGN == 0)) {
                return Err(Refusal::WrongPurpose("it has no flag for signing data"));
            }
            if bindings.iter().all(|one| one.back.is_empty()) {
                return Err(Refusal::WrongPurpose("it has no back signature to its primary key"));
            }
        }
        self.revocation(component, now)?;
        let at_signing = self.alive(component, signed, now)?;
        Ok(earlier(at_signing, self.alive(component, now, now)?))
    }

    /// Self-signatures that speak for the primary key: for version 6 direct-key ones alone; for
    /// version 4 certifications of user ids, and direct-key ones that say something about the key.
    fn primary_signatures(&self) -> impl Iterator<Item = &SelfSignature> + Clone {
        let version_4 = self.primary.version == 4;
        // GnuPG writes direct-key signatures for nothing but a designated revoker: those are silent
        // about flags and expiry and must not be read as `no limit`.
        let speaks =
            move |one: &&SelfSignature| !version_4 || one.flags.is_some() || one.key_period.is_some();
        let certifications = self.certifications.iter().filter(move |_| version_4);
        self.direct.iter().filter(speaks).chain(certifications)
    }

    fn revocation(&self, component: Component, now: i64) -> Result<(), Refusal> {
        in_effect(&self.revocations, self.primary_signatures(), now)?;
        match component {
            Component::Primary => Ok(()),
            Component::Subkey(index) => {
                let subkey = &self.subkeys[index];
                in_effect(&subkey.revocations, subkey.bindings.iter(), now)
            }
        }
    }

    /// Whether the component may sign at `time`, revocations aside. Gives when it expires.
    fn alive(&self, component: Component, time: i64, now: i64) -> Result<Option<i64>, Refusal> {
        let (primary, primary_ends) =
            one_alive(&self.primary, self.primary_signatures(), (time, now), "key")?;
        let Component::Subkey(index) = component else {
            return if primary.flags & SIGN == 0 {
                Err(Refusal::WrongPurpose("it has no flag for signing data"))
            } else {
                Ok(primary_ends)
            };
        };
        let subkey = &self.subkeys[index];
        let (binding, ends) = one_alive(&subkey.key, subkey.bindings.iter(), (time, now), "subkey")?;
        if binding.flags & SIGN == 0 {
            return Err(Refusal::WrongPurpose("it has no flag for signing data"));
        }
        if !binding.backed {
            return Err(Refusal::WrongPurpose("it has no back signature in force"));
        }
        Ok(earlier(primary_ends, ends))
    }
}

fn one_alive<'a>(
    key: &Key,
    signatures: impl Iterator<Item = &'a SelfSignature> + Clone,
    (time, now): (i64, i64),
    what: &'static str,
) -> Result<(InForce, Option<i64>), Refusal> {
    if key.created > time {
        return Err(Refusal::NotYetValid { what, from: key.created });
    }
    let oldest = signatures.clone().map(|one| one.created).min();
    // GnuPG replaces a self-signature when it prolongs a key, so that what was in force before is gone.
    // The oldest one stands in for it: the key existed, and whether it may sign at the gate's own clock
    // is judged without this.
    let before_all = oldest.filter(|oldest| *oldest > time && *oldest <= now);
    let found = in_force(signatures.clone(), before_all.unwrap_or(time));
    let Some(in_force) = found else {
        return Err(match oldest {
            None => Refusal::Weak("no self-signature that is accepted".to_owned()),
            Some(from) if from > time => Refusal::NotYetValid { what, from },
            Some(_) => Refusal::WrongPurpose("no self-signature was in force"),
        });
    };
    let ends = in_force.period.map(|period| key.created + i64::from(period));
    match ends {
        Some(at) if at <= time => Err(Refusal::Expired { what, at }),
        _ => Ok((in_force, ends)),
    }
}

/// Hard revocations count for ever; soft ones until a newer self-signature undoes them (O10). One
/// that is dated in the future counts now (K065).
fn in_effect<'a>(
    revocations: &[Revocation],
    signatures: impl Iterator<Item = &'a SelfSignature> + Clone,
    now: i64,
) -> Result<(), Refusal> {
    let newest = signatures
        .filter(|one| one.created <= now && one.expires.is_none_or(|at| at > now))
        .map(|one| one.created)
        .max();
    let counts = |one: &&Revocation| one.is_hard() || newest.is_none_or(|newest| newest <= one.created);
    // The hard one is the one to name.
    match revocations.iter().filter(counts).min_by_key(|one| (!one.is_hard(), one.created)) {
        None => Ok(()),
        Some(one) => {
            Err(Refusal::Revoked { reason: reason(one.reason), since: one.created, hard: one.is_hard() })
        }
    }
}

fn reason(code: Option<u8>) -> String {
    match code {
        None | Some(0) => "no reason given".to_owned(),
        Some(1) => "superseded".to_owned(),
        Some(2) => "compromised".to_owned(),
        Some(3) => "retired".to_owned(),
        Some(32) => "user id no longer valid".to_owned(),
        Some(other) => format!("reason {other}"),
    }
}
