//! Measures what a profile asks for, on the whole test window and on slices of the window by the values of a column.

use super::bootstrap::{self, Resampling};
use super::curves::curves;
use super::kind::{MetricKind, RankedWindow};
use super::order::{Level, RankedScores, ScoreCounts, ScoredRows};
use super::ranking::confusion;
use crate::domain::contract::{Confusion, Curves, EvaluationSpec, Metrics, Slice, SlicedBy};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    pub scores: Metrics,
    pub confusion: Vec<Confusion>,
    pub curves: Curves,
    /// The metrics of each slice, for each column that the profile names.
    pub slices: Vec<SlicedBy>,
}

/// Measures a window. Metrics get intervals only if `resampling` is given.
pub fn measure(
    scored: &ScoredRows<'_>,
    spec: &EvaluationSpec,
    resampling: Option<&Resampling<'_>>,
    slicings: &[Slicing],
) -> Measured {
    let order = RankedScores::new(scored.scores, scored.labels);
    let window = RankedWindow::new(scored, &order);
    let kinds = MetricKind::all(spec, scored.cards.is_some());
    let mut metrics: Metrics = kinds.iter().filter_map(|&kind| Some((kind.name(), window.metric(kind)?))).collect();
    if let Some(resampling) = resampling {
        add_intervals(&mut metrics, &order, &kinds, resampling);
    }
    let of_slices = MetricKind::of_any_rows(spec);
    Measured {
        scores: metrics,
        confusion: spec.thresholds.iter().map(|&threshold| confusion(&window.counts, threshold)).collect(),
        curves: curves(&window.counts, spec),
        slices: slicings.iter().map(|slicing| sliced(&order, slicing, &of_slices)).collect(),
    }
}

/// Adds intervals to the metrics that `resampling.spec.metrics` names. An empty list means all metrics except those per
/// day.
fn add_intervals(scores: &mut Metrics, order: &RankedScores, kinds: &[MetricKind], resampling: &Resampling<'_>) {
    let names = &resampling.spec.metrics;
    let is_wanted = |kind: &MetricKind| !kind.is_per_day() && (names.is_empty() || names.contains(&kind.name()));
    let kinds: Vec<MetricKind> = kinds.iter().copied().filter(is_wanted).collect();
    for (kind, interval) in kinds.iter().zip(bootstrap::intervals(order, &kinds, resampling)) {
        if let Some(metric) = scores.get_mut(&kind.name()).filter(|metric| metric.value.is_some()) {
            metric.interval = interval;
        }
    }
}

/// A column cut into slices. `names` holds the names of the slices in the order of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slicing {
    pub column: String,
    pub names: Vec<String>,
    /// The slice of each row, as an index into `names`.
    pub slice_of: Vec<u32>,
}

/// The numbers of frauds and good payments of one slice at each score, from the highest score down.
#[derive(Default)]
struct SliceRows {
    levels: Vec<Level>,
    frauds: Vec<u32>,
    good: Vec<u32>,
}

impl SliceRows {
    fn push(&mut self, level: Level, fraud: bool) {
        if self.levels.last() != Some(&level) {
            self.levels.push(level);
            self.frauds.push(0);
            self.good.push(0);
        }
        let counts = if fraud { &mut self.frauds } else { &mut self.good };
        if let Some(count) = counts.last_mut() {
            *count += 1;
        }
    }
}

/// Measures every slice of a column in one pass over the sorted scores.
pub(super) fn sliced(order: &RankedScores, slicing: &Slicing, kinds: &[MetricKind]) -> SlicedBy {
    let mut parts: Vec<SliceRows> = slicing.names.iter().map(|_| SliceRows::default()).collect();
    order.visit(|row, level, fraud| parts[slicing.slice_of[row as usize] as usize].push(level, fraud));
    let slice = |(name, part): (&String, SliceRows)| {
        let counts = ScoreCounts::over(&part.levels, part.frauds, part.good);
        let scores = kinds.iter().filter_map(|kind| Some((kind.name(), kind.of(&counts)?))).collect();
        Slice { slice: name.clone(), rows: counts.rows(), positives: counts.frauds(), scores }
    };
    SlicedBy { column: slicing.column.clone(), slices: slicing.names.iter().zip(parts).map(slice).collect() }
}

