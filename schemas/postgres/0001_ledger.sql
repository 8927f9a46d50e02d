-- The run ledger: what was asked, what became of it, what the world is still to be told.

CREATE TYPE run_state AS ENUM ('QUEUED', 'RUNNING', 'EVAL_READY', 'PASS', 'FAIL', 'PUBLISH_PENDING', 'PUBLISHED');
CREATE TYPE execution_mode AS ENUM ('NONE', 'FULL', 'PUBLISH_ONLY');
CREATE TYPE outbox_kind AS ENUM ('LIFECYCLE', 'PUBLICATION', 'DEAD_LETTER');

-- Whose turn it is; '' where requests name no tenant.
CREATE TABLE tenants (
    tenant                 text PRIMARY KEY,
    claimed_at             timestamptz
);

-- One row per meaning.
CREATE TABLE runs (
    run_id                 text PRIMARY KEY CHECK (length(run_id) = 35 AND starts_with(run_id, 'tr_')),
    -- The id follows from it, so that it is as unique.
    run_key                bytea NOT NULL CHECK (length(run_key) = 32),
    near_key               bytea NOT NULL CHECK (length(near_key) = 32),
    request_id             text NOT NULL,
    -- Its row in tenants is inserted by the same transaction. Foreign keys would check this and the first
    -- request of every new run once more, at a fifth of an admission's time.
    tenant                 text NOT NULL,
    priority               smallint NOT NULL DEFAULT 0,
    state                  run_state NOT NULL DEFAULT 'QUEUED',
    execution_mode         execution_mode NOT NULL DEFAULT 'NONE',
    publish_allowed        boolean NOT NULL,
    full_run_attempts      integer NOT NULL DEFAULT 0 CHECK (full_run_attempts >= 0),
    publish_retry_attempts integer NOT NULL DEFAULT 0 CHECK (publish_retry_attempts >= 0),
    -- Attempts up to the last time that somebody asked again; the bounds count from there.
    full_attempts_before   integer NOT NULL DEFAULT 0 CHECK (full_attempts_before <= full_run_attempts),
    publish_attempts_before integer NOT NULL DEFAULT 0 CHECK (publish_attempts_before <= publish_retry_attempts),
    fence                  bigint NOT NULL DEFAULT 0,
    lease_owner            text,
    lease_expires_at       timestamptz,
    cancel_requested       boolean NOT NULL DEFAULT false,
    available_at           timestamptz NOT NULL,
    reason_code            text,
    reason_message         text,
    refs                   jsonb NOT NULL DEFAULT '{}',
    -- How far the trainer was when it last said so.
    progress               jsonb,
    next_seq               bigint NOT NULL DEFAULT 1,
    traceparent            text,
    tracestate             text,
    -- Where the broker acknowledged the publication.
    published_topic        text,
    published_partition    integer,
    published_offset       bigint,
    -- Until when the registry may take to confirm it, where its word is asked for.
    answer_due_at          timestamptz,
    -- The registry's event that confirmed it.
    confirmed_by           text,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    CONSTRAINT runs_mode_fits_state CHECK (
        CASE state
            WHEN 'RUNNING' THEN execution_mode IN ('FULL', 'PUBLISH_ONLY')
            WHEN 'EVAL_READY' THEN execution_mode = 'FULL'
            ELSE execution_mode = 'NONE'
        END),
    CONSTRAINT runs_lease_while_working CHECK (
        (execution_mode <> 'NONE') = (lease_owner IS NOT NULL)
        AND (lease_owner IS NULL) = (lease_expires_at IS NULL)),
    CONSTRAINT runs_fail_has_a_reason CHECK (state <> 'FAIL' OR reason_code IS NOT NULL),
    CONSTRAINT runs_published_has_coordinates CHECK (
        (state <> 'PUBLISHED' OR published_offset IS NOT NULL)
        AND (published_offset IS NULL OR state IN ('PUBLISHED', 'PUBLISH_PENDING') OR execution_mode = 'PUBLISH_ONLY')
        AND (published_offset IS NULL) = (published_topic IS NULL)
        AND (published_offset IS NULL) = (published_partition IS NULL)),
    CONSTRAINT runs_wait_for_an_answer_once_acknowledged CHECK (
        answer_due_at IS NULL OR (state = 'PUBLISH_PENDING' AND published_offset IS NOT NULL))
)
-- Rows change a few times in their life; room beside them spares their indexes.
WITH (fillfactor = 80);
CREATE INDEX runs_queued ON runs (tenant, priority DESC, available_at, run_id) WHERE state = 'QUEUED';
CREATE INDEX runs_publishable ON runs (available_at, run_id) WHERE state = 'PUBLISH_PENDING';
CREATE INDEX runs_leased ON runs (lease_expires_at) WHERE lease_owner IS NOT NULL;
CREATE INDEX runs_awaiting_an_answer ON runs (answer_due_at) WHERE answer_due_at IS NOT NULL;
CREATE INDEX runs_by_near_key ON runs (near_key);
CREATE INDEX runs_recent ON runs (created_at DESC);

