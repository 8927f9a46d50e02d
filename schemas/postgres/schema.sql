-- What the migrations come to, for reading; a test keeps it true.

CREATE TYPE public.execution_mode AS ENUM (
    'NONE',
    'FULL',
    'PUBLISH_ONLY'
);

CREATE TYPE public.outbox_kind AS ENUM (
    'LIFECYCLE',
    'PUBLICATION',
    'DEAD_LETTER'
);

CREATE TYPE public.run_state AS ENUM (
    'QUEUED',
    'RUNNING',
    'EVAL_READY',
    'PASS',
    'FAIL',
    'PUBLISH_PENDING',
    'PUBLISHED'
);

CREATE FUNCTION public.audit_log_is_append_only() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only: % is refused', TG_OP;
END
$$;

CREATE FUNCTION public.await_turns(tenants text[], priorities smallint[]) RETURNS void
    LANGUAGE plpgsql
    SET plan_cache_mode TO 'force_generic_plan'
    SET jit TO 'off'
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
BEGIN
    INSERT INTO turns (tenant, priority, claimed_at)
    SELECT n.tenant, n.priority, (SELECT max(other.claimed_at) FROM turns other WHERE other.tenant = n.tenant)
      FROM unnest(tenants, priorities) AS n (tenant, priority)
     WHERE NOT EXISTS (SELECT FROM turns t WHERE t.tenant = n.tenant AND t.priority = n.priority)
     ORDER BY n.tenant, n.priority
        ON CONFLICT DO NOTHING;
    -- A row that `rest_turn` has locked is read when it is free, as it is then.
    WITH held AS (
        SELECT t.tenant, t.priority, t.waiting
          FROM unnest(tenants, priorities) AS n (tenant, priority)
          JOIN turns t ON t.tenant = n.tenant AND t.priority = n.priority
         ORDER BY t.tenant, t.priority
           FOR KEY SHARE OF t)
    INSERT INTO wake_ups SELECT held.tenant, held.priority FROM held WHERE NOT held.waiting;
END
$$;

CREATE FUNCTION public.chain_block() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    acts jsonb;
    last record;
