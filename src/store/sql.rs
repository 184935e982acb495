//! All SQL of the program: the schema and its migrations. Statements elsewhere in this module are
//! plain enough for another database, too.

/// Marks a SQLite file as ours: "CSgn".
pub(super) const APPLICATION_ID: i64 = 0x4353_676e;

/// One script for each schema version, in order. A script is never changed once released.
pub(super) const MIGRATIONS: &[&str] = &["
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    -- The audit log. `record` is the line of JSON that the chain covers; the other columns repeat
    -- parts of it for searching.
    CREATE TABLE log (
        seq INTEGER PRIMARY KEY,
        hash BLOB NOT NULL,
        time TEXT NOT NULL,
        event TEXT NOT NULL,
        outcome TEXT,
        repository TEXT,
        request_id TEXT,
        record BLOB NOT NULL
    );
    CREATE INDEX log_by_repository ON log (repository, seq);
    CREATE INDEX log_by_request ON log (request_id);

    CREATE TABLE repositories (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        device TEXT NOT NULL,
        inode TEXT NOT NULL
    ) WITHOUT ROWID;

    -- A ruleset in a repository. A row here is what `has_record` means.
    CREATE TABLE scopes (
        id INTEGER PRIMARY KEY,
        repository TEXT NOT NULL,
        ruleset TEXT NOT NULL,
        UNIQUE (repository, ruleset)
    );

    CREATE TABLE refs (id INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE);

    -- Commits that a ruleset accepted and that were applied, or adopted: closed under ancestry.
    -- `own` is 0 for commits that count for every covered ref, else the only ref they count for;
    -- `via` is the ref they came through.
    CREATE TABLE accepted (
        scope INTEGER NOT NULL,
        id BLOB NOT NULL,
        own INTEGER NOT NULL,
        via INTEGER NOT NULL,
        PRIMARY KEY (scope, id, own)
    ) WITHOUT ROWID;

    -- Accepted updates that nobody has seen applied yet, with what they will grant.
    CREATE TABLE pending (
        id INTEGER PRIMARY KEY,
        repository TEXT NOT NULL,
        request_id TEXT NOT NULL,
        ref INTEGER NOT NULL,
        old BLOB,
        new BLOB,
        decided INTEGER NOT NULL
    );
    CREATE INDEX pending_by_repository ON pending (repository, id);
    CREATE TABLE grants (
        pending INTEGER NOT NULL,
        ruleset TEXT NOT NULL,
        own INTEGER NOT NULL,
        commits BLOB NOT NULL
    );
    CREATE INDEX grants_by_pending ON grants (pending);

    -- The value of each ref as last applied.
    CREATE TABLE tips (
        repository TEXT NOT NULL,
        ref INTEGER NOT NULL,
        value BLOB,
        PRIMARY KEY (repository, ref)
    ) WITHOUT ROWID;
"];
