-- The database itself orders the audit log and computes its digests. Whoever has to take turns locks a row, which only a role
-- that may update it can do. Advisory locks, which served before, are free for every role that may connect.

-- Rows that are locked and never changed. Those of requesters are inserted when they are first needed.
CREATE TABLE locks (
    name                   text PRIMARY KEY
);
INSERT INTO locks (name) VALUES ('audit_log'), ('running'), ('turns');

-- Nobody writes these columns: a role locks a row only if it may update one of its columns, and pruning locks rows.
ALTER TABLE runs ADD COLUMN locked_by_pruning boolean;
ALTER TABLE inbox ADD COLUMN locked_by_pruning boolean;

-- Gives each block its number, time and digests, whatever the statement says: only `body` is the writer's. Workers of the
-- release before compute all of them, and come to the same or, if another block came in between, to what is replaced here.
CREATE FUNCTION chain_block() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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

CREATE TRIGGER audit_log_chain BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION chain_block();

-- As before, but for the lock.
CREATE OR REPLACE FUNCTION take_turn(max_running bigint) RETURNS TABLE (tenant text, priority smallint, is_last boolean)
    LANGUAGE plpgsql
    SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
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
