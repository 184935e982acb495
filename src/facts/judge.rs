//! Reading commits and tags and verifying their signatures, on all cores.

use super::collect::too_large;
use super::{Budget, CollectError};
use crate::domain::{ObjectFormat, ObjectId, ObjectKind, PrincipalKind, PushContext, Timestamp};
use crate::git::{self, Found, Objects, Repository};
use crate::keyring::{Keyring, Role};
use crate::policy::Limits;
use crate::policy::facts::{BuiltinFault, BuiltinRule, CommitFacts, Person, SignatureFacts, TagFacts};
use crate::signature::object::{self, CommitObject, Identity, Payload, SignatureField};
use crate::signature::{self, Rules, Times, Trace, mergetag};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Commits are verified in batches of this many, so that memory does not grow with the push.
const BATCH: usize = 256;
/// And of this many bytes.
const BATCH_BYTES: usize = 8 << 20;
/// Asked once: the answer costs a dozen reads of system files.
static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));

/// Commit facts and object faults, by object.
pub(super) type Judged = (HashMap<ObjectId, CommitFacts>, HashMap<ObjectId, Vec<BuiltinFault>>);

/// Collects the facts of single objects.
pub(super) struct Judge<'a> {
    objects: &'a Objects,
    verifier: Verifier<'a>,
    commits: HashMap<ObjectId, CommitFacts>,
    faults: HashMap<ObjectId, Vec<BuiltinFault>>,
    batch: Vec<(ObjectId, Vec<u8>)>,
    batch_bytes: usize,
    total_bytes: u64,
}

/// What turns bytes into facts. It has no hand on the repository, so that threads can share it.
#[derive(Clone, Copy)]
struct Verifier<'a> {
    format: ObjectFormat,
    keyring: &'a Keyring,
    limits: &'a Limits,
    rules: &'a Rules,
    received_at: Timestamp,
    budget: &'a Budget<'a>,
}

