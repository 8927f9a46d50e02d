-- Who did what to which run, and why: one row a transaction, chained by digest, written last in the transaction whose
-- acts it tells. docs/audit-log.md tells how to compute the chain again without this software.

CREATE TABLE audit_log (
    -- 1, 2, 3… in the order of commits, no holes.
    seq                    bigint PRIMARY KEY CHECK (seq >= 1),
    -- When the transaction began, as in the rows beside it.
    at                     timestamptz NOT NULL,
    -- Its acts as canonical JSON: exactly the bytes that are hashed.
    body                   text NOT NULL CHECK (octet_length(body) BETWEEN 2 AND 67108864),
    -- Digest of the row before; 32 zero bytes in the first.
    previous               bytea NOT NULL CHECK (length(previous) = 32),
    digest                 bytea NOT NULL CHECK (length(digest) = 32)
);

CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_log is append-only: % is refused', TG_OP;
END
$$;

CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION audit_log_is_append_only();

-- Which platform run a run belongs to, for its reconciliation. Runs from before have none here.
ALTER TABLE runs ADD COLUMN platform_run_id text;
CREATE INDEX runs_by_platform_run ON runs (platform_run_id, run_id) WHERE platform_run_id IS NOT NULL;
