//! Fits the map from a candidate's scores to the champion's scale, so that rules with a threshold keep their number of
//! alerts over a retrain.
//!
//! The map takes the score of each rank of the validation window to the champion's score of the same rank (equipercentile
//! equating; Kolen and Brennan, "Test Equating, Scaling, and Linking", 2014, chapter 2). Between these knots it is linear.

use super::swap::lowest_within;
use crate::domain::contract::{MapKnot, MappedVolume, ScoreMap};

/// Each rank of a knot is at least this many times the rank before.
const STEP: f64 = 1.05;
/// The number of the champion's alerts from which the error of the map is told. Fewer are mostly chance.
pub(super) const LEAST_ALERTS: usize = 100;

/// Returns the champion's score of a candidate's score. Scores beyond the knots have that of the nearest knot.
pub fn mapped(knots: &[MapKnot], score: f64) -> f64 {
    let above = knots.partition_point(|knot| knot.score <= score);
    match (above.checked_sub(1).map(|at| knots[at]), knots.get(above)) {
        (Some(low), Some(high)) => {
            let part = (score - low.score) / (high.score - low.score);
            let between = low.champion_score + (high.champion_score - low.champion_score) * part;
            between.clamp(low.champion_score, high.champion_score)
        }
        (Some(edge), None) => edge.champion_score,
        (None, edge) => edge.map_or(score, |edge| edge.champion_score),
    }
}

/// Fits the knots to both models' scores of the same rows, ascending. The ends are 0 and 1 on both scales.
fn knots(candidate: &[f64], champion: &[f64]) -> Vec<MapKnot> {
    let sorted = |scores: &[f64]| {
        let mut scores = scores.to_vec();
        scores.sort_by(|a, b| b.total_cmp(a));
        scores
    };
    let (own, theirs) = (sorted(candidate), sorted(champion));
    let mut knots = vec![MapKnot { score: 1.0, champion_score: 1.0 }];
    let mut rank = 1;
    while rank <= own.len() {
        let (score, champion_score) = (own[rank - 1], theirs[rank - 1]);
        // Ranks that share a score have one knot: that of the first.
        if knots.last().is_none_or(|knot| score < knot.score) {
            knots.push(MapKnot { score, champion_score });
        }
        rank = (rank + 1).max((rank as f64 * STEP) as usize);
    }
    if knots.last().is_none_or(|knot| knot.score > 0.0) {
        knots.push(MapKnot { score: 0.0, champion_score: 0.0 });
    }
    knots.reverse();
    knots
}

/// Scores of the candidate and of the champion, each of the same rows.
#[derive(Debug, Clone, Copy)]
pub(super) struct BothScores<'a> {
    pub(super) candidate: &'a [f64],
    pub(super) champion: &'a [f64],
}

/// Fits the map on the validation window, and tells its errors on the test window: at the champion's thresholds that flag
/// as many payments of the validation window as each of `thresholds` of the candidate, and the worst at any knot.
pub(super) fn score_map(validation: BothScores<'_>, test: BothScores<'_>, thresholds: &[(String, f64)]) -> ScoreMap {
    let knots = knots(validation.candidate, validation.champion);
    let on_champions_scale: Vec<f64> = test.candidate.iter().map(|score| mapped(&knots, *score)).collect();
    let volume = |name: Option<&str>, champion_score: f64| {
        let alerts = |scores: &[f64]| scores.iter().filter(|score| **score >= champion_score).count();
        let (champion_alerts, mapped_alerts) = (alerts(test.champion), alerts(&on_champions_scale));
        let difference = mapped_alerts as f64 - champion_alerts as f64;
        MappedVolume {
            name: name.map(str::to_owned),
            champion_score,
            champion_alerts: champion_alerts as u64,
            mapped_alerts: mapped_alerts as u64,
            relative_error: (champion_alerts > 0).then(|| difference / champion_alerts as f64),
        }
    };
    let at_points = thresholds.iter().filter_map(|(name, threshold)| {
        let alerts = validation.candidate.iter().filter(|score| *score >= threshold).count();
        Some(volume(Some(name), lowest_within(validation.champion, alerts)?))
    });
    let at_points: Vec<MappedVolume> = at_points.collect();
    let size = |of: &MappedVolume| of.relative_error.unwrap_or(0.0).abs();
    let at_knots = knots.iter().map(|knot| volume(None, knot.champion_score));
    let worst =
        at_knots.filter(|of| of.champion_alerts >= LEAST_ALERTS as u64).max_by(|a, b| size(a).total_cmp(&size(b)));
    ScoreMap { knots, at_points, worst }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(step: u32, power: i32) -> Vec<f64> {
        (0..3_000_u32).map(|row| (f64::from(row * step % 3_001) / 3_001.0).powi(power)).collect()
    }

    #[test]
    fn the_map_keeps_the_number_of_alerts_at_each_threshold_of_the_champion() {
        let (candidate, champion) = (scores(37, 3), scores(53, 1));
        let both = BothScores { candidate: &candidate, champion: &champion };
        let map = score_map(both, both, &[("review".to_owned(), 0.5)]);
        let review = &map.at_points[0];
        assert_eq!(review.name.as_deref(), Some("review"));
        assert!(review.relative_error.unwrap().abs() < 0.02, "{review:?}");
        let worst = map.worst.unwrap();
        assert!(worst.champion_alerts >= 100 && worst.relative_error.unwrap().abs() < 0.02, "{worst:?}");
        assert!(
            map.knots
                .windows(2)
                .all(|pair| { pair[0].score < pair[1].score && pair[0].champion_score <= pair[1].champion_score })
        );
        let ends = (map.knots[0], map.knots[map.knots.len() - 1]);
        assert_eq!((ends.0.score, ends.1.score, ends.1.champion_score), (0.0, 1.0, 1.0));
    }

    #[test]
    fn the_map_is_exact_at_its_knots_monotone_between_them_and_flat_beyond() {
        let knot = |score, champion_score| MapKnot { score, champion_score };
        let knots = [knot(0.1, 0.2), knot(0.3, 0.2), knot(0.5, 0.6)];
        let cases = [(0.0, 0.2), (0.1, 0.2), (0.2, 0.2), (0.3, 0.2), (0.4, 0.4), (0.5, 0.6), (0.9, 0.6)];
        for (score, expected) in cases {
            assert!((mapped(&knots, score) - expected).abs() < 1e-15, "{score}");
        }
        assert!((mapped(&[], 0.3) - 0.3).abs() < 1e-15);
    }
}
