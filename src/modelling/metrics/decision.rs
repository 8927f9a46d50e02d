//! What comes of flagging every payment from a score on. Zero divided by zero is undefined, where
//! scikit-learn would warn and put 0.

use super::order::Counts;
use super::{Metric, NO_FRAUDS};
use serde::{Deserialize, Serialize};

/// Counts at one threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confusion {
    /// Score from which a payment is flagged; a payment with this very score is.
    pub threshold: f64,
    /// Frauds that are flagged.
    pub true_positives: u64,
    /// Good payments that are flagged.
    pub false_positives: u64,
    /// Good payments that are not flagged.
    pub true_negatives: u64,
    /// Frauds that are not flagged.
    pub false_negatives: u64,
}

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
    pub(super) fn precision(&self) -> Metric {
        share(self.true_positives, self.true_positives + self.false_positives, "no payment is flagged")
    }

    /// Share of the frauds that are flagged.
    pub(super) fn recall(&self) -> Metric {
        share(self.true_positives, self.true_positives + self.false_negatives, NO_FRAUDS)
    }

    /// Harmonic mean of precision and recall.
    pub(super) fn f1(&self) -> Metric {
        let wrong = self.false_positives + self.false_negatives;
        share(2 * self.true_positives, 2 * self.true_positives + wrong, "there are no frauds and none is flagged")
    }
}

fn share(part: u64, whole: u64, otherwise: &str) -> Metric {
    if whole == 0 { Metric::undefined(otherwise) } else { Metric::defined(part as f64 / whole as f64) }
}
