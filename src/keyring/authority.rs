//! SSH certification authorities, and for whom their certificates speak (S10, S12).

use super::document::Place;
use super::fido::{FidoDemands, Lack};
use super::windows::{Position, Windows};
use super::{Keyring, Revocation, Role, Roles, Standing, principal_file};
use crate::domain::{Principal, PrincipalKind, Timestamp, text};
use crate::signature::{
    KeyId, Rules, Scheme, SignatureStatus, SshCertificate, Times, VerifiedSignature, ssh,
};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// A key whose user certificates count, within what its tables or lines say.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The public key.
    pub key: ssh::PublicKey,
    /// What it may certify; each one alone is enough.
    pub scopes: Vec<Scope>,
    /// Why and since when it is refused.
    pub revoked: Option<Revocation>,
    /// Where it stands first.
    pub place: Place,
}

/// One table or line about an authority.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Patterns for the certificate's principals, for people.
    pub patterns: Vec<String>,
    /// The same as the one list that they are.
    pub list: ssh::PatternList,
    /// When certificates count.
    pub windows: Windows,
    /// The serial numbers that count; all without.
    pub serials: Vec<RangeInclusive<u64>>,
    /// The groups of holders who are nobody of the keyring.
    pub groups: Vec<String>,
    /// What certified keys may be used for.
    pub roles: Roles,
    /// What is asked of certified FIDO keys.
    pub fido: FidoDemands,
    /// Where it stands.
    pub place: Place,
}

impl Scope {
    fn has_serial(&self, serial: u64) -> bool {
        self.serials.is_empty() || self.serials.iter().any(|range| range.contains(&serial))
    }

    fn names(&self, certificate: &SshCertificate) -> bool {
        certificate.principals.iter().any(|name| self.list.matches(name))
    }
}

impl Authority {
    /// How the key is named to people.
    pub fn id(&self) -> KeyId {
        KeyId { scheme: Scheme::Ssh, text: self.key.fingerprint() }
    }

    /// What the keyring says about certificates by it at `now`.
    pub fn standing(&self, now: Timestamp) -> Standing {
        if let Some(revoked) = &self.revoked
            && revoked.applies(now)
        {
            return Standing::Revoked { reason: revoked.reason.name().to_owned() };
        }
        if let Some(weakness) = self.key.weakness() {
            return Standing::Weak { what: weakness.to_string() };
        }
        let windows = self.scopes.iter().map(|scope| scope.windows.clone()).reduce(Windows::union);
        match windows.map(|windows| windows.at(now)) {
            Some(Position::Inside { until }) => Standing::Valid { until },
            Some(Position::Before { from }) => Standing::NotYetValid { from },
            Some(Position::After { at }) => Standing::Expired { at },
            None => Standing::Unusable { why: "nothing says whom it may certify".to_owned() },
        }
    }
}

impl Keyring {
    /// What a signature under a certificate is worth, and who made it.
    pub(super) fn assess_certified(
        &self,
        role: Role,
        signature: &VerifiedSignature,
        certificate: &SshCertificate,
        times: &Times,
        rules: &Rules,
    ) -> (Result<(), SignatureStatus>, Option<Arc<Principal>>) {
        let id = KeyId { scheme: Scheme::Ssh, text: signature.fingerprint().to_owned() };
        let refuse = |why: String| {
            let remedy = "using a certificate for you alone, by an authority that may speak for you";
            SignatureStatus::WrongPurpose { key: id.clone(), why, remedy }
        };
        let Some(authority) = self.authority(&certificate.authority) else {
            return (Err(SignatureStatus::UnknownKey { key: id }), None);
        };
        // A certificate does not wash a key clean that the keyring says somebody else may have.
        let own = self.find(&id).and_then(|key| key.revoked.as_ref());
        for (revoked, key) in [(&authority.revoked, authority.id())]
            .into_iter()
            .filter_map(|(revoked, key)| Some((revoked.as_ref()?, key)))
            .chain(own.map(|revoked| (revoked, id.clone())))
        {
            if revoked.refuses(times) {
                let hard = revoked.reason == super::Reason::Compromised;
                let reason = revoked.reason.name().to_owned();
                return (Err(SignatureStatus::Revoked { key, reason, hard }), None);
            }
        }
        let named: Vec<&Scope> = authority.scopes.iter().filter(|scope| scope.names(certificate)).collect();
        if named.is_empty() {
            let seen = shown(&certificate.principals);
            let why = format!(
                "its certificate is for {seen}, and the authority {} is not one for them",
                certificate.authority
            );
            return (Err(refuse(why)), None);
        }
        let numbered: Vec<&Scope> =
            named.into_iter().filter(|scope| scope.has_serial(certificate.serial)).collect();
        if numbered.is_empty() {
            let why = format!(
                "its certificate has the serial number {}, which the authority's entry does not list",
                certificate.serial
            );
            return (Err(refuse(why)), None);
        }
        let mut fault = None;
        let mut scopes = Vec::new();
        for scope in numbered {
            match within(scope, role, signature, certificate, times, rules, &id) {
                Ok(()) => scopes.push(scope),
                Err(status) => fault = fault.or(Some(status)),
            }
        }
        if let (true, Some(status)) = (scopes.is_empty(), fault) {
            return (Err(status), None);
        }
        match self.holder(certificate, &scopes) {
            Ok(principal) => (Ok(()), Some(principal)),
            Err(why) => (Err(refuse(why)), None),
        }
    }

