//! What a policy leaves open: entries that allow more than an operator may think.

use super::{Policy, Principal};
use crate::domain::grant::{Quota, Rule};
use std::collections::BTreeMap;

impl Policy {
    /// Returns what the policy leaves open, each as a sentence that names the requesters and what would close it.
    pub fn openings(&self) -> Vec<String> {
        let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (name, principal) in &self.principals {
            for opening in principal.openings() {
                found.entry(opening).or_default().push(name);
            }
        }
        found.into_iter().map(|(opening, names)| format!("{}: {opening}", listed(&names))).collect()
    }
}

impl Principal {
    fn openings(&self) -> Vec<&'static str> {
        let rules = self.grant.rules();
        let any = |is: &dyn Fn(&Rule) -> bool| rules.iter().any(|rule| is(rule));
        let is_empty = |rule: &Rule| {
            rule.inputs.is_empty() || rule.training_profiles.is_empty() || rule.governance_profiles.is_empty()
        };
        let governed_by_prefix = |rule: &Rule| rule.publish && rule.governance_profiles.prefixes().next().is_some();
        let table = [
            (
                self.keys.is_empty() && !rules.is_empty(),
                "no keys, so that whoever may write to the topic can ask in this name; add keys",
            ),
            (
                any(&|rule| rule.inputs.has_any()),
                "inputs: [\"*\"] reads all that [inputs] lets a worker open, of every tenant; name prefixes",
            ),
            (
                any(&|rule| rule.publish && rule.governance_profiles.has_any()),
                "governance_profiles: [\"*\"] lets the requester choose what a bundle must reach; name profiles by sha256:",
            ),
            (
                any(&|rule| !rule.publish && rule.governance_profiles.has_any()),
                "governance_profiles: [\"*\"] without publish; name profiles",
            ),
            (
                any(&|rule| rule.training_profiles.has_any()),
                "training_profiles: [\"*\"] lets the requester choose how a model is trained; name profiles",
            ),
            (
                any(&governed_by_prefix),
                "governance_profiles by reference or prefix: whoever may write there sets the gate; name profiles by sha256:",
            ),
            (
                any(&is_empty),
                "an entry of may leaves inputs, training_profiles or governance_profiles empty, so that it allows no run; fill them, or keep the entry for commands only",
            ),
            (
                self.grant.quota() == Quota::default() && !rules.is_empty(),
                "no quota, so that one requester can fill the queue; add quota",
            ),
        ];
        table.into_iter().filter_map(|(open, sentence)| open.then_some(sentence)).collect()
    }
}

/// Lists at most five names.
fn listed(names: &[&str]) -> String {
    const MOST: usize = 5;
    let shown = names[..names.len().min(MOST)].join(", ");
    if names.len() > MOST { format!("{shown} and {} more", names.len() - MOST) } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openings(may: &str) -> Vec<String> {
        let text = format!(
            "schema_version: platform.requester_policy.v0\nprincipals:\n- {{names: [a, b], quota: {{in_flight: 1}}, \
             may: [{{intents: [baseline_train], scopes: ['*'], {may}}}]}}\n"
        );
        let policy = Policy::read(text.as_bytes(), |_| Err(String::new())).unwrap();
        let without_keys = |opening: &String| !opening.contains("no keys");
        policy.openings().into_iter().filter(without_keys).collect()
    }

    #[test]
    fn what_is_named_is_not_open_and_what_is_left_to_the_requester_is() {
        let digest = "0".repeat(64);
        let closed =
            format!("inputs: [a], training_profiles: [p], governance_profiles: ['sha256:{digest}'], publish: true");
        assert_eq!(openings(&closed), Vec::<String>::new());
        for (may, word) in [
            ("inputs: ['*'], training_profiles: [p], governance_profiles: [g]", "inputs: [\"*\"]"),
            ("inputs: [a], training_profiles: ['*'], governance_profiles: [g]", "how a model is trained"),
            ("inputs: [a], training_profiles: [p], governance_profiles: ['*'], publish: true", "must reach"),
            ("inputs: [a], training_profiles: [p], governance_profiles: [g], publish: true", "by sha256:"),
            ("inputs: [a], training_profiles: [p]", "allows no run"),
        ] {
            let found = openings(may);
            assert_eq!(found.len(), 1, "{may}: {found:?}");
            assert!(found[0].starts_with("a, b: ") && found[0].contains(word), "{found:?}");
        }
    }
}
