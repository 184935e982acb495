//! What loads and should be looked at: keys that end, weak ones, what two of them share.

use super::document::Place;
use super::{Authority, Key, Keyring, Standing, load, material};
use crate::domain::{Principal, Timestamp};
use crate::signature::openpgp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

/// Seconds of a day.
const DAY: i64 = 86_400;

/// How many days ahead the end of a key is told, the most urgent first.
pub const AHEAD: [u16; 2] = [7, 30];

/// Every code that a finding can have, those of the service among them: a contract (docs/keyring.md).
pub const CODES: [&str; 20] = [
    "expires-in-7-days",
    "expires-in-30-days",
    "signing-subkey-ends",
    "expired",
    "weak-key",
    "weak-rsa",
    "sha1-self-signature",
    "cannot-sign",
    "never-valid",
    "same-key-id",
    "same-email",
    "no-usable-key",
    "no-key",
    "ignored-file",
    "loose-permissions",
    "load-warning",
    "unused-group",
    "selector-matches-nobody",
    "nobody-can-sign",
    "bypass-for-agent",
];

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Something does not work, or stops within days.
    Error,
    /// Something should be done.
    Warning,
    /// Good to know; nothing has to be done.
    Note,
}

impl Severity {
    /// The word in output.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        }
    }
}

/// One finding about the keyring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lint {
    /// A stable word, such as `expires-in-30-days`.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// Where it is.
    pub place: Option<Place>,
    /// Whom it is about.
    pub principal: Option<String>,
    /// Which key it is about, by its fingerprint.
    pub key: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Lint {
    /// A finding at a place.
    pub fn new(
        code: &'static str,
        severity: Severity,
        place: Option<Place>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Lint { code, severity, place, principal: None, key: None, message, remedy }
    }

    /// Says whom it is about.
    #[must_use]
    pub fn of(mut self, principal: &str) -> Self {
        self.principal = Some(principal.to_owned());
        self
    }

    fn of_key(mut self, key: &Key) -> Self {
        self.key = Some(key.material.fingerprint());
        self.of(&key.principal.name)
    }
}

/// The end of a key or authority that is good now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Whose it is; nobody's for an authority.
    pub principal: Option<String>,
    /// Its fingerprint.
    pub fingerprint: String,
    /// When it ends.
    pub ends: Timestamp,
    /// Where it stands.
    pub place: Place,
    /// Whether the same principal has another key that outlives the next [`AHEAD`] days.
    pub replaced: bool,
}

/// Whole days from `now` to `end`, rounded down.
pub fn days_until(end: Timestamp, now: Timestamp) -> i64 {
    (end.as_second() - now.as_second()).div_euclid(DAY)
}

/// Whether something that ends then ends within so many days: at the very end of the last one, too.
pub fn ends_within(end: Timestamp, now: Timestamp, days: u16) -> bool {
    end.as_second() - now.as_second() <= i64::from(days) * DAY
}

/// Every key and authority that is good at `now` and has an end, the first one first; and those that have ended
/// without anybody revoking them.
pub fn endings(keyring: &Keyring, now: Timestamp) -> Vec<Ending> {
    let lasting = lasting(keyring, now);
    let end = |standing: Standing| match standing {
        Standing::Valid { until: Some(ends) } | Standing::Expired { at: ends } => Some(ends),
        _ => None,
    };
    let of_key = |key: &Key| {
        Some(Ending {
            principal: Some(key.principal.name.clone()),
            fingerprint: key.material.fingerprint(),
            ends: end(key.standing(now))?,
            place: key.place.clone(),
            replaced: lasting.contains(key.principal.name.as_str()),
        })
    };
    let of_authority = |authority: &Authority| {
        Some(Ending {
            principal: None,
            fingerprint: authority.key.fingerprint(),
            ends: end(authority.standing(now))?,
            place: authority.place.clone(),
            replaced: false,
        })
    };
    let keys = keyring.keys().iter().filter_map(of_key);
    let mut all: Vec<Ending> = keys.chain(keyring.authorities().iter().filter_map(of_authority)).collect();
    all.sort_by(|a, b| (a.ends, &a.fingerprint).cmp(&(b.ends, &b.fingerprint)));
    all
}

/// Who has a key that is good now and for longer than the ends that are told reach.
fn lasting(keyring: &Keyring, now: Timestamp) -> BTreeSet<&str> {
    let lasts = |key: &&Key| match key.standing(now) {
        Standing::Valid { until } => until.is_none_or(|end| !ends_within(end, now, AHEAD[1])),
        _ => false,
    };
    keyring.keys().iter().filter(lasts).map(|key| key.principal.name.as_str()).collect()
}

