-- What the ledger keeps of a record that is over a bound or that nobody can read: its beginning in `key` and `value`, and
-- here the length and the digest of the whole value, which stands on its topic alone. Both are null for a whole record.
ALTER TABLE inbox ADD COLUMN value_bytes bigint, ADD COLUMN value_sha256 bytea;
