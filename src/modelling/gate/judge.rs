//! Judges metrics by a governance profile: by thresholds on metrics, and by thresholds on differences to the champion.

use super::slices::{self, judge_ratio, judge_slices};
use super::thresholds::{Comparison, Measurement, Measurements, Threshold};
use crate::domain::contract::{
    ChampionSpec, ChampionVerdict, Decision, DecisionReport, DifferenceVerdict, Differences, EvalMetrics,
    GovernanceProfile, PositivesVerdict, RatioVerdict, SliceVerdict, ThresholdVerdict,
};
use crate::domain::run::{Failure, FailureCode};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct GateVerdict {
    pub(super) decision: Decision,
    pub(super) thresholds: Vec<ThresholdVerdict>,
    pub(super) positives: PositivesVerdict,
    /// The verdict on the comparison with the champion. `None` if the profile names no champion.
    pub(super) champion: Option<ChampionVerdict>,
    pub(super) slices: Vec<SliceVerdict>,
    pub(super) ratio: Vec<RatioVerdict>,
}

/// Returns PASS if every threshold holds, the test window has enough frauds, and every condition on the champion and on
/// slices holds. Otherwise FAIL. A threshold may ask for a metric of the evaluation report or of the decision report.
/// Returns the error `GOVERNANCE_PROFILE_INVALID` if a threshold or a condition is invalid.
pub(super) fn judge(
    metrics: &EvalMetrics,
    decision: Option<&DecisionReport>,
    profile: &GovernanceProfile,
) -> Result<GateVerdict, Failure> {
    let invalid = |why| Failure::new(FailureCode::GovernanceProfileInvalid, why);
    let thresholds = Threshold::all_of(profile).map_err(invalid)?;
    let measured = Measurements::new(&metrics.scores, decision);
    let verdicts: Vec<ThresholdVerdict> = thresholds.iter().map(|threshold| threshold.judge(&measured)).collect();
    let (required, found) = (profile.required_positives(), metrics.dataset.test.positives);
    let positives = PositivesVerdict { required, found, holds: found >= required };
    let compare = |spec| judge_differences(spec, metrics.champion.as_ref()).map_err(invalid);
    let champion = profile.champion.as_ref().map(compare).transpose()?;
    slices::check(profile).map_err(invalid)?;
    let columns = &metrics.slices;
    let slices: Vec<SliceVerdict> = profile.slices.iter().map(|of| judge_slices(of, columns)).collect();
    let ratio: Vec<RatioVerdict> = profile.ratio.iter().map(|of| judge_ratio(of, columns)).collect();
    let passes = positives.holds
        && slices.iter().all(|verdict| verdict.holds)
        && ratio.iter().all(|verdict| verdict.holds)
        && verdicts.iter().all(|verdict| verdict.holds)
        && champion.iter().flat_map(|champion| &champion.differences).all(|verdict| verdict.holds);
    let decision = if passes { Decision::Pass } else { Decision::Fail };
    Ok(GateVerdict { decision, thresholds: verdicts, positives, champion, slices, ratio })
}

/// Judges the conditions on the champion. A difference that was not measured does not hold. The error names the invalid
/// condition.
fn judge_differences(spec: &ChampionSpec, measured: Option<&Differences>) -> Result<ChampionVerdict, String> {
    let thresholds = Threshold::of_differences(spec)?;
    if thresholds.is_empty() {
        return Err("champion.eval_differences is empty: a comparison that checks nothing cannot pass".to_owned());
    }
    let differences = thresholds.iter().map(|threshold| verdict(threshold, measured)).collect();
    Ok(ChampionVerdict { bundle: spec.bundle_ref.clone(), confidence: spec.confidence, differences })
}

