//! Measures a whole training job in the real child process, beside its ceiling: the same fit of the same rows in this
//! process. Times are medians, because a single lap says little on a shared machine.

use super::database::BenchError;
use crate::adapters::dataset::{InputSettings, Inputs, read_table};
use crate::clock::Stopwatch;
use crate::domain::contract::{OwnershipBoundaries, Reference, ResolvedAlgorithm, TrainBuildRequest, TrainPlan};
use crate::domain::identity::{Digest, document_bytes};
use crate::modelling::{
    Fetched, Sources, parse_governance_profile, parse_manifest, parse_training_profile, resolve, settle, split,
};
use crate::tools::dev::wide::{self, WideSpec};
use crate::training::{self, ChildJob, Exit, FittingWindow, Matrix, TrainerCommand};
use nix::sys::resource::{UsageWho, getrusage};
use serde::Serialize;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Name of the data file in a job's folder.
const DATA: &str = "0.parquet";

#[derive(Debug, Clone)]
pub struct TrainingSpec {
    pub wide: WideSpec,
    /// Threads of the fit.
    pub threads: u32,
    /// How often each part is timed. At least once.
    pub laps: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct TrainingFigures {
    pub rows: usize,
    pub features: usize,
    /// Number of trees in the model.
    pub trees: u32,
    /// Threads of the fit.
    pub threads: u32,
    /// How often each part was timed. All times are medians of these laps.
    pub laps: usize,
    /// Time to copy the data file and check its digest.
    pub fetch_seconds: f64,
    /// Time of the child from start to end: read, split, check, fit, score, evaluate, write.
    pub child_seconds: f64,
    /// Time of the same fit in this process, without reading, evaluating and writing.
    pub fit_seconds: f64,
    /// `fetch_seconds` plus `child_seconds`, divided by `fit_seconds`.
    pub ratio: f64,
    /// Size of the used feature columns as 32-bit floats, in MiB.
    pub columns_mib: f64,
    /// Greatest resident memory of the child, in MiB.
    pub peak_mib: f64,
}

fn broken(error: impl std::fmt::Display) -> BenchError {
    BenchError::Training(error.to_string())
}

/// Writes the rows into `folder` and measures. The child runs first, while this process is small, because the kernel
/// counts the memory of the forking process in the child's peak.
pub async fn training(
    spec: &TrainingSpec,
    folder: &Path,
    mut doing: impl FnMut(&str),
) -> Result<TrainingFigures, BenchError> {
    doing("writing rows");
    wide::write(&spec.wide, folder).map_err(broken)?;
    let plan = plan(folder)?;
    let laps = spec.laps.max(1);
    let (mut fetches, mut children, mut fits) = (Vec::new(), Vec::new(), Vec::new());
    for lap in 1..=laps {
        doing(&format!("running the child, {lap} of {laps}"));
        let job_dir = folder.join(format!("job-{lap}"));
        std::fs::create_dir(&job_dir)?;
        let since = Stopwatch::start();
        let data = fetch(&plan, folder, &job_dir).await?;
        fetches.push(since.elapsed().as_secs_f64());
        children.push(child(&plan, data, &job_dir, spec.threads).await?);
    }
    let peak_mib = getrusage(UsageWho::RUSAGE_CHILDREN).map_err(broken)?.max_rss() as f64 / 1024.0;

    let file = (folder.join("job-1").join(DATA), plan.files[0].rows);
    let table = read_table(&[file], &plan.columns, &plan.features, &plan.limits).map_err(broken)?;
    let assignment = split(&table, &settle(&plan.split, &table).map_err(broken)?, plan.seed);
    let matrix = Matrix::new(&table, &plan.features).map_err(broken)?;
    let rows = FittingWindow { train: &assignment.train, validation: &assignment.validation };
    let ResolvedAlgorithm::BuiltIn(algorithm) = &plan.algorithm else {
        return Err(broken("the plan is not for the built-in booster"));
    };
    let mut trees = 0;
    for lap in 1..=laps {
        doing(&format!("fitting alone, {lap} of {laps}"));
        let since = Stopwatch::start();
        let fitted =
            training::fit(&matrix, rows, &algorithm.parameters, plan.seed, spec.threads, |_| {}).map_err(broken)?;
        fits.push(since.elapsed().as_secs_f64());
        trees = fitted.rounds();
    }
    let (fetch_seconds, child_seconds, fit_seconds) = (median(fetches), median(children), median(fits));
    Ok(TrainingFigures {
        rows: spec.wide.rows,
        features: spec.wide.features,
        trees,
        threads: spec.threads,
        laps,
        fetch_seconds,
        child_seconds,
        fit_seconds,
        ratio: (fetch_seconds + child_seconds) / fit_seconds,
        columns_mib: (spec.wide.rows * spec.wide.features * 4) as f64 / (1024.0 * 1024.0),
        peak_mib,
    })
}

/// Runs the child. Returns its seconds from start to end.
async fn child(plan: &TrainPlan, data: PathBuf, job_dir: &Path, threads: u32) -> Result<f64, BenchError> {
    let job = ChildJob { plan: plan.clone(), files: vec![data], limits: plan.limits.clone(), threads };
    std::fs::write(job_dir.join(ChildJob::FILE), document_bytes(&job))?;
    let command = TrainerCommand::this_binary()?;
    let since = Stopwatch::start();
    let exit = training::run(&command, job_dir, &plan.limits, std::future::pending(), |_| {}).await.map_err(broken)?;
    match exit {
        Exit::Finished => Ok(since.elapsed().as_secs_f64()),
        Exit::Failed(failure) => Err(broken(failure)),
        Exit::Stopped => Err(broken("the child was stopped")),
    }
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Copies the data file while hashing it, as the worker does.
async fn fetch(plan: &TrainPlan, folder: &Path, job_dir: &Path) -> Result<PathBuf, BenchError> {
    let settings = InputSettings { root: Some(folder.to_owned()), ..InputSettings::default() };
    let inputs = Inputs::open(&settings).map_err(broken)?;
    let file = &plan.files[0];
    let reference = Reference::parse(&file.reference).map_err(broken)?;
    let into = job_dir.join(DATA);
    inputs.file(&reference, file.sha256, file.bytes, &into).await.map_err(broken)?;
    Ok(into)
}

fn plan(folder: &Path) -> Result<TrainPlan, BenchError> {
    let fetched = |name: &str| -> Result<Fetched, BenchError> {
        let bytes = std::fs::read(folder.join(name))?;
        Ok(Fetched { reference: name.to_owned(), sha256: Digest::of(&bytes), bytes: bytes.into() })
    };
    let request: TrainBuildRequest = serde_json::from_value(json!({
        "schema_version": TrainBuildRequest::SCHEMA_VERSION,
        "request_id": "req-bench-training",
        "intent_kind": "baseline_train",
        "platform_run_id": wide::PLATFORM_RUN,
        "dataset_manifest_refs": [wide::MANIFEST],
        "training_config_ref": wide::TRAINING_PROFILE,
        "governance_profile_ref": wide::GOVERNANCE_PROFILE,
        "requester_principal": "bench",
        "target_scope": {"environment": "bench", "mode": "shadow", "bundle_slot": "wide"},
        "policy_revision": "r1",
        "config_revision": "r1",
        "mf_code_release_id": env!("CARGO_PKG_VERSION"),
    }))
    .map_err(broken)?;
    let manifests = [parse_manifest(&fetched(wide::MANIFEST)?).map_err(broken)?];
    let plan = resolve(&Sources {
        request: &request,
        manifests: &manifests,
        training_profile: &parse_training_profile(&fetched(wide::TRAINING_PROFILE)?).map_err(broken)?,
        governance_profile: &parse_governance_profile(&fetched(wide::GOVERNANCE_PROFILE)?).map_err(broken)?,
        ownership_boundaries_sha256: OwnershipBoundaries::shipped().digest(),
        commands: &BTreeMap::new(),
        baseline: None,
        champion: None,
        // The rows belong to no particular time. With this start, no label counts as being from the future.
        started_at: chrono::DateTime::<chrono::Utc>::MAX_UTC,
    });
    plan.map_err(broken)
}
