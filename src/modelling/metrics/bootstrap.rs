//! Computes bootstrap percentile intervals (Efron, "Bootstrap Methods: Another Look at the Jackknife", Annals of
//! Statistics, 1979).
//!
//! A replicate draws as many rows (or clusters) as the window has, with replacement. Each replicate has its own stream
//! of random numbers, so that the same seed gives the same intervals on any number of threads. The draw becomes a
//! weight for each row of the sorted scores. A replicate thus costs one pass and no sort.

use super::kind::MetricKind;
use super::order::{RankedScores, ScoreCounts};
use crate::domain::contract::{BootstrapSpec, Interval};
use crate::domain::identity::recipe_digest;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use serde_json::json;
use std::panic::resume_unwind;
use std::thread;

#[derive(Debug, Clone, Copy)]
pub struct Resampling<'a> {
    pub spec: &'a BootstrapSpec,
    /// The cluster of each row. Clusters are drawn as a whole. `None` draws single rows.
    pub clusters: Option<&'a [u32]>,
    pub seed: u64,
    /// The number of threads. The result does not depend on this number.
    pub threads: u32,
}

/// Says what a replicate draws. A member is a row or a cluster. `member_at` gives the member of each position of the
/// sorted scores. If it is `None`, each position is a member of its own.
struct Draw {
    members: usize,
    member_at: Option<Vec<u32>>,
}

impl Draw {
    fn of(order: &RankedScores, clusters: Option<&[u32]>) -> Self {
        let Some(clusters) = clusters else {
            return Self { members: order.rows().len(), member_at: None };
        };
        // Only clusters that have rows may be drawn. Members number these clusters in the order of the data.
        let mut number: Vec<Option<u32>> = vec![None; clusters.iter().max().map_or(0, |&max| max as usize + 1)];
        let mut members = 0;
        for &cluster in clusters {
            number[cluster as usize].get_or_insert_with(|| {
                members += 1;
                members - 1
            });
        }
        let member_at = order.rows().iter().filter_map(|&row| number[clusters[row as usize] as usize]).collect();
        Self { members: members as usize, member_at: Some(member_at) }
    }

    /// Draws `members` members with replacement. Sets each member's weight to the number of times that the member was
    /// drawn.
    fn weights(&self, random: &mut ChaCha8Rng, weights: &mut [u32]) {
        weights.fill(0);
        for _ in 0..self.members {
            // Scales a 64-bit random number to the range, with a bias below one in a trillion. No library function is
            // used, since reports must not change when a library changes its algorithm.
            let drawn = (u128::from(random.next_u64()) * self.members as u128) >> 64;
            weights[drawn as usize] += 1;
        }
    }

    /// Builds the draw with the same members for another model's order of the same rows. One set of weights then draws
    /// the same rows for both models.
    fn over(&self, own: &RankedScores, other: &RankedScores) -> Self {
        let mut member_of = vec![0; own.rows().len()];
        for (position, &row) in own.rows().iter().enumerate() {
            member_of[row as usize] = self.member_at.as_ref().map_or(position as u32, |members| members[position]);
        }
        let member_at = other.rows().iter().map(|&row| member_of[row as usize]).collect();
        Self { members: self.members, member_at: Some(member_at) }
    }

    fn count(&self, order: &RankedScores, weights: &[u32], counts: &mut ScoreCounts<'_>) {
        match &self.member_at {
            None => order.recount(counts, |position| weights[position]),
            Some(member_at) => order.recount(counts, |position| weights[member_at[position] as usize]),
        }
    }
}

/// Returns a bootstrap percentile interval for each metric. `None` for a metric that is undefined in most replicates.
pub(super) fn intervals(
    order: &RankedScores,
    kinds: &[MetricKind],
    resampling: &Resampling<'_>,
) -> Vec<Option<Interval>> {
    of_windows(&[(order, Draw::of(order, resampling.clusters))], kinds, resampling)
}

