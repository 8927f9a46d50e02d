//! Checks the leakage rules about rows. A witness is the id of a row that breaks the rule.

use crate::domain::contract::{LabelBasis, LeakageRule, SettledSplit, Windows};
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

fn used(assignment: &Assignment) -> impl Iterator<Item = usize> + '_ {
    [&assignment.train, &assignment.validation, &assignment.test].into_iter().flatten().copied()
}

fn shown(table: &Table, row: usize) -> String {
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

/// Checks the rule that no row of one window has the same features, entities and label as a row of another window.
///
/// Windows by time share no instant. For them the rule ignores the event time, and so finds an event that was delivered
/// again with a new time and id. For a random split the event time must be equal as well. Hashes only find candidates.
/// The rule then compares candidates value by value, so that a hash collision is no violation.
pub(super) fn same_content_in_two_windows(
    table: &Table,
    assignment: &Assignment,
    settled: &SettledSplit,
) -> LeakageRule {
    let at = match settled {
        SettledSplit::TimeBased(_) => None,
        SettledSplit::StratifiedRandom(_) => table.event_time.as_deref(),
    };
    let content = RowContent { table, at };
    let windows = [&assignment.train, &assignment.validation, &assignment.test];
    let mut hashed: Vec<(u64, u8, u32)> = Vec::with_capacity(used(assignment).count());
    for (window, rows) in windows.into_iter().enumerate() {
        hashed.extend(rows.iter().map(|&row| (content.hash(row), window as u8, row as u32)));
    }
    hashed.sort_unstable();
    let mut repeated = Vec::new();
    for group in hashed.chunk_by(|a, b| a.0 == b.0) {
        if group.first().map(|first| first.1) == group.last().map(|last| last.1) {
            continue;
        }
        // The first row of each distinct content with this hash. Nearly always all rows with one hash have the same
        // content.
        let mut firsts: Vec<(u8, usize)> = Vec::new();
        for &(_, window, row) in group {
            let row = row as usize;
            match firsts.iter().find(|(_, first)| content.equal(*first, row)) {
                Some((first, _)) if *first < window => repeated.push(row),
                Some(_) => {}
                None => firsts.push((window, row)),
            }
        }
    }
    repeated.sort_unstable();
    rule("same_content_in_two_windows", hashed.len(), repeated.into_iter().map(|row| shown(table, row)))
}

/// Compares rows by everything except their ids. Compares event times only if `at` is given.
struct RowContent<'a> {
    table: &'a Table,
    at: Option<&'a [i64]>,
}

impl RowContent<'_> {
    /// Hashes by rotating and multiplying word by word, as `FxHash` does. This is fast, and good enough to find
    /// candidates.
    fn hash(&self, row: usize) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = u64::from(self.table.label[row]);
        let mut mix = |word: u64| hash = (hash.rotate_left(5) ^ word).wrapping_mul(ODD);
        for value in self.table.features.row(row) {
            mix(u64::from(value.to_bits()));
        }
        for column in &self.table.entities {
            mix(u64::from(column.ids[row]));
        }
        if let Some(at) = self.at {
            mix(at[row] as u64);
        }
        hash
    }

    fn equal(&self, a: usize, b: usize) -> bool {
        let Table { features, entities, label, .. } = self.table;
        let bits = |row: usize| features.row(row).iter().map(|value| value.to_bits());
        label[a] == label[b]
            && self.at.is_none_or(|at| at[a] == at[b])
            && entities.iter().all(|column| column.ids[a] == column.ids[b])
            && bits(a).eq(bits(b))
    }
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
    use crate::domain::contract::Shares;
    use crate::modelling::data::{Features, RowIds};

    fn table(values: &[f32], at: &[i64]) -> Table {
        Table {
            event_time: Some(at.to_vec()),
            row_id: RowIds::Texts((0..values.len()).map(|row| format!("row {row}")).collect()),
            ..Table::of_good(values.len(), Features::new(1, values.to_vec(), vec![None]))
        }
    }

    fn random() -> SettledSplit {
        SettledSplit::StratifiedRandom(Shares { train: 0.5, validation: None, test: 0.5 })
    }

    #[test]
    fn repeated_content_counts_across_windows_only_and_missing_equals_missing() {
        let table = table(&[1.0, 1.0, f32::NAN, 2.0, f32::NAN, 1.0], &[0; 6]);
        let assignment = Assignment { train: vec![0, 1, 2], test: vec![3, 4, 5], ..Assignment::default() };
        let found = same_content_in_two_windows(&table, &assignment, &random());
        assert_eq!((found.violations, found.checked), (2, 6));
        assert_eq!(found.witnesses, ["row 4", "row 5"]);
    }

    #[test]
    fn a_random_split_keeps_rows_of_other_times_apart() {
        let table = table(&[1.0, 1.0, 1.0], &[0, 1, 1]);
        let assignment = Assignment { train: vec![0, 1], test: vec![2], ..Assignment::default() };
        assert_eq!(same_content_in_two_windows(&table, &assignment, &random()).witnesses, ["row 2"]);
        let assignment = Assignment { train: vec![0], test: vec![2], ..assignment };
        assert_eq!(same_content_in_two_windows(&table, &assignment, &random()).violations, 0);
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
