-- What the console asks for. Building these blocks admissions for the time of one scan of each table. Of the columns
-- of a run that change while it is worked on, none is looked at that other indexes do not look at.

-- Runs of one state, newest first; also how many there are, up to a bound.
CREATE INDEX runs_by_state ON runs (state, created_at DESC, run_id DESC);

-- Requests by the beginning of their id, whatever the database's collation.
CREATE INDEX requests_by_prefix ON requests (request_id text_pattern_ops);
