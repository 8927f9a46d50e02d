//! Measures what a profile asks for, on the whole test window and on slices of the window by the values of a column.

use super::curves::curves;
use super::interval::{IntervalBasis, IntervalWindow, interval_of_days};
use super::kind::{MetricKind, RankedWindow};
use super::order::{Level, NO_ROWS, RankedRow, RankedScores, ScoreCounts, ScoredRows, undefined};
use super::ranking::confusion;
use crate::domain::contract::{
    Confusion, Curves, EvaluationSpec, Interval, MetricValue, Metrics, Slice, SlicedBy, StandsFor,
};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measured {
    pub scores: Metrics,
    pub confusion: Vec<Confusion>,
    pub curves: Curves,
    /// The metrics of each slice, for each column that the profile names.
    pub slices: Vec<SlicedBy>,
}

/// Measures a window. Metrics get intervals only if `intervals` is given.
pub fn measure(
    scored: &ScoredRows<'_>,
    spec: &EvaluationSpec,
    intervals: Option<&IntervalBasis<'_>>,
    slicings: &[Slicing],
) -> Measured {
    let order = RankedScores::new(scored);
    let window = RankedWindow::new(scored, &order);
    let kinds = MetricKind::all(spec, scored.cards.is_some(), scored.amounts.is_some());
    let mut metrics: Metrics = kinds.iter().filter_map(|&kind| Some((kind.name(), window.metric(kind)?))).collect();
    if let Some(basis) = intervals {
        add_intervals(&mut metrics, &order, &window, &kinds, basis);
    }
    let of_slices = MetricKind::of_any_rows(spec);
    Measured {
        scores: metrics,
        confusion: spec.thresholds.iter().map(|&threshold| confusion(&window.counts, threshold)).collect(),
        curves: curves(&window.counts, spec),
        slices: slicings.iter().map(|slicing| sliced(&order, slicing, &of_slices)).collect(),
    }
}

/// Measures one metric by its name, without an interval.
pub fn one(kind: MetricKind, scored: &ScoredRows<'_>) -> MetricValue {
    let order = RankedScores::new(scored);
    let window = RankedWindow::new(scored, &order);
    window.metric(kind).unwrap_or_else(|| undefined("there are no days"))
}

/// Gives every metric that has a value its interval, or the reason why it has none.
fn add_intervals(
    scores: &mut Metrics,
    order: &RankedScores,
    window: &RankedWindow<'_>,
    kinds: &[MetricKind],
    basis: &IntervalBasis<'_>,
) {
    let of_scores = IntervalWindow::new(order, &window.counts);
    let units = of_scores.units(basis.clusters);
    for &kind in kinds {
        let Some(metric) = scores.get_mut(&kind.name()) else { continue };
        let Some(value) = metric.value else { continue };
        let interval = match (kind, &window.card_days) {
            (MetricKind::CardPrecisionAt(k), Some(days)) => {
                let interval = interval_of_days(&days.precision_of_days(k), basis.confidence, false);
                interval.map(|found| Interval { low: found.low.max(0.0), high: found.high.min(1.0), ..found })
            }
            (kind, _) => of_scores.interval(kind, value, &units, basis),
        };
        match interval {
            Ok(interval) => metric.interval = Some(interval),
            Err(why) => metric.no_interval_because = Some(why),
        }
    }
}

/// Measures precision and recall at a threshold, for each of several thresholds. Metrics get intervals only if `intervals`
/// is given.
pub fn precision_and_recall(
    scored: &ScoredRows<'_>,
    thresholds: &[f64],
    intervals: Option<&IntervalBasis<'_>>,
) -> Vec<(MetricValue, MetricValue)> {
    let order = RankedScores::new(scored);
    let window = RankedWindow::new(&ScoredRows { cards: None, amounts: None, ..*scored }, &order);
    let of_threshold = |&threshold: &f64| {
        let kinds = [MetricKind::PrecisionAtThreshold(threshold), MetricKind::RecallAtThreshold(threshold)];
        let mut found: Metrics = kinds.iter().filter_map(|&kind| Some((kind.name(), window.metric(kind)?))).collect();
        if let Some(basis) = intervals {
            add_intervals(&mut found, &order, &window, &kinds, basis);
        }
        let mut take = |kind: MetricKind| found.remove(&kind.name()).unwrap_or_else(|| undefined(NO_ROWS));
        (take(kinds[0]), take(kinds[1]))
    };
    thresholds.iter().map(of_threshold).collect()
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
    frauds: Vec<f64>,
    good: Vec<f64>,
    rows: u64,
    positives: u64,
}

