-- Challenges of orders under way, so that any gateway of the fleet answers the authority. Nothing in a row is secret, and none is
-- believed without its tag, which gateways alone can make. Times in milliseconds since the Unix epoch.
CREATE TABLE challenges (
    name       TEXT PRIMARY KEY,
    -- SHA-256 of the key authorization.
    digest     BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    tag        BLOB NOT NULL
);

-- Certificates that others have followed, until their time is over: when their domain is released, they are revoked, too.
CREATE TABLE superseded (
    generation  BLOB NOT NULL,
    subject     TEXT NOT NULL,
    app         BLOB NOT NULL,
    digest      BLOB NOT NULL,
    chain       BLOB NOT NULL,
    issuer      TEXT NOT NULL,
    account_uri TEXT NOT NULL,
    obtained_at INTEGER NOT NULL,
    PRIMARY KEY (generation, subject, app, digest)
);
