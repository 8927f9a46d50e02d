//! Counts and rates of flagging every payment from a score on. Zero divided by zero is undefined here;
//! scikit-learn warns and gives 0.

use super::metric::{NO_FRAUDS, defined, undefined};
use super::order::ScoreCounts;
use crate::domain::contract::{Confusion, MetricValue};

/// A payment with exactly the score `threshold` is flagged.
pub(super) fn confusion(counts: &ScoreCounts<'_>, threshold: f64) -> Confusion {
    let (true_positives, false_positives) = counts.flagged(threshold);
    Confusion {
        threshold,
        true_positives,
        false_positives,
        true_negatives: counts.good() - false_positives,
        false_negatives: counts.frauds() - true_positives,
    }
}

pub(super) fn precision(of: &Confusion) -> MetricValue {
    share(of.true_positives, of.true_positives + of.false_positives, "no payment is flagged")
}

pub(super) fn recall(of: &Confusion) -> MetricValue {
    share(of.true_positives, of.true_positives + of.false_negatives, NO_FRAUDS)
}

/// Harmonic mean of precision and recall.
pub(super) fn f1(of: &Confusion) -> MetricValue {
    let wrong = of.false_positives + of.false_negatives;
    share(2 * of.true_positives, 2 * of.true_positives + wrong, "there are no frauds and none is flagged")
}

fn share(part: u64, whole: u64, otherwise: &str) -> MetricValue {
    if whole == 0 { undefined(otherwise) } else { defined(part as f64 / whole as f64) }
}
