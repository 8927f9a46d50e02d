//! Decodes Parquet files to columns. Runs only in the trainer's child process, because a hostile file may make a
//! decoder panic or allocate without bound. That must not end the worker.
//!
//! Guarantees: only the named columns are decoded, one batch of rows at a time. A file that declares more than the
//! profile allows is refused before memory is allocated for it.

mod declared;
mod numbers;
mod pages;
mod rows;
mod symbols;
mod times;

pub use declared::{file_columns, room_mib};
pub use rows::{RowBatch, RowsToScore, read_table};
