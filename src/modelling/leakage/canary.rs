//! Runs the shuffled-label canary. A model that learned from labels in random order has nothing to find frauds by. If
//! several such models find them on average, the true labels have leaked into the fit or the features.

use super::features::area_below;
use super::rows::rule;
use crate::domain::contract::{CanarySpec, LeakageRule};
use crate::domain::run::Failure;
use crate::modelling::data::{Assignment, Table};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Shuffles the labels of the train window, lets `fit` learn from them, and compares the model's scores of the test
/// window with the true labels. One such fit may do well by chance, if its scores follow a feature in which frauds
/// differ. Therefore the rule judges the mean ROC AUC of several fits.
pub fn canary(
    table: &Table,
    assignment: &Assignment,
    spec: &CanarySpec,
    seed: u64,
    mut fit: impl FnMut(&[bool]) -> Result<Vec<f32>, Failure>,
) -> Result<LeakageRule, Failure> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut labels: Vec<bool> = assignment.train.iter().map(|&row| table.label[row]).collect();
    let mut sum = 0.0;
    for _ in 0..spec.fits {
        for last in (1..labels.len()).rev() {
            labels.swap(last, rng.random_range(0..=last));
        }
        let scores = fit(&labels)?;
        sum += area_below(scores.into_iter().zip(assignment.test.iter().map(|&row| table.label[row])));
    }
    let mean = sum / f64::from(spec.fits.max(1));
    let sings = mean - 0.5 > spec.max_above_chance;
    let witness = sings.then(|| format!("mean ROC AUC {mean:.4} of {} fits", spec.fits));
    Ok(rule("shuffled_label_canary", spec.fits as usize, witness.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modelling::data::Features;

    #[test]
    fn it_sings_when_scores_know_the_labels_and_is_silent_when_they_do_not() {
        let good = Table::of_good(400, Features::new(0, vec![], vec![]));
        let table = Table { label: (0..400).map(|row| row % 7 == 0).collect(), ..good };
        let assignment = Assignment { train: (0..200).collect(), test: (200..400).collect(), ..Assignment::default() };
        let spec = CanarySpec { fits: 5, rounds: 1, max_above_chance: 0.1 };
        let frauds = |labels: &[bool]| labels.iter().filter(|label| **label).count();
        let true_labels: Vec<bool> = assignment.train.iter().map(|&row| table.label[row]).collect();
        let mut orders = std::collections::HashSet::new();

        let silent = canary(&table, &assignment, &spec, 1, |labels| {
            assert_eq!(frauds(labels), frauds(&true_labels), "labels are shuffled, not drawn");
            orders.insert(labels.to_vec());
            Ok(labels.iter().map(|label| f32::from(u8::from(*label))).collect())
        });
        assert_eq!(silent.unwrap().violations, 0);
        assert_eq!(orders.len(), 5, "every fit has an order of its own");

        let singing = canary(&table, &assignment, &spec, 1, |_| {
            Ok(assignment.test.iter().map(|&row| f32::from(u8::from(table.label[row]))).collect())
        });
        assert_eq!(singing.unwrap().witnesses, ["mean ROC AUC 1.0000 of 5 fits"]);
    }
}
