//! Judges whether a model is as good as the one in use: thresholds over paired differences.

use super::thresholds::{Comparison, Measurement, Threshold};
use crate::domain::contract::{ChampionSpec, ChampionVerdict, DifferenceVerdict, Differences};

/// A difference that was not measured never holds.
pub(super) fn judge(spec: &ChampionSpec, measured: Option<&Differences>) -> Result<ChampionVerdict, String> {
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
        Some(found) => {
            let undefined_because = found.undefined_because.as_deref();
            threshold
                .compare(&what, Measurement { value: found.difference, interval: found.interval, undefined_because })
        }
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
    use crate::domain::contract::{Difference, Interval};
    use crate::domain::identity::Digest;
    use serde_json::json;

    fn spec(differences: &serde_json::Value) -> ChampionSpec {
        let bundle_ref = json!({"ref": "bundles/a/bundle.json", "sha256": Digest::of(b"a")});
        serde_json::from_value(json!({"bundle_ref": bundle_ref, "eval_differences": differences})).unwrap()
    }

    fn found(difference: Option<f64>, interval: Option<(f64, f64)>) -> Differences {
        let interval = interval.map(|(low, high)| Interval { low, high, confidence: 0.95, replicates: 100 });
        let undefined_because = difference.is_none().then(|| "of the champion: there is only one class".to_owned());
        let value = Difference { champion: Some(0.5), candidate: Some(0.6), difference, undefined_because, interval };
        Differences::from([("auc_roc".to_owned(), value)])
    }

    fn holds(differences: &serde_json::Value, measured: Option<&Differences>) -> (bool, String) {
        let verdict = judge(&spec(differences), measured).unwrap().differences.remove(0);
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
    fn what_is_undefined_never_holds() {
        let low = json!({"min_auc_roc": -1});
        let cases = [
            (Some(found(None, None)), "of the champion: there is only one class"),
            (Some(found(Some(f64::NAN), Some((0.0, 1.0)))), "it is not a number"),
            (Some(found(Some(0.1), None)), "no confidence interval"),
            (Some(Differences::new()), "was not measured"),
            (None, "was not measured"),
        ];
        for (measured, says) in cases {
            let (holds, reason) = holds(&low, measured.as_ref());
            assert!(!holds && reason.contains(says), "{reason}");
        }
        assert!(judge(&spec(&json!({})), None).is_err());
    }
}
