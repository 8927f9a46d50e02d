//! Finds numbers of a report that cannot all be true: no scores of the plan's test window give them together.

use super::kind::MetricKind;
use super::ranking::{f1, precision, recall};
use crate::domain::contract::{
    Confusion, Curves, DatasetSummary, EvalMetrics, EvaluationSpec, FeatureFinding, FindingKind, HistogramBin,
    Interval, MetricValue, SettledSplit, Slice, SlicedBy, StandsFor, TrainPlan,
};
use std::collections::BTreeSet;

/// Returns the first contradiction between what was measured and what the plan asks to measure, or within it.
pub fn contradiction(plan: &TrainPlan, measured: &EvalMetrics) -> Option<String> {
    let spec = &plan.evaluation;
    let has_cards = plan.columns.event_time.is_some() && !plan.columns.entities.is_empty();
    let has_amounts = plan.columns.amount.is_some() && plan.columns.weight.is_none();
    let names = MetricKind::all(spec, has_cards, has_amounts).into_iter().map(MetricKind::name).collect();
    let found: BTreeSet<String> = measured.scores.keys().cloned().collect();
    same("metrics", &found, &names)
        .or_else(|| measured.scores.iter().find_map(|(name, metric)| of_metric(name, metric, spec)))
        .or_else(|| of_thresholds(measured, spec))
        .or_else(|| of_curves(&measured.curves, measured, spec))
        .or_else(|| of_slices(measured, spec))
        .or_else(|| of_features(plan, measured))
        .or_else(|| of_excluded_rows(measured))
}

fn same(what: &str, found: &BTreeSet<String>, asked: &BTreeSet<String>) -> Option<String> {
    let lacks =
        asked.difference(found).next().map(|name| format!("of the {what} that the plan asks for it lacks {name}"));
    lacks
        .or_else(|| found.difference(asked).next().map(|name| format!("the plan does not ask for the {what} {name:?}")))
}

/// Adds up numbers of a stranger; `None` if the sum is too large.
fn sum(mut counts: impl Iterator<Item = u64>) -> Option<u64> {
    counts.try_fold(0_u64, u64::checked_add)
}

fn of_metric(name: &str, metric: &MetricValue, spec: &EvaluationSpec) -> Option<String> {
    let MetricValue { value, undefined_because, interval, no_interval_because } = metric;
    let most = if name == "log_loss" { f64::INFINITY } else { 1.0 };
    if value.is_some_and(|value| !(0.0..=most).contains(&value)) {
        return Some(format!("{name} cannot be {}", value.unwrap_or_default()));
    }
    let is_explained = value.is_some() != undefined_because.is_some()
        && value.is_some() == (interval.is_some() != no_interval_because.is_some())
        && (value.is_some() || interval.is_none() && no_interval_because.is_none());
    if !is_explained {
        return Some(format!("{name} has neither a value with an interval nor the reason why not, or both"));
    }
    let wrong = |of: &&Interval| of.low > of.high || of.confidence.total_cmp(&spec.intervals.confidence).is_ne();
    interval.as_ref().filter(wrong).map(|of| {
        format!("{name} has no interval from {} to {} with the confidence {}", of.low, of.high, of.confidence)
    })
}

/// Compares the metrics at a threshold with the counts at that threshold.
fn of_thresholds(measured: &EvalMetrics, spec: &EvaluationSpec) -> Option<String> {
    if !measured.confusion.iter().map(|of| of.threshold).eq(spec.thresholds.iter().copied()) {
        return Some("it counts at other thresholds than the plan's".to_owned());
    }
    let of_counts = |of: &Confusion| {
        [
            (MetricKind::PrecisionAtThreshold(of.threshold), precision(of)),
            (MetricKind::RecallAtThreshold(of.threshold), recall(of)),
            (MetricKind::F1AtThreshold(of.threshold), f1(of)),
        ]
    };
    let differs = |(kind, counted): (MetricKind, MetricValue)| {
        let name = kind.name();
        let said = measured.scores.get(&name).and_then(|metric| metric.value);
        (said != counted.value).then(|| format!("{name} is not that of the counts at this threshold"))
    };
    measured.confusion.iter().flat_map(of_counts).find_map(differs)
}

