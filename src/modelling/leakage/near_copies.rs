//! Checks the rule that no row of the test window is a copy of a learned row with one value changed.
//!
//! Candidates are rows that are equal in one half of their columns. One hash for each column of the other half, of all
//! others of that half, finds those that differ in this column only.
//!
//! Guarantees: time is bounded, however many rows share a half. Where there are more candidates than fit into the
//! bound, a sample of them is compared that does not depend on windows, and the rule says how many rows it checked.

use super::content::{Content, HashedRow, Window};
use super::rows::{rule, shown};
use crate::domain::contract::LeakageRule;
use crate::modelling::data::Table;

/// The rate of false alarms, where rows with one value changed are as likely within the learned windows as between
/// them and the test window.
const ALARM_RATE: f64 = 1e-4;

/// Upper bound on the values of candidates that are compared in each half: about a tenth of a second.
const MOST_VALUES: usize = 2 << 20;

/// The largest number of rows that are copies of each other but for one value. More of them are alike by nature.
const MOST_ALIKE: usize = 4;

/// Groups of rows that are equal but for one column. No row is in two groups, so that groups say independently of each
/// other whether they lie across the windows.
#[derive(Debug, Default)]
pub(super) struct NearCopies {
    /// Groups with rows in learned windows and in the test window. A group stands here by its first row of the test
    /// window.
    across: Vec<usize>,
    /// The number of groups with two such rows in the learned windows.
    learned: u64,
    /// Whether a row is in a group, by row number.
    grouped: Vec<bool>,
    /// Rows of the test window whose candidates did not fit into the bound.
    unchecked: Vec<u32>,
}

impl NearCopies {
    pub(super) fn among(rows: usize) -> Self {
        Self { grouped: vec![false; rows], ..Self::default() }
    }

    /// Begins to look for rows that differ in one column of `half`.
    pub(super) fn search<'a>(&'a mut self, content: &'a Content<'a>, half: usize) -> Search<'a> {
        self.search_within(content, half, MOST_VALUES)
    }

    fn search_within<'a>(&'a mut self, content: &'a Content<'a>, half: usize, values_left: usize) -> Search<'a> {
        Search { content, columns: content.columns_of(half), found: self, values_left }
    }

    /// Judges the groups. `compared` holds the numbers of rows in the learned windows and in the test window.
    ///
    /// Some data has such rows by nature. It has them within the learned windows as well, so these say how many are
    /// natural. The rule is violated if a binomial draw with the largest natural share of groups across would give as
    /// many only at [`ALARM_RATE`].
    pub(super) fn rule(&self, table: &Table, (learned, test): (usize, usize)) -> LeakageRule {
        let share = natural_share(test as f64 / (learned + test).max(1) as f64);
        let across = self.across.len() as u64;
        let too_many = across > 0 && at_least(across, across + self.learned, share) < ALARM_RATE;
        let mut rows: Vec<usize> = self.across.iter().copied().filter(|_| too_many).collect();
        rows.sort_unstable();
        let mut unchecked = self.unchecked.clone();
        unchecked.sort_unstable();
        unchecked.dedup();
        rule("near_copy_in_two_windows", test - unchecked.len(), rows.into_iter().map(|row| shown(table, row)))
    }
}

/// Returns an upper bound on the share of groups across, among groups across and groups within the learned windows, if
/// a row is of the test window with the probability `test` whatever its group. A group of `n` rows lies across unless
/// all are learned or none is. It is least often within the learned windows if one row has another value than the rest.
fn natural_share(test: f64) -> f64 {
    let share = |rows: i32| {
        let across = 1.0 - test.powi(rows) - (1.0 - test).powi(rows);
        let learned = (1.0 - test) * (1.0 - test.powi(rows - 1));
        across / (across + learned)
    };
    (2..=MOST_ALIKE as i32).map(share).fold(0.0, f64::max)
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

/// Looks through the rows that share one half for rows that differ in one column of the other.
pub(super) struct Search<'a> {
    content: &'a Content<'a>,
    /// The columns of the other half.
    columns: Vec<usize>,
    found: &'a mut NearCopies,
    values_left: usize,
}

impl Search<'_> {
    /// Looks through all rows that are equal in one half.
    pub(super) fn look(&mut self, rows: &[HashedRow]) {
        let values = rows.len() * self.columns.len();
        if values > self.values_left {
            let test = rows.iter().filter(|of| of.window == Window::Test);
            self.found.unchecked.extend(test.map(|of| of.row));
            return;
        }
        self.values_left -= values;
        let content = self.content;
        let mixed = |of: &HashedRow, column: usize| Content::mixed(column, content.bits(of.row as usize, column));
        let sum = |of: &HashedRow| self.columns.iter().fold(0_u64, |sum, &column| sum.wrapping_add(mixed(of, column)));
        let sums: Vec<u64> = rows.iter().map(sum).collect();
        let mut others: Vec<(u64, u32)> = Vec::with_capacity(rows.len());
        for &column in &self.columns {
            others.clear();
            let without = |(at, of): (usize, &HashedRow)| (sums[at].wrapping_sub(mixed(of, column)), at as u32);
            others.extend(rows.iter().enumerate().map(without));
            others.sort_unstable();
            for alike in others.chunk_by(|a, b| a.0 == b.0).filter(|alike| alike.len() > 1) {
                let alike: Vec<&HashedRow> =
                    alike.iter().take(MOST_ALIKE + 1).map(|&(_, at)| &rows[at as usize]).collect();
                self.found.add(content, &alike, column);
            }
        }
    }
}

