-- What the relay needs to send every topic's records by themselves: which records a broker refused, which publications
-- were handed over to a broker, which relays share the shards.

ALTER TABLE outbox
    -- When a relay first gave the publication to the client library; its patience counts from then.
    ADD COLUMN handed_at timestamptz,
    -- How often the broker refused this very record.
    ADD COLUMN tries smallint NOT NULL DEFAULT 0,
    -- Until when the record rests; it keeps the value until it is sent. What follows in its stream rests with it.
    ADD COLUMN rests_until timestamptz,
    -- What the broker said last.
    ADD COLUMN refusal text CONSTRAINT outbox_a_refused_record_rests CHECK (
        num_nonnulls(rests_until, refusal) = CASE WHEN tries > 0 THEN 2 ELSE 0 END),
    -- No relay sends the record any more, until an operator gives it back. Events and publications of a run are ours and
    -- wait for ever, since a run's events have no holes.
    ADD COLUMN set_aside_at timestamptz
        CONSTRAINT outbox_nothing_of_a_run_is_set_aside CHECK (
            set_aside_at IS NULL OR (tries > 0 AND left(stream, 3) <> 'tr_'));

ALTER TABLE lineage_outbox
    ADD COLUMN tries smallint NOT NULL DEFAULT 0,
    ADD COLUMN rests_until timestamptz,
    ADD COLUMN refusal text CONSTRAINT lineage_a_refused_event_rests CHECK (
        num_nonnulls(rests_until, refusal) = CASE WHEN tries > 0 THEN 2 ELSE 0 END);

-- The relay's choice: of one topic, of runs (`tr_`) or of refused records (`ref`), of one shard, the oldest first.
CREATE INDEX outbox_to_send ON outbox (kind, left(stream, 3), shard, id)
    WHERE sent_at IS NULL AND withdrawn_at IS NULL AND set_aside_at IS NULL AND rests_until IS NULL;
CREATE INDEX outbox_resting ON outbox (kind, left(stream, 3), rests_until)
    WHERE sent_at IS NULL AND withdrawn_at IS NULL AND set_aside_at IS NULL AND rests_until IS NOT NULL;
CREATE INDEX outbox_set_aside ON outbox (kind, id) WHERE set_aside_at IS NOT NULL AND sent_at IS NULL;
CREATE INDEX lineage_outbox_to_send ON lineage_outbox (shard, id) WHERE sent_at IS NULL AND rests_until IS NULL;
CREATE INDEX lineage_outbox_resting ON lineage_outbox (rests_until) WHERE sent_at IS NULL AND rests_until IS NOT NULL;

-- Relays that live: each takes its part of the shards.
CREATE TABLE relays (
    name                   text PRIMARY KEY,
    expires_at             timestamptz NOT NULL
);
