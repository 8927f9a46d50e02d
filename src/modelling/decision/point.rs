//! Measures operating points: what a threshold promised on the validation window, and what it did on the test window.

use super::choose::{choose, cost_of};
use super::rows::DecisionRows;
use crate::domain::contract::{
    CostSpec, DecisionWindows, MetricValue, Metrics, OperatingPoint, OperatingPointSpec, PointInWindow,
};
use crate::modelling::metrics::{
    IntervalBasis, ScoredRows, WeightedShare, defined, precision_and_recall, undefined, weighted_share,
};

const NO_METHOD: &str = "no method was shown to give an interval that holds the true value often enough";
const NO_DAYS: &str = "rows that are split at random have no days";

/// What is asked of the windows.
#[derive(Debug, Clone, Copy)]
pub struct DecisionBasis<'a> {
    pub points: &'a [OperatingPointSpec],
    pub cost: Option<&'a CostSpec>,
    /// Share of windows in which an interval shall hold the true value, for example 0.95.
    pub confidence: f64,
}

/// Chooses each point's threshold on the validation window, and measures it on both windows. Without a validation window,
/// no point has a threshold.
pub fn operating_points(
    validation: Option<&DecisionRows<'_>>,
    test: &DecisionRows<'_>,
    basis: &DecisionBasis<'_>,
) -> (DecisionWindows, Vec<OperatingPoint>) {
    let windows = DecisionWindows { validation: validation.map(DecisionRows::summary), test: test.summary() };
    let steps = validation.map(DecisionRows::steps).unwrap_or_default();
    let chosen: Vec<Result<f64, String>> = basis
        .points
        .iter()
        .map(|point| match validation {
            Some(rows) => choose(point.target, rows, &steps, basis.cost),
            None => Err("the run has no validation window, on which thresholds are chosen".to_owned()),
        })
        .collect();
    let thresholds: Vec<f64> = chosen.iter().flatten().copied().collect();
    let intervals = IntervalBasis { confidence: basis.confidence, clusters: test.clusters };
    let mut on_validation = validation.map(|rows| measured(rows, &thresholds, basis.cost, None)).into_iter().flatten();
    let mut on_test = measured(test, &thresholds, basis.cost, Some(&intervals)).into_iter();
    let points = basis.points.iter().zip(chosen).map(|(point, chosen)| {
        let (name, target) = (point.name.clone(), point.target);
        match chosen {
            Ok(threshold) => OperatingPoint {
                name,
                target,
                threshold: Some(threshold),
                no_threshold_because: None,
                validation: on_validation.next(),
                test: on_test.next(),
            },
            Err(why) => OperatingPoint {
                name,
                target,
                threshold: None,
                no_threshold_because: Some(why),
                validation: None,
                test: None,
            },
        }
    });
    (windows, points.collect())
}

/// Measures a window at each threshold. Metrics have intervals only if `intervals` is given.
fn measured(
    rows: &DecisionRows<'_>,
    thresholds: &[f64],
    cost: Option<&CostSpec>,
    intervals: Option<&IntervalBasis<'_>>,
) -> Vec<PointInWindow> {
    let days = vec![0; rows.labels.len()];
    let scored =
        ScoredRows { scores: rows.scores, labels: rows.labels, days: &days, cards: None, weights: None, amounts: None };
    let shares = precision_and_recall(&scored, thresholds, intervals);
    let point = |(&threshold, (precision, recall)): (&f64, (MetricValue, MetricValue))| {
        let flags = Flagged { rows, alerts: rows.scores.iter().map(|score| *score >= threshold).collect(), intervals };
        let alerts = flags.count(|_| true);
        let hits = flags.count(|row| rows.labels[row]);
        let mut metrics = Metrics::from([("precision".to_owned(), precision), ("recall".to_owned(), recall)]);
        metrics.extend(flags.rates().into_iter().chain(flags.money()).map(|(name, metric)| (name.to_owned(), metric)));
        if let Some(cost) = cost {
            metrics.insert("cost_per_day".to_owned(), flags.cost_per_day(cost));
        }
        let next = rows.scores.iter().copied().filter(|score| *score < threshold).fold(f64::NEG_INFINITY, f64::max);
        let have = |wanted: f64| rows.scores.iter().filter(|score| score.total_cmp(&wanted).is_eq()).count() as u64;
        PointInWindow { alerts, hits, rows_at_threshold: have(threshold), rows_at_next_score: have(next), metrics }
    };
    thresholds.iter().zip(shares).map(point).collect()
}

