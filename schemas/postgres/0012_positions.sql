-- Where intake reads on by the ledger's own word, which incarnation of a topic its coordinates belong to, and which
-- ledger this is.

-- The next offset to read. Only ahead of the records in `inbox` where others lie behind them: markers of transactions,
-- records that were pruned, or all that was there before a start at the end. Older installations need no rows: the last
-- record in `inbox` says the same.
CREATE TABLE positions (
    -- As in `inbox`: with the incarnation, where it is not the first.
    topic                  text NOT NULL,
    partition              integer NOT NULL,
    next_offset            bigint NOT NULL CHECK (next_offset >= 0),
    updated_at             timestamptz NOT NULL,
    PRIMARY KEY (topic, partition)
)
WITH (fillfactor = 50);

-- Topics that were deleted and created again. The first incarnation has no row, and its coordinates are named by the
-- topic; those of the second by `topic~2`. Kafka allows no `~` in the name of a topic.
CREATE TABLE incarnations (
    topic                  text NOT NULL,
    incarnation            integer NOT NULL CHECK (incarnation >= 2),
    -- What showed that the topic was made anew.
    reason                 text NOT NULL,
    worker                 text NOT NULL,
    since                  timestamptz NOT NULL,
    PRIMARY KEY (topic, incarnation)
);

-- What stood at the coordinates: a checksum over timestamp, key and value. Rows of earlier releases have none, and are
-- compared by their value.
ALTER TABLE inbox ADD COLUMN fingerprint bigint;

-- One row. A restored or copied database is the same ledger.
CREATE TABLE ledger_identity (
    id                     uuid PRIMARY KEY,
    only_one               boolean NOT NULL DEFAULT true UNIQUE CHECK (only_one)
);
INSERT INTO ledger_identity (id) VALUES (gen_random_uuid());
