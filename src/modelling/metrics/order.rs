//! Sorts the test window once by one model's scores, and counts how many frauds and good payments have each score.
//! A row with a weight counts as so many payments.
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
    /// How many payments each row stands for, above 0. `None` if each row is one payment.
    pub weights: Option<&'a [f32]>,
    /// The amount of each payment. `None` if there is no amount column.
    pub amounts: Option<&'a [f64]>,
}

pub(super) const ONE_CLASS: &str = "there is only one class";
pub(super) const NO_FRAUDS: &str = "there are no frauds";
pub(super) const NO_ROWS: &str = "there are no rows";

pub fn defined(value: f64) -> MetricValue {
    MetricValue { value: Some(value), undefined_because: None, interval: None, no_interval_because: None }
}

pub fn undefined(why: impl Into<String>) -> MetricValue {
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
    /// The weights in the order of `rows`. `None` if each row is one payment.
    weights: Option<Vec<f32>>,
}

/// A row of the sorted window.
#[derive(Debug, Clone, Copy)]
pub(super) struct RankedRow {
    pub(super) row: u32,
    /// Index of the row's level.
    pub(super) level: usize,
    pub(super) fraud: bool,
    pub(super) weight: f64,
}

impl RankedScores {
    pub(super) fn new(scored: &ScoredRows<'_>) -> Self {
        let mut sorted: Vec<(f64, u32)> = scored.scores.iter().copied().zip(0..).collect();
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
        let labels = rows.iter().map(|&row| scored.labels[row as usize]).collect();
        let weights = scored.weights.map(|weights| rows.iter().map(|&row| weights[row as usize]).collect());
        Self { levels, ends, rows, labels, weights }
    }

    /// Whether both put the rows in the same order, with the same ties.
    pub(super) fn orders_as(&self, other: &Self) -> bool {
        self.rows == other.rows && self.ends == other.ends
    }

    pub(super) fn rows(&self) -> &[u32] {
        &self.rows
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.levels
    }

    pub(super) fn is_weighted(&self) -> bool {
        self.weights.is_some()
    }

    pub(super) fn counts(&self) -> ScoreCounts<'_> {
        let (frauds, good) = self.sums(|weight| weight);
        ScoreCounts::over(&self.levels, frauds, good)
    }

    /// Returns the sums of the squared weights of frauds and of good payments, for each level. `None` if each row is one
    /// payment: the sums are then the counts.
    pub(super) fn squares(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        self.is_weighted().then(|| self.sums(|weight| weight * weight))
    }

    fn sums(&self, of: impl Fn(f64) -> f64) -> (Vec<f64>, Vec<f64>) {
        let (mut frauds, mut good) = (vec![0.0; self.levels.len()], vec![0.0; self.levels.len()]);
        self.each_row(|row| {
            let sums = if row.fraud { &mut frauds } else { &mut good };
            sums[row.level] += of(row.weight);
        });
        (frauds, good)
    }

    /// Calls `visit` for every row from the highest score down.
    pub(super) fn each_row(&self, mut visit: impl FnMut(RankedRow)) {
        let mut start = 0;
        for (level, &end) in self.ends.iter().enumerate() {
            for position in start..end {
                let weight = self.weights.as_ref().map_or(1.0, |weights| f64::from(weights[position]));
                visit(RankedRow { row: self.rows[position], level, fraud: self.labels[position], weight });
            }
            start = end;
        }
    }
}

/// The numbers of frauds and of good payments at each distinct score. Where rows have weights, the numbers of payments
/// that the rows stand for; otherwise whole numbers, whose sums are exact.
pub(super) struct ScoreCounts<'a> {
    levels: &'a [Level],
    frauds: Vec<f64>,
    good: Vec<f64>,
    total_frauds: f64,
    total_good: f64,
}

/// A level with its counts.
#[derive(Clone, Copy)]
pub(super) struct LevelCounts {
    pub(super) level: Level,
    pub(super) frauds: f64,
    pub(super) good: f64,
}

impl<'a> ScoreCounts<'a> {
    pub(super) fn over(levels: &'a [Level], frauds: Vec<f64>, good: Vec<f64>) -> Self {
        let (total_frauds, total_good) = (frauds.iter().sum(), good.iter().sum());
        Self { levels, frauds, good, total_frauds, total_good }
    }

    pub(super) fn frauds(&self) -> f64 {
        self.total_frauds
    }

    pub(super) fn good(&self) -> f64 {
        self.total_good
    }

    pub(super) fn payments(&self) -> f64 {
        self.total_frauds + self.total_good
    }

    /// Returns the levels with their counts, from the highest score down.
    pub(super) fn steps(&self) -> impl Iterator<Item = LevelCounts> {
        self.levels.iter().zip(&self.frauds).zip(&self.good).map(|((&level, &frauds), &good)| LevelCounts {
            level,
            frauds,
            good,
        })
    }

    /// Counts the frauds and the good payments whose score is at least `threshold`.
    pub(super) fn flagged(&self, threshold: f64) -> (f64, f64) {
        let above = self.levels.partition_point(|level| level.score >= threshold);
        let sum = |counts: &[f64]| counts[..above].iter().sum();
        (sum(&self.frauds), sum(&self.good))
    }
}
