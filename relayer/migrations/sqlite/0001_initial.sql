-- SPDX-License-Identifier: Apache-2.0 OR MIT
-- What a relayer remembers. Hashes, addresses and byte strings are BLOBs: `hex(address)` shows them. Times are milliseconds
-- since the Unix epoch unless said otherwise. `../postgres` has the same tables.

-- One row: whose chain this is and how far it was followed.
CREATE TABLE progress (
    id               INTEGER PRIMARY KEY CHECK (id = 0),
    chain_id         INTEGER NOT NULL,
    kms_auth         BLOB    NOT NULL,
    -- How many relayers have opened this database; numbers them.
    relayers         INTEGER NOT NULL DEFAULT 0,
    -- Nothing is pushed for blocks up to this one: they were final before this relayer first ran.
    quiet_until      INTEGER,
    head_number      INTEGER,
    head_hash        BLOB,
    finalized_number INTEGER,
    finalized_hash   BLOB
);

-- Who may follow the chain, and use each signer's nonces, and until when.
CREATE TABLE leases (
    name   TEXT    PRIMARY KEY,
    holder INTEGER NOT NULL,
    until  INTEGER NOT NULL
) WITHOUT ROWID;

-- Why no effects of finality are enqueued.
CREATE TABLE latches (
    kind         TEXT    PRIMARY KEY,
    detail       TEXT    NOT NULL,
    block_number INTEGER,
    block_hash   BLOB,
    since        INTEGER NOT NULL
) WITHOUT ROWID;

-- The processed blocks from the finalised one to the head, to notice a reorganisation.
CREATE TABLE blocks (
    number INTEGER PRIMARY KEY,
    hash   BLOB    NOT NULL
);

-- Appended in the order of the chain. `event` is the first eight bytes of the first topic.
CREATE TABLE events (
    block_number INTEGER NOT NULL,
    log_index    INTEGER NOT NULL,
    block_hash   BLOB    NOT NULL,
    timestamp    INTEGER NOT NULL,
    tx_hash      BLOB    NOT NULL,
    address      BLOB    NOT NULL,
    event        INTEGER NOT NULL,
    topics       BLOB    NOT NULL,
    data         BLOB    NOT NULL,
    PRIMARY KEY (block_number, log_index)
) WITHOUT ROWID;
CREATE INDEX events_by_address ON events (address, block_number, log_index);
CREATE INDEX events_by_event ON events (event, block_number, log_index);

CREATE TABLE apps (
    app          BLOB    PRIMARY KEY,
    registrar    BLOB    NOT NULL,
    is_foreign   BOOLEAN NOT NULL,
    block_number INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX apps_by_block ON apps (block_number);

-- The state that the events up to the finalised block tell, in parts: `src/store/folded.rs` says what a key is.
CREATE TABLE folded (
    key   BLOB PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

-- What is to be done in the world. `key` makes each effect one, however often its cause is seen.
CREATE TABLE outbox (
    sequence     INTEGER PRIMARY KEY AUTOINCREMENT,
    key          TEXT    NOT NULL UNIQUE,
    kind         TEXT    NOT NULL,
    lane         TEXT    NOT NULL CHECK (lane IN ('http', 'chain')),
    origin       TEXT    NOT NULL,
    effect       TEXT    NOT NULL,
    state        TEXT    NOT NULL DEFAULT 'pending'
                 CHECK (state IN ('pending', 'sent', 'mined', 'done', 'failed', 'cancelled')),
    created      INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    last_error   TEXT,
    not_before   INTEGER NOT NULL DEFAULT 0,
    -- Which relayer is at it, and until when nobody else takes it.
    worker       INTEGER,
    leased_until INTEGER NOT NULL DEFAULT 0,
    tx_hash      BLOB,
    mined_number INTEGER,
    mined_hash   BLOB
);
CREATE INDEX outbox_waiting ON outbox (lane, attempts, sequence) WHERE state = 'pending';
CREATE INDEX outbox_by_state ON outbox (state, sequence);
CREATE INDEX outbox_by_origin ON outbox (origin, state);

-- Signed transactions, kept before they are broadcast: a restart sends the same one again instead of another.
CREATE TABLE transactions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    hash         BLOB    NOT NULL UNIQUE,
    effect_key   TEXT    NOT NULL REFERENCES outbox (key),
    signer       BLOB    NOT NULL,
    nonce        INTEGER NOT NULL,
    max_fee      TEXT    NOT NULL,
    priority_fee TEXT    NOT NULL,
    raw          BLOB    NOT NULL
);
CREATE INDEX transactions_by_effect ON transactions (effect_key);
CREATE INDEX transactions_by_nonce ON transactions (signer, nonce);

CREATE TABLE letters (
    cursor    INTEGER PRIMARY KEY AUTOINCREMENT,
    recipient BLOB    NOT NULL,
    sender    BLOB    NOT NULL,
    round     INTEGER NOT NULL,
    hash      BLOB    NOT NULL UNIQUE,
    letter    TEXT    NOT NULL
);
CREATE INDEX letters_by_recipient ON letters (recipient, cursor);
CREATE INDEX letters_by_pair ON letters (recipient, sender);
CREATE INDEX letters_by_round ON letters (round);
