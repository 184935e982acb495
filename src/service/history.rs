//! Judging history that predates the gate, and what is on record once more (reference 1.9).
//!
//! One thread walks, all cores verify, the caller's thread gets the verdicts in the order of the walk.
//! Batches in flight are bounded, so memory holds the ids of the walk and nothing else that grows.

use super::gate::Snapshot;
use super::{check, locate};
use crate::domain::{ObjectFormat, ObjectId, ObjectKind, RefName, RepositoryId, Timestamp, text};
use crate::git::{self, GitError, Objects, Repository};
use crate::keyring::{Keyring, Role};
use crate::signature::object::{self, Payload, SignatureField};
use crate::signature::{self, Rules, SignatureStatus, Times, Trace, mergetag};
use crate::store::{Mode, Receipts, Store, StoreError};
use std::collections::{HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};

/// Commits of a batch.
const BATCH: usize = 64;
/// Bytes after which a batch is full.
const BATCH_BYTES: usize = 1 << 20;
/// Batches that may be on their way for each worker.
const IN_FLIGHT: usize = 4;
/// Annotated tags that may point at each other.
const TAG_DEPTH: usize = 16;

/// What to judge.
#[derive(Debug)]
pub struct HistoryRequest<'a> {
    /// The git directory, bare or of a work tree.
    pub git_dir: &'a Path,
    /// The name of the repository; by default the path below the configured root, or the directory's own
    /// name.
    pub repository: Option<&'a str>,
    /// The ref whose history is judged.
    pub reference: RefName,
    /// How many threads verify; 0 is one for each core.
    pub jobs: usize,
}

/// What a verdict's time rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Anchor {
    /// The times that the object claims, and nothing else.
    Unanchored,
    /// The gate's record of when it came in.
    Recorded,
}

impl Anchor {
    /// The word used in output.
    pub const fn name(self) -> &'static str {
        match self {
            Anchor::Unanchored => "unanchored",
            Anchor::Recorded => "recorded",
        }
    }
}

/// The verdict on one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Which commit.
    pub commit: ObjectId,
    /// A word of [`SignatureStatus::name`], or `tainted`, `tainted-accepted`, `malformed-object`,
    /// `too-large`.
    pub status: &'static str,
    /// What that rests on.
    pub anchor: Anchor,
    /// The principal, where the signature counts.
    pub signer: Option<String>,
    /// The key that signed, or the one that the signature names; escaped.
    pub key: Option<String>,
    /// The committer's time, seconds since the epoch, where the commit can be read.
    pub time: Option<i64>,
    /// Codes of what is odd about it.
    pub findings: Vec<&'static str>,
    /// What was seen, escaped; absent where the signature counts.
    pub why: Option<String>,
}

impl Judged {
    /// Whether the commit is by somebody known, or somebody answered for it.
    pub fn counts(&self) -> bool {
        matches!(self.status, "verified" | "tainted-accepted")
    }
}

/// What was judged, and by what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The repository's name.
    pub repository: String,
    /// The ref.
    pub reference: RefName,
    /// What the ref holds.
    pub tip: ObjectId,
    /// The commit behind it; another one than `tip` where the ref holds an annotated tag.
    pub commit: ObjectId,
    /// Why no receipts were used, if none were; escaped.
    pub unrecorded: Option<String>,
}

/// Why history could not be judged.
#[derive(Debug, thiserror::Error)]
pub enum HistoryFault {
    /// The ref is not there, or holds no history.
    #[error("{0}")]
    Reference(String),
    /// The repository or one of its objects cannot be read.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The record broke off.
    #[error("the record cannot be read: {0}")]
    Store(#[from] StoreError),
    /// The verdicts could not be handed out.
    #[error("cannot write the output: {0}")]
    Output(#[source] std::io::Error),
    /// A worker thread died.
    #[error("a worker failed while judging history")]
    Worker,
}

/// What turns one commit into a verdict; threads share it.
pub(super) struct Judge<'a> {
    format: ObjectFormat,
    keyring: &'a Keyring,
    object_bytes: usize,
    /// For what is on record: as strict as for a push.
    strict: &'a Rules,
    import: Rules,
    now: Timestamp,
}

impl<'a> Judge<'a> {
    pub(super) fn new(snapshot: &'a Snapshot, format: ObjectFormat) -> Self {
        Judge {
            format,
            keyring: &snapshot.keyring,
            object_bytes: snapshot.config.limits.object_bytes,
            strict: &snapshot.config.signatures,
            import: Rules { import: true, ..snapshot.config.signatures.clone() },
            now: Timestamp::now(),
        }
    }

