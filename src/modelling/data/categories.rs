//! Assigns codes to the values of categorical features, in a way that another scorer can reproduce.
//!
//! The values that a feature has in the train window are sorted, numbers by size and text by code point, and numbered
//! from 0. A value that occurs only in other windows has no code and counts as missing, like an unknown value in
//! production.

use super::table::{Features, Table};
use crate::domain::contract::{CategoryValue, Feature, FeatureCategories, FeatureKind};
use crate::domain::run::{Failure, FailureCode};
use std::collections::HashMap;

/// Upper bound on the distinct values of one categorical feature when files are read. It bounds the memory of the values.
/// It is also far below 2^24, up to which the 32-bit floats that hold the values' numbers are exact.
pub const MAX_VALUES_READ: usize = 1 << 20;

/// Recodes every categorical feature by its values in the rows `train`, and returns these values. Returns the failure
/// `DATASET_INVALID` if a feature has more than `max` values in `train`.
pub fn encode_categories(
    table: &mut Table,
    train: &[usize],
    features: &[Feature],
    max: u32,
) -> Result<Vec<FeatureCategories>, Failure> {
    let mut encoded = Vec::new();
    for (index, feature) in features.iter().enumerate() {
        let (FeatureKind::Categorical, Some(read)) = (feature.kind, table.features.vocabulary(index)) else {
            continue;
        };
        let mut seen = vec![false; read.len()];
        for &row in train {
            let number = table.features.value(row, index);
            if !number.is_nan() {
                seen[number as usize] = true;
            }
        }
        let mut known: Vec<usize> = (0..read.len()).filter(|&number| seen[number]).collect();
        if known.len() > max as usize {
            let message = format!(
                "feature {:?} has {} values in the train window; limits.max_categories allows {max}",
                feature.name,
                known.len()
            );
            return Err(Failure::new(FailureCode::DatasetInvalid, message));
        }
        known.sort_by(|&a, &b| read[a].cmp(&read[b]));
        let values: Vec<CategoryValue> = known.iter().map(|&number| read[number].clone()).collect();
        let mut renumber = vec![f32::NAN; read.len()];
        for (code, &number) in known.iter().enumerate() {
            renumber[number] = code as f32;
        }
        table.features.recode(index, &renumber, values.clone());
        encoded.push(FeatureCategories { feature: feature.name.clone(), values });
    }
    Ok(encoded)
}

/// Encodes rows for the model of an earlier bundle. The inputs have the model's order, and categories have the model's
/// codes.
pub struct Encoding<'a> {
    /// For each input of the model: its index among the given features, and the code of each value. The codes are
    /// `None` for a numeric input.
    columns: Vec<(usize, Option<HashMap<&'a CategoryValue, f32>>)>,
}

impl<'a> Encoding<'a> {
    /// Builds the encoding of rows with the features `given` for a model with `inputs` and `codes`. The error names the
    /// input that is missing in `given` or has no codes.
    pub fn new(given: &[Feature], inputs: &[Feature], codes: &'a [FeatureCategories]) -> Result<Self, String> {
        let mut columns = Vec::with_capacity(inputs.len());
        for input in inputs {
            let Some(index) = given.iter().position(|given| given.name == input.name && given.kind == input.kind)
            else {
                return Err(format!("its input {:?} is not among the features", input.name));
            };
            let codes = match input.kind {
                FeatureKind::Numeric => None,
                FeatureKind::Categorical => {
                    let Some(known) = codes.iter().find(|of| of.feature == input.name) else {
                        return Err(format!("it does not say which codes the values of {:?} have", input.name));
                    };
                    Some(known.values.iter().enumerate().map(|(code, value)| (value, code as f32)).collect())
                }
            };
            columns.push((index, codes));
        }
        Ok(Self { columns })
    }

    /// Returns the rows as the model reads them. A value without a code becomes a missing value. Call this before
    /// [`encode_categories`], which removes values from `given` that do not occur in the train window.
    pub fn encode(&self, given: &Features, rows: impl ExactSizeIterator<Item = usize>) -> Features {
        let renumbers: Vec<(usize, Option<Vec<f32>>)> = self
            .columns
            .iter()
            .map(|(index, codes)| {
                let read = given.vocabulary(*index).unwrap_or_default();
                let code = |codes: &HashMap<&CategoryValue, f32>, value| codes.get(value).copied().unwrap_or(f32::NAN);
                (*index, codes.as_ref().map(|codes| read.iter().map(|value| code(codes, value)).collect()))
            })
            .collect();
        let width = renumbers.len();
        let mut values = Vec::with_capacity(rows.len() * width);
        for row in rows {
            for (index, renumber) in &renumbers {
                let value = given.value(row, *index);
                values.push(match renumber {
                    Some(renumber) if !value.is_nan() => renumber[value as usize],
                    Some(_) | None => value,
                });
            }
        }
        Features::new(width, values, vec![None; width])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(numbers: &[f32], words: &[&str]) -> Table {
        let vocabulary = words.iter().map(|word| CategoryValue::Text((*word).to_owned())).collect();
        Table::of_good(numbers.len(), Features::new(1, numbers.to_vec(), vec![Some(vocabulary)]))
    }

    fn categorical() -> Vec<Feature> {
        vec![Feature { name: "shop".to_owned(), kind: FeatureKind::Categorical, monotone: None }]
    }

    #[test]
    fn codes_are_the_sorted_values_of_the_train_window_and_all_else_is_missing() {
        let mut table = table(&[0.0, 1.0, 2.0, f32::NAN, 0.0], &["pear", "fig", "apple"]);
        let found = encode_categories(&mut table, &[0, 2, 3], &categorical(), 10).unwrap();
        assert_eq!(found[0].values, [CategoryValue::Text("apple".to_owned()), CategoryValue::Text("pear".to_owned())]);
        let codes: Vec<String> = table.features.column(0).map(|code| code.to_string()).collect();
        assert_eq!(codes, ["1", "NaN", "0", "NaN", "1"]);
        assert_eq!(table.features.vocabulary(0), Some(found[0].values.as_slice()));
    }

    #[test]
    fn more_values_than_allowed_are_refused_by_name() {
        let mut table = table(&[0.0, 1.0], &["a", "b"]);
        let failure = encode_categories(&mut table, &[0, 1], &categorical(), 1).unwrap_err();
        assert_eq!(failure.code, FailureCode::DatasetInvalid);
        assert!(failure.message.contains("shop"), "{}", failure.message);
    }

    #[test]
    fn a_model_of_before_reads_its_own_codes_and_what_it_never_saw_is_missing() {
        let table = table(&[0.0, 1.0, 2.0, f32::NAN], &["pear", "fig", "apple"]);
        let (fig, pear) = (CategoryValue::Text("fig".to_owned()), CategoryValue::Text("pear".to_owned()));
        let codes = [FeatureCategories { feature: "shop".to_owned(), values: vec![fig, pear] }];
        let encoding = |inputs: &[Feature], codes| Encoding::new(&categorical(), inputs, codes);
        let found = encoding(&categorical(), &codes).unwrap().encode(&table.features, [3, 1, 0, 2].into_iter());
        let found: Vec<String> = found.column(0).map(|code| code.to_string()).collect();
        assert_eq!(found, ["NaN", "0", "1", "NaN"]);
        assert!(encoding(&categorical(), &[]).err().unwrap().contains("which codes"));
        let other = [Feature { name: "bank".to_owned(), kind: FeatureKind::Categorical, monotone: None }];
        assert!(encoding(&other, &codes).err().unwrap().contains("bank"));
    }
}
