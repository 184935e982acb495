//! Whether a key may sign at some time, and what became of it (O7 to O10).

use super::certificate::{Back, Certificate, Revocation, SelfSignature, Subkey};
use super::key::{Key, KeyAlgorithm};
use crate::domain::Timestamp;
use crate::signature::{Rules, Times, Trace};
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

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Revoked { reason, since, .. } => {
                write!(f, "revoked at {} ({reason})", timestamp(*since))
            }
            Refusal::Expired { what, at } => write!(f, "the {what} expired at {}", timestamp(*at)),
            Refusal::NotYetValid { what, from } => {
                write!(f, "the {what} is not valid before {}", timestamp(*from))
            }
            Refusal::WrongPurpose(why) => f.write_str(why),
            Refusal::Weak(what) => write!(f, "too weak: {what}"),
        }
    }
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

/// The moments at which a key is judged for one signature. Three questions have three times (1.9), and
/// [`Moments::of`] is the one place that says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moments {
    /// When it was signed, by its own word: was the key in life then?
    pub(super) signed: i64,
    /// When the gate received it: was the key still in life? Without a receipt the signature's word
    /// again.
    pub(super) received: i64,
    /// Until when what is known about the key reaches.
    pub(super) known: i64,
    /// The last date of a soft revocation that counts; `None` where one of any date does. A hard one
    /// always counts.
    pub(super) soft_until: Option<i64>,
}

impl Moments {
    /// - Received now: every soft revocation counts, one that is dated in the future too (K065).
    /// - Received before, judged again: what ended after the receipt does not matter (K047, K053, K056).
    /// - Never received, history before the record: the same, with the signature's own time for the
    ///   receipt.
    pub(super) fn of(signed: i64, times: &Times) -> Self {
        let known = times.now.as_second();
        let receipt = times.received.map(Timestamp::as_second);
        let received = receipt.unwrap_or(signed);
        let comes_in_now = receipt.is_some_and(|receipt| receipt >= known);
        Moments { signed, received, known, soft_until: (!comes_in_now).then_some(received) }
    }

    /// For a signature that would be made and received at `now`.
    pub(super) fn at(now: i64) -> Self {
        Moments { signed: now, received: now, known: now, soft_until: None }
    }
}

/// What the self-signatures in force say together.
struct InForce {
    /// `None` where they do not say.
    flags: Option<u8>,
    period: Option<u32>,
    /// A back signature is in force too.
    backed: bool,
}

/// Self-signatures that count by the operator's rules (O4).
fn counted<'a>(
    signatures: impl IntoIterator<Item = &'a SelfSignature, IntoIter: Clone>,
    rules: &Rules,
) -> impl Iterator<Item = &'a SelfSignature> + Clone {
    let sha1_counts = rules.sha1_bindings;
    signatures.into_iter().filter(move |one| sha1_counts || !one.sha1)
}

/// Among the self-signatures in force at `time` the newest by creation; several of the same second
/// count with what all of them allow (O8).
fn in_force<'a>(
    signatures: impl Iterator<Item = &'a SelfSignature> + Clone,
    time: i64,
    rules: &Rules,
) -> Option<InForce> {
    let alive = |created: i64, expires: Option<i64>| created <= time && expires.is_none_or(|at| at > time);
    let valid = signatures.filter(move |one| alive(one.created, one.expires));
    let newest = valid.clone().map(|one| one.created).max()?;
    let mut ties = valid.filter(|one| one.created == newest);
    let counts = |back: &&Back| rules.sha1_bindings || !back.sha1;
    let of = |one: &SelfSignature| InForce {
        flags: one.flags,
        period: one.key_period,
        backed: one.back.iter().filter(counts).any(|back| alive(back.created, back.expires)),
    };
    let first = of(ties.next()?);
    Some(ties.map(of).fold(first, |all, one| InForce {
        // One that does not say allows nothing.
        flags: all.flags.zip(one.flags).map(|(all, one)| all & one),
        period: shorter(all.period, one.period),
        backed: all.backed && one.backed,
    }))
}

