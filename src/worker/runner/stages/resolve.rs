//! Resolve: references become an immutable plan.

use crate::adapters::dataset::InputError;
use crate::adapters::evidence::layout;
use crate::adapters::ledger::Lease;
use crate::domain::contract::{
    BundleRef, DatasetManifest, GovernanceProfile, Reference, SchemaName, read_json, read_yaml,
};
use crate::domain::identity::Digest;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{self, EarlierRole, Fetched, FetchedBundle, PinnedCommand, Sources, TrainPlan};
use crate::training::TrainerRegistration;
use crate::worker::runner::attempt::Attempt;
use crate::worker::runner::desk::{Desk, Stored};
use crate::worker::runner::{Interrupted, Runner};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use tracing::warn;

/// What the later stages need.
pub(in crate::worker::runner) struct Resolved {
    pub(in crate::worker::runner) plan: TrainPlan,
    pub(in crate::worker::runner) stored: Stored,
    pub(in crate::worker::runner) governance: GovernanceProfile,
}

impl Runner {
    pub(in crate::worker::runner) async fn resolve(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        attempt: &Attempt,
    ) -> Result<Resolved, Interrupted> {
        let request = &lease.request;
        let references: BTreeSet<&Reference> = request.dataset_manifest_refs.iter().collect();
        let mut manifests = Vec::with_capacity(references.len());
        for (index, reference) in references.into_iter().enumerate() {
            let fetched = self.fetch(reference, FailureCode::ManifestUnresolved, FailureCode::ManifestInvalid).await?;
            self.keep(desk, &format!("manifest_{index}.json"), &fetched).await?;
            manifests.push(fetched);
        }
        let (unresolved, invalid) = (FailureCode::TrainingProfileUnresolved, FailureCode::TrainingProfileInvalid);
        let training = self.fetch(&request.training_config_ref, unresolved, invalid).await?;
        self.keep(desk, "training_profile.yaml", &training).await?;
        let (unresolved, invalid) = (FailureCode::GovernanceProfileUnresolved, FailureCode::GovernanceProfileInvalid);
        let governance = self.fetch(&request.governance_profile_ref, unresolved, invalid).await?;
        self.keep(desk, "governance_profile.yaml", &governance).await?;

        let mut earlier = (None, None);
        for (role, named) in modelling::named_bundles(request.intent_kind, &training, &governance)? {
            let bundle = self.earlier_bundle(desk, role, &named).await?;
            match role {
                EarlierRole::Baseline => earlier.0 = Some(bundle),
                EarlierRole::Champion => earlier.1 = Some(bundle),
            }
        }
        let commands = self.pinned_commands();
        let plan = modelling::resolve(&Sources {
            request,
            manifests: &manifests,
            training_profile: &training,
            governance_profile: &governance,
            ownership_boundaries_sha256: self.boundaries.digest(),
            commands: &commands,
            baseline: earlier.0.as_ref(),
            champion: earlier.1.as_ref(),
            started_at: attempt.started_at,
        })?;
        self.check_references(&manifests)?;
        let path = layout::resolved_train_plan(&request.platform_run_id, &lease.run_key);
        let stored = desk
            .document("resolved_train_plan", &path, &plan, FailureCode::ResolvedTrainPlanImmutabilityViolation)
            .await?;
        let governance = read_yaml(SchemaName::GovernanceProfile, &governance.bytes)
            .map_err(|error| Failure::new(FailureCode::GovernanceProfileInvalid, error.to_string()))?;
        Ok(Resolved { plan, stored, governance })
    }

    /// A document that is too large will be too large the next time: that is `invalid`, all else may pass.
    async fn fetch(
        &self,
        reference: &Reference,
        unresolved: FailureCode,
        invalid: FailureCode,
    ) -> Result<Fetched, Failure> {
        let (bytes, sha256) = self.inputs.document(reference).await.map_err(|error| {
            let too_large = matches!(error, InputError::TooLarge { .. });
            input_failure(&error, if too_large { invalid } else { unresolved })
        })?;
        Ok(Fetched { reference: reference.as_str().to_owned(), bytes: bytes.to_vec(), sha256 })
    }

