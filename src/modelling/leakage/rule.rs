//! What every rule reports: how much it checked, how many break it, and the first of them.

use crate::domain::contract::LeakageRule;

const MOST_WITNESSES: usize = 10;

/// Counts every witness and keeps the first [`MOST_WITNESSES`]. `checked` is the number of rows (or columns, or
/// entities) that the rule looked at.
pub(super) fn rule(name: &str, checked: usize, witnesses: impl Iterator<Item = String>) -> LeakageRule {
    let mut found =
        LeakageRule { rule: name.to_owned(), checked: checked as u64, violations: 0, witnesses: Vec::new() };
    for witness in witnesses {
        found.violations += 1;
        if found.witnesses.len() < MOST_WITNESSES {
            found.witnesses.push(witness);
        }
    }
    found
}
