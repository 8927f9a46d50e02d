//! Compares two models on the same rows: computes each metric of the candidate minus that of the champion.

use super::bootstrap::{self, Resampling};
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
    resampling: &Resampling<'_>,
) -> Differences {
    let champion = ScoredRows { scores: champion, ..*candidate };
    let kinds: Vec<MetricKind> = MetricKind::all(spec, candidate.cards.is_some())
        .into_iter()
        .filter(|kind| names.contains(&kind.name()))
        .collect();
    let resampled: Vec<MetricKind> = kinds.iter().copied().filter(|kind| !kind.is_per_day()).collect();
    let own = RankedScores::new(candidate.scores, candidate.labels);
    let other = RankedScores::new(champion.scores, champion.labels);
    let mut intervals = bootstrap::paired_intervals(&own, &other, &resampled, resampling).into_iter();
    let (own, other) = (RankedWindow::new(candidate, &own), RankedWindow::new(&champion, &other));
    let difference = |kind: MetricKind| {
        let interval = if kind.is_per_day() { None } else { intervals.next().flatten() };
        let (candidate, champion) = (value(&own, kind), value(&other, kind));
        let (difference, undefined_because) = match (&candidate, &champion) {
            (Ok(candidate), Ok(champion)) => (Some(candidate - champion), None),
            (Err(why), _) => (None, Some(format!("of the candidate: {why}"))),
            (Ok(_), Err(why)) => (None, Some(format!("of the champion: {why}"))),
        };
        let found = Difference {
            champion: champion.ok(),
            candidate: candidate.ok(),
            difference,
            undefined_because,
            interval: interval.filter(|_| difference.is_some()),
        };
        (kind.name(), found)
    };
    kinds.into_iter().map(difference).collect()
}

fn value(window: &RankedWindow<'_>, kind: MetricKind) -> Result<f64, String> {
    let Some(metric) = window.metric(kind) else { return Err("there are no days".to_owned()) };
    metric.value.ok_or_else(|| metric.undefined_because.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::super::measure;
    use super::*;
    use crate::domain::contract::BootstrapSpec;
    use crate::domain::identity::recipe_digest;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
    use serde_json::json;

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
            cards: (0..count).map(|row| row % 23).collect(),
            days: (0..count).map(|row| i64::from(row / 50)).collect(),
        }
    }

    fn spec() -> EvaluationSpec {
        EvaluationSpec { k: vec![20], ..EvaluationSpec::default() }
    }

    fn compared(rows: &Rows, wanted: &[&str], clusters: Option<&[u32]>, threads: u32) -> Differences {
        let window =
            ScoredRows { scores: &rows.candidate, labels: &rows.labels, days: &rows.days, cards: Some(&rows.cards) };
        let bootstrap = BootstrapSpec { replicates: 101, confidence: 0.9, ..BootstrapSpec::default() };
        let resampling = Resampling { spec: &bootstrap, clusters, seed: 5, threads };
        let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
        differences(&window, &rows.champion, &wanted, &spec(), &resampling)
    }

    /// Computes the interval the slow way: writes the drawn rows out, measures each model by itself and subtracts. This
    /// shares neither weights nor sorted order with the code under test.
    fn by_hand(rows: &Rows, metric: &str, clusters: Option<&[u32]>) -> (f64, f64) {
        let count = rows.labels.len();
        // Members are positions in the candidate's order of scores or, if given, clusters in the order of the data.
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by(|&a, &b| rows.candidate[b].total_cmp(&rows.candidate[a]).then(a.cmp(&b)));
        let groups: Vec<Vec<usize>> = match clusters {
            None => order.into_iter().map(|row| vec![row]).collect(),
            Some(clusters) => {
                let mut seen: Vec<u32> = Vec::new();
                for cluster in clusters {
                    if !seen.contains(cluster) {
                        seen.push(*cluster);
                    }
                }
                let of = |cluster: &u32| (0..count).filter(|&row| clusters[row] == *cluster).collect();
                seen.iter().map(of).collect()
            }
        };
        let seed = *recipe_digest("mf.bootstrap.v1", &json!({"seed": 5})).as_bytes();
        let mut found: Vec<f64> = Vec::new();
        for replicate in 0..101 {
            let mut random = ChaCha8Rng::from_seed(seed);
            random.set_stream(replicate);
            let mut drawn: Vec<usize> = Vec::new();
            for _ in 0..groups.len() {
                let member = (u128::from(random.next_u64()) * groups.len() as u128) >> 64;
                drawn.extend(&groups[member as usize]);
            }
            let labels: Vec<bool> = drawn.iter().map(|&row| rows.labels[row]).collect();
            let value = |scores: &[f64]| {
                let scores: Vec<f64> = drawn.iter().map(|&row| scores[row]).collect();
                let window = ScoredRows { scores: &scores, labels: &labels, days: &vec![0; drawn.len()], cards: None };
                measure(&window, &spec(), None, &[]).scores[metric].value.unwrap()
            };
            found.push(value(&rows.candidate) - value(&rows.champion));
        }
        found.sort_by(f64::total_cmp);
        // The 5th and the 95th percentile of 101 values need no interpolation.
        (found[5], found[95])
    }

    #[test]
    fn an_interval_is_that_of_both_models_on_the_same_drawn_rows() {
        let rows = rows(300);
        for clusters in [None, Some(rows.cards.as_slice())] {
            for metric in ["auc_roc", "average_precision", "log_loss", "recall_at_20"] {
                let found = &compared(&rows, &[metric], clusters, 2)[metric];
                let interval = found.interval.unwrap();
                let (low, high) = by_hand(&rows, metric, clusters);
                assert!((interval.low - low).abs() < 1e-12, "{metric}: {} is not {low}", interval.low);
                assert!((interval.high - high).abs() < 1e-12, "{metric}: {} is not {high}", interval.high);
                assert_eq!((interval.confidence, interval.replicates), (0.9, 101));
            }
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same_differences() {
        let rows = rows(200);
        let wanted = ["auc_roc", "card_precision_at_20", "brier_score"];
        let one = compared(&rows, &wanted, None, 1);
        assert_eq!(one.len(), 3);
        for threads in [2, 7, 300] {
            assert_eq!(compared(&rows, &wanted, None, threads), one);
        }
    }

    #[test]
    fn a_model_differs_from_itself_by_nothing_at_all() {
        let mut rows = rows(120);
        rows.champion.clone_from(&rows.candidate);
        for (name, found) in compared(&rows, &["auc_roc", "log_loss"], None, 2) {
            let interval = found.interval.unwrap();
            assert_eq!((found.difference, interval.low, interval.high), (Some(0.0), 0.0, 0.0), "{name}");
        }
    }

    #[test]
    fn what_is_undefined_has_no_difference_and_a_metric_per_day_no_interval() {
        let mut rows = rows(120);
        let per_day = &compared(&rows, &["card_precision_at_20"], None, 1)["card_precision_at_20"];
        assert!(per_day.difference.is_some() && per_day.interval.is_none());
        rows.labels.fill(false);
        let found = &compared(&rows, &["auc_roc"], None, 1)["auc_roc"];
        assert_eq!((found.candidate, found.champion, found.difference, found.interval), (None, None, None, None));
        assert!(found.undefined_because.as_ref().unwrap().contains("only one class"));
        assert!(compared(&rows, &["precision_at_7"], None, 1).is_empty());
    }
}