    /// What is needed of an earlier bundle to make a plan: its `bundle.json` by the digest that the profile
    /// pins, its evaluation report by the digest that this names.
    async fn earlier_bundle(
        &self,
        desk: &Desk<'_>,
        role: EarlierRole,
        named: &BundleRef,
    ) -> Result<FetchedBundle, Interrupted> {
        let reference = Reference::parse(&named.reference).map_err(|error| {
            let message = format!("the {role}'s bundle {}: {error}", named.reference);
            Failure::new(FailureCode::RefNotAllowed, message)
        })?;
        let manifest = self.pinned(role, &reference, named.sha256).await?;
        self.keep(desk, &format!("{role}_bundle.json"), &manifest).await?;
        let (reference, sha256) = modelling::eval_report_of(role, &manifest)?;
        let eval_report = self.pinned(role, &reference, sha256).await?;
        self.keep(desk, &format!("{role}_eval_report.json"), &eval_report).await?;
        Ok(FetchedBundle { manifest, eval_report })
    }

    async fn pinned(&self, role: EarlierRole, reference: &Reference, sha256: Digest) -> Result<Fetched, Failure> {
        let fetched = self.fetch(reference, FailureCode::EvidenceUnresolved, role.unusable()).await?;
        if fetched.sha256 != sha256 {
            let message = format!("{reference}: expected sha256 {sha256}, found sha256 {}", fetched.sha256);
            return Err(Failure::new(FailureCode::DigestMismatch, message));
        }
        Ok(fetched)
    }

    /// Keeps a copy as it was read: a later attempt that reads other bytes is told so.
    async fn keep(&self, desk: &Desk<'_>, name: &str, fetched: &Fetched) -> Result<(), Interrupted> {
        let path = desk.folder.input(name);
        let bytes = Bytes::from(fetched.bytes.clone());
        let role = format!("inputs/{name}");
        desk.bytes(&role, &path, bytes, FailureCode::ManifestImmutabilityViolation).await?;
        Ok(())
    }

    /// The operator's commands as they are now. One that cannot be read is left out: it concerns only the
    /// runs that name it, and they are told.
    fn pinned_commands(&self) -> BTreeMap<String, PinnedCommand> {
        let pin = |(name, registration): (&String, &TrainerRegistration)| match registration.pin() {
            Ok(pinned) => Some((name.clone(), pinned)),
            Err(error) => {
                warn!(command = %name, %error, "a trainer command cannot be read");
                None
            }
        };
        self.commands.iter().filter_map(pin).collect()
    }

    /// Every file that the manifests name must be inside the allow-list.
    fn check_references(&self, manifests: &[Fetched]) -> Result<(), Failure> {
        let allow = self.inputs.allow_list();
        for fetched in manifests {
            let manifest: DatasetManifest = read_json(SchemaName::DatasetManifest, &fetched.bytes)
                .map_err(|error| Failure::new(FailureCode::ManifestInvalid, error.to_string()))?;
            for file in &manifest.materializations {
                let refused = |why: String| {
                    let message = format!("{} names {}: {why}", fetched.reference, file.reference);
                    Failure::new(FailureCode::RefNotAllowed, message)
                };
                let reference = Reference::parse(&file.reference).map_err(|error| refused(error.to_string()))?;
                if !allow.allows(&reference) {
                    return Err(refused("it is outside the allow-list".to_owned()));
                }
            }
        }
        Ok(())
    }
}

/// What a failed read means for the run.
pub(super) fn input_failure(error: &InputError, unresolved: FailureCode) -> Failure {
    let code = match error {
        InputError::NotAllowed { .. } => FailureCode::RefNotAllowed,
        InputError::DigestMismatch { .. } => FailureCode::DigestMismatch,
        InputError::NotFound { .. } | InputError::Unavailable { .. } | InputError::TooLarge { .. } => unresolved,
    };
    Failure::new(code, error.to_string())
}
