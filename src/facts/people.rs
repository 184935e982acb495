//! Whose addresses commits and tags name.

use crate::domain::{ObjectId, Principal, fold_address};
use crate::policy::facts::{CommitFacts, Person, RefFacts};
use std::collections::HashMap;
use std::sync::Arc;

/// Everybody's addresses. One that two principals have is nobody's: it tells neither from the other.
struct Addresses<'a>(HashMap<Vec<u8>, Option<&'a Arc<Principal>>>);

impl<'a> Addresses<'a> {
    fn new(principals: &'a [Arc<Principal>]) -> Self {
        let mut out: HashMap<_, Option<&Arc<Principal>>> = HashMap::new();
        for principal in principals {
            for address in principal.emails.iter().filter_map(|email| fold_address(email.as_bytes())) {
                out.entry(address)
                    .and_modify(|known| *known = known.filter(|known| known.name == principal.name))
                    .or_insert(Some(principal));
            }
        }
        Addresses(out)
    }

    fn owner(&self, email: &[u8]) -> Option<Arc<Principal>> {
        self.0.get(&fold_address(email)?).copied().flatten().cloned()
    }
}

/// Says of everybody whom the objects name whose address that is. The index is made once for a push.
pub(super) fn name(
    refs: &mut [RefFacts],
    commits: &mut HashMap<ObjectId, CommitFacts>,
    principals: &[Arc<Principal>],
) {
    let addresses = Addresses::new(principals);
    let own = |person: &mut Person| person.principal = addresses.owner(&person.email);
    for commit in commits.values_mut() {
        own(&mut commit.author);
        own(&mut commit.committer);
    }
    refs.iter_mut().flat_map(|one| &mut one.tags).filter_map(|tag| tag.tagger.as_mut()).for_each(own);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PrincipalKind;

    fn principal(name: &str, emails: &[&str]) -> Arc<Principal> {
        Arc::new(Principal {
            name: name.to_owned(),
            kind: PrincipalKind::Person,
            emails: emails.iter().map(|email| (*email).to_owned()).collect(),
            groups: Vec::new(),
        })
    }

    #[test]
    fn an_address_of_two_is_nobodys() {
        let everybody = [
            principal("alice", &["alice@example.org", "alice@EXAMPLE.org", "team@example.org"]),
            principal("bob", &["bob@example.org", "team@EXAMPLE.org", "no address"]),
            principal("carol", &["team@example.org"]),
        ];
        let addresses = Addresses::new(&everybody);
        let owner = |email: &str| addresses.owner(email.as_bytes()).map(|one| one.name.clone());
        assert_eq!(owner("alice@Example.Org").as_deref(), Some("alice"), "twice her own is hers");
        assert_eq!(owner("bob@example.org").as_deref(), Some("bob"));
        for nobodys in ["team@example.org", "Bob@example.org", "no address", "bob", "", "@", "x@example.org"]
        {
            assert_eq!(owner(nobodys), None, "{nobodys:?}");
        }
    }
}