BEGIN
    -- A role that admits nothing appends only what it pruned.
    IF NOT has_table_privilege(session_user, 'public.runs', 'INSERT') THEN
        acts := NEW.body::jsonb -> 'acts';
        IF jsonb_typeof(acts) IS DISTINCT FROM 'array' OR NEW.body::jsonb ->> 'by' IS NULL
           OR EXISTS (SELECT FROM jsonb_array_elements(acts) a WHERE a ->> 'act' IS DISTINCT FROM 'ledger.pruned') THEN
            RAISE EXCEPTION 'the role % appends only acts of ledger.pruned to audit_log', session_user
                  USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;
    -- The server ends a session that holds the lock and does nothing, for example of a frozen process.
    PERFORM set_config('idle_in_transaction_session_timeout', '5000', true);
    PERFORM FROM locks WHERE name = 'audit_log' FOR UPDATE;
    -- A statement of its own, since it has to see what was committed before the lock was there.
    SELECT l.seq, l.digest INTO last FROM audit_log l ORDER BY l.seq DESC LIMIT 1;
    NEW.seq := COALESCE(last.seq, 0) + 1;
    NEW.at := now();
    NEW.previous := COALESCE(last.digest, decode(repeat('00', 32), 'hex'));
    NEW.digest := sha256(convert_to(
        'mf.audit_block.v1' || E'\n' || NEW.seq || E'\n'
        || to_char(NEW.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || E'\n'
        || encode(NEW.previous, 'hex') || E'\n' || NEW.body, 'UTF8'));
    RETURN NEW;
END
$$;

CREATE FUNCTION public.evidence_changed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.evidence_at := OLD.evidence_at || now();
    RETURN NEW;
END
$$;

CREATE FUNCTION public.rest_turn(of_tenant text, of_priority smallint) RETURNS void
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    AS $$
DECLARE
    is_waiting boolean;
    claimable_at timestamptz;
BEGIN
    -- A condition on `waiting` would let the planner take the index of all turns that wait.
    SELECT t.waiting INTO is_waiting FROM turns t WHERE t.tenant = of_tenant AND t.priority = of_priority
       FOR UPDATE SKIP LOCKED;
    IF is_waiting IS NOT TRUE THEN
        RETURN;
    END IF;
    -- A statement of its own, since it has to see what was committed before the lock was there.
    SELECT r.available_at INTO claimable_at FROM runs r
     WHERE r.tenant = of_tenant AND r.priority = of_priority AND r.state = 'QUEUED'
     ORDER BY r.available_at, r.run_id LIMIT 1;
    IF claimable_at <= now() THEN
        RETURN;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE turns t SET waiting = false, wakes_at = claimable_at
     WHERE t.tenant = of_tenant AND t.priority = of_priority;
END
$$;

CREATE FUNCTION public.run_queued() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM await_turns(ARRAY[NEW.tenant], ARRAY[NEW.priority]);
    RETURN NULL;
END
$$;

CREATE FUNCTION public.runs_inserted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
BEGIN
    PERFORM await_turns(array_agg(n.tenant), array_agg(n.priority))
       FROM (SELECT DISTINCT i.tenant, i.priority FROM inserted i WHERE i.state = 'QUEUED') n
     HAVING count(*) > 0;
    RETURN NULL;
END
$$;

CREATE FUNCTION public.take_turn(max_running bigint) RETURNS TABLE(tenant text, priority smallint, is_last boolean)
    LANGUAGE plpgsql
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_sort TO 'off'
    SET jit TO 'off'
    AS $$
#variable_conflict use_column
DECLARE
    turn record;
    claimable bigint;
    at_bound text[] := '{}';
    is_chosen boolean := false;
    chosen_tenant text;
    chosen_priority smallint;
    chosen_is_last boolean;
BEGIN
    PERFORM FROM turns t WHERE t.waiting ORDER BY t.priority DESC, t.claimed_at NULLS FIRST, t.tenant LIMIT 1;
    IF NOT FOUND THEN
        PERFORM FROM turns t WHERE t.wakes_at <= now() ORDER BY t.wakes_at LIMIT 1;
        IF NOT FOUND AND NOT EXISTS (SELECT FROM wake_ups) THEN
            RETURN;
        END IF;
    END IF;
    -- One after the other, so that no two take the same turn. The lock lasts as long as this statement.
    PERFORM FROM locks l WHERE l.name = 'turns' FOR UPDATE;
    -- If the server loses what is written here, the next calls find it out again.
    PERFORM set_config('synchronous_commit', 'off', true);

    FOR turn IN DELETE FROM wake_ups RETURNING tenant, priority LOOP
        UPDATE turns t SET waiting = true, wakes_at = NULL
         WHERE t.tenant = turn.tenant AND t.priority = turn.priority AND NOT t.waiting;
    END LOOP;
    FOR turn IN SELECT t.tenant, t.priority FROM turns t WHERE t.wakes_at <= now() ORDER BY t.wakes_at LOOP
        UPDATE turns t SET waiting = true, wakes_at = NULL
         WHERE t.tenant = turn.tenant AND t.priority = turn.priority;
    END LOOP;

    IF max_running > 0 THEN
        at_bound := ARRAY(SELECT r.tenant FROM runs r WHERE r.lease_owner IS NOT NULL AND r.execution_mode = 'FULL'
                           GROUP BY r.tenant HAVING count(*) >= max_running);
    END IF;
    FOR turn IN SELECT t.tenant, t.priority FROM turns t WHERE t.waiting
                 ORDER BY t.priority DESC, t.claimed_at NULLS FIRST, t.tenant LOOP
        CONTINUE WHEN turn.tenant = ANY (at_bound);
        SELECT count(*) INTO claimable
          FROM (SELECT FROM runs r
                 WHERE r.tenant = turn.tenant AND r.priority = turn.priority AND r.state = 'QUEUED'
                   AND r.available_at <= now()
                 ORDER BY r.available_at, r.run_id LIMIT 2) heads;
        IF claimable = 0 THEN
            PERFORM rest_turn(turn.tenant, turn.priority);
            CONTINUE;
        END IF;
        -- Other claims may have locked all of them.
        PERFORM FROM runs r
          WHERE r.tenant = turn.tenant AND r.priority = turn.priority AND r.state = 'QUEUED'
            AND r.available_at <= now()
          ORDER BY r.available_at, r.run_id LIMIT 1 FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        IF max_running > 0 THEN
            PERFORM FROM tenants o WHERE o.tenant = turn.tenant FOR UPDATE SKIP LOCKED;
            CONTINUE WHEN NOT FOUND AND is_chosen;
        END IF;
        is_chosen := true;
        chosen_tenant := turn.tenant;
        chosen_priority := turn.priority;
        chosen_is_last := claimable = 1;
        EXIT WHEN FOUND OR max_running = 0;
    END LOOP;
    IF is_chosen THEN
        UPDATE turns t SET claimed_at = clock_timestamp() WHERE t.tenant = chosen_tenant;
        RETURN QUERY SELECT chosen_tenant, chosen_priority, chosen_is_last;
    END IF;
END
$$;

CREATE TABLE public.acts (
    id bigint NOT NULL,
    run_id text NOT NULL,
    act text NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    refused_code text,
    at timestamp with time zone NOT NULL
);

ALTER TABLE public.acts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.acts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.audit_log (
    seq bigint NOT NULL,
    at timestamp with time zone NOT NULL,
    body text NOT NULL,
    previous bytea NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT audit_log_body_check CHECK (((octet_length(body) >= 2) AND (octet_length(body) <= 67108864))),
    CONSTRAINT audit_log_digest_check CHECK ((length(digest) = 32)),
    CONSTRAINT audit_log_previous_check CHECK ((length(previous) = 32)),
    CONSTRAINT audit_log_seq_check CHECK ((seq >= 1))
);

CREATE TABLE public.commands (
    request_id text NOT NULL,
    payload_digest bytea,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    duplicate_announced boolean DEFAULT false NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    CONSTRAINT commands_payload_digest_check CHECK ((length(payload_digest) = 32))
);

CREATE TABLE public.inbox (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    key bytea,
    value bytea NOT NULL,
    outcome jsonb NOT NULL,
    request_id text,
    received_at timestamp with time zone NOT NULL,
    value_bytes bigint,
    value_sha256 bytea,
    fingerprint bigint,
    locked_by_pruning boolean
);

CREATE TABLE public.incarnations (
    topic text NOT NULL,
    incarnation integer NOT NULL,
    reason text NOT NULL,
    worker text NOT NULL,
    since timestamp with time zone NOT NULL,
    CONSTRAINT incarnations_incarnation_check CHECK ((incarnation >= 2))
);

CREATE TABLE public.ledger_identity (
    id uuid NOT NULL,
    only_one boolean DEFAULT true NOT NULL,
    CONSTRAINT ledger_identity_only_one_check CHECK (only_one)
);

CREATE TABLE public.lineage_outbox (
    id bigint NOT NULL,
    run_id text NOT NULL,
    shard smallint GENERATED ALWAYS AS (((hashtext(run_id) & 15))::smallint) STORED NOT NULL,
    event_id text NOT NULL,
    event_type text NOT NULL,
    key bytea NOT NULL,
    value bytea NOT NULL,
    headers jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    sent_topic text,
    sent_partition integer,
    sent_offset bigint,
    tries smallint DEFAULT 0 NOT NULL,
    rests_until timestamp with time zone,
    refusal text,
    CONSTRAINT lineage_a_refused_event_rests CHECK ((num_nonnulls(rests_until, refusal) =
CASE
    WHEN (tries > 0) THEN 2
    ELSE 0
END)),
    CONSTRAINT lineage_outbox_value_check CHECK ((length(value) <= 900000)),
    CONSTRAINT lineage_sent_has_coordinates CHECK (((sent_at IS NULL) = (sent_offset IS NULL)))
);

ALTER TABLE public.lineage_outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.lineage_outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.locks (
    name text NOT NULL
);

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    stream text NOT NULL,
    shard smallint GENERATED ALWAYS AS (((hashtext(stream) & 15))::smallint) STORED NOT NULL,
    seq bigint,
    kind public.outbox_kind NOT NULL,
    event_id text NOT NULL,
    key bytea,
    value bytea,
    headers jsonb NOT NULL,
    source_topic text,
    source_partition integer,
    source_offset bigint,
    created_at timestamp with time zone NOT NULL,
    sent_at timestamp with time zone,
    withdrawn_at timestamp with time zone,
    sent_topic text,
    sent_partition integer,
    sent_offset bigint,
    handed_at timestamp with time zone,
    tries smallint DEFAULT 0 NOT NULL,
    rests_until timestamp with time zone,
    refusal text,
    set_aside_at timestamp with time zone,
    CONSTRAINT outbox_a_refused_record_rests CHECK ((num_nonnulls(rests_until, refusal) =
CASE
    WHEN (tries > 0) THEN 2
    ELSE 0
END)),
    CONSTRAINT outbox_dead_letters_keep_their_bytes_in_the_inbox CHECK ((((kind = 'DEAD_LETTER'::public.outbox_kind) = (value IS NULL)) AND ((kind = 'DEAD_LETTER'::public.outbox_kind) = (source_offset IS NOT NULL)))),
    CONSTRAINT outbox_nothing_of_a_run_is_set_aside CHECK (((set_aside_at IS NULL) OR ((tries > 0) AND ("left"(stream, 3) <> 'tr_'::text)))),
    CONSTRAINT outbox_only_publications_are_withdrawn CHECK (((withdrawn_at IS NULL) OR (kind = 'PUBLICATION'::public.outbox_kind))),
    CONSTRAINT outbox_sent_has_coordinates CHECK (((sent_at IS NULL) = (sent_offset IS NULL))),
    CONSTRAINT outbox_value_check CHECK ((length(value) <= 900000))
);