/// Everything that the keyring and its clock can tell by themselves, by place; `dir` is where its files are.
pub fn lint(keyring: &Keyring, dir: &Path, now: Timestamp) -> Vec<Lint> {
    let mut out = Vec::new();
    ends(keyring, now, &mut out);
    for key in keyring.keys() {
        of_key(key, now, &mut out);
    }
    for authority in keyring.authorities() {
        if let Standing::Weak { what } = authority.standing(now) {
            let found = Lint::new(
                "weak-key",
                Severity::Error,
                Some(authority.place.clone()),
                format!("the authority {} is too weak ({what})", authority.key.fingerprint()),
                "no certificate by it counts: set up another authority",
            );
            out.push(Lint { key: Some(authority.key.fingerprint()), ..found });
        }
    }
    same_key_id(keyring, &mut out);
    same_email(keyring, dir, &mut out);
    without_usable_key(keyring, dir, now, &mut out);
    out.sort_by(|a, b| (&a.place, a.code, &a.key).cmp(&(&b.place, b.code, &b.key)));
    out
}

/// Keys that end or have ended.
fn ends(keyring: &Keyring, now: Timestamp, out: &mut Vec<Lint>) {
    let subkeys = signing_subkeys_that_end(keyring, now);
    for one in endings(keyring, now) {
        let Ending { principal, fingerprint, ends, place, replaced } = one;
        let mut add = |code, severity: Severity, message: String, remedy: String| {
            // A key whose owner has another one that lasts may simply end.
            let severity = if replaced { Severity::Note } else { severity };
            let found = Lint::new(code, severity, Some(place.clone()), message, remedy);
            out.push(Lint { principal: principal.clone(), key: Some(fingerprint.clone()), ..found });
        };
        let owner = principal.as_deref().unwrap_or("NAME");
        if ends <= now {
            add(
                "expired",
                Severity::Warning,
                format!("{fingerprint} expired at {ends}"),
                format!("take over a newer copy or another key: countersign keyring add {owner} --key FILE"),
            );
            continue;
        }
        let Some(days) = AHEAD.into_iter().find(|days| ends_within(ends, now, *days)) else { continue };
        let severity = if days == AHEAD[0] { Severity::Error } else { Severity::Warning };
        let left = in_days(ends, now);
        if let Some(certificate_ends) = subkeys.get(&fingerprint) {
            let until =
                certificate_ends.map_or_else(|| "does not end".to_owned(), |at| format!("ends at {at}"));
            add(
                "signing-subkey-ends",
                severity,
                format!("{fingerprint} loses its last signing subkey {left}, and the certificate {until}"),
                format!(
                    "have its owner prolong the subkey (`gpg --quick-set-expire FINGERPRINT 1y '*'`) or make a new one, \
                     then: countersign keyring add {owner} --key FILE"
                ),
            );
        } else {
            add(
                if days == AHEAD[0] { "expires-in-7-days" } else { "expires-in-30-days" },
                severity,
                format!("{fingerprint} expires {left}, at {ends}"),
                format!(
                    "have its owner prolong or replace it, then: countersign keyring add {owner} --key FILE; if \
                     `valid-until` ends it, move that"
                ),
            );
        }
    }
}