#[cfg(test)]
mod tests {
    use super::super::order::ONE_CLASS;
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Deserialize)]
    struct Fixture {
        name: String,
        scores: Vec<f64>,
        labels: Vec<bool>,
        expected: BTreeMap<String, Option<f64>>,
        confusion: Vec<Confusion>,
        curves: Whole,
    }

    /// Returns the curves with every point.
    #[derive(Deserialize)]
    struct Whole {
        roc: Vec<(f64, f64)>,
        precision_recall: Vec<(f64, f64)>,
        calibration: Vec<(f64, f64)>,
        score_histogram: Vec<(u64, u64)>,
    }

    fn spec() -> EvaluationSpec {
        EvaluationSpec {
            k: vec![5],
            fpr: vec![0.01, 0.1, 0.5],
            thresholds: vec![0.25, 0.5],
            curve_points: 100_000,
            ..EvaluationSpec::default()
        }
    }

    fn with_k(k: u32) -> EvaluationSpec {
        EvaluationSpec { k: vec![k], ..EvaluationSpec::default() }
    }

    fn close(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
    }

    fn all_close(found: &[(f64, f64)], expected: &[(f64, f64)]) -> bool {
        let same = |(a, b): (&(f64, f64), &(f64, f64))| close(a.0, b.0) && close(a.1, b.1);
        found.len() == expected.len() && found.iter().zip(expected).all(same)
    }

    /// `tests/interop/metric_fixtures.py` wrote the fixtures with scikit-learn.
    #[test]
    fn metrics_and_curves_equal_scikit_learn() {
        let fixtures: Vec<Fixture> =
            serde_json::from_str(include_str!("../../../tests/golden/metrics/scikit_learn.json")).unwrap();
        assert!(fixtures.len() >= 18);
        for fixture in fixtures {
            let name = &fixture.name;
            let days = vec![0; fixture.scores.len()];
            let scored = ScoredRows { scores: &fixture.scores, labels: &fixture.labels, days: &days, cards: None };
            let Measured { scores, confusion, curves, .. } = measure(&scored, &spec(), None, &[]);
            assert!(fixture.expected.len() >= 14, "{name}");
            for (metric, expected) in &fixture.expected {
                let found = &scores[metric];
                match (found.value, *expected) {
                    (Some(value), Some(expected)) => {
                        assert!(close(value, expected), "{name} {metric}: {value} is not {expected}");
                    }
                    (None, None) => assert!(found.undefined_because.is_some(), "{name} {metric}"),
                    (value, expected) => panic!("{name} {metric}: {value:?} is not {expected:?}"),
                }
            }
            assert_eq!(confusion, fixture.confusion, "{name}");
            let expected = &fixture.curves;
            let roc: Vec<_> = curves.roc.iter().map(|p| (p.false_positive_rate, p.true_positive_rate)).collect();
            assert!(all_close(&roc, &expected.roc), "{name}");
            let curve: Vec<_> = curves.precision_recall.iter().map(|p| (p.recall, p.precision)).collect();
            assert!(all_close(&curve, &expected.precision_recall), "{name}");
            let curve: Vec<_> = curves.calibration.iter().map(|bin| (bin.mean_score, bin.fraud_rate)).collect();
            assert!(all_close(&curve, &expected.calibration), "{name}: {curve:?} is not {:?}", expected.calibration);
            let bins: Vec<_> = curves.score_histogram.iter().map(|bin| (bin.positives, bin.negatives)).collect();
            assert_eq!(bins, expected.score_histogram, "{name}");
        }
    }

    #[test]
    fn precision_at_k_shares_out_ties_at_the_border() {
        let labels = [true, true, false, false];
        let scored = ScoredRows { scores: &[0.9, 0.5, 0.5, 0.1], labels: &labels, days: &[0; 4], cards: None };
        let found = measure(&scored, &with_k(2), None, &[]).scores;
        // One hit is certain. The second row comes from a tie of two rows, of which half are frauds.
        assert_eq!(found["precision_at_2"].value, Some(0.75));
        assert_eq!(found["recall_at_2"].value, Some(0.75));
    }

    #[test]
    fn a_detected_card_leaves_the_pool() {
        let scored = ScoredRows {
            scores: &[0.9, 0.1, 0.9, 0.5],
            labels: &[true, false, true, true],
            days: &[0, 0, 1, 1],
            cards: Some(&[7, 8, 7, 9]),
        };
        assert_eq!(measure(&scored, &with_k(1), None, &[]).scores["card_precision_at_1"].value, Some(1.0));
    }

    #[test]
    fn a_slice_has_the_metrics_of_its_rows_alone() {
        let scores = [0.9, 0.8, 0.8, 0.3, 0.3, 0.1];
        let labels = [true, false, true, false, true, false];
        let slice_of = vec![0, 1, 0, 1, 0, 1];
        let window = ScoredRows { scores: &scores, labels: &labels, days: &[0; 6], cards: None };
        let names = vec!["a".to_owned(), "b".to_owned(), "none".to_owned()];
        let slicing = Slicing { column: "c".to_owned(), names, slice_of };
        let found = &measure(&window, &with_k(1), None, &[slicing]).slices[0].slices;
        let rows: Vec<(u64, u64)> = found.iter().map(|slice| (slice.rows, slice.positives)).collect();
        assert_eq!(rows, [(3, 3), (3, 0), (0, 0)]);
        assert_eq!(found[1].scores["auc_roc"].undefined_because.as_deref(), Some(ONE_CLASS));
        let alone = ScoredRows { scores: &[0.8, 0.3, 0.1], labels: &[false; 3], days: &[0; 3], cards: None };
        let alone = measure(&alone, &with_k(1), None, &[]).scores;
        for (name, metric) in &found[1].scores {
            assert_eq!(metric, &alone[name], "{name}");
        }
        assert!(found[2].scores.values().all(|metric| metric.value.is_none()));
    }

    #[test]
    fn only_the_metrics_that_a_profile_names_get_an_interval_around_their_value() {
        let scores: Vec<f64> = (0..400).map(|row| f64::from(row * 37 % 101) / 101.0).collect();
        let labels: Vec<bool> =
            scores.iter().enumerate().map(|(row, score)| *score * 10.0 > (row % 17) as f64).collect();
        let window = ScoredRows { scores: &scores, labels: &labels, days: &[0; 400], cards: Some(&[1; 400]) };
        let mut spec = crate::domain::contract::BootstrapSpec { replicates: 200, ..Default::default() };
        let measured = |bootstrap: &_| {
            measure(
                &window,
                &with_k(5),
                Some(&Resampling { spec: bootstrap, clusters: None, seed: 1, threads: 2 }),
                &[],
            )
            .scores
        };
        for (name, metric) in measured(&spec) {
            assert_eq!(metric.interval.is_some(), !name.starts_with("card_"), "{name}");
        }
        spec.metrics = vec!["auc_roc".to_owned()];
        let found = measured(&spec);
        assert_eq!(found.values().filter(|metric| metric.interval.is_some()).count(), 1);
        let (auc, interval) = (found["auc_roc"].value.unwrap(), found["auc_roc"].interval.unwrap());
        assert!(interval.low < auc && auc < interval.high && interval.high - interval.low < 0.2, "{interval:?} {auc}");
        assert_eq!((interval.confidence, interval.replicates), (0.95, 200));
    }
}
