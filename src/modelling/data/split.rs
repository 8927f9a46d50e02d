//! Assigns rows to the train, validation and test windows.

use super::known_entities::KnownEntities;
use super::table::Table;
use crate::domain::contract::{SettledSplit, Shares, Windows};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The row numbers of each window, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    pub train: Vec<usize>,
    /// The rows for early stopping. Empty if the plan has no validation window.
    pub validation: Vec<usize>,
    /// The rows that metrics are computed on.
    pub test: Vec<usize>,
    /// Rows of the test window whose entity was already known as fraud. They are not measured on.
    pub excluded: Vec<usize>,
    pub unused: usize,
}

impl Assignment {
    /// Returns all rows of the test window, ascending, also the excluded ones.
    pub fn whole_test_window(&self) -> Vec<usize> {
        let mut rows = [self.test.as_slice(), &self.excluded].concat();
        rows.sort_unstable();
        rows
    }
}

pub fn split(table: &Table, settled: &SettledSplit, seed: u64) -> Assignment {
    match settled {
        SettledSplit::TimeBased(windows) => by_time(table, windows),
        SettledSplit::StratifiedRandom(shares) => by_chance(table, *shares, seed),
    }
}

/// Assigns rows by event time. With `exclude_known_entity`, an entity leaves the test window from the moment when a
/// fraud of it becomes known, since that entity, for example a card, would then be blocked. The train and validation
/// windows keep their rows.
fn by_time(table: &Table, windows: &Windows) -> Assignment {
    let times = table.event_time.as_deref().unwrap_or_default();
    let known = KnownEntities::find(table, windows);
    let mut assignment = Assignment { unused: table.rows() - times.len(), ..Assignment::default() };
    for (row, &at) in times.iter().enumerate() {
        if windows.train.contains(at) {
            assignment.train.push(row);
        } else if windows.validation.is_some_and(|window| window.contains(at)) {
            assignment.validation.push(row);
        } else if !windows.test.contains(at) {
            assignment.unused += 1;
        } else if known.as_ref().is_some_and(|known| known.includes(row, at)) {
            assignment.excluded.push(row);
        } else {
            assignment.test.push(row);
        }
    }
    assignment
}

/// Returns the rows of the validation window that the test window would keep, if it lay there: without the rows of entities
/// whose fraud was known by then. Thresholds are chosen on these, so that they meet the same kind of rows as in use. All
/// rows if the plan excludes no entity.
pub fn without_known_entities(table: &Table, settled: &SettledSplit, rows: &[usize]) -> Vec<usize> {
    let known = match settled {
        SettledSplit::TimeBased(windows) => KnownEntities::find(table, windows),
        SettledSplit::StratifiedRandom(_) => None,
    };
    let (Some(known), Some(times)) = (known, table.event_time.as_deref()) else { return rows.to_vec() };
    rows.iter().copied().filter(|&row| !known.includes(row, times[row])).collect()
}

/// Shuffles the rows of each class (Fisher–Yates) and splits them into the windows in proportion to `shares`. Every
/// window thus has the same fraud rate, up to rounding.
fn by_chance(table: &Table, shares: Shares, seed: u64) -> Assignment {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut assignment = Assignment::default();
    for class in [false, true] {
        let mut rows: Vec<usize> = (0..table.rows()).filter(|&row| table.label[row] == class).collect();
        for last in (1..rows.len()).rev() {
            rows.swap(last, rng.random_range(0..=last));
        }
        let total = rows.len();
        let mut rows = rows.into_iter();
        let mut dealt = 0.0;
        let mut deal = |share: f64, into: &mut Vec<usize>| {
            let before = (dealt * total as f64).round() as usize;
            dealt += share;
            let after = ((dealt * total as f64).round() as usize).min(total);
            into.extend(rows.by_ref().take(after.saturating_sub(before)));
        };
        deal(shares.train, &mut assignment.train);
        deal(shares.validation.unwrap_or(0.0), &mut assignment.validation);
        deal(shares.test, &mut assignment.test);
        assignment.unused += rows.count();
    }
    for rows in [&mut assignment.train, &mut assignment.validation, &mut assignment.test] {
        rows.sort_unstable();
    }
    assignment
}

