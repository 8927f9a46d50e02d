//! Parquet in, columns out. Runs only in the trainer's child process: a hostile file may make a decoder panic or
//! allocate without bound, and must not take the worker with it.
//!
//! Guarantees: only the named columns are decoded, a batch of rows at a time; a file that declares more than the
//! profile allows is refused before memory is allocated for it.

mod columns;
mod declared;
mod feature_rows;
mod numbers;
mod pages;
mod scoring;
mod symbols;
mod table;
mod times;

pub use columns::file_columns;
pub use declared::room_mib;
pub use scoring::{RowBatch, RowsToScore};
pub use table::read_table;
