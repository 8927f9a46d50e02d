//! Finds out which entities were known as fraud, and since when.

use super::table::Table;
use crate::domain::contract::Windows;
use chrono::TimeDelta;
use std::collections::HashMap;

/// When the entities of one column became known as fraud.
pub(super) struct KnownEntities<'a> {
    ids: &'a [u32],
    /// The earliest instant, in microseconds since 1970, at which a fraud of the entity was known.
    since: HashMap<u32, i64>,
}

impl<'a> KnownEntities<'a> {
    /// Finds the frauds since the start of the train window. A fraud is known when its label was observed. For data
    /// without observation times, it is known `delay_days` after its event. It is never known before or at its own
    /// event, so that no fraud takes itself out of the test window. `None` if the plan excludes nothing.
    ///
    /// The rule is that of the Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi, 2022), function
    /// `get_train_test_set`. The handbook's frauds become known once a day, all those of a day when `delay_days` more
    /// days have passed. Data whose `label_observed_time` says so gets the handbook's rows.
    pub(super) fn find(table: &'a Table, windows: &Windows) -> Option<Self> {
        let name = windows.exclude_known_entity.as_ref()?;
        let column = table.entities.iter().find(|column| &column.name == name)?;
        let from = windows.train.start.timestamp_micros();
        let delay = TimeDelta::days(i64::from(windows.delay_days)).num_microseconds().unwrap_or(i64::MAX);
        let mut since: HashMap<u32, i64> = HashMap::new();
        for (row, &at) in table.event_time.as_deref().unwrap_or_default().iter().enumerate() {
            if table.label[row] && at >= from {
                let observed = table.label_observed_time.as_ref();
                let known = observed.map_or(at.saturating_add(delay), |observed| observed[row]);
                let known = known.max(at.saturating_add(1));
                since.entry(column.ids[row]).and_modify(|earliest| *earliest = known.min(*earliest)).or_insert(known);
            }
        }
        Some(Self { ids: &column.ids, since })
    }

    /// Says whether the row's entity was known as fraud by `at`, in microseconds since 1970.
    pub(super) fn includes(&self, row: usize, at: i64) -> bool {
        self.since.get(&self.ids[row]).is_some_and(|&since| since <= at)
    }
}

#[cfg(test)]
mod tests {
    use super::super::split::{Assignment, split, without_known_entities};
    use super::*;
    use crate::domain::contract::{SettledSplit, TimeWindow};
    use chrono::{DateTime, Utc};

    fn day(n: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(n * 86_400, 0).unwrap()
    }

    /// A plan with a train window of a week, a delay of a week, and a test window of a week, in days since 1970.
    fn three_weeks() -> Windows {
        Windows {
            train: TimeWindow { start: day(0), end: day(7) },
            validation: None,
            test: TimeWindow { start: day(14), end: day(21) },
            delay_days: 7,
            exclude_known_entity: Some("card".to_owned()),
        }
    }

    fn assigned(table: &Table) -> Assignment {
        split(table, &SettledSplit::TimeBased(three_weeks()), 0)
    }

    #[test]
    fn windows_are_half_open_and_a_card_leaves_the_test_from_the_moment_its_fraud_is_known() {
        // Card 3 had its fraud on day 8, in the delay. It is known on day 15, within the test window.
        let mut table = Table::of_cards(&[
            (0, false, 1),
            (6, true, 2),
            (7, true, 4),
            (8, true, 3),
            (14, false, 1),
            (14, true, 2),
            (14, false, 3),
            (15, false, 3),
            (20, false, 3),
            (21, true, 1),
        ]);
        let found = assigned(&table);
        assert_eq!(
            found,
            Assignment { train: vec![0, 1], validation: vec![], test: vec![4, 6], excluded: vec![5, 7, 8], unused: 3 }
        );
        assert_eq!(found.whole_test_window(), [4, 5, 6, 7, 8]);
        let settled = SettledSplit::TimeBased(three_weeks());
        let kept = without_known_entities(&table, &settled, &[3, 4, 5, 6, 7]);
        assert_eq!(kept, [3, 4, 6], "the rule for thresholds is that of the test window");

        let micros = |n: i64| day(n).timestamp_micros();
        let mut observed = vec![Table::NEVER; 10];
        (observed[1], observed[2], observed[3], observed[5], observed[9]) =
            (micros(14) + 1, micros(15), micros(20), micros(30), micros(30));
        table.label_observed_time = Some(observed);
        let found = assigned(&table);
        assert_eq!(
            (found.test, found.excluded),
            (vec![4, 5, 6, 7], vec![8]),
            "the observed time goes before the delay"
        );
    }

    #[test]
    fn a_fraud_that_is_known_at_once_stays_and_only_what_comes_after_it_leaves() {
        let mut table =
            Table::of_cards(&[(14, false, 1), (15, true, 1), (15, false, 1), (16, false, 1), (16, true, 2)]);
        table.label_observed_time = Some(vec![Table::NEVER, day(2).timestamp_micros(), Table::NEVER, Table::NEVER, 0]);
        let found = assigned(&table);
        assert_eq!((found.test, found.excluded), (vec![0, 1, 2, 4], vec![3]));
    }

    #[test]
    fn a_fraud_from_before_the_train_window_takes_no_card_out() {
        let found = assigned(&Table::of_cards(&[(-1, true, 1), (0, true, 2), (14, false, 1), (14, false, 2)]));
        assert_eq!((found.test, found.excluded), (vec![2], vec![3]));
    }

    /// One case that `tests/interop/window_fixtures.py` wrote.
    #[derive(serde::Deserialize)]
    struct Fixture {
        name: String,
        /// Each row: seconds since 1970, fraud, card, and when its label was observed if the case has such times.
        rows: Vec<(i64, bool, u32, Option<i64>)>,
        train: [i64; 2],
        test: [i64; 2],
        delay_days: u32,
        expected_train: Vec<usize>,
        expected_test: Vec<usize>,
    }

    #[test]
    fn the_rows_of_the_test_window_are_those_of_the_handbook_and_of_a_search_row_by_row() {
        const SECOND: i64 = 1_000_000;
        let fixtures: Vec<Fixture> =
            serde_json::from_str(include_str!("../../../tests/golden/windows/known_entities.json")).unwrap();
        assert!(fixtures.len() >= 12);
        let window = |[start, end]: [i64; 2]| {
            let instant = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
            TimeWindow { start: instant(start), end: instant(end) }
        };
        for Fixture { name, rows, train, test, delay_days, expected_train, expected_test } in fixtures {
            let table = Table {
                event_time: Some(rows.iter().map(|row| row.0 * SECOND).collect()),
                label_observed_time: rows.iter().map(|row| Some(row.3? * SECOND)).collect(),
                ..Table::of_cards(&rows.iter().map(|row| (0, row.1, row.2)).collect::<Vec<_>>())
            };
            let windows = Windows {
                train: window(train),
                validation: None,
                test: window(test),
                delay_days,
                exclude_known_entity: Some("card".to_owned()),
            };
            let found = split(&table, &SettledSplit::TimeBased(windows), 0);
            assert_eq!((&found.train, &found.test), (&expected_train, &expected_test), "{name}");
            assert!(!found.excluded.is_empty(), "{name}: nothing is tried");
        }
    }
}
