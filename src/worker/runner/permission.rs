//! What the policy lets the run of an attempt use.

use super::attempt::RunAttempt;
use super::outcome::Interrupted;
use crate::adapters::dataset::Inputs;
use crate::domain::contract::{Reference, TrainBuildRequest, TrainPlan};
use crate::domain::grant::ProfileKind;
use crate::domain::identity::Digest;
use crate::domain::rules_left::RulesLeft;
use crate::domain::run::{Failure, FailureCode};

/// What a run may use. Without a policy, all that the operator's allow-list lets a worker open.
pub(super) struct Permission {
    rules: Option<RulesLeft>,
    /// Opens local files only where the policy names them.
    pub(super) inputs: Inputs,
}

impl Permission {
    /// Fails unless this manifest, data file or bundle may be read. Says nothing about whether it is there.
    pub(super) fn read(&mut self, input: &Reference, named_by: &str) -> Result<(), Failure> {
        self.rules.as_mut().map_or(Ok(()), |rules| rules.read(input, named_by))
    }

    /// Fails unless the profile with these bytes may be used.
    pub(super) fn use_profile(
        &mut self,
        kind: ProfileKind,
        profile: &Reference,
        sha256: &Digest,
    ) -> Result<(), Failure> {
        self.rules.as_mut().map_or(Ok(()), |rules| rules.use_profile(kind, profile, sha256))
    }

    /// Fails unless everything may be used that a plan names.
    pub(super) fn use_plan(&mut self, plan: &TrainPlan) -> Result<(), Failure> {
        self.rules.as_mut().map_or(Ok(()), |rules| rules.use_plan(plan))
    }
}

impl RunAttempt<'_> {
    /// Asks the policy in force what the requesters of this run may use.
    pub(super) async fn permission(&self) -> Result<Permission, Interrupted> {
        let inputs = &self.runner.inputs;
        let Some(policy) = self.runner.policy.now() else {
            return Ok(Permission { rules: None, inputs: inputs.clone() });
        };
        let rules = policy.rules_for(&self.requests().await?)?;
        let inputs = match rules.prefixes() {
            None => inputs.clone(),
            Some(prefixes) => {
                let inputs = inputs.clone();
                let narrowed = move || inputs.within(prefixes.iter().map(String::as_str));
                // Only a runtime that ends drops the work before it is done.
                tokio::task::spawn_blocking(narrowed).await.map_err(|_| Interrupted::Lost)?
            }
        };
        Ok(Permission { rules: Some(rules), inputs })
    }

    /// Fails unless the policy lets one of those who asked for publication use all that the plan names. Requests of
    /// others may have led to the run.
    pub(super) async fn check_publication(&self, plan: &TrainPlan) -> Result<(), Interrupted> {
        let Some(policy) = self.runner.policy.now() else { return Ok(()) };
        let requests = self.requests().await?;
        let asking: Vec<&TrainBuildRequest> = requests.iter().filter(|request| request.publish_allowed).collect();
        if asking.is_empty() {
            let message = "no request asks for publication".to_owned();
            return Err(Failure::new(FailureCode::RequesterNotAllowed, message).into());
        }
        Ok(policy.rules_for(asking)?.use_plan(plan)?)
    }

    /// Requests of everybody who asked for the run, and the one that made it.
    async fn requests(&self) -> Result<Vec<TrainBuildRequest>, Interrupted> {
        let mut requests = self.runner.ledger.requests_by_everybody(&self.lease.run_id).await?;
        requests.push(TrainBuildRequest::clone(&self.lease.request));
        Ok(requests)
    }
}
