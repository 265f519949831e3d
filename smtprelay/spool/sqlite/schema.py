"""The tables, as migrations by number. A migration that was released is never edited: add the next one."""

from __future__ import annotations

from typing import Final

# A recipient is in exactly one of the indices `queued`, `sending`, `held` and `ended`: each is as long as what it
# lists, so that leasing costs the same with ten recipients waiting and with ten million delivered.
_FIRST = """
CREATE TABLE messages (
    id           TEXT PRIMARY KEY,   -- in the order of time
    reverse_path TEXT NOT NULL,
    ret          TEXT NOT NULL,
    envid        TEXT NOT NULL,
    smtputf8     INTEGER NOT NULL,
    client       TEXT NOT NULL,
    helo         TEXT NOT NULL,
    protocol     TEXT NOT NULL,
    account      TEXT NOT NULL,
    size         INTEGER NOT NULL,
    received_at  INTEGER NOT NULL,
    due_at       INTEGER NOT NULL,
    credential   TEXT NOT NULL,
    domain       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    message_id   TEXT NOT NULL,
    repairs      TEXT NOT NULL,      -- a JSON array
    hold         TEXT NOT NULL,
    dsn_for      TEXT NOT NULL,
    sender       TEXT NOT NULL,      -- the account, or else the client: whose key the next is
    idempotency_key TEXT NOT NULL,
    recipients   INTEGER NOT NULL,   -- how many rows in `recipients`
    chunks       INTEGER NOT NULL,   -- how many rows in `chunks`, until it ended
    ended_at     INTEGER NOT NULL DEFAULT 0  -- when the last recipient ended; 0 before
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX messages_by_key ON messages (sender, idempotency_key) WHERE idempotency_key <> '';
CREATE INDEX messages_by_end ON messages (ended_at);  -- 0: what waits, in the order of time

CREATE TABLE recipients (
    message    TEXT NOT NULL REFERENCES messages ON DELETE CASCADE,
    n          INTEGER NOT NULL,          -- its place in the envelope, from 1
    address    TEXT NOT NULL,
    notify     TEXT NOT NULL,
    orcpt      TEXT NOT NULL,
    credential TEXT NOT NULL,             -- the message's, for the index
    state      TEXT NOT NULL,
    reason     TEXT NOT NULL,
    next_at    INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    lease      TEXT NOT NULL DEFAULT '',  -- the token, while sending
    wish       TEXT NOT NULL DEFAULT '',  -- the state that an operator asked for while it was sending
    held_since INTEGER NOT NULL,          -- 0: not held
    held_ms    INTEGER NOT NULL DEFAULT 0,
    warned     INTEGER NOT NULL DEFAULT 0,
    dsn        TEXT NOT NULL DEFAULT '',
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (message, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX queued ON recipients (credential, next_at) WHERE state = 'queued';
CREATE INDEX sending ON recipients (lease) WHERE state = 'sending';
CREATE INDEX held ON recipients (message, reason) WHERE state = 'held';
CREATE INDEX ended ON recipients (state, message)
    WHERE state = 'delivered' OR state = 'bounced' OR state = 'suppressed' OR state = 'cancelled';

CREATE TABLE attempts (
    message    TEXT NOT NULL,
    n          INTEGER NOT NULL,
    number     INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at   INTEGER NOT NULL DEFAULT 0,
    outcome    TEXT NOT NULL DEFAULT 'open',
    phase      TEXT NOT NULL DEFAULT '',
    reply      TEXT NOT NULL DEFAULT '',
    ambiguous  INTEGER NOT NULL DEFAULT 0,
    smarthost  TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (message, n, number),
    FOREIGN KEY (message, n) REFERENCES recipients ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    token   TEXT PRIMARY KEY,
    message TEXT NOT NULL,
    owner   TEXT NOT NULL,
    until   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- With rowids: WITHOUT ROWID, every comparison on the way to a chunk would read another chunk as a whole.
CREATE TABLE chunks (
    message TEXT NOT NULL,
    n       INTEGER NOT NULL,
    crc     INTEGER NOT NULL,
    data    BLOB NOT NULL,
    PRIMARY KEY (message, n)
) STRICT;

-- Bodies that no message needs: still being written, left behind by a crash, or of a large message that ended.
CREATE TABLE loose_bodies (
    message TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;

CREATE TABLE facts (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
"""

# What was signed before this is taken for signed with every key.
_SELECTORS = """
ALTER TABLE messages ADD COLUMN selectors TEXT NOT NULL DEFAULT '';  -- separated by spaces
ALTER TABLE messages ADD COLUMN author_domain TEXT NOT NULL DEFAULT '';
"""

_TAGS = """
ALTER TABLE messages ADD COLUMN tags TEXT NOT NULL DEFAULT '[]';  -- a JSON array
"""

_EVENTS = """
ALTER TABLE messages ADD COLUMN changes TEXT NOT NULL DEFAULT '[]';  -- a JSON array

DROP INDEX ended;
CREATE INDEX ended ON recipients (state, message)
    WHERE state = 'delivered' OR state = 'bounced' OR state = 'suppressed' OR state = 'cancelled' OR state = 'captured';

-- What webhooks are still to be told.
CREATE TABLE events (
    seq     INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    event   TEXT NOT NULL,
    message TEXT NOT NULL,
    n       INTEGER NOT NULL,   -- of the recipient; 0: all
    attempt INTEGER NOT NULL,   -- its number; 0: none
    reason  TEXT NOT NULL       -- of what was held or bounced
) STRICT;
"""

_SUPPRESSIONS = """
ALTER TABLE messages ADD COLUMN bulk INTEGER NOT NULL DEFAULT 0;

CREATE TABLE suppressions (
    address    TEXT PRIMARY KEY COLLATE NOCASE,
    cause      TEXT NOT NULL,
    since      INTEGER NOT NULL,
    expires    INTEGER NOT NULL,           -- 0: never
    source     TEXT NOT NULL,
    note       TEXT NOT NULL,
    removed_at INTEGER NOT NULL DEFAULT 0  -- when a person did; what happened before does not count any more
) STRICT, WITHOUT ROWID;
CREATE INDEX suppressions_by_end ON suppressions (expires) WHERE expires > 0;

-- What was told of addresses after mail was delivered to them.
CREATE TABLE fates (
    address TEXT COLLATE NOCASE,
    at      INTEGER NOT NULL,
    cause   TEXT NOT NULL,
    source  TEXT NOT NULL,
    PRIMARY KEY (address, at, cause)
) STRICT, WITHOUT ROWID;
CREATE INDEX fates_by_day ON fates (at);
"""

# SQLite takes an index for covering only where it has what the query names, and that is the state, too.
_COVERING = """
DROP INDEX queued;
DROP INDEX sending;
DROP INDEX held;
CREATE INDEX queued ON recipients (credential, next_at, message, n, state) WHERE state = 'queued';
CREATE INDEX sending ON recipients (lease, credential, state) WHERE state = 'sending';
CREATE INDEX held ON recipients (message, reason, state) WHERE state = 'held';

-- Messages that can be neither read nor set aside: they are passed over until the next start.
CREATE TABLE damaged (
    message TEXT PRIMARY KEY
) STRICT, WITHOUT ROWID;
"""

MIGRATIONS: Final[tuple[str, ...]] = (_FIRST, _SELECTORS, _TAGS, _EVENTS, _SUPPRESSIONS, _COVERING)