/// `today`, `in 1 day`, `in 12 days`.
pub fn in_days(end: Timestamp, now: Timestamp) -> String {
    match days_until(end, now) {
        0 => "today".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}

/// Certificates that live on when the last of their keys that may sign has ended, and that is a subkey: until when.
fn signing_subkeys_that_end(keyring: &Keyring, now: Timestamp) -> HashMap<String, Option<Timestamp>> {
    let one = |key: &Key| {
        let certificate = key.material.certificate()?;
        let openpgp::Standing::Usable { until: Some(until) } = certificate.standing(now) else { return None };
        let ends = certificate.ends(now);
        let lives_on = ends.is_none_or(|ends| ends > until);
        lives_on.then(|| (key.material.fingerprint(), ends))
    };
    keyring.keys().iter().filter_map(one).collect()
}

/// What one key says of itself.
fn of_key(key: &Key, now: Timestamp, out: &mut Vec<Lint>) {
    let fingerprint = key.material.fingerprint();
    let standing = key.standing(now);
    let mut add = |code, severity, message: String, remedy: &str| {
        out.push(Lint::new(code, severity, Some(key.place.clone()), message, remedy).of_key(key));
    };
    match &standing {
        Standing::Weak { what } => add(
            "weak-key",
            Severity::Error,
            format!("{fingerprint} is too weak ({what}): no signature by it is accepted"),
            "have its owner make an Ed25519 key and add that",
        ),
        Standing::Unusable { why } => add(
            "cannot-sign",
            Severity::Error,
            format!("{fingerprint} cannot sign: {why}"),
            "have its owner add a signing subkey (`gpg --quick-add-key FINGERPRINT ed25519 sign`) and export it again",
        ),
        Standing::Revoked { .. } | Standing::Suspended { .. } => return,
        _ => {}
    }
    if let Some(what) = key.material.advice(now) {
        add(
            "weak-rsa",
            Severity::Warning,
            format!("{fingerprint} is {what}; 3072 bits are advised"),
            "have its owner make an Ed25519 key, and refuse such signatures with the rule `weak-signature`",
        );
    }
    let sha1 = key.material.certificate().map_or(0, |one| one.findings().sha1_self_signatures);
    if sha1 > 0 {
        add(
            "sha1-self-signature",
            Severity::Warning,
            format!(
                "{fingerprint} has {sha1} self-signatures by SHA-1, which count only where `sha1-bindings` says so"
            ),
            "have its owner sign its user ids and subkeys anew, with SHA-256 or better: setting the expiry again does",
        );
    }
    if let Some(never) = never_valid(key, now) {
        add(
            "never-valid",
            Severity::Warning,
            never,
            "correct `valid-from` and `valid-until`: they and the key's own life do not meet",
        );
    }
}

/// That the entry's windows and the certificate's own life have no moment in common.
fn never_valid(key: &Key, now: Timestamp) -> Option<String> {
    let certificate = key.material.certificate()?;
    let primary = certificate.component_keys(now).into_iter().find(|one| one.primary)?;
    let fingerprint = key.material.fingerprint();
    if let Some(end) = key.windows.ends().filter(|end| *end <= primary.created) {
        return Some(format!("{fingerprint} was made at {}, after its entry ends at {end}", primary.created));
    }
    let (from, end) = (key.windows.begins()?, certificate.ends(now)?);
    (from >= end).then(|| format!("{fingerprint} ends at {end}, before its entry begins at {from}"))
}

/// Certificates that a 64-bit key id does not tell apart.
fn same_key_id(keyring: &Keyring, out: &mut Vec<Lint>) {
    for (key_id, indexes) in &keyring.key_ids {
        let indexes: BTreeSet<usize> = indexes.iter().copied().collect();
        let keys: Vec<&Key> = indexes.iter().map(|index| &keyring.keys()[*index]).collect();
        let [first, .., last] = keys[..] else { continue };
        let names: Vec<String> = keys
            .iter()
            .map(|key| format!("{} of `{}`", key.material.fingerprint(), key.principal.name))
            .collect();
        let message = format!("{} have one key id, {}", names.join(" and "), material::hex(key_id));
        let remedy = "nobody gets such keys by chance: ask both owners, and take the wrong one out. Signatures that name \
                      only the key id are tried against both";
        out.push(
            Lint::new("same-key-id", Severity::Warning, Some(last.place.clone()), message, remedy)
                .of_key(first),
        );
    }
}

/// Where a principal is written: its file, or its first line elsewhere.
pub fn place_of(keyring: &Keyring, dir: &Path, principal: &Principal) -> Option<Place> {
    let of_file = keyring.parts.principals.iter().any(|one| one.name == principal.name);
    if of_file {
        return Some(Place::whole(&dir.join(format!("{}.toml", principal.name))));
    }
    keyring.keys().iter().find(|key| key.principal.name == principal.name).map(|key| key.place.clone())
}

/// Addresses of two principals, of whom one may be gone.
fn same_email(keyring: &Keyring, dir: &Path, out: &mut Vec<Lint>) {
    let mut by_email: BTreeMap<String, Vec<&Arc<Principal>>> = BTreeMap::new();
    let gone: BTreeSet<&String> = keyring.removed().iter().collect();
    let removed = keyring.parts.principals.iter().filter(|one| gone.contains(&one.name));
    for principal in keyring.principals().iter().chain(removed) {
        let emails: BTreeSet<String> =
            principal.emails.iter().map(|email| email.to_ascii_lowercase()).collect();
        for email in emails {
            by_email.entry(email).or_default().push(principal);
        }
    }
    for (email, people) in by_email.iter().filter(|(_, people)| people.len() > 1) {
        let (left, here): (Vec<&Arc<Principal>>, Vec<&Arc<Principal>>) =
            people.iter().copied().partition(|one| gone.contains(&one.name));
        let Some(last) = here.last() else { continue };
        let names = |people: &[&Arc<Principal>]| {
            people.iter().map(|one| format!("`{}`", one.name)).collect::<Vec<_>>().join(" and ")
        };
        let place = place_of(keyring, dir, last);
        let (message, remedy) = if left.is_empty() {
            (
                format!("{} are the owners of one address, {email}", names(&here)),
                "an address that is two people's tells nobody who it was: leave it with one of them"
                    .to_owned(),
            )
        } else {
            (
                format!("{} has an address of {}, who was removed: {email}", names(&here), names(&left)),
                format!(
                    "take it out; or, if it is given again on purpose, `countersign keyring add {} --email {email} \
                     --reuse-address {email} --reason TEXT`",
                    last.name
                ),
            )
        };
        out.push(Lint::new("same-email", Severity::Warning, place, message, remedy).of(&here[0].name));
    }
}

/// Principals who have keys and none that is good for anything.
fn without_usable_key(keyring: &Keyring, dir: &Path, now: Timestamp, out: &mut Vec<Lint>) {
    // What is known of each principal's keys: is one good, was each revoked by somebody on purpose?
    let mut known: HashMap<&str, (bool, bool)> = HashMap::new();
    for key in keyring.keys() {
        let standing = key.standing(now);
        let good = matches!(standing, Standing::Valid { .. } | Standing::NotYetValid { .. });
        let revoked = matches!(standing, Standing::Revoked { .. } | Standing::Suspended { .. });
        let state = known.entry(&key.principal.name).or_insert((false, true));
        *state = (state.0 || good, state.1 && revoked);
    }
    for principal in keyring.principals() {
        let Some((false, gone)) = known.get(principal.name.as_str()).copied() else { continue };
        let message = format!("`{}` has no key that is good now", principal.name);
        let (severity, remedy) = if gone {
            (Severity::Note, "nothing, if they left; their revoked keys say why")
        } else {
            (Severity::Warning, "add a key, or revoke those of somebody who left")
        };
        let place = place_of(keyring, dir, principal);
        out.push(Lint::new("no-usable-key", severity, place, message, remedy).of(&principal.name));
    }
}

/// What loading told, as findings.
pub fn of_warnings(warnings: &[super::document::Warning]) -> Vec<Lint> {
    let one = |warning: &super::document::Warning| {
        let (place, message) = (warning.place.clone(), warning.message.clone());
        // Whoever asks may be somebody else than the daemon, so this alone is nothing to fail for.
        if message.starts_with(load::OWN_ACCOUNT) {
            let remedy = "let root own the keyring's directory and files, mode 755 and 644";
            return Lint::new("loose-permissions", Severity::Note, place, message, remedy);
        }
        if message.starts_with(load::IGNORED) {
            let remedy = "rename it to NAME.toml, or put it elsewhere; names that begin with `.` are passed over in silence";
            return Lint::new("ignored-file", Severity::Warning, place, message, remedy);
        }
        if message.ends_with(load::NO_KEY) {
            let remedy = "add one: countersign keyring add NAME --key FILE";
            return Lint::new("no-key", Severity::Warning, place, message, remedy);
        }
        let remedy = "look at what it says there; the keyring loads with it";
        Lint::new("load-warning", Severity::Warning, place, message, remedy)
    };
    warnings.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [(&str, &str); 2] = [
        ("ann", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOJaXzR/ywf7UudEZKOnGRUNAVLhzkP24lyaYdM5k4CS"),
        ("bob", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFdCKdpbqvoIHJXbkSGZDXQ8jYZGNdIs4T1v0UTrO+UD"),
    ];

    /// Nobody makes two keys with one key id for a test, so the index is made to say so.
    #[test]
    fn two_certificates_with_one_key_id() {
        let place = tempfile::tempdir().unwrap();
        for (name, key) in KEYS {
            let text = format!("name = \"{name}\"\n[[key]]\nssh = \"{key}\"\n");
            std::fs::write(place.path().join(format!("{name}.toml")), text).unwrap();
        }
        let dir = place.path();
        let mut keyring = Keyring::load(dir).unwrap().keyring;
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let codes = |keyring: &Keyring| -> Vec<&str> {
            lint(keyring, dir, now).iter().map(|one| one.code).filter(|code| *code == "same-key-id").collect()
        };
        assert!(codes(&keyring).is_empty());
        keyring.key_ids.insert([7; 8], vec![0, 0]);
        assert!(codes(&keyring).is_empty(), "a certificate may have a key twice");
        keyring.key_ids.insert([7; 8], vec![0, 1]);
        assert_eq!(codes(&keyring), ["same-key-id"]);
        let found = lint(&keyring, dir, now).into_iter().find(|one| one.code == "same-key-id").unwrap();
        assert_eq!((found.severity, found.principal.as_deref()), (Severity::Warning, Some("ann")));
        assert!(found.message.ends_with("have one key id, 0707070707070707"), "{}", found.message);
    }
}