ALTER TABLE public.outbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    CONSTRAINT positions_next_offset_check CHECK ((next_offset >= 0))
)
WITH (fillfactor='50');

CREATE TABLE public.registry_events (
    registry_event_id text NOT NULL,
    run_id text NOT NULL,
    event_type text NOT NULL,
    event jsonb NOT NULL,
    received_at timestamp with time zone NOT NULL
);

CREATE TABLE public.relay_shards (
    shard smallint NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    owner text,
    expires_at timestamp with time zone,
    CONSTRAINT relay_shards_shard_check CHECK (((shard >= 0) AND (shard <= 15)))
);

CREATE TABLE public.relays (
    name text NOT NULL,
    expires_at timestamp with time zone NOT NULL
);

CREATE TABLE public.requests (
    request_id text NOT NULL,
    run_id text NOT NULL,
    payload_digest bytea NOT NULL,
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    duplicate_announced boolean DEFAULT false NOT NULL,
    admitted_at timestamp with time zone NOT NULL,
    counted_for text,
    CONSTRAINT requests_payload_digest_check CHECK ((length(payload_digest) = 32))
);

CREATE TABLE public.runs (
    run_id text NOT NULL,
    run_key bytea NOT NULL,
    near_key bytea NOT NULL,
    request_id text NOT NULL,
    tenant text NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    state public.run_state DEFAULT 'QUEUED'::public.run_state NOT NULL,
    execution_mode public.execution_mode DEFAULT 'NONE'::public.execution_mode NOT NULL,
    publish_allowed boolean NOT NULL,
    full_run_attempts integer DEFAULT 0 NOT NULL,
    publish_retry_attempts integer DEFAULT 0 NOT NULL,
    full_attempts_before integer DEFAULT 0 NOT NULL,
    publish_attempts_before integer DEFAULT 0 NOT NULL,
    fence bigint DEFAULT 0 NOT NULL,
    lease_owner text,
    lease_expires_at timestamp with time zone,
    cancel_requested boolean DEFAULT false NOT NULL,
    available_at timestamp with time zone NOT NULL,
    reason_code text,
    reason_message text,
    refs jsonb DEFAULT '{}'::jsonb NOT NULL,
    progress jsonb,
    next_seq bigint DEFAULT 1 NOT NULL,
    traceparent text,
    tracestate text,
    published_topic text,
    published_partition integer,
    published_offset bigint,
    answer_due_at timestamp with time zone,
    confirmed_by text,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    counted_for text,
    platform_run_id text,
    lineage_since bigint,
    outage_since timestamp with time zone,
    outage_tries integer DEFAULT 0 NOT NULL,
    locked_by_pruning boolean,
    evidence_at timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    CONSTRAINT runs_check CHECK ((full_attempts_before <= full_run_attempts)),
    CONSTRAINT runs_check1 CHECK ((publish_attempts_before <= publish_retry_attempts)),
    CONSTRAINT runs_fail_has_a_reason CHECK (((state <> 'FAIL'::public.run_state) OR (reason_code IS NOT NULL))),
    CONSTRAINT runs_full_run_attempts_check CHECK ((full_run_attempts >= 0)),
    CONSTRAINT runs_lease_while_working CHECK ((((execution_mode <> 'NONE'::public.execution_mode) = (lease_owner IS NOT NULL)) AND ((lease_owner IS NULL) = (lease_expires_at IS NULL)))),
    CONSTRAINT runs_mode_fits_state CHECK (
CASE state
    WHEN 'RUNNING'::public.run_state THEN (execution_mode = ANY (ARRAY['FULL'::public.execution_mode, 'PUBLISH_ONLY'::public.execution_mode]))
    WHEN 'EVAL_READY'::public.run_state THEN (execution_mode = 'FULL'::public.execution_mode)
    ELSE (execution_mode = 'NONE'::public.execution_mode)
END),
    CONSTRAINT runs_near_key_check CHECK ((length(near_key) = 32)),
    CONSTRAINT runs_outage_tries_check CHECK ((outage_tries >= 0)),
    CONSTRAINT runs_publish_retry_attempts_check CHECK ((publish_retry_attempts >= 0)),
    CONSTRAINT runs_published_has_coordinates CHECK ((((state <> 'PUBLISHED'::public.run_state) OR (published_offset IS NOT NULL)) AND ((published_offset IS NULL) OR (state = ANY (ARRAY['PUBLISHED'::public.run_state, 'PUBLISH_PENDING'::public.run_state])) OR (execution_mode = 'PUBLISH_ONLY'::public.execution_mode)) AND ((published_offset IS NULL) = (published_topic IS NULL)) AND ((published_offset IS NULL) = (published_partition IS NULL)))),
    CONSTRAINT runs_run_id_check CHECK (((length(run_id) = 35) AND starts_with(run_id, 'tr_'::text))),
    CONSTRAINT runs_run_key_check CHECK ((length(run_key) = 32)),
    CONSTRAINT runs_wait_for_an_answer_once_acknowledged CHECK (((answer_due_at IS NULL) OR ((state = 'PUBLISH_PENDING'::public.run_state) AND (published_offset IS NOT NULL))))
)
WITH (fillfactor='80');

