//! Leakage, on rows and not on promises: does any row know what it could not have known?

use super::plan::TrainPlan;
use super::split::Assignment;
use super::table::{RowId, Table};
use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// `learning.leakage_report.v0`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageReport {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// Whether no rule is violated.
    pub clean: bool,
    /// Every rule, in a fixed order.
    pub rules: Vec<LeakageRule>,
}

/// A rule with what it found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageRule {
    /// Its name.
    pub rule: String,
    /// Rows (or columns, or entities) looked at.
    pub checked: u64,
    /// How many break it.
    pub violations: u64,
    /// Up to ten of them: row ids, or names.
    pub witnesses: Vec<String>,
}

const WITNESSES: usize = 10;

impl LeakageReport {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.leakage_report.v0";

    /// The violated rules in one sentence.
    pub fn message(&self) -> String {
        let broken: Vec<String> = self
            .rules
            .iter()
            .filter(|rule| rule.violations > 0)
            .map(|rule| format!("{}: {} (first: {})", rule.rule, rule.violations, rule.witnesses.join(", ")))
            .collect();
        broken.join("; ")
    }
}

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
pub fn leakage(table: &Table, assignment: &Assignment, plan: &TrainPlan) -> LeakageReport {
    let Assignment { train, validation, test, .. } = assignment;
    let used: Vec<usize> = [train.as_slice(), validation, test].concat();
    let asof = plan.label_basis.label_asof_utc.timestamp_micros();
    let maturity = TimeDelta::days(i64::from(plan.label_basis.maturity_days.unwrap_or(0)));
    let mature = (plan.label_basis.label_asof_utc - maturity).timestamp_micros();
    let show = |row: usize| table.row_id.show(row).to_string();
    let on_rows = |name: &str, broken: &dyn Fn(usize) -> bool| {
        rule(name, used.len(), used.iter().filter(|&&row| broken(row)).map(|&row| show(row)))
    };
    let mut rules = vec![
        on_rows("event_after_label_asof", &|row| table.event_time[row] > asof),
        on_rows("immature_label", &|row| table.event_time[row] > mature),
    ];
    if let Some(observed) = &table.label_observed_time {
        rules.push(on_rows("label_observed_after_asof", &|row| table.label[row] && observed[row] > asof));
    }
    if let Some(computed) = &table.feature_time {
        rules.push(on_rows("feature_time_after_event", &|row| computed[row] > table.event_time[row]));
    }
    rules.push(train_before_test(table, assignment, plan));
    rules.push(repeated_rows(table, &used));
    rules.push(forbidden_features(plan));
    for name in &plan.leakage.disjoint_entities {
        rules.push(shared_entities(table, assignment, name));
    }
    LeakageReport {
        schema_version: LeakageReport::SCHEMA_VERSION.to_owned(),
        clean: rules.iter().all(|rule| rule.violations == 0),
        rules,
    }
}

/// Rows that are learned from lie before the first measured one by at least the delay.
fn train_before_test(table: &Table, assignment: &Assignment, plan: &TrainPlan) -> LeakageRule {
    let delay = TimeDelta::days(i64::from(plan.split.delay_days)).num_microseconds().unwrap_or(i64::MAX);
    let first = assignment.test.iter().map(|&row| table.event_time[row]).min().unwrap_or(i64::MAX);
    let learned = || assignment.train.iter().chain(&assignment.validation);
    let late = learned().filter(|&&row| table.event_time[row].saturating_add(delay) > first);
    rule("train_not_before_test", learned().count(), late.map(|&row| table.row_id.show(row).to_string()))
}

fn repeated_rows(table: &Table, used: &[usize]) -> LeakageRule {
    let mut seen: HashSet<RowId<'_>> = HashSet::with_capacity(used.len());
    let repeated: Vec<String> = used
        .iter()
        .filter(|&&row| !seen.insert(table.row_id.show(row)))
        .map(|&row| table.row_id.show(row).to_string())
        .collect();
    rule("row_used_twice", used.len(), repeated.into_iter())
}

fn forbidden_features(plan: &TrainPlan) -> LeakageRule {
    let roles = &plan.columns;
    let mut forbidden = vec![&roles.event_time, &roles.label, &roles.row_id];
    forbidden.extend(&roles.label_observed_time);
    forbidden.extend(&roles.feature_time);
    forbidden.extend(&roles.entities);
    let names = plan.features.iter().map(|feature| &feature.name);
    rule("role_column_among_features", plan.features.len(), names.filter(|name| forbidden.contains(name)).cloned())
}

fn shared_entities(table: &Table, assignment: &Assignment, name: &str) -> LeakageRule {
    let title = format!("entity_on_both_sides:{name}");
    let Some(column) = table.entities.iter().find(|column| column.name == name) else {
        return rule(&title, 0, std::iter::once(format!("{name} is not an entity column of the manifest")));
    };
    let learned: HashSet<u32> =
        assignment.train.iter().chain(&assignment.validation).map(|&row| column.ids[row]).collect();
    let mut told = HashSet::new();
    let shared: Vec<String> = assignment
        .test
        .iter()
        .filter(|&&row| learned.contains(&column.ids[row]) && told.insert(column.ids[row]))
        .map(|&row| table.row_id.show(row).to_string())
        .collect();
    rule(&title, learned.len(), shared.into_iter())
}
