//! Checks the rules about rows that come again: with the same content, or with one value changed. The content of a row
//! is its label, its entities and its features, without its id.
//!
//! Each row gets two hashes, each of half of its columns. Rows with the same content agree in both. Rows that differ in
//! one value agree in the half without it, so that the rows with one equal half are all the candidates there are. Where
//! many rows share a half, one hash for each column, of all others, finds the pairs. So memory is 16 bytes a row, and
//! time is that of two sorts. Hashes only find candidates: values decide.

use super::rows::{rule, shown, used};
use crate::domain::contract::LeakageRule;
use crate::modelling::data::{Assignment, Table};
use std::collections::HashSet;

/// The rate of false alarms of `near_copy_in_two_windows`, where rows with one value changed are as likely within the
/// learned windows as between them and the test window.
const NEAR_COPY_ALARM_RATE: f64 = 1e-4;

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
    /// Groups of rows that are equal but for one column and have rows in learned windows and in the test window. A
    /// group stands here by its first row of the test window.
    near_across: Vec<usize>,
    /// The number of groups of rows that are equal but for one column and have two such rows in the learned windows.
    near_learned: u64,
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
        let mut found = Self { compared: (train.len() + validation.len(), test.len()), ..Self::default() };
        for half in [0, 1] {
            let other = 1 - half;
            hashed.sort_unstable_by_key(|of| (of.halves[half], of.halves[other], of.window, of.row));
            for group in hashed.chunk_by(|a, b| a.halves[half] == b.halves[half]) {
                if group.first().map(|of| of.halves[other]) != group.last().map(|of| of.halves[other]) {
                    content.near(group, other, &mut found);
                }
                if half == 0 {
                    let same = group.chunk_by(|a, b| a.halves[other] == b.halves[other]);
                    same.filter(|rows| rows.len() > 1).for_each(|rows| content.same(rows, times, &mut found));
                }
            }
        }
        for rows in [&mut found.across, &mut found.within, &mut found.near_across] {
            rows.sort_unstable();
        }
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
    ///
    /// Some data has such rows by nature. It has them within the learned windows as well, so these say how many are
    /// natural. Of the groups of two rows, a share of 2 t / (1 + t) of those that count lies across, for a share t of
    /// the test window among all rows. Of larger groups it is less, but never below one half. The rule is violated if a
    /// binomial draw with that share would give as many groups only at [`NEAR_COPY_ALARM_RATE`].
    pub(super) fn near(&self, table: &Table) -> LeakageRule {
        let (learned, test) = self.compared;
        let of_test = test as f64 / (learned + test).max(1) as f64;
        let share = (2.0 * of_test / (1.0 + of_test)).max(0.5);
        let across = self.near_across.len() as u64;
        let too_many = across > 0 && at_least(across, across + self.near_learned, share) < NEAR_COPY_ALARM_RATE;
        let rows = self.near_across.iter().filter(|_| too_many).map(|&row| shown(table, row));
        rule("near_copy_in_two_windows", test, rows)
    }
}

/// Returns the probability that at least `hits` of `draws` succeed, each with the probability `share`.
fn at_least(hits: u64, draws: u64, share: f64) -> f64 {
    let mut log = draws as f64 * share.ln();
    let mut sum = log.exp();
    for hit in (hits..draws).rev() {
        log += ((hit + 1) as f64 / (draws - hit) as f64 * (1.0 - share) / share).ln();
        sum += log.exp();
    }
    sum
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Window {
    Train,
    Validation,
    Test,
}

#[derive(Debug, Clone, Copy)]
struct HashedRow {
    halves: [u32; 2],
    row: u32,
    window: Window,
}

/// Reads the columns of a row: the features, then the entities.
struct Content<'a> {
    table: &'a Table,
    /// The half that each column belongs to.
    half_of: Vec<usize>,
}

impl<'a> Content<'a> {
    /// The number of rows by which columns are divided into halves.
    const LOOKED_AT: usize = 1_000;

    /// Deals the columns to the halves by the number of their values, so that each half tells most rows apart.
    fn new(table: &'a Table, assignment: &Assignment) -> Self {
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

    fn bits(&self, row: usize, column: usize) -> u32 {
        match column.checked_sub(self.table.features.width()) {
            None => self.table.features.value(row, column).to_bits(),
            Some(entity) => self.table.entities[entity].ids[row],
        }
    }

    /// Hashes a value of a column. A row's hash is a sum of these, so that a column can be taken out of it.
    fn mixed(column: usize, bits: u32) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (u64::from(bits) | ((column as u64 + 1) << 32)).wrapping_mul(ODD);
        (mixed ^ (mixed >> 29)).wrapping_mul(ODD)
    }