CREATE TABLE public.tenants (
    tenant text NOT NULL,
    claimed_at timestamp with time zone
);

CREATE TABLE public.transitions (
    run_id text NOT NULL,
    seq bigint NOT NULL,
    transition text NOT NULL,
    from_state public.run_state NOT NULL,
    to_state public.run_state NOT NULL,
    execution_mode public.execution_mode NOT NULL,
    attempt integer NOT NULL,
    fence bigint NOT NULL,
    worker text NOT NULL,
    reason_code text,
    reason_message text,
    at timestamp with time zone NOT NULL
);

CREATE TABLE public.turns (
    tenant text NOT NULL,
    priority smallint NOT NULL,
    claimed_at timestamp with time zone,
    waiting boolean DEFAULT true NOT NULL,
    wakes_at timestamp with time zone,
    CONSTRAINT turns_either_wait_or_sleep CHECK (((NOT waiting) OR (wakes_at IS NULL)))
);

CREATE TABLE public.wake_ups (
    tenant text NOT NULL,
    priority smallint NOT NULL
);

ALTER TABLE ONLY public.acts
    ADD CONSTRAINT acts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (seq);

ALTER TABLE ONLY public.commands
    ADD CONSTRAINT commands_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY (topic, partition, "offset");

ALTER TABLE ONLY public.incarnations
    ADD CONSTRAINT incarnations_pkey PRIMARY KEY (topic, incarnation);

