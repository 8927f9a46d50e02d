-- Rows of runs in states that a real run passes in a blink, or that take a broken world: written by hand into the ledger
-- of `model-factory dev`, held by its CHECKs as any row is. No worker of it touches them: what waits is available
-- tomorrow, what is held is leased until then, and its `seed-host` does not exist. They have no events, and the evidence
-- that some name is not in the store.
--
--     psql --variable request="$(cat request.json)" --variable runs=98 --file seed.sql URL
BEGIN;

CREATE TEMPORARY TABLE seed ON COMMIT DROP AS
SELECT n,
       format('seed-%s', lpad(n::text, 4, '0')) AS request_id,
       'tr_' || md5('console seed ' || n) AS run_id,
       (enum_range(NULL::run_state))[1 + n % 7] AS state,
       date_trunc('milliseconds', now()) - make_interval(mins => 3 + 11 * n, secs => n) AS at,
       format('seed-host-%s-1764000000000', 100 + n % 3) AS worker,
       :'request'::jsonb || jsonb_build_object(
           'request_id', format('seed-%s', lpad(n::text, 4, '0')),
           'config_revision', format('seed-%s', n),
           'intent_kind', (ARRAY['baseline_train', 'backfill_retrain', 'candidate_eval'])[1 + n % 3],
           'requester_principal', (ARRAY['risk-engineering@bank', 'fraud-ops@bank', 'nightly-retrain',
                                         '"><script>alert(1)</script>'])[1 + n % 4],
           'target_scope', jsonb_build_object('environment', (ARRAY['production', 'staging'])[1 + n % 2],
                                              'mode', 'fraud', 'bundle_slot', (ARRAY['primary', 'shadow'])[1 + n / 2 % 2])
       ) AS request
FROM generate_series(1, :runs) AS n;

INSERT INTO inbox (topic, partition, "offset", value, outcome, request_id, received_at)
SELECT 'console-seed', 0, n, convert_to(request::text, 'UTF8'),
       jsonb_build_object('outcome', 'ADMITTED', 'run_id', run_id), request_id, at
FROM seed;

INSERT INTO runs (run_id, run_key, near_key, request_id, tenant, state, execution_mode, publish_allowed, full_run_attempts,
                  publish_retry_attempts, fence, lease_owner, lease_expires_at, available_at, reason_code, reason_message,
                  refs, progress, next_seq, published_topic, published_partition, published_offset, created_at, updated_at)
SELECT run_id, sha256(convert_to('key ' || n, 'UTF8')), sha256(convert_to('near ' || n, 'UTF8')), request_id, 'seed', state,
       (CASE WHEN state IN ('RUNNING', 'EVAL_READY') THEN 'FULL' ELSE 'NONE' END)::execution_mode, false,
       CASE WHEN state = 'QUEUED' THEN 0 ELSE 1 + n % 2 END, CASE WHEN state = 'PUBLISH_PENDING' THEN 2 ELSE 0 END,
       CASE WHEN state = 'QUEUED' THEN 0 ELSE 1 + n % 2 END,
       CASE WHEN state IN ('RUNNING', 'EVAL_READY') THEN worker END,
       CASE WHEN state IN ('RUNNING', 'EVAL_READY') THEN now() + interval '1 day' END,
       now() + interval '1 day',
       CASE state WHEN 'FAIL' THEN (ARRAY['GATE_FAIL', 'DIGEST_MISMATCH', 'TRAINER_FAILED'])[1 + n % 3]
                  WHEN 'PUBLISH_PENDING' THEN 'PUBLISH_UNAVAILABLE' END,
       CASE state WHEN 'FAIL' THEN 'seeded: <b>not</b> a real failure' WHEN 'PUBLISH_PENDING' THEN 'seeded: no broker' END,
       CASE WHEN state IN ('PASS', 'PUBLISH_PENDING', 'PUBLISHED')
            THEN jsonb_build_object('publish_receipt', jsonb_build_object('ref', 'seed/publish_receipt.json',
                     'sha256', encode(sha256('seed'), 'hex')),
                                    'eval_report', jsonb_build_object('ref', 'seed/eval_report.json',
                     'sha256', encode(sha256('seed'), 'hex')))
            ELSE '{}' END,
       CASE WHEN state IN ('RUNNING', 'EVAL_READY')
            THEN jsonb_build_object('step', 'fit', 'percent', (n * 37) % 100, 'message', format('round %s', n * 4)) END,
       10,
       CASE WHEN state = 'PUBLISHED' THEN 'console-seed-publications' END,
       CASE WHEN state = 'PUBLISHED' THEN 0 END, CASE WHEN state = 'PUBLISHED' THEN n END,
       at, at + interval '40 seconds'
FROM seed;

INSERT INTO requests (request_id, run_id, payload_digest, topic, partition, "offset", admitted_at)
SELECT request_id, run_id, sha256(convert_to('payload ' || n, 'UTF8')), 'console-seed', 0, n, at FROM seed;

INSERT INTO transitions (run_id, seq, transition, from_state, to_state, execution_mode, attempt, fence, worker,
                         reason_code, reason_message, at)
SELECT run_id, step.seq, step.transition, step.origin::run_state, step.target::run_state, step.mode::execution_mode,
       1, 1, worker, step.code, step.code, at + make_interval(secs => step.seconds)
FROM seed JOIN (VALUES
    (2, 'START', 'QUEUED', 'RUNNING', 'FULL', NULL, 2.4,
        '{RUNNING,EVAL_READY,PASS,FAIL,PUBLISH_PENDING,PUBLISHED}'::run_state[]),
    (3, 'FINISH_EVALUATION', 'RUNNING', 'EVAL_READY', 'FULL', NULL, 31.0, '{EVAL_READY,PASS,PUBLISH_PENDING,PUBLISHED}'),
    (3, 'FAIL', 'RUNNING', 'FAIL', 'NONE', 'TRAINER_FAILED', 31.0, '{FAIL}'),
    (4, 'PASS_GATE', 'EVAL_READY', 'PASS', 'NONE', NULL, 32.5, '{PASS,PUBLISH_PENDING,PUBLISHED}'),
    (5, 'REQUEST_PUBLISH', 'PASS', 'PUBLISH_PENDING', 'NONE', NULL, 32.5, '{PUBLISH_PENDING,PUBLISHED}'),
    (6, 'PUBLISH', 'PUBLISH_PENDING', 'PUBLISHED', 'NONE', NULL, 40.0, '{PUBLISHED}')
) AS step (seq, transition, origin, target, mode, code, seconds, states) ON seed.state = ANY (step.states);

COMMIT;
