//! How keys and authorities are shown, to people and to programs.

use crate::config::Config;
use crate::domain::{Timestamp, text};
use crate::keyring::{Authority, FidoDemands, Key, Revocation, Scope, Standing, Suspension};
use crate::signature::Demand;
use crate::store::{Mode, Store};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{self, Write};

/// When keys were last used, by the gate's record.
pub(super) enum Uses {
    /// What the record has.
    Known(HashMap<String, Timestamp>),
    /// Nobody can tell, and why, where there is a record.
    Unknown(Option<String>),
}

impl Uses {
    /// Asks the record that the configuration names.
    pub(super) fn of(config: Option<&Config>) -> Self {
        let Some(config) = config else { return Uses::Unknown(None) };
        let read = Store::open(&config.daemon.state, Mode::ReadOnly).and_then(|store| store.key_uses());
        match read {
            Ok(uses) => Uses::Known(uses),
            Err(error) => Uses::Unknown(Some(error.to_string())),
        }
    }

    /// A time, `never`, or `unknown`: what nobody can tell is never called `never`.
    pub(super) fn last(&self, fingerprint: &str) -> String {
        match self {
            Uses::Known(uses) => uses.get(fingerprint).map_or("never".to_owned(), ToString::to_string),
            Uses::Unknown(_) => "unknown".to_owned(),
        }
    }

    /// The same for people who read a table: the day is enough.
    pub(super) fn last_day(&self, fingerprint: &str) -> String {
        let last = self.last(fingerprint);
        last.split('T').next().unwrap_or_default().to_owned()
    }

    /// Says why nobody can tell, where there is a reason.
    pub(super) fn excuse(&self, err: &mut dyn Write) -> io::Result<()> {
        match self {
            Uses::Unknown(Some(why)) => {
                let why = text::escape(why.as_bytes());
                writeln!(err, "note: when keys were last used is unknown, the record cannot be read: {why}")
            }
            _ => Ok(()),
        }
    }
}

pub(super) fn revoked_text(revoked: &Revocation) -> String {
    let from = revoked.refused_from();
    let from = from.map_or_else(|| "always".to_owned(), |from| format!("from {from}"));
    format!("{}, refused {from}", revoked.reason)
}

/// What an entry asks of FIDO signatures, where it says anything.
pub(super) fn fido_rows(fido: &FidoDemands, row: &mut dyn FnMut(&str, Option<String>)) {
    row("touch", fido.touch.map(|demand| demand.name().to_owned()));
    row("user verification", fido.user_verification.map(|demand| demand.name().to_owned()));
    row("applications", fido.applications.as_ref().map(|names| text::escape(names.join(", ").as_bytes())));
}

pub(super) fn serials(scope: &Scope) -> Vec<String> {
    let one = |range: &std::ops::RangeInclusive<u64>| match (range.start(), range.end()) {
        (from, to) if from == to => from.to_string(),
        (from, to) => format!("{from}-{to}"),
    };
    scope.serials.iter().map(one).collect()
}

pub(super) fn revocation_json(revoked: &Revocation) -> Value {
    json!({
        "at": revoked.at.map(|at| at.to_string()),
        "effective_from": revoked.effective_from.map(|at| at.to_string()),
        "reason": revoked.reason.name(),
    })
}

pub(super) fn suspension_json(suspended: &Suspension) -> Value {
    json!({ "at": suspended.at.map(|at| at.to_string()), "reason": suspended.reason })
}

pub(super) fn fido_json(fido: &FidoDemands) -> Value {
    json!({
        "touch": fido.touch.map(Demand::name),
        "user_verification": fido.user_verification.map(Demand::name),
        "applications": fido.applications,
    })
}

pub(super) fn authority_json(authority: &Authority, uses: &Uses, now: Timestamp) -> Value {
    let standing = authority.standing(now);
    let scopes = authority.scopes.iter().map(|scope| {
        json!({
            "principals": scope.patterns,
            "groups": scope.groups,
            "serials": serials(scope),
            "roles": scope.roles.names(),
            "valid_from": scope.windows.begins().map(|at| at.to_string()),
            "valid_until": scope.windows.ends().map(|at| at.to_string()),
            "fido": fido_json(&scope.fido),
            "file": scope.place.file.to_string_lossy(),
            "line": scope.place.line,
        })
    });
    json!({
        "fingerprint": authority.key.fingerprint(),
        "algorithm": authority.key.algorithm(),
        "standing": standing.name(),
        "standing_text": standing.to_string(),
        "revoked": authority.revoked.as_ref().map(|revoked| revoked.reason.name()),
        "last_used": uses.last(&authority.key.fingerprint()),
        "scopes": scopes.collect::<Vec<_>>(),
    })
}

/// The standing as people plan by it: in days.
pub(super) fn standing(standing: &Standing, now: Timestamp) -> String {
    let Standing::Valid { until: Some(at) } = standing else { return standing.to_string() };
    match (at.as_second() - now.as_second()) / 86_400 {
        0 => "valid, expires today".to_owned(),
        1 => "valid, expires in 1 day".to_owned(),
        days => format!("valid, expires in {days} days"),
    }
}

pub(super) fn key_json(key: &Key, uses: &Uses, now: Timestamp) -> Value {
    let standing = key.standing(now);
    let until = match &standing {
        Standing::Valid { until } => until.map(|at| at.to_string()),
        _ => None,
    };
    json!({
        "principal": key.principal.name,
        "kind": key.principal.kind.name(),
        "groups": key.principal.groups,
        "format": key.material.scheme().name(),
        "algorithm": key.material.algorithm(),
        "fingerprint": key.material.fingerprint(),
        "standing": standing.name(),
        "standing_text": standing.to_string(),
        "expires": until,
        "valid_from": key.windows.begins().map(|at| at.to_string()),
        "valid_until": key.windows.ends().map(|at| at.to_string()),
        "revoked": key.revoked.as_ref().map(revocation_json),
        "roles": key.roles.names(),
        "suspended": key.suspended.as_ref().map(suspension_json),
        "fido": fido_json(&key.fido),
        "subkeys": components_json(key, now),
        "last_used": uses.last(&key.material.fingerprint()),
        "file": key.place.file.to_string_lossy(),
        "line": key.place.line,
    })
}

/// The keys of an OpenPGP certificate; none for SSH.
fn components_json(key: &Key, now: Timestamp) -> Vec<Value> {
    let Some(certificate) = key.material.certificate() else { return Vec::new() };
    let keys = certificate.component_keys(now).into_iter();
    keys.map(|one| {
        json!({
            "fingerprint": one.fingerprint,
            "key_id": one.key_id,
            "primary": one.primary,
            "algorithm": one.algorithm,
            "standing": one.standing.to_string(),
        })
    })
    .collect()
}