#[cfg(test)]
mod tests {
    use super::super::settle::settle;
    use super::*;
    use crate::domain::contract::{PlannedSplit, TimeShares, WindowDays};
    use crate::domain::run::FailureCode;
    use chrono::{DateTime, TimeDelta, Utc};
    use proptest::prelude::*;

    fn day(n: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(n * 86_400, 0).unwrap()
    }

    fn days_before(train_days: u32, validation_days: Option<u32>, test_days: u32, delay_days: u32) -> PlannedSplit {
        let exclude_known_entity = None;
        let days = WindowDays { train_days, validation_days, test_days, delay_days, exclude_known_entity };
        PlannedSplit::DaysBeforeLastEvent(days)
    }

    fn windows(settled: &SettledSplit) -> &Windows {
        match settled {
            SettledSplit::TimeBased(windows) => windows,
            SettledSplit::StratifiedRandom(_) => panic!("{settled:?}"),
        }
    }

    #[test]
    fn days_before_the_last_event_end_right_after_it() {
        let rows: Vec<_> = (0..30).map(|d| (d, false, 0)).collect();
        let table = Table::of_cards(&rows);
        let settled = settle(&days_before(7, Some(2), 3, 5), &table).unwrap();
        let found = split(&table, &settled, 0);
        assert_eq!(found.test, [27, 28, 29]);
        assert_eq!(found.validation, [20, 21]);
        assert_eq!(found.train, (13..20).collect::<Vec<_>>());
        assert_eq!(windows(&settled).test.end, day(29) + TimeDelta::microseconds(1));
    }

    #[test]
    fn no_such_dates_and_no_rows_are_an_invalid_dataset() {
        for table in [Table::of_cards(&[]), Table::of_cards(&[(1, true, 0)])] {
            let failure = settle(&days_before(u32::MAX, None, u32::MAX, 0), &table).unwrap_err();
            assert_eq!(failure.code, FailureCode::DatasetInvalid);
        }
    }

    proptest! {
        #[test]
        fn shares_of_time_keep_the_order_and_the_delay(
            mut days in proptest::collection::vec(0..400_i64, 20..200),
            train in 0.2..0.6_f64, validation in 0.05..0.2_f64, test in 0.05..0.2_f64, delay_days in 0..10_u32,
        ) {
            days.extend([0, 100, 200, 300, 399]);
            let rows: Vec<_> = days.iter().map(|d| (*d, false, 0)).collect();
            let table = Table::of_cards(&rows);
            let shares = Shares { train, validation: Some(validation), test };
            let plan = PlannedSplit::SharesOfTime(TimeShares { shares, delay_days, exclude_known_entity: None });
            let Ok(settled) = settle(&plan, &table) else { return Ok(()) };
            let found = split(&table, &settled, 0);
            let windows = windows(&settled);
            prop_assert!(windows.train.start <= windows.train.end);
            prop_assert_eq!(windows.train.end, windows.validation.unwrap().start);
            prop_assert_eq!(windows.validation.unwrap().end + TimeDelta::days(i64::from(delay_days)), windows.test.start);
            prop_assert_eq!(found.train.len() + found.validation.len() + found.test.len() + found.unused, rows.len());
            prop_assert!(!found.test.is_empty());
        }

        #[test]
        fn a_random_split_gives_every_class_its_shares(
            labels in proptest::collection::vec(any::<bool>(), 1..300), seed in any::<u64>(),
        ) {
            let rows: Vec<_> = labels.iter().map(|label| (0, *label, 0)).collect();
            let table = Table { event_time: None, ..Table::of_cards(&rows) };
            let shares = Shares { train: 0.6, validation: Some(0.1), test: 0.3 };
            let settled = settle(&PlannedSplit::StratifiedRandom(shares), &table).unwrap();
            let found = split(&table, &settled, seed);
            prop_assert_eq!(&found, &split(&table, &settled, seed));
            let mut all = [found.train.clone(), found.validation.clone(), found.test.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..rows.len()).collect::<Vec<_>>());
            for class in [false, true] {
                let of = |rows: &[usize]| rows.iter().filter(|&&row| labels[row] == class).count() as f64;
                let total = labels.iter().filter(|&&label| label == class).count() as f64;
                prop_assert!((of(&found.train) - 0.6 * total).abs() <= 1.0);
                prop_assert!((of(&found.test) - 0.3 * total).abs() <= 1.0);
            }
        }
    }
}
