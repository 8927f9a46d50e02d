-- Ids of requests and commands belong to their principal, commands are decided once, and requests that join a run count.
--
-- `requests.request_id` and `runs.request_id` hold a key: the id alone as before, or `<id>/<principal>` where a policy
-- admitted the request. No row changes, and workers of the release before go on with keys that are ids.

-- The principal whose bound on joining requests this one counts against. NULL: it made its run, or no quota bounds it.
ALTER TABLE requests ADD COLUMN counted_for text;
CREATE INDEX requests_counted_by_day ON requests (counted_for, admitted_at) WHERE counted_for IS NOT NULL;

-- Every command of a requester that was ever decided, carried out or refused. Nothing here is pruned.
CREATE TABLE commands (
    -- A key, as in `requests`.
    request_id             text PRIMARY KEY,
    -- Of everything but the id. NULL: an earlier release decided on it, and its record in `inbox` says the rest.
    payload_digest         bytea CHECK (length(payload_digest) = 32),
    topic                  text NOT NULL,
    partition              integer NOT NULL,
    "offset"               bigint NOT NULL,
    duplicate_announced    boolean NOT NULL DEFAULT false,
    decided_at             timestamptz NOT NULL
);

-- Of commands that earlier releases took under one id, the first one stands.
INSERT INTO commands (request_id, topic, partition, "offset", decided_at)
SELECT DISTINCT ON (request_id) request_id, topic, partition, "offset", received_at
FROM inbox
WHERE outcome ->> 'outcome' IN ('COMMAND_APPLIED', 'COMMAND_REJECTED') AND request_id IS NOT NULL
ORDER BY request_id, received_at, topic, partition, "offset";
