-- Challenges of orders under way, so that any gateway of the fleet answers the authority. Nothing in a row is secret, and none is
-- believed without its tag, which gateways alone can make. Times in milliseconds since the Unix epoch.
CREATE TABLE challenges (
    name       TEXT PRIMARY KEY,
    -- SHA-256 of the key authorization.
    digest     BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    tag        BYTEA NOT NULL
);

-- Certificates that others have followed, until their time is over: when their domain is released, they are revoked, too.
CREATE TABLE superseded (
    generation  BYTEA NOT NULL,
    subject     TEXT NOT NULL,
    app         BYTEA NOT NULL,
    digest      BYTEA NOT NULL,
    chain       BYTEA NOT NULL,
    issuer      TEXT NOT NULL,
    account_uri TEXT NOT NULL,
    obtained_at BIGINT NOT NULL,
    PRIMARY KEY (generation, subject, app, digest)
);
