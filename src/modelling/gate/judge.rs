//! Judges what was measured by a governance profile.

use super::champion;
use super::thresholds::Threshold;
use crate::domain::contract::{
    ChampionVerdict, Decision, Differences, GovernanceProfile, Metrics, PositivesVerdict, ThresholdVerdict,
};
use crate::domain::run::{Failure, FailureCode};

/// The part of an evaluation that the gate looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct GateInput<'a> {
    /// Metrics on the test window.
    pub(super) scores: &'a Metrics,
    /// Frauds in the test window.
    pub(super) test_positives: u64,
    /// The model less the champion; none where there is no champion.
    pub(super) champion: Option<&'a Differences>,
}

/// The decision with the verdict on each condition.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct GateVerdict {
    pub(super) decision: Decision,
    pub(super) thresholds: Vec<ThresholdVerdict>,
    /// Whether the test window holds enough frauds.
    pub(super) positives: PositivesVerdict,
    /// None where the profile names no champion.
    pub(super) champion: Option<ChampionVerdict>,
}

/// PASS only if every threshold holds, the test window has enough frauds, and the model is as good as the champion
/// where the profile names one. A profile that cannot be read is `GOVERNANCE_PROFILE_INVALID`.
pub(super) fn judge(input: &GateInput<'_>, profile: &GovernanceProfile) -> Result<GateVerdict, Failure> {
    let invalid = |why| Failure::new(FailureCode::GovernanceProfileInvalid, why);
    let thresholds = Threshold::all_of(profile).map_err(invalid)?;
    let verdicts: Vec<ThresholdVerdict> = thresholds.iter().map(|threshold| threshold.judge(input.scores)).collect();
    let positives = PositivesVerdict {
        required: profile.min_positives,
        found: input.test_positives,
        holds: input.test_positives >= profile.min_positives,
    };
    let compare = |spec| champion::judge(spec, input.champion).map_err(invalid);
    let champion = profile.champion.as_ref().map(compare).transpose()?;
    let passes = positives.holds
        && verdicts.iter().all(|verdict| verdict.holds)
        && champion.iter().flat_map(|champion| &champion.differences).all(|verdict| verdict.holds);
    let decision = if passes { Decision::Pass } else { Decision::Fail };
    Ok(GateVerdict { decision, thresholds: verdicts, positives, champion })
}