/// A tag's facts, and the kind that it claims for its target.
pub(super) struct JudgedTag {
    pub(super) facts: TagFacts,
    pub(super) target_kind: ObjectKind,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        keyring: &'a Keyring,
        limits: &'a Limits,
        rules: &'a Rules,
        context: &PushContext,
        budget: &'a Budget<'a>,
    ) -> Self {
        Judge {
            objects: repository.objects(),
            verifier: Verifier {
                format: repository.format(),
                keyring,
                limits,
                rules,
                received_at: context.received_at,
                budget,
            },
            commits: HashMap::new(),
            faults: HashMap::new(),
            batch: Vec::new(),
            batch_bytes: 0,
            total_bytes: 0,
        }
    }

    /// Takes a commit in to be judged and gives its parents; `None` if there is no such object.
    pub(super) fn commit(&mut self, id: &ObjectId) -> Result<Option<Vec<ObjectId>>, CollectError> {
        let Some(found) = self.objects.find(id)? else { return Ok(None) };
        if found.kind != ObjectKind::Commit {
            self.fault(
                *id,
                malformed(ObjectKind::Commit, *id, format!("it is a {}, not a commit", found.kind.name())),
            );
            return Ok(Some(Vec::new()));
        }
        if let Some(fault) = self.oversized(id, found) {
            self.fault(*id, fault);
            return Ok(Some(Vec::new()));
        }
        if let Some(fault) = self.over_budget(ObjectKind::Commit, id, found) {
            self.fault(*id, fault);
            return Ok(Some(Vec::new()));
        }
        let mut raw = Vec::new();
        // The id is proved by the worker that judges the bytes.
        if self.objects.read_unchecked(id, &mut raw)? != Some(ObjectKind::Commit) {
            return Err(git::GitError::Missing { id: *id, child: None }.into());
        }
        let Some(parents) = object::parents_lenient(self.objects.format(), &raw) else {
            self.fault(*id, malformed(ObjectKind::Commit, *id, "its parents cannot be read".to_owned()));
            return Ok(Some(Vec::new()));
        };
        if let Some(fault) = self.verifier.many_parents(id, parents.len()) {
            self.fault(*id, fault);
            return Ok(Some(Vec::new()));
        }
        self.batch_bytes += raw.len();
        self.batch.push((*id, raw));
        if self.batch.len() >= BATCH || self.batch_bytes >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(Some(parents))
    }

    /// Judges what is waiting and hands everything out.
    pub(super) fn finish(mut self) -> Result<Judged, CollectError> {
        self.flush()?;
        Ok((self.commits, self.faults))
    }

    /// Whether an agent's key signed a commit that nobody else looks at. What cannot be read might be.
    pub(super) fn by_agent(&self, id: &ObjectId) -> Result<bool, CollectError> {
        let Some(found) = self.objects.find(id)? else { return Ok(true) };
        if found.kind != ObjectKind::Commit || found.size > self.verifier.limits.object_bytes as u64 {
            return Ok(true);
        }
        let mut raw = Vec::new();
        self.objects.read_unchecked(id, &mut raw)?;
        Ok(match self.verifier.judge(id, &raw)? {
            Outcome::Commit(commit) => {
                commit.signature.principal.is_some_and(|signer| signer.kind == PrincipalKind::Agent)
            }
            Outcome::Fault(..) => true,
        })
    }

    /// The faults that one commit has as an object, for a tip that nobody else judges.
    pub(super) fn grammar(&mut self, id: &ObjectId) -> Result<Vec<BuiltinFault>, CollectError> {
        let Some(found) = self.objects.find(id)? else { return Ok(Vec::new()) };
        if let Some(fault) = self.oversized(id, found) {
            return Ok(vec![fault]);
        }
        let mut raw = Vec::new();
        self.objects.read(id, &mut raw)?;
        let format = self.objects.format();
        Ok(match object::parse_commit_by(format, &raw, self.verifier.rules, &mut Trace::off()) {
            Ok(commit) => {
                let parents = self.verifier.many_parents(id, commit.parents.len());
                let message = self.verifier.long_message(ObjectKind::Commit, id, commit.message);
                parents.into_iter().chain(message).collect()
            }
            Err(error) => vec![malformed(ObjectKind::Commit, *id, error.to_string())],
        })
    }

    /// Judges an annotated tag; `None` with faults if it does not follow the grammar.
    pub(super) fn tag(
        &mut self,
        id: &ObjectId,
        found: Found,
    ) -> Result<(Option<JudgedTag>, Vec<BuiltinFault>), CollectError> {
        if let Some(fault) = self.oversized(id, found) {
            return Ok((None, vec![fault]));
        }
        if let Some(fault) = self.over_budget(ObjectKind::Tag, id, found) {
            return Ok((None, vec![fault]));
        }
        let mut raw = Vec::new();
        if self.objects.read(id, &mut raw)? != Some(ObjectKind::Tag) {
            return Err(git::GitError::Missing { id: *id, child: None }.into());
        }
        let format = self.objects.format();
        let tag = match object::parse_tag_by(format, &raw, self.verifier.rules, &mut Trace::off()) {
            Ok(tag) => tag,
            Err(error) => return Ok((None, vec![malformed(ObjectKind::Tag, *id, error.to_string())])),
        };
        if let Some(fault) = self.verifier.long_message(ObjectKind::Tag, id, tag.message) {
            return Ok((None, vec![fault]));
        }
        let signature = self.verifier.signature(Role::Tag, &tag.signature, &tag.payload, tag.time());
        let facts = TagFacts {
            id: *id,
            sha256: Sha256::digest(&raw).into(),
            name: tag.name.to_vec(),
            target: tag.target,
            target_kind: tag.target_kind,
            tagger: tag.tagger.as_ref().map(person),
            message: tag.message.to_vec(),
            signature,
            findings: tag.findings,
        };
        Ok((Some(JudgedTag { facts, target_kind: tag.target_kind }), Vec::new()))
    }

    /// Counts an object's bytes; a fault once all of them together are too many.
    fn over_budget(&mut self, kind: ObjectKind, id: &ObjectId, found: Found) -> Option<BuiltinFault> {
        let limit = self.verifier.limits.push_bytes;
        self.total_bytes = self.total_bytes.saturating_add(found.size);
        (self.total_bytes > limit).then(|| {
            too_large(
                "",
                Some((kind, *id)),
                format!("the commits and tags of the push have more than {limit} bytes together"),
                format!("at most {limit} bytes of commits and tags"),
                "push the history in several parts",
            )
        })
    }

    fn oversized(&self, id: &ObjectId, found: Found) -> Option<BuiltinFault> {
        let limit = self.verifier.limits.object_bytes;
        (found.size > limit as u64).then(|| {
            let kind = found.kind.name();
            too_large(
                "",
                Some((found.kind, *id)),
                format!("the {kind} has {} bytes", found.size),
                format!("at most {limit} bytes for a {kind}"),
                "shorten its message",
            )
        })
    }

    fn fault(&mut self, id: ObjectId, fault: BuiltinFault) {
        self.faults.entry(id).or_default().push(fault);
    }

    fn flush(&mut self) -> Result<(), CollectError> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let Some((first, _)) = batch.first() else { return Ok(()) };
        let first = *first;
        // A thread costs about as much as one signature; below a handful it does not pay.
        let threads = CORES.min(batch.len().div_ceil(8));
        let verifier = self.verifier;
        let results: Vec<Result<Outcome, CollectError>> = if threads <= 1 {
            batch.iter().map(|(id, raw)| verifier.judge(id, raw)).collect()
        } else {
            std::thread::scope(|scope| {
                let share = batch.len().div_ceil(threads);
                let workers: Vec<_> = batch
                    .chunks(share)
                    .map(|part| {
                        scope.spawn(move || {
                            part.iter().map(|(id, raw)| verifier.judge(id, raw)).collect::<Vec<_>>()
                        })
                    })
                    .collect();
                let joined = workers.into_iter().map(|worker| worker.join());
                joined
                    .flat_map(|done| done.unwrap_or_else(|_| vec![Err(CollectError::Worker(first))]))
                    .collect()
            })
        };
        for result in results {
            match result? {
                Outcome::Commit(facts) => {
                    self.commits.insert(facts.id, *facts);
                }
                Outcome::Fault(id, fault) => self.fault(id, fault),
            }
        }
        Ok(())
    }
}

