//! Metrics of a binary classifier on the test window, as scikit-learn defines them, ties included.
//!
//! A metric that is undefined is null with a reason; it can never pass a gate.

mod cards;
mod ranking;
mod scoring;

use crate::contract::EvaluationSpec;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Metrics by name.
pub type Metrics = BTreeMap<String, Metric>;

/// A measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The value; null where it is undefined.
    pub value: Option<f64>,
    /// Why there is no value.
    pub undefined_because: Option<String>,
}

impl Metric {
    fn defined(value: f64) -> Self {
        Self { value: Some(value), undefined_because: None }
    }

    fn undefined(why: &str) -> Self {
        Self { value: None, undefined_because: Some(why.to_owned()) }
    }
}

/// Scores of the test window with what is needed to judge them; all slices have the same length.
#[derive(Debug, Clone, Copy)]
pub struct Scored<'a> {
    /// Probability of fraud, 0 to 1.
    pub scores: &'a [f64],
    /// Fraud or not.
    pub labels: &'a [bool],
    /// UTC day of the payment, for metrics per day.
    pub days: &'a [i64],
    /// The card (or whatever the first entity column holds), where there is one.
    pub cards: Option<&'a [u32]>,
}

/// Computes every metric that the plan asks for.
pub fn measure(scored: &Scored<'_>, spec: &EvaluationSpec) -> Metrics {
    let ranked = ranking::Ranked::new(scored.scores, scored.labels);
    let mut metrics = Metrics::new();
    let mut add = |name: String, metric: Metric| metrics.insert(name, metric);
    add("auc_roc".to_owned(), ranked.auc_roc());
    add("average_precision".to_owned(), ranked.average_precision());
    add("log_loss".to_owned(), scoring::log_loss(scored.scores, scored.labels));
    add("brier_score".to_owned(), scoring::brier_score(scored.scores, scored.labels));
    for &k in &spec.k {
        add(format!("precision_at_{k}"), ranked.precision_at(k));
        add(format!("recall_at_{k}"), ranked.recall_at(k));
        if let Some(cards) = scored.cards {
            add(format!("card_precision_at_{k}"), cards::card_precision_at(scored, cards, k));
        }
    }
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Fixture {
        name: String,
        scores: Vec<f64>,
        labels: Vec<bool>,
        expected: BTreeMap<String, Option<f64>>,
    }

    /// Fixtures are written by `tests/interop/metric_fixtures.py` with scikit-learn.
    #[test]
    fn metrics_equal_scikit_learn() {
        let fixtures: Vec<Fixture> =
            serde_json::from_str(include_str!("../../../tests/golden/metrics/scikit_learn.json")).unwrap();
        assert!(fixtures.len() >= 8);
        for fixture in fixtures {
            let days = vec![0; fixture.scores.len()];
            let scored = Scored { scores: &fixture.scores, labels: &fixture.labels, days: &days, cards: None };
            let found = measure(&scored, &EvaluationSpec { k: vec![5], min_rows_per_class: 1 });
            for (name, expected) in fixture.expected {
                let value = found[&name].value;
                match (value, expected) {
                    (Some(value), Some(expected)) => assert!(
                        (value - expected).abs() <= 1e-9 * expected.abs().max(1.0),
                        "{} {name}: {value} is not {expected}",
                        fixture.name
                    ),
                    (None, None) => assert!(found[&name].undefined_because.is_some()),
                    (value, expected) => panic!("{} {name}: {value:?} is not {expected:?}", fixture.name),
                }
            }
        }
    }

    #[test]
    fn precision_at_k_shares_out_ties_at_the_border() {
        let spec = EvaluationSpec { k: vec![2], min_rows_per_class: 1 };
        let labels = [true, true, false, false];
        let scored = Scored { scores: &[0.9, 0.5, 0.5, 0.1], labels: &labels, days: &[0; 4], cards: None };
        let found = measure(&scored, &spec);
        // One certain hit, and one of two equal rows, of which half are frauds.
        assert_eq!(found["precision_at_2"].value, Some(0.75));
        assert_eq!(found["recall_at_2"].value, Some(0.75));
    }

    #[test]
    fn a_detected_card_leaves_the_pool() {
        let spec = EvaluationSpec { k: vec![1], min_rows_per_class: 1 };
        let scored = Scored {
            scores: &[0.9, 0.1, 0.9, 0.5],
            labels: &[true, false, true, true],
            days: &[0, 0, 1, 1],
            cards: Some(&[7, 8, 7, 9]),
        };
        assert_eq!(measure(&scored, &spec)["card_precision_at_1"].value, Some(1.0));
    }
}
