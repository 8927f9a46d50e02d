-- The relay chooses by `outbox_to_send` and `outbox_resting`, and no longer by stream: one index less for each new record.

DROP INDEX outbox_unsent;
DROP INDEX lineage_outbox_unsent;
CREATE INDEX outbox_unsent_publications ON outbox (stream)
    WHERE kind = 'PUBLICATION' AND sent_at IS NULL AND withdrawn_at IS NULL;
