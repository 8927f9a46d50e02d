//! Inputs by reference: allow-listed, fetched once, digests checked on the bytes that are used; Parquet
//! in, columns out.
//!
//! Guarantees: nothing outside the allow-list is opened, whatever links and dots say; a file that is
//! handed on has the digest that pins it. Never: asks what is newest; decodes a data file outside the
//! trainer's child process.

mod exchange;
mod fetch;
mod links;
mod parquet;
mod scores;

pub use exchange::{Labels, read_scores, write_rows};
pub use fetch::{InputError, InputSettings, Inputs};
pub use links::Links;
pub use parquet::{RowBatch, RowsToScore, file_columns, read_table, room_mib};
pub use scores::{ScoreWriter, write_scores};
