//! The queries of the store, kept together so that another database can be put beside it; the schema is in
//! `migrations`.
//!
//! What is here is plain SQL (`on conflict … do update` included, which PostgreSQL has too), except for
//! `without rowid` and the pragmas. Times are milliseconds since the epoch, ids are raw digests.

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

pub(super) const WATCHED: &str = "select 1 from watched_repositories w join repositories p \
    on p.repository = w.repository where p.id = ?1";
pub(super) const WATCH: &str = "insert into watched_repositories (repository, seq) values (?1, ?2) \
    on conflict (repository) do update set seq = excluded.seq";
pub(super) const CLEAR_TIPS: &str =
    "update refs set tip = null where repository = ?1 and tip_known = 1 and tip is not null";
pub(super) const TIP_OF: &str = "select tip from refs where ref = ?1 and tip_known = 1";
pub(super) const ADD_JUDGED: &str =
    "insert into judged_values (ref, commit_id) values (?1, ?2) on conflict do nothing";
pub(super) const WAS_JUDGED: &str = "select 1 from judged_values v join refs r on r.ref = v.ref \
    join repositories p on p.repository = r.repository where p.id = ?1 and r.name = ?2 and v.commit_id = ?3";
pub(super) const ADD_MOVED: &str =
    "insert into judged_moves (ref, old_id, new_id) values (?1, ?2, ?3) on conflict do nothing";
pub(super) const WAS_MOVED: &str = "select 1 from judged_moves m join refs r on r.ref = m.ref \
    join repositories p on p.repository = r.repository \
    where p.id = ?1 and r.name = ?2 and m.old_id = ?3 and m.new_id = ?4";
pub(super) const LIST_UNSOUND: &str = "select r.name, r.tip, u.sound, u.request_id, u.since_ms, u.ref \
    from unsound_refs u join refs r on r.ref = u.ref join repositories p on p.repository = r.repository \
    where p.id = ?1 order by r.name";
pub(super) const LIST_REFUSED_MOVES: &str =
    "select value, login, account_id from refused_moves where ref = ?1 order by number";
pub(super) const SOUND_OF: &str = "select sound from unsound_refs where ref = ?1";
pub(super) const SET_UNSOUND: &str = "insert into unsound_refs (ref, sound, request_id, since_ms) \
    values (?1, ?2, ?3, ?4) on conflict (ref) do update set request_id = excluded.request_id";
pub(super) const ADD_REFUSED_MOVE: &str = "insert into refused_moves (ref, value, login, account_id) \
    select ?1, ?2, ?3, ?4 where not exists (select 1 from refused_moves \
    where ref = ?1 and value is ?2 and login is ?3 and account_id is ?4)";
pub(super) const SET_SOUND: &str = "delete from unsound_refs where ref = ?1";
pub(super) const DROP_REFUSED_MOVES: &str = "delete from refused_moves where ref = ?1";
pub(super) const SET_ALL_SOUND: &str =
    "delete from unsound_refs where ref in (select ref from refs where repository = ?1)";
pub(super) const DROP_ALL_REFUSED_MOVES: &str =
    "delete from refused_moves where ref in (select ref from refs where repository = ?1)";
pub(super) const COUNT_UNSOUND: &str = "select p.id, count(*) from unsound_refs u join refs r on r.ref = u.ref \
    join repositories p on p.repository = r.repository group by p.id order by p.id";
pub(super) const SET_REPOSITORY_NAME: &str = "update repositories set name = ?2 where repository = ?1";

pub(super) const KNOWN_SIGNED: &str =
    "select delivery from deliveries where source = ?1 and forge_id = ?2 and id_signed = 1";
pub(super) const KNOWN_DIGEST: &str = "select max(delivery) from deliveries \
    where source = ?1 and digest = ?2 and (received_ms >= ?3 or forge_id = ?4)";
pub(super) const ADD_DELIVERY: &str = "insert into deliveries \
    (source, forge_id, digest, repository, event, received_ms, id_signed) values (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const DELIVERY_ROOM: &str = "select source, done, count, bytes from delivery_room";
pub(super) const OLD_DELIVERIES: &str = "select delivery, done_ms, length(cast(event as blob)) from deliveries \
    where source = ?1 and done = 1 order by done_ms limit ?2";
pub(super) const DROP_DELIVERY: &str = "delete from deliveries where delivery = ?1 and done = 1";
const DELIVERY: &str = "select delivery, source, forge_id, repository, event, received_ms, done_ms, attempts, note \
    from deliveries";
pub(super) const QUEUED_REPOSITORIES: &str = "select repository, min(source), count(*), min(delivery), \
    min(received_ms) from deliveries where done = 0 group by repository order by min(delivery)";
pub(super) const NOTE_DELIVERY: &str =
    "update deliveries set attempts = attempts + 1, note = ?2 where delivery = ?1 and done = 0";
pub(super) const FINISH_DELIVERY: &str =
    "update deliveries set done = 1, done_ms = ?2, note = ?3 where delivery = ?1 and done = 0";
pub(super) const REQUEUE_DELIVERY: &str =
    "update deliveries set done = 0, done_ms = null, note = null where delivery = ?1 and done = 1";
