//! Holds the rows of a run as columns, and prepares them for a model: sorts, splits, encodes and slices them.

mod categories;
mod findings;
mod known_entities;
mod row_order;
mod settle;
mod slicing;
mod split;
mod table;

pub use categories::{Encoding, MAX_VALUES_READ, encode_categories};
pub use findings::feature_findings;
pub use row_order::sort_rows;
pub use settle::{settle, windows_before};
pub use slicing::slicings;
pub use split::{Assignment, split, without_known_entities};
pub use table::{EntityColumn, Features, FileColumn, IdColumn, RowId, RowIds, Table};