    /// What the key's own `[[key]]` says of a signature under a certificate for `holder`: as much as without
    /// one. A line of an `allowed_signers` file says no more than whose the key is there and when, so that it
    /// never takes anything from a certificate.
    pub(super) fn assess_listing(
        &self,
        role: Role,
        signature: &VerifiedSignature,
        holder: &Principal,
        times: &Times,
        rules: &Rules,
    ) -> Result<(), SignatureStatus> {
        let id = KeyId { scheme: Scheme::Ssh, text: signature.fingerprint().to_owned() };
        let Some(key) = self.listed(&id) else { return Ok(()) };
        if key.principal.name != holder.name {
            let why = format!(
                "its certificate is for `{}`, and the key is one of `{}`, by {}",
                text::escape_short(holder.name.as_bytes(), 60),
                key.principal.name,
                key.place
            );
            let remedy = "using a certificate for a name or an address in the file of the key's owner";
            return Err(SignatureStatus::WrongPurpose { key: id, why, remedy });
        }
        self.assess_entry(key, role, id, signature, times, rules)
    }

    /// Who holds a certificate (S12).
    ///
    /// Whoever of the keyring the certificate names, it must name alone, and the authority must be one
    /// for that name: a certificate for two people is nobody's. Only principals with a file are looked up,
    /// so that taking a key out of the keyring never turns one holder into another.
    fn holder(&self, certificate: &SshCertificate, scopes: &[&Scope]) -> Result<Arc<Principal>, String> {
        let matched = |name: &String| scopes.iter().any(|scope| scope.list.matches(name));
        let mut known: Vec<(&Arc<Principal>, bool)> = Vec::new();
        for name in &certificate.principals {
            for principal in self.called(name) {
                match known.iter_mut().find(|(one, _)| one.name == principal.name) {
                    Some((_, allowed)) => *allowed |= matched(name),
                    None => known.push((principal, matched(name))),
                }
            }
        }
        match known[..] {
            [(principal, true)] => return Ok(Arc::clone(principal)),
            [(principal, false)] => {
                return Err(format!(
                    "its certificate names `{}`, for whom the authority {} may not speak",
                    principal.name, certificate.authority
                ));
            }
            [] => {}
            _ => {
                let names: Vec<String> = known.iter().map(|(principal, _)| principal.name.clone()).collect();
                return Err(format!(
                    "its certificate names several people, {}; ask for one of a single person",
                    shown(&names)
                ));
            }
        }
        let names: Vec<&String> = certificate.principals.iter().filter(|name| matched(name)).collect();
        let fits = |name: &str| {
            let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && !b":\"'`\\".contains(&byte));
            plain && (principal_file::is_name(name) || principal_file::is_email(name))
        };
        let Some(name) = names.first().filter(|name| fits(name)) else {
            return Err(format!(
                "its certificate is for {}, which is neither a name nor an address of anybody in the keyring, nor fit \
                 to be one; add a file for its holder that lists an address which the authority certifies",
                shown(&certificate.principals)
            ));
        };
        let mut groups: Vec<String> = scopes
            .iter()
            .filter(|scope| scope.names(certificate))
            .flat_map(|scope| scope.groups.iter().cloned())
            .collect();
        groups.sort();
        groups.dedup();
        let emails = names.iter().filter(|name| fits(name) && name.contains('@'));
        Ok(Arc::new(Principal {
            name: (*name).clone(),
            kind: PrincipalKind::Person,
            emails: emails.map(|name| (*name).clone()).collect(),
            groups,
        }))
    }
}

/// Whether one scope lets the signature count.
fn within(
    scope: &Scope,
    role: Role,
    signature: &VerifiedSignature,
    certificate: &SshCertificate,
    times: &Times,
    rules: &Rules,
    id: &KeyId,
) -> Result<(), SignatureStatus> {
    const WHAT: &str = "authority's keyring entry";
    if !scope.roles.has(role) {
        let why = scope.roles.lack(WHAT, role);
        let remedy = "using a key or a certificate that is for it";
        return Err(SignatureStatus::WrongPurpose { key: id.clone(), why, remedy });
    }
    match scope.windows.judge(times, None) {
        Position::Inside { .. } => {}
        Position::Before { from } => {
            return Err(SignatureStatus::NotYetValid { key: id.clone(), what: WHAT, from });
        }
        Position::After { at } => {
            return Err(SignatureStatus::Expired { key: id.clone(), what: WHAT, at });
        }
    }
    let lack =
        signature.fido().and_then(|fido| scope.fido.lacks(fido, Some(certificate.no_touch_required), rules));
    match lack {
        Some(Lack { why, remedy }) => Err(SignatureStatus::WrongPurpose { key: id.clone(), why, remedy }),
        None => Ok(()),
    }
}

fn shown(names: &[String]) -> String {
    let names: Vec<String> =
        names.iter().take(5).map(|name| format!("`{}`", text::escape_short(name.as_bytes(), 60))).collect();
    names.join(", ")
}