fn of_curves(curves: &Curves, measured: &EvalMetrics, spec: &EvaluationSpec) -> Option<String> {
    let test = &measured.dataset.test;
    let whole = StandsFor { payments: test.rows as f64, frauds: test.positives as f64 };
    let StandsFor { payments, frauds } = test.stands_for.unwrap_or(whole);
    // Sums of weights differ in the last bits, by the order of their terms.
    let adds_up = |counts: &dyn Fn(&HistogramBin) -> f64, to: f64| {
        (curves.score_histogram.iter().map(counts).sum::<f64>() - to).abs() <= 1e-9 * to.abs()
    };
    let calibrated: f64 = curves.calibration.iter().map(|bin| bin.rows).sum();
    let roc: Vec<(f64, f64)> = curves.roc.iter().map(|at| (at.false_positive_rate, at.true_positive_rate)).collect();
    let recall: Vec<f64> = curves.precision_recall.iter().map(|at| at.recall).collect();
    let rises = |of: &dyn Fn(&(f64, f64)) -> f64| roc.is_sorted_by(|a, b| of(a) <= of(b));
    let is_roc = roc.first().is_none_or(|first| *first == (0.0, 0.0) && roc.last() == Some(&(1.0, 1.0)));
    [
        ("the ROC curve", is_roc && rises(&|at| at.0) && rises(&|at| at.1)),
        (
            "the curve of precision and recall",
            recall.is_sorted() && recall.last().is_none_or(|last| last.total_cmp(&1.0).is_eq()),
        ),
        ("the calibration", (calibrated - payments).abs() <= 1e-9 * payments),
        (
            "the histogram of scores",
            curves.score_histogram.len() == spec.histogram_bins as usize
                && adds_up(&|bin| bin.positives, frauds)
                && adds_up(&|bin| bin.negatives, payments - frauds),
        ),
    ]
    .into_iter()
    .find_map(|(what, holds)| (!holds).then(|| format!("{what} is not one of the test window's rows")))
}

fn of_slices(measured: &EvalMetrics, spec: &EvaluationSpec) -> Option<String> {
    let columns = measured.slices.iter().map(|sliced| &sliced.column);
    if !columns.eq(spec.slices.iter().map(|slice| &slice.column)) {
        return Some("it is sliced by other columns than the plan's".to_owned());
    }
    let test = &measured.dataset.test;
    let names = MetricKind::of_any_rows(spec).into_iter().map(MetricKind::name).collect();
    let of_slice = |slice: &Slice| same("metrics of a slice", &slice.scores.keys().cloned().collect(), &names);
    let of_column = |SlicedBy { column, slices }: &SlicedBy| {
        let add = |count: fn(&Slice) -> u64| sum(slices.iter().map(count));
        let fits = add(|slice| slice.rows) == Some(test.rows) && add(|slice| slice.positives) == Some(test.positives);
        let fits = fits && slices.iter().all(|slice| slice.positives <= slice.rows);
        let added = (!fits).then(|| format!("the slices by {column:?} do not add up to the test window"));
        added.or_else(|| slices.iter().find_map(of_slice))
    };
    measured.slices.iter().find_map(of_column)
}

fn of_features(plan: &TrainPlan, measured: &EvalMetrics) -> Option<String> {
    let mut found = BTreeSet::new();
    for of in &measured.feature_findings {
        let is_planned = plan.features.iter().any(|feature| feature.name == of.feature);
        let is_new = found.insert((&of.feature, of.finding.meaning()));
        if !is_planned || !is_new || !can_be_found(of, &measured.dataset) {
            return Some(format!("what it found of the feature {:?} cannot be", of.feature));
        }
    }
    let cannot_be = measured.features.iter().find(|of| of.mean_shap.abs() > of.mean_abs_shap * (1.0 + 1e-9));
    cannot_be.map(|of| format!("the mean SHAP value of {:?} is larger than the mean of its size", of.feature))
}