    /// The verdict on a commit that nobody reads for its size.
    fn too_large(&self, id: ObjectId, size: usize) -> Judged {
        Judged {
            commit: id,
            status: "too-large",
            anchor: Anchor::Unanchored,
            signer: None,
            key: None,
            time: None,
            findings: Vec::new(),
            why: Some(format!("the commit has {size} bytes, more than {}", self.object_bytes)),
        }
    }

    /// Judges the bytes of a commit, after proving that they are what the id names.
    pub(super) fn judge(
        &self,
        id: ObjectId,
        raw: &[u8],
        receipts: Option<&Receipts>,
    ) -> Result<Judged, HistoryFault> {
        git::verify_commit_id(&id, raw)?;
        let mut judged = self.too_large(id, raw.len());
        if raw.len() > self.object_bytes {
            return Ok(judged);
        }
        judged.why = None;
        let received = receipts.map(|receipts| receipts.received(&id)).transpose()?.flatten();
        let (anchor, rules) = match received {
            Some(_) => (Anchor::Recorded, self.strict),
            None => (Anchor::Unanchored, &self.import),
        };
        judged.anchor = anchor;
        let trace = &mut Trace::off();
        let commit = match object::parse_commit_by(self.format, raw, rules, trace) {
            Ok(commit) => commit,
            Err(error) => {
                judged.status = "malformed-object";
                judged.why = Some(text::escape(error.to_string().as_bytes()));
                return Ok(judged);
            }
        };
        judged.time = Some(commit.committer.time);
        let assess = |role, field: &SignatureField, payload: &Payload<'_>, object: i64| {
            let times = Times { object, received, now: self.now };
            let status = signature::judge(field, payload, self.keyring, times, rules, &mut Trace::off());
            self.keyring.assess_for(role, status, &times, rules)
        };
        let (status, principal) =
            assess(Role::Commit, &commit.signature, &commit.payload, commit.committer.time);
        let merged = mergetag::judge(self.format, &commit, rules, trace, &mut |tag, _| {
            assess(Role::Tag, &tag.signature, &tag.payload, tag.time()).0
        });
        let status = mergetag::veto(status, &merged, rules);
        let odd = commit.findings.iter().chain(merged.iter().filter_map(mergetag::MergedTag::finding));
        judged.findings = odd.map(|finding| finding.code).collect();
        judged.status = status.name();
        judged.key = status.key().map(|key| text::escape_short(key.text.as_bytes(), 200));
        match &status {
            SignatureStatus::Verified(signature) => {
                // Without a principal a key would count that is nobody's: the keyring has no such key.
                judged.signer = principal.map(|one| text::escape(one.name.as_bytes()));
                judged.findings.extend(signature.findings().iter().map(|finding| finding.code));
            }
            SignatureStatus::Revoked { hard: true, .. } => {
                let seq = receipts.map(|receipts| receipts.taint_accepted(&id)).transpose()?.flatten();
                judged.status = if seq.is_some() { "tainted-accepted" } else { "tainted" };
                judged.findings.extend(seq.map(|_| "taint.accepted"));
                let note = seq.map_or_else(String::new, |seq| format!("; let stand by record {seq}"));
                judged.why = Some(format!("{}{note}", text::escape(status.to_string().as_bytes())));
            }
            _ => judged.why = Some(text::escape(status.to_string().as_bytes())),
        }
        Ok(judged)
    }
}

/// What is on record, where it can be read and knows the repository.
struct Record {
    store: Store,
    repository: RepositoryId,
}

