//! Reads the thresholds of a governance profile and compares each with the metrics.

use crate::domain::contract::{
    ChampionSpec, DecisionReport, Difference, Direction, GovernanceProfile, Interval, MetricValue, Metrics,
    ThresholdBasis, ThresholdSpec, ThresholdVerdict,
};
use std::collections::BTreeMap;

/// A bound on a metric, or on the difference between a metric and the champion's metric of the same name.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// The name in the profile, for example `min_auc_roc`.
    pub name: String,
    pub metric: String,
    pub direction: Direction,
    pub bound: f64,
    pub on: ThresholdBasis,
}

/// All that a threshold may ask for, by name.
pub(super) struct Measurements<'a> {
    metrics: BTreeMap<String, &'a MetricValue>,
    decision: Option<&'a DecisionReport>,
}

impl<'a> Measurements<'a> {
    pub(super) fn new(scores: &'a Metrics, decision: Option<&'a DecisionReport>) -> Self {
        let of_scores = scores.iter().map(|(name, metric)| (name.clone(), metric));
        let of_decision = decision.into_iter().flat_map(DecisionReport::metrics);
        Self { metrics: of_scores.chain(of_decision).collect(), decision }
    }

    /// Says why a metric is not there.
    fn missing_because(&self, name: &str) -> String {
        let known = self.decision.and_then(|decision| decision.missing_because(name));
        known.unwrap_or_else(|| format!("{name} was not measured; the training profile must ask for it"))
    }
}

pub(super) struct Comparison {
    pub(super) value: Option<f64>,
    pub(super) interval: Option<Interval>,
    pub(super) compared: Option<f64>,
    pub(super) holds: bool,
    pub(super) reason: String,
}

/// What was measured of a metric, or of its difference to the champion's.
pub(super) struct Measurement<'a> {
    value: Option<f64>,
    interval: Option<Interval>,
    undefined_because: Option<&'a str>,
    no_interval_because: Option<&'a str>,
}

impl<'a> Measurement<'a> {
    fn of_metric(metric: &'a MetricValue) -> Self {
        Self {
            value: metric.value,
            interval: metric.interval,
            undefined_because: metric.undefined_because.as_deref(),
            no_interval_because: metric.no_interval_because.as_deref(),
        }
    }

    pub(super) fn of_difference(found: &'a Difference) -> Self {
        Self {
            value: found.difference,
            interval: found.interval,
            undefined_because: found.undefined_because.as_deref(),
            no_interval_because: found.no_interval_because.as_deref(),
        }
    }
}

impl Comparison {
    /// Builds the comparison for a metric without a value. Its bound does not hold.
    pub(super) fn nothing(reason: String) -> Self {
        Self { value: None, interval: None, compared: None, holds: false, reason }
    }
}

impl Threshold {
    /// Reads the thresholds of a profile, in the order of their names. The error names the invalid threshold.
    pub fn all_of(profile: &GovernanceProfile) -> Result<Vec<Self>, String> {
        if profile.eval_thresholds.is_empty() {
            return Err("eval_thresholds is empty: a gate that checks nothing cannot pass".to_owned());
        }
        profile.eval_thresholds.iter().map(|(name, spec)| Self::read(name, spec, profile.on)).collect()
    }

    /// Reads the thresholds on differences to the champion. The error names the invalid threshold.
    pub fn of_differences(spec: &ChampionSpec) -> Result<Vec<Self>, String> {
        spec.eval_differences.iter().map(|(name, bound)| Self::read(name, bound, spec.on)).collect()
    }

    pub(super) fn read(name: &str, spec: &ThresholdSpec, on: ThresholdBasis) -> Result<Self, String> {
        let (direction, metric) = match (name.strip_prefix("min_"), name.strip_prefix("max_")) {
            (Some(metric), None) => (Direction::Min, metric),
            (None, Some(metric)) => (Direction::Max, metric),
            (None, None) | (Some(_), Some(_)) => {
                return Err(format!("threshold {name:?} must be min_<metric> or max_<metric>"));
            }
        };
        if !spec.bound().is_finite() {
            return Err(format!("threshold {name:?} must be a number"));
        }
        let (bound, on) = (spec.bound(), spec.basis(on));
        Ok(Self { name: name.to_owned(), metric: metric.to_owned(), direction, bound, on })
    }

    /// Compares the metric with the bound. The threshold does not hold if the metric is missing, null or not a number.
    /// A threshold on the confidence bound does not hold if the metric has no interval.
    pub(super) fn judge(&self, measured: &Measurements<'_>) -> ThresholdVerdict {
        let Comparison { value, interval, compared, holds, reason } = match measured.metrics.get(&self.metric) {
            Some(metric) => self.compare(&self.metric, &Measurement::of_metric(metric)),
            None => Comparison::nothing(measured.missing_because(&self.metric)),
        };
        ThresholdVerdict {
            threshold: self.name.clone(),
            metric: self.metric.clone(),
            direction: self.direction,
            bound: self.bound,
            on: self.on,
            value,
            interval,
            compared,
            holds,
            reason,
        }
    }