fn verdict(threshold: &Threshold, measured: Option<&Differences>) -> DifferenceVerdict {
    let what = format!("{} less the champion's", threshold.metric);
    let found = measured.and_then(|measured| measured.get(&threshold.metric));
    let Comparison { value, interval, compared, holds, reason } = match found {
        Some(found) => threshold.compare(&what, &Measurement::of_difference(found)),
        None => Comparison::nothing(format!("{what} was not measured; the training profile must ask for the metric")),
    };
    DifferenceVerdict {
        threshold: threshold.name.clone(),
        metric: threshold.metric.clone(),
        direction: threshold.direction,
        bound: threshold.bound,
        on: threshold.on,
        champion: found.and_then(|found| found.champion),
        candidate: found.and_then(|found| found.candidate),
        difference: value,
        interval,
        compared,
        holds,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{Difference, Interval, IntervalMethod};
    use crate::domain::identity::Digest;
    use serde_json::json;

    fn spec(differences: &serde_json::Value) -> ChampionSpec {
        let bundle_ref = json!({"ref": "bundles/a/bundle.json", "sha256": Digest::of(b"a")});
        serde_json::from_value(json!({"bundle_ref": bundle_ref, "eval_differences": differences})).unwrap()
    }

    fn found(difference: Option<f64>, interval: Option<(f64, f64)>) -> Differences {
        let (method, units) = (IntervalMethod::Paired, 100);
        let interval = interval.map(|(low, high)| Interval { low, high, confidence: 0.95, method, units });
        let undefined_because = difference.is_none().then(|| "of the champion: there is only one class".to_owned());
        let no_interval_because = interval.is_none().then(|| "only 12 frauds, an interval needs 20".to_owned());
        let value = Difference {
            champion: Some(0.5),
            candidate: Some(0.6),
            difference,
            undefined_because,
            interval,
            no_interval_because,
        };
        Differences::from([("auc_roc".to_owned(), value)])
    }

    fn holds(differences: &serde_json::Value, measured: Option<&Differences>) -> (bool, String) {
        let verdict = judge_differences(&spec(differences), measured).unwrap().differences.remove(0);
        (verdict.holds, verdict.reason)
    }

    #[test]
    fn a_difference_is_judged_by_its_bound_unless_the_profile_says_by_its_value() {
        let measured = found(Some(0.1), Some((-0.02, 0.2)));
        assert!(holds(&json!({"min_auc_roc": -0.02}), Some(&measured)).0, "a tie holds");
        let (holds_by_bound, reason) = holds(&json!({"min_auc_roc": 0}), Some(&measured));
        assert!(!holds_by_bound && reason.contains("lower confidence bound is -0.02"), "{reason}");
        assert!(holds(&json!({"min_auc_roc": {"bound": 0.1, "on": "point"}}), Some(&measured)).0);
        assert!(!holds(&json!({"max_auc_roc": 0.19}), Some(&measured)).0);
        assert!(holds(&json!({"max_auc_roc": 0.2}), Some(&measured)).0);
    }

    #[test]
    fn confidence_bounds_need_fifty_frauds_unless_the_profile_says_otherwise() {
        let required = |rest: serde_json::Value| {
            let mut profile = json!({
                "policy_id": "p", "revision": "r1", "controls": {"require_pass_gate": true},
                "eval_thresholds": {"min_auc_roc": 0.8},
            });
            profile.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
            serde_json::from_value::<GovernanceProfile>(profile).unwrap().required_positives()
        };
        let bound = json!({"min_auc_roc": {"bound": 0.8, "on": "confidence_bound"}});
        let champion = |on: &str| {
            let spec = serde_json::to_value(spec(&json!({"min_auc_roc": {"bound": 0, "on": on}}))).unwrap();
            json!({"champion": spec})
        };
        assert_eq!(required(json!({})), 0);
        assert_eq!(required(json!({"on": "confidence_bound"})), 50);
        assert_eq!(required(json!({"eval_thresholds": bound})), 50);
        assert_eq!(required(json!({"eval_thresholds": bound, "min_positives": 30})), 30);
        assert_eq!(required(champion("confidence_bound")), 50);
        assert_eq!(required(champion("point")), 0);
    }

    #[test]
    fn what_is_undefined_never_holds() {
        let low = json!({"min_auc_roc": -1});
        let cases = [
            (Some(found(None, None)), "of the champion: there is only one class"),
            (Some(found(Some(f64::NAN), Some((0.0, 1.0)))), "it is not a number"),
            (Some(found(Some(0.1), None)), "no confidence interval: only 12 frauds"),
            (Some(Differences::new()), "was not measured"),
            (None, "was not measured"),
        ];
        for (measured, says) in cases {
            let (holds, reason) = holds(&low, measured.as_ref());
            assert!(!holds && reason.contains(says), "{reason}");
        }
        assert!(judge_differences(&spec(&json!({})), None).is_err());
    }
}
