//! Checks the rules about rows that come again: with the same content, or with one value changed. The content of a row
//! is its label, its entities and its features, without its id.
//!
//! Each row gets two hashes, each of half of its columns. Rows with the same content agree in both. Rows that differ in
//! one value agree in the half without it, so that the rows with one equal half are all the candidates there are. So
//! memory is 17 bytes a row, and time is that of two sorts. Hashes only find candidates: values decide.

use super::near_copies::NearCopies;
use super::rows::{rule, shown, used};
use crate::domain::contract::LeakageRule;
use crate::modelling::data::{Assignment, Table};
use std::collections::HashSet;

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
                let same = hashed.chunk_by(|a, b| a.halves == b.halves);
                let repeated = same.filter(|rows| rows.len() > 1);
                repeated.for_each(|rows| content.same(rows, times, &mut found.across, &mut found.within));
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Window {
    Train,
    Validation,
    Test,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct HashedRow {
    halves: [u32; 2],
    pub(super) row: u32,
    pub(super) window: Window,
}

/// Reads the columns of a row: the features, then the entities.
pub(super) struct Content<'a> {
    table: &'a Table,
    /// The half that each column belongs to.
    half_of: Vec<usize>,
}

impl<'a> Content<'a> {
    /// The number of rows by which columns are divided into halves.
    const LOOKED_AT: usize = 1_000;

    /// Deals the columns to the halves by the number of their values, so that each half tells most rows apart.
    pub(super) fn new(table: &'a Table, assignment: &Assignment) -> Self {
        let columns = table.features.width() + table.entities.len();
        let mut content = Self { table, half_of: vec![0; columns] };
        let step = used(assignment).count().div_ceil(Self::LOOKED_AT).max(1);
        let rows: Vec<usize> = used(assignment).step_by(step).collect();
        let distinct = |column: usize| rows.iter().map(|&row| content.bits(row, column)).collect::<HashSet<_>>().len();
        let mut order: Vec<(usize, usize)> = (0..columns).map(|column| (distinct(column), column)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for (place, (_, column)) in order.into_iter().enumerate() {
            content.half_of[column] = place.div_ceil(2) % 2;
        }
        content
    }

    pub(super) fn bits(&self, row: usize, column: usize) -> u32 {
        match column.checked_sub(self.table.features.width()) {
            None => self.table.features.value(row, column).to_bits(),
            Some(entity) => self.table.entities[entity].ids[row],
        }
    }

    /// Hashes a value of a column. A row's hash is a sum of these, so that a column can be taken out of it.
    pub(super) fn mixed(column: usize, bits: u32) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (u64::from(bits) | ((column as u64 + 1) << 32)).wrapping_mul(ODD);
        (mixed ^ (mixed >> 29)).wrapping_mul(ODD)
    }

    pub(super) fn hashed(&self, row: usize, window: Window) -> HashedRow {
        let mut halves = [u64::from(self.table.label[row]) << 32; 2];
        let mut add = |column: usize, bits: u32| {
            let half = &mut halves[self.half_of[column]];
            *half = half.wrapping_add(Self::mixed(column, bits));
        };
        let features = self.table.features.row(row);
        features.iter().enumerate().for_each(|(column, value)| add(column, value.to_bits()));
        (features.len()..self.half_of.len()).for_each(|column| add(column, self.bits(row, column)));
        HashedRow { halves: halves.map(|half| (half >> 32) as u32), row: row as u32, window }
    }

    /// Tells whether two rows have the same content, but for one column if that is given.
    pub(super) fn equal(&self, a: u32, b: u32, but: Option<usize>) -> bool {
        let (a, b) = (a as usize, b as usize);
        let mut columns = (0..self.half_of.len()).filter(|&column| Some(column) != but);
        self.table.label[a] == self.table.label[b] && columns.all(|column| self.bits(a, column) == self.bits(b, column))
    }

    /// Finds the rows with the same content among rows with the same hashes.
    fn same(&self, rows: &[HashedRow], times: TimesMatter, across: &mut Vec<usize>, within: &mut Vec<usize>) {
        // Nearly always, all rows with the same hashes have the same content.
        let mut contents: Vec<Vec<HashedRow>> = Vec::new();
        for &of in rows {
            match contents.iter_mut().find(|rows| self.equal(rows[0].row, of.row, None)) {
                Some(rows) => rows.push(of),
                None => contents.push(vec![of]),
            }
        }
        let at = |of: &HashedRow, matters: bool| match &self.table.event_time {
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

    /// The columns of a half, in ascending order.
    pub(super) fn columns_of(&self, half: usize) -> Vec<usize> {
        (0..self.half_of.len()).filter(|&column| self.half_of[column] == half).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modelling::data::{EntityColumn, Features, RowIds};

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
}
