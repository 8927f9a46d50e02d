//! Lets the booster split by whether a feature is there at all.
//!
//! The booster gives a numeric feature a bin for each interval of its values in the train window, and passes over a
//! feature with one bin. XGBoost splits such a feature, for example a flag that is true or null: rows with the value go
//! to one side, rows without it to the other. Therefore, while a model is fitted, a feature that has one value in the
//! train window and is also missing there holds 1 in the place of every value and 0 in the place of every missing
//! one. The finished model gets thresholds for the feature's own value, as XGBoost's `exact` method writes them.

use crate::domain::contract::{Feature, FeatureKind};
use crate::modelling::Features;
use serde_json::{Value, json};
use std::cmp::Ordering;

/// The features that hold 0 and 1 while a model is fitted, with what they held before.
#[derive(Default)]
pub(super) struct Presence {
    columns: Vec<Marked>,
}

struct Marked {
    feature: usize,
    /// The one value in the train window.
    value: f32,
    before: Vec<f32>,
}

impl Presence {
    /// Finds the features with one value and missing values in the rows `learned`, and marks every row of the table.
    pub(super) fn mark(values: &mut Features, learned: [&[usize]; 2], features: &[Feature]) -> Self {
        let numeric = (0..features.len()).filter(|&feature| features[feature].kind == FeatureKind::Numeric);
        let single: Vec<(usize, f32)> =
            numeric.filter_map(|feature| Some((feature, single_value(values, learned, feature)?))).collect();
        let mark = |(feature, value): (usize, f32)| {
            let marks = |value: f32| if value.is_nan() { 0.0 } else { 1.0 };
            Marked { feature, value, before: values.replace(feature, |_, value| marks(value)) }
        };
        Self { columns: single.into_iter().map(mark).collect() }
    }

    /// Gives the features their own values back.
    pub(super) fn unmark(self, values: &mut Features) {
        for Marked { feature, before, .. } in self.columns {
            values.replace(feature, |row, _| before[row]);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    pub(super) fn has(&self, feature: usize) -> bool {
        self.columns.iter().any(|column| column.feature == feature)
    }

    /// Rewrites the splits of a model in XGBoost JSON that was fitted to marks. Each row goes the same way by its own
    /// value as it went by its mark.
    pub(super) fn to_values(&self, model: &[u8]) -> Result<Vec<u8>, String> {
        let mut document: Value = serde_json::from_slice(model).map_err(|error| error.to_string())?;
        let trees = document.pointer_mut("/learner/gradient_booster/model/trees").and_then(Value::as_array_mut);
        for tree in trees.ok_or("the model document has no trees")? {
            self.rewrite(tree).ok_or("a tree of the model document lacks a column of its nodes")?;
        }
        serde_json::to_vec(&document).map_err(|error| error.to_string())
    }

    fn rewrite(&self, tree: &mut Value) -> Option<()> {
        for node in 0..tree["left_children"].as_array()?.len() {
            let is_leaf = tree["left_children"][node].as_i64()? < 0;
            let feature = usize::try_from(tree["split_indices"][node].as_u64()?).ok()?;
            let Some(column) = self.columns.iter().find(|column| column.feature == feature && !is_leaf) else {
                continue;
            };
            let bound = tree["split_conditions"][node].as_f64()?;
            let (missing_left, value_left) = (0.0 < bound, 1.0 < bound);
            *tree.get_mut("default_left")?.get_mut(node)? = json!(i32::from(missing_left));
            *tree.get_mut("split_conditions")?.get_mut(node)? = json!(column.threshold(value_left));
        }
        Some(())
    }
}

impl Marked {
    /// Returns a threshold above the value if the value goes left, otherwise one below it. As in XGBoost, the distance
    /// is the value's size and a little more.
    fn threshold(&self, value_left: bool) -> f32 {
        const LITTLE: f32 = 1e-6;
        let distance = self.value.abs() + LITTLE;
        let threshold = if value_left { self.value + distance } else { self.value - distance };
        threshold.clamp(f32::MIN, f32::MAX)
    }
}

/// Returns the value of a feature that has exactly one value in these rows and is missing in at least one.
fn single_value(values: &Features, rows: [&[usize]; 2], feature: usize) -> Option<f32> {
    let (mut single, mut missing) = (None, false);
    for &row in rows.into_iter().flatten() {
        let value = values.value(row, feature);
        if value.is_nan() {
            missing = true;
            continue;
        }
        let known = *single.get_or_insert(value);
        if known.partial_cmp(&value) != Some(Ordering::Equal) {
            return None;
        }
    }
    single.filter(|_| missing)
}

#[cfg(test)]
mod tests {
    use super::super::loaded::LoadedModel;
    use super::super::model::{FittingWindow, Matrix, fit};
    use crate::domain::contract::{BoostParameters, Feature, FeatureKind, Monotone};
    use crate::modelling::{Features, Table};

    /// Frauds are the payments without the flag, but for every ninth payment. The amount says nothing.
    fn flagged(value: f32) -> Table {
        const ROWS: usize = 600;
        let values = (0..ROWS).flat_map(|row| [if row % 3 == 0 { f32::NAN } else { value }, (row % 7) as f32]);
        let label = (0..ROWS).map(|row| (row % 3 == 0) != (row % 9 == 0)).collect();
        Table { label, ..Table::of_good(ROWS, Features::new(2, values.collect(), vec![None, None])) }
    }

    fn features(monotone: Option<Monotone>) -> Vec<Feature> {
        let feature = |name: &str, monotone| Feature { name: name.to_owned(), kind: FeatureKind::Numeric, monotone };
        vec![feature("flag", monotone), feature("amount", None)]
    }

    #[test]
    fn a_feature_with_one_value_or_none_is_split_and_the_file_scores_its_own_values() {
        for (value, monotone) in [
            (1.0, None),
            (0.0, None),
            (-0.5, Some(Monotone::Increasing)),
            (1e9, Some(Monotone::Decreasing)),
            (f32::MIN, None),
        ] {
            let (mut table, features) = (flagged(value), features(monotone));
            let before = table.clone();
            let rows: Vec<usize> = (0..table.rows()).collect();
            let matrix = Matrix::to_fit(&mut table, [&rows, &[]], &features).unwrap();
            let parameters = BoostParameters { rounds: 3, max_depth: 2, ..BoostParameters::default() };
            let fitted =
                fit(&matrix, FittingWindow { train: &rows, validation: &[] }, &parameters, 1, 1, |_| {}).unwrap();
            matrix.release(&mut table);
            let held = |table: &Table| -> Vec<u32> { table.features.column(0).map(f32::to_bits).collect() };
            assert_eq!(held(&table), held(&before), "{value}");
            let loaded = LoadedModel::read(&fitted.xgboost_json(&features, &[]).unwrap()).unwrap();
            assert!(loaded.counted(&features)[0].splits > 0, "{value}");
            let scores = loaded.score(&Matrix::new(&table, &features).unwrap(), &rows).unwrap();
            let (without, with) = (scores[3], scores[1]);
            assert!(without > 0.5 && with < 0.5, "{value}: {without} without the flag, {with} with it");
        }
    }
}
