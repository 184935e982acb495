//! `untrusted-signer`: every commit, or every tag, is signed by somebody on this rule's list.

use super::people::{any, called, listed, selectors};
use super::signed::{Object, Of, Written};
use super::{Finding, Judges, Kind, Rule, Scope, bad_signature, options, unsigned_commit, unsigned_tag};
use crate::domain::{Principal, text};
use crate::policy::facts::{CommitFacts, TagFacts};
use crate::policy::{Refs, Selector};
use crate::signature::SignatureStatus;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rule's one word.
pub const NAME: &str = "untrusted-signer";

/// The registry line.
pub const KIND: Kind = Kind {
    name: NAME,
    summary: "a commit or tag that is not signed by somebody on the list",
    judges: Judges::Commit,
    build: |table| {
        let Options { allow, deny, of, refs } = options(table)?;
        let of = Of::parse(of)?;
        let allow = match allow {
            None => Vec::new(),
            Some(list) if list.is_empty() => {
                return Err(
                    "`allow = []` would refuse everybody; leave `allow` out to allow the whole keyring"
                        .into(),
                );
            }
            Some(list) => selectors(&list)?,
        };
        let deny = match deny {
            None => Vec::new(),
            Some(list) if list.is_empty() => return Err("`deny = []` denies nobody; leave it out".into()),
            Some(list) => selectors(&list)?,
        };
        let refs = refs.unwrap_or_default();
        let on_refs: Vec<_> =
            refs.iter().map(|(pattern, list)| on_ref(pattern, list, of)).collect::<Result<_, _>>()?;
        let named = allow.iter().chain(&deny).chain(on_refs.iter().flat_map(|(_, rule)| &rule.allow));
        let named = named.cloned().collect();
        Ok(Box::new(UntrustedSigner { allow, deny, of, on_refs, named }))
    },
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    allow: Option<Vec<String>>,
    deny: Option<Vec<String>>,
    of: Option<Written>,
    refs: Option<BTreeMap<String, Vec<String>>>,
}

/// The rules that an entry of the table `refs` needs beside its own, to say what they say best (N17).
pub const BESIDE: [&str; 3] = [bad_signature::NAME, unsigned_commit::NAME, unsigned_tag::NAME];

/// One entry of the table `refs`.
fn on_ref(pattern: &str, list: &[String], of: Option<Of>) -> Result<(Refs, Arc<UntrustedSigner>), String> {
    if list.is_empty() {
        let shown = text::escape(pattern.as_bytes());
        return Err(format!("`{shown}` would refuse everybody there; name somebody, or leave the entry out"));
    }
    if pattern.starts_with('!') {
        let shown = text::escape(pattern.as_bytes());
        return Err(format!("`{shown}` says where nothing is wanted; write where something is"));
    }
    let refs = Refs::new([pattern]).map_err(|error| error.to_string())?;
    let allow = selectors(list)?;
    let rule = UntrustedSigner { named: allow.clone(), allow, deny: Vec::new(), of, on_refs: Vec::new() };
    Ok((refs, Arc::new(rule)))
}

#[derive(Clone, Debug)]
struct UntrustedSigner {
    /// Empty: every principal of the keyring.
    allow: Vec<Selector>,
    deny: Vec<Selector>,
    /// `None`: commits, and tags where the ruleset wants those signed.
    of: Option<Of>,
    on_refs: Vec<(Refs, Arc<UntrustedSigner>)>,
    named: Vec<Selector>,
}

impl UntrustedSigner {
    fn wanted(&self) -> String {
        let mut out = match self.allow.is_empty() {
            true => "a signature by anybody in the keyring".to_owned(),
            false => format!("a signature by {}", listed(&self.allow)),
        };
        if !self.deny.is_empty() {
            out.push_str(&format!(", and not by {}", listed(&self.deny)));
        }
        out
    }

    fn trusts(&self, signer: &Principal) -> bool {
        (self.allow.is_empty() || any(&self.allow, signer)) && !any(&self.deny, signer)
    }

    fn looks_at_tags(&self, scope: Scope<'_>) -> bool {
        self.of.map_or_else(|| scope.ruleset.has_rule(unsigned_tag::NAME), |of| of.tags)
    }

