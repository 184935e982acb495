//! The store under hostile conditions: restored backups, deleted files, killed processes, full disks,
//! edited logs, several processes at once. Some tests start this program again as another process.

#![allow(clippy::unwrap_used, clippy::print_stderr)]

use countersign::audit::chain::{Break, Head};
use countersign::audit::{
    Coverage, Decision, Event, How, ObjectEntry, Outcome, Record, RefEntry, ServiceEntry, ViolationEntry,
};
use countersign::domain::{
    ObjectId, PushContext, Pusher, RefName, RefUpdate, RepositoryId, RepositoryRef, RequestId, Timestamp,
};
use countersign::store::{
    Accepted, CountedSignature, DecidedUpdate, Detected, ExpiryNotice, Filter, Grant, Mode, NewDelivery,
    Observed, Options, Scope, Store, StoreError,
};
use std::convert::Infallible;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

// ---- values

fn id(n: u64) -> ObjectId {
    // Spread like real ids, so that index pages are touched like in real life.
    let mut raw = [1_u8; 20];
    let mut x = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    for chunk in raw.chunks_mut(8) {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^= x >> 31;
        let bytes = x.to_be_bytes();
        let length = chunk.len();
        chunk.copy_from_slice(&bytes[..length]);
    }
    ObjectId::from_bytes(&raw).unwrap()
}

fn reference(name: &str) -> RefName {
    RefName::parse(format!("refs/heads/{name}").as_bytes()).unwrap()
}

fn request(n: u64) -> RequestId {
    RequestId::parse(&format!("{n:032x}")).unwrap()
}

fn repository() -> RepositoryId {
    RepositoryId("r1".into())
}

fn context(n: u64) -> PushContext {
    PushContext {
        request_id: request(n),
        repository: RepositoryRef { id: repository(), name: "infra/prod".into() },
        pusher: Pusher::Unknown,
        push_options: Vec::new(),
        received_at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
    }
}

fn update(name: &str, new: u64) -> DecidedUpdate {
    DecidedUpdate { reference: reference(name), old: None, new: Some(id(new)) }
}

fn grant(name: &str, ruleset: &str, scope: Scope, new: u64, introduced: &[u64]) -> Grant {
    Grant {
        reference: reference(name),
        new: Some(id(new)),
        ruleset: ruleset.into(),
        scope,
        introduced: introduced.iter().copied().map(id).collect(),
        builds_on: Vec::new(),
        signed_by: Vec::new(),
    }
}

fn record(n: u64, outcome: Outcome, updates: &[DecidedUpdate]) -> Record {
    let mut decision = Decision::new(&context(n), outcome, "config", "keyring");
    for update in updates {
        let update = RefUpdate { name: update.reference.clone(), old: update.old, new: update.new };
        decision.refs.push(RefEntry::new(&update, None, Coverage::Ruleset).judged_by("p", "enforce", 1, 0));
    }
    Record::decision(decision)
}

fn accept(store: &Store, n: u64, updates: &[DecidedUpdate], grants: &[Grant]) -> Result<u64, StoreError> {
    store.record_decision(record(n, Outcome::Accept, updates), updates.to_vec(), grants.to_vec())
}

fn elsewhere() -> RepositoryId {
    RepositoryId("r2".into())
}

/// The same a day later in another repository.
fn accept_in(
    store: &Store,
    repository: &RepositoryId,
    n: u64,
    updates: &[DecidedUpdate],
    grants: &[Grant],
) -> Result<u64, StoreError> {
    let repository = RepositoryRef { id: repository.clone(), name: "infra/fork".into() };
    let received_at = "2026-01-03T03:04:05.678Z".parse().unwrap();
    let context = PushContext { repository, received_at, ..context(n) };
    let mut decision = Decision::new(&context, Outcome::Accept, "config", "keyring");
    for update in updates {
        let update = RefUpdate { name: update.reference.clone(), old: update.old, new: update.new };
        decision.refs.push(RefEntry::new(&update, None, Coverage::Ruleset).judged_by("p", "enforce", 1, 0));
    }
    store.record_decision(Record::decision(decision), updates.to_vec(), grants.to_vec())
}

/// Accepts a plain push of one commit.
fn simple(store: &Store, n: u64) -> Result<u64, StoreError> {
    accept(store, n, &[update("main", n)], &[grant("main", "p", Scope::Shared, n, &[n])])
}

fn open(dir: &Path) -> Store {
    Store::open(dir, Mode::ReadWrite).unwrap()
}

fn ok<T>(items: impl IntoIterator<Item = T>) -> impl Iterator<Item = Result<T, Infallible>> {
    items.into_iter().map(Ok)
}

fn state() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// Opens the database behind the store's back.
fn behind(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join("state.db")).unwrap()
}

// ---- opening

#[test]
fn write_ahead_logging_is_proven() {
    let dir = state();
    let store = open(dir.path());
    simple(&store, 1).unwrap();
    let header = fs::read(dir.path().join("state.db")).unwrap();
    assert_eq!(&header[..15], b"SQLite format 3");
    assert_eq!(header[18..20], [2, 2], "file format versions: write-ahead log");
    let number =
        |name| behind(dir.path()).pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!(
        [number("application_id"), number("user_version")],
        [i64::from(u32::from_be_bytes(*b"CSGN")), 9]
    );
    let wal = fs::metadata(dir.path().join("state.db-wal")).unwrap();
    assert!(wal.len() > 0);
    for file in ["state.db", "state.db-wal", "state.db-shm", "high-water"] {
        let mode = fs::metadata(dir.path().join(file)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}");
    }
}

#[test]
fn the_directory_is_made_private() {
    let dir = state();
    let path = dir.path().join("a/state");
    drop(open(&path));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn what_others_can_write_is_refused() {
    let unsafe_now = |dir: &Path| matches!(Store::open(dir, Mode::ReadWrite), Err(StoreError::Unsafe { .. }));
    let dir = state();
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    drop(open(dir.path()));
    for mode in [0o777, 0o770, 0o702] {
        chmod(dir.path(), mode);
        assert!(unsafe_now(dir.path()), "{mode:o}");
    }
    chmod(dir.path(), 0o700);
    for file in ["state.db", "high-water"] {
        chmod(&dir.path().join(file), 0o620);
        assert!(unsafe_now(dir.path()), "{file}");
        chmod(&dir.path().join(file), 0o600);
    }
    drop(open(dir.path()));

    let elsewhere = state();
    fs::rename(dir.path().join("state.db"), elsewhere.path().join("state.db")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("state.db"), dir.path().join("state.db")).unwrap();
    assert!(unsafe_now(dir.path()), "a symbolic link");
}

#[test]
fn root_works_on_the_state_of_another_account_and_leaves_it_usable() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only root can give files away, so nothing was tried");
        return;
    }
    const OWNER: u32 = 54_321;
    let dir = state();
    let path = dir.path().join("state");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&path, Some(OWNER), Some(OWNER)).unwrap();
    // A copy of this program that other accounts can start.
    let program = dir.path().join("program");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let appends = |uid: u32, first| {
        let mut command = Command::new(&program);
        appending(&mut command, &path, first, 4);
        let output = command.current_dir("/").uid(uid).gid(uid).output().unwrap();
        let lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        numbers(&lines, "acked").len()
    };
    let all_owned = || {
        let files: Vec<_> = fs::read_dir(&path).unwrap().map(Result::unwrap).collect();
        assert!(files.len() >= 2, "{files:?}");
        for file in files {
            let metadata = file.metadata().unwrap();
            let seen = (metadata.uid(), metadata.gid(), metadata.mode() & 0o777);
            assert_eq!(seen, (OWNER, OWNER, 0o600), "{file:?}");
        }
    };

    // Root makes everything, and the account goes on with it.
    let store = open(&path);
    simple(&store, 1).unwrap();
    all_owned();
    assert_eq!(appends(OWNER, 10), 4, "beside root");
    drop(store);
    assert_eq!(appends(OWNER, 20), 4, "after root");
    // Root reads and adopts what the account made.
    let reader = Store::open(&path, Mode::ReadOnly).unwrap();
    assert_eq!(reader.verify_log(None).unwrap().records, 9);
    all_owned();
    drop(reader);
    let store = open(&path);
    store.adopt(&repository(), "n", "p", &[], &mut ok([]), "root").unwrap();
    all_owned();
    drop(store);
    assert_eq!(appends(OWNER, 30), 4);
    // A mark that root has to make anew is the account's, too.
    fs::remove_file(path.join("high-water")).unwrap();
    let store = open(&path);
    store.adopt_rollback("root").unwrap().unwrap();
    all_owned();
    drop(store);
    assert_eq!(appends(OWNER, 40), 4);

    // A third account gets nowhere, whatever the mode of the directory lets it see.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(appends(OWNER + 1, 50), 0);
    // What the account could put there to have root write elsewhere is refused.
    let unsafe_now = || matches!(Store::open(&path, Mode::ReadWrite), Err(StoreError::Unsafe { .. }));
    let elsewhere = dir.path().join("elsewhere");
    for file in ["state.db", "high-water"] {
        std::os::unix::fs::chown(path.join(file), Some(0), Some(0)).unwrap();
        assert!(unsafe_now(), "{file}, maybe a second name of somebody else's");
        std::os::unix::fs::chown(path.join(file), Some(OWNER), Some(OWNER)).unwrap();
        fs::rename(path.join(file), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, path.join(file)).unwrap();
        assert!(Store::open(&path, Mode::ReadWrite).is_err(), "{file} as a link");
        fs::rename(&elsewhere, path.join(file)).unwrap();
    }
    assert_eq!(open(&path).verify_log(None).unwrap().broken, None);
}

