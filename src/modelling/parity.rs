//! Parity vectors: rows with the exact scores that the model gives them, for whoever serves it to prove
//! that serving equals training.
//!
//! For a model in XGBoost JSON the rows are made from the model alone: its own thresholds, the 32-bit
//! numbers right below them, extremes, missing and unknown values. The same model gives the same rows.

use crate::domain::contract::{
    CategoryValue, Feature, FeatureCategories, FeatureKind, ParityCase, ParityOrigin, ParityValue, ParityVector,
    ParityVectors,
};
use crate::domain::identity::{Digest, RunId};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

/// A row without its score.
#[derive(Debug, Clone, PartialEq)]
pub struct ParityRow {
    /// What the row tries.
    pub case: ParityCase,
    /// One value per feature; none is missing.
    pub values: Vec<Option<ParityValue>>,
}

impl ParityVectors {
    /// Rows with their scores, in the same order.
    pub fn new(
        run_id: &RunId,
        model: &[u8],
        origin: ParityOrigin,
        features: &[Feature],
        categories: Vec<FeatureCategories>,
        scored: impl IntoIterator<Item = (ParityRow, f32)>,
    ) -> Self {
        let vector = |(row, score): (ParityRow, f32)| ParityVector {
            case: row.case,
            values: row.values,
            score,
            score_bits: bits(score),
        };
        Self {
            schema_version: Self::SCHEMA_VERSION.to_owned(),
            run_id: run_id.clone(),
            model_sha256: Digest::of(model),
            origin,
            features: features.iter().map(|feature| feature.name.clone()).collect(),
            categories,
            vectors: scored.into_iter().map(vector).collect(),
        }
    }

    /// The rows as the model reads them: 32-bit floats, row by row; NaN is missing, a category its code.
    pub fn inputs(&self, features: &[Feature]) -> Result<Vec<f32>, String> {
        let names = features.iter().map(|feature| feature.name.as_str());
        if !names.eq(self.features.iter().map(String::as_str)) {
            return Err("the vectors name other features than the bundle".to_owned());
        }
        inputs(features, &self.categories, self.vectors.iter().map(|vector| vector.values.as_slice()))
    }

    /// The first vector whose score differs from these, bit for bit, or whose bits are not its score's.
    pub fn first_difference(&self, scores: &[f32]) -> Option<String> {
        if scores.len() != self.vectors.len() {
            return Some(format!("{} vectors and {} scores", self.vectors.len(), scores.len()));
        }
        self.vectors.iter().zip(scores).enumerate().find_map(|(index, (vector, &found))| {
            let (said, found) = (bits(vector.score), bits(found));
            (said != vector.score_bits || said != found)
                .then(|| format!("vector {index} says {} ({said}), the model gives {found}", vector.score_bits))
        })
    }

    /// The first vector whose score is further than this from these.
    pub fn first_further_than(&self, tolerance: f32, scores: &[f32]) -> Option<String> {
        if scores.len() != self.vectors.len() {
            return Some(format!("{} vectors and {} scores", self.vectors.len(), scores.len()));
        }
        let mut pairs = self.vectors.iter().map(|vector| vector.score).zip(scores).enumerate();
        let (index, (said, found)) = pairs.find(|(_, (said, found))| (said - **found).abs() > tolerance)?;
        Some(format!("vector {index} says {said}, the model gives {found}"))
    }
}

/// A float's 32 bits as hex digits.
fn bits(score: f32) -> String {
    format!("{:08x}", score.to_bits())
}

/// Rows as the model reads them.
pub fn inputs<'a>(
    features: &[Feature],
    categories: &[FeatureCategories],
    rows: impl IntoIterator<Item = &'a [Option<ParityValue>]>,
) -> Result<Vec<f32>, String> {
    let codes: Vec<Option<&[CategoryValue]>> = features
        .iter()
        .map(|feature| match feature.kind {
            FeatureKind::Numeric => None,
            FeatureKind::Categorical => Some(known(categories, &feature.name)),
        })
        .collect();
    let mut inputs = Vec::new();
    for row in rows {
        if row.len() != features.len() {
            return Err(format!("a row has {} values, the model has {} features", row.len(), features.len()));
        }
        for ((value, known), feature) in row.iter().zip(&codes).zip(features) {
            inputs.push(match (value, known) {
                (None, _) => f32::NAN,
                (Some(value), Some(known)) => code(value, known),
                (Some(ParityValue::Number(number)), None) => *number,
                (Some(ParityValue::Integer(number)), None) => *number as f32,
                (Some(ParityValue::Text(_)), None) => {
                    return Err(format!("{:?} is a number and has a text", feature.name));
                }
            });
        }
    }
    Ok(inputs)
}

fn known<'a>(categories: &'a [FeatureCategories], feature: &str) -> &'a [CategoryValue] {
    categories.iter().find(|of| of.feature == feature).map_or(&[], |of| &of.values)
}

