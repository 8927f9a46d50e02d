//! Reads from an evaluation report and a gate receipt what they were made from, so that both can be made again.
//!
//! A receipt states the bounds that it was judged by, but not the bytes of the governance profile. A receipt under lower
//! bounds than its profile's is therefore found only by somebody who has the profile.

use crate::domain::contract::{
    ChampionSpec, Controls, EvalReport, Evaluation, GateReceipt, GovernanceProfile, JudgedBound, ThresholdBasis,
    ThresholdSpec, TrainPlan,
};

/// Returns what was measured. [`super::report`] makes the same report of it.
pub fn evaluation_of(report: &EvalReport) -> Evaluation {
    let metrics = report.metrics.clone();
    Evaluation {
        scores: metrics.scores,
        confusion: metrics.confusion,
        curves: metrics.curves,
        slices: metrics.slices,
        dataset: metrics.dataset,
        split: metrics.split,
        rounds: metrics.rounds,
        features: metrics.features,
        champion: metrics.champion,
    }
}

/// Returns a profile with the conditions that a receipt states, under the name and revision that the plan pins.
/// [`super::gate`] makes the same receipt by it.
pub fn stated_profile(plan: &TrainPlan, receipt: &GateReceipt) -> GovernanceProfile {
    let judged = |bound, on| ThresholdSpec::Judged(JudgedBound { bound, on });
    let champion = receipt.champion.as_ref().map(|champion| {
        let differences = champion.differences.iter();
        ChampionSpec {
            bundle_ref: champion.bundle.clone(),
            eval_differences: differences.map(|of| (of.threshold.clone(), judged(of.bound, of.on))).collect(),
            // Every bound has its own.
            on: ThresholdBasis::default(),
            confidence: champion.confidence,
        }
    });
    let thresholds = receipt.thresholds.iter();
    GovernanceProfile {
        policy_id: plan.governance_profile.policy_id.clone(),
        revision: plan.governance_profile.revision.clone(),
        controls: Controls { require_pass_gate: true },
        eval_thresholds: thresholds.map(|of| (of.threshold.clone(), judged(of.bound, of.on))).collect(),
        on: ThresholdBasis::default(),
        min_positives: receipt.min_positives.required,
        champion,
    }
}