ALTER TABLE ONLY public.ledger_identity
    ADD CONSTRAINT ledger_identity_only_one_key UNIQUE (only_one);

ALTER TABLE ONLY public.ledger_identity
    ADD CONSTRAINT ledger_identity_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.lineage_outbox
    ADD CONSTRAINT lineage_outbox_event_id_key UNIQUE (event_id);

ALTER TABLE ONLY public.lineage_outbox
    ADD CONSTRAINT lineage_outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.locks
    ADD CONSTRAINT locks_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_stream_seq_key UNIQUE (stream, seq);

ALTER TABLE ONLY public.positions
    ADD CONSTRAINT positions_pkey PRIMARY KEY (topic, partition);

ALTER TABLE ONLY public.registry_events
    ADD CONSTRAINT registry_events_pkey PRIMARY KEY (registry_event_id);

ALTER TABLE ONLY public.relay_shards
    ADD CONSTRAINT relay_shards_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY public.relays
    ADD CONSTRAINT relays_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_pkey PRIMARY KEY (request_id);

ALTER TABLE ONLY public.runs
    ADD CONSTRAINT runs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.tenants
    ADD CONSTRAINT tenants_pkey PRIMARY KEY (tenant);

ALTER TABLE ONLY public.transitions
    ADD CONSTRAINT transitions_pkey PRIMARY KEY (run_id, seq);

