//! The policy's rules that still allow a run. Each document of the run names further objects. A rule that does not allow
//! one of them is dropped.

use super::contract::{PinnedBundle, Reference, TrainPlan};
use super::grant::{ProfileKind, Rule, shown};
use super::identity::Digest;
use super::run::{Failure, FailureCode};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The rules that allow everything that is known of a run so far. One rule must allow all of a run, whichever of its
/// requesters has the rule.
#[derive(Debug, Clone)]
pub struct RulesLeft {
    rules: Vec<Arc<Rule>>,
}

impl RulesLeft {
    pub fn new(rules: Vec<Arc<Rule>>) -> Self {
        Self { rules }
    }

    /// Keeps the rules that let this manifest, data file or bundle be read. `named_by` says which document names it.
    pub fn read(&mut self, input: &Reference, named_by: &str) -> Result<(), Failure> {
        self.narrow(|rule| rule.lets_read(input), || format!("{named_by} names {}, which", shown(input)))
    }

    /// Keeps the rules that let the profile with these bytes be used.
    pub fn use_profile(&mut self, kind: ProfileKind, profile: &Reference, sha256: &Digest) -> Result<(), Failure> {
        let what = || format!("the {} {} with sha256 {sha256}", kind.as_str(), shown(profile));
        self.narrow(|rule| rule.lets_use(kind, profile, Some(sha256)), what)
    }

    /// Keeps the rules that allow everything that a plan names.
    pub fn use_plan(&mut self, plan: &TrainPlan) -> Result<(), Failure> {
        for (kind, profile) in
            [(ProfileKind::Training, &plan.training_profile), (ProfileKind::Governance, &plan.governance_profile)]
        {
            self.use_profile(kind, &parsed(&profile.reference)?, &profile.sha256)?;
        }
        for manifest in &plan.manifests {
            self.read(&parsed(&manifest.reference)?, "the request")?;
        }
        for file in &plan.files {
            self.read(&parsed(&file.reference)?, "a manifest")?;
        }
        let champion = plan.champion.as_ref().map(|champion| &champion.bundle);
        for PinnedBundle { reference, model, .. } in plan.baseline.iter().chain(champion) {
            self.read(&parsed(reference)?, "a profile")?;
            self.read(&parsed(&model.reference)?, "an earlier bundle")?;
        }
        Ok(())
    }

    /// The references and prefixes that the rules name. `None` if a rule lets everything be read.
    pub fn prefixes(&self) -> Option<BTreeSet<String>> {
        let mut prefixes = BTreeSet::new();
        for rule in &self.rules {
            prefixes.extend(rule.prefixes()?.map(str::to_owned));
        }
        Some(prefixes)
    }

    fn narrow(&mut self, keeps: impl Fn(&Rule) -> bool, what: impl FnOnce() -> String) -> Result<(), Failure> {
        self.rules.retain(|rule| keeps(rule));
        if self.rules.is_empty() {
            let message = format!("{} nobody who asked for this run may use in this scope", what());
            return Err(Failure::new(FailureCode::RequesterNotAllowed, message));
        }
        Ok(())
    }
}

fn parsed(reference: &str) -> Result<Reference, Failure> {
    let refused = |error| Failure::new(FailureCode::RefNotAllowed, format!("{reference:?}: {error}"));
    Reference::parse(reference).map_err(refused)
}
