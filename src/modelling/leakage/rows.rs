//! Checks the leakage rules about rows. A witness is the id of a row that breaks the rule.

use crate::domain::contract::{LabelBasis, LeakageRule, Windows};
use crate::modelling::data::{Assignment, Table};
use crate::modelling::plan::EarlierRole;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashSet;

const MOST_WITNESSES: usize = 10;

/// Builds the result of a rule: counts every witness and keeps the first [`MOST_WITNESSES`]. `checked` is how many
/// rows, columns or entities the rule looked at.
pub(super) fn rule(name: &str, checked: usize, witnesses: impl Iterator<Item = String>) -> LeakageRule {
    let mut found =
        LeakageRule { rule: name.to_owned(), checked: checked as u64, violations: 0, witnesses: Vec::new() };
    for witness in witnesses {
        found.violations += 1;
        if found.witnesses.len() < MOST_WITNESSES {
            found.witnesses.push(witness);
        }
    }
    found
}

pub(super) fn used(assignment: &Assignment) -> impl Iterator<Item = usize> + '_ {
    [&assignment.train, &assignment.validation, &assignment.test].into_iter().flatten().copied()
}

pub(super) fn shown(table: &Table, row: usize) -> String {
    table.row_id.show(row).to_string()
}

/// Checks the rules about times: no event is later than the labels' as-of time, nor so close before it that labels are
/// not mature. No label is observed after the as-of time. No feature is computed after its event. A rule whose column
/// is missing is left out.
pub(super) fn times(table: &Table, assignment: &Assignment, labels: &LabelBasis) -> Vec<LeakageRule> {
    let asof = labels.label_asof_utc.timestamp_micros();
    let maturity = TimeDelta::days(i64::from(labels.maturity_days.unwrap_or(0)));
    let mature = asof.saturating_sub(maturity.num_microseconds().unwrap_or(i64::MAX));
    let later = |name: &str, broken: &dyn Fn(usize) -> bool| {
        rule(name, used(assignment).count(), used(assignment).filter(|&row| broken(row)).map(|row| shown(table, row)))
    };
    let mut rules = Vec::new();
    if let Some(at) = &table.event_time {
        rules.push(later("event_after_label_asof", &|row| at[row] > asof));
        rules.push(later("immature_label", &|row| at[row] > mature));
    }
    if let Some(observed) = &table.label_observed_time {
        rules.push(later("label_observed_after_asof", &|row| observed[row] > asof));
    }
    if let (Some(computed), Some(at)) = (&table.feature_time, &table.event_time) {
        rules.push(later("feature_time_after_event", &|row| computed[row] > at[row]));
    }
    rules
}

/// Checks the rule that every train and validation row is at least `delay_days` older than the first row of the test
/// window. `None` for data without event times.
pub(super) fn train_before_test(table: &Table, assignment: &Assignment, windows: &Windows) -> Option<LeakageRule> {
    let at = table.event_time.as_deref()?;
    let delay = TimeDelta::days(i64::from(windows.delay_days)).num_microseconds().unwrap_or(i64::MAX);
    let first = assignment.test.iter().map(|&row| at[row]).min().unwrap_or(i64::MAX);
    let learned = || assignment.train.iter().chain(&assignment.validation);
    let late = learned().filter(|&&row| at[row].saturating_add(delay) > first);
    Some(rule("train_not_before_test", learned().count(), late.map(|&row| shown(table, row))))
}

/// Checks the rule that every label of a train or validation row was observed by the start of the test window. A good
/// payment that nobody examined has no such time, and breaks no rule. `None` for data without observation times.
pub(super) fn labels_known_before_test(
    table: &Table,
    assignment: &Assignment,
    windows: &Windows,
) -> Option<LeakageRule> {
    let observed = table.label_observed_time.as_deref()?;
    let start = windows.test.start.timestamp_micros();
    let learned = || assignment.train.iter().chain(&assignment.validation);
    let late = learned().filter(|&&row| observed[row] > start);
    Some(rule("label_observed_after_test_start", learned().count(), late.map(|&row| shown(table, row))))
}