impl Record {
    /// The record, or why there is none to go by.
    fn open(snapshot: &Snapshot, common_dir: &Path) -> Result<Record, String> {
        let repository = locate::read_id(common_dir).map_err(|fault| fault.to_string())?;
        let store = Store::open(&snapshot.config.daemon.state, Mode::ReadOnly).map_err(|e| e.to_string())?;
        if let Some(why) = store.rolled_back() {
            return Err(why);
        }
        match store.receipts(&repository) {
            Ok(Some(_)) => Ok(Record { store, repository }),
            Ok(None) => Err("the record does not know this repository".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// A commit that was read. One that is too large is proved and forgotten at once, so that a batch has a
/// bound; its size is left.
enum Read {
    Whole(ObjectId, Vec<u8>),
    TooLarge(ObjectId, usize),
}

type Batch = Vec<Read>;
type Verdicts = Result<Vec<Judged>, HistoryFault>;
/// A batch, and where its verdicts go.
type Job = (Batch, SyncSender<Verdicts>);

/// Judges every commit that a ref reaches: by its receipt where the gate has one, otherwise by the times
/// that it claims. `each` gets the verdicts in the order of the walk, newest generation first, which is
/// the same in every run. Trees are not read.
pub fn history(
    snapshot: &Snapshot,
    request: &HistoryRequest<'_>,
    each: &mut dyn FnMut(&Judged) -> std::io::Result<()>,
) -> Result<Scope, HistoryFault> {
    let repository = Repository::open(request.git_dir, None)?;
    let name = check::name(snapshot, request.repository, &repository);
    let state = repository.resolve(&request.reference)?;
    let missing = || HistoryFault::Reference(format!("{} does not exist", request.reference));
    let tip = state.value.ok_or_else(missing)?;
    let commit = peel(repository.objects(), &request.reference, tip)?;
    let record = Record::open(snapshot, repository.common_dir());
    let scope = Scope {
        repository: name,
        reference: request.reference.clone(),
        tip,
        commit,
        unrecorded: record.as_ref().err().map(|why| text::escape(why.as_bytes())),
    };
    let judge = Judge::new(snapshot, repository.format());
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let workers = if request.jobs == 0 { cores() } else { request.jobs.min(256) };
    let (jobs, queue) = mpsc::sync_channel::<Job>(workers * IN_FLIGHT);
    let (order, verdicts) = mpsc::sync_channel::<Receiver<Verdicts>>(workers * IN_FLIGHT);
    let queue = Mutex::new(queue);
    std::thread::scope(|threads| {
        let limit = judge.object_bytes;
        let walker = threads.spawn(move || walk(&repository, commit, limit, &jobs, &order));
        let crew: Vec<_> = (0..workers)
            .map(|_| {
                let (judge, queue, record) = (&judge, &queue, record.as_ref().ok());
                threads.spawn(move || work(judge, record, queue))
            })
            .collect();
        let handed_out = hand_out(verdicts, each);
        // Whoever is left has nobody to work for any more and ends by itself.
        let walked = walker.join().map_err(|_| HistoryFault::Worker);
        // Every one is waited for.
        let died = crew.into_iter().map(|worker| worker.join()).filter(Result::is_err).count();
        handed_out?;
        walked??;
        if died == 0 { Ok(()) } else { Err(HistoryFault::Worker) }
    })?;
    Ok(scope)
}

fn hand_out(
    verdicts: Receiver<Receiver<Verdicts>>,
    each: &mut dyn FnMut(&Judged) -> std::io::Result<()>,
) -> Result<(), HistoryFault> {
    for batch in verdicts {
        // A worker that died has dropped the other end.
        for judged in batch.recv().map_err(|_| HistoryFault::Worker)?? {
            each(&judged).map_err(HistoryFault::Output)?;
        }
    }
    Ok(())
}

fn work(judge: &Judge<'_>, record: Option<&Record>, queue: &Mutex<Receiver<Job>>) {
    let receipts = record.map(|record| record.store.receipts(&record.repository)).transpose();
    let receipts = receipts.map(Option::flatten);
    answer_all(queue, &|batch| {
        let receipts = receipts.as_ref().map_err(|error| HistoryFault::Store(error.clone()))?.as_ref();
        let one = |read: &Read| match read {
            Read::Whole(id, raw) => judge.judge(*id, raw, receipts),
            Read::TooLarge(id, size) => Ok(judge.too_large(*id, *size)),
        };
        batch.iter().map(one).collect()
    });
}

/// Works until nothing comes any more. A panic is a fault of the batch: a worker that died of it would leave
/// the walker waiting for somebody to take the next one.
fn answer_all(queue: &Mutex<Receiver<Job>>, verdicts: &dyn Fn(&Batch) -> Verdicts) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok((batch, answer)) = next else { return };
        let found = std::panic::catch_unwind(AssertUnwindSafe(|| verdicts(&batch)));
        // Nobody waits for it once something failed before.
        let _ = answer.send(found.unwrap_or(Err(HistoryFault::Worker)));
    }
}

/// Reads every commit once, generation by generation, and passes it on. Ends early where nobody listens.
fn walk(
    repository: &Repository,
    tip: ObjectId,
    limit: usize,
    jobs: &SyncSender<Job>,
    order: &SyncSender<Receiver<Verdicts>>,
) -> Result<(), HistoryFault> {
    let objects = repository.objects();
    let mut seen = HashSet::from([tip]);
    let mut waiting = VecDeque::from([(tip, None)]);
    let (mut batch, mut bytes) = (Batch::new(), 0);
    let pass_on = |batch: Batch| {
        let (answer, verdicts) = mpsc::sync_channel(1);
        order.send(verdicts).is_ok() && jobs.send((batch, answer)).is_ok()
    };
    while let Some((id, child)) = waiting.pop_front() {
        let mut raw = Vec::new();
        match objects.read_unchecked(&id, &mut raw)? {
            Some(ObjectKind::Commit) => {}
            Some(kind) => {
                let why = format!("it is a {} where a commit belongs", kind.name());
                return Err(GitError::Object { id, why }.into());
            }
            None => return Err(GitError::Missing { id, child }.into()),
        }
        let unreadable = || GitError::Object { id, why: "its parents cannot be read".to_owned() };
        for parent in object::parents_lenient(objects.format(), &raw).ok_or_else(unreadable)? {
            if seen.insert(parent) {
                waiting.push_back((parent, Some(id)));
            }
        }
        if raw.len() > limit {
            git::verify_commit_id(&id, &raw)?;
            batch.push(Read::TooLarge(id, raw.len()));
        } else {
            bytes += raw.len();
            batch.push(Read::Whole(id, raw));
        }
        if batch.len() >= BATCH || bytes >= BATCH_BYTES {
            bytes = 0;
            if !pass_on(std::mem::take(&mut batch)) {
                return Ok(());
            }
        }
    }
    pass_on(batch);
    Ok(())
}

/// The commit behind a ref, annotated tags followed. What the tags themselves say is not judged here.
fn peel(objects: &Objects, reference: &RefName, tip: ObjectId) -> Result<ObjectId, HistoryFault> {
    let mut buffer = Vec::new();
    let (mut id, mut child) = (tip, None);
    for _ in 0..=TAG_DEPTH {
        match objects.read(&id, &mut buffer)? {
            Some(ObjectKind::Commit) => return Ok(id),
            Some(ObjectKind::Tag) => {
                let line = buffer.split(|byte| *byte == b'\n').next().unwrap_or_default();
                let target = line.strip_prefix(b"object ").and_then(|hex| ObjectId::parse(hex).ok());
                let unreadable = || GitError::Object { id, why: "its target cannot be read".to_owned() };
                child = Some(id);
                id = target.ok_or_else(unreadable)?;
            }
            Some(kind) => {
                let text = format!("{reference} holds a {}, which has no history", kind.name());
                return Err(HistoryFault::Reference(text));
            }
            None => return Err(GitError::Missing { id, child }.into()),
        }
    }
    let text = format!("{reference} holds more than {TAG_DEPTH} annotated tags that point at each other");
    Err(HistoryFault::Reference(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn z006_a_panic_is_a_fault_and_leaves_nobody_waiting() {
        let (jobs, queue) = mpsc::sync_channel::<Job>(1);
        let queue = Mutex::new(queue);
        let id = ObjectId::from_bytes(&[1; 20]).unwrap();
        std::thread::scope(|threads| {
            threads.spawn(|| {
                answer_all(&queue, &|batch| match batch.as_slice() {
                    [] => Ok(Vec::new()),
                    _ => panic!("by a commit that nobody thought of"),
                });
            });
            let ask = |batch: Batch| {
                let (answer, verdicts) = mpsc::sync_channel(1);
                jobs.send((batch, answer)).unwrap();
                verdicts.recv().unwrap()
            };
            for _ in 0..3 {
                assert!(matches!(ask(vec![Read::TooLarge(id, 1)]), Err(HistoryFault::Worker)));
                assert!(ask(Vec::new()).is_ok());
            }
            drop(jobs);
        });
    }
}
