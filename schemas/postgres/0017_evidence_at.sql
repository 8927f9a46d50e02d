-- The database notes each time at which a run's evidence changes. The transaction that changes it appends a block at the same
-- time, so that the blocks which name this evidence are found by these times. No role may write this column.
ALTER TABLE runs ADD COLUMN evidence_at timestamptz[] NOT NULL DEFAULT '{}';

CREATE FUNCTION evidence_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.evidence_at := OLD.evidence_at || now();
    RETURN NEW;
END
$$;

CREATE TRIGGER runs_evidence_changed BEFORE UPDATE OF refs ON runs FOR EACH ROW
    WHEN (OLD.refs IS DISTINCT FROM NEW.refs) EXECUTE FUNCTION evidence_changed();

CREATE INDEX audit_log_by_time ON audit_log (at);
