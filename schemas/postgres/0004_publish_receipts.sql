-- Receipts of publications: which published runs have none yet, and no reason why not. Of the columns of a run that
-- change while it is worked on, none is looked at that other indexes do not look at, so that claims cost the same.
CREATE INDEX runs_without_publish_receipt ON runs (available_at, run_id)
    WHERE state = 'PUBLISHED' AND reason_code IS NULL AND NOT refs ? 'publish_receipt';
