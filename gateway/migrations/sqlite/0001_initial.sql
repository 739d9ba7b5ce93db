-- What gateways of one fleet share. No private key is here: each gateway derives the same ones.

-- The newest certificate of each name and app. `generation` names the secret that its key derives from. Times in Unix seconds.
CREATE TABLE certificates (
    generation  BLOB NOT NULL,
    subject     TEXT NOT NULL,
    -- Empty for the gateway's own names.
    app         BLOB NOT NULL,
    -- DER, one certificate after the other, the leaf first.
    chain       BLOB NOT NULL,
    -- SHA-256 of the chain.
    digest      BLOB NOT NULL,
    issuer      TEXT NOT NULL,
    account_uri TEXT NOT NULL,
    obtained_at INTEGER NOT NULL,
    -- When it is to be renewed, and when the authority is asked for that again; both or none.
    renew_at    INTEGER,
    ask_at      INTEGER,
    PRIMARY KEY (generation, subject, app)
);

-- Orders under way and what came of those that failed. Times in milliseconds since the Unix epoch.
CREATE TABLE orders (
    subject      TEXT PRIMARY KEY,
    holder       BLOB NOT NULL,
    leased_until INTEGER NOT NULL,
    failures     INTEGER NOT NULL,
    not_before   INTEGER NOT NULL,
    last_error   TEXT NOT NULL
);

-- The authority takes no order before this.
CREATE TABLE authority (
    id         INTEGER PRIMARY KEY CHECK (id = 0),
    not_before INTEGER NOT NULL
);
INSERT INTO authority (id, not_before) VALUES (0, 0);
