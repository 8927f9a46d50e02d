//! Checks the leakage rules about features. A witness is the name of a feature that breaks the rule.

use super::area::area;
use super::rows::rule;
use crate::domain::contract::{Feature, LeakageRule, TrainPlan};
use crate::modelling::data::{Assignment, Table};

/// The most rows of each class that a rule looks at, evenly spaced over the window. Looking at fewer rows of a class
/// does not bias the ROC AUC. With this many rows, the standard error of the AUC is below 0.002.
const PROBED_PER_CLASS: usize = 50_000;

/// Checks the rule that no feature is the label, an id, an entity, a time or a weight column.
pub(super) fn role_column_among_features(plan: &TrainPlan) -> LeakageRule {
    let roles = &plan.columns;
    let mut forbidden = vec![&roles.label, &roles.row_id];
    forbidden.extend(&roles.event_time);
    forbidden.extend(&roles.label_observed_time);
    forbidden.extend(&roles.feature_time);
    forbidden.extend(&roles.weight);
    forbidden.extend(&roles.entities);
    let names = plan.features.iter().map(|feature| &feature.name);
    rule("role_column_among_features", plan.features.len(), names.filter(|name| forbidden.contains(name)).cloned())
}

/// Checks the rule that no feature alone separates frauds from good payments with a ROC AUC above `limit`, in either
/// direction. A numeric feature is judged on the train window. Its missing values count as lowest or highest, whichever
/// gives the larger AUC. A category is scored by its fraud rate in the train window and judged on the test window.
pub(super) fn single_feature_separates(
    table: &Table,
    assignment: &Assignment,
    features: &[Feature],
    limit: f64,
) -> LeakageRule {
    let train = probed(table, &assignment.train);
    let test = probed(table, &assignment.test);
    let separates = |index: &usize| {
        let area = match table.features.vocabulary(*index) {
            None => {
                let at_end = |end: f32| {
                    area(train.iter().map(|&row| {
                        let value = table.features.value(row, *index);
                        (if value.is_nan() { end } else { value }, table.label[row])
                    }))
                };
                let lowest = at_end(f32::NEG_INFINITY);
                let complete = train.iter().all(|&row| !table.features.value(row, *index).is_nan());
                if complete { lowest } else { lowest.max(at_end(f32::INFINITY)) }
            }
            Some(vocabulary) => {
                let learned = assignment.train.iter().map(|&row| (table.features.value(row, *index), table.label[row]));
                let shares = SharesByCode::new(learned, vocabulary.len());
                area(test.iter().map(|&row| (shares.of(table.features.value(row, *index)), table.label[row])))
            }
        };
        area > limit
    };
    let names = (0..features.len()).filter(separates).map(|index| features[index].name.clone());
    rule("single_feature_separates", features.len(), names)
}

/// The most rows of each window by which windows are told apart. At the limit of 0.99 the standard error of the ROC AUC
/// is below 0.001.
const PROBED_PER_WINDOW: usize = 10_000;

/// Checks the rule that no feature alone tells rows of the test window from rows of the train window with a ROC AUC
/// above `limit`, in either direction. Only rows that have a value count: the evaluation report names a feature that is
/// missing in one window. A category is scored by its share of rows from the test window in every other row, and judged
/// on the rows between.
pub(super) fn feature_separates_windows(
    table: &Table,
    assignment: &Assignment,
    features: &[Feature],
    limit: f64,
) -> LeakageRule {
    let spaced = |rows: &[usize]| -> Vec<usize> {
        rows.iter().copied().step_by(rows.len().div_ceil(PROBED_PER_WINDOW).max(1)).collect()
    };
    let windows = [(false, spaced(&assignment.train)), (true, spaced(&assignment.test))];
    let separates = |index: &usize| {
        let half = |half: usize| {
            windows.iter().flat_map(move |(later, rows)| {
                let values = rows.iter().skip(half).step_by(2).map(|&row| table.features.value(row, *index));
                values.filter(|value| !value.is_nan()).map(|value| (value, *later))
            })
        };
        let area = match table.features.vocabulary(*index) {
            None => area(half(0).chain(half(1))),
            Some(vocabulary) => {
                let shares = SharesByCode::new(half(0), vocabulary.len());
                area(half(1).map(|(code, later)| (shares.of(code), later)))
            }
        };
        area > limit
    };
    let names = (0..features.len()).filter(separates).map(|index| features[index].name.clone());
    rule("feature_separates_windows", features.len(), names)
}

fn probed(table: &Table, rows: &[usize]) -> Vec<usize> {
    let mut probed = Vec::new();
    for class in [false, true] {
        let of_class: Vec<usize> = rows.iter().copied().filter(|&row| table.label[row] == class).collect();
        let step = of_class.len().div_ceil(PROBED_PER_CLASS).max(1);
        probed.extend(of_class.into_iter().step_by(step));
    }
    probed
}

/// The share of marked rows of each category, for example of frauds. A missing value gets the share of all rows.
struct SharesByCode {
    of_code: Vec<f32>,
    of_all: f32,
}

impl SharesByCode {
    fn new(rows: impl Iterator<Item = (f32, bool)>, codes: usize) -> Self {
        let mut counts = vec![(0_u32, 0_u32); codes];
        let mut all = (0_u32, 0_u32);
        for (code, marked) in rows {
            let marked = u32::from(marked);
            all = (all.0 + marked, all.1 + 1);
            if !code.is_nan() {
                let (of_code, total) = &mut counts[code as usize];
                *of_code += marked;
                *total += 1;
            }
        }
        let share = |(marked, total): (u32, u32)| marked as f32 / total.max(1) as f32;
        Self { of_code: counts.into_iter().map(share).collect(), of_all: share(all) }
    }

    fn of(&self, code: f32) -> f32 {
        if code.is_nan() { self.of_all } else { self.of_code[code as usize] }
    }
}
