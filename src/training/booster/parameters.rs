//! Translates the plan's parameters into the booster's.

use super::presence::Presence;
use crate::domain::contract::{
    BoostEvalMetric, BoostGrowPolicy, BoostObjective, BoostParameters, BoostTreeMethod, Feature, Monotone,
};
use hessboost::config::{GrowPolicy, Monotone as Direction};
use hessboost::metric::EvalMetric;
use hessboost::objective::{Objective, RegLoss};
use hessboost::prelude::*;

/// Returns the booster's parameters for one fit.
pub(super) fn training_parameters(
    features: &[Feature],
    presence: &Presence,
    parameters: &BoostParameters,
    seed: u64,
    threads: u32,
) -> Result<TrainingParams, String> {
    let failed = |error: HessboostError| error.to_string();
    let constraints: Vec<Direction> = features
        .iter()
        .enumerate()
        .map(|(index, feature)| match feature.monotone {
            None => Direction::None,
            // A constraint orders values, and a marked feature has only one. A missing value may score higher or lower.
            Some(_) if presence.has(index) => Direction::None,
            Some(Monotone::Increasing) => Direction::Increasing,
            Some(Monotone::Decreasing) => Direction::Decreasing,
        })
        .collect();
    let BoostObjective::BinaryLogistic = parameters.objective;
    let tree_method = match parameters.tree_method {
        BoostTreeMethod::Hist => TreeMethod::Hist,
        BoostTreeMethod::Approx => TreeMethod::Approx,
        BoostTreeMethod::Exact => TreeMethod::Exact,
    };
    let BoostEvalMetric::LogLoss = parameters.eval_metric;
    let grow_policy = match parameters.grow_policy {
        BoostGrowPolicy::DepthWise => GrowPolicy::DepthWise,
        BoostGrowPolicy::LossGuide => GrowPolicy::LossGuide,
    };
    let mut builder = TrainingParams::builder()
        .objective(Objective::BinaryLogistic(RegLoss::new(parameters.scale_pos_weight).map_err(failed)?))
        .tree_method(tree_method)
        .eval_metric(EvalMetric::LogLoss)
        .seed(seed)
        .nthread(threads.max(1) as usize)
        .max_depth(parameters.max_depth as usize)
        .eta(parameters.eta)
        .subsample(parameters.subsample)
        .colsample_bytree(parameters.colsample_bytree)
        .colsample_bylevel(parameters.colsample_bylevel)
        .colsample_bynode(parameters.colsample_bynode)
        .min_child_weight(parameters.min_child_weight)
        .lambda(parameters.lambda)
        .alpha(parameters.alpha)
        .gamma(parameters.gamma)
        .max_bin(parameters.max_bin as usize)
        .grow_policy(grow_policy)
        .interaction_constraints(groups(features, &parameters.interaction_constraints)?);
    if parameters.max_leaves > 0 {
        builder = builder.max_leaves(parameters.max_leaves as usize);
    }
    if constraints.iter().any(|direction| *direction != Direction::None) {
        builder = builder.monotone_constraints(constraints);
    }
    builder.build().map_err(failed)
}

/// Returns groups of features by their numbers.
fn groups(features: &[Feature], named: &[Vec<String>]) -> Result<Vec<Vec<u32>>, String> {
    let number = |name: &String| {
        let found = features.iter().position(|feature| &feature.name == name);
        found.map(|number| number as u32).ok_or_else(|| format!("interaction_constraints: no feature {name:?}"))
    };
    named.iter().map(|group| group.iter().map(number).collect()).collect()
}