/// Returns an interval for the difference in each metric, `own` minus `other`. Each replicate draws the same rows for
/// both models (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993). `None` if the difference is undefined
/// in most replicates.
pub(super) fn paired_intervals(
    own: &RankedScores,
    other: &RankedScores,
    kinds: &[MetricKind],
    resampling: &Resampling<'_>,
) -> Vec<Option<Interval>> {
    let draw = Draw::of(own, resampling.clusters);
    let over = draw.over(own, other);
    of_windows(&[(own, draw), (other, over)], kinds, resampling)
}

fn of_windows(
    windows: &[(&RankedScores, Draw)],
    kinds: &[MetricKind],
    resampling: &Resampling<'_>,
) -> Vec<Option<Interval>> {
    let replicates = replicates(windows, kinds, resampling);
    let interval = |index: usize| {
        let mut values: Vec<f64> = replicates.iter().filter_map(|values| values[index]).collect();
        if values.is_empty() || values.len() * 2 < replicates.len() {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        let confidence = resampling.spec.confidence;
        let tail = (1.0 - confidence) / 2.0;
        let (low, high) = (percentile(&values, tail), percentile(&values, 1.0 - tail));
        Some(Interval { low, high, confidence, replicates: values.len() as u32 })
    };
    (0..kinds.len()).map(interval).collect()
}

/// Returns the metrics of the first window for each replicate. With two windows, the metrics of the second are
/// subtracted. The draws of all windows must have the same members.
fn replicates(
    windows: &[(&RankedScores, Draw)],
    kinds: &[MetricKind],
    resampling: &Resampling<'_>,
) -> Vec<Vec<Option<f64>>> {
    let count = resampling.spec.replicates as usize;
    let seed = *recipe_digest("mf.bootstrap.v1", &json!({"seed": resampling.seed})).as_bytes();
    let share = |range: std::ops::Range<usize>| {
        let mut drawn: Vec<ScoreCounts<'_>> = windows.iter().map(|(order, _)| order.no_counts()).collect();
        let mut values = Vec::with_capacity(range.len());
        let Some((_, draw)) = windows.first() else { return values };
        let mut weights = vec![0; draw.members];
        for replicate in range {
            let mut random = ChaCha8Rng::from_seed(seed);
            random.set_stream(replicate as u64);
            draw.weights(&mut random, &mut weights);
            for ((order, draw), counts) in windows.iter().zip(&mut drawn) {
                draw.count(order, &weights, counts);
            }
            values.push(kinds.iter().map(|&kind| difference(kind, &drawn)).collect());
        }
        values
    };
    let per_thread = count.div_ceil(resampling.threads.max(1) as usize).max(1);
    thread::scope(|scope| {
        let share = &share;
        let working: Vec<_> = (0..count)
            .step_by(per_thread)
            .map(|start| scope.spawn(move || share(start..(start + per_thread).min(count))))
            .collect();
        let done = working.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        done.flatten().collect()
    })
}

/// Returns the metric of the first counts, minus the metric of the second counts if there are two. `None` if a metric
/// is undefined.
fn difference(kind: MetricKind, drawn: &[ScoreCounts<'_>]) -> Option<f64> {
    let mut values = drawn.iter().map(|counts| kind.of(counts).and_then(|metric| metric.value));
    let own = values.next().flatten()?;
    match values.next() {
        None => Some(own),
        Some(other) => Some(own - other?),
    }
}

/// Returns the quantile `share`, 0 to 1, of the sorted values. Interpolates between the nearest ranks as
/// `numpy.percentile` does.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let below = at.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (at - at.floor())
}

#[cfg(test)]
mod tests {
    use super::super::measure::measure;
    use super::super::order::ScoredRows;
    use super::*;
    use crate::domain::contract::EvaluationSpec;
    use proptest::prelude::*;

    #[test]
    fn percentiles_interpolate_between_ranks() {
        let sorted = [0.0, 10.0, 20.0, 30.0];
        for (share, expected) in [(0.0, 0.0), (0.5, 15.0), (0.25, 7.5), (1.0, 30.0)] {
            assert!((percentile(&sorted, share) - expected).abs() < 1e-12, "{share}");
        }
        assert!((percentile(&[7.0], 0.975) - 7.0).abs() < 1e-12);
    }

    #[test]
    fn any_number_of_threads_gives_the_same_intervals() {
        let scores: Vec<f64> = (0..300).map(|row| f64::from(row * 37 % 101) / 101.0).collect();
        let labels: Vec<bool> = (0..300).map(|row| row % 7 == 0).collect();
        let clusters: Vec<u32> = (0..300).map(|row| row % 40 + 5).collect();
        let order = RankedScores::new(&scores, &labels);
        let evaluation = EvaluationSpec { k: vec![5], ..EvaluationSpec::default() };
        let on = |seed, threads, clusters| {
            let spec = BootstrapSpec { replicates: 101, ..BootstrapSpec::default() };
            let resampling = Resampling { spec: &spec, clusters, seed, threads };
            intervals(&order, &MetricKind::all(&evaluation, false), &resampling)
        };
        let one = on(3, 1, None);
        assert!(one.iter().flatten().all(|interval| interval.low <= interval.high));
        for threads in [2, 3, 8, 500] {
            assert_eq!(on(3, threads, None), one);
        }
        assert_ne!(on(4, 1, None), one, "another seed draws other rows");
        let clustered = on(3, 1, Some(&clusters));
        assert_eq!(on(3, 4, Some(&clusters)), clustered);
        assert_ne!(clustered, one);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Checks that counting weights over the sorted scores gives the same metrics as sorting the drawn rows anew.
        #[test]
        fn a_replicate_is_the_measure_of_the_drawn_rows(
            rows in prop::collection::vec((0_u8..12, any::<bool>(), 0_u32..6), 1..60),
            clustered in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.0) / 11.0).collect();
            let labels: Vec<bool> = rows.iter().map(|row| row.1).collect();
            let clusters: Vec<u32> = rows.iter().map(|row| row.2 * 3).collect();
            let evaluation = EvaluationSpec { k: vec![3, 30], ..EvaluationSpec::default() };
            let order = RankedScores::new(&scores, &labels);
            let draw = Draw::of(&order, clustered.then_some(clusters.as_slice()));
            let (mut random, mut weights) = (ChaCha8Rng::seed_from_u64(seed), vec![0; draw.members]);
            draw.weights(&mut random, &mut weights);
            prop_assert_eq!(weights.iter().sum::<u32>() as usize, draw.members);
            let mut counts = order.no_counts();
            draw.count(&order, &weights, &mut counts);

            let (mut drawn_scores, mut drawn_labels) = (Vec::new(), Vec::new());
            for (position, &row) in order.rows().iter().enumerate() {
                let member = draw.member_at.as_ref().map_or(position, |members| members[position] as usize);
                for _ in 0..weights[member] {
                    drawn_scores.push(scores[row as usize]);
                    drawn_labels.push(labels[row as usize]);
                }
            }
            let days = vec![0; drawn_scores.len()];
            let drawn = ScoredRows { scores: &drawn_scores, labels: &drawn_labels, days: &days, cards: None };
            let anew = measure(&drawn, &evaluation, None, &[]).scores;
            for kind in MetricKind::all(&evaluation, false) {
                let (found, expected) = (kind.of(&counts).unwrap(), &anew[&kind.name()]);
                match (found.value, expected.value) {
                    (Some(found), Some(expected)) => prop_assert!((found - expected).abs() < 1e-12, "{:?}", kind),
                    (found, expected) => prop_assert_eq!(found, expected, "{:?}", kind),
                }
            }
        }
    }
}
