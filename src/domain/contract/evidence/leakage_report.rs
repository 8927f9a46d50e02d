//! `LeakageReport`: what the leakage rules looked at, and which rows break them.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageReport {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// Whether no rule is violated.
    pub clean: bool,
    /// Every rule that applies, in a fixed order.
    pub rules: Vec<LeakageRule>,
}

impl LeakageReport {
    /// The version that this release writes.
    pub const SCHEMA_VERSION: &'static str = "learning.leakage_report.v0";

    pub fn of(rules: Vec<LeakageRule>) -> Self {
        Self {
            schema_version: Self::SCHEMA_VERSION.to_owned(),
            clean: rules.iter().all(|rule| rule.violations == 0),
            rules,
        }
    }

    /// The report with one more rule.
    #[must_use]
    pub fn with(mut self, rule: LeakageRule) -> Self {
        self.rules.push(rule);
        Self::of(self.rules)
    }

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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeakageRule {
    pub rule: String,
    /// Rows (or columns, or entities) looked at.
    pub checked: u64,
    /// How many of them break the rule.
    pub violations: u64,
    /// Up to ten of these: row ids, or names.
    pub witnesses: Vec<String>,
}
