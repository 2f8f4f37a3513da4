-- The ledger: who asked Nix for what from inside a build, and what became of it.
--
-- airlockd alone writes; `airlock ledger` and anyone of the group may read at the same time (WAL).
-- This is the schema of PRAGMA user_version 1. A change of it raises that number and adds the
-- statements that lead there from the number before to `migrations` in database.cpp: old ledgers
-- are carried along, never thrown away.

-- One build's right to ask. AUTOINCREMENT: a number is never used twice, also not after the
-- newest rows were deleted, as reports and logs name sessions by it.
CREATE TABLE sessions (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  derivation TEXT    NOT NULL,             -- base name of the .drv
  state      TEXT    NOT NULL CHECK (state IN ('open', 'ended', 'settled', 'closed')),
  note       TEXT    NOT NULL DEFAULT '',  -- why it was condemned, or how it was settled
  opened     INTEGER NOT NULL,             -- Unix time
  changed    INTEGER NOT NULL              -- Unix time of the last change of state
);

-- Which session asked for the build that became this one. Several may wait for one inner build.
CREATE TABLE parents (
  session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  parent  INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  PRIMARY KEY (session, parent)
) WITHOUT ROWID;

-- One row an operation, in the order in which they were answered.
CREATE TABLE operations (
  id         INTEGER PRIMARY KEY,
  session    INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  connection INTEGER NOT NULL,             -- counted from 1 within the session
  at         INTEGER NOT NULL,             -- Unix time in microseconds, when it was answered
  duration   INTEGER NOT NULL,             -- microseconds
  operation  TEXT    NOT NULL,             -- the protocol's name
  subject    TEXT    NOT NULL,             -- paths and names it was about
  verdict    TEXT    NOT NULL,             -- allow, answer, deny, condemn, broken
  rule       TEXT    NOT NULL,             -- the policy rule that decided
  reason     TEXT    NOT NULL,             -- of a denial or failure, else empty
  succeeded  INTEGER NOT NULL
);
CREATE INDEX operations_of_session ON operations (session);

-- The paths that were made visible beyond the build's inputs.
CREATE TABLE grants (
  session INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
  path    TEXT    NOT NULL,                -- store base name
  how     TEXT    NOT NULL,                -- added, built
  at      INTEGER NOT NULL,                -- Unix time in microseconds
  PRIMARY KEY (session, path)
) WITHOUT ROWID;
