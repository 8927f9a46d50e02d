-- Attempts that fail for want of what they need do not count while the run's patience lasts: since when, and how often.

ALTER TABLE runs
    ADD COLUMN outage_since timestamptz,
    ADD COLUMN outage_tries integer NOT NULL DEFAULT 0 CHECK (outage_tries >= 0);