    /// Compares a metric's value, or a difference, with the bound. `what` is the name of the metric in the reason.
    pub(super) fn compare(&self, what: &str, measured: &Measurement<'_>) -> Comparison {
        let numbers = |interval: &Interval| interval.low.is_finite() && interval.high.is_finite();
        let interval = measured.interval.filter(numbers);
        let Some(value) = measured.value.filter(|value| value.is_finite()) else {
            let why = measured.undefined_because.unwrap_or("it is not a number");
            return Comparison::nothing(format!("{what} is undefined: {why}"));
        };
        let compared = match (self.on, self.direction, interval) {
            (ThresholdBasis::Point, _, _) => Some((value, format!("{what} is {value}"))),
            (ThresholdBasis::ConfidenceBound, Direction::Min, Some(Interval { low, .. })) => {
                Some((low, format!("{what} is {value}, its lower confidence bound is {low}")))
            }
            (ThresholdBasis::ConfidenceBound, Direction::Max, Some(Interval { high, .. })) => {
                Some((high, format!("{what} is {value}, its upper confidence bound is {high}")))
            }
            (ThresholdBasis::ConfidenceBound, _, None) => None,
        };
        let Some((compared, said)) = compared else {
            let why = measured.no_interval_because.unwrap_or("the report gives none");
            let reason = format!("{what} is {value} and has no confidence interval: {why}");
            return Comparison { value: Some(value), interval, compared: None, holds: false, reason };
        };
        let (holds, word) = match self.direction {
            Direction::Min => (compared >= self.bound, "at least"),
            Direction::Max => (compared <= self.bound, "at most"),
        };
        let reason = format!("{said}, required is {word} {}", self.bound);
        Comparison { value: Some(value), interval, compared: Some(compared), holds, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{IntervalMethod, MetricValue};

    fn interval(low: f64, high: f64) -> Interval {
        Interval { low, high, confidence: 0.95, method: IntervalMethod::LogOdds, units: 100 }
    }

    fn metrics(value: Option<f64>, interval: Option<Interval>) -> Metrics {
        let undefined_because = value.is_none().then(|| "there is only one class".to_owned());
        let metric = MetricValue { value, undefined_because, interval, no_interval_because: None };
        Metrics::from([("auc_roc".to_owned(), metric)])
    }

    fn verdict(name: &str, spec: ThresholdSpec, metrics: &Metrics) -> ThresholdVerdict {
        Threshold::read(name, &spec, ThresholdBasis::Point).unwrap().judge(&Measurements::new(metrics, None))
    }

    fn on_bound(bound: f64) -> ThresholdSpec {
        ThresholdSpec::Judged(crate::domain::contract::JudgedBound { bound, on: ThresholdBasis::ConfidenceBound })
    }

    #[test]
    fn what_equals_the_bound_holds_in_both_directions_and_the_next_number_does_not() {
        let (value, interval) = (0.8_f64, interval(0.7, 0.9));
        let found = metrics(Some(value), Some(interval));
        let cases = [
            ("min_auc_roc", ThresholdSpec::Bound(0.8), ThresholdSpec::Bound(0.8_f64.next_up())),
            ("max_auc_roc", ThresholdSpec::Bound(0.8), ThresholdSpec::Bound(0.8_f64.next_down())),
            ("min_auc_roc", on_bound(0.7), on_bound(0.7_f64.next_up())),
            ("max_auc_roc", on_bound(0.9), on_bound(0.9_f64.next_down())),
        ];
        for (name, holds, fails) in cases {
            assert!(verdict(name, holds, &found).holds, "{name} {holds:?}");
            assert!(!verdict(name, fails, &found).holds, "{name} {fails:?}");
        }
    }

    #[test]
    fn a_threshold_that_looks_at_the_interval_takes_its_worse_end() {
        let found = metrics(Some(0.8), Some(interval(0.7, 0.9)));
        let least = verdict("min_auc_roc", on_bound(0.75), &found);
        assert_eq!((least.holds, least.compared, least.value), (false, Some(0.7), Some(0.8)));
        assert!(least.reason.contains("lower confidence bound is 0.7"), "{}", least.reason);
        let most = verdict("max_auc_roc", on_bound(0.85), &found);
        assert_eq!((most.holds, most.compared, most.interval), (false, Some(0.9), Some(interval(0.7, 0.9))));
        assert!(verdict("min_auc_roc", ThresholdSpec::Bound(0.75), &found).holds, "the point itself is good enough");
    }

    #[test]
    fn the_profile_says_for_all_thresholds_what_one_may_say_for_itself() {
        let everywhere = |spec| Threshold::read("min_auc_roc", &spec, ThresholdBasis::ConfidenceBound).unwrap().on;
        assert_eq!(everywhere(ThresholdSpec::Bound(0.5)), ThresholdBasis::ConfidenceBound);
        let alone = crate::domain::contract::JudgedBound { bound: 0.5, on: ThresholdBasis::Point };
        assert_eq!(everywhere(ThresholdSpec::Judged(alone)), ThresholdBasis::Point);
    }

    #[test]
    fn what_is_undefined_or_no_number_never_holds_and_says_why() {
        let some = Some(interval(0.0, 1.0));
        let cases = [
            (metrics(None, some), ThresholdSpec::Bound(-1.0), "undefined: there is only one class"),
            (metrics(None, some), on_bound(-1.0), "undefined: there is only one class"),
            (metrics(Some(f64::NAN), some), ThresholdSpec::Bound(-1.0), "it is not a number"),
            (metrics(Some(f64::INFINITY), some), ThresholdSpec::Bound(-1.0), "it is not a number"),
            (metrics(Some(0.9), None), on_bound(-1.0), "no confidence interval"),
            (metrics(Some(0.9), Some(interval(f64::NAN, 1.0))), on_bound(-1.0), "no confidence interval"),
            (Metrics::new(), on_bound(-1.0), "was not measured"),
        ];
        for (found, spec, says) in cases {
            let verdict = verdict("min_auc_roc", spec, &found);
            assert!(!verdict.holds && verdict.compared.is_none() && verdict.reason.contains(says), "{verdict:?}");
        }
    }
}
