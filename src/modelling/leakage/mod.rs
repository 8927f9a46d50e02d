//! Leakage, on rows and not on promises: does any row know what it could not have known?
//!
//! A rule whose question the data cannot answer (no such column, no time) or that the profile does not ask
//! for is left out of the report; every other one stands in it, with what it looked at.

mod canary;
mod features;
mod rows;

pub use canary::canary;

use super::earlier::EarlierRole;
use super::split::Assignment;
use super::table::Table;
use crate::domain::contract::{LeakageReport, LeakageRule, SettledSplit, TrainPlan};

const WITNESSES: usize = 10;

fn rule(name: &str, checked: usize, witnesses: impl Iterator<Item = String>) -> LeakageRule {
    let mut found =
        LeakageRule { rule: name.to_owned(), checked: checked as u64, violations: 0, witnesses: Vec::new() };
    for witness in witnesses {
        found.violations += 1;
        if found.witnesses.len() < WITNESSES {
            found.witnesses.push(witness);
        }
    }
    found
}

/// Checks every rule over the rows that are used.
pub fn leakage(table: &Table, assignment: &Assignment, settled: &SettledSplit, plan: &TrainPlan) -> LeakageReport {
    let mut rules = rows::times(table, assignment, &plan.label_basis);
    if let SettledSplit::TimeBased(windows) = settled {
        rules.extend(rows::train_before_test(table, assignment, windows));
    }
    let bundles = [
        (EarlierRole::Baseline, plan.baseline.as_ref()),
        (EarlierRole::Champion, plan.champion.as_ref().map(|champion| &champion.bundle)),
    ];
    for (role, bundle) in bundles {
        let learned_before = bundle.and_then(|bundle| bundle.learned_before);
        rules.extend(learned_before.and_then(|before| rows::learned_from(table, assignment, role, before)));
    }
    rules.push(rows::used_twice(table, assignment));
    if !plan.leakage.allow_repeated_content {
        rules.push(rows::same_content_in_two_windows(table, assignment, settled));
    }
    for name in &plan.leakage.disjoint_entities {
        rules.push(rows::entity_on_both_sides(table, assignment, name));
    }
    rules.push(features::role_column_among_features(plan));
    if let Some(limit) = plan.leakage.max_single_feature_auc {
        rules.push(features::single_feature_separates(table, assignment, &plan.features, limit));
    }
    LeakageReport::of(rules)
}