impl SliceRows {
    fn push(&mut self, level: Level, row: &RankedRow) {
        if self.levels.last() != Some(&level) {
            self.levels.push(level);
            self.frauds.push(0.0);
            self.good.push(0.0);
        }
        let counts = if row.fraud { &mut self.frauds } else { &mut self.good };
        if let Some(count) = counts.last_mut() {
            *count += row.weight;
        }
        self.rows += 1;
        self.positives += u64::from(row.fraud);
    }
}

/// Measures every slice of a column in one pass over the sorted scores.
pub(super) fn sliced(order: &RankedScores, slicing: &Slicing, kinds: &[MetricKind]) -> SlicedBy {
    let mut parts: Vec<SliceRows> = slicing.names.iter().map(|_| SliceRows::default()).collect();
    order.each_row(|row| {
        parts[slicing.slice_of[row.row as usize] as usize].push(order.levels()[row.level], &row);
    });
    let slice = |(name, part): (&String, SliceRows)| {
        let (rows, positives) = (part.rows, part.positives);
        let counts = ScoreCounts::over(&part.levels, part.frauds, part.good);
        let scores = kinds.iter().filter_map(|kind| Some((kind.name(), kind.of(&counts)?))).collect();
        let stands_for = StandsFor { payments: counts.payments(), frauds: counts.frauds() };
        let stands_for = order.is_weighted().then_some(stands_for);
        Slice { slice: name.clone(), rows, positives, stands_for, scores }
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
        score_histogram: Vec<(f64, f64)>,
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
            let scored = ScoredRows {
                scores: &fixture.scores,
                labels: &fixture.labels,
                days: &days,
                cards: None,
                weights: None,
                amounts: None,
            };
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
        let scored = ScoredRows {
            scores: &[0.9, 0.5, 0.5, 0.1],
            labels: &labels,
            days: &[0; 4],
            cards: None,
            weights: None,
            amounts: None,
        };
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
            weights: None,
            amounts: None,
        };
        assert_eq!(measure(&scored, &with_k(1), None, &[]).scores["card_precision_at_1"].value, Some(1.0));
    }

    #[test]
    fn a_slice_has_the_metrics_of_its_rows_alone() {
        let scores = [0.9, 0.8, 0.8, 0.3, 0.3, 0.1];
        let labels = [true, false, true, false, true, false];
        let slice_of = vec![0, 1, 0, 1, 0, 1];
        let window =
            ScoredRows { scores: &scores, labels: &labels, days: &[0; 6], cards: None, weights: None, amounts: None };
        let names = vec!["a".to_owned(), "b".to_owned(), "none".to_owned()];
        let slicing = Slicing { column: "c".to_owned(), names, slice_of };
        let found = &measure(&window, &with_k(1), None, &[slicing]).slices[0].slices;
        let rows: Vec<(u64, u64)> = found.iter().map(|slice| (slice.rows, slice.positives)).collect();
        assert_eq!(rows, [(3, 3), (3, 0), (0, 0)]);
        assert_eq!(found[1].scores["auc_roc"].undefined_because.as_deref(), Some(ONE_CLASS));
        let alone = ScoredRows {
            scores: &[0.8, 0.3, 0.1],
            labels: &[false; 3],
            days: &[0; 3],
            cards: None,
            weights: None,
            amounts: None,
        };
        let alone = measure(&alone, &with_k(1), None, &[]).scores;
        for (name, metric) in &found[1].scores {
            assert_eq!(metric, &alone[name], "{name}");
        }
        assert!(found[2].scores.values().all(|metric| metric.value.is_none()));
    }

    #[test]
    fn a_row_with_a_weight_is_measured_as_so_many_rows() {
        let scores: Vec<f64> = (0..300).map(|row| f64::from(row * 37 % 101) / 101.0).collect();
        let labels: Vec<bool> = scores.iter().enumerate().map(|(row, score)| score * 9.0 > (row % 11) as f64).collect();
        let weights: Vec<f32> = (0..300_u16).map(|row| f32::from(1 + row % 4)).collect();
        let many: Vec<usize> = (0..300).flat_map(|row| std::iter::repeat_n(row, weights[row] as usize)).collect();
        let slicing = |rows: &[usize]| Slicing {
            column: "c".to_owned(),
            names: vec!["a".to_owned(), "b".to_owned()],
            slice_of: rows.iter().map(|row| (*row % 2) as u32).collect(),
        };
        let (of_many, labels_of_many): (Vec<f64>, Vec<bool>) =
            many.iter().map(|&row| (scores[row], labels[row])).unzip();
        let days = vec![0; many.len()];
        let repeated = ScoredRows {
            scores: &of_many,
            labels: &labels_of_many,
            days: &days,
            cards: None,
            weights: None,
            amounts: None,
        };
        let weighted = ScoredRows { scores: &scores, labels: &labels, weights: Some(&weights), ..repeated };
        let found = measure(&weighted, &spec(), None, &[slicing(&(0..300).collect::<Vec<_>>())]);
        let expected = measure(&repeated, &spec(), None, &[slicing(&many)]);
        let same = |found: &Metrics, expected: &Metrics| {
            for (name, metric) in expected {
                assert!(close(found[name].value.unwrap(), metric.value.unwrap()), "{name}: {:?}", found[name]);
            }
        };
        same(&found.scores, &expected.scores);
        assert_eq!((&found.confusion, &found.curves), (&expected.confusion, &expected.curves));
        for (found, expected) in found.slices[0].slices.iter().zip(&expected.slices[0].slices) {
            same(&found.scores, &expected.scores);
            let StandsFor { payments, frauds } = found.stands_for.unwrap();
            assert_eq!((payments, frauds), (expected.rows as f64, expected.positives as f64));
            assert_eq!((found.rows, expected.stands_for), (150, None));
        }
    }

    #[test]
    fn a_weight_says_nothing_about_the_days_of_a_card() {
        let weights = [1.0, 10.0];
        let window = ScoredRows {
            scores: &[0.9, 0.1],
            labels: &[true, false],
            days: &[0, 0],
            cards: Some(&[0, 1]),
            weights: Some(&weights),
            amounts: None,
        };
        let found = &measure(&window, &with_k(1), None, &[]).scores["card_precision_at_1"];
        assert!(found.value.is_none() && found.undefined_because.as_ref().unwrap().contains("weights"), "{found:?}");
    }

    /// Good payments of weight 10 are a tenth of the window, and an interval must not take each for ten.
    #[test]
    fn rows_with_weights_say_less_than_as_many_rows() {
        let scores: Vec<f64> = (0..1_200).map(|row| f64::from(row * 37 % 1_009) / 1_009.0).collect();
        let labels: Vec<bool> = (0..1_200).map(|row| row % 4 == 0 && scores[row] > 0.5).collect();
        let weights: Vec<f32> = labels.iter().map(|&fraud| if fraud { 1.0 } else { 10.0 }).collect();
        let many: Vec<usize> = (0..1_200).flat_map(|row| std::iter::repeat_n(row, weights[row] as usize)).collect();
        let (of_many, labels_of_many): (Vec<f64>, Vec<bool>) =
            many.iter().map(|&row| (scores[row], labels[row])).unzip();
        let days = vec![0; many.len()];
        let repeated = ScoredRows {
            scores: &of_many,
            labels: &labels_of_many,
            days: &days,
            cards: None,
            weights: None,
            amounts: None,
        };
        let weighted = ScoredRows { scores: &scores, labels: &labels, weights: Some(&weights), ..repeated };
        let basis = IntervalBasis { confidence: 0.95, clusters: None };
        let width = |window: &ScoredRows<'_>, name: &str| {
            let interval = measure(window, &with_k(100), Some(&basis), &[]).scores[name].interval;
            interval.map(|interval| interval.high - interval.low)
        };
        for name in ["auc_roc", "log_loss", "precision_at_threshold_0.5"] {
            assert!(width(&weighted, name).unwrap() > 1.1 * width(&repeated, name).unwrap(), "{name}");
        }
        // No good payment is flagged. If there is one more, it stands for ten.
        let perfect: Vec<f64> = labels.iter().map(|&fraud| if fraud { 0.9 } else { 0.1 }).collect();
        let weighted = ScoredRows { scores: &perfect, ..weighted };
        let alone = ScoredRows { weights: None, ..weighted };
        let low = |window: &ScoredRows<'_>| {
            measure(window, &with_k(100), Some(&basis), &[]).scores["precision_at_threshold_0.5"].interval.unwrap().low
        };
        let frauds = labels.iter().filter(|&&fraud| fraud).count() as f64;
        assert!(low(&weighted) < frauds / (frauds + 30.0) && low(&alone) > frauds / (frauds + 5.0));
        // Three good payments cannot stand for a million.
        let few: Vec<usize> = (0..1_200).filter(|&row| labels[row] || row % 500 == 1).collect();
        let (scores, labels): (Vec<f64>, Vec<bool>) = few.iter().map(|&row| (scores[row], labels[row])).unzip();
        let weights = vec![2.0; few.len()];
        let window = ScoredRows { scores: &scores, labels: &labels, weights: Some(&weights), ..weighted };
        let found = measure(&window, &with_k(100), Some(&basis), &[]).scores;
        let why = found["auc_roc"].no_interval_because.as_deref().unwrap_or_default();
        assert!(why.contains("only 3 good payments"), "{why}");
    }

    #[test]
    fn every_metric_has_an_interval_around_its_value_or_a_reason_why_not() {
        let scores: Vec<f64> = (0..4_000).map(|row| f64::from(row * 37 % 1_009) / 1_009.0).collect();
        let labels: Vec<bool> =
            scores.iter().enumerate().map(|(row, score)| *score * 10.0 > (row % 17) as f64).collect();
        let days: Vec<i64> = (0..4_000).map(|row| row / 500).collect();
        let cards: Vec<u32> = (0..4_000).map(|row| row * 7 % 900).collect();
        let window = ScoredRows {
            scores: &scores,
            labels: &labels,
            days: &days,
            cards: Some(&cards),
            weights: None,
            amounts: None,
        };
        for clusters in [None, Some(cards.as_slice())] {
            let basis = IntervalBasis { confidence: 0.95, clusters };
            for (name, metric) in measure(&window, &with_k(100), Some(&basis), &[]).scores {
                let none =
                    ["expected_calibration_error", "fpr_at_threshold_0.5", "ks_statistic"].contains(&name.as_str());
                assert_eq!(metric.interval.is_some(), !none, "{name}: {:?}", metric.no_interval_because);
                assert_eq!(metric.no_interval_because.is_some(), none, "{name}");
                let (Some(value), Some(interval)) = (metric.value, metric.interval) else { continue };
                assert!(interval.low < value && value < interval.high, "{name}: {interval:?} {value}");
                assert!(interval.high - interval.low < 0.3, "{name}: {interval:?}");
            }
        }
        assert!(measure(&window, &with_k(100), None, &[]).scores.values().all(|metric| metric.interval.is_none()));
    }

    #[test]
    fn what_says_nothing_about_chance_has_no_interval() {
        let scores: Vec<f64> = (0..4_000).map(|row| f64::from(row * 37 % 1_009) / 1_009.0).collect();
        let labels: Vec<bool> = scores.iter().map(|score| *score > 0.9).collect();
        let days = vec![0; 4_000];
        let of = |scores: &[f64], clusters: &[u32]| {
            let window = ScoredRows {
                scores,
                labels: &labels,
                days: &days,
                cards: Some(clusters),
                weights: None,
                amounts: None,
            };
            measure(&window, &with_k(100), Some(&IntervalBasis { confidence: 0.95, clusters: Some(clusters) }), &[])
                .scores
        };
        let one_card = vec![7; 4_000];
        // Twenty cards have frauds, but one card has nearly all of them.
        let mut frauds = 0;
        let mut card_of = |row: usize| {
            frauds += u32::from(labels[row]);
            if labels[row] && frauds % 15 == 0 { row as u32 } else { 0 }
        };
        let unequal: Vec<u32> = (0..4_000).map(&mut card_of).collect();
        let says = |metric: &MetricValue| metric.no_interval_because.clone().unwrap_or_default();
        for (clusters, why) in [(one_card, "only 1 entities"), (unequal, "hold most of them")] {
            for (name, metric) in of(&scores, &clusters) {
                assert!(metric.interval.is_none() && metric.no_interval_because.is_some(), "{name}: {metric:?}");
                let special = ["card", "ks", "expected", "fpr"].iter().any(|prefix| name.starts_with(prefix));
                assert!(special || says(&metric).contains(why), "{name}: {}", says(&metric));
            }
        }
        let each: Vec<u32> = (0..4_000).collect();
        let equal_scores = &of(&vec![0.5; 4_000], &each)["auc_roc"];
        assert!(equal_scores.interval.is_none() && says(equal_scores).contains("exactly the same"));
    }

    #[test]
    fn a_window_without_errors_has_an_interval_up_to_the_best_value() {
        let labels: Vec<bool> = (0..1_000).map(|row| row < 30).collect();
        let scores: Vec<f64> = (0..1_000).map(|row| 1.0 - f64::from(row) / 1_000.0).collect();
        let window = ScoredRows {
            scores: &scores,
            labels: &labels,
            days: &[0; 1_000],
            cards: None,
            weights: None,
            amounts: None,
        };
        let found =
            measure(&window, &with_k(30), Some(&IntervalBasis { confidence: 0.95, clusters: None }), &[]).scores;
        for metric in ["auc_roc", "average_precision", "precision_at_30", "recall_at_30"] {
            let interval = found[metric].interval.unwrap();
            assert!(
                interval.high > 1.0 - 1e-12 && interval.low > 0.8 && interval.low < 0.999,
                "{metric}: {interval:?}"
            );
        }
    }
}
