//! The rows that a run learns from and is measured on, as columns.

use super::features::Features;
use serde::{Deserialize, Serialize};
use std::fmt;

/// All rows of all files, in file order. Every column has the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Microseconds since 1970-01-01T00:00:00Z; none for data without time.
    pub event_time: Option<Vec<i64>>,
    /// Fraud or not.
    pub label: Vec<bool>,
    /// Unique per row.
    pub row_id: RowIds,
    /// When the label became known, in microseconds; [`Self::NEVER`] for a good payment that nobody
    /// looked into.
    pub label_observed_time: Option<Vec<i64>>,
    /// As of when the features were computed, in microseconds.
    pub feature_time: Option<Vec<i64>>,
    /// Entity columns, in the manifest's order.
    pub entities: Vec<EntityColumn>,
    /// The features, in the plan's order.
    pub features: Features,
}

/// Ids of rows, as the file holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowIds {
    /// Integers.
    Numbers(Vec<i64>),
    /// Text.
    Texts(Vec<String>),
}

/// Where the ids of rows that are only scored come from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdColumn {
    /// The column.
    pub name: String,
    /// Whether a file without it is refused; else its rows go by their numbers.
    pub required: bool,
}

/// A column of entities; equal values have equal numbers, from 0 in order of first appearance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityColumn {
    /// Column name.
    pub name: String,
    /// One number per row.
    pub ids: Vec<u32>,
}

impl Table {
    /// Stands for no time at all, before every other.
    pub const NEVER: i64 = i64::MIN;

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.label.len()
    }
}

impl RowIds {
    /// The id of a row, for people.
    pub fn show(&self, row: usize) -> RowId<'_> {
        match self {
            Self::Numbers(ids) => RowId::Number(ids[row]),
            Self::Texts(ids) => RowId::Text(&ids[row]),
        }
    }
}

/// One row's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowId<'a> {
    /// An integer.
    Number(i64),
    /// Text.
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