ALTER TABLE ONLY public.turns
    ADD CONSTRAINT turns_pkey PRIMARY KEY (tenant, priority);

CREATE INDEX acts_by_run ON public.acts USING btree (run_id, id);

CREATE INDEX audit_log_by_time ON public.audit_log USING btree (at);

CREATE INDEX inbox_prunable ON public.inbox USING btree (received_at, topic, partition, "offset") WHERE ((outcome ->> 'outcome'::text) = ANY (ARRAY['REJECTED'::text, 'CONFLICT'::text, 'DUPLICATE_REQUEST'::text]));

CREATE INDEX lineage_outbox_by_run ON public.lineage_outbox USING btree (run_id, id);

CREATE INDEX lineage_outbox_resting ON public.lineage_outbox USING btree (rests_until) WHERE ((sent_at IS NULL) AND (rests_until IS NOT NULL));

CREATE INDEX lineage_outbox_to_send ON public.lineage_outbox USING btree (shard, id) WHERE ((sent_at IS NULL) AND (rests_until IS NULL));

CREATE INDEX outbox_by_source ON public.outbox USING btree (source_topic, source_partition, source_offset) WHERE (source_offset IS NOT NULL);

CREATE INDEX outbox_dead_letters ON public.outbox USING btree (id DESC) WHERE (kind = 'DEAD_LETTER'::public.outbox_kind);

CREATE UNIQUE INDEX outbox_event_id ON public.outbox USING btree (event_id) WHERE (seq IS NULL);

CREATE INDEX outbox_resting ON public.outbox USING btree (kind, "left"(stream, 3), rests_until) WHERE ((sent_at IS NULL) AND (withdrawn_at IS NULL) AND (set_aside_at IS NULL) AND (rests_until IS NOT NULL));

CREATE INDEX outbox_set_aside ON public.outbox USING btree (kind, id) WHERE ((set_aside_at IS NOT NULL) AND (sent_at IS NULL));

CREATE INDEX outbox_to_send ON public.outbox USING btree (kind, "left"(stream, 3), shard, id) WHERE ((sent_at IS NULL) AND (withdrawn_at IS NULL) AND (set_aside_at IS NULL) AND (rests_until IS NULL));

CREATE INDEX outbox_unsent_publications ON public.outbox USING btree (stream) WHERE ((kind = 'PUBLICATION'::public.outbox_kind) AND (sent_at IS NULL) AND (withdrawn_at IS NULL));

CREATE INDEX outbox_waiting_publications ON public.outbox USING btree (created_at) WHERE ((kind = 'PUBLICATION'::public.outbox_kind) AND (sent_at IS NULL) AND (withdrawn_at IS NULL));

CREATE INDEX registry_events_by_run ON public.registry_events USING btree (run_id);

CREATE INDEX requests_by_prefix ON public.requests USING btree (request_id text_pattern_ops);

CREATE INDEX requests_by_run ON public.requests USING btree (run_id);

