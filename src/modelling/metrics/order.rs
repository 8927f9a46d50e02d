//! Sorts the test window once by one model's scores, and counts how many frauds and good payments have each score.
//!
//! Every metric except those per day is computed from these counts.

use crate::domain::contract::MetricValue;

/// The scores of the test window with what is needed to measure them. All slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct ScoredRows<'a> {
    /// The probability of fraud of each payment, 0 to 1.
    pub scores: &'a [f64],
    pub labels: &'a [bool],
    /// The UTC day of each payment, counted in days from 1970-01-01. Only metrics per day use this.
    pub days: &'a [i64],
    /// The card of each payment as a number, from the first entity column. `None` if there is no entity column or no
    /// event time.
    pub cards: Option<&'a [u32]>,
}

pub(super) const ONE_CLASS: &str = "there is only one class";
pub(super) const NO_FRAUDS: &str = "there are no frauds";
pub(super) const NO_ROWS: &str = "there are no rows";

pub(super) fn defined(value: f64) -> MetricValue {
    MetricValue { value: Some(value), undefined_because: None, interval: None, no_interval_because: None }
}

pub(super) fn undefined(why: impl Into<String>) -> MetricValue {
    MetricValue { value: None, undefined_because: Some(why.into()), interval: None, no_interval_because: None }
}

/// A distinct score, and the log losses of payments with this score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Level {
    pub(super) score: f64,
    /// The log loss of a fraud with this score p, `-ln p`. For a good payment, `loss_of_good` is `-ln (1 - p)`.
    pub(super) loss_of_fraud: f64,
    pub(super) loss_of_good: f64,
}

impl Level {
    /// Clips the probability to `[eps, 1 - eps]` before the losses are computed, as scikit-learn does. `eps` is
    /// `f64::EPSILON`.
    fn of(score: f64) -> Self {
        let p = score.clamp(f64::EPSILON, 1.0 - f64::EPSILON);
        Self { score, loss_of_fraud: -p.ln(), loss_of_good: -(1.0 - p).ln() }
    }
}

/// Rows sorted from the highest score down. Rows with equal scores share a level.
pub(super) struct RankedScores {
    levels: Vec<Level>,
    /// For each level, the index in `rows` just after the last row of the level.
    ends: Vec<usize>,
    /// The row numbers, from the highest score down.
    rows: Vec<u32>,
    labels: Vec<bool>,
}

impl RankedScores {
    pub(super) fn new(scores: &[f64], labels: &[bool]) -> Self {
        let mut sorted: Vec<(f64, u32)> = scores.iter().copied().zip(0..).collect();
        // Rows with equal scores keep the order of the data, so that sums over rows do not depend on the sort algorithm.
        sorted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let (mut levels, mut ends): (Vec<Level>, Vec<usize>) = (Vec::new(), Vec::new());
        for (position, &(score, _)) in sorted.iter().enumerate() {
            #[expect(clippy::float_cmp, reason = "a tie is equality")]
            if levels.last().is_none_or(|level| level.score != score) {
                levels.push(Level::of(score));
                ends.push(position);
            }
            if let Some(end) = ends.last_mut() {
                *end = position + 1;
            }
        }
        let rows: Vec<u32> = sorted.into_iter().map(|(_, row)| row).collect();
        let labels = rows.iter().map(|&row| labels[row as usize]).collect();
        Self { levels, ends, rows, labels }
    }

    /// Whether both put the rows in the same order, with the same ties.
    pub(super) fn orders_as(&self, other: &Self) -> bool {
        self.rows == other.rows && self.ends == other.ends
    }

    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub(super) fn counts(&self) -> ScoreCounts<'_> {
        let (mut frauds, mut good) = (vec![0; self.levels.len()], vec![0; self.levels.len()]);
        self.each_row(|_, level, fraud| {
            let counts = if fraud { &mut frauds } else { &mut good };
            counts[level] += 1;
        });
        ScoreCounts::over(&self.levels, frauds, good)
    }

    /// Calls `visit(row, level, label)` for every row from the highest score down.
    pub(super) fn visit(&self, mut visit: impl FnMut(u32, Level, bool)) {
        self.each_row(|row, at, label| visit(row, self.levels[at], label));
    }

    /// Calls `visit(row, index of the level, label)` for every row from the highest score down.
    pub(super) fn each_row(&self, mut visit: impl FnMut(u32, usize, bool)) {
        let mut start = 0;
        for (level, &end) in self.ends.iter().enumerate() {
            for position in start..end {
                visit(self.rows[position], level, self.labels[position]);
            }
            start = end;
        }
    }
}

/// The numbers of frauds and of good payments at each distinct score.
pub(super) struct ScoreCounts<'a> {
    levels: &'a [Level],
    frauds: Vec<u32>,
    good: Vec<u32>,
    total_frauds: u64,
    total_good: u64,
}

/// A level with its counts.
#[derive(Clone, Copy)]
pub(super) struct LevelCounts {
    pub(super) level: Level,
    pub(super) frauds: u64,
    pub(super) good: u64,
}

impl<'a> ScoreCounts<'a> {
    pub(super) fn over(levels: &'a [Level], frauds: Vec<u32>, good: Vec<u32>) -> Self {
        let total = |counts: &[u32]| counts.iter().map(|&count| u64::from(count)).sum();
        let (total_frauds, total_good) = (total(&frauds), total(&good));
        Self { levels, frauds, good, total_frauds, total_good }
    }

    pub(super) fn frauds(&self) -> u64 {
        self.total_frauds
    }

    pub(super) fn good(&self) -> u64 {
        self.total_good
    }

    pub(super) fn rows(&self) -> u64 {
        self.total_frauds + self.total_good
    }

    /// Returns the levels with their counts, from the highest score down.
    pub(super) fn steps(&self) -> impl Iterator<Item = LevelCounts> {
        self.levels.iter().zip(&self.frauds).zip(&self.good).map(|((&level, &frauds), &good)| LevelCounts {
            level,
            frauds: u64::from(frauds),
            good: u64::from(good),
        })
    }

    /// Counts the frauds and the good payments whose score is at least `threshold`.
    pub(super) fn flagged(&self, threshold: f64) -> (u64, u64) {
        let above = self.levels.partition_point(|level| level.score >= threshold);
        let sum = |counts: &[u32]| counts[..above].iter().map(|&count| u64::from(count)).sum();
        (sum(&self.frauds), sum(&self.good))
    }
}
