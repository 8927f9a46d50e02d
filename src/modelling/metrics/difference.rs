//! Compares two models on the same rows: computes each metric of the candidate minus that of the champion.

use super::interval::{IntervalBasis, IntervalWindow, interval_of_days};
use super::kind::{MetricKind, RankedWindow};
use super::order::{RankedScores, ScoredRows};
use crate::domain::contract::{Difference, Differences, EvaluationSpec};

/// Returns the difference, candidate minus champion, for each metric in `names`. A metric that `spec` does not ask for
/// is left out. `champion` holds the champion's score for each row of `candidate`.
pub fn differences(
    candidate: &ScoredRows<'_>,
    champion: &[f64],
    names: &[String],
    spec: &EvaluationSpec,
    basis: &IntervalBasis<'_>,
) -> Differences {
    let champion = ScoredRows { scores: champion, ..*candidate };
    let kinds = MetricKind::all(spec, candidate.cards.is_some(), candidate.amounts.is_some());
    let (own_order, other_order) = (RankedScores::new(candidate), RankedScores::new(&champion));
    let (own, other) = (RankedWindow::new(candidate, &own_order), RankedWindow::new(&champion, &other_order));
    let of_own = IntervalWindow::new(&own_order, &own.counts);
    let of_other = IntervalWindow::new(&other_order, &other.counts);
    let units = of_own.units(basis.clusters);
    let (same_scores, same_order) = (candidate.scores == champion.scores, own_order.orders_as(&other_order));
    // A model that is only calibrated anew says the same as before to a metric of the order.
    let are_same = |kind: MetricKind| same_scores || (same_order && kind.is_of_order());
    let interval = |kind: MetricKind, values: (f64, f64)| match (kind, &own.card_days, &other.card_days) {
        (MetricKind::CardPrecisionAt(k), Some(own), Some(other)) => {
            let days = own.precision_of_days(k).into_iter().zip(other.precision_of_days(k));
            let differences: Vec<f64> = days.map(|(own, other)| own - other).collect();
            interval_of_days(&differences, basis.confidence, are_same(kind))
        }
        (kind, _, _) => of_own.paired_interval(&of_other, kind, values, &units, basis, are_same(kind)),
    };
    let difference = |kind: MetricKind| {
        let (candidate, champion) = (value(&own, kind), value(&other, kind));
        let mut found = Difference {
            champion: champion.as_ref().ok().copied(),
            candidate: candidate.as_ref().ok().copied(),
            difference: None,
            undefined_because: None,
            interval: None,
            no_interval_because: None,
        };
        match (candidate, champion) {
            (Ok(candidate), Ok(champion)) => {
                found.difference = Some(candidate - champion);
                match interval(kind, (candidate, champion)) {
                    Ok(interval) => found.interval = Some(interval),
                    Err(why) => found.no_interval_because = Some(why),
                }
            }
            (Err(why), _) => found.undefined_because = Some(format!("of the candidate: {why}")),
            (Ok(_), Err(why)) => found.undefined_because = Some(format!("of the champion: {why}")),
        }
        (kind.name(), found)
    };
    kinds.into_iter().filter(|kind| names.contains(&kind.name())).map(difference).collect()
}

fn value(window: &RankedWindow<'_>, kind: MetricKind) -> Result<f64, String> {
    let Some(metric) = window.metric(kind) else { return Err("there are no days".to_owned()) };
    metric.value.ok_or_else(|| metric.undefined_because.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Rows {
        candidate: Vec<f64>,
        champion: Vec<f64>,
        labels: Vec<bool>,
        cards: Vec<u32>,
        days: Vec<i64>,
    }

    fn rows(count: u32) -> Rows {
        let part = |row: u32, step: u32| f64::from(row * step % 101) / 101.0;
        Rows {
            candidate: (0..count).map(|row| part(row, 37)).collect(),
            champion: (0..count).map(|row| part(row, 37).midpoint(part(row, 53))).collect(),
            labels: (0..count).map(|row| part(row, 37) + part(row, 71) > 1.3).collect(),
            cards: (0..count).map(|row| row % 43).collect(),
            days: (0..count).map(|row| i64::from(row * 8 / count)).collect(),
        }
    }

    fn compared(rows: &Rows, wanted: &[&str], clusters: Option<&[u32]>) -> Differences {
        let window = ScoredRows {
            scores: &rows.candidate,
            labels: &rows.labels,
            days: &rows.days,
            cards: Some(&rows.cards),
            weights: None,
            amounts: None,
        };
        let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        let spec = EvaluationSpec { k: vec![20], ..EvaluationSpec::default() };
        differences(&window, &rows.champion, &wanted, &spec, &IntervalBasis { confidence: 0.9, clusters })
    }

    #[test]
    fn an_interval_lies_around_the_difference_and_is_narrower_than_those_of_the_metrics() {
        let rows = rows(300);
        for clusters in [None, Some(rows.cards.as_slice())] {
            for metric in ["auc_roc", "average_precision", "log_loss", "recall_at_20", "card_precision_at_20"] {
                let found = &compared(&rows, &[metric], clusters)[metric];
                let (interval, difference) = (found.interval.unwrap(), found.difference.unwrap());
                assert!(interval.low < difference && difference < interval.high, "{metric}");
                assert!((interval.low.midpoint(interval.high) - difference).abs() < 1e-12, "{metric}");
            }
        }
    }

    #[test]
    fn a_model_differs_from_itself_by_nothing_at_all() {
        let mut rows = rows(300);
        rows.champion.clone_from(&rows.candidate);
        for (name, found) in compared(&rows, &["auc_roc", "log_loss", "card_precision_at_20"], Some(&rows.cards)) {
            let interval = found.interval.unwrap();
            assert_eq!((found.difference, interval.low, interval.high), (Some(0.0), 0.0, 0.0), "{name}");
        }
    }

    #[test]
    fn a_model_in_the_champions_order_differs_by_nothing_in_metrics_of_the_order() {
        let mut rows = rows(300);
        rows.champion = rows.candidate.iter().map(|score| score / 2.0).collect();
        for (name, found) in compared(&rows, &["auc_roc", "log_loss", "card_precision_at_20"], Some(&rows.cards)) {
            let interval = found.interval.unwrap();
            assert_eq!((interval.low, interval.high) == (0.0, 0.0), name != "log_loss", "{name}: {interval:?}");
        }
    }

    #[test]
    fn what_is_undefined_has_no_difference_and_few_frauds_have_no_interval() {
        let mut few = rows(40);
        let found = &compared(&few, &["auc_roc"], None)["auc_roc"];
        let why = found.no_interval_because.as_deref().unwrap_or_default();
        assert!(
            found.difference.is_some() && found.interval.is_none() && why.contains("an interval needs 20"),
            "{why}"
        );
        few.labels.fill(false);
        let found = &compared(&few, &["auc_roc"], None)["auc_roc"];
        assert_eq!((found.candidate, found.champion, found.difference, found.interval), (None, None, None, None));
        assert!(found.undefined_because.as_ref().unwrap().contains("only one class"));
        assert!(compared(&few, &["precision_at_7"], None).is_empty());
    }
}
