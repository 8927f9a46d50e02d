-- Whose quota a run counts against: the requester who made it, where the policy bounds that one.

ALTER TABLE runs ADD COLUMN counted_for text;
CREATE INDEX runs_counted_in_flight ON runs (counted_for)
    WHERE counted_for IS NOT NULL AND state IN ('QUEUED', 'RUNNING', 'EVAL_READY');
CREATE INDEX runs_counted_by_day ON runs (counted_for, created_at) WHERE counted_for IS NOT NULL;
