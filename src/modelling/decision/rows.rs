//! The rows of a window with all that a decision depends on, and what follows from them at each score.

use crate::domain::contract::{DecisionWindow, TimeWindow};

/// All slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct DecisionRows<'a> {
    /// The probability of fraud of each payment, 0 to 1.
    pub scores: &'a [f64],
    pub labels: &'a [bool],
    /// `None` if the data has no amount column.
    pub amounts: Option<&'a [f64]>,
    /// Event times in microseconds since 1970, and the window that they lie in. `None` if rows are split at random.
    pub times: Option<(&'a [i64], TimeWindow)>,
    /// The entity of each payment, by which intervals are computed. `None` takes each payment by itself.
    pub clusters: Option<&'a [u32]>,
}

/// The payments that are flagged if a score is the threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct ScoreStep {
    pub(super) score: f64,
    /// Number of rows with exactly this score.
    pub(super) rows: u64,
    pub(super) alerts: u64,
    /// Number of frauds among the alerts.
    pub(super) hits: u64,
    /// Summed amount of the hits, 0 without an amount column.
    pub(super) hit_amount: f64,
}

const DAY_MICROS: i64 = 86_400_000_000;

impl DecisionRows<'_> {
    pub(super) fn summary(&self) -> DecisionWindow {
        DecisionWindow {
            rows: self.labels.len() as u64,
            positives: self.frauds(),
            days: self.days(),
            amount: self.amounts.map(|amounts| amounts.iter().sum()),
            fraud_amount: self.amounts.map(|_| self.amount_of(|row| self.labels[row])),
        }
    }

    pub(super) fn frauds(&self) -> u64 {
        self.labels.iter().filter(|label| **label).count() as u64
    }

    pub(super) fn good(&self) -> u64 {
        self.labels.len() as u64 - self.frauds()
    }

    /// Returns the length of the window in days of 24 hours.
    pub(super) fn days(&self) -> Option<f64> {
        let (_, window) = self.times?;
        Some((window.end - window.start).num_microseconds()? as f64 / DAY_MICROS as f64)
    }

    /// Sums a value of each row over each day of 24 hours since the start of the window. The last day may be shorter.
    pub(super) fn by_day(&self, value: impl Fn(usize) -> f64) -> Option<Vec<f64>> {
        let (at, window) = self.times?;
        let mut days = vec![0.0; self.days()?.ceil() as usize];
        let start = window.start.timestamp_micros();
        for (row, at) in at.iter().enumerate() {
            if let Some(day) = days.get_mut(((at - start) / DAY_MICROS) as usize) {
                *day += value(row);
            }
        }
        Some(days)
    }

    /// Sums the amounts of chosen rows. 0 without an amount column.
    pub(super) fn amount_of(&self, is_chosen: impl Fn(usize) -> bool) -> f64 {
        let amounts = self.amounts.unwrap_or_default().iter().enumerate();
        amounts.filter(|(row, _)| is_chosen(*row)).map(|(_, amount)| amount).sum()
    }

    /// Returns a step for each score, from the highest down.
    pub(super) fn steps(&self) -> Vec<ScoreStep> {
        let mut order: Vec<usize> = (0..self.scores.len()).collect();
        // Rows with equal scores keep the order of the data, so that sums do not depend on the sort algorithm.
        order.sort_by(|&a, &b| self.scores[b].total_cmp(&self.scores[a]));
        let mut steps: Vec<ScoreStep> = Vec::new();
        for row in order {
            let score = self.scores[row];
            let mut step = match steps.last() {
                #[expect(clippy::float_cmp, reason = "a tie is equality")]
                Some(last) if last.score == score => *last,
                Some(last) => ScoreStep { score, rows: 0, ..*last },
                None => ScoreStep { score, rows: 0, alerts: 0, hits: 0, hit_amount: 0.0 },
            };
            if step.rows > 0 {
                steps.pop();
            }
            step.rows += 1;
            step.alerts += 1;
            if self.labels[row] {
                step.hits += 1;
                step.hit_amount += self.amounts.map_or(0.0, |amounts| amounts[row]);
            }
            steps.push(step);
        }
        steps
    }
}
