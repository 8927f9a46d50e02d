//! The features of all rows, laid out once as the booster reads them.
//!
//! Guarantees: values are stored once, row by row, and lent to the code that fits or scores; a categorical
//! feature holds numbers that stand for values. Never: copies a column.

use crate::domain::contract::CategoryValue;
use std::sync::Arc;

/// All features of all rows; NaN is missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    width: usize,
    values: Arc<Vec<f32>>,
    /// Per feature: for a categorical one the values that its numbers stand for.
    vocabularies: Vec<Option<Vec<CategoryValue>>>,
}

impl Features {
    /// `values` are those of `width` features, row by row. `vocabularies` has an entry per feature: none for a
    /// numeric one, else the values that the numbers 0, 1, 2… stand for.
    pub fn new(width: usize, values: Vec<f32>, vocabularies: Vec<Option<Vec<CategoryValue>>>) -> Self {
        assert_eq!(vocabularies.len(), width, "a vocabulary or none per feature");
        assert!(values.len().is_multiple_of(width.max(1)), "whole rows");
        Self { width, values: Arc::new(values), vocabularies }
    }

    /// Number of features.
    pub fn width(&self) -> usize {
        self.width
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.width..][..self.width]
    }

    pub fn value(&self, row: usize, feature: usize) -> f32 {
        self.values[row * self.width + feature]
    }

    /// One feature of every row.
    pub fn column(&self, feature: usize) -> impl ExactSizeIterator<Item = f32> + '_ {
        self.values[feature.min(self.values.len())..].iter().step_by(self.width.max(1)).copied()
    }

    /// The values that the numbers of a categorical feature stand for; none for a numeric one.
    pub fn vocabulary(&self, feature: usize) -> Option<&[CategoryValue]> {
        self.vocabularies.get(feature)?.as_deref()
    }

    /// The values row by row, without a copy.
    pub fn shared(&self) -> Arc<Vec<f32>> {
        Arc::clone(&self.values)
    }

    /// Gives a categorical feature another vocabulary: `renumber` maps every number in use to the new one or to
    /// NaN. Copies all values if they are lent out.
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
