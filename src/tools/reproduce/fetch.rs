//! Fetches the manifests, profiles and champion that a bundle was built from, by their pinned references.

use crate::adapters::dataset::{DocumentReader, Inputs};
use crate::domain::contract::{
    DatasetManifest, GovernanceProfile, PinnedCommand, PlannedChampion, Reference, TrainBuildRequest, TrainPlan,
    TrainingProfile,
};
use crate::domain::identity::Digest;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{self, EarlierDocuments, EarlierRole, Fetched, Parsed, Sources};
use std::collections::BTreeMap;

/// The documents that the plan names, each with the digest that the plan pins.
pub(super) struct FetchedDocuments {
    manifests: Vec<Parsed<DatasetManifest>>,
    training_profile: Parsed<TrainingProfile>,
    pub(super) governance_profile: Parsed<GovernanceProfile>,
    champion: Option<EarlierDocuments>,
}

impl FetchedDocuments {
    /// Returns names and digests of the copies that the worker stored in the run's `inputs/`.
    pub(super) fn kept(&self) -> impl Iterator<Item = (String, Digest)> {
        let manifests =
            self.manifests.iter().enumerate().map(|(i, manifest)| (format!("manifest_{i}.json"), manifest.sha256));
        let profiles = [
            ("training_profile.yaml".to_owned(), self.training_profile.sha256),
            ("governance_profile.yaml".to_owned(), self.governance_profile.sha256),
        ];
        let champion = self.champion.iter().flat_map(|champion| {
            [
                ("champion_bundle.json".to_owned(), champion.manifest.sha256),
                ("champion_eval_report.json".to_owned(), champion.eval_report.sha256),
            ]
        });
        manifests.chain(profiles).chain(champion)
    }
}

pub(super) async fn sources(inputs: &Inputs, plan: &TrainPlan) -> Result<FetchedDocuments, Failure> {
    let documents = inputs.documents();
    let mut manifests = Vec::with_capacity(plan.manifests.len());
    for manifest in &plan.manifests {
        let fetched = document(&documents, &manifest.reference, manifest.sha256).await?;
        manifests.push(modelling::parse_manifest(&fetched)?);
    }
    let (training, governance) = (&plan.training_profile, &plan.governance_profile);
    let champion = match &plan.champion {
        Some(PlannedChampion { bundle, .. }) => {
            let fetched = document(&documents, &bundle.reference, bundle.sha256).await?;
            let manifest = modelling::parse_bundle_manifest(EarlierRole::Champion, &fetched)?;
            let (reference, sha256) = modelling::eval_report_of(EarlierRole::Champion, &manifest)?;
            let fetched = document(&documents, reference.as_str(), sha256).await?;
            Some(EarlierDocuments { manifest, eval_report: modelling::parse_eval_report(&fetched)? })
        }
        None => None,
    };
    let training = document(&documents, &training.reference, training.sha256).await?;
    let governance = document(&documents, &governance.reference, governance.sha256).await?;
    Ok(FetchedDocuments {
        manifests,
        training_profile: modelling::parse_training_profile(&training)?,
        governance_profile: modelling::parse_governance_profile(&governance)?,
        champion,
    })
}

async fn document(documents: &DocumentReader<'_>, reference: &str, pinned: Digest) -> Result<Fetched, Failure> {
    let reference = parse(reference)?;
    let (bytes, sha256) = documents.read(&reference).await.map_err(unresolved)?;
    if sha256 != pinned {
        let message = format!("{}: the plan pins {pinned}, found {sha256}", reference.as_str());
        return Err(Failure::new(FailureCode::DigestMismatch, message));
    }
    Ok(Fetched { reference: reference.as_str().to_owned(), bytes, sha256 })
}

pub(super) fn parse(reference: &str) -> Result<Reference, Failure> {
    Reference::parse(reference).map_err(|error| Failure::new(FailureCode::RefNotAllowed, error.to_string()))
}

/// Resolves the plan again from the fetched documents, what the plan says of its request, and the registered commands.
pub(super) fn plan(
    plan: &TrainPlan,
    documents: &FetchedDocuments,
    commands: &BTreeMap<String, PinnedCommand>,
) -> Result<TrainPlan, Failure> {
    let references = plan.manifests.iter().map(|manifest| parse(&manifest.reference));
    let request = TrainBuildRequest {
        schema_version: TrainBuildRequest::SCHEMA_VERSION.to_owned(),
        request_id: "reproduce".to_owned(),
        intent_kind: plan.intent_kind,
        platform_run_id: plan.platform_run_id.clone(),
        dataset_manifest_refs: references.collect::<Result<_, _>>()?,
        training_config_ref: parse(&plan.training_profile.reference)?,
        governance_profile_ref: parse(&plan.governance_profile.reference)?,
        requester_principal: "reproduce".to_owned(),
        target_scope: plan.target_scope.clone(),
        policy_revision: plan.revisions.policy_revision.clone(),
        config_revision: plan.revisions.config_revision.clone(),
        mf_code_release_id: plan.revisions.mf_code_release_id.clone(),
        publish_allowed: false,
    };
    modelling::resolve(&Sources {
        request: &request,
        manifests: &documents.manifests,
        training_profile: &documents.training_profile,
        governance_profile: &documents.governance_profile,
        ownership_boundaries_sha256: plan.ownership_boundaries_sha256,
        commands,
        // Only a regression check has a baseline, and a regression check builds no bundle.
        baseline: None,
        champion: documents.champion.as_ref(),
        // When the attempt started is not known. It was not before this time, or the worker would have refused the
        // labels.
        started_at: plan.label_basis.label_asof_utc,
    })
}

/// Builds the failure for evidence or an input that cannot be read.
pub(super) fn unresolved(why: impl std::fmt::Display) -> Failure {
    Failure::new(FailureCode::EvidenceUnresolved, format!("{why}"))
}
