//! All SQL of the store, kept together so that another database can be put beside it.
//!
//! What is here is plain SQL (`on conflict … do update` included, which PostgreSQL has too), except for
//! `without rowid` and the pragmas. Times are milliseconds since the epoch, ids are raw digests.

/// One script a schema version, in order; the first makes version 1. Never edit one that was released.
pub(super) const MIGRATIONS: &[&str] = &[
    "
create table meta (
    name  text primary key,
    value text not null
) without rowid;

-- Names are interned, so that the large tables hold small integers.
create table repositories (
    repository integer primary key,
    id         text not null unique,
    name       text not null,
    device     integer,
    inode      integer
);
create table rulesets (
    ruleset    integer primary key,
    repository integer not null references repositories (repository),
    name       text not null,
    -- 1 once anything was accepted and applied, or adopted, even an empty history
    on_record  integer not null default 0,
    unique (repository, name)
);
create table refs (
    ref        integer primary key,
    repository integer not null references repositories (repository),
    name       blob not null,
    -- last value known to be applied; null with tip_known = 1 is a deletion
    tip        blob,
    tip_known  integer not null default 0,
    unique (repository, name)
);

-- The frontier (N7): closed under ancestry for each ruleset.
create table accepted_commits (
    ruleset   integer not null,
    commit_id blob not null,
    -- the ref it came through; 0 is the adopted base
    ref       integer not null,
    -- 0 counts for all refs of the ruleset, 1 for its own ref only (N8)
    scope     integer not null,
    primary key (ruleset, commit_id, ref)
) without rowid;

-- Accepted and not yet known to be applied (N10).
create table pending_updates (
    seq        integer not null,
    ref        integer not null references refs (ref),
    repository integer not null references repositories (repository),
    request_id text not null,
    old_id     blob,
    new_id     blob,
    at_ms      integer not null,
    primary key (seq, ref)
) without rowid;
create index pending_by_ref on pending_updates (ref, seq);
create index pending_by_request on pending_updates (repository, request_id, ref, seq);
create index pending_by_repository on pending_updates (repository, seq);
create index pending_by_time on pending_updates (at_ms);
create table pending_grants (
    seq        integer not null,
    ref        integer not null,
    ruleset    integer not null references rulesets (ruleset),
    scope      integer not null,
    list       integer not null,
    -- Commits of other grants of this decision that these stand on: packed like a list.
    builds_on  blob not null,
    primary key (seq, ref, ruleset)
) without rowid;
-- Lists of commits; refs of one push that introduce the same commits share one.
create table pending_lists (
    seq        integer not null,
    list       integer not null,
    ids        blob not null,
    primary key (seq, list)
);

-- Which key signed a commit that was accepted: what a compromise needs to be looked up by. A fact about
-- the commit, whoever trusts the key.
create table signed_commits (
    key        text not null,
    commit_id  blob not null,
    at_ms      integer not null,
    primary key (key, commit_id)
) without rowid;

create table adoptions (
    seq        integer primary key,
    repository integer not null references repositories (repository),
    ruleset    integer not null references rulesets (ruleset),
    commits    integer not null,
    who        text not null,
    at_ms      integer not null
);
create index adoptions_by_repository on adoptions (repository, seq);
create table adoption_tips (
    seq        integer not null references adoptions (seq),
    ref        integer not null references refs (ref),
    commit_id  blob not null,
    primary key (seq, ref)
) without rowid;

create table audit_log (
    seq        integer primary key,
    hash       blob not null,
    record     text not null,
    -- copies out of the record, for filters
    at_ms      integer not null,
    kind       text not null,
    repository text,
    outcome    text,
    request_id text
);
create index audit_by_time on audit_log (at_ms);
create index audit_by_repository on audit_log (repository, seq);
create index audit_by_request on audit_log (request_id, seq);
",
    "
-- When was this commit received, whoever signed it.
create index signed_by_commit on signed_commits (commit_id, at_ms);

-- Tainted commits that somebody decided to let stand (N14). Never deleted from.
create table accepted_taints (
    repository integer not null references repositories (repository),
    commit_id  blob not null,
    -- the audit record of the decision
    seq        integer not null,
    primary key (repository, commit_id)
) without rowid;

-- The latest time at which something was written, on this machine's clock: it must not run backwards.
insert into meta (name, value)
    select 'clock', cast(max(at_ms) as text) from audit_log having max(at_ms) is not null;
",
    "
-- Signatures by FIDO keys on objects that were let in and applied (S6). A counter is the authenticator's,
-- so this is about all repositories at once.
create table fido_signatures (
    key         text not null,
    application text not null,
    object_id   blob not null,
    counter     integer not null,
    primary key (key, application, object_id)
) without rowid;
create index fido_by_counter on fido_signatures (key, application, counter);
create table pending_fido_signatures (
    seq         integer not null,
    ref         integer not null,
    object_id   blob not null,
    key         text not null,
    application text not null,
    counter     integer not null,
    primary key (seq, ref, object_id)
) without rowid;
",
    "
-- When a commit with a verified signature was first let into this repository, in a push that was applied
-- (N13). What another repository has received says nothing here.
create table receipts (
    repository integer not null references repositories (repository),
    commit_id  blob not null,
    at_ms      integer not null,
    primary key (repository, commit_id)
) without rowid;
-- Until now there was one time for all repositories: of a commit that several have, it is not known whose.
insert into receipts (repository, commit_id, at_ms)
    select min(r.repository), s.commit_id, min(s.at_ms) from signed_commits s join rulesets r
        join accepted_commits a on a.ruleset = r.ruleset and a.commit_id = s.commit_id
        group by s.commit_id having min(r.repository) = max(r.repository);
drop index signed_by_commit;
-- Those of a grant's commits whose signature was verified: packed like a list.
alter table pending_grants add column signed blob not null default x'';
",
    "
-- When a commit or tag with a verified signature by the key was last in an accepted push, in whatever
-- repository. Of tags, only what came since there is this table.
create table key_uses (
    key   text primary key,
    at_ms integer not null
) without rowid;
insert into key_uses (key, at_ms) select key, max(at_ms) from signed_commits group by key;

-- Which ends of keys were told already, how many days ahead.
create table expiry_notices (
    key     text not null,
    ends_ms integer not null,
    days    integer not null,
    primary key (key, ends_ms, days)
) without rowid;
",
];

