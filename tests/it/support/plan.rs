//! Plans resolved from the documents of the generated data.

use super::{data, request};
use model_factory::domain::contract::{OwnershipBoundaries, PinnedCommand, TrainBuildRequest, TrainPlan};
use model_factory::domain::identity::Digest;
use model_factory::domain::run::Failure;
use model_factory::modelling::{
    Fetched, Sources, parse_governance_profile, parse_manifest, parse_training_profile, resolve,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The documents that a request names.
pub struct Documents {
    pub request: Value,
    pub manifests: Vec<Fetched>,
    pub training: Fetched,
    pub governance: Fetched,
    pub commands: BTreeMap<String, PinnedCommand>,
}

impl Documents {
    /// The generated data's manifest and governance profile, with this training profile.
    pub fn with_training(training: Fetched) -> Self {
        Self {
            request: request("req-plan-0001"),
            manifests: vec![read_document(&data().folder, &data().inputs.manifest)],
            training,
            governance: read_document(&data().folder, "profiles/easy_gate.yaml"),
            commands: BTreeMap::new(),
        }
    }

    pub fn resolve(&self) -> Result<TrainPlan, Failure> {
        let request: TrainBuildRequest = serde_json::from_value(self.request.clone()).unwrap();
        let manifests = self.manifests.iter().map(parse_manifest).collect::<Result<Vec<_>, _>>()?;
        resolve(&Sources {
            request: &request,
            manifests: &manifests,
            training_profile: &parse_training_profile(&self.training)?,
            governance_profile: &parse_governance_profile(&self.governance)?,
            ownership_boundaries_sha256: OwnershipBoundaries::shipped().digest(),
            commands: &self.commands,
            baseline: None,
            champion: None,
            started_at: std::time::SystemTime::now().into(),
        })
    }
}

pub fn document(reference: &str, bytes: Vec<u8>) -> Fetched {
    Fetched { reference: reference.to_owned(), sha256: Digest::of(&bytes), bytes: bytes.into() }
}

pub fn read_document(folder: &Path, reference: &str) -> Fetched {
    document(reference, std::fs::read(folder.join(reference)).unwrap())
}
