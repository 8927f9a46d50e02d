-- How many runs have ended, for the gauges of the metrics. Every other state has an index already that holds
-- nothing else.
CREATE INDEX runs_ended ON runs (state) WHERE state IN ('PASS', 'FAIL', 'PUBLISHED');
