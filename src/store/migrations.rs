//! The schema of the database: one script a version. The queries are beside it, in `sql`.
//!
//! What is here is plain SQL, except for `without rowid` and reading out of records with `json_extract`. Times are milliseconds since the epoch, ids are raw digests.

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
    "
-- What forges told, until it was judged, and for a while after that so that it can be recognized.
create table deliveries (
    delivery    integer primary key autoincrement,
    source      text not null,
    -- the forge's id of it, where it gave one
    forge_id    text,
    -- SHA-256 of the raw body
    digest      blob not null,
    -- id of a repository, as in `repositories`
    repository  text not null,
    event       text not null,
    received_ms integer not null,
    -- 0 queued, 1 done
    done        integer not null default 0,
    done_ms     integer,
    attempts    integer not null default 0,
    -- why it waits, or what came of it
    note        text
);
create unique index delivery_by_id on deliveries (source, forge_id) where forge_id is not null;
create index delivery_by_digest on deliveries (source, digest);
create index delivery_queue on deliveries (repository, delivery, source, received_ms, done) where done = 0;
create index delivery_oldest on deliveries (source, received_ms) where done = 0;
create index delivery_done on deliveries (source, done_ms) where done = 1;
create index delivery_by_source on deliveries (source, delivery);

-- How much of it there is, so that a full queue is known without counting.
create table delivery_room (
    source text not null,
    done   integer not null,
    count  integer not null,
    bytes  integer not null,
    primary key (source, done)
) without rowid;
create trigger delivery_added after insert on deliveries begin
    insert into delivery_room (source, done, count, bytes)
        values (new.source, new.done, 1, length(cast(new.event as blob)))
        on conflict (source, done) do update set count = count + 1, bytes = bytes + excluded.bytes;
end;
create trigger delivery_moved after update of done on deliveries when old.done <> new.done begin
    update delivery_room set count = count - 1, bytes = bytes - length(cast(old.event as blob))
        where source = old.source and done = old.done;
    insert into delivery_room (source, done, count, bytes)
        values (new.source, new.done, 1, length(cast(new.event as blob)))
        on conflict (source, done) do update set count = count + 1, bytes = bytes + excluded.bytes;
end;
create trigger delivery_gone after delete on deliveries begin
    update delivery_room set count = count - 1, bytes = bytes - length(cast(old.event as blob))
        where source = old.source and done = old.done;
end;

-- What forges are to be told about commits: the newest of each context.
create table reports (
    report        integer primary key autoincrement,
    source        text not null,
    repository    text not null,
    commit_id     blob not null,
    context       text not null,
    -- the ref that it is about, where it is about one
    ref           blob,
    state         integer not null,
    description   text not null,
    -- 1 where it is about what a proposal would bring to the ref
    proposed      integer not null default 0,
    request_id    text,
    made_ms       integer not null,
    attempts      integer not null default 0,
    not_before_ms integer not null,
    -- 0 to be sent, 1 sent, 2 given up
    done          integer not null default 0,
    done_ms       integer,
    -- why it was not sent yet
    note          text,
    -- what the forge calls it, where it is changed and not made anew
    remote        text,
    unique (repository, commit_id, context)
);
create index report_due on reports (not_before_ms) where done = 0;
create index report_due_of on reports (source, not_before_ms) where done = 0;
create index report_done on reports (done_ms) where done <> 0;

-- Which repository of a forge a configured one is: learnt once and never guessed again (N3).
create table forge_repositories (
    source   text not null,
    forge_id text not null,
    -- the configured name
    name     text not null,
    seen_ms  integer not null,
    primary key (source, forge_id),
    unique (source, name)
) without rowid;

-- Repositories of forges that somebody adopted: from then on they are judged (N9).
create table watched_repositories (
    repository integer primary key references repositories (repository),
    -- the audit record of the adoption
    seq        integer not null
);
-- Values of their refs that were judged, or are on record as gone before anybody could look (N29).
create table judged_values (
    ref       integer not null references refs (ref),
    commit_id blob not null,
    primary key (ref, commit_id)
) without rowid;
-- Moves of them that are on record; an empty id is no such ref (N29).
create table judged_moves (
    ref    integer not null references refs (ref),
    old_id blob not null,
    new_id blob not null,
    primary key (ref, old_id, new_id)
) without rowid;

-- What became of authentic deliveries.
create table webhook_counters (
    source text not null,
    result text not null,
    count  integer not null,
    at_ms  integer not null,
    primary key (source, result)
) without rowid;
",
    "
-- An id that nobody signed is whatever somebody wrote: it stands in nobody's way.
alter table deliveries add column id_signed integer not null default 0;
drop index delivery_by_id;
create unique index delivery_by_signed_id on deliveries (source, forge_id) where id_signed = 1;
",
    "
