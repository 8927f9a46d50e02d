//! Computes curves with a bounded number of points, for drawing.

use super::order::ScoreCounts;
use super::probability::{border, calibration};
use crate::domain::contract::{Curves, EvaluationSpec, HistogramBin, PrecisionRecallPoint, RocPoint};

pub(super) fn curves(counts: &ScoreCounts<'_>, spec: &EvaluationSpec) -> Curves {
    Curves {
        roc: roc(counts, spec.curve_points),
        precision_recall: precision_recall(counts, spec.curve_points),
        calibration: calibration(counts, spec.calibration_bins),
        score_histogram: histogram(counts, spec.histogram_bins),
    }
}

fn roc(counts: &ScoreCounts<'_>, at_most: u32) -> Vec<RocPoint> {
    let (frauds, good) = (counts.frauds(), counts.good());
    if frauds == 0.0 || good == 0.0 {
        return Vec::new();
    }
    let points = flagged(counts).map(|(threshold, hits, alarms)| RocPoint {
        false_positive_rate: alarms / good,
        true_positive_rate: hits / frauds,
        threshold,
    });
    thin(points.collect(), at_most, |point| (point.false_positive_rate, point.true_positive_rate))
}

fn precision_recall(counts: &ScoreCounts<'_>, at_most: u32) -> Vec<PrecisionRecallPoint> {
    let frauds = counts.frauds();
    if frauds == 0.0 {
        return Vec::new();
    }
    let points = flagged(counts).map(|(threshold, hits, alarms)| PrecisionRecallPoint {
        recall: hits / frauds,
        precision: if threshold.is_some() { hits / (hits + alarms) } else { 1.0 },
        threshold,
    });
    thin(points.collect(), at_most, |point| (point.recall, point.precision))
}

/// Returns (threshold, flagged frauds, flagged good payments) for each score, from the highest down. Before these comes
/// an entry without a threshold, where nothing is flagged.
fn flagged(counts: &ScoreCounts<'_>) -> impl Iterator<Item = (Option<f64>, f64, f64)> {
    let below = counts.steps().scan((0.0, 0.0), |(hits, alarms), step| {
        *hits += step.frauds;
        *alarms += step.good;
        Some((Some(step.level.score), *hits, *alarms))
    });
    std::iter::once((None, 0.0, 0.0)).chain(below)
}

/// Keeps at most `at_most` of the points, evenly spaced along the curve, and always the first and the last point. The
/// length of the curve is the sum of all horizontal and vertical steps.
fn thin<T: Copy>(points: Vec<T>, at_most: u32, xy: impl Fn(&T) -> (f64, f64)) -> Vec<T> {
    if points.len() <= at_most as usize {
        return points;
    }
    let length = |a: &T, b: &T| {
        let ((ax, ay), (bx, by)) = (xy(a), xy(b));
        (ax - bx).abs() + (ay - by).abs()
    };
    let total: f64 = points.windows(2).map(|pair| length(&pair[0], &pair[1])).sum();
    // The first and the last point always stay. The points between them get the rest of `at_most`.
    let stride = total / f64::from(at_most.saturating_sub(2).max(1));
    let (mut kept, mut walked, mut next) = (vec![points[0]], 0.0, stride);
    let inner = points.len() - 1;
    for index in 1..inner {
        walked += length(&points[index - 1], &points[index]);
        if walked >= next && kept.len() + 1 < at_most as usize {
            kept.push(points[index]);
            while next <= walked {
                next += stride.max(f64::MIN_POSITIVE);
            }
        }
    }
    kept.push(points[inner]);
    kept
}

fn histogram(counts: &ScoreCounts<'_>, bins: u32) -> Vec<HistogramBin> {
    let bins = bins.max(1);
    let empty =
        |bin| HistogramBin { low: border(bin, bins), high: border(bin + 1, bins), positives: 0.0, negatives: 0.0 };
    let mut found: Vec<HistogramBin> = (0..bins).map(empty).collect();
    let mut bin = found.len().saturating_sub(1);
    for step in counts.steps() {
        while bin > 0 && step.level.score < found[bin].low {
            bin -= 1;
        }
        found[bin].positives += step.frauds;
        found[bin].negatives += step.good;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::order::{RankedScores, ScoredRows};
    use super::*;

    fn random(rows: u32) -> (Vec<f64>, Vec<bool>) {
        let scores: Vec<f64> =
            (0..rows).map(|row| f64::from(row.wrapping_mul(2_654_435_761) >> 8) / f64::from(1 << 24)).collect();
        let labels = scores.iter().zip(0_u32..).map(|(score, row)| score * 7.0 > f64::from(row % 100)).collect();
        (scores, labels)
    }

    #[test]
    fn a_curve_keeps_its_ends_and_no_more_points_than_wanted() {
        let (scores, labels) = random(5_000);
        let rows =
            ScoredRows { scores: &scores, labels: &labels, days: &[], cards: None, weights: None, amounts: None };
        let order = RankedScores::new(&rows);
        let counts = order.counts();
        for at_most in [10, 57, 200] {
            let curve = roc(&counts, at_most);
            assert!(curve.len() <= at_most as usize && curve.len() > at_most as usize / 2, "{}", curve.len());
            let ends = [curve[0], curve[curve.len() - 1]].map(|p| (p.false_positive_rate, p.true_positive_rate));
            assert_eq!(ends, [(0.0, 0.0), (1.0, 1.0)]);
            assert!(curve.windows(2).all(|pair| pair[0].true_positive_rate <= pair[1].true_positive_rate));
            let curve = precision_recall(&counts, at_most);
            assert!(curve.len() <= at_most as usize && curve.len() > at_most as usize / 4, "{}", curve.len());
            assert_eq!((curve[0].recall, curve[0].precision), (0.0, 1.0));
            assert!(curve[curve.len() - 1].recall >= 1.0);
        }
    }

    #[test]
    fn every_row_is_in_one_bin_of_the_histogram() {
        let scores = [0.0, 0.1, 0.25, 0.5, 1.0];
        let labels = [false, true, false, true, false];
        let rows =
            ScoredRows { scores: &scores, labels: &labels, days: &[], cards: None, weights: None, amounts: None };
        let bins = histogram(&RankedScores::new(&rows).counts(), 4);
        let counts: Vec<(f64, f64)> = bins.iter().map(|bin| (bin.positives, bin.negatives)).collect();
        assert_eq!(counts, [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.0, 1.0)]);
    }
}
