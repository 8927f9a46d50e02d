//! Features out of batches, laid out row by row. Training and scoring decode them in this one way.

use super::numbers::{self, Slots};
use super::symbols::{self, Interner};
use crate::domain::contract::{Feature, FeatureKind};
use crate::modelling::Features;
use arrow_array::{Array, RecordBatch};

/// The features of the rows that were appended so far.
pub(super) struct FeatureRows<'a> {
    features: &'a [Feature],
    values: Vec<f32>,
    categories: Vec<Option<Interner>>,
}

impl<'a> FeatureRows<'a> {
    /// With capacity for so many rows.
    pub(super) fn new(features: &'a [Feature], rows: usize) -> Self {
        let categories =
            features.iter().map(|feature| (feature.kind == FeatureKind::Categorical).then(Interner::default)).collect();
        Self { features, values: Vec::with_capacity(rows * features.len()), categories }
    }

    /// Appends the rows of a batch. Errors count rows from `first`, the number of the batch's first row.
    pub(super) fn append(&mut self, batch: &RecordBatch, first: usize) -> Result<(), String> {
        let (width, start) = (self.features.len(), self.values.len());
        self.values.resize(start + batch.num_rows() * width, f32::NAN);
        for (index, (feature, categories)) in self.features.iter().zip(&mut self.categories).enumerate() {
            let slots = Slots::new(&mut self.values[start..], width, index, first);
            let array = column(batch, &feature.name)?;
            match categories {
                None => numbers::numbers(array, slots),
                Some(interner) => symbols::categories(array, interner, slots),
            }
            .map_err(named(&feature.name))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Features, String> {
        let mut vocabularies = Vec::with_capacity(self.categories.len());
        for (feature, interner) in self.features.iter().zip(self.categories) {
            let vocabulary = interner.map(Interner::into_values).transpose();
            vocabularies.push(vocabulary.map_err(named(&feature.name))?);
        }
        Ok(Features::new(self.features.len(), self.values, vocabularies))
    }
}

pub(super) fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b dyn Array, String> {
    batch.column_by_name(name).ok_or_else(|| format!("there is no column {name:?}")).map(AsRef::as_ref)
}

/// Adds the column's name to an error.
pub(super) fn named(name: &str) -> impl FnOnce(String) -> String + use<> {
    let name = name.to_owned();
    move |why| format!("column {name:?}: {why}")
}