-- What the forge has of a commit's context, whichever report said it: SHA-256 of the last status and the last
-- check run that it took, null where nobody knows.
alter table reports add column held_status blob;
alter table reports add column held_check blob;
-- How often the newest state is still to be sent again, and when next: the end of a call is unknown, so that it
-- may take effect later than the call that followed it.
alter table reports add column again integer not null default 0;
alter table reports add column again_ms integer;
create index report_again on reports (again_ms) where done = 1 and again > 0;
create index report_again_of on reports (source, again_ms) where done = 1 and again > 0;
",
    "
-- Refs of forges whose last judged value was refused, or stands on such a one: what they held before that, which
-- is what their next move is judged from. A ref that is not here is sound where it stands.
create table unsound_refs (
    ref        integer primary key references refs (ref),
    -- the last value that was accepted, adopted or restored; null is no such ref
    sound      blob,
    -- the decision that refused the present value
    request_id text not null,
    -- since when, by the first refusal
    since_ms   integer not null
);
-- Where refused moves have put such a ref since, and who made them, where a delivery vouches for that.
create table refused_moves (
    number     integer primary key,
    ref        integer not null references refs (ref),
    -- null is no such ref
    value      blob,
    -- null where nobody knows
    login      text,
    account_id text
);
create index refused_moves_of on refused_moves (ref, number);

-- Until now the next move was judged from wherever a refused one had put the ref. So a ref is sound only if no move
-- of it was refused since its repository was adopted, or since it was last restored: whatever was accepted on top
-- of a refused move was never judged from before it. Moves are found by their ids and, where records write it as it
-- is, by the name of the ref: of two refs that may be meant, both are taken.
create table moved as
    select f.ref as ref, f.tip as tip, l.seq as seq, l.at_ms as at_ms, m.old_id as old_id, m.new_id as new_id,
        l.outcome as outcome, l.request_id as request_id
    from watched_repositories w
    join repositories p on p.repository = w.repository
    join audit_log l on l.repository = p.id and l.seq > w.seq and l.kind = 'decision'
        and l.outcome in ('accept', 'refuse')
        and json_extract(l.record, '$.mode') in ('detected', 'unannounced')
    join refs f on f.repository = w.repository and f.tip_known = 1
    join judged_moves m on m.ref = f.ref
        and lower(hex(m.old_id)) = coalesce(json_extract(l.record, '$.refs[0].old'), '')
        and lower(hex(m.new_id)) = coalesce(json_extract(l.record, '$.refs[0].new'), '')
    where json_extract(l.record, '$.refs[0].ref') is not null
        and (json_extract(l.record, '$.refs[0].ref') = cast(f.name as text)
            or instr(json_extract(l.record, '$.refs[0].ref'), char(92)) > 0)
        and l.seq > coalesce((select max(r.seq) from audit_log r where r.kind = 'restore' and r.repository = p.id
            and json_extract(r.record, '$.step') = 'done'
            and json_extract(r.record, '$.ref') = cast(f.name as text)), 0);
insert into unsound_refs (ref, sound, request_id, since_ms)
    select ref,
        nullif((select old_id from moved o where o.ref = n.ref and o.outcome = 'refuse' order by seq limit 1), x''),
        (select request_id from moved l where l.ref = n.ref and l.outcome = 'refuse' order by seq desc limit 1),
        min(at_ms)
    from moved n where outcome = 'refuse' group by ref;
-- Who made those moves is not taken out of the record: nobody knows.
insert into refused_moves (ref, value) select ref, nullif(new_id, x'') from moved n
    where exists (select 1 from unsound_refs u where u.ref = n.ref)
    and seq >= (select min(seq) from moved o where o.ref = n.ref and o.outcome = 'refuse') order by seq;
delete from refused_moves where ref in
    (select u.ref from unsound_refs u join refs f on f.ref = u.ref where u.sound is f.tip);
delete from unsound_refs where ref in
    (select u.ref from unsound_refs u join refs f on f.ref = u.ref where u.sound is f.tip);
drop table moved;
-- A record that was cut because there were too many does not say which ref it refused: such a repository waits until
-- somebody adopts it anew.
delete from watched_repositories where exists (
    select 1 from repositories p join audit_log l on l.repository = p.id and l.seq > watched_repositories.seq
    where p.repository = watched_repositories.repository and l.kind = 'decision' and l.outcome = 'refuse'
        and json_extract(l.record, '$.mode') in ('detected', 'unannounced')
        and json_extract(l.record, '$.refs[0].ref') is null);
",
];