    fn check(&self, object: Object<'_>, scope: Scope<'_>) -> Option<Finding> {
        let status = &object.signature().status;
        match status {
            SignatureStatus::Verified(_) => match object.signature().verified_by() {
                Some(signer) if self.trusts(signer) => None,
                Some(signer) if any(&self.deny, signer) => Some(Finding {
                    path: None,
                    seen: format!("{status}, which is {}", called(signer)),
                    wanted: self.wanted(),
                    help: format!("have somebody sign the {} who is not denied", object.word()),
                }),
                Some(signer) => Some(Finding {
                    path: None,
                    seen: format!("{status}, which is {}", called(signer)),
                    wanted: self.wanted(),
                    help: format!(
                        "have somebody on the list sign the {}, or ask for a place on it",
                        object.word()
                    ),
                }),
                // A verified key without an owner cannot be: refused all the same.
                None => Some(Finding {
                    path: None,
                    seen: format!("{status}, which nobody owns"),
                    wanted: self.wanted(),
                    help: "ask the keyring's keeper to check the key's entry".to_owned(),
                }),
            },
            SignatureStatus::Unsigned => self.absent(object, scope),
            SignatureStatus::UnknownKey { .. } => Some(Finding {
                path: None,
                seen: status.to_string(),
                wanted: self.wanted(),
                help: bad_signature::help(object, scope),
            }),
            // Everything else is refused by `bad-signature`, which is part of this ruleset.
            _ => None,
        }
    }

    /// What a missing signature is called here, unless the rule about absence says so. Where that leaves some
    /// tags out, they need nobody's signature.
    fn absent(&self, object: Object<'_>, scope: Scope<'_>) -> Option<Finding> {
        let absent = match object {
            Object::Commit(_) if scope.ruleset.leaves_to(unsigned_commit::NAME) => return None,
            Object::Tag(_) if scope.ruleset.leaves_to(unsigned_tag::NAME) => return None,
            Object::Commit(commit) => unsigned_commit::absent(commit, scope.reference),
            Object::Tag(tag) => unsigned_tag::absent(tag),
        };
        Some(Finding { wanted: self.wanted(), ..absent })
    }
}

impl Rule for UntrustedSigner {
    fn name(&self) -> &'static str {
        NAME
    }

    fn judges(&self) -> Judges {
        if self.of.is_none_or(|of| of.commits) { Judges::Commit } else { Judges::RefUpdate }
    }

    fn is_about_signatures(&self) -> bool {
        true
    }

    fn is_about_tag_signatures(&self) -> bool {
        self.of.is_some_and(|of| of.tags)
    }

    fn on_refs(&self) -> Vec<(&Refs, Arc<dyn Rule>)> {
        self.on_refs.iter().map(|(refs, rule)| (refs, Arc::clone(rule) as Arc<dyn Rule>)).collect()
    }

    fn check_commit(&self, commit: &CommitFacts, scope: Scope<'_>) -> Vec<Finding> {
        let looked_at = self.of.is_none_or(|of| of.commits);
        looked_at.then(|| self.check(Object::Commit(commit), scope)).flatten().into_iter().collect()
    }

    /// A tree or a blob has no commit that could be signed: then the tag that names it is what vouches. Where
    /// tags are looked at, that is done already.
    fn check_ref(&self, scope: Scope<'_>) -> Vec<Finding> {
        let reference = scope.reference;
        let looked_at = self.of.is_none_or(|of| of.commits);
        let Some(kind) = reference.bare_content().filter(|_| looked_at) else { return Vec::new() };
        let signature = reference.innermost_signature();
        let allowed = signature.and_then(|tag| tag.verified_by()).is_some_and(|signer| self.trusts(signer));
        if allowed || (signature.is_some() && self.looks_at_tags(scope)) {
            return Vec::new();
        }
        vec![unsigned_commit::bare(kind, signature, self.wanted())]
    }

    fn check_tag(&self, tag: &TagFacts, scope: Scope<'_>) -> Vec<Finding> {
        let looked_at = self.looks_at_tags(scope);
        looked_at.then(|| self.check(Object::Tag(tag), scope)).flatten().into_iter().collect()
    }

    fn selectors(&self) -> &[Selector] {
        &self.named
    }

    fn accepts_signer(&self, principal: &Principal) -> Option<bool> {
        Some(self.trusts(principal))
    }

    fn allowed(&self) -> &[Selector] {
        &self.allow
    }
}
