//! FIDO counters (S6): an authenticator counts its signatures, so a new object whose counter did not rise
//! was signed by a copy of the key, or long ago.

use super::{CollectError, Frontier};
use crate::domain::{ObjectId, RefName};
use crate::policy::facts::{CommitFacts, RefFacts};
use crate::signature::{Fido, Finding, KeyId, Rules, Scheme, SignatureStatus, Strictness, VerifiedSignature};
use std::collections::{BTreeMap, HashMap, HashSet};

/// What an authenticator had counted to, where a verified signature is by one.
fn counted(status: &SignatureStatus) -> Option<(&VerifiedSignature, &Fido)> {
    match status {
        SignatureStatus::Verified(signature) => Some((signature, signature.fido()?)),
        _ => None,
    }
}

/// Which ref brings a signature, on which object, by which key, and what the authenticator said.
pub type FidoSignature = (RefName, ObjectId, String, Fido);

/// The FIDO signatures that count among the objects of a push, each once, with a ref that brings it and
/// the fingerprint of the key that signed.
pub fn fido_signatures(refs: &[RefFacts], commits: &HashMap<ObjectId, CommitFacts>) -> Vec<FidoSignature> {
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    for reference in refs {
        let introduced = reference.introduced.values().flatten();
        let commits = introduced.filter_map(|id| Some((*id, &commits.get(id)?.signature.status)));
        let tags = reference.tags.iter().map(|tag| (tag.id, &tag.signature.status));
        for (id, status) in commits.chain(tags) {
            if let Some((signature, fido)) = counted(status)
                && seen.insert(id)
            {
                out.push((reference.name.clone(), id, signature.fingerprint().to_owned(), fido.clone()));
            }
        }
    }
    out
}

/// Holds the counters of new objects against the record as it was before the push, and against each
/// other: a rebase signs in another order than it pushes, but no two signatures have one number (F010).
pub(super) fn check(
    refs: &mut [RefFacts],
    commits: &mut HashMap<ObjectId, CommitFacts>,
    frontier: &dyn Frontier,
    rules: &Rules,
) -> Result<(), CollectError> {
    if rules.import {
        return Ok(());
    }
    let mut keys: BTreeMap<(String, String), Vec<(ObjectId, u32)>> = BTreeMap::new();
    for (_, id, key, fido) in fido_signatures(refs, commits) {
        // What was let in before was checked then (F008).
        if !frontier.fido_known(&key, &fido.application, &id)? {
            keys.entry((key, fido.application)).or_default().push((id, fido.counter));
        }
    }
    let mut odd: HashMap<ObjectId, Finding> = HashMap::new();
    for ((key, application), objects) in keys {
        let highest = frontier.fido_counter(&key, &application)?;
        odd.extend(judge(highest, &objects));
    }
    if odd.is_empty() {
        return Ok(());
    }
    let tags =
        refs.iter_mut().flat_map(|reference| &mut reference.tags).map(|tag| (tag.id, &mut tag.signature));
    let commits = commits.values_mut().map(|commit| (commit.id, &mut commit.signature));
    for (id, signature) in tags.chain(commits) {
        if let Some(finding) = odd.get(&id) {
            let status = std::mem::replace(&mut signature.status, SignatureStatus::Unsigned);
            signature.status = apply(status, finding, rules.fido_counter);
        }
    }
    Ok(())
}

/// What is odd about the counters of one key's new signatures; `highest` is the record's.
fn judge(highest: Option<u32>, objects: &[(ObjectId, u32)]) -> Vec<(ObjectId, Finding)> {
    let zero = highest.unwrap_or(0) == 0 && objects.iter().all(|(_, counter)| *counter == 0);
    if zero {
        // An authenticator that does not count says so with zeros. Told once, then it is known (F007).
        let text = "the authenticator does not count its signatures: a copy of its key would not be noticed";
        let first = objects.iter().map(|(id, _)| *id).min().filter(|_| highest.is_none());
        return first.into_iter().map(|id| (id, Finding::new("fido.no_counter", text))).collect();
    }
    let mut uses: HashMap<u32, usize> = HashMap::new();
    for (_, counter) in objects {
        *uses.entry(*counter).or_default() += 1;
    }
    let mut odd = Vec::new();
    for (id, counter) in objects {
        let seen = match highest {
            Some(highest) if *counter <= highest => {
                format!("its counter is {counter}, and {highest} was let in before")
            }
            _ if uses[counter] > 1 => {
                format!("its counter is {counter}, and so is that of another signature in this push")
            }
            _ => continue,
        };
        let text = format!("{seen}: there may be a copy of the key, or the signature is an old one");
        odd.push((*id, Finding::new("fido.counter_regress", text)));
    }
    odd
}