CREATE INDEX requests_counted_by_day ON public.requests USING btree (counted_for, admitted_at) WHERE (counted_for IS NOT NULL);

CREATE INDEX runs_awaiting_an_answer ON public.runs USING btree (answer_due_at) WHERE (answer_due_at IS NOT NULL);

CREATE INDEX runs_by_near_key ON public.runs USING btree (near_key);

CREATE INDEX runs_by_platform_run ON public.runs USING btree (platform_run_id, run_id) WHERE (platform_run_id IS NOT NULL);

CREATE INDEX runs_by_state ON public.runs USING btree (state, created_at DESC, run_id DESC);

CREATE INDEX runs_counted_by_day ON public.runs USING btree (counted_for, created_at) WHERE (counted_for IS NOT NULL);

CREATE INDEX runs_counted_in_flight ON public.runs USING btree (counted_for) WHERE ((counted_for IS NOT NULL) AND (state = ANY (ARRAY['QUEUED'::public.run_state, 'RUNNING'::public.run_state, 'EVAL_READY'::public.run_state])));

CREATE INDEX runs_ended ON public.runs USING btree (state) WHERE (state = ANY (ARRAY['PASS'::public.run_state, 'FAIL'::public.run_state, 'PUBLISHED'::public.run_state]));

CREATE INDEX runs_leased ON public.runs USING btree (lease_expires_at) WHERE (lease_owner IS NOT NULL);

CREATE INDEX runs_publishable ON public.runs USING btree (available_at, run_id) WHERE (state = 'PUBLISH_PENDING'::public.run_state);

CREATE INDEX runs_queued ON public.runs USING btree (tenant, priority DESC, available_at, run_id) WHERE (state = 'QUEUED'::public.run_state);

CREATE INDEX runs_recent ON public.runs USING btree (created_at DESC);

CREATE INDEX runs_running ON public.runs USING btree (tenant) WHERE ((lease_owner IS NOT NULL) AND (execution_mode = 'FULL'::public.execution_mode));

CREATE INDEX runs_without_publish_receipt ON public.runs USING btree (available_at, run_id) WHERE ((state = 'PUBLISHED'::public.run_state) AND (reason_code IS NULL) AND (NOT (refs ? 'publish_receipt'::text)));

CREATE INDEX turns_asleep ON public.turns USING btree (wakes_at) WHERE (wakes_at IS NOT NULL);

CREATE INDEX turns_waiting ON public.turns USING btree (priority DESC, claimed_at NULLS FIRST, tenant) WHERE waiting;

CREATE TRIGGER audit_log_append_only BEFORE DELETE OR UPDATE OR TRUNCATE ON public.audit_log FOR EACH STATEMENT EXECUTE FUNCTION public.audit_log_is_append_only();

CREATE TRIGGER audit_log_chain BEFORE INSERT ON public.audit_log FOR EACH ROW EXECUTE FUNCTION public.chain_block();

CREATE TRIGGER run_queued AFTER UPDATE OF state, priority, available_at ON public.runs FOR EACH ROW WHEN (((new.state = 'QUEUED'::public.run_state) AND ((old.state <> 'QUEUED'::public.run_state) OR (new.priority <> old.priority) OR (new.available_at < old.available_at)))) EXECUTE FUNCTION public.run_queued();

CREATE TRIGGER runs_evidence_changed BEFORE UPDATE OF refs ON public.runs FOR EACH ROW WHEN ((old.refs IS DISTINCT FROM new.refs)) EXECUTE FUNCTION public.evidence_changed();

CREATE TRIGGER runs_inserted AFTER INSERT ON public.runs REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION public.runs_inserted();

ALTER TABLE ONLY public.acts
    ADD CONSTRAINT acts_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.lineage_outbox
    ADD CONSTRAINT lineage_outbox_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_source_topic_source_partition_source_offset_fkey FOREIGN KEY (source_topic, source_partition, source_offset) REFERENCES public.inbox(topic, partition, "offset") DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.registry_events
    ADD CONSTRAINT registry_events_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);

ALTER TABLE ONLY public.requests
    ADD CONSTRAINT requests_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE ONLY public.transitions
    ADD CONSTRAINT transitions_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.runs(run_id);
