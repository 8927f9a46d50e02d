-- What the ledger keeps of a record that is over a bound or cannot be read: its beginning in `key` and `value`, and here
-- the length and the digest of the whole value, which stands on its topic alone. Both are null for a whole record.
ALTER TABLE inbox ADD COLUMN value_bytes bigint, ADD COLUMN value_sha256 bytea;

-- Checked for new rows only: every earlier row holds null.
ALTER TABLE inbox ADD CONSTRAINT inbox_cut_records_say_what_they_were
    CHECK ((value_bytes IS NULL) = (value_sha256 IS NULL) AND (value_bytes IS NULL OR length(value) <= 1024)) NOT VALID;
