-- Whose turn it is, so that a claim costs the same for one tenant and for 10,000, and waits for no other claim.
--
-- A turn waits while a run of its tenant and priority may be claimable; otherwise it sleeps. A claim looks only at
-- turns that wait, in the order of their index. Nobody who is outside of the server for a moment, and may freeze there,
-- holds a lock that the functions below wait for: each runs as one statement in a transaction of its own.
--
-- No wake-up gets lost. Whoever queues a run holds the turn by FOR KEY SHARE until its COMMIT, which hinders neither
-- others who queue runs nor claims. `rest_turn` needs FOR UPDATE, and passes by where it does not get it at once. So
-- either it sees the run, or whoever queues the run sees that the turn sleeps, and leaves a wake-up.
CREATE TABLE turns (
    tenant                 text NOT NULL,
    priority               smallint NOT NULL,
    -- When a run of the tenant, of whatever priority, last had its turn.
    claimed_at             timestamptz,
    waiting                boolean NOT NULL DEFAULT true,
    -- When a turn that sleeps has its next claimable run; NULL if it has no queued run.
    wakes_at               timestamptz,
    PRIMARY KEY (tenant, priority),
    CONSTRAINT turns_either_wait_or_sleep CHECK (NOT waiting OR wakes_at IS NULL)
);
CREATE INDEX turns_waiting ON turns (priority DESC, claimed_at NULLS FIRST, tenant) WHERE waiting;
CREATE INDEX turns_asleep ON turns (wakes_at) WHERE wakes_at IS NOT NULL;

-- What the bounds on running runs count.
CREATE INDEX runs_running ON runs (tenant) WHERE lease_owner IS NOT NULL AND execution_mode = 'FULL';

-- Turns that slept when a run was queued. The next claim wakes them, and deletes the row.
CREATE TABLE wake_ups (
    tenant                 text NOT NULL,
    priority               smallint NOT NULL
);

-- What a transaction that queues runs does for their turns.
CREATE FUNCTION await_turns(tenants text[], priorities smallint[]) RETURNS void
    LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET jit = off
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off
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

-- Triggers, so that workers of the release before, and people who mend rows by hand, do it as well. They run as the
-- owner: nobody else needs a right to write wake-ups.
CREATE FUNCTION runs_inserted() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM await_turns(array_agg(n.tenant), array_agg(n.priority))
       FROM (SELECT DISTINCT i.tenant, i.priority FROM inserted i WHERE i.state = 'QUEUED') n
     HAVING count(*) > 0;
    RETURN NULL;
END
$$;
CREATE FUNCTION run_queued() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp
AS $$
BEGIN
    PERFORM await_turns(ARRAY[NEW.tenant], ARRAY[NEW.priority]);
    RETURN NULL;
END
$$;
CREATE TRIGGER runs_inserted AFTER INSERT ON runs
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION runs_inserted();
CREATE TRIGGER run_queued AFTER UPDATE OF state, priority, available_at ON runs FOR EACH ROW
    WHEN (NEW.state = 'QUEUED' AND (OLD.state <> 'QUEUED' OR NEW.priority <> OLD.priority
                                    OR NEW.available_at < OLD.available_at))
    EXECUTE FUNCTION run_queued();

-- Lets a turn sleep that has no claimable run.
CREATE FUNCTION rest_turn(of_tenant text, of_priority smallint) RETURNS void
    LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET jit = off
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

-- Takes the next turn: the highest priority, then the tenant that was served longest ago. Returns no row if no run is
-- claimable. The caller claims the first run of that turn, and takes another turn if somebody was faster: what is found
-- here holds only until this statement ends.
--
-- With `max_running` above 0, a tenant that has as many running runs has no turn, and one whose row in `tenants` another
-- claim has locked has one only if nobody else has.
--
-- Without sorts and sequential scans the planner has one index for each ORDER BY, whatever its statistics say: those of a
-- moment ago may be of turns that all wait, or all sleep.
CREATE FUNCTION take_turn(max_running bigint) RETURNS TABLE (tenant text, priority smallint, is_last boolean)
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
    PERFORM pg_advisory_xact_lock(x'6d667475726e7300'::bigint);
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

-- Runs that are queued already. Creating the triggers has locked `runs` against writers until this commits.
INSERT INTO turns (tenant, priority, claimed_at)
SELECT r.tenant, r.priority, (SELECT t.claimed_at FROM tenants t WHERE t.tenant = r.tenant)
  FROM (SELECT DISTINCT tenant, priority FROM runs WHERE state = 'QUEUED') r;
