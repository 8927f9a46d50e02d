//! Which rows are for what.

use super::plan::{PlannedSplit, Window};
use super::table::Table;
use chrono::TimeDelta;
use std::collections::HashSet;

/// Row numbers per window, ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// Rows to fit on.
    pub train: Vec<usize>,
    /// Rows for early stopping; empty where the plan has no validation window.
    pub validation: Vec<usize>,
    /// Rows to measure on.
    pub test: Vec<usize>,
    /// Rows of the test window that belong to entities already known as fraud.
    pub excluded: usize,
    /// Rows outside every window.
    pub unused: usize,
}

impl Window {
    /// Whether an instant (microseconds) is in the window.
    pub fn contains(&self, at: i64) -> bool {
        (self.start.timestamp_micros()..self.end.timestamp_micros()).contains(&at)
    }
}

/// Assigns every row by its event time. With `exclude_known_entity`, an entity with a fraud since the
/// start of the train window whose label was known when the test window starts leaves the test window:
/// its card would be blocked by then. Known means observed before (where the data says when), else
/// older than the delay.
pub fn split(table: &Table, plan: &PlannedSplit) -> Assignment {
    let known = known_entities(table, plan);
    let mut assignment = Assignment::default();
    for (row, &at) in table.event_time.iter().enumerate() {
        if plan.train.contains(at) {
            assignment.train.push(row);
        } else if plan.validation.is_some_and(|window| window.contains(at)) {
            assignment.validation.push(row);
        } else if !plan.test.contains(at) {
            assignment.unused += 1;
        } else if known.as_ref().is_some_and(|(ids, known)| known.contains(&ids[row])) {
            assignment.excluded += 1;
        } else {
            assignment.test.push(row);
        }
    }
    assignment
}

fn known_entities<'a>(table: &'a Table, plan: &PlannedSplit) -> Option<(&'a [u32], HashSet<u32>)> {
    let name = plan.exclude_known_entity.as_ref()?;
    let column = table.entities.iter().find(|column| &column.name == name)?;
    let from = plan.train.start.timestamp_micros();
    let test_start = plan.test.start.timestamp_micros();
    let settled = (plan.test.start - TimeDelta::days(i64::from(plan.delay_days))).timestamp_micros();
    let is_known = |row: usize| {
        let at = table.event_time[row];
        let known_by_test = match &table.label_observed_time {
            Some(observed) => at < test_start && observed[row] <= test_start,
            None => at < settled,
        };
        table.label[row] && at >= from && known_by_test
    };
    let known = (0..table.rows()).filter(|&row| is_known(row)).map(|row| column.ids[row]).collect();
    Some((&column.ids, known))
}

#[cfg(test)]
mod tests {
    use super::super::table::{EntityColumn, RowIds};
    use super::*;
    use chrono::{DateTime, Utc};

    fn day(n: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(n * 86_400, 0).unwrap()
    }

    fn table(rows: &[(i64, bool, u32)]) -> Table {
        Table {
            event_time: rows.iter().map(|(d, ..)| day(*d).timestamp_micros()).collect(),
            label: rows.iter().map(|(_, label, _)| *label).collect(),
            row_id: RowIds::Numbers((0..rows.len() as i64).collect()),
            label_observed_time: None,
            feature_time: None,
            entities: vec![EntityColumn { name: "card".to_owned(), ids: rows.iter().map(|(.., id)| *id).collect() }],
            features: vec![],
        }
    }

    #[test]
    fn windows_are_half_open_and_known_cards_leave_the_test() {
        let plan = PlannedSplit {
            train: Window { start: day(0), end: day(7) },
            validation: None,
            test: Window { start: day(14), end: day(21) },
            delay_days: 7,
            exclude_known_entity: Some("card".to_owned()),
        };
        let rows =
            [(0, false, 1), (6, true, 2), (7, true, 3), (14, false, 1), (14, true, 2), (20, false, 3), (21, true, 1)];
        let found = split(&table(&rows), &plan);
        // Card 2 was seen in training; card 3 within the delay, when its label was not known yet.
        assert_eq!(
            found,
            Assignment { train: vec![0, 1], validation: vec![], test: vec![3, 5], excluded: 1, unused: 2 }
        );
    }
}
