//! What comes of flagging every payment from a score on. Zero divided by zero is undefined, where
//! scikit-learn would warn and put 0.

use super::NO_FRAUDS;
use super::order::Counts;
use crate::domain::contract::{Confusion, MetricValue};

impl Confusion {
    pub(super) fn at(counts: &Counts<'_>, threshold: f64) -> Self {
        let (true_positives, false_positives) = counts.flagged(threshold);
        Self {
            threshold,
            true_positives,
            false_positives,
            true_negatives: counts.good() - false_positives,
            false_negatives: counts.frauds() - true_positives,
        }
    }

    /// Share of frauds among the flagged.
    pub(super) fn precision(&self) -> MetricValue {
        share(self.true_positives, self.true_positives + self.false_positives, "no payment is flagged")
    }

    /// Share of the frauds that are flagged.
    pub(super) fn recall(&self) -> MetricValue {
        share(self.true_positives, self.true_positives + self.false_negatives, NO_FRAUDS)
    }

    /// Harmonic mean of precision and recall.
    pub(super) fn f1(&self) -> MetricValue {
        let wrong = self.false_positives + self.false_negatives;
        share(2 * self.true_positives, 2 * self.true_positives + wrong, "there are no frauds and none is flagged")
    }
}

fn share(part: u64, whole: u64, otherwise: &str) -> MetricValue {
    if whole == 0 { MetricValue::undefined(otherwise) } else { MetricValue::defined(part as f64 / whole as f64) }
}
