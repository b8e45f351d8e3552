-- Times are UTC microseconds, durations nanoseconds, money millionths of the currency, rates thousandths per second.
-- Nought stands for a time that is not set.

CREATE TABLE settings (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

-- Numbers that only rise: the access revision and the last event's number, with the time that it was decided at.
CREATE TABLE counters (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL,
  at    INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('event', 0), ('revision', 0);

CREATE TABLE clients (
  id              TEXT PRIMARY KEY,
  name            TEXT NOT NULL,
  status          TEXT NOT NULL CHECK (status = 'active' OR status = 'suspended'),
  operator        INTEGER NOT NULL,
  minimum_balance INTEGER NOT NULL,
  rate            INTEGER NOT NULL,
  burst           INTEGER NOT NULL,
  running_limit   INTEGER NOT NULL,
  queued_limit    INTEGER NOT NULL,
  metadata        BLOB NOT NULL,
  created_at      INTEGER NOT NULL,
  revision        INTEGER NOT NULL,
  posted          INTEGER NOT NULL DEFAULT 0,
  held            INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
  queued          INTEGER NOT NULL DEFAULT 0 CHECK (queued >= 0),
  running         INTEGER NOT NULL DEFAULT 0 CHECK (running >= 0),
  entries         INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE api_keys (
  id            TEXT PRIMARY KEY,
  client_id     TEXT NOT NULL,
  name          TEXT NOT NULL,
  secret_hash   BLOB NOT NULL,
  permissions   TEXT NOT NULL,
  allowed_cidrs TEXT NOT NULL,
  rate          INTEGER NOT NULL,
  burst         INTEGER NOT NULL,
  limit_key     TEXT NOT NULL,
  expires_at    INTEGER NOT NULL,
  revoked_at    INTEGER NOT NULL,
  replaced_by   TEXT NOT NULL,
  created_at    INTEGER NOT NULL,
  last_used_at  INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX api_keys_client ON api_keys (client_id, id);

-- Append-only. Numbers count from 1 without gaps in each ledger.
CREATE TABLE entries (
  client_id    TEXT NOT NULL,
  number       INTEGER NOT NULL,
  id           TEXT NOT NULL,
  kind         TEXT NOT NULL,
  posted       INTEGER NOT NULL,
  held         INTEGER NOT NULL,
  after_posted INTEGER NOT NULL,
  after_held   INTEGER NOT NULL,
  floor        INTEGER NOT NULL,
  job_id       TEXT NOT NULL,
  note         TEXT NOT NULL,
  created_at   INTEGER NOT NULL,
  PRIMARY KEY (client_id, number)
) WITHOUT ROWID;

CREATE TABLE job_types (
  name       TEXT PRIMARY KEY,
  definition BLOB NOT NULL,
  revision   INTEGER NOT NULL
) WITHOUT ROWID;

-- Every price that a type ever had: a job is charged by the one it was submitted under.
CREATE TABLE prices (
  job_type TEXT NOT NULL,
  version  INTEGER NOT NULL,
  price    BLOB NOT NULL,
  PRIMARY KEY (job_type, version)
) WITHOUT ROWID;

CREATE TABLE type_loads (
  job_type TEXT PRIMARY KEY,
  live     INTEGER NOT NULL CHECK (live >= 0),
  running  INTEGER NOT NULL CHECK (running >= 0),
  cost     INTEGER NOT NULL
) WITHOUT ROWID;

-- What was asked: written at submit, never changed. A wide row, so it keeps its rowid; every job stands in queue or in
-- outcomes too, which name its client, so one index serves both kinds of lookup. What may be large stands last: whoever
-- reads what stands before it does not walk its pages.
CREATE TABLE jobs (
  number        INTEGER PRIMARY KEY,
  id            TEXT NOT NULL,
  client_id     TEXT NOT NULL,
  type          TEXT NOT NULL,
  priority      INTEGER NOT NULL,
  max_attempts  INTEGER NOT NULL,
  time_limit    INTEGER NOT NULL,
  held          INTEGER NOT NULL,
  price_version INTEGER NOT NULL,
  run_at        INTEGER NOT NULL,
  created_at    INTEGER NOT NULL,
  actor         TEXT NOT NULL,
  event         INTEGER NOT NULL,
  metadata      BLOB NOT NULL,
  input         BLOB NOT NULL
);
CREATE UNIQUE INDEX jobs_client ON jobs (client_id, id);

-- How it ended: written once, in the transaction that settles it. No number is given twice, also after the newest rows
-- were removed: retention walks by number and would miss what comes again.
CREATE TABLE outcomes (
  number        INTEGER PRIMARY KEY AUTOINCREMENT,
  job_id        TEXT NOT NULL,
  client_id     TEXT NOT NULL,
  type          TEXT NOT NULL,
  status        TEXT NOT NULL CHECK (status = 'succeeded' OR status = 'failed' OR status = 'cancelled'),
  charged       INTEGER NOT NULL,
  released      INTEGER NOT NULL,
  units         BLOB,
  attempt       INTEGER NOT NULL,
  token         TEXT NOT NULL,
  error_code    TEXT NOT NULL,
  error_message TEXT NOT NULL,
  started_at    INTEGER NOT NULL,
  leased_at     INTEGER NOT NULL,
  lease_event   INTEGER NOT NULL,
  finished_at   INTEGER NOT NULL,
  actor         TEXT NOT NULL,
  event         INTEGER NOT NULL,
  result        BLOB
);
CREATE UNIQUE INDEX outcomes_job ON outcomes (job_id);
CREATE INDEX outcomes_unsuccessful ON outcomes (client_id, status, job_id) WHERE status <> 'succeeded';

-- A live job's narrow row: what leases touch. It goes when the job ends.
CREATE TABLE queue (
  job_id           TEXT PRIMARY KEY,
  client_id        TEXT NOT NULL,
  type             TEXT NOT NULL,
  rank             INTEGER NOT NULL, -- the priority with its sign turned: the order of leases, and nothing else, runs by it
  held             INTEGER NOT NULL,
  price_version    INTEGER NOT NULL,
  state            INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2), -- ready, waiting, leased; a list of values would build a table for every row
  at               INTEGER NOT NULL,
  attempt          INTEGER NOT NULL DEFAULT 0,
  failures         INTEGER NOT NULL DEFAULT 0,
  losses           INTEGER NOT NULL DEFAULT 0,
  max_attempts     INTEGER NOT NULL,
  time_limit       INTEGER NOT NULL,
  started_at       INTEGER NOT NULL DEFAULT 0,
  leased_at        INTEGER NOT NULL DEFAULT 0,
  lease_event      INTEGER NOT NULL DEFAULT 0,
  attempt_deadline INTEGER NOT NULL DEFAULT 0,
  token            TEXT NOT NULL DEFAULT '',
  worker           TEXT NOT NULL DEFAULT '',
  cancel_requested INTEGER NOT NULL DEFAULT 0,
  progress         INTEGER NOT NULL DEFAULT -1000000, -- millionths; below nought: none told
  error_code       TEXT NOT NULL DEFAULT '',
  error_message    TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
-- Only what may run now is in the index that leases claim from.
CREATE INDEX queue_ready ON queue (type, client_id, rank, job_id) WHERE state = 0;
CREATE INDEX queue_due ON queue (at) WHERE state <> 0;
-- Only jobs that ran before and wait for another try.
CREATE INDEX queue_overdue ON queue (started_at + time_limit / 1000) WHERE state = 0 AND started_at > 0;

-- No ready item of a lane stands before its head, in the order of leases.
CREATE TABLE lanes (
  type      TEXT NOT NULL,
  client_id TEXT NOT NULL,
  ready     INTEGER NOT NULL CHECK (ready >= 0),
  head_priority INTEGER NOT NULL,
  head TEXT NOT NULL,
  PRIMARY KEY (type, client_id)
) WITHOUT ROWID;

-- Ended jobs by day (days since 1970, UTC), kept by adding.
CREATE TABLE usage (
  client_id TEXT NOT NULL,
  day       INTEGER NOT NULL,
  type      TEXT NOT NULL,
  succeeded INTEGER NOT NULL,
  failed    INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  charged   INTEGER NOT NULL,
  PRIMARY KEY (client_id, day, type)
) WITHOUT ROWID;

-- Append-only. A subject's events lie together, in order. That a job was queued, leased last and ended is told by its rows
-- in jobs, queue and outcomes, which hold the events' numbers: a row for each would cost every job a fifth of its work.
CREATE TABLE events (
  subject   TEXT NOT NULL,
  number    INTEGER NOT NULL,
  kind      TEXT NOT NULL,
  client_id TEXT NOT NULL,
  actor     TEXT NOT NULL,
  data      BLOB,
  at        INTEGER NOT NULL,
  people    INTEGER NOT NULL, -- 1 where somebody did it, 0 for the jobs' own course
  PRIMARY KEY (subject, number)
) WITHOUT ROWID;
CREATE INDEX events_people ON events (number) WHERE people = 1;

-- In the order of their writing, so that the oldest go first without an index of their own.
CREATE TABLE idempotency (
  number       INTEGER PRIMARY KEY,
  client_id    TEXT NOT NULL,
  key          TEXT NOT NULL,
  request_hash BLOB NOT NULL,
  created_at   INTEGER NOT NULL,
  jobs         TEXT NOT NULL,
  body         BLOB
);
CREATE UNIQUE INDEX idempotency_key ON idempotency (client_id, key);
