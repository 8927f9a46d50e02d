//! What each parameter does to a fit, and that no parameter lets the number of threads change the model.

use super::{Fitted, FittingWindow, LoadedModel, Matrix, fit};
use crate::domain::contract::{
    BoostGrowPolicy, BoostParameters, BoostTreeMethod, CategoryValue, Feature, FeatureCategories, FeatureKind,
};
use crate::modelling::{Features, Table};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

const NAMES: [&str; 5] = ["amount", "age", "flag", "shop", "risk"];
const SHOPS: usize = 12;

/// Payments at random. A fraud has a great amount and a risk, or no flag in the first two shops.
fn payments(rows: usize, seed: u64) -> Table {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut values, mut label) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        let (amount, age): (f32, f32) = (rng.random_range(0.0..100.0), rng.random_range(0.0..1.0));
        let flag = if rng.random_bool(0.3) { f32::NAN } else { 1.0 };
        let shop = rng.random_range(0..SHOPS) as f32;
        let risk = if rng.random_bool(0.8) { 0.0 } else { rng.random_range(0.0..1.0) };
        label.push((amount > 60.0 && risk > 0.5) || (flag.is_nan() && shop < 2.0) || rng.random_bool(0.02));
        values.extend([amount, if age < 0.1 { f32::NAN } else { age }, flag, shop, risk]);
    }
    let shops = (0..SHOPS).map(|shop| CategoryValue::Number(shop as i64)).collect();
    Table { label, ..Table::of_good(rows, Features::new(5, values, vec![None, None, None, Some(shops), None])) }
}

fn features() -> Vec<Feature> {
    let kind = |name: &str| if name == "shop" { FeatureKind::Categorical } else { FeatureKind::Numeric };
    NAMES.iter().map(|name| Feature { name: (*name).to_owned(), kind: kind(name), monotone: None }).collect()
}

/// Fits to the first four fifths of the rows, with the rest for validation.
fn fitted(table: &mut Table, parameters: &BoostParameters, seed: u64, threads: u32) -> Fitted {
    parameters.check().unwrap();
    let rows: Vec<usize> = (0..table.rows()).collect();
    let (train, validation) = rows.split_at(rows.len() * 4 / 5);
    let matrix = Matrix::to_fit(table, [train, validation], &features()).unwrap();
    let fitted = fit(&matrix, FittingWindow { train, validation }, parameters, seed, threads, |_| {}).unwrap();
    matrix.release(table);
    fitted
}

fn file(fitted: &Fitted) -> Vec<u8> {
    let values = (0..SHOPS).map(|shop| CategoryValue::Number(shop as i64)).collect();
    fitted.xgboost_json(&features(), &[FeatureCategories { feature: "shop".to_owned(), values }]).unwrap()
}

fn trees(fitted: &Fitted) -> Vec<Value> {
    let document: Value = serde_json::from_slice(&file(fitted)).unwrap();
    document.pointer("/learner/gradient_booster/model/trees").unwrap().as_array().unwrap().clone()
}

fn numbers(tree: &Value, column: &str) -> Vec<i64> {
    tree[column].as_array().unwrap().iter().map(|number| number.as_i64().unwrap()).collect()
}

fn small() -> BoostParameters {
    BoostParameters { rounds: 4, max_depth: 4, ..BoostParameters::default() }
}

#[test]
fn each_way_to_fit_gives_the_same_bytes_on_one_two_and_eight_threads() {
    let sampled = || BoostParameters { subsample: 0.7, colsample_bytree: 0.8, colsample_bynode: 0.8, ..small() };
    let ways = [
        small(),
        BoostParameters { max_bin: 65_535, ..small() },
        BoostParameters { tree_method: BoostTreeMethod::Approx, max_bin: 64, ..sampled() },
        BoostParameters { tree_method: BoostTreeMethod::Exact, ..sampled() },
        BoostParameters { grow_policy: BoostGrowPolicy::LossGuide, max_leaves: 9, ..sampled() },
        BoostParameters { early_stopping_rounds: 2, refit: true, seeds: 3, ..sampled() },
    ];
    let mut table = payments(20_000, 1);
    table.weight = Some((0..20_000_u16).map(|row| 0.5 + f32::from(row % 7)).collect());
    for parameters in ways {
        let [one, two, eight] = [1, 2, 8].map(|threads| file(&fitted(&mut table, &parameters, 7, threads)));
        assert!(one == two && one == eight, "{parameters:?}");
    }
}

#[test]
fn a_tree_that_grows_by_loss_has_at_most_so_many_leaves() {
    let mut table = payments(4_000, 2);
    let leaves = |tree: &Value| numbers(tree, "left_children").iter().filter(|&&child| child < 0).count();
    let by_loss = BoostParameters { grow_policy: BoostGrowPolicy::LossGuide, max_leaves: 5, ..small() };
    assert!(trees(&fitted(&mut table, &by_loss, 1, 1)).iter().all(|tree| leaves(tree) == 5));
    assert!(trees(&fitted(&mut table, &small(), 1, 1)).iter().any(|tree| leaves(tree) > 5));
}