/// Checks the rule that no row of the test window is older than `learned_before`, the end of the data that an earlier
/// bundle's model learned from. `None` for data without event times.
pub(super) fn learned_from(
    table: &Table,
    assignment: &Assignment,
    role: EarlierRole,
    learned_before: DateTime<Utc>,
) -> Option<LeakageRule> {
    let at = table.event_time.as_deref()?;
    let before = learned_before.timestamp_micros();
    let early = assignment.test.iter().filter(|&&row| at[row] < before);
    let title = format!("{role}_learned_from_test");
    Some(rule(&title, assignment.test.len(), early.map(|&row| shown(table, row))))
}

/// Checks the rule that no id occurs twice in the three windows. The witness is the row that comes later in the files.
pub(super) fn used_twice(table: &Table, assignment: &Assignment) -> LeakageRule {
    let mut order: Vec<usize> = used(assignment).collect();
    // Ids mostly rise with the row number, and sorting sorted ids takes one pass. Hashing would take longer.
    order.sort_unstable_by_key(|&row| (table.row_id.show(row), row));
    let twice = order.windows(2).filter(|pair| table.row_id.show(pair[0]) == table.row_id.show(pair[1]));
    rule("row_used_twice", order.len(), twice.map(|pair| shown(table, pair[1])))
}

/// Checks the rule that no entity of train or validation occurs in the test window. The witness is the entity's first
/// row in the test window.
pub(super) fn entity_on_both_sides(table: &Table, assignment: &Assignment, name: &str) -> LeakageRule {
    let title = format!("entity_on_both_sides:{name}");
    let Some(column) = table.entities.iter().find(|column| column.name == name) else {
        return rule(&title, 0, std::iter::once(format!("{name} is not an entity column of the manifest")));
    };
    let learned: HashSet<u32> =
        assignment.train.iter().chain(&assignment.validation).map(|&row| column.ids[row]).collect();
    let mut witnessed = HashSet::new();
    let on_both = |&&row: &&usize| learned.contains(&column.ids[row]) && witnessed.insert(column.ids[row]);
    let shared: Vec<usize> = assignment.test.iter().filter(on_both).copied().collect();
    rule(&title, learned.len(), shared.into_iter().map(|row| shown(table, row)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modelling::data::{Features, RowIds};

    fn table(values: &[f32], at: &[i64]) -> Table {
        Table {
            event_time: Some(at.to_vec()),
            row_id: RowIds::Texts((0..values.len()).map(|row| format!("row {row}")).collect()),
            ..Table::of_good(values.len(), Features::new(1, values.to_vec(), vec![None]))
        }
    }

    #[test]
    fn a_measured_row_from_where_an_earlier_model_learned_is_named() {
        let table = table(&[1.0, 2.0, 3.0], &[10, 20, 30]);
        let assignment = Assignment { test: vec![0, 1, 2], ..Assignment::default() };
        let before = |micros| {
            let before = DateTime::from_timestamp_micros(micros).unwrap();
            learned_from(&table, &assignment, EarlierRole::Champion, before).unwrap()
        };
        assert_eq!((before(10).violations, before(10).checked), (0, 3));
        let found = before(21);
        assert_eq!(
            (found.rule.as_str(), found.witnesses.as_slice()),
            ("champion_learned_from_test", &["row 0".to_owned(), "row 1".to_owned()][..])
        );
    }

    #[test]
    fn witnesses_end_at_ten_and_the_count_does_not() {
        let mut table = table(&[0.0; 30], &[0; 30]);
        table.row_id = RowIds::Numbers(vec![7; 30]);
        let assignment = Assignment { train: (0..30).collect(), ..Assignment::default() };
        let found = used_twice(&table, &assignment);
        assert_eq!((found.violations, found.witnesses.len()), (29, 10));
    }
}
