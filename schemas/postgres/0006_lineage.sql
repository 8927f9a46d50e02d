-- OpenLineage events that are still to be sent. A table of their own, not another kind in `outbox`: a relay of the
-- release before this one refuses a kind that it does not know, and would stop.

-- The number of the run's event with which it was told as begun; none where it was not, or was told as ended.
ALTER TABLE runs ADD COLUMN lineage_since bigint;

-- Within a run ids rise in commit order, since they are drawn under its row lock.
CREATE TABLE lineage_outbox (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id                 text NOT NULL REFERENCES runs,
    -- As a stream of `outbox`: whoever sends a run's events sends these.
    shard                  smallint NOT NULL GENERATED ALWAYS AS ((hashtext(run_id) & 15)::smallint) STORED,
    event_id               text NOT NULL UNIQUE,
    event_type             text NOT NULL,
    key                    bytea NOT NULL,
    value                  bytea NOT NULL CHECK (length(value) <= 900000),
    headers                jsonb NOT NULL,
    created_at             timestamptz NOT NULL,
    sent_at                timestamptz,
    sent_topic             text,
    sent_partition         integer,
    sent_offset            bigint,
    CONSTRAINT lineage_sent_has_coordinates CHECK ((sent_at IS NULL) = (sent_offset IS NULL))
);
CREATE INDEX lineage_outbox_by_run ON lineage_outbox (run_id, id);
CREATE INDEX lineage_outbox_unsent ON lineage_outbox (run_id, id) WHERE sent_at IS NULL;
