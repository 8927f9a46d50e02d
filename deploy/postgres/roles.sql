-- Who may do what in the ledger's database. Run it as an administrator in that database, once before the first
-- `model-factory migrate` and again after each one: it may run any number of times, and ends with an error where the
-- schema has a table that is not in the list below, or the list one that the schema has not.
--
--   model_factory_migrate   owns the schema's objects; `model-factory migrate`
--   model_factory_worker    `model-factory worker`, and the operator's commands that change runs
--   model_factory_prune     removes what is old; nothing else deletes
--   model_factory_read      looks: `runs list`, `dead-letters list`, dashboards
--
-- No role has a password by this file: \password model_factory_worker, or a certificate or token by pg_hba.conf.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['migrate', 'worker', 'prune', 'read'] LOOP
        name := 'model_factory_' || name;
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE', name);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- Somebody else made it at the same time.
            END;
        END IF;
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), name);
        EXECUTE format('GRANT USAGE ON SCHEMA public TO %I', name);
    END LOOP;
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
END
$$;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CREATE ON SCHEMA public TO model_factory_migrate;

DO $$
DECLARE
    stated record;
    stray text;
BEGIN
    IF to_regclass('public._sqlx_migrations') IS NULL THEN
        RAISE NOTICE 'the schema is not there yet: run `model-factory migrate` as model_factory_migrate, then this again';
        RETURN;
    END IF;

    -- A new table needs a line here: what a worker may, what pruning may. Everybody else looks at most.
    -- UPDATE names its columns where a row's other columns are written once; pruning has one of its own because it locks rows.
    CREATE TEMPORARY TABLE stated_grants (table_name text PRIMARY KEY, worker text NOT NULL, prune text) ON COMMIT DROP;
    INSERT INTO stated_grants VALUES
        ('_sqlx_migrations', 'SELECT', 'SELECT'),
        ('tenants',          'SELECT, INSERT, UPDATE (claimed_at)', NULL),
        -- Triggers of runs insert turns and wake-ups, as the owner of the schema.
        ('turns',            'SELECT, UPDATE (claimed_at, waiting, wakes_at)', NULL),
        ('wake_ups',         'SELECT, DELETE', NULL),
        -- Who may update a column may lock the row. Nobody changes these rows.
        ('locks',            'SELECT, INSERT, UPDATE (name)', NULL),
        -- What a run is stands for ever: its id, key, first request, tenant, platform run, and whom it counts for.
        ('runs',             'SELECT, INSERT, UPDATE (priority, state, execution_mode, publish_allowed, '
                             'full_run_attempts, publish_retry_attempts, full_attempts_before, publish_attempts_before, '
                             'fence, lease_owner, lease_expires_at, cancel_requested, available_at, reason_code, '
                             'reason_message, refs, progress, next_seq, published_topic, published_partition, '
                             'published_offset, answer_due_at, confirmed_by, lineage_since, outage_since, outage_tries, '
                             'updated_at)',
                             'SELECT, UPDATE (locked_by_pruning)'),
        ('requests',         'SELECT, INSERT, UPDATE (duplicate_announced)', NULL),
        ('commands',         'SELECT, INSERT, UPDATE (duplicate_announced)', NULL),
        ('inbox',            'SELECT, INSERT', 'SELECT, DELETE, UPDATE (locked_by_pruning)'),
        ('positions',        'SELECT, INSERT, UPDATE (next_offset, updated_at)', NULL),
        ('incarnations',     'SELECT, INSERT', NULL),
        ('ledger_identity',  'SELECT', NULL),
        ('transitions',      'SELECT, INSERT', 'SELECT, DELETE'),
        ('outbox',           'SELECT, INSERT, UPDATE (sent_at, withdrawn_at, sent_topic, sent_partition, sent_offset, '
                             'handed_at, tries, rests_until, refusal, set_aside_at)',
                             'SELECT, DELETE'),
        ('lineage_outbox',   'SELECT, INSERT, UPDATE (sent_at, sent_topic, sent_partition, sent_offset, tries, '
                             'rests_until, refusal)', 'SELECT, DELETE'),
        ('acts',             'SELECT, INSERT', NULL),
        ('registry_events',  'SELECT, INSERT', 'SELECT, DELETE'),
        ('relay_shards',     'SELECT, UPDATE', NULL),
        ('relays',           'SELECT, INSERT, UPDATE, DELETE', NULL),
        -- Whoever deletes history tells of it in the same transaction. Nobody changes what is told. A trigger orders the
        -- blocks and computes their digests; from pruning it takes no other acts.
        ('audit_log',        'SELECT, INSERT', 'SELECT, INSERT');

    SELECT coalesce(t.relname, s.table_name) INTO stray
      FROM (SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')) t
      FULL JOIN stated_grants s ON s.table_name = t.relname
     WHERE t.relname IS NULL OR s.table_name IS NULL LIMIT 1;
    IF stray IS NOT NULL THEN
        RAISE EXCEPTION 'table % is in the schema or in the list of deploy/postgres/roles.sql, but not in both', stray;
    END IF;

    FOR stated IN SELECT * FROM stated_grants LOOP
        EXECUTE format('REVOKE ALL ON public.%I FROM PUBLIC, model_factory_worker, model_factory_prune, '
                       'model_factory_read', stated.table_name);
        EXECUTE format('GRANT %s ON public.%I TO model_factory_worker', stated.worker, stated.table_name);
        IF stated.prune IS NOT NULL THEN
            EXECUTE format('GRANT %s ON public.%I TO model_factory_prune', stated.prune, stated.table_name);
        END IF;
        EXECUTE format('GRANT SELECT ON public.%I TO model_factory_read', stated.table_name);
    END LOOP;
END
$$;

-- Identity columns draw their numbers as the table's owner does: nobody needs a sequence.
REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, model_factory_worker, model_factory_prune, model_factory_read;