pub(super) const COUNT_TABLES: &str = "select count(*) from sqlite_master";
pub(super) const SET_META: &str = "insert into meta (name, value) values (?1, ?2)";
pub(super) const PUT_META: &str = "insert into meta (name, value) values (?1, ?2) \
    on conflict (name) do update set value = excluded.value";
pub(super) const GET_META: &str = "select value from meta where name = ?1";

pub(super) const BEGIN_WRITE: &str = "begin immediate";
pub(super) const BEGIN_READ: &str = "begin deferred";
pub(super) const COMMIT: &str = "commit";
pub(super) const ROLLBACK: &str = "rollback";
pub(super) const SAVEPOINT: &str = "savepoint job";
pub(super) const RELEASE: &str = "release savepoint job";
pub(super) const ROLLBACK_TO: &str = "rollback to savepoint job";

pub(super) const HEAD: &str = "select seq, hash from audit_log order by seq desc limit 1";
pub(super) const HASH_AT: &str = "select hash from audit_log where seq = ?1";
pub(super) const APPEND: &str = "insert into audit_log \
    (seq, hash, record, at_ms, kind, repository, outcome, request_id) \
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(super) const SCAN_LOG: &str = "select seq, hash, record, at_ms, kind, repository, outcome, request_id \
    from audit_log order by seq";

pub(super) const FIND_REPOSITORY: &str =
    "select repository, name, device, inode from repositories where id = ?1";
pub(super) const ADD_REPOSITORY: &str = "insert into repositories (id, name, device, inode) values (?1, ?2, ?3, ?4) \
    on conflict (id) do nothing";
pub(super) const SET_REPOSITORY: &str =
    "update repositories set name = ?2, device = ?3, inode = ?4 where id = ?1";
pub(super) const LIST_REPOSITORIES: &str =
    "select id, name, device, inode from repositories order by name, id";

pub(super) const FIND_RULESET: &str =
    "select ruleset, on_record from rulesets where repository = ?1 and name = ?2";
pub(super) const ADD_RULESET: &str =
    "insert into rulesets (repository, name) values (?1, ?2) on conflict (repository, name) do nothing";