/// Whether the windows that the finding is about have as many rows.
fn can_be_found(of: &FeatureFinding, dataset: &DatasetSummary) -> bool {
    let DatasetSummary { rows, train, validation, test, .. } = dataset;
    let validation = validation.map_or(0, |window| window.rows);
    match of.finding {
        FindingKind::AllMissing => of.rows == train.rows.saturating_add(validation).saturating_add(test.rows),
        FindingKind::MissingInTrain | FindingKind::Constant => of.rows == train.rows,
        FindingKind::MissingInValidation => of.rows == validation,
        FindingKind::MissingInTest => of.rows == test.rows,
        FindingKind::Rounded => of.rows <= *rows,
    }
}

/// Compares the number of rows of known entities with the plan, which may leave none of them out.
fn of_excluded_rows(measured: &EvalMetrics) -> Option<String> {
    let entity = match &measured.split {
        SettledSplit::TimeBased(windows) => windows.exclude_known_entity.as_ref(),
        SettledSplit::StratifiedRandom(_) => None,
    };
    let excluded = measured.dataset.excluded_rows;
    (entity.is_none() && excluded > 0)
        .then(|| format!("it leaves {excluded} rows of known entities out, and the plan leaves none out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{SchemaName, schema_text};
    use serde_json::{Value, json};

    /// Whether a report with this change contradicts itself. Without one, the metrics of two scores do not.
    fn says(change: impl FnOnce(&mut Value)) -> Option<String> {
        let example = |name| -> Value {
            let schema: Value = serde_json::from_str(schema_text(name)).unwrap();
            schema["examples"][0].clone()
        };
        let mut plan = example(SchemaName::ResolvedTrainPlan);
        plan["evaluation"] =
            json!({"k": [], "fpr": [], "thresholds": [0.5], "calibration_bins": 2, "histogram_bins": 2});
        plan["columns"]["entities"] = json!([]);
        let plan: TrainPlan = serde_json::from_value(plan).unwrap();
        let (scores, labels) = ([0.9, 0.2], [true, false]);
        let rows = super::super::ScoredRows {
            scores: &scores,
            labels: &labels,
            days: &[0, 0],
            cards: None,
            weights: None,
            amounts: None,
        };
        let basis = super::super::IntervalBasis { confidence: 0.95, clusters: None };
        let found = super::super::measure(&rows, &plan.evaluation, Some(&basis), &[]);
        let mut metrics = example(SchemaName::EvalReport)["metrics"].clone();
        metrics["dataset"]["test"] = json!({"rows": 2, "positives": 1});
        (metrics["features"], metrics["feature_findings"]) = (json!([]), json!([]));
        for (name, value) in serde_json::to_value(found).unwrap().as_object().unwrap() {
            metrics[name] = value.clone();
        }
        change(&mut metrics);
        contradiction(&plan, &serde_json::from_value(metrics).unwrap())
    }

    #[test]
    fn what_was_measured_contradicts_nothing_and_what_was_changed_does() {
        assert_eq!(says(|_| {}), None);
        type Change = fn(&mut Value);
        let changes: [(&str, Change); 6] = [
            ("lacks log_loss", |m| {
                m["scores"].as_object_mut().unwrap().remove("log_loss");
            }),
            ("auc_roc cannot be 1.5", |m| m["scores"]["auc_roc"]["value"] = json!(1.5)),
            ("or both", |m| m["scores"]["auc_roc"]["undefined_because"] = json!("x")),
            ("recall_at_threshold_0.5 is not", |m| m["scores"]["recall_at_threshold_0.5"]["value"] = json!(0.5)),
            ("the ROC curve", |m| m["curves"]["roc"][1]["true_positive_rate"] = json!(2.0)),
            ("what it found", |m| {
                m["feature_findings"] = json!([{"feature": "none", "finding": "constant", "rows": 1}]);
            }),
        ];
        for (expected, change) in changes {
            let found = says(change).unwrap_or_default();
            assert!(found.contains(expected), "{expected}: {found:?}");
        }
    }
}