#[test]
fn a_path_uses_features_of_one_group_only() {
    /// The sets of features on the paths from the root to each leaf.
    fn paths(tree: &Value, node: usize, mut above: Vec<i64>, into: &mut Vec<Vec<i64>>) {
        let [left, right, feature] =
            ["left_children", "right_children", "split_indices"].map(|column| numbers(tree, column)[node]);
        if left < 0 {
            into.push(above);
            return;
        }
        above.push(feature);
        paths(tree, left as usize, above.clone(), into);
        paths(tree, right as usize, above, into);
    }
    let mut table = payments(4_000, 3);
    let named = |groups: &[&[&str]]| -> Vec<Vec<String>> {
        groups.iter().map(|group| group.iter().map(|name| (*name).to_owned()).collect()).collect()
    };
    let groups = named(&[&["amount", "risk"], &["flag", "shop"]]);
    let kept = |parameters: &BoostParameters, table: &mut Table| {
        let mut all = Vec::new();
        for tree in trees(&fitted(table, parameters, 1, 1)) {
            paths(&tree, 0, Vec::new(), &mut all);
        }
        all.iter()
            .all(|path| [&[0, 4][..], &[2, 3], &[1]].iter().any(|group| path.iter().all(|one| group.contains(one))))
    };
    assert!(kept(&BoostParameters { interaction_constraints: groups, ..small() }, &mut table));
    assert!(!kept(&small(), &mut table), "without a constraint paths mix the groups");
}

#[test]
fn a_refit_learns_from_the_validation_window_with_the_number_of_trees_of_the_early_stop() {
    let mut table = payments(4_000, 4);
    // In the validation window alone the age tells frauds, and early stopping looks at nothing else.
    for row in 3_200..4_000 {
        table.label[row] = table.features.value(row, 1) > 0.9;
    }
    let parameters = BoostParameters { rounds: 30, early_stopping_rounds: 3, ..small() };
    let stopped = fitted(&mut table, &parameters, 1, 1);
    let refitted = fitted(&mut table, &BoostParameters { refit: true, ..parameters }, 1, 1);
    assert_eq!(stopped.rounds(), refitted.rounds());
    let gain = |fitted: &Fitted| LoadedModel::read(&file(fitted)).unwrap().counted(&features())[1].total_gain;
    assert!(gain(&refitted) > 5.0 * gain(&stopped), "{} and {}", gain(&refitted), gain(&stopped));
}

#[test]
fn a_row_with_a_weight_is_fitted_to_and_stopped_by_as_so_many_rows() {
    let mut table = payments(3_000, 6);
    // Old accounts weigh more. In the validation window only theirs can be told, so that their weight puts off the stop.
    for row in (2_400..3_000).filter(|row| table.features.value(*row, 1) <= 0.5) {
        table.label[row] = row % 5 == 0;
    }
    let weights: Vec<f32> = (0..3_000).map(|row| if table.features.value(row, 1) > 0.5 { 6.0 } else { 1.0 }).collect();
    let many = |rows: std::ops::Range<usize>| -> Vec<usize> {
        rows.flat_map(|row| std::iter::repeat_n(row, weights[row] as usize)).collect()
    };
    let (train, validation): (Vec<usize>, Vec<usize>) = ((0..2_400).collect(), (2_400..3_000).collect());
    let (many_to_train, many_to_validate) = (many(0..2_400), many(2_400..3_000));
    for refit in [false, true] {
        let tree_method = BoostTreeMethod::Exact;
        let parameters = BoostParameters { rounds: 40, early_stopping_rounds: 2, refit, tree_method, ..small() };
        let mut scores = |weight: Option<Vec<f32>>, train: &[usize], validation: &[usize]| {
            table.weight = weight;
            let matrix = Matrix::to_fit(&mut table, [train, validation], &features()).unwrap();
            let fitted = fit(&matrix, FittingWindow { train, validation }, &parameters, 1, 1, |_| {}).unwrap();
            matrix.release(&mut table);
            let all: Vec<usize> = (0..3_000).collect();
            let scores = LoadedModel::read(&file(&fitted)).unwrap();
            (fitted.rounds(), scores.score(&Matrix::new(&table, &features()).unwrap(), &all).unwrap())
        };
        let (rounds, weighted) = scores(Some(weights.clone()), &train, &validation);
        let (expected_rounds, repeated) = scores(None, &many_to_train, &many_to_validate);
        let furthest = weighted.iter().zip(&repeated).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(rounds == expected_rounds && furthest < 1e-4, "{rounds} and {expected_rounds} trees, {furthest}");
        let (only_to_stop, _) = scores(None, &many_to_train, &validation);
        assert_ne!(rounds, only_to_stop, "the weights of the validation window change when to stop");
    }
}

#[test]
fn a_model_of_several_seeds_is_the_mean_of_their_margins() {
    let mut table = payments(2_000, 5);
    let parameters = BoostParameters { subsample: 0.5, ..small() };
    let score = |parameters: &BoostParameters, seed: u64, table: &mut Table| -> Vec<f32> {
        let model = LoadedModel::read(&file(&fitted(table, parameters, seed, 1))).unwrap();
        let rows: Vec<usize> = (0..table.rows()).collect();
        model.score(&Matrix::new(table, &features()).unwrap(), &rows).unwrap()
    };
    let members = [10, 11, 12].map(|seed| score(&parameters, seed, &mut table));
    assert_ne!(members[0], members[1]);
    let margin = |score: f32| f64::from(score / (1.0 - score)).ln();
    for (row, score) in score(&BoostParameters { seeds: 3, ..parameters }, 10, &mut table).into_iter().enumerate() {
        let mean = members.iter().map(|scores| margin(scores[row])).sum::<f64>() / 3.0;
        assert!((margin(score) - mean).abs() < 1e-4, "row {row}: {} and {mean}", margin(score));
    }
}
