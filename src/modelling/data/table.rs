//! Holds the rows that a run learns from and is measured on, as columns. The features lie in memory as the booster
//! reads them.
//!
//! Guarantees: feature values lie in memory row by row, and code that fits or scores shares them without a copy. A
//! categorical feature holds numbers that stand for its values.

use crate::domain::contract::CategoryValue;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// All rows of all files, in the order that [`super::sort_rows`] gives them. Every column has the same length.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Event times in microseconds since 1970-01-01T00:00:00Z. `None` for data without event times.
    pub event_time: Option<Vec<i64>>,
    pub label: Vec<bool>,
    pub row_id: RowIds,
    /// When the label became known, in microseconds since 1970. [`Self::NEVER`] stands for a good payment that nobody
    /// examined. `None` if the data has no such column.
    pub label_observed_time: Option<Vec<i64>>,
    /// The instant as of which a row's features were computed, in microseconds since 1970. `None` if the data has no
    /// such column.
    pub feature_time: Option<Vec<i64>>,
    /// How many payments each row stands for, above 0. `None` if the data has no such column: each row is one payment.
    pub weight: Option<Vec<f32>>,
    /// Entity columns, in the order of the manifest.
    pub entities: Vec<EntityColumn>,
    /// The amounts, finite and from 0 up. `None` if the manifest names no such column.
    pub amount: Option<Vec<f64>>,
    /// The features, in the order of the plan.
    pub features: Features,
}

/// The ids of rows, in the type of the file's id column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowIds {
    Numbers(Vec<i64>),
    Texts(Vec<String>),
}

/// The file column with the ids of rows that are only scored.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdColumn {
    pub name: String,
    /// If true, a file without this column is refused. If false, the row numbers of such a file become the ids.
    pub required: bool,
}

/// A column of entities, such as cards. Equal values have equal numbers, counted from 0 in the order of first
/// appearance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityColumn {
    pub name: String,
    pub ids: Vec<u32>,
}

impl Table {
    /// A time that stands for "never". It sorts before every real time.
    pub const NEVER: i64 = i64::MIN;

    pub fn rows(&self) -> usize {
        self.label.len()
    }
}

#[cfg(test)]
impl Table {
    /// Builds a table of good payments with these features and ids from 0. It has no times and no entities.
    pub(crate) fn of_good(rows: usize, features: Features) -> Self {
        Self {
            event_time: None,
            label: vec![false; rows],
            row_id: RowIds::Numbers((0..rows as i64).collect()),
            label_observed_time: None,
            feature_time: None,
            weight: None,
            entities: vec![],
            amount: None,
            features,
        }
    }

    /// Builds a table without features. Each row has the day of its event since 1970, its label and its card.
    pub(super) fn of_cards(rows: &[(i64, bool, u32)]) -> Self {
        const DAY: i64 = 86_400_000_000;
        Self {
            event_time: Some(rows.iter().map(|(day, ..)| day * DAY).collect()),
            label: rows.iter().map(|(_, label, _)| *label).collect(),
            entities: vec![EntityColumn { name: "card".to_owned(), ids: rows.iter().map(|(.., id)| *id).collect() }],
            ..Self::of_good(rows.len(), Features::new(0, vec![], vec![]))
        }
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

/// A column of a data file, as the footer of the file declares it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileColumn {
    pub name: String,
    /// The column's type in Parquet's words, in lower case. This is the logical type if there is one (`string`,
    /// `timestamp`, `uint8`), otherwise the physical type (`int64`, `double`).
    #[serde(rename = "type")]
    pub kind: String,
}

/// The features of all rows. NaN is a missing value.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    width: usize,
    values: Arc<Vec<f32>>,
    /// For each feature, the values that its numbers 0, 1, 2… stand for. `None` for a numeric feature.
    vocabularies: Vec<Option<Vec<CategoryValue>>>,
    /// For each feature, the number of whole numbers that were rounded to a 32-bit float.
    rounded: Vec<u64>,
}

impl Features {
    /// Builds features from `values`, which holds `width` features of each row, row by row. `vocabularies` has an entry
    /// for each feature: `None` for a numeric feature, otherwise the values that the numbers 0, 1, 2… stand for.
    pub fn new(width: usize, values: Vec<f32>, vocabularies: Vec<Option<Vec<CategoryValue>>>) -> Self {
        assert_eq!(vocabularies.len(), width, "a vocabulary or none per feature");
        assert!(values.len().is_multiple_of(width.max(1)), "whole rows");
        Self { width, values: Arc::new(values), vocabularies, rounded: vec![0; width] }
    }

    /// Says how many whole numbers of each feature were rounded when they became 32-bit floats.
    #[must_use]
    pub fn with_rounded(self, rounded: Vec<u64>) -> Self {
        assert_eq!(rounded.len(), self.width, "a number per feature");
        Self { rounded, ..self }
    }

    pub fn width(&self) -> usize {
        self.width
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    pub fn value(&self, row: usize, feature: usize) -> f32 {
        self.values[row * self.width + feature]
    }

    pub fn column(&self, feature: usize) -> impl ExactSizeIterator<Item = f32> + '_ {
        self.values[feature.min(self.values.len())..].iter().step_by(self.width.max(1)).copied()
    }

    /// Returns the values that the numbers of a categorical feature stand for. `None` for a numeric feature.
    pub fn vocabulary(&self, feature: usize) -> Option<&[CategoryValue]> {
        self.vocabularies.get(feature)?.as_deref()
    }

    /// Returns how many whole numbers of a feature, over all rows, are not the numbers in the file: 32-bit floats hold
    /// each whole number only up to 2^24.
    pub fn rounded(&self, feature: usize) -> u64 {
        self.rounded[feature]
    }

    /// Returns the values, row by row, without a copy.
    pub fn shared(&self) -> Arc<Vec<f32>> {
        Arc::clone(&self.values)
    }

    /// Swaps two rows. Copies all values first if a caller of `shared` still holds them.
    pub(super) fn swap_rows(&mut self, a: usize, b: usize) {
        let (first, second) = (a.min(b), a.max(b));
        if first < second {
            let (head, tail) = Arc::make_mut(&mut self.values).split_at_mut(second * self.width);
            head[first * self.width..][..self.width].swap_with_slice(&mut tail[..self.width]);
        }
    }

    /// Gives each row the value of a feature that `of` returns for its row number and its value, and returns the values
    /// before. Copies all values first if a caller of `shared` still holds them.
    pub fn replace(&mut self, feature: usize, of: impl Fn(usize, f32) -> f32) -> Vec<f32> {
        let values = Arc::make_mut(&mut self.values)[feature..].iter_mut().step_by(self.width);
        values.enumerate().map(|(row, value)| std::mem::replace(value, of(row, *value))).collect()
    }

    /// Gives a categorical feature another vocabulary. `renumber` maps every number in use to its new number or to NaN.
    /// Copies all values first if a caller of `shared` still holds them.
    pub(super) fn recode(&mut self, feature: usize, renumber: &[f32], vocabulary: Vec<CategoryValue>) {
        let values = Arc::make_mut(&mut self.values);
        for value in values[feature..].iter_mut().step_by(self.width) {
            if !value.is_nan() {
                *value = renumber[*value as usize];
            }
        }
        self.vocabularies[feature] = Some(vocabulary);
    }
}