pub(super) const RULESET_ON_RECORD: &str = "update rulesets set on_record = 1 where ruleset = ?1";
pub(super) const FIND_REF: &str = "select ref from refs where repository = ?1 and name = ?2";
pub(super) const ADD_REF: &str =
    "insert into refs (repository, name) values (?1, ?2) on conflict (repository, name) do nothing";
pub(super) const SET_TIP: &str = "update refs set tip = ?2, tip_known = 1 where ref = ?1";
pub(super) const GET_TIP: &str = "select r.tip from refs r join repositories p on p.repository = r.repository \
    where p.id = ?1 and r.name = ?2 and r.tip_known = 1";
pub(super) const LIST_TIPS: &str = "select r.name, r.tip from refs r join repositories p \
    on p.repository = r.repository where p.id = ?1 and r.tip_known = 1 order by r.name";

pub(super) const SCOPE_OF: &str = "select min(scope) from accepted_commits \
    where ruleset = ?1 and commit_id = ?2 and (scope = 0 or ref = ?3)";
pub(super) const HAS_SHARED: &str =
    "select 1 from accepted_commits where ruleset = ?1 and commit_id = ?2 and scope = 0";
/// A second acceptance of the same commit through the same ref can widen its scope, never narrow it.
pub(super) const ACCEPT: &str = "insert into accepted_commits (ruleset, commit_id, ref, scope) \
    values (?1, ?2, ?3, ?4) on conflict (ruleset, commit_id, ref) do update set scope = excluded.scope \
    where excluded.scope < accepted_commits.scope";

pub(super) const ADD_PENDING: &str = "insert into pending_updates \
    (seq, ref, repository, request_id, old_id, new_id, at_ms) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const ADD_GRANT: &str = "insert into pending_grants (seq, ref, ruleset, scope, list, builds_on, signed) \
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const ADD_SIGNED: &str = "insert into signed_commits (key, commit_id, at_ms) values (?1, ?2, ?3) \
    on conflict do nothing";
pub(super) const USE_KEY: &str = "insert into key_uses (key, at_ms) values (?1, ?2) \
    on conflict (key) do update set at_ms = excluded.at_ms where excluded.at_ms > key_uses.at_ms";
pub(super) const LIST_USES: &str = "select key, at_ms from key_uses";
pub(super) const FIND_NOTICE: &str =
    "select 1 from expiry_notices where key = ?1 and ends_ms = ?2 and days = ?3";
pub(super) const ADD_NOTICE: &str = "insert into expiry_notices (key, ends_ms, days) values (?1, ?2, ?3)";
/// Every key that signed something on record, by jumps through the index: there are few keys.
pub(super) const SIGNERS: &str = "with recursive each (key) as (select min(key) from signed_commits union all \
    select (select min(s.key) from signed_commits s where s.key > each.key) from each where each.key is not null) \
    select key from each where key is not null";
pub(super) const TAINTED: &str = "select a.commit_id from signed_commits s \
    join accepted_commits a on a.ruleset = ?1 and a.commit_id = s.commit_id where s.key = ?2 and s.at_ms >= ?3 \
    and not exists (select 1 from accepted_taints t join rulesets r on r.repository = t.repository \
        where r.ruleset = ?1 and t.commit_id = s.commit_id)";
/// What the keys signed in one repository, and through which refs it came; an adopted base has none.
pub(super) const TAINTED_IN: &str = "select s.commit_id, s.at_ms, f.name from rulesets r \
    join signed_commits s on s.key = ?2 and s.at_ms >= ?3 \
    join accepted_commits a on a.ruleset = r.ruleset and a.commit_id = s.commit_id \
    left join refs f on f.ref = a.ref where r.repository = ?1 \
    and not exists (select 1 from accepted_taints t where t.repository = ?1 and t.commit_id = s.commit_id) \
    order by s.at_ms, s.commit_id, f.name";
/// When a commit was received that was let in here.
pub(super) const RECEIVED: &str = "select at_ms from receipts where repository = ?1 and commit_id = ?2";
/// The first receipt stands.
pub(super) const ADD_RECEIPT: &str = "insert into receipts (repository, commit_id, at_ms) values (?1, ?2, ?3) \
    on conflict do nothing";