-- One row per accepted request id. The run may be inserted after it, within the transaction.
CREATE TABLE requests (
    request_id             text PRIMARY KEY,
    run_id                 text NOT NULL REFERENCES runs DEFERRABLE INITIALLY DEFERRED,
    payload_digest         bytea NOT NULL CHECK (length(payload_digest) = 32),
    -- The record in the inbox that holds its content.
    topic                  text NOT NULL,
    partition              integer NOT NULL,
    "offset"               bigint NOT NULL,
    duplicate_announced    boolean NOT NULL DEFAULT false,
    admitted_at            timestamptz NOT NULL
);
CREATE INDEX requests_by_run ON requests (run_id);

-- One row per record of the request topic, for ever the same outcome.
CREATE TABLE inbox (
    topic                  text NOT NULL,
    partition              integer NOT NULL,
    "offset"               bigint NOT NULL,
    key                    bytea,
    value                  bytea NOT NULL,
    outcome                jsonb NOT NULL,
    request_id             text,
    received_at            timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

-- Every step of every run.
CREATE TABLE transitions (
    run_id                 text NOT NULL REFERENCES runs,
    seq                    bigint NOT NULL,
    transition             text NOT NULL,
    from_state             run_state NOT NULL,
    to_state               run_state NOT NULL,
    execution_mode         execution_mode NOT NULL,
    attempt                integer NOT NULL,
    fence                  bigint NOT NULL,
    worker                 text NOT NULL,
    reason_code            text,
    reason_message         text,
    at                     timestamptz NOT NULL,
    PRIMARY KEY (run_id, seq)
);

-- What requesters and operators asked to be done with runs.
CREATE TABLE acts (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id                 text NOT NULL REFERENCES runs,
    act                    text NOT NULL,
    actor                  text NOT NULL,
    reason                 text NOT NULL,
    refused_code           text,
    at                     timestamptz NOT NULL
);
CREATE INDEX acts_by_run ON acts (run_id, id);

-- What the registry said about bundles of ours; each event is applied once.
CREATE TABLE registry_events (
    registry_event_id      text PRIMARY KEY,
    run_id                 text NOT NULL REFERENCES runs,
    event_type             text NOT NULL,
    event                  jsonb NOT NULL,
    received_at            timestamptz NOT NULL
);
CREATE INDEX registry_events_by_run ON registry_events (run_id);

-- What the relay is still to send. Within a stream ids rise in commit order, since they are drawn under
-- the run's row lock; across streams they do not.
CREATE TABLE outbox (
    id                     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream                 text NOT NULL,
    shard                  smallint NOT NULL GENERATED ALWAYS AS ((hashtext(stream) & 15)::smallint) STORED,
    seq                    bigint,
    kind                   outbox_kind NOT NULL,
    event_id               text NOT NULL,
    key                    bytea,
    value                  bytea CHECK (length(value) <= 900000),
    headers                jsonb NOT NULL,
    source_topic           text,
    source_partition       integer,
    source_offset          bigint,
    created_at             timestamptz NOT NULL,
    sent_at                timestamptz,
    -- A publication that nobody acknowledged in time; a later attempt announces the bundle again.
    withdrawn_at           timestamptz,
    sent_topic             text,
    sent_partition         integer,
    sent_offset            bigint,
    UNIQUE (stream, seq),
    FOREIGN KEY (source_topic, source_partition, source_offset) REFERENCES inbox DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT outbox_dead_letters_keep_their_bytes_in_the_inbox CHECK (
        (kind = 'DEAD_LETTER') = (value IS NULL) AND (kind = 'DEAD_LETTER') = (source_offset IS NOT NULL)),
    CONSTRAINT outbox_sent_has_coordinates CHECK ((sent_at IS NULL) = (sent_offset IS NULL)),
    CONSTRAINT outbox_only_publications_are_withdrawn CHECK (withdrawn_at IS NULL OR kind = 'PUBLICATION')
);
-- Numbered events are unique by their number, which their id follows from.
CREATE UNIQUE INDEX outbox_event_id ON outbox (event_id) WHERE seq IS NULL;
CREATE INDEX outbox_unsent ON outbox (stream, id) WHERE sent_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX outbox_waiting_publications ON outbox (created_at)
    WHERE kind = 'PUBLICATION' AND sent_at IS NULL AND withdrawn_at IS NULL;
CREATE INDEX outbox_dead_letters ON outbox (id DESC) WHERE kind = 'DEAD_LETTER';

-- Who may send which streams.
CREATE TABLE relay_shards (
    shard                  smallint PRIMARY KEY CHECK (shard BETWEEN 0 AND 15),
    fence                  bigint NOT NULL DEFAULT 0,
    owner                  text,
    expires_at             timestamptz
);
INSERT INTO relay_shards (shard) SELECT generate_series(0, 15);
