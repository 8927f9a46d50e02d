//! Says what changes against the model in use.

use super::rows::DecisionRows;
use super::score_map::{BothScores, score_map};
use super::swap::swap_set;
use crate::domain::contract::{AgainstChampion, OperatingPoint};
use crate::domain::identity::Digest;

/// The champion's scores.
#[derive(Debug, Clone, Copy)]
pub struct ChampionScores<'a> {
    pub model_sha256: Digest,
    /// Of the rows of the test window, in their order.
    pub test: &'a [f64],
    /// Of the rows that thresholds are chosen on, in their order. The error says why no map can be fitted to them.
    pub validation: Result<&'a [f64], &'a str>,
}

/// Compares the decisions at each operating point that has a threshold. `validation` and `test` hold the candidate's scores.
pub fn against_champion(
    points: &[OperatingPoint],
    validation: Option<&DecisionRows<'_>>,
    test: &DecisionRows<'_>,
    champion: &ChampionScores<'_>,
) -> AgainstChampion {
    let thresholds: Vec<(String, f64)> =
        points.iter().filter_map(|point| Some((point.name.clone(), point.threshold?))).collect();
    let swap_sets =
        thresholds.iter().map(|(name, threshold)| swap_set(name, test, champion.test, *threshold)).collect();
    let rows = validation.ok_or("the run has no validation window, on which the map is fitted");
    let both = rows.and_then(|rows| Ok(BothScores { candidate: rows.scores, champion: champion.validation? }));
    let map =
        both.map(|both| score_map(both, BothScores { candidate: test.scores, champion: champion.test }, &thresholds));
    AgainstChampion {
        model_sha256: champion.model_sha256,
        swap_sets,
        no_score_map_because: map.as_ref().err().map(|why| (*why).to_owned()),
        score_map: map.ok(),
    }
}
