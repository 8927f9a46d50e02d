//! Checks the rules about rows that come again: with the same content, or with one value changed.
//!
//! Memory is 17 bytes a row, and time is that of two sorts.

use super::content::{Content, HashedRow, Window};
use super::near_copies::NearCopies;
use super::rows::{rule, shown, used};
use crate::domain::contract::LeakageRule;
use crate::modelling::data::{Assignment, Table};

/// Whether rows of the same content must also have the same event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimesMatter {
    /// For rows of two windows. Windows by time share no instant.
    pub(super) across: bool,
    /// For rows of the test window.
    pub(super) within: bool,
}

/// The rows that come again, by row number.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    /// Rows with the content of a row in an earlier window.
    across: Vec<usize>,
    /// Rows of the test window with the content of another row of it, but for the first of these.
    within: Vec<usize>,
    near: NearCopies,
    /// The numbers of rows in the learned windows and in the test window.
    compared: (usize, usize),
}

impl Repeats {
    pub(super) fn find(table: &Table, assignment: &Assignment, times: TimesMatter) -> Self {
        let Assignment { train, validation, test, .. } = assignment;
        let content = Content::new(table, assignment);
        let windows = [(Window::Train, train), (Window::Validation, validation), (Window::Test, test)];
        let mut hashed: Vec<HashedRow> = Vec::with_capacity(used(assignment).count());
        for (window, rows) in windows {
            hashed.extend(rows.iter().map(|&row| content.hashed(row, window)));
        }
        let compared = (train.len() + validation.len(), test.len());
        let mut found = Self { compared, near: NearCopies::among(table.rows()), ..Self::default() };
        for half in [0, 1] {
            let other = 1 - half;
            let mut search = found.near.search(&content, other);
            hashed.sort_unstable_by_key(|of| (of.halves[half], of.halves[other], of.window, of.row));
            for group in hashed.chunk_by(|a, b| a.halves[half] == b.halves[half]) {
                if group.first().map(|of| of.halves[other]) != group.last().map(|of| of.halves[other]) {
                    search.look(group);
                }
            }
            if half == 0 {
                let alike = hashed.chunk_by(|a, b| a.halves == b.halves);
                let repeated = alike.filter(|rows| rows.len() > 1);
                repeated.for_each(|rows| same(&content, rows, times, &mut found.across, &mut found.within));
            }
        }
        found.across.sort_unstable();
        found.within.sort_unstable();
        found
    }

    /// Checks the rule that no row has the content of a row in an earlier window. So an event that was delivered again
    /// with a new time and id is found.
    pub(super) fn across(&self, table: &Table) -> LeakageRule {
        let (learned, test) = self.compared;
        let rows = self.across.iter().map(|&row| shown(table, row));
        rule("same_content_in_two_windows", learned + test, rows)
    }

    /// Checks the rule that no row of the test window has the content of another one: it would be measured twice.
    pub(super) fn within(&self, table: &Table) -> LeakageRule {
        rule("row_repeated_in_test", self.compared.1, self.within.iter().map(|&row| shown(table, row)))
    }

    /// Checks the rule that rows of the test window are no copies of learned rows with one value changed.
    pub(super) fn near(&self, table: &Table) -> LeakageRule {
        self.near.rule(table, self.compared)
    }
}