impl NearCopies {
    /// Counts a group of rows that are equal but for `column`. Which rows make a group does not depend on windows.
    fn add(&mut self, content: &Content<'_>, alike: &[&HashedRow], column: usize) {
        let first = alike[0].row;
        let value = |of: &HashedRow| content.bits(of.row as usize, column);
        let is_group = alike.len() <= MOST_ALIKE
            && alike.iter().all(|of| content.equal(first, of.row, Some(column)) && !self.grouped[of.row as usize])
            && alike.iter().any(|of| value(of) != value(alike[0]));
        if !is_group {
            return;
        }
        for of in alike {
            self.grouped[of.row as usize] = true;
        }
        let (test, learned): (Vec<&HashedRow>, Vec<&HashedRow>) =
            alike.iter().copied().partition(|of| of.window == Window::Test);
        if learned.iter().any(|of| value(of) != value(learned[0])) {
            self.learned += 1;
        }
        if let (Some(row), false) = (test.iter().map(|of| of.row).min(), learned.is_empty()) {
            self.across.push(row as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::{Repeats, TimesMatter};
    use super::*;
    use crate::modelling::data::{Assignment, Features, RowIds};
    use rand::{RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    const NO_TIMES: TimesMatter = TimesMatter { across: false, within: false };

    fn table(width: usize, values: Vec<f32>) -> Table {
        let rows = values.len() / width;
        Table {
            row_id: RowIds::Texts((0..rows).map(|row| format!("row {row}")).collect()),
            ..Table::of_good(rows, Features::new(width, values, vec![None; width]))
        }
    }

    fn divided(rows: usize, learned: usize) -> Assignment {
        Assignment { train: (0..learned).collect(), test: (learned..rows).collect(), ..Assignment::default() }
    }

    fn found(table: &Table, assignment: &Assignment) -> LeakageRule {
        Repeats::find(table, assignment, NO_TIMES).near(table)
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
        table(6, values)
    }

    #[test]
    fn copies_with_one_value_changed_are_found_in_every_column() {
        let halves = divided(2_000, 1_000);
        let rule = found(&with_copies(2_000, 24), &halves);
        assert_eq!((rule.violations, rule.checked, rule.witnesses.len()), (24, 1_000, 10));
        assert_eq!((rule.witnesses[0].as_str(), rule.witnesses[9].as_str()), ("row 1000", "row 1009"));
        assert_eq!(found(&with_copies(2_000, 5), &halves).violations, 0, "five may be chance");
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
            let mut value = || if random.random::<f32>() < share { random.random_range(0..values) } else { 0 };
            let table = table(width, (0..width * rows).map(|_| f32::from(value() as u8)).collect());
            let rule = found(&table, &divided(rows, learned));
            assert_eq!(rule.violations, 0, "{width} columns, {learned} of {rows} rows, {share}");
        }
    }

    #[test]
    fn no_group_lies_across_more_often_than_the_natural_share_says() {
        /// Of all ways to deal rows with these values to the windows: the share across, and within the learned ones.
        fn shares(values: &[u8], test: f64) -> (f64, f64) {
            let (mut across, mut learned) = (0.0, 0.0);
            for dealt in 0..1_u32 << values.len() {
                let of_test = |row: usize| dealt >> row & 1 == 1;
                let probability: f64 =
                    (0..values.len()).map(|row| if of_test(row) { test } else { 1.0 - test }).product();
                let kept: Vec<u8> = (0..values.len()).filter(|&row| !of_test(row)).map(|row| values[row]).collect();
                across += if (1..values.len()).contains(&kept.len()) { probability } else { 0.0 };
                learned += if kept.iter().any(|value| *value != kept[0]) { probability } else { 0.0 };
            }
            (across, learned)
        }
        let groups: [&[u8]; 7] =
            [&[0, 1], &[0, 1, 1], &[0, 1, 2], &[0, 1, 1, 1], &[0, 0, 1, 1], &[0, 0, 1, 2], &[0, 1, 2, 3]];
        for test in [0.01, 0.2, 0.5, 0.9] {
            let found = groups.map(|values| shares(values, test)).map(|(across, learned)| across / (across + learned));
            let most = found.into_iter().fold(0.0, f64::max);
            assert!((natural_share(test) - most).abs() < 1e-12, "{test}: {most} {}", natural_share(test));
        }
    }

    #[test]
    fn candidates_beyond_the_bound_are_not_compared_and_their_rows_do_not_count_as_checked() {
        let (table, halves) = (with_copies(2_000, 24), divided(2_000, 1_000));
        let content = Content::new(&table, &halves);
        let hashed = |row: usize| content.hashed(row, if row < 1_000 { Window::Train } else { Window::Test });
        let mut near = NearCopies::among(2_000);
        for half in [0, 1] {
            // Two rows, three columns: three pairs fit.
            let mut search = near.search_within(&content, half, 18);
            (0..24).for_each(|copy| search.look(&[hashed(copy), hashed(1_000 + copy)]));
        }
        assert_eq!((near.across.len(), near.rule(&table, (1_000, 1_000)).checked), (3, 1_000 - 21));
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