/// How long a key that may sign lives, and how it says that it may.
#[derive(Clone, Copy, Debug)]
pub(super) struct Life {
    /// When it expires.
    pub(super) ends: Option<i64>,
    /// The primary key says nothing about what it is for, nowhere (O7).
    pub(super) silent_flags: bool,
}

/// The smaller one, where `None` is never or for ever.
fn shorter<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
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

    /// What the key is worth at `now`, by the default rules and its own word, and by what others revoked where
    /// it is [`Certificate::honouring`] a keyring.
    pub fn standing(&self, now: Timestamp) -> Standing {
        let now = Moments::at(now.as_second());
        let rules = Rules::default();
        let mut until: Option<Option<i64>> = None;
        let mut refusals = Vec::new();
        for (component, _) in self.components() {
            match self.judge(component, now, &self.honoured(component), &rules, &mut Trace::off()) {
                Ok(life) => {
                    until = Some(match until {
                        None => life.ends,
                        Some(before) => before.zip(life.ends).map(|(a, b)| a.max(b)),
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
        let none = Standing::NoSigningKey { why: "there is no key" };
        refusals.into_iter().next().map_or(none, Standing::from)
    }

    /// When the primary key ends, by the self-signatures in force at `now`.
    pub(super) fn primary_life(&self, now: i64) -> Option<i64> {
        let rules = Rules::default();
        let kinds = self.primary_signatures(&rules);
        match one_alive(&self.primary, &kinds, (now, now), "key", &rules) {
            Ok((_, ends)) => ends,
            Err(Refusal::Expired { at, .. }) => Some(at),
            Err(_) => None,
        }
    }

    /// Whether `component` may have signed, at all of `moments` (O4, O7 to O10). `others` are revocations
    /// by those whom its owner named (O12).
    pub(super) fn judge(
        &self,
        component: Component,
        moments: Moments,
        others: &[Revocation],
        rules: &Rules,
        trace: &mut Trace,
    ) -> Result<Life, Refusal> {
        let key = self.component(component);
        for key in [&self.primary, key] {
            if let Some(what) = key.algorithm.weakness() {
                trace.failed("key-algorithm", "O4", || what.clone());
                return Err(Refusal::Weak(what));
            }
        }
        trace.passed("key-algorithm", "O4", || key.algorithm.to_string());
        if matches!(key.algorithm, KeyAlgorithm::EncryptionOnly(_)) {
            trace.failed("key-flags", "O7", || "its algorithm only encrypts");
            return Err(Refusal::WrongPurpose("its algorithm only encrypts"));
        }
        if let Component::Subkey(index) = component {
            // Before any revocation: one that the key itself never agreed to be in is not its matter.
            self.bound(index, rules, trace)?;
        }
        self.revocation(component, moments, others, rules, trace)?;
        let at_signing = self.alive(component, moments.signed, moments.known, rules);
        step(trace, "key-life-at-signature", "O9", &at_signing, moments.signed);
        let at_signing = at_signing?;
        let at_receipt = self.alive(component, moments.received, moments.known, rules).map_err(|refusal| {
            match refusal {
                // In life when it claims to be made and not any more when it came: backdated, or late (K048).
                Refusal::Expired { what, at } => Refusal::Expired { what: late(what), at },
                other => other,
            }
        });
        step(trace, "key-life-at-receipt", "1.9", &at_receipt, moments.received);
        let at_receipt = at_receipt?;
        Ok(Life {
            ends: shorter(at_signing.ends, at_receipt.ends),
            silent_flags: at_signing.silent_flags || at_receipt.silent_flags,
        })
    }

    pub(super) fn component(&self, component: Component) -> &Key {
        match component {
            Component::Primary => &self.primary,
            Component::Subkey(index) => &self.subkeys[index].key,
        }
    }

    /// Whether a subkey was ever bound for signing, and agreed to it.
    pub(super) fn bound(&self, index: usize, rules: &Rules, trace: &mut Trace) -> Result<(), Refusal> {
        let all = &self.subkeys[index].bindings;
        let mut bindings = counted(all, rules);
        if bindings.clone().next().is_none() {
            let refusal = if all.is_empty() {
                Refusal::WrongPurpose("nothing valid binds it to its primary key")
            } else {
                Refusal::Weak("its binding to the primary key, by SHA-1".to_owned())
            };
            trace.failed("subkey-binding", "O7", || refusal.to_string());
            return Err(refusal);
        }
        trace.passed("subkey-binding", "O7", || format!("{} by the primary key", bindings.clone().count()));
        if bindings.clone().all(|one| one.flags.unwrap_or(0) & SIGN == 0) {
            trace.failed("key-flags", "O7", || NO_FLAG);
            return Err(Refusal::WrongPurpose(NO_FLAG));
        }
        if bindings.all(|one| one.back.iter().all(|back| back.sha1 && !rules.sha1_bindings)) {
            trace.failed("back-signature", "O7", || "there is none that counts");
            return Err(Refusal::WrongPurpose("it has no back signature to its primary key"));
        }
        trace.passed("back-signature", "O7", || "the subkey agrees to belong to the primary key");
        Ok(())
    }

    /// Self-signatures that speak for the primary key, those over the key alone and those over its user ids:
    /// for version 6 the former alone; for version 4 both, the former where they say something about the
    /// key.
    fn primary_signatures(&self, rules: &Rules) -> [Vec<&SelfSignature>; 2] {
        let version_4 = self.primary.version == 4;
        // GnuPG writes direct-key signatures for nothing but a designated revoker: those are silent
        // about flags and expiry and must not be read as `no limit`.
        let speaks =
            move |one: &&SelfSignature| !version_4 || one.flags.is_some() || one.key_period.is_some();
        let certifications = self.certifications.iter().filter(move |_| version_4);
        [
            counted(self.direct.iter().filter(speaks), rules).collect(),
            counted(certifications, rules).collect(),
        ]
    }

    fn revocation(
        &self,
        component: Component,
        moments: Moments,
        others: &[Revocation],
        rules: &Rules,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        let primary = self.primary_signatures(rules);
        // Revoked when it signed, by its own word, or when that was received (1.9).
        let then = Moments { received: moments.signed, soft_until: Some(moments.signed), ..moments };
        let mut outcome = Ok(());
        for moments in [moments, then] {
            let own = self.revocations.iter().chain(others);
            outcome = outcome.and_then(|()| in_effect(own, primary.iter().flatten().copied(), moments));
            if let Component::Subkey(index) = component {
                let Subkey { revocations, bindings, .. } = &self.subkeys[index];
                outcome =
                    outcome.and_then(|()| in_effect(revocations.iter(), counted(bindings, rules), moments));
            }
        }
        match &outcome {
            Ok(()) => trace.passed("revocation", "O10", || "none is in effect"),
            Err(refusal) => trace.failed("revocation", "O10", || refusal.to_string()),
        }
        outcome
    }

    /// Whether the component may sign at `time`, revocations aside; `known` is how far the self-signatures
    /// reach that may stand in for lost ones.
    fn alive(&self, component: Component, time: i64, known: i64, rules: &Rules) -> Result<Life, Refusal> {
        let kinds = self.primary_signatures(rules);
        let silent = self.direct.iter().chain(&self.certifications).all(|one| one.flags.is_none());
        let (primary, primary_ends) = one_alive(&self.primary, &kinds, (time, known), "key", rules)?;
        let Component::Subkey(index) = component else {
            // A primary key that says nowhere what it is for is taken at its keeper's word, who put
            // this very key into the keyring (O7). Once it has said something, silence allows nothing.
            let allowed = primary.flags.map_or(silent, |flags| flags & SIGN != 0);
            return if allowed {
                Ok(Life { ends: primary_ends, silent_flags: silent })
            } else {
                Err(Refusal::WrongPurpose(NO_FLAG))
            };
        };
        let subkey = &self.subkeys[index];
        let bindings = [counted(&subkey.bindings, rules).collect()];
        let (binding, ends) = one_alive(&subkey.key, &bindings, (time, known), "subkey", rules)?;
        if binding.flags.unwrap_or(0) & SIGN == 0 {
            return Err(Refusal::WrongPurpose(NO_FLAG));
        }
        if !binding.backed {
            return Err(Refusal::WrongPurpose("it has no back signature in force"));
        }
        Ok(Life { ends: shorter(primary_ends, ends), silent_flags: false })
    }
}

const NO_FLAG: &str = "it has no flag for signing data";

fn step(
    trace: &mut Trace,
    name: &'static str,
    clause: &'static str,
    outcome: &Result<Life, Refusal>,
    time: i64,
) {
    match outcome {
        Ok(Life { ends: Some(ends), .. }) => trace.passed(name, clause, || {
            format!("at {}: it may sign data, and expires at {}", timestamp(time), timestamp(*ends))
        }),
        Ok(_) => trace.passed(name, clause, || format!("at {}: it may sign data", timestamp(time))),
        Err(refusal) => trace.failed(name, clause, || format!("at {}: {refusal}", timestamp(time))),
    }
}

/// What expired between the claimed time and the receipt, in the words of [`super::verify()`]'s statuses.
fn late(what: &'static str) -> &'static str {
    match what {
        "subkey" => "subkey, valid at the time that the signature claims but not when it was received,",
        _ => "key, valid at the time that the signature claims but not when it was received,",
    }
}

/// Whether a key is in life at `time` by its self-signatures, of one or more kinds. What those of different
/// kinds in force say holds together: programs differ in which one they let win, so the gate is as strict
/// as the strictest.
fn one_alive(
    key: &Key,
    kinds: &[Vec<&SelfSignature>],
    (time, known): (i64, i64),
    what: &'static str,
    rules: &Rules,
) -> Result<(InForce, Option<i64>), Refusal> {
    if key.created > time {
        return Err(Refusal::NotYetValid { what, from: key.created });
    }
    let oldest = kinds.iter().flatten().map(|one| one.created).min();
    // GnuPG replaces a self-signature when it prolongs a key, so that what was in force before is gone.
    // The oldest one stands in for it: the key existed, and whether it may sign when it is received is
    // judged too.
    let before_all = oldest.filter(|oldest| *oldest > time && *oldest <= known);
    let of_kind =
        |kind: &Vec<&SelfSignature>| in_force(kind.iter().copied(), before_all.unwrap_or(time), rules);
    let found = kinds.iter().filter_map(of_kind).reduce(|all, one| InForce {
        flags: match (all.flags, one.flags) {
            (Some(a), Some(b)) => Some(a & b),
            (a, b) => a.or(b),
        },
        period: shorter(all.period, one.period),
        backed: all.backed && one.backed,
    });
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

/// Hard revocations count for ever; soft ones as far as [`Moments`] says, until a newer self-signature
/// undoes them (O10).
fn in_effect<'a>(
    revocations: impl Iterator<Item = &'a Revocation>,
    signatures: impl Iterator<Item = &'a SelfSignature>,
    moments: Moments,
) -> Result<(), Refusal> {
    let time = moments.received;
    let newest = signatures
        .filter(|one| one.created <= time && one.expires.is_none_or(|at| at > time))
        .map(|one| one.created)
        .max();
    let counts = |one: &&Revocation| {
        one.is_hard()
            || moments.soft_until.is_none_or(|until| one.created <= until)
                && newest.is_none_or(|newest| newest <= one.created)
    };
    // The hard one is the one to name.
    match revocations.filter(counts).min_by_key(|one| (!one.is_hard(), one.created)) {
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