pub(super) const OLDEST_QUEUED: &str =
    "select min(received_ms) from deliveries where done = 0 and source = ?1";
pub(super) const COUNT_WEBHOOK: &str = "insert into webhook_counters (source, result, count, at_ms) \
    values (?1, ?2, ?3, ?4) on conflict (source, result) \
    do update set count = count + excluded.count, at_ms = max(at_ms, excluded.at_ms)";
pub(super) const LIST_WEBHOOK_COUNTERS: &str =
    "select source, result, count, at_ms from webhook_counters order by source, result";

pub(super) fn delivery_one() -> String {
    format!("{DELIVERY} where delivery = ?1")
}
pub(super) fn deliveries_queued() -> String {
    format!("{DELIVERY} where done = 0 and repository = ?1 order by delivery limit ?2")
}
pub(super) fn deliveries_of(source: bool) -> String {
    let condition = if source { "source = ?3 and " } else { "" };
    format!("{DELIVERY} where {condition}delivery < ?1 order by delivery desc limit ?2")
}

pub(super) const FORGE_REPOSITORY: &str =
    "select name from forge_repositories where source = ?1 and forge_id = ?2";
pub(super) const FORGE_REPOSITORY_NAMED: &str =
    "select forge_id from forge_repositories where source = ?1 and name = ?2";
pub(super) const ADD_FORGE_REPOSITORY: &str =
    "insert into forge_repositories (source, forge_id, name, seen_ms) values (?1, ?2, ?3, ?4)";
pub(super) const NAME_FORGE_REPOSITORY: &str =
    "update forge_repositories set name = ?3 where source = ?1 and forge_id = ?2";
pub(super) const DROP_FORGE_REPOSITORY: &str =
    "delete from forge_repositories where source = ?1 and forge_id = ?2";
pub(super) const LIST_FORGE_REPOSITORIES: &str =
    "select source, forge_id, name, seen_ms from forge_repositories order by source, name";

pub(super) const FIND_REPORT: &str = "select report, state, description, request_id, done, proposed, remote, \
    held_status, held_check, again, again_ms from reports where repository = ?1 and commit_id = ?2 and context = ?3";
pub(super) const DROP_REPORT: &str = "delete from reports where report = ?1";
pub(super) const ADD_REPORT: &str = "insert into reports (source, repository, commit_id, context, ref, state, \
    description, request_id, made_ms, not_before_ms, proposed, remote, held_status, held_check, again, again_ms) \
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
const REPORT: &str = "select report, source, repository, commit_id, context, ref, state, description, \
    request_id, made_ms, attempts, not_before_ms, done, done_ms, note, proposed, remote, held_status, held_check, again, again_ms from reports";
pub(super) const SENT_REPORT: &str = "update reports set done = 1, done_ms = ?2, note = null, \
    attempts = attempts + 1 where report = ?1";
/// One that was sent, and is sent again, waits anew.
pub(super) const LATER_REPORT: &str = "update reports set done = 0, done_ms = null, not_before_ms = ?2, note = ?3, \
    attempts = attempts + 1 where report = ?1";
pub(super) const END_REPORT: &str = "update reports set done = ?4, done_ms = ?2, note = ?3, \
    attempts = attempts + 1 where report = ?1";
/// Whatever report is in that place by now.
pub(super) const HOLD_REPORT: &str = "update reports set remote = ?4, held_status = ?5, held_check = ?6, \
    again = ?7, again_ms = ?8 where repository = ?1 and commit_id = ?2 and context = ?3";
pub(super) const OLD_REPORTS: &str =
    "select report from reports where done <> 0 and done_ms < ?1 order by done_ms limit 256";
pub(super) const REPORT_ROOM: &str =
    "select source, done, count(*), min(made_ms) from reports group by source, done";

pub(super) const KNOWN_REPORT: &str =
    "select report from reports where repository = ?1 and commit_id = ?2 and context = ?3";
/// What may be sent at `?1`. What was never tried never waits, and nothing waits for longer than twelve hours: a time
/// beyond that was noted by a clock that was set back since.
const IS_DUE: &str = "done = 0 and (not_before_ms <= ?1 or attempts = 0 or not_before_ms > ?1 + 43200000)";
/// What is to be sent again at `?1`.
const IS_DUE_AGAIN: &str = "done = 1 and again > 0 and (again_ms <= ?1 or again_ms > ?1 + 43200000)";

pub(super) fn due_sources() -> String {
    format!(
        "select source from reports where {IS_DUE} union \
        select source from reports where {IS_DUE_AGAIN} order by source"
    )
}

pub(super) fn reports_due_of() -> String {
    format!(
        "select * from ({REPORT} where {IS_DUE} and source = ?3 union all \
        {REPORT} where {IS_DUE_AGAIN} and source = ?3) order by not_before_ms, report limit ?2"
    )
}
pub(super) fn reports_due() -> String {
    format!(
        "select * from ({REPORT} where {IS_DUE} union all {REPORT} where {IS_DUE_AGAIN}) \
        order by not_before_ms, report limit ?2"
    )
}
pub(super) fn reports_newest() -> String {
    format!("{REPORT} order by report desc limit ?1")
}

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
