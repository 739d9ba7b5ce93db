-- SPDX-License-Identifier: Apache-2.0 OR MIT
-- What a relayer remembers. Hashes, addresses and byte strings are BYTEA. Times are milliseconds
-- since the Unix epoch unless said otherwise. `../sqlite` has the same tables.

-- One row: whose chain this is and how far it was followed.
CREATE TABLE progress (
    id               BIGINT PRIMARY KEY CHECK (id = 0),
    chain_id         BIGINT NOT NULL,
    kms_auth         BYTEA    NOT NULL,
    -- How many relayers have opened this database; numbers them.
    relayers         BIGINT NOT NULL DEFAULT 0,
    -- Nothing is pushed for blocks up to this one: they were final before this relayer first ran.
    quiet_until      BIGINT,
    head_number      BIGINT,
    head_hash        BYTEA,
    finalized_number BIGINT,
    finalized_hash   BYTEA
);

-- Who may follow the chain, and use each signer's nonces, and until when.
CREATE TABLE leases (
    name   TEXT    PRIMARY KEY,
    holder BIGINT NOT NULL,
    until  BIGINT NOT NULL
);

-- Why no effects of finality are enqueued.
CREATE TABLE latches (
    kind         TEXT    PRIMARY KEY,
    detail       TEXT    NOT NULL,
    block_number BIGINT,
    block_hash   BYTEA,
    since        BIGINT NOT NULL
);

-- The processed blocks from the finalised one to the head, to notice a reorganisation.
CREATE TABLE blocks (
    number BIGINT PRIMARY KEY,
    hash   BYTEA    NOT NULL
);

-- Appended in the order of the chain. `event` is the first eight bytes of the first topic.
CREATE TABLE events (
    block_number BIGINT NOT NULL,
    log_index    BIGINT NOT NULL,
    block_hash   BYTEA    NOT NULL,
    timestamp    BIGINT NOT NULL,
    tx_hash      BYTEA    NOT NULL,
    address      BYTEA    NOT NULL,
    event        BIGINT NOT NULL,
    topics       BYTEA    NOT NULL,
    data         BYTEA    NOT NULL,
    PRIMARY KEY (block_number, log_index)
);
CREATE INDEX events_by_address ON events (address, block_number, log_index);
CREATE INDEX events_by_event ON events (event, block_number, log_index);

CREATE TABLE apps (
    app          BYTEA    PRIMARY KEY,
    registrar    BYTEA    NOT NULL,
    is_foreign   BOOLEAN NOT NULL,
    block_number BIGINT NOT NULL
);
CREATE INDEX apps_by_block ON apps (block_number);

-- The state that the events up to the finalised block tell, in parts: `src/store/folded.rs` says what a key is.
CREATE TABLE folded (
    key   BYTEA PRIMARY KEY,
    value TEXT NOT NULL
);

-- What is to be done in the world. `key` makes each effect one, however often its cause is seen.
CREATE TABLE outbox (
    sequence     BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key          TEXT    NOT NULL UNIQUE,
    kind         TEXT    NOT NULL,
    lane         TEXT    NOT NULL CHECK (lane IN ('http', 'chain')),
    origin       TEXT    NOT NULL,
    effect       TEXT    NOT NULL,
    state        TEXT    NOT NULL DEFAULT 'pending'
                 CHECK (state IN ('pending', 'sent', 'mined', 'done', 'failed', 'cancelled')),
    created      BIGINT NOT NULL,
    attempts     BIGINT NOT NULL DEFAULT 0,
    last_error   TEXT,
    not_before   BIGINT NOT NULL DEFAULT 0,
    -- Which relayer is at it, and until when nobody else takes it.
    worker       BIGINT,
    leased_until BIGINT NOT NULL DEFAULT 0,
    tx_hash      BYTEA,
    mined_number BIGINT,
    mined_hash   BYTEA
);
CREATE INDEX outbox_waiting ON outbox (lane, attempts, sequence) WHERE state = 'pending';
CREATE INDEX outbox_by_state ON outbox (state, sequence);
CREATE INDEX outbox_by_origin ON outbox (origin, state);

-- Signed transactions, kept before they are broadcast: a restart sends the same one again instead of another.
CREATE TABLE transactions (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    hash         BYTEA    NOT NULL UNIQUE,
    effect_key   TEXT    NOT NULL REFERENCES outbox (key),
    signer       BYTEA    NOT NULL,
    nonce        BIGINT NOT NULL,
    max_fee      TEXT    NOT NULL,
    priority_fee TEXT    NOT NULL,
    raw          BYTEA    NOT NULL
);
CREATE INDEX transactions_by_effect ON transactions (effect_key);
CREATE INDEX transactions_by_nonce ON transactions (signer, nonce);

CREATE TABLE letters (
    cursor    BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient BYTEA    NOT NULL,
    sender    BYTEA    NOT NULL,
    round     BIGINT NOT NULL,
    hash      BYTEA    NOT NULL UNIQUE,
    letter    TEXT    NOT NULL
);
CREATE INDEX letters_by_recipient ON letters (recipient, cursor);
CREATE INDEX letters_by_pair ON letters (recipient, sender);
CREATE INDEX letters_by_round ON letters (round);
