//! Builds rows that test a model in XGBoost JSON at the edges of its splits.
//!
//! The rows depend on the model only. They hold some of its thresholds, the 32-bit numbers right below them, extremes,
//! missing values, and known and unknown categories. The same model always gives the same rows.

use crate::domain::contract::{CategoryValue, Feature, FeatureCategories, FeatureKind, ParityCase, ParityValue};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};

#[derive(Debug, Clone, PartialEq)]
pub struct ParityRow {
    pub case: ParityCase,
    /// One value for each feature, in the order of the model's features. `None` is a missing value.
    pub values: Vec<Option<ParityValue>>,
}

/// Returns the known values of each categorical feature, and rows at the edges of the model's splits. The error says
/// what is wrong with the model's JSON.
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

pub(super) fn known<'a>(categories: &'a [FeatureCategories], feature: &str) -> &'a [CategoryValue] {
    categories.iter().find(|of| of.feature == feature).map_or(&[], |of| &of.values)
}

/// At most this many thresholds or categories of one feature get rows of their own.
const TRIED: usize = 4;

/// The values of one feature in the rows. `one_by_one` are tried in turn, while all other features have their `middle`.
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

const MAX_ROWS: usize = 200;
/// The bound on values in all rows together. With many features there are fewer rows, but always room for 20 rows, even
/// if these exceed the bound.
const MAX_VALUES: usize = 50_000;

/// Builds the rows. Features take turns, so that no feature has a second row before each has one, until the room is
/// used up.
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

/// Returns the distinct thresholds of each feature by the feature's index, ascending. A value below a threshold goes to
/// the left child.
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
