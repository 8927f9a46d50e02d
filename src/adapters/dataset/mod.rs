//! Inputs by reference: allow-listed, fetched once, digests checked on the bytes that are used; Parquet in, columns
//! out.
//!
//! Guarantees: nothing outside the allow-list is opened, whatever links and dots say; a file that is handed on has
//! the digest that the manifest pins. Never: looks for the newest; decodes a data file outside the trainer's child
//! process.

mod error;
mod exchange;
mod inputs;
mod links;
mod local;
mod parquet;
mod scores;
mod settings;

pub use error::InputError;
pub use exchange::{LabelColumn, read_scores, write_rows};
pub use inputs::Inputs;
pub use links::Links;
pub use parquet::{RowBatch, RowsToScore, file_columns, read_table, room_mib};
pub use scores::{ScoreWriter, write_scores};
pub use settings::{InputSettings, InputSettingsError};