#[test]
fn other_schemas_and_other_databases_are_refused() {
    let dir = state();
    drop(open(dir.path()));
    behind(dir.path()).pragma_update(None, "user_version", 9_999).unwrap();
    for mode in [Mode::ReadWrite, Mode::ReadOnly] {
        let error = Store::open(dir.path(), mode).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 9_999, .. }), "{error}");
    }
    let other = state();
    behind(other.path()).execute_batch("create table t (x)").unwrap();
    fs::set_permissions(other.path().join("state.db"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(Store::open(other.path(), Mode::ReadWrite), Err(StoreError::NotOurs { .. })));
    let noise = state();
    fs::write(noise.path().join("state.db"), vec![7; 8_192]).unwrap();
    fs::set_permissions(noise.path().join("state.db"), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(Store::open(noise.path(), Mode::ReadWrite).is_err());
}

#[test]
fn reading_makes_nothing_and_writes_nothing() {
    let dir = state();
    assert!(matches!(Store::open(&dir.path().join("no"), Mode::ReadOnly), Err(StoreError::Missing(_))));
    assert!(matches!(Store::open(dir.path(), Mode::ReadOnly), Err(StoreError::Missing(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    let writer = open(dir.path());
    simple(&writer, 1).unwrap();
    let reader = Store::open(dir.path(), Mode::ReadOnly).unwrap();
    assert!(matches!(simple(&reader, 2), Err(StoreError::ReadOnly)));
    let adopt = reader.adopt(&repository(), "n", "p", &[], &mut ok([]), "me");
    assert!(matches!(adopt, Err(StoreError::ReadOnly)));
    assert_eq!(reader.pending(&repository()).unwrap().len(), 1);
    assert_eq!(reader.rolled_back(), None);
    assert_eq!(reader.verify_log(None).unwrap().records, 1);
}

// ---- rollback

#[test]
fn n27_a_restored_backup_is_detected_until_adopted() {
    let dir = state();
    let backup = state();
    let database = dir.path().join("state.db");
    {
        let store = open(dir.path());
        simple(&store, 1).unwrap();
    }
    fs::copy(&database, backup.path().join("old")).unwrap();
    {
        let store = open(dir.path());
        simple(&store, 2).unwrap();
        simple(&store, 3).unwrap();
    }
    fs::copy(backup.path().join("old"), &database).unwrap();

    let store = open(dir.path());
    assert!(store.rolled_back().unwrap().contains("ends at record 1"), "{:?}", store.rolled_back());
    assert!(matches!(simple(&store, 4), Err(StoreError::RolledBack(_))));
    let refused = store.record_decision(record(5, Outcome::Refuse, &[]), vec![], vec![]);
    assert!(matches!(refused, Err(StoreError::RolledBack(_))));
    let applied = store.mark_applied(&repository(), &[(request(1), reference("main"))], How::Seen);
    assert!(matches!(applied, Err(StoreError::RolledBack(_))));
    let adopted = store.adopt(&repository(), "n", "p", &[], &mut ok([]), "me");
    assert!(matches!(adopted, Err(StoreError::RolledBack(_))));
    // Undecided ones are recorded, past the old end, and it still counts as rolled back.
    for n in 6..10 {
        store.record_decision(record(n, Outcome::Undecided, &[]), vec![], vec![]).unwrap();
    }
    drop(store);
    let store = open(dir.path());
    assert!(store.rolled_back().unwrap().contains("not the one that was written"));

    // Another process recovers it, and this one notices by itself.
    let other = open(dir.path());
    assert_eq!(other.adopt_rollback("root\n").unwrap(), Some(6));
    assert_eq!(other.adopt_rollback("root").unwrap(), None);
    simple(&store, 11).unwrap();
    assert_eq!(store.rolled_back(), None);
    let recovered = store.log(Filter::default()).unwrap().nth(5).unwrap().unwrap().record().unwrap();
    match recovered.event {
        Event::Recovered(entry) => {
            assert_eq!((entry.who.as_str(), entry.known_seq), ("root\\n", Some(3)));
        }
        other => panic!("{other:?}"),
    }
    drop((store, other));
    assert_eq!(open(dir.path()).rolled_back(), None);
    assert_eq!(open(dir.path()).verify_log(None).unwrap().broken, None);
}

#[test]
fn n27_a_lost_database_or_mark_is_detected() {
    let dir = state();
    drop(open(dir.path()));
    fs::remove_file(dir.path().join("state.db")).unwrap();
    let store = open(dir.path());
    assert_eq!(store.rolled_back(), None, "nothing was ever recorded, so nothing was lost");
    simple(&store, 1).unwrap();
    drop(store);

    fs::remove_file(dir.path().join("state.db")).unwrap();
    assert!(matches!(Store::open(dir.path(), Mode::ReadOnly), Err(StoreError::Missing(_))));
    for _ in 0..2 {
        let store = open(dir.path());
        assert!(store.rolled_back().unwrap().contains("lost or exchanged"));
        assert!(simple(&store, 2).is_err());
        assert!(!store.frontier(&repository()).unwrap().has_record("p").unwrap());
    }
    open(dir.path()).adopt_rollback("root").unwrap().unwrap();
    simple(&open(dir.path()), 3).unwrap();

    fs::write(dir.path().join("high-water"), "nonsense").unwrap();
    assert!(open(dir.path()).rolled_back().unwrap().contains("unreadable"));
    fs::remove_file(dir.path().join("high-water")).unwrap();
    let store = open(dir.path());
    assert!(store.rolled_back().unwrap().contains("missing"));
    store.adopt_rollback("root").unwrap().unwrap();
    drop(store);
    assert_eq!(open(dir.path()).rolled_back(), None);
}

#[test]
fn n27_another_database_is_detected() {
    let (dir, other) = (state(), state());
    for n in 1..5 {
        simple(&open(dir.path()), n).unwrap();
        simple(&open(other.path()), n).unwrap();
    }
    fs::copy(other.path().join("state.db"), dir.path().join("state.db")).unwrap();
    assert!(open(dir.path()).rolled_back().is_some());
}

#[test]
fn a_database_deleted_while_in_use_takes_no_records() {
    let dir = state();
    let store = open(dir.path());
    simple(&store, 1).unwrap();
    fs::remove_file(dir.path().join("state.db")).unwrap();
    assert!(matches!(simple(&store, 2), Err(StoreError::Replaced(_))));
    assert!(store.check_writable().is_err());
}

// ---- the chain

#[test]
fn tampering_with_the_log_is_found() {
    let tamper = |sql: &str| {
        let dir = state();
        {
            let store = open(dir.path());
            for n in 1..=6 {
                simple(&store, n).unwrap();
            }
            assert_eq!(store.verify_log(None).unwrap().broken, None);
        }
        behind(dir.path()).execute_batch(sql).unwrap();
        open(dir.path()).verify_log(None).unwrap().broken
    };
    let changed = "update audit_log set record = replace(record, 'accept', 'refuse') where seq = 3";
    assert_eq!(tamper(changed), Some(Break::Changed { seq: 3 }));
    let removed = tamper("delete from audit_log where seq = 3");
    assert_eq!(removed, Some(Break::Removed { seq: 3, found: 4 }));
    let renumbered = "delete from audit_log where seq = 3;
        update audit_log set seq = seq - 1 where seq > 3";
    assert_eq!(tamper(renumbered), Some(Break::Changed { seq: 3 }));
    let swapped = "update audit_log set seq = 99 where seq = 3; update audit_log set seq = 3 where seq = 4;
        update audit_log set seq = 4 where seq = 99";
    assert_eq!(tamper(swapped), Some(Break::Changed { seq: 3 }));
    let cut = tamper("delete from audit_log where seq > 4");
    assert_eq!(cut, Some(Break::Truncated { seq: 5, known: 6 }), "known from the high-water mark");
    for hidden in ["outcome = 'refuse'", "repository = 'x'", "at_ms = 0", "request_id = null", "kind = ''"] {
        let hidden = tamper(&format!("update audit_log set {hidden} where seq = 2"));
        assert_eq!(hidden, Some(Break::Changed { seq: 2 }));
    }
    assert_eq!(tamper("update audit_log set hash = x'00' where seq = 2"), Some(Break::Changed { seq: 2 }));
}

#[test]
fn a_head_kept_elsewhere_finds_a_log_that_was_written_anew() {
    let dir = state();
    let store = open(dir.path());
    for n in 1..=3 {
        simple(&store, n).unwrap();
    }
    let head = store.head().unwrap();
    assert_eq!(head.seq, 3);
    let forged = Head { hash: countersign::audit::chain::Hash([1; 32]), ..head };
    assert_eq!(store.verify_log(Some(head)).unwrap().broken, None);
    assert_eq!(store.verify_log(Some(forged)).unwrap().broken, Some(Break::Forked { seq: 3 }));
    let ahead = Head { seq: 9, ..head };
    assert_eq!(store.verify_log(Some(ahead)).unwrap().broken, Some(Break::Truncated { seq: 4, known: 9 }));
}

#[test]
fn the_log_can_be_filtered() {
    let dir = state();
    let store = open(dir.path());
    store
        .append(Record::new(Timestamp::now(), Event::Start(ServiceEntry::new(Some("c"), Some("k"), None))))
        .unwrap();
    for n in 1..=600 {
        let name = if n % 100 == 0 { "rare" } else { "main" };
        accept(&store, n, &[update(name, n)], &[]).unwrap();
    }
    store.record_decision(record(601, Outcome::Refuse, &[update("rare", 1)]), vec![], vec![]).unwrap();
    let seqs =
        |filter: Filter| -> Vec<u64> { store.log(filter).unwrap().map(|entry| entry.unwrap().seq).collect() };
    assert_eq!(seqs(Filter::default()), (1..=602).collect::<Vec<_>>());
    let reverse = Filter { reverse: true, limit: Some(3), ..Filter::default() };
    assert_eq!(seqs(reverse), [602, 601, 600]);
    let rare = Filter { reference: Some(reference("rare")), ..Filter::default() };
    assert_eq!(seqs(rare.clone()), [101, 201, 301, 401, 501, 601, 602]);
    let page = Filter { reverse: true, beyond: Some(500), limit: Some(2), ..rare.clone() };
    assert_eq!(seqs(page), [401, 301]);
    assert_eq!(seqs(Filter { outcome: Some(Outcome::Refuse), ..rare }), [602]);
    assert_eq!(seqs(Filter { request_id: Some(request(7)), ..Filter::default() }), [8]);
    let elsewhere = Filter { repository: Some(RepositoryId("x".into())), ..Filter::default() };
    assert!(seqs(elsewhere).is_empty());
    let at = context(1).received_at;
    let then = Filter { since: Some(at), until: Some(at), ..Filter::default() };
    assert_eq!(seqs(then).len(), 601);
    let decision = record(1, Outcome::Accept, &[]);
    assert!(matches!(store.append(decision), Err(StoreError::Invalid(_))));
}

// ---- decided and applied

#[test]
fn n10_granted_commits_count_once_applied() {
    let dir = state();
    let store = open(dir.path());
    let updates = [update("main", 3), update("free", 9)];
    accept(&store, 1, &updates, &[grant("main", "p", Scope::Shared, 3, &[1, 2, 3])]).unwrap();
    let accepted = |commit| store.is_accepted(&repository(), "p", &reference("other"), &id(commit)).unwrap();
    assert!(!accepted(1) && !accepted(3));
    assert!(!store.frontier(&repository()).unwrap().has_record("p").unwrap());
    assert_eq!(store.judged_tip(&repository(), &reference("main")).unwrap(), None);
    let pending = store.pending(&repository()).unwrap();
    assert_eq!(pending.len(), 2);
    assert_eq!((pending[0].request_id.clone(), pending[0].new), (request(1), Some(id(3))));

    let before = store.frontier(&repository()).unwrap();
    assert!(!before.has_record("p").unwrap());
    let both = [(request(1), reference("main")), (request(1), reference("free"))];
    assert_eq!(store.mark_applied(&repository(), &both, How::PostReceive).unwrap(), 2);
    assert!(accepted(1) && accepted(2) && accepted(3) && !accepted(9));
    assert!(!before.is_accepted("p", &reference("main"), &id(1)).unwrap(), "a reader sees one state");
    let frontier = store.frontier(&repository()).unwrap();
    assert!(frontier.has_record("p").unwrap());
    assert!(!frontier.has_record("q").unwrap());
    assert!(!frontier.is_accepted("q", &reference("main"), &id(1)).unwrap(), "another ruleset");
    let stranger = store.frontier(&RepositoryId("r2".into())).unwrap();
    assert!(!stranger.is_accepted("p", &reference("main"), &id(1)).unwrap());
    assert_eq!(store.judged_tip(&repository(), &reference("free")).unwrap(), Some(Some(id(9))));
    assert!(store.pending(&repository()).unwrap().is_empty());

    let head = store.head().unwrap();
    assert_eq!(store.mark_applied(&repository(), &both, How::Seen).unwrap(), 0);
    assert_eq!(store.head().unwrap(), head, "repeating it writes nothing");
    let unknown = [(request(77), reference("main")), (request(1), reference("never"))];
    assert_eq!(store.mark_applied(&repository(), &unknown, How::Seen).unwrap(), 0);
    assert_eq!(store.mark_applied(&RepositoryId("r2".into()), &both, How::Seen).unwrap(), 0);
    let last = store.log(Filter { reverse: true, ..Filter::default() }).unwrap().next().unwrap().unwrap();
    match last.record().unwrap().event {
        Event::Applied(entry) => {
            assert_eq!((entry.refs.len(), entry.repository.name.as_str()), (2, "infra/prod"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn n10_an_applied_update_supersedes_older_ones_of_its_ref() {
    let dir = state();
    let store = open(dir.path());
    for n in 1..=3 {
        let updates = [update("main", n), update("side", 10 + n)];
        accept(&store, n, &updates, &[grant("main", "p", Scope::Shared, n, &[n])]).unwrap();
    }
    let newest: Vec<_> = store.pending(&repository()).unwrap().iter().map(|p| p.request_id.clone()).collect();
    assert_eq!(newest, [request(3), request(3), request(2), request(2), request(1), request(1)]);
    store.mark_applied(&repository(), &[(request(2), reference("main"))], How::Seen).unwrap();
    let left: Vec<_> = store
        .pending(&repository())
        .unwrap()
        .into_iter()
        .filter(|p| p.reference == reference("main"))
        .map(|p| p.request_id)
        .collect();
    assert_eq!(left, [request(3)], "newer ones may still come");
    assert_eq!(store.pending(&repository()).unwrap().len(), 4, "other refs are their own matter");
    store.mark_applied(&repository(), &[(request(1), reference("main"))], How::PostReceive).unwrap();
    let accepted = |n| store.is_accepted(&repository(), "p", &reference("main"), &id(n)).unwrap();
    assert!(accepted(2) && !accepted(1) && !accepted(3), "superseded, so never accepted");
    assert_eq!(store.judged_tip(&repository(), &reference("main")).unwrap(), Some(Some(id(2))));

    let late: Timestamp = "2026-01-03T03:04:06Z".parse().unwrap();
    assert_eq!(store.drop_stale(late, Duration::from_secs(200_000)).unwrap(), 0);
    assert_eq!(store.drop_stale(late, Duration::from_secs(86_400)).unwrap(), 4);
    assert!(store.pending(&repository()).unwrap().is_empty());
    let left: i64 = behind(dir.path())
        .query_row(
            "select (select count(*) from pending_grants) + (select count(*) from pending_lists)",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(left, 0, "nothing is left behind");
}

#[test]
fn n08_own_ref_grants_count_for_their_ref_only() {
    let dir = state();
    let store = open(dir.path());
    let updates = [update("a", 2), update("b", 2)];
    accept(&store, 1, &updates, &[grant("a", "p", Scope::OwnRef, 2, &[1, 2])]).unwrap();
    store.mark_applied(&repository(), &[(request(1), reference("a"))], How::Seen).unwrap();
    let scope =
        |name: &str| store.frontier(&repository()).unwrap().scope_of("p", &reference(name), &id(1)).unwrap();
    assert_eq!(scope("a"), Some(Scope::OwnRef));
    assert_eq!(scope("b"), None);
    assert_eq!(scope("never-seen"), None);
    // The same commits through another ref without a waiver: now they count everywhere.
    accept(&store, 2, &[update("b", 2)], &[grant("b", "p", Scope::Shared, 2, &[1, 2])]).unwrap();
    store.mark_applied(&repository(), &[(request(2), reference("b"))], How::Seen).unwrap();
    assert_eq!(scope("a"), Some(Scope::Shared));
    assert_eq!(scope("c"), Some(Scope::Shared));
    // A later waiver does not narrow what was accepted without one.
    accept(&store, 3, &[update("b", 2)], &[grant("b", "p", Scope::OwnRef, 2, &[1, 2])]).unwrap();
    store.mark_applied(&repository(), &[(request(3), reference("b"))], How::Seen).unwrap();
    assert_eq!(scope("c"), Some(Scope::Shared));
}

#[test]
fn deletions_and_empty_grants_are_on_record() {
    let dir = state();
    let store = open(dir.path());
    let gone = DecidedUpdate { reference: reference("main"), old: Some(id(1)), new: None };
    let grant = Grant {
        reference: reference("main"),
        new: None,
        ruleset: "p".into(),
        scope: Scope::Shared,
        introduced: vec![],
        builds_on: Vec::new(),
        signed_by: Vec::new(),
    };
    accept(&store, 1, std::slice::from_ref(&gone), &[grant]).unwrap();
    store.mark_applied(&repository(), &[(request(1), reference("main"))], How::Seen).unwrap();
    assert_eq!(store.judged_tip(&repository(), &reference("main")).unwrap(), Some(None));
    assert_eq!(store.judged_tips(&repository()).unwrap(), [(reference("main"), None)]);
    assert!(store.frontier(&repository()).unwrap().has_record("p").unwrap());
}

#[test]
fn contradictions_are_errors_and_leave_nothing() {
    let dir = state();
    let store = open(dir.path());
    let one = [update("main", 1)];
    let invalid = [
        accept(&store, 1, &one, &[grant("other", "p", Scope::Shared, 1, &[1])]),
        accept(&store, 1, &one, &[grant("main", "p", Scope::Shared, 2, &[1])]),
        accept(&store, 1, &[update("main", 1), update("main", 2)], &[]),
        store.record_decision(record(1, Outcome::Refuse, &one), one.to_vec(), vec![]),
        store.record_decision(
            Record::new(Timestamp::now(), Event::Stop(ServiceEntry::new(None, None, None))),
            vec![],
            vec![],
        ),
    ];
    for result in invalid {
        assert!(matches!(result, Err(StoreError::Invalid(_))), "{result:?}");
    }
    let twice = grant("main", "p", Scope::Shared, 1, &[1]);
    assert!(accept(&store, 1, &one, &[twice.clone(), twice]).is_err(), "found by the database");
    let mut raw = Decision::new(&context(1), Outcome::Accept, "c", "k");
    raw.commits.push(ObjectEntry::new(&id(1), "\x1b]0;x"));
    let raw = store.record_decision(Record::decision(raw), one.to_vec(), vec![]);
    assert!(matches!(raw, Err(StoreError::Record(_))));
    assert_eq!(store.head().unwrap(), Head::EMPTY);
    assert!(store.pending(&repository()).unwrap().is_empty());
}

// ---- adoption

#[test]
fn n09_adopting_is_all_or_nothing_and_audited() {
    let dir = state();
    let store = open(dir.path());
    let tips = [(reference("main"), id(50)), (reference("dev"), id(99))];
    #[derive(Debug, thiserror::Error)]
    #[error("object missing")]
    struct Missing;
    let mut broken = (0..50).map(|n| Ok(id(n))).chain([Err(Missing)]);
    let failed = store.adopt(&repository(), "infra/prod", "p", &tips, &mut broken, "alice");
    assert!(matches!(failed, Err(StoreError::Commits(_))));
    assert_eq!(store.head().unwrap(), Head::EMPTY);

    // An own-ref commit becomes shared by adoption.
    accept(&store, 1, &[update("a", 7)], &[grant("a", "p", Scope::OwnRef, 7, &[7])]).unwrap();
    store.mark_applied(&repository(), &[(request(1), reference("a"))], How::Seen).unwrap();

    let twice = (0..100).chain(0..100).map(id);
    let count = store.adopt(&repository(), "infra/prod", "p", &tips, &mut ok(twice), "alice\x1b").unwrap();
    assert_eq!(count, 100);
    let frontier = store.frontier(&repository()).unwrap();
    for n in 0..100 {
        let scope = frontier.scope_of("p", &reference("anything"), &id(n)).unwrap();
        assert_eq!(scope, Some(Scope::Shared), "{n}");
    }
    assert!(!frontier.is_accepted("p", &reference("main"), &id(100)).unwrap());
    assert!(!frontier.is_accepted("q", &reference("main"), &id(1)).unwrap());
    let bases = store.bases(&repository()).unwrap();
    assert_eq!(bases.len(), 1);
    assert_eq!(bases[0].tips, [(reference("dev"), id(99)), (reference("main"), id(50))]);
    assert_eq!((bases[0].commits, bases[0].who.as_str()), (100, "alice\\x1b"));
    assert_eq!(store.judged_tip(&repository(), &reference("main")).unwrap(), Some(Some(id(50))));

    let none = store.adopt(&repository(), "infra/prod", "empty", &[], &mut ok([]), "alice").unwrap();
    assert_eq!(none, 0);
    assert!(store.frontier(&repository()).unwrap().has_record("empty").unwrap(), "an empty base counts");
    assert_eq!(store.verify_log(None).unwrap().broken, None);
    let conflicting = [(reference("main"), id(1)), (reference("main"), id(2))];
    let conflicting = store.adopt(&repository(), "n", "p", &conflicting, &mut ok([]), "alice");
    assert!(matches!(conflicting, Err(StoreError::Invalid(_))));
}

// ---- repositories

#[test]
fn n03_repositories_are_told_apart() {
    let dir = state();
    let store = open(dir.path());
    let see =
        |name: &str, device, inode| store.observe_repository(&repository(), name, device, inode).unwrap();
    simple(&store, 1).unwrap();
    assert_eq!(see("infra/prod", 1, u64::MAX), Observed::New, "recorded before, never placed");
    assert_eq!(see("infra/prod", 1, u64::MAX), Observed::Same);
    assert_eq!(see("infra/live", 1, u64::MAX), Observed::Renamed { from: "infra/prod".into() });
    let conflict = Observed::Conflict { other_name: "infra/live".into() };
    assert_eq!(see("copy", 1, 6), conflict);
    assert_eq!(see("infra/live", 2, u64::MAX), conflict);
    assert_eq!(see("infra/live", 1, u64::MAX), Observed::Same, "a conflict changes nothing");
    store.replace_repository_location(&repository(), "copy", 1, 6).unwrap();
    assert_eq!(see("copy", 1, 6), Observed::Same);
    let known = store.repositories().unwrap();
    assert_eq!((known.len(), known[0].location), (1, Some((1, 6))));
    let jobs = store.stats().jobs;
    see("copy", 1, 6);
    assert_eq!(store.stats().jobs, jobs, "nothing new, nothing written");
}

// ---- limits

#[test]
fn n26_noise_is_bounded_and_accepts_are_not() {
    let dir = state();
    let options = Options { full_records_per_minute: 2, record_bytes: 8 << 10, ..Options::default() };
    let store = Store::open_with(dir.path(), Mode::ReadWrite, options).unwrap();
    let noisy = |n, outcome| {
        let mut record = record(n, outcome, &[update("main", 1)]);
        if let Event::Decision(decision) = &mut record.event {
            for commit in 0..1_000 {
                decision.violations.push(
                    ViolationEntry::new("unsigned-commit", "nothing", "a signature", &["p".into()])
                        .on_commit(&id(commit)),
                );
            }
        }
        store.record_decision(record, vec![], vec![]).unwrap()
    };
    for n in 1..=5 {
        noisy(n, if n % 2 == 0 { Outcome::Refuse } else { Outcome::Undecided });
    }
    let lines: Vec<_> = store.log(Filter::default()).unwrap().map(Result::unwrap).collect();
    assert!(lines[0].json.len() <= 8 << 10 && lines[0].json.len() > 4 << 10, "{}", lines[0].json.len());
    assert!(lines[4].json.len() < 600, "{}", lines[4].json.len());
    let compact = lines[4].record().unwrap();
    let compact = compact.as_decision().unwrap();
    assert_eq!(
        (compact.over_budget, compact.truncated.violations, compact.truncated.refs),
        (Some(3), 1_000, 1)
    );
    accept(&store, 9, &[update("main", 1)], &[]).unwrap();
    let last = store.log(Filter { reverse: true, ..Filter::default() }).unwrap().next().unwrap().unwrap();
    assert_eq!(last.record().unwrap().as_decision().unwrap().refs.len(), 1);

    let head = store.head().unwrap();
    (0..100).for_each(|n| store.note_unauthenticated("bad-delivery", format!("n{n}\x1b").as_bytes()));
    let counters = store.unauthenticated();
    assert_eq!((counters[0].count, counters[0].samples.len()), (100, 16));
    assert_eq!(counters[0].samples[15], "n99\\x1b");
    assert_eq!(store.head().unwrap(), head);
}

#[test]
fn n26_a_pusher_has_one_budget_for_all_repositories() {
    let dir = state();
    let options = Options { full_records_per_minute: 2, ..Options::default() };
    let store = Store::open_with(dir.path(), Mode::ReadWrite, options).unwrap();
    for n in 1..=4 {
        let mut context = context(n);
        context.repository.id = RepositoryId(format!("{n:032x}"));
        context.pusher = Pusher::Known {
            name: "mallory".into(),
            source: "REMOTE_USER",
            principal: None,
            proof: countersign::domain::Proof::Server,
            details: Default::default(),
        };
        let refused = Decision::new(&context, Outcome::Refuse, "config", "keyring");
        store.record_decision(Record::decision(refused), vec![], vec![]).unwrap();
    }
    let over = store
        .log(Filter::default())
        .unwrap()
        .map(|line| line.unwrap().record().unwrap().as_decision().unwrap().over_budget);
    assert_eq!(over.collect::<Vec<_>>(), [None, None, Some(1), Some(2)]);
}

#[test]
fn a_full_disk_lets_nothing_in() {
    let dir = state();
    simple(&open(dir.path()), 1).unwrap();
    let reserve = Options { reserve_bytes: u64::MAX, ..Options::default() };
    let store = Store::open_with(dir.path(), Mode::ReadWrite, reserve).unwrap();
    assert!(matches!(simple(&store, 2), Err(StoreError::Full(_))));
    drop(store);

    let quota = Options { max_database_pages: Some(60), ..Options::default() };
    let store = Store::open_with(dir.path(), Mode::ReadWrite, quota).unwrap();
    let failed = (2..10_000).find_map(|n| simple(&store, n).err().map(|e| (n, e)));
    let (at, error) = failed.unwrap();
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    assert!(simple(&store, at + 1).is_err());
    assert_eq!(store.verify_log(None).unwrap().records, at - 1, "all acknowledged ones and no other");
    assert_eq!(store.verify_log(None).unwrap().broken, None);
    assert!(store.pending(&repository()).unwrap().iter().all(|p| p.request_id != request(at)));
    drop(store);
    simple(&open(dir.path()), at).unwrap();
}

#[test]
fn one_failing_job_does_not_sink_the_others() {
    let dir = state();
    let store = open(dir.path());
    let good = 40;
    thread::scope(|scope| {
        for n in 1..=good {
            let store = &store;
            scope.spawn(move || simple(store, n).unwrap());
            scope.spawn(move || {
                // The same grant twice breaks a key in the middle of the job, after its log line.
                let twice = grant("main", "p", Scope::Shared, n, &[n]);
                assert!(accept(store, 1_000 + n, &[update("main", n)], &[twice.clone(), twice]).is_err());
            });
        }
    });
    let report = store.verify_log(None).unwrap();
    assert_eq!((report.records, report.broken), (good, None));
    assert_eq!(store.pending(&repository()).unwrap().len() as u64, good);
}

// ---- several processes

/// Not a test by itself: what the tests below start as another process. Appends with several threads
/// and prints each request that was acknowledged.
#[test]
fn child_appends() {
    let Ok(dir) = env::var("STORE_TEST_CHILD") else { return };
    let first: u64 = env::var("STORE_TEST_FIRST").unwrap().parse().unwrap();
    let count: u64 = env::var("STORE_TEST_COUNT").unwrap().parse().unwrap();
    let store = open(Path::new(&dir));
    thread::scope(|scope| {
        for lane in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in (first + lane..first + count).step_by(4) {
                    let line = match simple(store, n) {
                        Ok(_) => format!("\nacked {n}\n"),
                        Err(error) => format!("\nfailed {n} {error}\n"),
                    };
                    // Not `println`, which the test harness captures.
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

fn child(dir: &Path, first: u64, count: u64, wrapper: Option<&str>) -> Child {
    let me = env::current_exe().unwrap();
    let mut command = match wrapper {
        None => Command::new(&me),
        Some(script) => {
            let mut shell = Command::new("sh");
            shell.args(["-c", &format!("{script}; exec \"$0\" \"$@\"")]).arg(&me);
            shell
        }
    };
    appending(&mut command, dir, first, count);
    command.spawn().unwrap()
}

/// Makes a start of this program one that appends.
fn appending(command: &mut Command, dir: &Path, first: u64, count: u64) {
    command
        .args(["--exact", "child_appends", "--nocapture", "--test-threads=1"])
        .env("STORE_TEST_CHILD", dir)
        .env("STORE_TEST_FIRST", first.to_string())
        .env("STORE_TEST_COUNT", count.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
}

/// The numbers in lines that start with `word`. A line cut off by a kill is not one.
fn numbers(lines: &[String], word: &str) -> Vec<u64> {
    let number = |line: &String| line.strip_prefix(word)?.split(' ').nth(1)?.parse().ok();
    lines.iter().filter_map(number).collect()
}

fn recorded(store: &Store) -> Vec<u64> {
    let n = |json: String| {
        let record = Record::parse(&json).unwrap();
        u64::from_str_radix(&record.as_decision().unwrap().request_id, 16).unwrap()
    };
    let mut all: Vec<u64> =
        store.log(Filter::default()).unwrap().map(|entry| n(entry.unwrap().json)).collect();
    all.sort_unstable();
    all
}

#[test]
fn processes_that_append_at_the_same_time_keep_one_chain() {
    let dir = state();
    // All start on an empty directory, so that making the state is contended too.
    let children: Vec<_> = (0..3).map(|n| child(dir.path(), 1 + n * 120, 120, None)).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = text.lines().map(str::to_owned).collect();
        assert_eq!(numbers(&lines, "acked").len(), 120, "{text}");
    }
    let store = open(dir.path());
    assert_eq!(store.rolled_back(), None);
    let report = store.verify_log(None).unwrap();
    assert_eq!((report.records, report.broken), (360, None));
    assert_eq!(recorded(&store), (1..=360).collect::<Vec<_>>());
    assert_eq!(store.pending(&repository()).unwrap().len(), 360);
}

#[test]
fn stores_in_one_process_keep_one_chain() {
    let dir = state();
    thread::scope(|scope| {
        for lane in 0..4 {
            let dir = dir.path();
            scope.spawn(move || {
                for n in 0..25 {
                    let store = open(dir);
                    assert_eq!(store.rolled_back(), None, "no false alarm");
                    simple(&store, 1 + lane * 25 + n).unwrap();
                }
            });
        }
    });
    let report = open(dir.path()).verify_log(None).unwrap();
    assert_eq!((report.records, report.broken), (100, None));
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    for round in 0..4 {
        let dir = state();
        let mut child = child(dir.path(), 1, 1_000_000, None);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        while numbers(&lines, "acked").len() < 40 + round * 37 {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "{lines:?}");
            lines.push(line.trim_end().to_owned());
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.extend(output.split(b'\n').map(|line| String::from_utf8_lossy(&line.unwrap()).into_owned()));
        // A number whose last digits were cut off would be another number.
        lines.pop();
        let store = open(dir.path());
        assert_eq!(store.rolled_back(), None, "a crash is no rollback");
        let report = store.verify_log(None).unwrap();
        assert_eq!(report.broken, None);
        let present = recorded(&store);
        let acked = numbers(&lines, "acked");
        for n in &acked {
            assert!(present.binary_search(n).is_ok(), "{n} was acknowledged and is gone");
        }
        assert!(report.records >= acked.len() as u64);
        // Each was decided in one piece: the record, its pending update and the grant.
        assert_eq!(store.pending(&repository()).unwrap().len(), present.len());
        simple(&store, 5_000_000).unwrap();
    }
}

/// Not a test by itself: takes deliveries with several threads, and prints each that is promised.
#[test]
fn child_takes_deliveries() {
    let Ok(dir) = env::var("STORE_TEST_QUEUE") else { return };
    let store = open(Path::new(&dir));
    thread::scope(|scope| {
        for lane in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in (lane..1_000_000_u64).step_by(4) {
                    let number = match store.accept_delivery(delivery(n)) {
                        Ok(Accepted::Queued(number) | Accepted::Duplicate(number)) => number,
                        other => panic!("{other:?}"),
                    };
                    let line = format!("\nacked {n} {number}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

fn delivery(n: u64) -> NewDelivery {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&n.to_be_bytes());
    NewDelivery {
        source: "forge".into(),
        id: Some(format!("id-{n}")),
        id_signed: false,
        digest,
        repository: repository(),
        event: format!("event {n}"),
        received: told(),
    }
}

#[test]
fn a_killed_process_loses_no_delivery_that_it_promised_and_doubles_none() {
    let dir = state();
    let mut promised = std::collections::BTreeMap::new();
    // The same deliveries again after each kill, as a forge that retries would send them, and by two at a time.
    for round in 0..4 {
        let start = || {
            let mut command = Command::new(env::current_exe().unwrap());
            command
                .args(["--exact", "child_takes_deliveries", "--nocapture", "--test-threads=1"])
                .env("STORE_TEST_QUEUE", dir.path())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            command.spawn().unwrap()
        };
        let (mut child, mut other) = (start(), start());
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = Vec::new();
        while numbers(&lines, "acked").len() < 60 + round * 90 {
            let mut line = String::new();
            assert!(output.read_line(&mut line).unwrap() > 0, "{lines:?}");
            lines.push(line.trim_end().to_owned());
        }
        child.kill().unwrap();
        other.kill().unwrap();
        child.wait().unwrap();
        other.wait().unwrap();
        for line in &lines {
            let Some(rest) = line.strip_prefix("acked ") else { continue };
            let (n, number) = rest.split_once(' ').unwrap();
            let (n, number): (u64, u64) = (n.parse().unwrap(), number.parse().unwrap());
            assert_eq!(*promised.entry(n).or_insert(number), number, "one number for one delivery");
        }
        let store = open(dir.path());
        assert_eq!(store.rolled_back(), None);
        let mut events = Vec::new();
        let mut below = None;
        loop {
            let page = store.deliveries(Some("forge"), below, 100).unwrap();
            let Some(last) = page.last() else { break };
            below = Some(last.number);
            events.extend(page.into_iter().map(|one| (one.event, one.number)));
        }
        for (n, number) in &promised {
            let found: Vec<_> = events.iter().filter(|(event, _)| *event == format!("event {n}")).collect();
            assert_eq!(found.len(), 1, "{n} is there once");
            assert_eq!(found[0].1, *number);
        }
        let waiting = store.queue_figures().unwrap()[0].waiting;
        assert_eq!(waiting, events.len() as u64, "the figures are those of the rows");
    }
}

#[test]
fn a_write_error_of_the_system_loses_nothing_that_was_acknowledged() {
    let dir = state();
    drop(open(dir.path()));
    // Files may grow to 200 KiB; the signal is ignored, so that writes beyond fail like on a full disk.
    let child = child(dir.path(), 1, 400, Some("trap '' XFSZ; ulimit -f 400"));
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let (acked, failed) = (numbers(&lines, "acked"), numbers(&lines, "failed"));
    assert!(!acked.is_empty() && !failed.is_empty(), "{text}");
    let store = open(dir.path());
    assert_eq!(store.rolled_back(), None);
    assert_eq!(store.verify_log(None).unwrap().broken, None);
    let mut acked = acked;
    acked.sort_unstable();
    assert_eq!(recorded(&store), acked, "exactly what was acknowledged");
}

// ---- size and speed: figures are printed and never asserted

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

fn figures(refs: u64, commits: u64, walks: u64) {
    let dir = state();
    let store = open(dir.path());
    let tips: Vec<_> = (0..refs).map(|n| (reference(&format!("team-{}/b{n}", n % 97)), id(n))).collect();
    let start = Instant::now();
    store.adopt(&repository(), "mono", "p", &tips, &mut ok((0..commits).map(id)), "me").unwrap();
    eprintln!("adopt {refs} refs, {commits} commits: {:?}", start.elapsed());

    // Like a push of few commits: ask about each until the walk stops.
    let mut times = Vec::new();
    for walk in 0..walks {
        let begin = Instant::now();
        let frontier = store.frontier(&repository()).unwrap();
        let name = &tips[(walk * 7_919 % refs) as usize].0;
        for n in 0..10 {
            assert!(!frontier.is_accepted("p", name, &id(commits + 1 + walk * 10 + n)).unwrap());
        }
        assert!(frontier.is_accepted("p", name, &id(walk * 104_729 % commits)).unwrap());
        times.push(begin.elapsed());
    }
    eprintln!(
        "open a frontier and ask 11 times: p50 {:?}, p99 {:?}",
        percentile(&mut times, 50),
        percentile(&mut times, 99)
    );

    let frontier = store.frontier(&repository()).unwrap();
    let begin = Instant::now();
    for n in 0..10_000 {
        let name = &tips[(n % refs) as usize].0;
        assert_eq!(frontier.is_accepted("p", name, &id(n * 2 * commits / 10_000)).unwrap(), n < 5_000);
    }
    eprintln!("10000 questions in one frontier: {:?} each", begin.elapsed() / 10_000);
    drop(frontier);

    // One push that moves many refs.
    let many: Vec<_> = tips
        .iter()
        .map(|(name, old)| DecidedUpdate { reference: name.clone(), old: Some(*old), new: Some(id(commits)) })
        .collect();
    let grants: Vec<_> = many
        .iter()
        .map(|update| Grant {
            reference: update.reference.clone(),
            new: update.new,
            ruleset: "p".into(),
            scope: Scope::Shared,
            introduced: vec![id(commits)],
            builds_on: Vec::new(),
            signed_by: Vec::new(),
        })
        .collect();
    let begin = Instant::now();
    accept(&store, 1, &many, &grants).unwrap();
    eprintln!("decide one push of {refs} refs: {:?}", begin.elapsed());
    let all: Vec<_> = many.iter().map(|update| (request(1), update.reference.clone())).collect();
    let begin = Instant::now();
    assert_eq!(store.mark_applied(&repository(), &all, How::PostReceive).unwrap() as u64, refs);
    eprintln!("apply it: {:?}", begin.elapsed());
    assert!(store.pending(&repository()).unwrap().is_empty());
    assert_eq!(store.verify_log(None).unwrap().broken, None);
    let size = fs::metadata(dir.path().join("state.db")).unwrap().len();
    eprintln!("database: {} MiB", size >> 20);
}

fn appends(count: u64) {
    for threads in [1, 8, 64] {
        let dir = state();
        let store = open(dir.path());
        let each = count / threads;
        let begin = Instant::now();
        let mut times: Vec<Duration> = thread::scope(|scope| {
            let lanes: Vec<_> = (0..threads)
                .map(|lane| {
                    let store = &store;
                    scope.spawn(move || {
                        let timed = |n| {
                            let begin = Instant::now();
                            simple(store, 1 + lane * each + n).unwrap();
                            begin.elapsed()
                        };
                        (0..each).map(timed).collect::<Vec<_>>()
                    })
                })
                .collect();
            lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
        });
        let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
        let stats = store.stats();
        eprintln!(
            "{threads} threads: {rate:.0} decisions/s, p50 {:?}, p99 {:?}, {} commits for {} jobs",
            percentile(&mut times, 50),
            percentile(&mut times, 99),
            stats.commits,
            stats.jobs
        );
        assert_eq!(stats.jobs, each * threads);
        assert_eq!(store.verify_log(None).unwrap().records, each * threads);
    }
}

/// With `STORE_FIGURES` set, a minute's work instead: the figures in docs/decisions/0003-store.md.
#[test]
fn ten_thousand_refs_and_group_commit() {
    if env::var_os("STORE_FIGURES").is_some() {
        figures(100, 1_000, 1_000);
        figures(10_000, 1_000_000, 1_000);
        appends(6_400);
    } else {
        figures(10_000, 50_000, 200);
        appends(640);
    }
}

#[test]
fn n10_a_grant_that_builds_on_what_was_not_applied_lapses() {
    let dir = state();
    let store = open(dir.path());
    let (first, second) = ("refs/heads/a", "refs/heads/b");
    let grants = || {
        let mut later = grant(second, "strict", Scope::Shared, 12, &[12]);
        later.builds_on = vec![id(11)];
        vec![grant(first, "strict", Scope::Shared, 11, &[10, 11]), later]
    };
    let updates = [update(first, 11), update(second, 12)];
    let accepted =
        |commit| store.is_accepted(&repository(), "strict", &reference(second), &id(commit)).unwrap();

    accept(&store, 1, &updates, &grants()).unwrap();
    store.mark_applied(&repository(), &[(request(1), reference(second))], How::Seen).unwrap();
    assert!(!accepted(12), "its history was never applied");

    accept(&store, 2, &updates, &grants()).unwrap();
    let both = [(request(2), reference(second)), (request(2), reference(first))];
    store.mark_applied(&repository(), &both, How::PostReceive).unwrap();
    assert!(accepted(10) && accepted(11) && accepted(12), "in whatever order they are named");
}

// ---- the clock (reference 1.9, D002)

/// Milliseconds since the epoch, as the store of one test is told.
static CLOCK: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

fn told() -> Timestamp {
    Timestamp::from_millisecond(CLOCK.load(std::sync::atomic::Ordering::SeqCst)).unwrap()
}

#[test]
fn the_log_is_not_written_by_a_clock_that_runs_backwards() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let set = |seconds: i64| CLOCK.store(seconds * 1000, std::sync::atomic::Ordering::SeqCst);
    let options = Options { clock: told, ..Options::default() };
    set(1_800_000_000);
    let store = Store::open_with(&state, Mode::ReadWrite, options.clone()).unwrap();
    let append =
        |store: &Store| store.append(Record::new(told(), Event::Start(ServiceEntry::new(None, None, None))));
    append(&store).unwrap();
    // Steps back within the tolerance, again and again: they do not add up.
    for back in [300, 200, 300, 1] {
        set(1_800_000_000 - back);
        append(&store).unwrap();
    }
    set(1_800_000_000 - 301);
    let head = store.head().unwrap();
    let refused = |error: StoreError| assert!(matches!(error, StoreError::Clock(_)), "{error}");
    refused(append(&store).unwrap_err());
    refused(store.check_writable().unwrap_err());
    for outcome in [Outcome::Accept, Outcome::Refuse, Outcome::Undecided] {
        let updates = if outcome == Outcome::Accept { vec![update("main", 1)] } else { Vec::new() };
        let record = record(1, outcome, &updates);
        refused(store.record_decision(record, updates, Vec::new()).unwrap_err());
    }
    refused(store.adopt(&repository(), "n", "p", &[], &mut ok([]), "me").unwrap_err());
    refused(store.accept_taint(&repository(), "n", &[id(1)], &[], "why", "me").unwrap_err());
    assert_eq!(store.head().unwrap(), head, "nothing was written");

    // Another process, and one that starts now, see the same; a reader reads.
    let other = Store::open_with(&state, Mode::ReadWrite, options.clone()).unwrap();
    refused(append(&other).unwrap_err());
    assert!(Store::open_with(&state, Mode::ReadOnly, options).unwrap().clock_behind().unwrap().is_some());
    // Time passes, and it goes on by itself.
    set(1_800_000_000 - 300);
    append(&other).unwrap();

    // Or somebody says that the clock is right; only once, and the log goes on from there.
    set(1_700_000_000);
    let said = store.clock_behind().unwrap().unwrap();
    assert!(said.contains("100000000 s before 2027-01-15T08:00:00Z"), "{said}");
    assert!(store.adopt_clock("olga").unwrap().is_some());
    assert!(store.adopt_clock("olga").unwrap().is_none() && store.clock_behind().unwrap().is_none());
    append(&other).unwrap();
    set(1_700_000_000 - 301);
    refused(append(&store).unwrap_err());
    assert!(store.verify_log(None).unwrap().broken.is_none());
    let last = store.log(Filter { reverse: true, ..Filter::default() }).unwrap().nth(1).unwrap().unwrap();
    assert!(last.json.contains("\"kind\":\"recovered\"") && last.json.contains("olga"), "{}", last.json);
}

// ---- receipts and taint (N14)

#[test]
fn n13_a_receipt_is_of_one_repository_and_of_what_was_applied() {
    let dir = state();
    let store = open(dir.path());
    let signed = |name: &str, n| Grant {
        signed_by: vec![(id(n), "key".into())],
        ..grant(name, "p", Scope::Shared, n, &[n])
    };
    let received = |repository: &RepositoryId, n| {
        let listed = store.receipts(repository).unwrap().map(|all| all.received(&id(n)).unwrap());
        assert_eq!(listed.flatten(), store.frontier(repository).unwrap().received(&id(n)).unwrap());
        listed.flatten()
    };
    accept(&store, 1, &[update("main", 1)], &[signed("main", 1)]).unwrap();
    store.mark_applied(&repository(), &[(request(1), reference("main"))], How::Seen).unwrap();
    let first = context(1).received_at;
    assert_eq!((received(&repository(), 1), received(&elsewhere(), 1)), (Some(first), None));
    // The same commit, let in elsewhere a day later: that is when it came in there.
    accept_in(&store, &elsewhere(), 2, &[update("main", 1)], &[signed("main", 1)]).unwrap();
    assert_eq!(received(&elsewhere(), 1), None, "decided is not applied (N10)");
    store.mark_applied(&elsewhere(), &[(request(2), reference("main"))], How::Seen).unwrap();
    let second: Timestamp = "2026-01-03T03:04:05.678Z".parse().unwrap();
    assert_eq!((received(&repository(), 1), received(&elsewhere(), 1)), (Some(first), Some(second)));
    // A decision that was never applied leaves none behind for the one that was.
    accept(&store, 3, &[update("topic", 3)], &[signed("topic", 3)]).unwrap();
    store.drop_stale(first + Duration::from_secs(7200), Duration::from_secs(3600)).unwrap();
    accept_in(&store, &repository(), 4, &[update("topic", 3)], &[signed("topic", 3)]).unwrap();
    store.mark_applied(&repository(), &[(request(4), reference("topic"))], How::Seen).unwrap();
    assert_eq!(received(&repository(), 3), Some(second));
    // What came without a verified signature has no receipt.
    let unsigned = grant("plain", "p", Scope::Shared, 5, &[5]);
    accept(&store, 5, &[update("plain", 5)], &[unsigned]).unwrap();
    store.mark_applied(&repository(), &[(request(5), reference("plain"))], How::Seen).unwrap();
    assert_eq!(received(&repository(), 5), None);
}

#[test]
fn receipts_and_decisions_about_taint_are_of_what_was_let_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("state"), Mode::ReadWrite).unwrap();
    let updates = vec![update("main", 2)];
    let mut granted = grant("main", "p", Scope::Shared, 2, &[1, 2]);
    granted.signed_by = vec![(id(1), "stolen".into()), (id(2), "fine".into())];
    store.record_decision(record(7, Outcome::Accept, &updates), updates, vec![granted]).unwrap();
    // Decided, and not applied: nothing was let in, so nothing was received.
    let received = |n| store.receipts(&repository()).unwrap().unwrap().received(&id(n)).unwrap();
    assert_eq!(received(1), None);
    assert!(store.tainted_by(&repository(), "stolen", i64::MIN).unwrap().is_empty());
    store.mark_applied(&repository(), &[(request(7), reference("main"))], How::Seen).unwrap();
    let at: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
    assert_eq!((received(1), received(2), received(3)), (Some(at), Some(at), None));
    assert!(store.receipts(&RepositoryId("another".into())).unwrap().is_none());

    let tainted = |key, from| store.tainted_by(&repository(), key, from).unwrap();
    let ms = at.as_millisecond();
    assert_eq!(tainted("stolen", ms)[0].refs, [reference("main")]);
    assert!(tainted("stolen", ms + 1).is_empty() && tainted("other", i64::MIN).is_empty());
    // Adopting it again makes it no less tainted, and gives no ref to it.
    let tips = [(reference("main"), id(2))];
    store.adopt(&repository(), "n", "p", &tips, &mut ok([id(1), id(2), id(3)]), "me").unwrap();
    assert_eq!(tainted("stolen", ms).len(), 1);
    assert_eq!(received(3), None, "an adopted commit was not received");
    let keys = [("stolen".to_owned(), i64::MIN)];
    let frontier = || store.frontier(&repository()).unwrap().tainted("p", &keys).unwrap();
    assert_eq!(frontier().first(), Some(&id(1)));

    let accept = |commits: &[ObjectId]| {
        store.accept_taint(&repository(), "n", commits, &["stolen".into()], "looked\x1b", "me").unwrap()
    };
    assert_eq!(accept(&[id(1), id(1)]), 1);
    assert!(tainted("stolen", ms).is_empty() && frontier().is_empty());
    let head = store.head().unwrap();
    assert_eq!((accept(&[id(1)]), accept(&[])), (0, 0));
    assert_eq!(store.head().unwrap(), head, "nothing new, nothing recorded");
    let receipts = store.receipts(&repository()).unwrap().unwrap();
    assert_eq!(receipts.taint_accepted(&id(1)).unwrap(), Some(head.seq));
    assert_eq!(receipts.taint_accepted(&id(2)).unwrap(), None);
    // More than a record can list are all let stand, and counted.
    let many: Vec<ObjectId> = (100..3_000).map(id).collect();
    assert_eq!(accept(&many), 2_900);
    let last = store.log(Filter { reverse: true, ..Filter::default() }).unwrap().next().unwrap().unwrap();
    assert!(last.json.len() <= 64 << 10 && last.json.contains("\"commits_total\":2900"));
    assert!(many.iter().all(|id| receipts.taint_accepted(id).unwrap().is_some()));
    assert!(store.verify_log(None).unwrap().broken.is_none());
}

// ---- FIDO counters

fn counted(name: &str, object: u64, counter: u32) -> CountedSignature {
    let (key, application) = ("SHA256:k".to_owned(), "ssh:".to_owned());
    CountedSignature { reference: reference(name), object: id(object), key, application, counter }
}

#[test]
fn s6_counters_are_on_record_once_their_push_is_applied() {
    let dir = state();
    let store = open(dir.path());
    let highest =
        |store: &Store| store.frontier(&repository()).unwrap().fido_counter("SHA256:k", "ssh:").unwrap();
    let known = |n| store.frontier(&repository()).unwrap().fido_known("SHA256:k", "ssh:", &id(n)).unwrap();
    let push = |n: u64, names: &[&str], all: Vec<CountedSignature>| {
        let updates: Vec<_> = names.iter().map(|name| update(name, n)).collect();
        store.record_counted_decision(
            record(n, Outcome::Accept, &updates),
            updates,
            Vec::new(),
            all,
            Vec::new(),
        )
    };
    let applied = |n: u64, name: &str| {
        store.mark_applied(&repository(), &[(request(n), reference(name))], How::PostReceive).unwrap()
    };
    push(1, &["main", "other"], vec![counted("main", 1, 41), counted("other", 2, 57)]).unwrap();
    assert_eq!((highest(&store), known(1)), (None, false), "decided is not applied (N10)");
    applied(1, "main");
    assert_eq!((highest(&store), known(1), known(2)), (Some(41), true, false), "only what was applied");
    push(2, &["main"], vec![counted("main", 3, 7)]).unwrap();
    applied(2, "main");
    assert_eq!(highest(&store), Some(41), "a lower one does not lower the record");
    // A later push of the same ref takes the place of the one that was never applied.
    push(3, &["other"], vec![counted("other", 4, u32::MAX)]).unwrap();
    applied(3, "other");
    assert_eq!((highest(&store), known(2)), (Some(u32::MAX), false));
    let other =
        |key, application| store.frontier(&repository()).unwrap().fido_counter(key, application).unwrap();
    assert_eq!((other("SHA256:x", "ssh:"), other("SHA256:k", "ssh:git")), (None, None));
    assert!(push(4, &["main"], vec![counted("stray", 5, 1)]).is_err(), "a counter has an update");
    let refused = record(5, Outcome::Refuse, &[]);
    let counters = vec![counted("main", 5, 1)];
    assert!(
        store
            .record_counted_decision(refused, vec![update("main", 5)], Vec::new(), counters, Vec::new())
            .is_err()
    );
    drop(store);
    assert_eq!(highest(&open(dir.path())), Some(u32::MAX), "durable");
}

#[test]
fn the_last_use_of_a_key_is_that_of_an_accepted_push() {
    let dir = state();
    let store = open(dir.path());
    let by = |n: u64, key: &str| Grant {
        signed_by: vec![(id(n), key.to_owned())],
        ..grant("main", "p", Scope::Shared, n, &[n])
    };
    assert!(store.key_uses().unwrap().is_empty());
    let received = |n: u64| Timestamp::from_second(1_800_000_000 + n as i64).unwrap();
    let accept = |n: u64, key: &str| {
        let updates = vec![update("main", n)];
        let record = Record { at: received(n).to_string(), ..record(n, Outcome::Accept, &updates) };
        store.record_decision(record, updates, vec![by(n, key)]).unwrap()
    };
    accept(1, "a");
    accept(3, "b");
    accept(2, "b");
    simple(&store, 4).unwrap();
    let updates = vec![update("tag", 5)];
    let tagged = vec!["c".to_owned()];
    let accepted = record(5, Outcome::Accept, &updates);
    store.record_counted_decision(accepted, updates, Vec::new(), Vec::new(), tagged.clone()).unwrap();
    let refused = record(6, Outcome::Refuse, &[]);
    assert!(store.record_counted_decision(refused, Vec::new(), Vec::new(), Vec::new(), tagged).is_err());
    drop(store);
    let uses = Store::open(dir.path(), Mode::ReadOnly).unwrap().key_uses().unwrap();
    let at = |key: &str| uses.get(key).copied();
    assert_eq!(uses.len(), 3);
    assert_eq!(at("a"), Some(received(1)));
    assert_eq!(at("b"), Some(received(3)), "the latest, whatever the order of writing");
    assert_eq!(at("c"), Some(context(5).received_at), "a tag alone");
}

#[test]
fn a_notice_is_given_once_whoever_asks() {
    let dir = state();
    let store = open(dir.path());
    let notice = |key: &str, days| ExpiryNotice { key: key.into(), ends: context(1).received_at, days };
    let all = vec![notice("a", 30), notice("a", 7), notice("b", 30)];
    assert_eq!(store.claim_notices(all.clone()).unwrap(), all);
    assert!(store.claim_notices(all.clone()).unwrap().is_empty());
    drop(store);
    let store = open(dir.path());
    let later = ExpiryNotice { ends: Timestamp::UNIX_EPOCH, ..notice("a", 30) };
    let asked = [all, vec![later.clone()]].concat();
    assert_eq!(store.claim_notices(asked).unwrap(), [later], "another end is another notice");
    assert!(store.claim_notices(Vec::new()).unwrap().is_empty());
    drop(store);
    let reader = Store::open(dir.path(), Mode::ReadOnly).unwrap();
    assert!(matches!(reader.claim_notices(vec![notice("z", 7)]), Err(StoreError::ReadOnly)));
}

/// Takes away what the later versions of the schema have added.
fn as_of_version(dir: &Path, version: i64) {
    let added: [&[&str]; 8] = [
        &[
            "drop index signed_by_commit",
            "drop table accepted_taints",
            "delete from meta where name = 'clock'",
        ],
        &["drop index fido_by_counter", "drop table fido_signatures", "drop table pending_fido_signatures"],
        &[
            "drop table receipts",
            "create index signed_by_commit on signed_commits (commit_id, at_ms)",
            "alter table pending_grants drop column signed",
        ],
        &["drop table key_uses", "drop table expiry_notices"],
        &[
            "drop table deliveries",
            "drop table delivery_room",
            "drop table reports",
            "drop table forge_repositories",
            "drop table webhook_counters",
            "drop table watched_repositories",
            "drop table judged_moves",
            "drop table judged_values",
        ],
        &[
            "drop index delivery_by_signed_id",
            "alter table deliveries drop column id_signed",
            "create unique index delivery_by_id on deliveries (source, forge_id) where forge_id is not null",
        ],
        &[
            "drop index report_again",
            "drop index report_again_of",
            "alter table reports drop column held_status",
            "alter table reports drop column held_check",
            "alter table reports drop column again",
            "alter table reports drop column again_ms",
        ],
        &["drop table unsound_refs", "drop table refused_moves"],
    ];
    let database = behind(dir);
    for statement in added[usize::try_from(version - 1).unwrap()..].iter().rev().copied().flatten() {
        database.execute_batch(statement).unwrap();
    }
    database.pragma_update(None, "user_version", version).unwrap();
}

#[test]
fn a_database_of_an_earlier_version_is_migrated() {
    for version in [1, 2, 3, 4, 5, 6, 7, 8] {
        let dir = state();
        let store = open(dir.path());
        let signed = Grant {
            signed_by: vec![(id(1), "key".to_owned())],
            ..grant("main", "p", Scope::Shared, 1, &[1])
        };
        accept(&store, 1, &[update("main", 1)], &[signed]).unwrap();
        store.mark_applied(&repository(), &[(request(1), reference("main"))], How::PostReceive).unwrap();
        // In two repositories it is not known which of them received it first.
        let both = |name: &str| Grant {
            signed_by: vec![(id(9), "key".to_owned())],
            ..grant(name, "p", Scope::Shared, 9, &[9])
        };
        accept(&store, 9, &[update("both", 9)], &[both("both")]).unwrap();
        store.mark_applied(&repository(), &[(request(9), reference("both"))], How::PostReceive).unwrap();
        accept_in(&store, &elsewhere(), 10, &[update("both", 9)], &[both("both")]).unwrap();
        store.mark_applied(&elsewhere(), &[(request(10), reference("both"))], How::PostReceive).unwrap();
        simple(&store, 2).unwrap();
        let head = store.head().unwrap();
        drop(store);
        as_of_version(dir.path(), version);
        let error = Store::open(dir.path(), Mode::ReadOnly).unwrap_err();
        assert!(matches!(error, StoreError::OlderSchema { .. }), "a reader changes nothing: {error}");

        let store = open(dir.path());
        let expected = {
            let fresh = state();
            open(fresh.path());
            schema(fresh.path())
        };
        assert_eq!(schema(dir.path()), expected, "version {version}");
        assert_eq!(store.head().unwrap(), head);
        assert_eq!(store.rolled_back(), None);
        assert_eq!(store.frontier(&repository()).unwrap().fido_counter("k", "ssh:").unwrap(), None);
        assert_eq!(store.pending(&repository()).unwrap().len(), 1, "what was there is there");
        let receipts = store.receipts(&repository()).unwrap().unwrap();
        assert_eq!(receipts.received(&id(1)).unwrap(), Some(context(1).received_at));
        // From version 4 on, receipts are of one repository.
        let both = (version >= 4).then_some(context(9).received_at);
        assert_eq!(receipts.received(&id(9)).unwrap(), both);
        assert_eq!(receipts.taint_accepted(&id(1)).unwrap(), None);
        drop(receipts);
        let used = store.key_uses().unwrap();
        // From version 5 on, it is known that the second repository had it later.
        let last = if version >= 5 { "2026-01-03T03:04:05.678Z" } else { "2026-01-02T03:04:05.678Z" };
        assert_eq!(used.get("key"), Some(&last.parse().unwrap()), "version {version}");
        // The clock of the log is that of its newest record.
        let clock = "select value from meta where name = 'clock'";
        let clock: String = behind(dir.path()).query_row(clock, [], |row| row.get(0)).unwrap();
        let newest = "select max(at_ms) from audit_log";
        let newest: i64 = behind(dir.path()).query_row(newest, [], |row| row.get(0)).unwrap();
        assert!(clock.parse::<i64>().unwrap() >= newest, "{clock} {newest}");
        simple(&store, 3).unwrap();
        drop(store);
        open(dir.path());
        Store::open(dir.path(), Mode::ReadOnly).unwrap();
    }
}

/// A repository of a forge, whose refs are all adopted at id 1.
fn watched(store: &Store, forge: &RepositoryId, refs: &[&str]) {
    let tips: Vec<_> = refs.iter().map(|name| (reference(name), id(1))).collect();
    store.watch(forge, "github/acme/infra", &tips, "me").unwrap();
}

/// Records that a forge has moved a ref, as an earlier version did: from wherever it stood.
fn detect(store: &Store, forge: &RepositoryId, n: u64, outcome: Outcome, name: &str, old: u64, new: u64) {
    let value = |n: u64| (n > 0).then(|| id(n));
    let mut context = context(n);
    context.repository = RepositoryRef { id: forge.clone(), name: "github/acme/infra".into() };
    context.received_at += Duration::from_secs(n);
    let mut decision = Decision::new(&context, outcome, "c", "k");
    decision.mode = Some(countersign::audit::Mode::Detected);
    let update = RefUpdate { name: reference(name), old: value(old), new: value(new) };
    decision.refs.push(RefEntry::new(&update, None, Coverage::Ruleset));
    let unsound = store.unsound_refs(forge).unwrap().into_iter().find(|(one, _)| *one == update.name);
    store
        .record_detected(Detected {
            record: Record::decision(decision),
            from: unsound.map_or(update.old, |(_, unsound)| unsound.sound),
            mover: None,
            update: Some(DecidedUpdate { reference: update.name, old: update.old, new: update.new }),
            values: Vec::new(),
            moves: Vec::new(),
            grants: Vec::new(),
            counted: Vec::new(),
            tagged_by: Vec::new(),
            finished: Vec::new(),
            reports: Vec::new(),
        })
        .unwrap();
}

#[test]
fn refs_that_an_earlier_version_called_good_on_top_of_a_refused_move_are_judged_from_before_it() {
    let dir = state();
    let store = open(dir.path());
    let forge = RepositoryId("github:7".into());
    let all = ["good", "red", "green-on-red", "back", "gone", "restored", "again", "caf\u{e9}"];
    watched(&store, &forge, &all);
    use Outcome::{Accept, Refuse};
    let mut n = 20;
    let mut detect = |outcome, name: &str, old, new| {
        n += 1;
        detect(&store, &forge, n, outcome, name, old, new);
        request(n)
    };
    detect(Accept, "good", 1, 2);
    detect(Accept, "red", 1, 3);
    let red = detect(Refuse, "red", 3, 4);
    let green = detect(Refuse, "green-on-red", 1, 5);
    detect(Accept, "green-on-red", 5, 6);
    detect(Refuse, "back", 1, 7);
    detect(Accept, "back", 7, 1);
    detect(Refuse, "gone", 1, 0);
    detect(Refuse, "new", 0, 8);
    detect(Refuse, "caf\u{e9}", 1, 9);
    detect(Refuse, "restored", 1, 10);
    let entry = countersign::audit::RestoreEntry {
        repository: countersign::audit::RepositoryEntry { id: forge.0.clone(), name: "x".into() },
        reference: reference("restored").to_string(),
        bad: Some(id(10).to_string()),
        good: Some(id(1).to_string()),
        step: countersign::audit::RestoreStep::Done,
        request_id: request(1).as_str().to_owned(),
        recovery: None,
        why: None,
    };
    store.record_restored(entry, reference("restored"), Some(id(10)), Some(id(1)), Vec::new()).unwrap();
    let expected = [
        ("caf\u{e9}", Some(1)),
        ("gone", Some(1)),
        ("green-on-red", Some(1)),
        ("new", None),
        ("red", Some(3)),
    ];
    let found = |store: &Store| {
        let all = store.unsound_refs(&forge).unwrap().into_iter();
        all.map(|(name, one)| (name, one.sound)).collect::<Vec<_>>()
    };
    let expected: Vec<_> = expected.map(|(name, sound)| (reference(name), sound.map(id))).into();
    drop(store);
    as_of_version(dir.path(), 6);
    let store = open(dir.path());
    assert_eq!(found(&store), expected);
    let of = |name: &str| {
        let all = store.unsound_refs(&forge).unwrap().into_iter();
        all.into_iter().find(|(one, _)| *one == reference(name)).unwrap().1
    };
    assert_eq!((of("red").refused_by, of("red").tip), (red, Some(id(4))));
    assert_eq!(of("red").moves, [(Some(id(4)), None)]);
    assert_eq!((of("green-on-red").refused_by, of("green-on-red").tip), (green, Some(id(6))));
    assert_eq!(of("gone").tip, None);
    assert!(store.is_watched(&forge).unwrap());

    // Where a record does not say which ref it was, somebody has to look.
    drop(store);
    behind(dir.path())
        .execute(
            "update audit_log set record = json_remove(record, '$.refs[0]') where request_id = ?1",
            [request(23).as_str()],
        )
        .unwrap();
    as_of_version(dir.path(), 6);
    let store = open(dir.path());
    assert!(!store.is_watched(&forge).unwrap());
}

#[test]
fn what_was_sound_stays_so_until_the_ref_is_sound_again() {
    let dir = state();
    let store = open(dir.path());
    let forge = RepositoryId("github:7".into());
    watched(&store, &forge, &["main"]);
    use Outcome::{Accept, Refuse};
    let unsound = || store.unsound_refs(&forge).unwrap().into_iter().next().map(|(_, one)| one);
    detect(&store, &forge, 1, Accept, "main", 1, 2);
    assert_eq!(unsound(), None);
    detect(&store, &forge, 2, Refuse, "main", 2, 3);
    detect(&store, &forge, 3, Refuse, "main", 3, 0);
    let one = unsound().unwrap();
    assert_eq!((one.tip, one.sound, one.refused_by), (None, Some(id(2)), request(3)));
    let first = context(2).received_at + Duration::from_secs(2);
    assert_eq!(one.since, first, "since the first refusal");
    assert_eq!(one.moves, [(Some(id(3)), None), (None, None)]);
    assert_eq!(store.unsound_figures().unwrap(), [(forge.clone(), 1)]);
    // Whoever thinks that it is judged from elsewhere was too slow.
    let mut late = Decision::new(&context(4), Accept, "c", "k");
    late.repository.id.clone_from(&forge.0);
    let update = DecidedUpdate { reference: reference("main"), old: None, new: Some(id(4)) };
    let late = Detected {
        record: Record::decision(late),
        update: Some(update),
        from: None,
        mover: None,
        values: Vec::new(),
        moves: Vec::new(),
        grants: Vec::new(),
        counted: Vec::new(),
        tagged_by: Vec::new(),
        finished: Vec::new(),
        reports: Vec::new(),
    };
    assert!(matches!(store.record_detected(late), Err(StoreError::Invalid(_))));
    assert_eq!(store.judged_tip(&forge, &reference("main")).unwrap(), Some(None));
    detect(&store, &forge, 5, Accept, "main", 0, 4);
    assert_eq!((unsound(), store.unsound_figures().unwrap().len()), (None, 0));
    // Adopted, it is sound wherever it stands.
    detect(&store, &forge, 6, Refuse, "main", 4, 5);
    watched(&store, &forge, &["main"]);
    assert_eq!(unsound(), None);
}

/// What a database is made of, apart from what is in it.
fn schema(dir: &Path) -> (i64, Vec<String>) {
    let database = behind(dir);
    let mut statement = database.prepare("select sql from sqlite_master order by name").unwrap();
    let rows = statement.query_map([], |row| row.get::<_, Option<String>>(0)).unwrap();
    let tables = rows.filter_map(Result::unwrap).collect();
    let version = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    (version, tables)
}
