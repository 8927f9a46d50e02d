//! Checks the leakage rules about features. A witness is the name of a feature that breaks the rule.

use super::rows::rule;
use crate::domain::contract::{Feature, LeakageRule, TrainPlan};
use crate::modelling::data::{Assignment, Table};

/// The most rows of each class that a rule looks at, evenly spaced over the window. Looking at fewer rows of a class
/// does not bias the ROC AUC. With this many rows, the standard error of the AUC is below 0.002.
const PROBED_PER_CLASS: usize = 50_000;

/// Checks the rule that no feature is the label, an id, an entity or a time column.
pub(super) fn role_column_among_features(plan: &TrainPlan) -> LeakageRule {
    let roles = &plan.columns;
    let mut forbidden = vec![&roles.label, &roles.row_id];
    forbidden.extend(&roles.event_time);
    forbidden.extend(&roles.label_observed_time);
    forbidden.extend(&roles.feature_time);
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
                at_end(f32::NEG_INFINITY).max(at_end(f32::INFINITY))
            }
            Some(vocabulary) => {
                let shares = FraudShares::new(table, &assignment.train, *index, vocabulary.len());
                area(test.iter().map(|&row| (shares.of(table.features.value(row, *index)), table.label[row])))
            }
        };
        area > limit
    };
    let names = (0..features.len()).filter(separates).map(|index| features[index].name.clone());
    rule("single_feature_separates", features.len(), names)
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

/// The fraud rate of each category. A missing value gets the fraud rate of all rows.
struct FraudShares {
    of_code: Vec<f32>,
    of_all: f32,
}

impl FraudShares {
    fn new(table: &Table, rows: &[usize], feature: usize, codes: usize) -> Self {
        let mut counts = vec![(0_u32, 0_u32); codes];
        let mut all = (0_u32, 0_u32);
        for &row in rows {
            let code = table.features.value(row, feature);
            let fraud = u32::from(table.label[row]);
            all = (all.0 + fraud, all.1 + 1);
            if !code.is_nan() {
                let (frauds, total) = &mut counts[code as usize];
                *frauds += fraud;
                *total += 1;
            }
        }
        let share = |(frauds, total): (u32, u32)| frauds as f32 / total.max(1) as f32;
        Self { of_code: counts.into_iter().map(share).collect(), of_all: share(all) }
    }

    fn of(&self, code: f32) -> f32 {
        if code.is_nan() { self.of_all } else { self.of_code[code as usize] }
    }
}

/// Returns the area under the ROC curve of the values or of their negatives, whichever is larger. The result is 0.5 to
/// 1, and 0.5 if one class has no rows.
pub(super) fn area(values: impl Iterator<Item = (f32, bool)>) -> f64 {
    let below = area_below(values);
    below.max(1.0 - below)
}

/// Returns the probability that a fraud's value is above a good payment's value, where ties count half. 0.5 if one
/// class has no rows.
pub(super) fn area_below(values: impl Iterator<Item = (f32, bool)>) -> f64 {
    let mut values: Vec<(f32, bool)> = values.collect();
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut good, mut frauds, mut doubled) = (0_u64, 0_u64, 0_u128);
    for tie in values.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let of_tie = tie.iter().filter(|(_, fraud)| *fraud).count() as u64;
        let others = tie.len() as u64 - of_tie;
        doubled += u128::from(of_tie) * (2 * u128::from(good) + u128::from(others));
        good += others;
        frauds += of_tie;
    }
    if good == 0 || frauds == 0 { 0.5 } else { doubled as f64 / (2.0 * good as f64 * frauds as f64) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "the areas are exact")]

    use super::*;

    #[test]
    fn areas_count_ties_half_and_take_the_better_direction() {
        let below = |values: &[(f32, bool)]| area_below(values.iter().copied());
        assert_eq!(below(&[(1.0, false), (2.0, true)]), 1.0);
        assert_eq!(below(&[(2.0, false), (1.0, true)]), 0.0);
        assert_eq!(area([(2.0, false), (1.0, true)].into_iter()), 1.0);
        assert_eq!(below(&[(1.0, false), (1.0, true)]), 0.5);
        assert_eq!(below(&[(1.0, false), (2.0, true), (2.0, false), (3.0, true)]), 0.875);
        assert_eq!(below(&[(1.0, true)]), 0.5);
    }
}