fn code(value: &ParityValue, known: &[CategoryValue]) -> f32 {
    let is = |category: &CategoryValue| match (value, category) {
        (ParityValue::Integer(value), CategoryValue::Number(number)) => value == number,
        (ParityValue::Text(value), CategoryValue::Text(text)) => value == text,
        (ParityValue::Number(_) | ParityValue::Integer(_) | ParityValue::Text(_), _) => false,
    };
    known.iter().position(is).map_or(f32::NAN, |code| code as f32)
}

/// What can be read off a model in XGBoost JSON: the codes of its categories, and rows that try its edges.
pub fn edge_rows(model: &[u8], features: &[Feature]) -> Result<(Vec<FeatureCategories>, Vec<ParityRow>), String> {
    let model: Value = serde_json::from_slice(model).map_err(|error| error.to_string())?;
    let categories: Vec<FeatureCategories> = match model.pointer("/learner/attributes/categories") {
        Some(text) => serde_json::from_str(text.as_str().unwrap_or_default()).map_err(|error| error.to_string())?,
        None => Vec::new(),
    };
    let thresholds = thresholds(&model, features.len())?;
    let edges: Vec<Edges> = features
        .iter()
        .enumerate()
        .map(|(index, feature)| {
            Edges::of(feature, thresholds.get(&index).map_or(&[], Vec::as_slice), known(&categories, &feature.name))
        })
        .collect();
    Ok((categories, rows(edges)))
}

/// What one feature can be.
struct Edges {
    middle: Option<ParityValue>,
    lowest: Option<ParityValue>,
    highest: Option<ParityValue>,
    zero: Option<ParityValue>,
    one_by_one: VecDeque<(ParityCase, Option<ParityValue>)>,
}

impl Edges {
    fn of(feature: &Feature, thresholds: &[f32], known: &[CategoryValue]) -> Self {
        match feature.kind {
            FeatureKind::Numeric => Self::of_number(thresholds),
            FeatureKind::Categorical => Self::of_category(known),
        }
    }

    fn of_number(thresholds: &[f32]) -> Self {
        /// Thresholds of one feature at the most.
        const TRIED: usize = 4;
        let number = |number: f32| Some(ParityValue::Number(number));
        let mut one_by_one = VecDeque::new();
        if !thresholds.is_empty() {
            one_by_one.push_back((ParityCase::OneMissing, None));
        }
        for &threshold in thresholds.iter().step_by(thresholds.len().div_ceil(TRIED).max(1)) {
            one_by_one.push_back((ParityCase::AtThreshold, number(threshold)));
            if threshold.next_down().is_finite() {
                one_by_one.push_back((ParityCase::BelowThreshold, number(threshold.next_down())));
            }
        }
        Self {
            middle: number(thresholds.get(thresholds.len() / 2).copied().unwrap_or(0.0)),
            lowest: number(f32::MIN),
            highest: number(f32::MAX),
            zero: number(0.0),
            one_by_one,
        }
    }

    fn of_category(known: &[CategoryValue]) -> Self {
        /// Categories of one feature at the most.
        const TRIED: usize = 4;
        let first = known.first().map(ParityValue::from);
        let mut one_by_one =
            VecDeque::from([(ParityCase::UnknownCategory, Some(unknown(known))), (ParityCase::OneMissing, None)]);
        let tried = known.iter().step_by(known.len().div_ceil(TRIED).max(1));
        one_by_one.extend(tried.map(|category| (ParityCase::KnownCategory, Some(category.into()))));
        Self {
            middle: known.get(known.len() / 2).map(ParityValue::from),
            lowest: first.clone(),
            highest: known.last().map(ParityValue::from),
            zero: first,
            one_by_one,
        }
    }
}

/// A value that is none of these.
fn unknown(known: &[CategoryValue]) -> ParityValue {
    let numbers = known.iter().filter_map(|category| match category {
        CategoryValue::Number(number) => Some(*number),
        CategoryValue::Text(_) => None,
    });
    if let Some(largest) = numbers.max() {
        return ParityValue::Integer(largest.wrapping_add(1));
    }
    let mut text = "never seen".to_owned();
    while known.contains(&CategoryValue::Text(text.clone())) {
        text.push('!');
    }
    ParityValue::Text(text)
}

/// Rows at the most, and values in all of them together.
const MAX_ROWS: usize = 200;
const MAX_VALUES: usize = 50_000;

/// Every feature gets its turn before any gets a second one, as far as there is room.
fn rows(mut edges: Vec<Edges>) -> Vec<ParityRow> {
    let room = (MAX_VALUES / edges.len().max(1)).clamp(20, MAX_ROWS);
    let all =
        |case, pick: fn(&Edges) -> Option<ParityValue>| ParityRow { case, values: edges.iter().map(pick).collect() };
    let mut rows = vec![
        all(ParityCase::Middle, |edges| edges.middle.clone()),
        all(ParityCase::AllMissing, |_| None),
        all(ParityCase::Lowest, |edges| edges.lowest.clone()),
        all(ParityCase::Highest, |edges| edges.highest.clone()),
        all(ParityCase::Zero, |edges| edges.zero.clone()),
    ];
    let middle = rows[0].values.clone();
    let mut waiting = true;
    while waiting && rows.len() < room {
        waiting = false;
        for (index, edges) in edges.iter_mut().enumerate() {
            let Some((case, value)) = edges.one_by_one.pop_front() else { continue };
            waiting = true;
            let mut values = middle.clone();
            values[index] = value;
            rows.push(ParityRow { case, values });
        }
    }
    rows.truncate(room);
    rows
}