/// Finds the rows with the same content among rows with the same hashes.
fn same(
    content: &Content<'_>,
    rows: &[HashedRow],
    times: TimesMatter,
    across: &mut Vec<usize>,
    within: &mut Vec<usize>,
) {
    // Nearly always, all rows with the same hashes have the same content.
    let mut contents: Vec<Vec<HashedRow>> = Vec::new();
    for &of in rows {
        match contents.iter_mut().find(|rows| content.equal(rows[0].row, of.row, None)) {
            Some(rows) => rows.push(of),
            None => contents.push(vec![of]),
        }
    }
    let at = |of: &HashedRow, matters: bool| match &content.table.event_time {
        Some(at) if matters => at[of.row as usize],
        _ => 0,
    };
    let number = |of: &HashedRow| of.row as usize;
    for rows in &mut contents {
        rows.sort_unstable_by_key(|of| (at(of, times.across), of.window, of.row));
        for alike in rows.chunk_by(|a, b| at(a, times.across) == at(b, times.across)) {
            across.extend(alike.iter().filter(|of| of.window != alike[0].window).map(number));
        }
        rows.retain(|of| of.window == Window::Test);
        rows.sort_unstable_by_key(|of| (at(of, times.within), of.row));
        for alike in rows.chunk_by(|a, b| at(a, times.within) == at(b, times.within)) {
            within.extend(alike.iter().skip(1).map(number));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modelling::data::{EntityColumn, Features, RowIds};
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    const NO_TIMES: TimesMatter = TimesMatter { across: false, within: false };
    const TIMES: TimesMatter = TimesMatter { across: true, within: true };

    fn table(width: usize, values: &[f32], at: &[i64]) -> Table {
        let rows = values.len() / width;
        Table {
            event_time: (!at.is_empty()).then(|| at.to_vec()),
            row_id: RowIds::Texts((0..rows).map(|row| format!("row {row}")).collect()),
            ..Table::of_good(rows, Features::new(width, values.to_vec(), vec![None; width]))
        }
    }

    fn halves(rows: usize) -> Assignment {
        Assignment { train: (0..rows / 2).collect(), test: (rows / 2..rows).collect(), ..Assignment::default() }
    }

    #[test]
    fn repeated_content_counts_across_windows_and_within_the_test_window_and_missing_equals_missing() {
        let table = table(1, &[1.0, 1.0, f32::NAN, 2.0, 4.0, f32::NAN, 1.0, 4.0], &[]);
        let found = Repeats::find(&table, &halves(8), NO_TIMES);
        assert_eq!((found.across(&table).checked, found.within(&table).checked), (8, 4));
        assert_eq!(found.across(&table).witnesses, ["row 5", "row 6"]);
        assert_eq!(found.within(&table).witnesses, ["row 7"], "rows 0 and 1 are not measured");
    }

    #[test]
    fn where_times_matter_rows_of_other_times_are_apart() {
        let table = table(1, &[1.0; 6], &[0, 1, 2, 1, 3, 3]);
        let found = Repeats::find(&table, &halves(6), TIMES);
        assert_eq!(found.across(&table).witnesses, ["row 3"]);
        assert_eq!(found.within(&table).witnesses, ["row 5"]);
        let found = Repeats::find(&table, &halves(6), NO_TIMES);
        assert_eq!((found.across(&table).violations, found.within(&table).violations), (3, 2));
    }

    #[test]
    fn another_label_or_entity_is_another_content() {
        let mut table = table(1, &[1.0; 4], &[]);
        table.label = vec![false, false, true, false];
        table.entities = vec![EntityColumn { name: "card".to_owned(), ids: vec![0, 1, 0, 2] }];
        let found = Repeats::find(&table, &halves(4), NO_TIMES);
        assert_eq!((found.across(&table).violations, found.within(&table).violations), (0, 0));
    }

    fn divided(rows: usize, learned: usize) -> Assignment {
        Assignment { train: (0..learned).collect(), test: (learned..rows).collect(), ..Assignment::default() }
    }

    /// Rows of six random values. Each of the first `copies` rows of the test window is a learned row with one value
    /// changed, in every column once.
    fn with_copies(rows: usize, copies: usize) -> Table {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let mut values: Vec<f32> = (0..6 * rows).map(|_| random.random::<f32>()).collect();
        for copy in 0..copies {
            let (from, to) = (6 * copy, 6 * (rows / 2 + copy));
            values.copy_within(from..from + 6, to);
            values[to + copy % 6] += 0.5;
        }
        table(6, &values, &[])
    }

    fn near(table: &Table, assignment: &Assignment) -> LeakageRule {
        Repeats::find(table, assignment, NO_TIMES).near(table)
    }

    #[test]
    fn copies_with_one_value_changed_are_found_in_every_column() {
        let halves = divided(2_000, 1_000);
        let rule = near(&with_copies(2_000, 24), &halves);
        assert_eq!((rule.violations, rule.checked, rule.witnesses.len()), (24, 1_000, 10));
        assert_eq!((rule.witnesses[0].as_str(), rule.witnesses[9].as_str()), ("row 1000", "row 1009"));
        assert_eq!(near(&with_copies(2_000, 5), &halves).violations, 0, "five may be chance");
    }

    /// Small numbers, and flags that few rows have: every row is the copy of many, in every window.
    #[test]
    fn data_that_repeats_itself_by_nature_is_no_leak() {
        for (width, rows, learned, values, share) in [
            (2, 400, 40, 8, 1.0),
            (2, 400, 200, 8, 1.0),
            (2, 400, 360, 8, 1.0),
            (2, 60, 30, 8, 1.0),
            (30, 20_000, 16_000, 2, 0.02),
            (30, 20_000, 16_000, 2, 0.1),
            (12, 20_000, 16_000, 2, 1.0),
        ] {
            let mut random = ChaCha8Rng::seed_from_u64(2);
            let mut value = || if random.random::<f32>() < share { random.random_range(0..values) } else { 0_u8 };
            let values: Vec<f32> = (0..width * rows).map(|_| f32::from(value())).collect();
            let table = table(width, &values, &[]);
            let rule = near(&table, &divided(rows, learned));
            assert_eq!(rule.violations, 0, "{width} columns, {learned} of {rows} rows, {share}");
        }
    }
}
