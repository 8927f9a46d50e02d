//! Checks the rows for leakage: does any row hold what nobody could know at its event time?
//!
//! For a rule that is checked, the report says how many rows, columns or entities were looked at. For every other rule
//! it says why it is not: the profile does not ask for it, or the data lacks its columns.

mod area;
mod canary;
mod content;
mod copies;
mod features;
mod near_copies;
#[cfg(test)]
mod planted;
mod repeats;
mod rows;
mod unasked;

pub use canary::canary;
pub use unasked::unasked_rules;

use super::data::{Assignment, Table};
use super::plan::EarlierRole;
use crate::domain::contract::{AucLimit, LeakageReport, LeakageRule, SettledSplit, TrainPlan};
use repeats::{Repeats, TimesMatter};
use std::panic::resume_unwind;

/// Checks every rule that the plan asks for and the data allows, on the rows of the three windows. All but the canary,
/// which needs fits. The rules about features run beside those about rows: each reads the whole table, and takes as long.
pub fn leakage(table: &Table, assignment: &Assignment, settled: &SettledSplit, plan: &TrainPlan) -> LeakageReport {
    let of_features = || rules_of_features(table, assignment, settled, plan);
    let (mut rules, of_features) = std::thread::scope(|threads| {
        let of_features = threads.spawn(of_features);
        let of_rows = rules_of_rows(table, assignment, settled, plan);
        (of_rows, of_features.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    rules.extend(of_features);
    LeakageReport::of(rules, unasked_rules(plan))
}

fn rules_of_rows(table: &Table, assignment: &Assignment, settled: &SettledSplit, plan: &TrainPlan) -> Vec<LeakageRule> {
    let mut rules = rows::times(table, assignment, &plan.label_basis);
    if let SettledSplit::TimeBased(windows) = settled {
        rules.extend(rows::train_before_test(table, assignment, windows));
        rules.extend(rows::labels_known_before_test(table, assignment, windows));
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
    let (spec, is_drawn) = (&plan.leakage, is_drawn(settled));
    let times_matter = TimesMatter { across: is_drawn, within: is_drawn || spec.allow_repeated_content };
    if !spec.allow_repeated_content || table.event_time.is_some() {
        let repeats = Repeats::find(table, assignment, times_matter);
        rules.push(repeats.within(table));
        if !spec.allow_repeated_content {
            rules.extend([repeats.across(table), repeats.near(table)]);
        }
    }
    for name in &spec.disjoint_entities {
        rules.push(rows::entity_on_both_sides(table, assignment, name));
    }
    rules
}

fn rules_of_features(
    table: &Table,
    assignment: &Assignment,
    settled: &SettledSplit,
    plan: &TrainPlan,
) -> Vec<LeakageRule> {
    let (spec, features) = (&plan.leakage, &plan.features);
    let mut rules =
        vec![features::role_column_among_features(plan), copies::feature_copies_role_column(table, assignment, plan)];
    if let Some(AucLimit::AtMost(limit)) = spec.max_single_feature_auc {
        rules.push(features::single_feature_separates(table, assignment, features, limit));
    }
    if let (Some(AucLimit::AtMost(limit)), false) = (&spec.max_window_auc, is_drawn(settled)) {
        rules.push(features::feature_separates_windows(table, assignment, features, *limit));
    }
    rules
}

fn is_drawn(settled: &SettledSplit) -> bool {
    matches!(settled, SettledSplit::StratifiedRandom(_))
}
