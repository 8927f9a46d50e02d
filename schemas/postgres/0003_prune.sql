-- What `model-factory prune` looks up. Building these blocks admissions for the time of one scan of each table.

-- Records whose outcome a repetition of them does not depend on, by age.
CREATE INDEX inbox_prunable ON inbox (received_at, topic, partition, "offset")
    WHERE outcome ->> 'outcome' IN ('REJECTED', 'CONFLICT', 'DUPLICATE_REQUEST');

-- Dead letters by the record that they tell of: asked for whenever a record goes.
CREATE INDEX outbox_by_source ON outbox (source_topic, source_partition, source_offset)
    WHERE source_offset IS NOT NULL;
