//! Takes out of an evaluation report and a gate receipt what they were made from, so that both can be made again and
//! compared.
//!
//! A receipt states the bounds that the metrics were judged by, but does not hold the governance profile. A receipt
//! with lower bounds than those of its profile is therefore found only with the profile at hand.

use crate::domain::contract::{
    ChampionSpec, Controls, Direction, EvalReport, Evaluation, GateReceipt, GovernanceProfile, JudgedBound,
    RatioCondition, SliceCondition, ThresholdBasis, ThresholdSpec, TrainPlan,
};

/// Returns what was measured. From this, [`super::report`] builds an equal report.
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
        feature_findings: metrics.feature_findings,
        choice: metrics.choice,
        champion: metrics.champion,
    }
}

/// Returns a profile with the conditions that a receipt states, under the name and revision that the plan pins. From
/// this, [`super::gate`] builds an equal receipt.
pub fn stated_profile(plan: &TrainPlan, receipt: &GateReceipt) -> GovernanceProfile {
    let judged = |bound, on| ThresholdSpec::Judged(JudgedBound { bound, on });
    let champion = receipt.champion.as_ref().map(|champion| {
        let differences = champion.differences.iter();
        ChampionSpec {
            bundle_ref: champion.bundle.clone(),
            eval_differences: differences.map(|of| (of.threshold.clone(), judged(of.bound, of.on))).collect(),
            // Unused: every bound has an `on` of its own.
            on: ThresholdBasis::default(),
            confidence: champion.confidence,
        }
    });
    let slices = receipt.slices.iter().map(|of| SliceCondition {
        column: of.column.clone(),
        metric: of.metric.clone(),
        min: (of.direction == Direction::Min).then_some(of.bound),
        max: (of.direction == Direction::Max).then_some(of.bound),
        min_rows: of.min_rows,
        min_positives: of.min_positives,
        unknown: of.unknown,
    });
    let ratio = receipt.ratio.iter().map(|of| RatioCondition {
        column: of.column.clone(),
        metric: of.metric.clone(),
        max: of.bound,
        min_rows: of.min_rows,
        min_positives: of.min_positives,
        unknown: of.unknown,
    });
    let thresholds = receipt.thresholds.iter();
    GovernanceProfile {
        policy_id: plan.governance_profile.policy_id.clone(),
        revision: plan.governance_profile.revision.clone(),
        controls: Controls { require_pass_gate: true },
        eval_thresholds: thresholds.map(|of| (of.threshold.clone(), judged(of.bound, of.on))).collect(),
        on: ThresholdBasis::default(),
        min_positives: Some(receipt.min_positives.required),
        champion,
        slices: slices.collect(),
        ratio: ratio.collect(),
    }
}