/// Per feature its thresholds, ascending, each once. A child to the left takes what is below.
fn thresholds(model: &Value, features: usize) -> Result<BTreeMap<usize, Vec<f32>>, String> {
    let trees = model.pointer("/learner/gradient_booster/model/trees").and_then(Value::as_array);
    let mut found: BTreeMap<usize, Vec<f32>> = BTreeMap::new();
    for tree in trees.ok_or("the model has no trees")? {
        let column = |name: &str| -> Result<&Vec<Value>, String> {
            tree.get(name).and_then(Value::as_array).ok_or_else(|| format!("a tree has no {name}"))
        };
        let (left, kinds) = (column("left_children")?, column("split_type")?);
        let (indices, conditions) = (column("split_indices")?, column("split_conditions")?);
        for (node, child) in left.iter().enumerate() {
            let is_split = child.as_i64().is_some_and(|child| child >= 0);
            let is_numeric = kinds.get(node).and_then(Value::as_i64) == Some(0);
            if !(is_split && is_numeric) {
                continue;
            }
            let feature = indices.get(node).and_then(Value::as_u64).map(|index| index as usize);
            let threshold = conditions.get(node).and_then(Value::as_f64).map(|condition| condition as f32);
            match (feature, threshold) {
                (Some(feature), Some(threshold)) if feature < features && threshold.is_finite() => {
                    found.entry(feature).or_default().push(threshold);
                }
                _ => return Err(format!("node {node} of a tree splits on nothing that is known")),
            }
        }
    }
    for thresholds in found.values_mut() {
        thresholds.sort_unstable_by(f32::total_cmp);
        thresholds.dedup();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn features() -> Vec<Feature> {
        let feature = |name: &str, kind| Feature { name: name.to_owned(), kind, monotone: None };
        vec![feature("amount", FeatureKind::Numeric), feature("shop", FeatureKind::Categorical)]
    }

    fn model() -> Vec<u8> {
        let tree = json!({
            "left_children": [1, -1, 3, -1, -1], "split_type": [0, 0, 1, 0, 0],
            "split_indices": [0, 0, 1, 0, 0], "split_conditions": [20.5, 0.1, 0.0, 0.2, 0.3],
        });
        let categories = json!([{"feature": "shop", "values": ["fig", "pear"]}]).to_string();
        let learner =
            json!({"attributes": {"categories": categories}, "gradient_booster": {"model": {"trees": [tree]}}});
        json!({ "learner": learner }).to_string().into_bytes()
    }

    #[test]
    fn rows_try_what_is_exactly_at_a_threshold_right_below_it_missing_and_unknown() {
        let (categories, rows) = edge_rows(&model(), &features()).unwrap();
        let of = |case| rows.iter().filter(|row| row.case == case).map(|row| row.values.clone()).collect::<Vec<_>>();
        let pear = || Some(ParityValue::Text("pear".to_owned()));
        assert_eq!(of(ParityCase::AtThreshold), [vec![Some(ParityValue::Number(20.5)), pear()]]);
        assert_eq!(of(ParityCase::BelowThreshold), [vec![Some(ParityValue::Number(20.5_f32.next_down())), pear()]]);
        assert_eq!(of(ParityCase::OneMissing).len(), 2);
        let unknown = of(ParityCase::UnknownCategory);
        let inputs = inputs(&features(), &categories, unknown.iter().map(Vec::as_slice)).unwrap();
        assert!(inputs[1].is_nan() && inputs[0].to_bits() == 20.5_f32.to_bits());
        assert_eq!(code(&pear().unwrap(), &categories[0].values).to_bits(), 1.0_f32.to_bits());
    }

    #[test]
    fn what_is_written_reads_back_to_the_bit() {
        let (categories, rows) = edge_rows(&model(), &features()).unwrap();
        let run_id: RunId = format!("tr_{}", "0".repeat(32)).parse().unwrap();
        let scored = rows.into_iter().zip([0.1_f32, 0.2, 1.0e-7].into_iter().cycle());
        let origin = ParityOrigin::Model;
        let vectors = ParityVectors::new(&run_id, b"model", origin, &features(), categories, scored);
        let bytes = crate::domain::identity::document_bytes(&vectors);
        let again: ParityVectors =
            crate::domain::contract::read_json(crate::domain::contract::SchemaName::ParityVectors, &bytes).unwrap();
        assert_eq!(again, vectors);
        let mut given: Vec<f32> = vectors.vectors.iter().map(|vector| vector.score).collect();
        assert_eq!(vectors.first_difference(&given), None);
        given[3] = given[3].next_up();
        assert!(vectors.first_difference(&given).unwrap().contains("vector 3"));
    }
}