pub(super) const TAINT_ACCEPTED: &str =
    "select seq from accepted_taints where repository = ?1 and commit_id = ?2";
pub(super) const ACCEPT_TAINT: &str =
    "insert into accepted_taints (repository, commit_id, seq) values (?1, ?2, ?3)";
pub(super) const ADD_LIST: &str = "insert into pending_lists (seq, list, ids) values (?1, ?2, ?3)";
pub(super) const LIST_PENDING: &str = "select u.request_id, f.name, u.old_id, u.new_id \
    from pending_updates u join refs f on f.ref = u.ref join repositories p on p.repository = u.repository \
    where p.id = ?1 order by u.seq desc, u.ref limit ?2";
pub(super) const COUNT_PENDING: &str = "select count(*) from pending_updates";
pub(super) const FIND_PENDING: &str = "select seq, new_id, at_ms from pending_updates \
    where repository = ?1 and request_id = ?2 and ref = ?3 order by seq desc limit 1";
pub(super) const GRANTS_OF: &str =
    "select ruleset, scope, list, builds_on, signed from pending_grants where seq = ?1 and ref = ?2";
pub(super) const LIST_IDS: &str = "select ids from pending_lists where seq = ?1 and list = ?2";
/// A pending update and all older ones of its ref.
pub(super) const PENDING_UP_TO: &str = "select seq from pending_updates where ref = ?1 and seq <= ?2";
pub(super) const PENDING_BEFORE: &str = "select seq, ref from pending_updates where at_ms < ?1";
pub(super) const DROP_PENDING: &str = "delete from pending_updates where seq = ?1 and ref = ?2";
pub(super) const DROP_GRANTS: &str = "delete from pending_grants where seq = ?1 and ref = ?2";
pub(super) const DROP_LISTS: &str = "delete from pending_lists where seq = ?1 \
    and not exists (select 1 from pending_grants where seq = ?1)";

pub(super) const HIGHEST_COUNTER: &str =
    "select max(counter) from fido_signatures where key = ?1 and application = ?2";
pub(super) const KNOWN_COUNTER: &str =
    "select 1 from fido_signatures where key = ?1 and application = ?2 and object_id = ?3";
pub(super) const ADD_PENDING_COUNTER: &str = "insert into pending_fido_signatures \
    (seq, ref, object_id, key, application, counter) values (?1, ?2, ?3, ?4, ?5, ?6) on conflict do nothing";
pub(super) const APPLY_COUNTERS: &str = "insert into fido_signatures (key, application, object_id, counter) \
    select key, application, object_id, counter from pending_fido_signatures where seq = ?1 and ref = ?2 \
    on conflict do nothing";
pub(super) const DROP_COUNTERS: &str = "delete from pending_fido_signatures where seq = ?1 and ref = ?2";

pub(super) const ADD_ADOPTION: &str = "insert into adoptions \
    (seq, repository, ruleset, commits, who, at_ms) values (?1, ?2, ?3, ?4, ?5, ?6)";
pub(super) const ADD_ADOPTION_TIP: &str =
    "insert into adoption_tips (seq, ref, commit_id) values (?1, ?2, ?3)";
pub(super) const LIST_ADOPTIONS: &str = "select a.seq, s.name, a.commits, a.who, a.at_ms \
    from adoptions a join rulesets s on s.ruleset = a.ruleset \
    join repositories p on p.repository = a.repository where p.id = ?1 order by a.seq";
pub(super) const LIST_ADOPTION_TIPS: &str = "select f.name, t.commit_id from adoption_tips t \
    join refs f on f.ref = t.ref where t.seq = ?1 order by f.name";

/// A page of the log in the direction of `reverse`, starting beyond `?1`. The conditions are built from
/// fixed text; all values are bound.
pub(super) fn log_page(reverse: bool, conditions: &[&str]) -> String {
    let (beyond, order) = if reverse { ("seq < ?1", "desc") } else { ("seq > ?1", "asc") };
    let mut sql = format!("select seq, hash, record from audit_log where {beyond}");
    for (at, condition) in conditions.iter().enumerate() {
        sql.push_str(&format!(" and {condition} ?{}", at + 3));
    }
    sql.push_str(&format!(" order by seq {order} limit ?2"));
    sql
}
