//! Computes metrics of the order of scores, and metrics at a threshold. A payment is flagged if its score reaches the
//! threshold. Equal scores count together, so that the order within a tie does not matter. Zero divided by zero is
//! undefined. In that case scikit-learn warns and returns 0.

use super::order::{NO_FRAUDS, ONE_CLASS, ScoreCounts, defined, undefined};
use crate::domain::contract::{Confusion, MetricValue};

fn has_both(counts: &ScoreCounts<'_>) -> bool {
    counts.frauds() > 0.0 && counts.good() > 0.0
}

/// Returns the area under the ROC curve: the probability that a fraud scores above a good payment, where ties count
/// half.
pub(super) fn auc_roc(counts: &ScoreCounts<'_>) -> MetricValue {
    if !has_both(counts) {
        return undefined(ONE_CLASS);
    }
    // Twice the area, counted in pairs. Without weights it is a whole number far below 2^53, so that the sum is exact.
    let (mut above, mut doubled) = (0.0, 0.0);
    for step in counts.steps() {
        doubled += step.good * (2.0 * above + step.frauds);
        above += step.frauds;
    }
    defined(doubled / (2.0 * counts.frauds() * counts.good()))
}

/// Returns the sum over thresholds, from the highest down, of the precision times the increase in recall. Undefined
/// without frauds.
pub(super) fn average_precision(counts: &ScoreCounts<'_>) -> MetricValue {
    if counts.frauds() == 0.0 {
        return undefined(NO_FRAUDS);
    }
    let (mut hits, mut payments, mut sum) = (0.0, 0.0, 0.0);
    for step in counts.steps() {
        hits += step.frauds;
        payments += step.frauds + step.good;
        if step.frauds > 0.0 {
            sum += (step.frauds / counts.frauds()) * (hits / payments);
        }
    }
    defined(sum)
}

/// Returns the Kolmogorov–Smirnov statistic: the largest distance, in either direction, between the cumulative
/// distributions of the scores of frauds and of good payments (`scipy.stats.ks_2samp`).
pub(super) fn ks_statistic(counts: &ScoreCounts<'_>) -> MetricValue {
    if !has_both(counts) {
        return undefined(ONE_CLASS);
    }
    let rates = rates(counts);
    defined(rates.map(|(alarms, recall)| (recall - alarms).abs()).fold(0.0, f64::max))
}

/// Returns the largest recall of all thresholds that flag at most the share `rate` of the good payments. 0 if no
/// threshold does. Does not interpolate between scores.
pub(super) fn recall_at_fpr(counts: &ScoreCounts<'_>, rate: f64) -> MetricValue {
    if !has_both(counts) {
        return undefined(ONE_CLASS);
    }
    defined(rates(counts).take_while(|(alarms, _)| *alarms <= rate).last().map_or(0.0, |(_, recall)| recall))
}

/// Returns the false and the true positive rate with each score as threshold, from the highest score down.
fn rates(counts: &ScoreCounts<'_>) -> impl Iterator<Item = (f64, f64)> {
    let totals = (counts.good(), counts.frauds());
    counts.steps().scan((0.0, 0.0), move |(alarms, hits), step| {
        *alarms += step.good;
        *hits += step.frauds;
        Some((*alarms / totals.0, *hits / totals.1))
    })
}

/// Returns the share of frauds among the `k` payments with the highest scores. If a tie, or a row that stands for several
/// payments, crosses rank `k`, its payments count with the tie's fraud rate. Undefined for fewer than `k` payments.
pub(super) fn precision_at(counts: &ScoreCounts<'_>, k: u32) -> MetricValue {
    hits_at(counts, k).map_or_else(undefined, |hits| defined(hits / f64::from(k)))
}

/// Returns the share of all frauds that are among the `k` payments with the highest scores. Undefined without frauds or
/// for fewer than `k` payments.
pub(super) fn recall_at(counts: &ScoreCounts<'_>, k: u32) -> MetricValue {
    if counts.frauds() == 0.0 {
        return undefined(NO_FRAUDS);
    }
    hits_at(counts, k).map_or_else(undefined, |hits| defined(hits / counts.frauds()))
}

fn hits_at(counts: &ScoreCounts<'_>, k: u32) -> Result<f64, String> {
    let mut left = f64::from(k);
    let mut hits = 0.0;
    for step in counts.steps() {
        let payments = step.frauds + step.good;
        if payments >= left {
            return Ok(hits + step.frauds * left / payments);
        }
        hits += step.frauds;
        left -= payments;
    }
    Err(format!("there are fewer than {k} rows"))
}

/// Counts hits and errors at a threshold. A payment whose score equals the threshold is flagged.
pub(super) fn confusion(counts: &ScoreCounts<'_>, threshold: f64) -> Confusion {
    let (true_positives, false_positives) = counts.flagged(threshold);
    Confusion {
        threshold,
        true_positives,
        false_positives,
        // A difference of sums of weights may fall below 0 by a rounding error.
        true_negatives: (counts.good() - false_positives).max(0.0),
        false_negatives: (counts.frauds() - true_positives).max(0.0),
    }
}

pub(super) fn precision(of: &Confusion) -> MetricValue {
    share(of.true_positives, of.true_positives + of.false_positives, "no payment is flagged")
}

pub(super) fn recall(of: &Confusion) -> MetricValue {
    share(of.true_positives, of.true_positives + of.false_negatives, NO_FRAUDS)
}

/// Returns the share of the good payments that are flagged.
pub(super) fn false_positive_rate(of: &Confusion) -> MetricValue {
    share(of.false_positives, of.false_positives + of.true_negatives, "there are no good payments")
}

/// Returns the harmonic mean of precision and recall.
pub(super) fn f1(of: &Confusion) -> MetricValue {
    let wrong = of.false_positives + of.false_negatives;
    share(2.0 * of.true_positives, 2.0 * of.true_positives + wrong, "there are no frauds and none is flagged")
}

fn share(part: f64, whole: f64, otherwise: &str) -> MetricValue {
    if whole == 0.0 { undefined(otherwise) } else { defined(part / whole) }
}
