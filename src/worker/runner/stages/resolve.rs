//! Resolve: references become an immutable plan.

use crate::adapters::dataset::{DocumentReader, InputError, Inputs};
use crate::adapters::evidence::layout;
use crate::adapters::objects::is_exhausted;
use crate::domain::contract::{BundleRef, DatasetManifest, GovernanceProfile, PinnedCommand, Reference, TrainPlan};
use crate::domain::grant::ProfileKind;
use crate::domain::identity::Digest;
use crate::domain::run::{Failure, FailureCode, Outage};
use crate::guard::guarded;
use crate::modelling::{self, EarlierDocuments, EarlierRole, Fetched, Parsed, Sources};
use crate::training::TrainerRegistration;
use crate::worker::runner::attempt::RunAttempt;
use crate::worker::runner::evidence::StoredDocument;
use crate::worker::runner::outcome::Interrupted;
use crate::worker::runner::permission::Permission;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use tracing::warn;

pub struct Resolved {
    pub plan: TrainPlan,
    pub stored: StoredDocument,
    pub governance: GovernanceProfile,
    /// Opens what the plan names.
    pub inputs: Inputs,
}

/// Documents that a run names, to be copied into its evidence: their names there, and their bytes.
type Copies = Vec<(String, Bytes)>;

impl RunAttempt<'_> {
    /// Fetches what the request and its documents name, and makes a plan of it. Every name is judged by the policy before
    /// it is opened. Documents are copied into the evidence once the plan holds, so that no run keeps a file of somebody
    /// else's that is not what the request says.
    pub async fn resolve(&self) -> Result<Resolved, Interrupted> {
        let (request, evidence) = (&self.lease.request, &self.evidence);
        let mut permission = self.permission().await?;
        let inputs = permission.inputs.clone();
        let documents = inputs.documents();
        let manifests = self.fetch_manifests(&documents).await?;
        let (kind, reference) = (ProfileKind::Training, &request.training_config_ref);
        let (unresolved, invalid) = (FailureCode::TrainingProfileUnresolved, FailureCode::TrainingProfileInvalid);
        let training = self.fetch(&documents, reference, unresolved, invalid).await?;
        permission.use_profile(kind, reference, &training.sha256)?;
        let (kind, reference) = (ProfileKind::Governance, &request.governance_profile_ref);
        let (unresolved, invalid) = (FailureCode::GovernanceProfileUnresolved, FailureCode::GovernanceProfileInvalid);
        let governance = self.fetch(&documents, reference, unresolved, invalid).await?;
        permission.use_profile(kind, reference, &governance.sha256)?;

        let manifest_name =
            |(index, manifest): (usize, &Fetched)| (format!("manifest_{index}.json"), manifest.bytes.clone());
        let mut copies: Copies = manifests.iter().enumerate().map(manifest_name).collect();
        copies.push(("training_profile.yaml".to_owned(), training.bytes.clone()));
        copies.push(("governance_profile.yaml".to_owned(), governance.bytes.clone()));
        let manifests = self.parse_manifests(manifests).await?;
        let training =
            self.parse(training, FailureCode::TrainingProfileInvalid, modelling::parse_training_profile).await?;
        let governance =
            self.parse(governance, FailureCode::GovernanceProfileInvalid, modelling::parse_governance_profile).await?;
        let mut earlier = (None, None);
        for (role, named) in modelling::named_bundles(request.intent_kind, &training, &governance)? {
            let bundle = self.earlier_bundle(role, &named, &mut permission, &documents, &mut copies).await?;
            match role {
                EarlierRole::Baseline => earlier.0 = Some(bundle),
                EarlierRole::Champion => earlier.1 = Some(bundle),
            }
        }
        let commands = self.pinned_commands()?;
        let plan = modelling::resolve(&Sources {
            request,
            manifests: &manifests,
            training_profile: &training,
            governance_profile: &governance,
            ownership_boundaries_sha256: self.runner.boundaries.digest(),
            commands: &commands,
            baseline: earlier.0.as_ref(),
            champion: earlier.1.as_ref(),
            started_at: self.started_at,
        })?;
        self.check_references(&manifests)?;
        permission.use_plan(&plan)?;
        for (name, bytes) in copies {
            self.keep(&name, bytes).await?;
        }
        let path = layout::resolved_train_plan(&request.platform_run_id, &self.lease.run_key);
        let drift = FailureCode::ResolvedTrainPlanImmutabilityViolation;
        let stored = evidence.document("resolved_train_plan", &path, &plan, drift).await?;
        Ok(Resolved { plan, stored, governance: governance.content, inputs })
    }

    /// Fetches each manifest once, in the order of their references.
    async fn fetch_manifests(&self, documents: &DocumentReader<'_>) -> Result<Vec<Fetched>, Interrupted> {
        let references: BTreeSet<&Reference> = self.lease.request.dataset_manifest_refs.iter().collect();
        let mut manifests = Vec::with_capacity(references.len());
        for reference in references {
            let (unresolved, invalid) = (FailureCode::ManifestUnresolved, FailureCode::ManifestInvalid);
            manifests.push(self.fetch(documents, reference, unresolved, invalid).await?);
        }
        Ok(manifests)
    }

    /// Parses one manifest after the other.
    async fn parse_manifests(&self, fetched: Vec<Fetched>) -> Result<Vec<Parsed<DatasetManifest>>, Interrupted> {
        let mut manifests = Vec::with_capacity(fetched.len());
        for manifest in fetched {
            manifests.push(self.parse(manifest, FailureCode::ManifestInvalid, modelling::parse_manifest).await?);
        }
        Ok(manifests)
    }

    /// Parses one document on a thread for blocking work, so that no loop waits for it. Fails if the attempt must stop.
    async fn parse<T: Send + 'static>(
        &self,
        fetched: Fetched,
        invalid: FailureCode,
        parse: impl FnOnce(&Fetched) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Interrupted> {
        self.guard.check()?;
        let reference = fetched.reference.clone();
        let parsing = tokio::task::spawn_blocking(move || guarded(|| parse(&fetched))).await;
        // Only a runtime that ends drops the work before it is done.
        let parsed = parsing.map_err(|_| Interrupted::Lost)?;
        let failed = |why| Failure::new(invalid, format!("{reference} made its reader fail: {why}"));
        Ok(parsed.map_err(failed)??)
    }

    /// Fetches a document. Fails with `invalid` if it is too large, and with `unresolved` if it is missing or cannot be
    /// read now. Other causes have codes of their own, see `input_failure`.
    async fn fetch(
        &self,
        documents: &DocumentReader<'_>,
        reference: &Reference,
        unresolved: FailureCode,
        invalid: FailureCode,
    ) -> Result<Fetched, Interrupted> {
        self.guard.check()?;
        let (bytes, sha256) = documents.read(reference).await.map_err(|error| {
            let too_large = matches!(error, InputError::TooLarge { .. });
            input_failure(&error, if too_large { invalid } else { unresolved })
        })?;
        Ok(Fetched { reference: reference.as_str().to_owned(), bytes, sha256 })
    }

    /// Fetches what a plan needs of an earlier bundle: its `bundle.json` by the digest that the profile pins, and its
    /// evaluation report by the digest that `bundle.json` names.
    async fn earlier_bundle(
        &self,
        role: EarlierRole,
        named: &BundleRef,
        permission: &mut Permission,
        documents: &DocumentReader<'_>,
        copies: &mut Copies,
    ) -> Result<EarlierDocuments, Interrupted> {
        let reference = Reference::parse(&named.reference).map_err(|error| {
            let message = format!("the {role}'s bundle {}: {error}", named.reference);
            Failure::new(FailureCode::RefNotAllowed, message)
        })?;
        permission.read(&reference, "a profile")?;
        let manifest = self.pinned(documents, role, &reference, named.sha256).await?;
        copies.push((format!("{role}_bundle.json"), manifest.bytes.clone()));
        let manifest = self
            .parse(manifest, role.unusable(), move |fetched| modelling::parse_bundle_manifest(role, fetched))
            .await?;
        let (reference, sha256) = modelling::eval_report_of(role, &manifest)?;
        permission.read(&reference, "an earlier bundle")?;
        let eval_report = self.pinned(documents, role, &reference, sha256).await?;
        copies.push((format!("{role}_eval_report.json"), eval_report.bytes.clone()));
        let eval_report = self.parse(eval_report, FailureCode::EvalReportInvalid, modelling::parse_eval_report).await?;
        Ok(EarlierDocuments { manifest, eval_report })
    }

    async fn pinned(
        &self,
        documents: &DocumentReader<'_>,
        role: EarlierRole,
        reference: &Reference,
        sha256: Digest,
    ) -> Result<Fetched, Interrupted> {
        let fetched = self.fetch(documents, reference, FailureCode::EvidenceUnresolved, role.unusable()).await?;
        if fetched.sha256 != sha256 {
            let message = format!("{reference}: expected sha256 {sha256}, found sha256 {}", fetched.sha256);
            return Err(Failure::new(FailureCode::DigestMismatch, message).into());
        }
        Ok(fetched)
    }

    /// Puts a copy of a document into the evidence. A later attempt that fetches other bytes fails.
    async fn keep(&self, name: &str, bytes: Bytes) -> Result<(), Interrupted> {
        let path = self.evidence.folder.input(name);
        let role = format!("inputs/{name}");
        self.evidence.bytes(&role, &path, bytes, FailureCode::ManifestImmutabilityViolation).await?;
        Ok(())
    }

    /// Returns the registered trainer commands with the digests that their files have now. A command that cannot be
    /// read is left out, so that only runs that name it fail. If the machine has no descriptors or memory left, returns
    /// a failure.
    fn pinned_commands(&self) -> Result<BTreeMap<String, PinnedCommand>, Failure> {
        let pin = |(name, registration): (&String, &TrainerRegistration)| match registration.pin() {
            Ok(pinned) => Some(Ok((name.clone(), pinned))),
            Err(error) if is_exhausted(&error) => {
                Some(Err(Failure::of_worker(format!("trainer command {name:?}: {error}"))))
            }
            Err(error) => {
                warn!(command = %name, %error, "a trainer command cannot be read");
                None
            }
        };
        self.runner.commands.iter().filter_map(pin).collect()
    }

    /// Fails if a manifest names a file outside of the allow-list.
    fn check_references(&self, manifests: &[Parsed<DatasetManifest>]) -> Result<(), Failure> {
        let allow = self.runner.inputs.allow_list();
        for manifest in manifests {
            for file in &manifest.content.materializations {
                let refused = |why: String| {
                    let message = format!("{} names {}: {why}", manifest.reference, file.reference);
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

/// `unresolved` is the code of a document that is missing, cannot be read now, or is too large.
pub(super) fn input_failure(error: &InputError, unresolved: FailureCode) -> Failure {
    let message = error.to_string();
    match error {
        InputError::NotAllowed { .. } => Failure::new(FailureCode::RefNotAllowed, message),
        InputError::DigestMismatch { .. } => Failure::new(FailureCode::DigestMismatch, message),
        InputError::TooLarge { .. } => Failure::new(unresolved, message),
        // A request may be faster than the upload of what it names.
        InputError::NotFound { .. } | InputError::Unavailable { .. } => {
            Failure::outage(Outage::Input, unresolved, message)
        }
        InputError::Exhausted { .. } => Failure::of_worker(message),
    }
}
