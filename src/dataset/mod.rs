//! Inputs by reference: allow-listed, fetched once, digests checked on the bytes that are used; Parquet in, columns out.
