//! Judges the data expectations of a plan. Every violation has witnesses: rows, days, values or the share that moved.

use super::cells::{Greatest, cells, greatest, index, shown};
use super::days::{Day, Days};
use crate::domain::contract::{
    CategoryValue, ColumnExpectation, DataExpectation, DaysExpectation, Feature, FeatureHistogram, SettledSplit,
    TrainPlan, WindowName,
};
use crate::domain::harmless::line;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::data::{Assignment, Table};
use std::collections::BTreeMap;

/// Most violations that a failure describes. It counts the rest.
const MOST_VIOLATIONS: usize = 20;

/// Most witnesses of one violation.
const MOST_WITNESSES: usize = 3;

/// Checks that every expectation of the plan holds. The categories must not be encoded yet, since codes lack the values
/// that only later windows have. The failure `DATA_EXPECTATION_VIOLATED` describes the violations in the order of the
/// profile.
///
/// Values and days are those of all rows of a window, also of the test rows that are left out of the measurement. The
/// population stability index is that of `histograms`.
pub fn check_expectations(
    table: &Table,
    assignment: &Assignment,
    split: &SettledSplit,
    plan: &TrainPlan,
    histograms: &[FeatureHistogram],
) -> Result<(), Failure> {
    if plan.data_expectations.is_empty() {
        return Ok(());
    }
    let whole_test = assignment.whole_test_window();
    let mut violations = Vec::new();
    for expectation in &plan.data_expectations {
        for &name in expectation.windows().unwrap_or_default() {
            let rows = match name {
                WindowName::Train => &assignment.train,
                WindowName::Validation => &assignment.validation,
                WindowName::Test => &whole_test,
            };
            let window = JudgedWindow { table, name, rows };
            match expectation {
                DataExpectation::Column(column) => {
                    violations.extend(window.check_column(column, &plan.features, histograms));
                }
                DataExpectation::Days(days) => violations.extend(window.check_days(days, split)),
            }
        }
    }
    if violations.is_empty() {
        return Ok(());
    }
    let rest = violations.len().saturating_sub(MOST_VIOLATIONS);
    let told = violations.iter().take(MOST_VIOLATIONS).map(String::as_str).collect::<Vec<_>>().join("; ");
    let rest = if rest > 0 { format!("; and {rest} more") } else { String::new() };
    let message = format!("{} of the profile's data_expectations: {told}{rest}", violations.len());
    Err(Failure::new(FailureCode::DataExpectationViolated, message))
}

/// The rows of one window.
struct JudgedWindow<'a> {
    table: &'a Table,
    name: WindowName,
    rows: &'a [usize],
}

