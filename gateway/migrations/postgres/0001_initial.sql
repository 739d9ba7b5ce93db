-- What gateways of one fleet share. No private key is here: each gateway derives the same ones.

-- The newest certificate of each name and app. `generation` names the secret that its key derives from. Times in Unix seconds.
CREATE TABLE certificates (
    generation  BYTEA NOT NULL,
    subject     TEXT NOT NULL,
    -- Empty for the gateway's own names.
    app         BYTEA NOT NULL,
    -- DER, one certificate after the other, the leaf first.
    chain       BYTEA NOT NULL,
    -- SHA-256 of the chain.
    digest      BYTEA NOT NULL,
    issuer      TEXT NOT NULL,
    account_uri TEXT NOT NULL,
    obtained_at BIGINT NOT NULL,
    -- When it is to be renewed, and when the authority is asked for that again; both or none.
    renew_at    BIGINT,
    ask_at      BIGINT,
    PRIMARY KEY (generation, subject, app)
);

-- Orders under way and what came of those that failed. Times in milliseconds since the Unix epoch.
CREATE TABLE orders (
    subject      TEXT PRIMARY KEY,
    holder       BYTEA NOT NULL,
    leased_until BIGINT NOT NULL,
    failures     BIGINT NOT NULL,
    not_before   BIGINT NOT NULL,
    last_error   TEXT NOT NULL
);

-- The authority takes no order before this.
CREATE TABLE authority (
    id         BIGINT PRIMARY KEY CHECK (id = 0),
    not_before BIGINT NOT NULL
);
INSERT INTO authority (id, not_before) VALUES (0, 0);
