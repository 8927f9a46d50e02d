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
    use super::*;
    use crate::modelling::data::{Assignment, Features};

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
        // Rows 4 to 7 are copies of rows 0 to 3. Each differs in another column.
        let value = |row: usize, column: usize| {
            (10 * (row % 4) + column) as f32 + if row >= 4 && column == row % 4 { 0.5 } else { 0.0 }
        };
        let values = (0..8).flat_map(|row| (0..6).map(move |column| value(row, column))).collect();
        let table = Table::of_good(8, Features::new(6, values, vec![None; 6]));
        let divided = Assignment { train: (0..4).collect(), test: (4..8).collect(), ..Assignment::default() };
        let content = Content::new(&table, &divided);
        let hashed = |row: usize| content.hashed(row, if row < 4 { Window::Train } else { Window::Test });
        let found = |values: usize| {
            let mut near = NearCopies::among(8);
            for half in [0, 1] {
                let mut search = near.search_within(&content, half, values);
                (0..4).for_each(|row| search.look(&[hashed(row), hashed(4 + row)]));
            }
            (near.across.len(), near.rule(&table, (4, 4)).checked)
        };
        // A pair of rows has six values in each half.
        assert_eq!(found(24), (4, 4));
        assert_eq!(found(23), (3, 3));
        assert_eq!(found(5), (0, 0));
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
