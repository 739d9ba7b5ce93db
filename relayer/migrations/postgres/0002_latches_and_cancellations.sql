-- SPDX-License-Identifier: Apache-2.0 OR MIT
-- Who is told of a latch's end, and how often effects were cancelled.

-- Effects to enqueue when the latch is cleared: decided when it is set, so that whoever was told of it is told of its end.
ALTER TABLE latches ADD COLUMN when_cleared TEXT NOT NULL DEFAULT '[]';

CREATE TABLE cancellations (
    kind  TEXT    PRIMARY KEY,
    times BIGINT  NOT NULL
);