impl Verifier<'_> {
    fn judge(&self, id: &ObjectId, raw: &[u8]) -> Result<Outcome, CollectError> {
        // Whole batches are judged between two steps of the walk, which asks as well (N23).
        self.budget.check()?;
        git::verify_commit_id(id, raw)?;
        let commit = match object::parse_commit_by(self.format, raw, self.rules, &mut Trace::off()) {
            Ok(commit) => commit,
            Err(error) => {
                return Ok(Outcome::Fault(*id, malformed(ObjectKind::Commit, *id, error.to_string())));
            }
        };
        if let Some(fault) = self.long_message(ObjectKind::Commit, id, commit.message) {
            return Ok(Outcome::Fault(*id, fault));
        }
        let mut signature =
            self.signature(Role::Commit, &commit.signature, &commit.payload, commit.committer.time);
        let merged = self.merged_tags(&commit);
        signature.status = mergetag::veto(signature.status, &merged, self.rules);
        let mut findings = commit.findings;
        findings.extend(merged.iter().filter_map(mergetag::MergedTag::finding).cloned());
        Ok(Outcome::Commit(Box::new(CommitFacts {
            id: *id,
            sha256: Sha256::digest(raw).into(),
            signature,
            tree: commit.tree,
            author: person(&commit.author),
            committer: person(&commit.committer),
            encoding: commit.encoding.map(<[u8]>::to_vec),
            received: None,
            changes: Vec::new(),
            merge: None,
            findings,
            message: commit.message.to_vec(),
            parents: commit.parents,
        })))
    }

    /// The tags that a merge carries, judged as tags that come in now (1.3).
    fn merged_tags(&self, commit: &CommitObject<'_>) -> Vec<mergetag::MergedTag> {
        mergetag::judge(self.format, commit, self.rules, &mut Trace::off(), &mut |tag, _| {
            self.signature(Role::Tag, &tag.signature, &tag.payload, tag.time()).status
        })
    }

    fn many_parents(&self, id: &ObjectId, count: usize) -> Option<BuiltinFault> {
        let limit = self.limits.parents;
        (count > limit).then(|| {
            too_large(
                "",
                Some((ObjectKind::Commit, *id)),
                format!("the commit has {count} parents"),
                format!("at most {limit} parents"),
                "merge fewer branches at once",
            )
        })
    }

    fn long_message(&self, kind: ObjectKind, id: &ObjectId, message: &[u8]) -> Option<BuiltinFault> {
        let limit = self.limits.message_bytes;
        (message.len() > limit).then(|| {
            too_large(
                "",
                Some((kind, *id)),
                format!("the message has {} bytes", message.len()),
                format!("at most {limit} bytes of message"),
                "shorten the message with `git commit --amend`",
            )
        })
    }

    fn signature(
        &self,
        role: Role,
        field: &SignatureField,
        payload: &Payload<'_>,
        object_time: i64,
    ) -> SignatureFacts {
        let times = Times::introduced(object_time, self.received_at);
        let mut trace = Trace::off();
        let status = signature::judge(field, payload, self.keyring, times, self.rules, &mut trace);
        let (status, principal) = self.keyring.assess_for(role, status, &times, self.rules);
        SignatureFacts { status, principal, judged_at: self.received_at }
    }
}

/// Whose address it is, is asked later, and only where a rule wants to know.
fn person(identity: &Identity<'_>) -> Person {
    let Identity { name, email, time } = identity;
    Person { name: name.to_vec(), email: email.to_vec(), at: *time, principal: None }
}

enum Outcome {
    Commit(Box<CommitFacts>),
    Fault(ObjectId, BuiltinFault),
}

/// A `malformed-object` fault of an object, on no ref yet.
pub(super) fn malformed(kind: ObjectKind, id: ObjectId, seen: String) -> BuiltinFault {
    BuiltinFault {
        rule: BuiltinRule::MalformedObject,
        reference: String::new(),
        object: Some((kind, id)),
        seen,
        wanted: BuiltinRule::MALFORMED_OBJECT_WANTED.to_owned(),
        help: BuiltinRule::MALFORMED_OBJECT_HELP.to_owned(),
    }
}