/// A window with the rows that a threshold flags.
struct Flagged<'a> {
    rows: &'a DecisionRows<'a>,
    alerts: Vec<bool>,
    intervals: Option<&'a IntervalBasis<'a>>,
}

type Named = (&'static str, MetricValue);

impl Flagged<'_> {
    fn count(&self, is_counted: impl Fn(usize) -> bool) -> u64 {
        (0..self.alerts.len()).filter(|&row| self.alerts[row] && is_counted(row)).count() as u64
    }

    fn rates(&self) -> [Named; 3] {
        let labels = self.rows.labels;
        let good: Vec<f64> = labels.iter().map(|label| f64::from(u8::from(!label))).collect();
        let alarms: Vec<f64> = good.iter().zip(&self.alerts).map(|(one, hit)| if *hit { *one } else { 0.0 }).collect();
        let rate = WeightedShare {
            weights: &good,
            hits: &self.alerts,
            evidence: &alarms,
            evidence_name: "false alarms",
            otherwise: "there are no good payments",
        };
        let alert = |row: usize| f64::from(u8::from(self.alerts[row]));
        let worst = self.rows.by_day(alert).map_or_else(
            || undefined(NO_DAYS),
            |days| {
                let mut worst = defined(days.into_iter().fold(0.0, f64::max));
                let why = "the worst day is an extreme, for which no method gives an interval";
                worst.no_interval_because = self.intervals.map(|_| why.to_owned());
                worst
            },
        );
        [
            ("alerts_per_day", self.per_day(alert)),
            ("alerts_worst_day", worst),
            ("fpr", self.without_interval(weighted_share(&rate, None), NO_METHOD)),
        ]
    }

    /// Returns the metrics of money. Empty without an amount column.
    fn money(&self) -> Vec<Named> {
        let Some(amounts) = self.rows.amounts else { return Vec::new() };
        let labels = self.rows.labels;
        let only = |is_part: &[bool]| -> Vec<f64> {
            amounts.iter().zip(is_part).map(|(amount, part)| if *part { *amount } else { 0.0 }).collect()
        };
        let (of_frauds, of_flagged) = (only(labels), only(&self.alerts));
        let detected = WeightedShare {
            weights: &of_frauds,
            hits: &self.alerts,
            evidence: &of_frauds,
            evidence_name: "money of frauds",
            otherwise: "the frauds have no amount",
        };
        let precision = WeightedShare {
            weights: &of_flagged,
            hits: labels,
            evidence: &of_flagged,
            evidence_name: "flagged money",
            otherwise: "no money is flagged",
        };
        let missed = |row: usize| if labels[row] && !self.alerts[row] { amounts[row] } else { 0.0 };
        vec![
            ("amount_precision", weighted_share(&precision, self.intervals)),
            ("missed_amount_per_day", self.per_day(missed)),
            ("value_detection_rate", weighted_share(&detected, self.intervals)),
        ]
    }

    /// The cost of a row is that of a threshold over this row alone.
    fn cost_per_day(&self, cost: &CostSpec) -> MetricValue {
        let amounts = self.rows.amounts.unwrap_or_default();
        self.per_day(|row| {
            let (fraud, flagged) = (self.rows.labels[row], self.alerts[row]);
            let missed = if fraud && !flagged { amounts.get(row).copied().unwrap_or(0.0) } else { 0.0 };
            cost_of(cost, u64::from(flagged), u64::from(flagged && fraud), missed)
        })
    }

    /// Returns the mean of a sum over a day.
    fn per_day(&self, value: impl Fn(usize) -> f64) -> MetricValue {
        let (Some(length), Some(days)) = (self.rows.days(), self.rows.by_day(value)) else { return undefined(NO_DAYS) };
        self.without_interval(defined(days.iter().sum::<f64>() / length), NO_METHOD)
    }

    fn without_interval(&self, metric: MetricValue, why: &str) -> MetricValue {
        MetricValue { no_interval_because: self.intervals.map(|_| why.to_owned()), ..metric }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{PointTarget, TimeWindow};
    use chrono::DateTime;

    const DAY: i64 = 86_400_000_000;

    struct Window {
        scores: Vec<f64>,
        labels: Vec<bool>,
        amounts: Vec<f64>,
        at: Vec<i64>,
        cards: Vec<u32>,
    }

    /// Builds a window of ten days whose scores know some of the frauds.
    fn window(shift: u32) -> Window {
        let part = |row: u32, step: u32| f64::from((row + shift) * step % 101) / 101.0;
        let rows = || 0..2_000_u32;
        Window {
            scores: rows().map(|row| part(row, 37)).collect(),
            labels: rows().map(|row| part(row, 37) + part(row, 71) > 1.6).collect(),
            amounts: rows().map(|row| f64::from(row % 89) + 0.5).collect(),
            at: rows().map(|row| i64::from(row) * DAY / 200).collect(),
            cards: rows().map(|row| row % 431).collect(),
        }
    }

    fn rows(of: &Window) -> DecisionRows<'_> {
        let window =
            TimeWindow { start: DateTime::UNIX_EPOCH, end: DateTime::from_timestamp_micros(10 * DAY).unwrap() };
        DecisionRows {
            scores: &of.scores,
            labels: &of.labels,
            amounts: Some(&of.amounts),
            times: Some((&of.at, window)),
            clusters: Some(&of.cards),
        }
    }

    const COST: CostSpec = CostSpec { review: 2.0, loss_share: 0.8, friction: 1.0 };

    fn spec(name: &str, target: PointTarget) -> OperatingPointSpec {
        OperatingPointSpec { name: name.to_owned(), target }
    }

    #[test]
    fn a_point_is_chosen_on_validation_measured_on_test_and_has_its_numbers_with_intervals() {
        let (validation, test) = (window(0), window(7));
        let points = [spec("review", PointTarget::AlertsPerDay(20.0)), spec("never", PointTarget::Precision(1.1))];
        let basis = DecisionBasis { points: &points, cost: Some(&COST), confidence: 0.95 };
        let (windows, found) = operating_points(Some(&rows(&validation)), &rows(&test), &basis);
        assert_eq!((windows.test.days, windows.test.rows), (Some(10.0), 2_000));
        let [review, never] = found.try_into().unwrap();
        let (threshold, promised, did) = (review.threshold.unwrap(), review.validation.unwrap(), review.test.unwrap());
        assert!(validation.scores.contains(&threshold) && promised.alerts <= 200);
        assert!(promised.alerts + promised.rows_at_next_score > 200, "the next score is over the budget");
        let flagged: Vec<usize> = (0..2_000).filter(|&row| test.scores[row] >= threshold).collect();
        let hits = flagged.iter().filter(|&&row| test.labels[row]).count();
        assert_eq!((did.alerts, did.hits), (flagged.len() as u64, hits as u64));
        let value = |name: &str| did.metrics[name].value.unwrap();
        assert!((value("alerts_per_day") - flagged.len() as f64 / 10.0).abs() < 1e-12);
        assert!((value("precision") - hits as f64 / flagged.len() as f64).abs() < 1e-12);
        let money =
            |is: &dyn Fn(usize) -> bool| -> f64 { (0..2_000).filter(|&r| is(r)).map(|r| test.amounts[r]).sum() };
        let caught = money(&|row| test.labels[row] && test.scores[row] >= threshold);
        let all = money(&|row| test.labels[row]);
        assert!((value("value_detection_rate") - caught / all).abs() < 1e-12);
        let cost = 2.0 * flagged.len() as f64 + (flagged.len() - hits) as f64 + 0.8 * (all - caught);
        assert!((value("cost_per_day") - cost / 10.0).abs() < 1e-9);
        for (name, metric) in &did.metrics {
            let interval = metric.interval.map(|interval| (interval.low, interval.high));
            let holds = |(low, high): (f64, f64)| low <= value(name) && value(name) <= high && low < high;
            let has_none = name.contains("_day") || name == "fpr";
            assert_eq!(interval.is_some_and(holds), !has_none, "{name}: {metric:?}");
        }
        assert!(promised.metrics.values().all(|metric| metric.interval.is_none()));
        assert!(never.threshold.is_none() && never.test.is_none() && never.no_threshold_because.is_some());
    }

    #[test]
    fn without_amounts_and_days_their_metrics_are_absent_or_say_why() {
        let of = window(0);
        let bare = DecisionRows { amounts: None, times: None, ..rows(&of) };
        let points = [spec("rate", PointTarget::Fpr(0.05))];
        let basis = DecisionBasis { points: &points, cost: None, confidence: 0.95 };
        let (windows, found) = operating_points(Some(&bare), &bare, &basis);
        assert_eq!((windows.test.days, windows.test.amount), (None, None));
        let metrics = &found[0].test.as_ref().unwrap().metrics;
        let names: Vec<&String> = metrics.keys().collect();
        assert_eq!(names, ["alerts_per_day", "alerts_worst_day", "fpr", "precision", "recall"]);
        assert_eq!(metrics["alerts_per_day"].undefined_because.as_deref(), Some(NO_DAYS));
        let (_, found) = operating_points(None, &bare, &basis);
        assert!(found[0].no_threshold_because.as_ref().unwrap().contains("no validation window"));
    }
}