impl JudgedWindow<'_> {
    fn check_column(
        &self,
        of: &ColumnExpectation,
        features: &[Feature],
        histograms: &[FeatureHistogram],
    ) -> Vec<String> {
        const CAP: usize = 100;
        let Some(index) = features.iter().position(|feature| feature.name == of.column) else { return vec![] };
        let violated = [
            of.max_null_share.and_then(|most| self.null_share(index, most)),
            of.min.and_then(|least| self.out_of_range(index, "min", least, |value, bound| value < bound)),
            of.max.and_then(|most| self.out_of_range(index, "max", most, |value, bound| value > bound)),
            of.allowed.as_ref().and_then(|allowed| self.not_allowed(index, allowed)),
            of.max_psi.and_then(|most| self.moved(histograms.get(index)?, most)),
        ];
        let of_column = format!("{} in the {} window", line(&of.column, CAP), self.name);
        violated.into_iter().flatten().map(|why| format!("{of_column}: {why}")).collect()
    }

    fn values(&self, index: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        self.rows.iter().map(move |&row| (row, self.table.features.value(row, index)))
    }

    fn null_share(&self, index: usize, most: f64) -> Option<String> {
        let missing: Vec<usize> = self.values(index).filter(|(_, value)| value.is_nan()).map(|(row, _)| row).collect();
        let share = missing.len() as f64 / self.rows.len().max(1) as f64;
        let first = || missing.iter().take(MOST_WITNESSES).map(|&row| self.id(row)).collect::<Vec<_>>().join(", ");
        (share > most).then(|| {
            let of = format!("{} of {} rows", missing.len(), self.rows.len());
            format!("max_null_share is {most}, found {share:.6} ({of}; first: {})", first())
        })
    }

    /// `is_out` says of a value and the bound whether the value is beyond the bound. A missing value never is.
    fn out_of_range(&self, index: usize, bound: &str, at: f64, is_out: fn(f32, f32) -> bool) -> Option<String> {
        let limit = at as f32;
        let out: Vec<(usize, f32)> = self.values(index).filter(|(_, value)| is_out(*value, limit)).collect();
        let first = out.iter().take(MOST_WITNESSES).map(|(row, value)| format!("{} has {value}", self.id(*row)));
        let first: Vec<String> = first.collect();
        (!out.is_empty())
            .then(|| format!("{bound} is {at}, and {} rows are beyond it (first: {})", out.len(), first.join(", ")))
    }

    fn not_allowed(&self, index: usize, allowed: &[CategoryValue]) -> Option<String> {
        let known = self.table.features.vocabulary(index)?;
        // The number of rows of each value that is not allowed, and the first of them.
        let mut found: BTreeMap<&CategoryValue, (u64, usize)> = BTreeMap::new();
        let is_allowed: Vec<bool> = known.iter().map(|value| allowed.contains(value)).collect();
        for (row, value) in self.values(index).filter(|(_, value)| !value.is_nan() && !is_allowed[*value as usize]) {
            found.entry(&known[value as usize]).or_insert((0, row)).0 += 1;
        }
        let mut most: Vec<_> = found.into_iter().collect();
        most.sort_by_key(|(_, (rows, _))| std::cmp::Reverse(*rows));
        let told = most
            .iter()
            .take(MOST_WITNESSES)
            .map(|(value, (rows, first))| format!("{} ({rows} rows, first: {})", shown(value), self.id(*first)));
        let told = told.collect::<Vec<_>>().join(", ");
        let count = most.len();
        (count > 0).then(|| format!("allowed lacks {count} values: {told}"))
    }

    fn moved(&self, of: &FeatureHistogram, most: f64) -> Option<String> {
        if self.name == WindowName::Train {
            return None;
        }
        let Some(found) = index(&cells(&of.histogram), WindowName::Train, self.name) else {
            return Some(format!("max_psi is {most}, and one of the windows has no rows to compare"));
        };
        if found <= most {
            return None;
        }
        let Greatest { cell, train_share, share } = greatest(&of.histogram, self.name)?;
        let shares = format!("{train_share:.6} of the train window, {share:.6} here");
        Some(format!("max_psi is {most}, found {found:.6} (most by {cell}: {shares})"))
    }

    fn id(&self, row: usize) -> String {
        const CAP: usize = 60;
        line(&self.table.row_id.show(row).to_string(), CAP)
    }

    fn check_days(&self, of: &DaysExpectation, split: &SettledSplit) -> Vec<String> {
        let (SettledSplit::TimeBased(windows), Some(at)) = (split, &self.table.event_time) else { return vec![] };
        let bounds = match self.name {
            WindowName::Train => Some(windows.train),
            WindowName::Validation => windows.validation,
            WindowName::Test => Some(windows.test),
        };
        let Some(bounds) = bounds else { return vec![] };
        let mut days = Days::within(&bounds);
        for &row in self.rows {
            days.count(at[row], self.table.label[row]);
        }
        let (of_rows, of_frauds) = (|day: &Day| day.rows, |day: &Day| day.frauds);
        let violated = [
            of.min_rows_per_day.and_then(|least| days.below("min_rows_per_day", least, of_rows)),
            of.max_rows_per_day.and_then(|most| days.above("max_rows_per_day", most, of_rows)),
            of.min_frauds_per_day.and_then(|least| days.below("min_frauds_per_day", least, of_frauds)),
            of.max_frauds_per_day.and_then(|most| days.above("max_frauds_per_day", most, of_frauds)),
        ];
        violated.into_iter().flatten().map(|why| format!("the {} window: {why}", self.name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::histograms::feature_histograms;
    use super::*;
    use crate::domain::contract::{FeatureKind, SchemaName, Windows, schema_text};
    use crate::modelling::data::{Features, split};
    use serde_json::{Value, json};

    const DAY: i64 = 86_400_000_000;
    /// 2026-01-01.
    const FIRST: i64 = 20_454 * DAY;

    /// 20 payments a day for the first four weeks of 2026, as the plan of the schema's example splits them. Row `n` has
    /// the amount `n % 20`; every twentieth lacks it from the test window on. The shops are `a` and `b`.
    fn world() -> (Table, TrainPlan) {
        let schema: Value = serde_json::from_str(schema_text(SchemaName::ResolvedTrainPlan)).unwrap();
        let mut plan: TrainPlan = serde_json::from_value(schema["examples"][0].clone()).unwrap();
        plan.features = [("amount", FeatureKind::Numeric), ("shop", FeatureKind::Categorical)]
            .map(|(name, kind)| Feature { name: name.to_owned(), kind, monotone: None })
            .to_vec();
        plan.data_expectations.clear();
        let rows = 28 * 20;
        let amount = |row: usize| if row >= 21 * 20 && row % 20 == 7 { f32::NAN } else { (row % 20) as f32 };
        let values = (0..rows).flat_map(|row| [amount(row), (row % 2) as f32]).collect();
        let shops = ["a", "b", "never"].map(|shop| CategoryValue::Text(shop.to_owned())).to_vec();
        let mut table = Table::of_good(rows, Features::new(2, values, vec![None, Some(shops)]));
        table.event_time = Some((0..rows as i64).map(|row| FIRST + row * DAY / 20).collect());
        table.label = (0..rows).map(|row| row % 20 == 3).collect();
        (table, plan)
    }

    fn windows(plan: &TrainPlan) -> Windows {
        match &plan.split {
            crate::domain::contract::PlannedSplit::TimeBased(windows) => windows.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn found(table: &Table, plan: &TrainPlan, expectations: &Value) -> Result<(), String> {
        let plan =
            TrainPlan { data_expectations: serde_json::from_value(expectations.clone()).unwrap(), ..plan.clone() };
        let settled = SettledSplit::TimeBased(windows(&plan));
        let assignment = split(table, &settled, 0);
        let histograms = feature_histograms(table, &assignment, &plan.features, false);
        check_expectations(table, &assignment, &settled, &plan, &histograms).map_err(|failure| {
            assert_eq!(failure.code, FailureCode::DataExpectationViolated);
            failure.message
        })
    }

    #[test]
    fn what_holds_is_silent_at_its_bound() {
        let (table, plan) = world();
        let holds = json!([
            {"column": "amount", "windows": ["train", "test"], "max_null_share": 0.05, "min": 0, "max": 19},
            {"column": "amount", "windows": ["test"], "max_psi": 0.345},
            {"column": "shop", "windows": ["train", "test"], "max_null_share": 0, "allowed": ["a", "b"], "max_psi": 0},
            {"windows": ["train", "test"], "min_rows_per_day": 20, "max_rows_per_day": 20},
            {"windows": ["train", "test"], "min_frauds_per_day": 1, "max_frauds_per_day": 1},
        ]);
        assert_eq!(found(&table, &plan, &holds), Ok(()));
    }

    #[test]
    fn each_violation_names_window_bound_number_and_witnesses() {
        let (table, plan) = world();
        let cases = [
            (
                json!({"column": "amount", "windows": ["test"], "max_null_share": 0.04}),
                "amount in the test window: max_null_share is 0.04, found 0.050000 (7 of 140 rows; first: 427, 447, 467)",
            ),
            (
                json!({"column": "amount", "windows": ["train"], "min": 1, "max": 18.5}),
                "min is 1, and 14 rows are beyond it (first: 0 has 0, 20 has 0, 40 has 0)",
            ),
            (
                json!({"column": "amount", "windows": ["train"], "max": 18.5}),
                "(first: 19 has 19, 39 has 19, 59 has 19)",
            ),
            (
                json!({"column": "shop", "windows": ["test"], "allowed": ["a", 1]}),
                "shop in the test window: allowed lacks 1 values: \"b\" (70 rows, first: 421)",
            ),
            (
                json!({"column": "amount", "windows": ["test"], "max_psi": 0.25}),
                "(most by missing: 0.000000 of the train window, 0.050000 here)",
            ),
            (
                json!({"windows": ["train"], "min_frauds_per_day": 2}),
                "the train window: min_frauds_per_day is 2, and 14 days have fewer (2026-01-01: 1, 2026-01-02: 1, ",
            ),
        ];
        for (expectation, says) in cases {
            let message = found(&table, &plan, &json!([expectation])).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }

    /// A float of 64 bits that 32 bits do not hold is the bound that the file's value is.
    #[test]
    fn a_bound_is_compared_as_the_value_is_kept() {
        let (mut table, plan) = world();
        table.features.replace(0, |_, _| 0.1_f64 as f32);
        let holds = json!([{"column": "amount", "windows": ["train", "test"], "min": 0.1, "max": 0.1}]);
        assert_eq!(found(&table, &plan, &holds), Ok(()));
    }

    #[test]
    fn all_violations_come_at_once_and_many_are_counted() {
        let (table, plan) = world();
        let one = json!({"column": "amount", "windows": ["train", "test"], "max": 1});
        let message = found(&table, &plan, &json!(vec![one; 15])).unwrap_err();
        assert!(message.starts_with("30 of the profile's data_expectations: amount in the train window"), "{message}");
        assert_eq!(message.matches("in the test window").count(), 10, "{message}");
        assert!(message.ends_with("; and 10 more"), "{message}");
    }

    #[test]
    fn a_window_without_rows_has_no_index_that_could_hold() {
        let (mut table, plan) = world();
        table.event_time = table.event_time.map(|at| at.into_iter().map(|at| at.min(FIRST + 20 * DAY)).collect());
        let psi = json!([{"column": "amount", "windows": ["test"], "max_psi": 9}]);
        assert!(found(&table, &plan, &psi).unwrap_err().contains("no rows to compare"));
    }
}
