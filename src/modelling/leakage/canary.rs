//! Runs the shuffled-label canary. A model that learned from labels in random order has nothing to find frauds by. If
//! such models find them all the same, the trainer has seen labels that it was not given.
//!
//! The canary finds faults of a trainer, and no leaks in the data: a feature that gives the label away is worth nothing
//! to a model that learned from other labels.

use super::area::{AreaBelow, area_below};
use super::rows::rule;
use crate::domain::contract::{CanarySpec, LeakageRule};
use crate::domain::run::Failure;
use crate::modelling::data::{Assignment, Table};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The rate of false alarms.
const ALARM_RATE: f64 = 1e-3;

/// The quantile of the standard normal distribution at one minus [`ALARM_RATE`].
const NORMAL_QUANTILE: f64 = 3.090_232;

/// Shuffles the labels of the train window, lets `fit` learn from them, and compares the model's scores of the test
/// window with the true labels. The rule judges the mean ROC AUC of several fits.
pub fn canary(
    table: &Table,
    assignment: &Assignment,
    spec: &CanarySpec,
    seed: u64,
    mut fit: impl FnMut(&[bool]) -> Result<Vec<f32>, Failure>,
) -> Result<LeakageRule, Failure> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut labels: Vec<bool> = assignment.train.iter().map(|&row| table.label[row]).collect();
    let mut areas = Vec::new();
    for _ in 0..spec.fits {
        for last in (1..labels.len()).rev() {
            labels.swap(last, rng.random_range(0..=last));
        }
        let scores = fit(&labels)?;
        areas.push(area_below(scores.into_iter().zip(assignment.test.iter().map(|&row| table.label[row]))));
    }
    let (mean, limit) = (mean(areas.iter().map(|of| of.area)), limit(&areas, spec.max_above_chance.unwrap_or(0.0)));
    let witness = format!("mean ROC AUC {mean:.4} of {} fits, above the limit of {limit:.4}", spec.fits);
    Ok(rule("shuffled_label_canary", spec.fits as usize, (mean > limit).then_some(witness).into_iter()))
}

/// Returns the mean area that only one run in a thousand exceeds by chance. It is the largest of three bounds:
///
/// - Where frauds of the test window are like its good payments, all fits may still rank these frauds high by chance, and
///   all alike. So the mean varies no more than one area, which is nearly normal (Mann and Whitney, 1947).
/// - Where frauds have other features, a fit that follows such a feature ranks them far up or far down, with equal
///   chances. For a sum of independent x that are as likely to be -x, P(sum(x) > c sqrt(sum(x^2))) is at most
///   exp(-c^2 / 2), by Hoeffding's inequality for the signs ("Probability Inequalities for Sums of Bounded Random
///   Variables", 1963). Fewer than 14 fits can never exceed this bound.
/// - `floor`, which the profile may set.
fn limit(areas: &[AreaBelow], floor: f64) -> f64 {
    let alike = NORMAL_QUANTILE * mean(areas.iter().map(|of| of.chance));
    let squares = mean(areas.iter().map(|of| (of.area - 0.5).powi(2)));
    let either_way = (-2.0 * ALARM_RATE.ln() * squares / areas.len().max(1) as f64).sqrt();
    0.5 + alike.max(either_way).max(floor)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len().max(1) as f64;
    values.sum::<f64>() / count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modelling::data::Features;

    fn alarms(worlds: u32, mut areas: impl FnMut(&mut ChaCha8Rng) -> Vec<AreaBelow>) -> u32 {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let rings = |areas: &[AreaBelow]| mean(areas.iter().map(|of| of.area)) > limit(areas, 0.0);
        (0..worlds).filter(|_| rings(&areas(&mut random))).count() as u32
    }

    /// The most alarms among 10,000 worlds that a rate of 1 in 1,000 explains, but for one time in 10,000.
    const EXPLAINED: u32 = 23;

    #[test]
    fn where_frauds_are_like_other_payments_one_run_in_a_thousand_rings() {
        // Every fit gives the same scores, with ties: the worst case.
        let found = alarms(10_000, |random| {
            let scores: Vec<f32> = (0..120).map(|_| f32::from(random.random_range(0..40_u8))).collect();
            vec![area_below(scores.into_iter().enumerate().map(|(row, score)| (score, row < 12))); 20]
        });
        assert!((1..=EXPLAINED).contains(&found), "{found} of 10000");
    }

    #[test]
    fn where_frauds_stand_out_no_more_than_one_run_in_a_thousand_rings() {
        for (fits, follows) in [(14, 1.0), (16, 0.8), (20, 0.3), (40, 0.5)] {
            let found = alarms(10_000, |random| {
                let mut area = || {
                    if random.random_bool(follows) {
                        // The fit follows a feature by which all frauds stand out, this way or that way.
                        f64::from(u8::from(random.random_bool(0.5)))
                    } else {
                        0.5 + (random.random::<f64>() - 0.5) / 10.0
                    }
                };
                (0..fits).map(|_| AreaBelow { area: area(), chance: 0.01 }).collect()
            });
            assert!(found <= EXPLAINED, "{found} of 10000 with {fits} fits");
        }
    }

    #[test]
    fn it_sings_when_scores_know_the_labels_and_is_silent_when_they_do_not() {
        let good = Table::of_good(400, Features::new(0, vec![], vec![]));
        let table = Table { label: (0..400).map(|row| row % 7 == 0).collect(), ..good };
        let assignment = Assignment { train: (0..200).collect(), test: (200..400).collect(), ..Assignment::default() };
        let spec = CanarySpec { fits: 14, rounds: 1, max_above_chance: None };
        let frauds = |labels: &[bool]| labels.iter().filter(|label| **label).count();
        let true_labels: Vec<bool> = assignment.train.iter().map(|&row| table.label[row]).collect();
        let mut orders = std::collections::HashSet::new();

        let silent = canary(&table, &assignment, &spec, 1, |labels| {
            assert_eq!(frauds(labels), frauds(&true_labels), "labels are shuffled, not drawn");
            orders.insert(labels.to_vec());
            Ok(labels.iter().map(|label| f32::from(u8::from(*label))).collect())
        });
        assert_eq!(silent.unwrap().violations, 0);
        assert_eq!(orders.len(), 14, "every fit has an order of its own");

        let knows = |_: &[bool]| Ok(assignment.test.iter().map(|&row| f32::from(u8::from(table.label[row]))).collect());
        let singing = canary(&table, &assignment, &spec, 1, knows).unwrap();
        assert_eq!(singing.witnesses, ["mean ROC AUC 1.0000 of 14 fits, above the limit of 0.9967"]);
        let floor = CanarySpec { max_above_chance: Some(0.5), ..spec };
        assert_eq!(canary(&table, &assignment, &floor, 1, knows).unwrap().violations, 0, "the profile allows it");
    }
}