/// What a signature is worth whose object came in alone, now; `highest` is the record's. Also what is odd.
pub fn judge_counter(
    status: SignatureStatus,
    id: ObjectId,
    highest: Option<u32>,
    rules: &Rules,
) -> (SignatureStatus, Option<Finding>) {
    let Some(counter) = counted(&status).map(|(_, fido)| fido.counter) else { return (status, None) };
    match judge(highest, &[(id, counter)]).pop() {
        Some((_, finding)) => (apply(status, &finding, rules.fido_counter), Some(finding)),
        None => (status, None),
    }
}

fn apply(status: SignatureStatus, finding: &Finding, strictness: Strictness) -> SignatureStatus {
    match (status, strictness) {
        (SignatureStatus::Verified(signature), Strictness::Refuse)
            if finding.code == "fido.counter_regress" =>
        {
            let key = KeyId { scheme: Scheme::Ssh, text: signature.fingerprint().to_owned() };
            let remedy = "with the authenticator itself; if that does not help, have the key replaced";
            SignatureStatus::WrongPurpose { key, why: finding.text.clone(), remedy }
        }
        (SignatureStatus::Verified(signature), _) => {
            SignatureStatus::Verified(signature.noting(finding.clone()))
        }
        (other, _) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> ObjectId {
        ObjectId::from_bytes(&[number; 20]).unwrap()
    }

    fn codes(highest: Option<u32>, counters: &[u32]) -> Vec<(u32, &'static str)> {
        let objects: Vec<_> = (1_u8..).map(id).zip(counters.iter().copied()).collect();
        let found = judge(highest, &objects);
        let counter = |found: &ObjectId| objects.iter().find(|(id, _)| id == found).unwrap().1;
        found.iter().map(|(id, finding)| (counter(id), finding.code)).collect()
    }

    #[test]
    fn f006_lower_or_equal_is_odd_and_higher_is_not() {
        const ODD: &str = "fido.counter_regress";
        assert_eq!(codes(Some(10), &[9]), [(9, ODD)]);
        assert_eq!(codes(Some(10), &[10]), [(10, ODD)]);
        assert_eq!(codes(Some(10), &[0]), [(0, ODD)], "a key that counted does not stop to");
        assert_eq!(codes(Some(10), &[11]), []);
        assert_eq!(codes(Some(u32::MAX), &[u32::MAX]), [(u32::MAX, ODD)]);
        assert_eq!(codes(None, &[1]), []);
    }

    #[test]
    fn f007_always_zero_is_no_counter_and_told_once() {
        assert_eq!(codes(None, &[0, 0, 0]), [(0, "fido.no_counter")]);
        assert_eq!(codes(Some(0), &[0, 0]), []);
        assert_eq!(codes(Some(0), &[7]), [], "it may begin to count");
    }

    #[test]
    fn f010_any_order_within_a_push_but_no_number_twice() {
        const ODD: &str = "fido.counter_regress";
        assert_eq!(codes(Some(10), &[14, 12, 13, 11]), []);
        assert_eq!(codes(Some(10), &[12, 12, 13]), [(12, ODD), (12, ODD)]);
        assert_eq!(codes(None, &[5, 0, 0]), [(0, ODD), (0, ODD)]);
    }

    #[test]
    fn only_a_verified_status_is_changed_and_never_for_the_better() {
        let finding = Finding::new("fido.counter_regress", "x");
        let bad = SignatureStatus::Bad { key: KeyId { scheme: Scheme::Ssh, text: "k".into() } };
        for strictness in [Strictness::Report, Strictness::Refuse] {
            assert_eq!(apply(bad.clone(), &finding, strictness), bad);
        }
    }
}
