//! Computes metrics that read scores as probabilities: losses and calibration.

use super::order::{Level, NO_ROWS, ScoreCounts, defined, undefined};
use crate::domain::contract::{CalibrationBin, MetricValue};

/// Returns the mean over rows of `-ln p`, where p is the probability that the score gives to the row's label.
pub(super) fn log_loss(counts: &ScoreCounts<'_>) -> MetricValue {
    mean(counts, |level, frauds, good| frauds * level.loss_of_fraud + good * level.loss_of_good)
}

/// Returns the mean over rows of the squared distance between score and label. The label is 1 for a fraud, otherwise 0.
pub(super) fn brier_score(counts: &ScoreCounts<'_>) -> MetricValue {
    mean(counts, |level, frauds, good| {
        let (miss, alarm) = (1.0 - level.score, level.score);
        frauds * miss * miss + good * alarm * alarm
    })
}

fn mean(counts: &ScoreCounts<'_>, of: impl Fn(Level, f64, f64) -> f64) -> MetricValue {
    if counts.payments() == 0.0 {
        return undefined(NO_ROWS);
    }
    let sum: f64 = counts.steps().map(|step| of(step.level, step.frauds, step.good)).sum();
    defined(sum / counts.payments())
}

/// Returns the lower border of the bin with number `bin`, of `bins` bins of equal width between 0 and 1. The result
/// equals `numpy.linspace` bit for bit.
pub(super) fn border(bin: u32, bins: u32) -> f64 {
    if bin == bins { 1.0 } else { f64::from(bin) * (1.0 / f64::from(bins)) }
}

/// Returns the bins of equal width that hold rows, ascending. A score on a border belongs to the lower bin, as in
/// scikit-learn's `calibration_curve` with `strategy="uniform"`.
pub(super) fn calibration(counts: &ScoreCounts<'_>, bins: u32) -> Vec<CalibrationBin> {
    let mut found: Vec<(u32, f64, f64, f64)> = Vec::new();
    let mut bin = bins.saturating_sub(1);
    for step in counts.steps() {
        while bin > 0 && step.level.score <= border(bin, bins) {
            bin -= 1;
        }
        let payments = step.frauds + step.good;
        if payments == 0.0 {
            continue;
        }
        if found.last().is_none_or(|last| last.0 != bin) {
            found.push((bin, 0.0, 0.0, 0.0));
        }
        if let Some((_, total, frauds, sum)) = found.last_mut() {
            *total += payments;
            *frauds += step.frauds;
            *sum += payments * step.level.score;
        }
    }
    let bin = |&(bin, rows, frauds, sum): &(u32, f64, f64, f64)| CalibrationBin {
        low: border(bin, bins),
        high: border(bin + 1, bins),
        rows,
        mean_score: sum / rows,
        fraud_rate: frauds / rows,
    };
    found.iter().rev().map(bin).collect()
}

/// Returns the mean over rows of the distance between the mean score and the fraud rate of the row's bin.
///
/// Definition: Naeini, Cooper, Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015,
/// over bins of equal width as in Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
pub(super) fn expected_calibration_error(counts: &ScoreCounts<'_>, bins: u32) -> MetricValue {
    if counts.payments() == 0.0 {
        return undefined(NO_ROWS);
    }
    let distance = |bin: &CalibrationBin| bin.rows * (bin.mean_score - bin.fraud_rate).abs();
    let sum: f64 = calibration(counts, bins).iter().map(distance).sum();
    defined(sum / counts.payments())
}
