-- SPDX-License-Identifier: Apache-2.0 OR MIT
-- What a relayer remembers. Hashes and addresses are 0x-hex text, so that an operator can read the tables.

-- One row: whose chain this is and how far it was followed.
CREATE TABLE progress (
    id               INTEGER PRIMARY KEY CHECK (id = 0),
    chain_id         INTEGER NOT NULL,
    kms_auth         TEXT    NOT NULL,
    -- Nothing is pushed for blocks up to this one: they were final before this relayer first ran.
    quiet_until      INTEGER,
    head_number      INTEGER,
    head_hash        TEXT,
    finalized_number INTEGER,
    finalized_hash   TEXT
);

-- The processed blocks from the finalised one to the head, to notice a reorganisation.
CREATE TABLE blocks (
    number INTEGER PRIMARY KEY,
    hash   TEXT NOT NULL
);

CREATE TABLE events (
    block_number INTEGER NOT NULL,
    log_index    INTEGER NOT NULL,
    block_hash   TEXT    NOT NULL,
    tx_hash      TEXT    NOT NULL,
    address      TEXT    NOT NULL,
    topics       TEXT    NOT NULL,
    data         TEXT    NOT NULL,
    PRIMARY KEY (block_number, log_index)
);

CREATE TABLE apps (
    app          TEXT PRIMARY KEY,
    registrar    TEXT    NOT NULL,
    is_foreign   INTEGER NOT NULL,
    block_number INTEGER NOT NULL
);
CREATE INDEX apps_by_block ON apps (block_number);

-- What is to be done in the world. `key` makes each effect one, however often its cause is seen.
CREATE TABLE outbox (
    sequence   INTEGER PRIMARY KEY AUTOINCREMENT,
    key        TEXT    NOT NULL UNIQUE,
    lane       TEXT    NOT NULL CHECK (lane IN ('http', 'chain')),
    origin     TEXT    NOT NULL,
    effect     TEXT    NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('pending', 'sent', 'mined', 'done', 'failed')),
    attempts   INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    mined_number INTEGER,
    mined_hash   TEXT
);
CREATE INDEX outbox_open ON outbox (lane, state, sequence) WHERE state IN ('pending', 'sent', 'mined');
CREATE INDEX outbox_by_origin ON outbox (origin, state);

-- Signed transactions, kept before they are broadcast: a restart sends the same one again instead of another.
CREATE TABLE transactions (
    hash         TEXT PRIMARY KEY,
    effect_key   TEXT    NOT NULL REFERENCES outbox (key),
    nonce        INTEGER NOT NULL,
    max_fee      TEXT    NOT NULL,
    priority_fee TEXT    NOT NULL,
    raw          TEXT    NOT NULL
);
CREATE INDEX transactions_by_effect ON transactions (effect_key);

CREATE TABLE letters (
    cursor    INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient TEXT    NOT NULL,
    sender    TEXT    NOT NULL,
    round     INTEGER NOT NULL,
    hash      TEXT    NOT NULL UNIQUE,
    letter    TEXT    NOT NULL
);
CREATE INDEX letters_by_recipient ON letters (recipient, cursor);
CREATE INDEX letters_by_pair ON letters (recipient, sender);
