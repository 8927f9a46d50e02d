//! The rows that a run learns from and is measured on, as columns.

use super::features::Features;
use serde::{Deserialize, Serialize};
use std::fmt;

/// All rows of all files, in file order. Every column has the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Microseconds since 1970-01-01T00:00:00Z; none for data without time.
    pub event_time: Option<Vec<i64>>,
    /// Whether the payment is fraud.
    pub label: Vec<bool>,
    pub row_id: RowIds,
    /// When the label became known, in microseconds; [`Self::NEVER`] for a good payment that nobody examined.
    pub label_observed_time: Option<Vec<i64>>,
    /// The instant as of which the features were computed, in microseconds.
    pub feature_time: Option<Vec<i64>>,
    /// Entity columns, in the manifest's order.
    pub entities: Vec<EntityColumn>,
    /// The features, in the plan's order.
    pub features: Features,
}

/// Ids of rows in the type of the file's column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowIds {
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}

/// The column with the ids of rows that are only scored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdColumn {
    pub name: String,
    /// Whether a file without the column is refused; otherwise row numbers are the ids.
    pub required: bool,
}

/// A column of entities. Equal values have equal numbers, from 0 in the order of first appearance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityColumn {
    pub name: String,
    /// Per row.
    pub ids: Vec<u32>,
}

impl Table {
    /// Stands for no time; sorts before every other.
    pub const NEVER: i64 = i64::MIN;

    pub fn rows(&self) -> usize {
        self.label.len()
    }
}

impl RowIds {
    pub fn show(&self, row: usize) -> RowId<'_> {
        match self {
            Self::Numbers(ids) => RowId::Number(ids[row]),
            Self::Texts(ids) => RowId::Text(&ids[row]),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowId<'a> {
    Number(i64),
    Text(&'a str),
}

impl fmt::Display for RowId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(id) => id.fmt(f),
            Self::Text(id) => f.write_str(id),
        }
    }
}

/// A column of a data file, as the file's footer declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileColumn {
    /// Its name.
    pub name: String,
    /// What it holds, in Parquet's words and in lower case: the logical type where there is one (`string`,
    /// `timestamp`, `uint8`), else the physical one (`int64`, `double`).
    #[serde(rename = "type")]
    pub kind: String,
}
