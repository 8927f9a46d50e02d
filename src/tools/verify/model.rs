//! Looks at the model in a child process: its format, what can be counted in it, and its scores.

use super::documents::Holds;
use super::link::{BrokenLink, Link};
use super::remake::{ReadBundle, must_be};
use crate::domain::contract::{Limits, ModelFormat, ParityOrigin, ParityVectors, ResolvedAlgorithm};
use crate::domain::identity::document_bytes;
use crate::training::{self, ChildJob, ChildStep, Exit, InspectedModel, InspectionJob, MODEL_FILE, TrainerCommand};
use std::fmt::Display;
use std::fs::{self, Permissions};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

pub(super) use crate::training::CountedModel;

/// What the child found.
pub(super) struct Inspected {
    /// What was counted in a model of the built-in booster; `None` for any other model.
    pub(super) counted: Option<CountedModel>,
    /// The parity vectors that follow from a model of the built-in booster; `None` for any other model, or if they are
    /// too long to be equal to the bundle's.
    vectors: Option<Vec<u8>>,
}

/// Gives the model to a child process within these limits.
pub(super) async fn inspect(
    bundle: &ReadBundle<'_>,
    trainer: &TrainerCommand,
    limits: &Limits,
) -> Result<Inspected, BrokenLink> {
    let link = Link::Model;
    let is_built_in = matches!(bundle.plan.value.algorithm, ResolvedAlgorithm::BuiltIn(_));
    let fits = !is_built_in || bundle.format == ModelFormat::XgboostJson;
    link.must(fits, || format!("the built-in booster does not save its model as {}", bundle.format))?;
    let unable = |error: &dyn Display| link.broken(format!("the model could not be looked at here: {error}"));
    let work = tempfile::Builder::new()
        .prefix("model-factory-verify-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(|error| unable(&error))?;
    let job = InspectionJob {
        run_id: bundle.plan.value.run_id.clone(),
        model_sha256: bundle.model_digest,
        format: bundle.format,
        is_built_in,
        features: bundle.plan.value.features.clone(),
        limits: limits.clone(),
    };
    for (name, bytes) in [(MODEL_FILE, bundle.model), (ChildJob::FILE, &document_bytes(&job))] {
        fs::write(work.path().join(name), bytes).map_err(|error| unable(&error))?;
    }
    let command = trainer.to(ChildStep::Inspect);
    match training::run(&command, work.path(), limits, std::future::pending(), |_| {}).await {
        Ok(Exit::Finished) => {}
        Ok(Exit::Failed(failure)) => return Err(link.broken(failure.message)),
        Ok(Exit::Stopped) => return Err(unable(&"it was stopped")),
        Err(error) => return Err(unable(&error)),
    }
    let read = |name: &str, most| read_bounded(&work.path().join(name), most).map_err(|error| unable(&error));
    let found = read(InspectedModel::FILE, 1 << 20)?.ok_or_else(|| unable(&"its result is too large"))?;
    let InspectedModel { counted } = serde_json::from_slice(&found).map_err(|error| unable(&error))?;
    // Vectors that are longer than the bundle's are other vectors.
    let vectors = match counted {
        Some(_) => read(ParityVectors::FILE, bundle.parity.bytes.len() as u64 + (1 << 20))?,
        None => None,
    };
    Ok(Inspected { counted, vectors })
}

/// Reads a file that the child wrote. `None` if it is longer than `most`.
fn read_bounded(path: &Path, most: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}

pub(super) fn parity(bundle: &ReadBundle<'_>, inspected: &Inspected) -> Holds {
    let link = Link::Parity;
    let (plan, said) = (&bundle.plan.value, &bundle.parity.value);
    let about = said.run_id == plan.run_id && said.model_sha256 == bundle.model_digest;
    link.must(about, || format!("the vectors are about the model {} of {}", said.model_sha256, said.run_id))?;
    said.inputs(&plan.features).map_err(|why| link.broken(why))?;
    let count = said.vectors.len();
    let origin = match &plan.algorithm {
        ResolvedAlgorithm::BuiltIn(_) => ParityOrigin::Model,
        ResolvedAlgorithm::Process(_) => ParityOrigin::Trainer,
    };
    link.must(said.origin == origin, || {
        "the vectors come from elsewhere than the plan's algorithm can give them".to_owned()
    })?;
    if inspected.counted.is_none() {
        return Ok(format!("{count} vectors as the registered command scored them; its model is not run here"));
    }
    let again = inspected.vectors.as_deref().ok_or_else(|| link.broken("the model gives many more vectors"))?;
    let again: ParityVectors = serde_json::from_slice(again).map_err(|error| link.broken(error))?;
    must_be(link, ParityVectors::FILE, bundle.parity.bytes, &again)?;
    Ok(format!("{count} vectors made and scored again, equal bit for bit"))
}