    fn hashed(&self, row: usize, window: Window) -> HashedRow {
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
    fn equal(&self, a: u32, b: u32, but: Option<usize>) -> bool {
        let (a, b) = (a as usize, b as usize);
        let mut columns = (0..self.half_of.len()).filter(|&column| Some(column) != but);
        self.table.label[a] == self.table.label[b] && columns.all(|column| self.bits(a, column) == self.bits(b, column))
    }

    /// Finds the rows with the same content among rows with the same hashes.
    fn same(&self, rows: &[HashedRow], times: TimesMatter, found: &mut Repeats) {
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
                found.across.extend(alike.iter().filter(|of| of.window != alike[0].window).map(number));
            }
            rows.retain(|of| of.window == Window::Test);
            rows.sort_unstable_by_key(|of| (at(of, times.within), of.row));
            for alike in rows.chunk_by(|a, b| at(a, times.within) == at(b, times.within)) {
                found.within.extend(alike.iter().skip(1).map(number));
            }
        }
    }

    /// Finds the rows that are equal but for one column of `half`, among rows that are equal in the other half.
    fn near(&self, rows: &[HashedRow], half: usize, found: &mut Repeats) {
        let columns: Vec<usize> = (0..self.half_of.len()).filter(|&column| self.half_of[column] == half).collect();
        let mixed = |of: &HashedRow, column: usize| Self::mixed(column, self.bits(of.row as usize, column));
        let sum = |of: &HashedRow| columns.iter().fold(0_u64, |sum, &column| sum.wrapping_add(mixed(of, column)));
        let sums: Vec<u64> = rows.iter().map(sum).collect();
        let mut others: Vec<(u64, Window, u32)> = Vec::with_capacity(rows.len());
        for &column in &columns {
            others.clear();
            let without = |(of, sum): (&HashedRow, &u64)| (sum.wrapping_sub(mixed(of, column)), of.window, of.row);
            others.extend(rows.iter().zip(&sums).map(without));
            others.sort_unstable();
            for alike in others.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
                self.near_in(alike, column, found);
            }
        }
    }

    /// Counts the group of rows that are equal but for `column`. The rows of the test window come last.
    fn near_in(&self, alike: &[(u64, Window, u32)], column: usize, found: &mut Repeats) {
        let first = alike[0].2;
        let alike = || alike.iter().filter(|(.., row)| self.equal(first, *row, Some(column)));
        let is_other =
            |&&(.., row): &&(u64, Window, u32)| self.bits(row as usize, column) != self.bits(first as usize, column);
        let is_test = |&&(_, window, _): &&(u64, Window, u32)| window == Window::Test;
        if alike().filter(is_other).any(|of| !is_test(&of)) {
            found.near_learned += 1;
        }
        let has_learned = alike().any(|of| !is_test(&of));
        if let Some(&(.., row)) = alike().find(is_test)
            && has_learned
            && alike().any(|of| is_other(&of))
        {
            found.near_across.push(row as usize);
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

    #[test]
    fn copies_with_one_value_changed_are_found_in_every_column() {
        let table = with_copies(2_000, 24);
        let found = Repeats::find(&table, &halves(2_000), NO_TIMES);
        assert_eq!(found.near_across, (1_000..1_024).collect::<Vec<_>>());
        assert_eq!((found.near_learned, found.near(&table).violations), (0, 24));
        assert_eq!(found.near(&table).witnesses.len(), 10);
        let few = with_copies(2_000, 5);
        assert_eq!(Repeats::find(&few, &halves(2_000), NO_TIMES).near(&few).violations, 0, "five may be chance");
    }

    /// Two columns of eight values: every row is the copy of many, in every window.
    #[test]
    fn data_that_repeats_itself_by_nature_is_no_leak() {
        for (rows, learned) in [(400, 40), (400, 200), (400, 360), (60, 30)] {
            let mut random = ChaCha8Rng::seed_from_u64(2);
            let values: Vec<f32> = (0..2 * rows).map(|_| f32::from(random.random_range(0..8_u8))).collect();
            let table = table(2, &values, &[]);
            let assignment = Assignment { train: (0..learned).collect(), test: (learned..rows).collect(), ..halves(0) };
            let found = Repeats::find(&table, &assignment, NO_TIMES);
            assert!(!found.near_across.is_empty());
            assert_eq!(found.near(&table).violations, 0, "{learned} of {rows}");
        }
    }

    #[test]
    fn the_binomial_tail_is_that_of_a_table() {
        // scipy.stats.binom.sf(hits - 1, draws, share)
        let known = [
            (1, 1, 0.5, 0.5),
            (8, 10, 0.5, 0.054_687_5),
            (14, 14, 0.5, 6.103_515_625e-5),
            (60, 100, 0.5, 0.028_443_966_820_490_392),
        ];
        for (hits, draws, share, expected) in known {
            assert!((at_least(hits, draws, share) / expected - 1.0).abs() < 1e-9, "{hits} of {draws}");
        }
        assert!(at_least(500_000, 1_000_000, 0.5) > 0.5, "no underflow");
    }
}
