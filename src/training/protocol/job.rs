//! Defines the job directory: `job.json` of a job that trains and of a job that only scores, and the names of the other
//! files.

use super::command::{CommandSpec, TrainerRegistrations, registered};
use crate::adapters::objects::is_exhausted;
use crate::domain::contract::{Feature, Limits, MapKnot, ModelFormat, ParityVectors, ResolvedAlgorithm, TrainPlan};
use crate::domain::identity::{Digest, RunId, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{EarlierRole, IdColumn};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

pub const MODEL_FILE: &str = "model.json";
/// The file with the scores of the test window, in the columns `row_id`, `label` and `score`.
pub const SCORES_FILE: &str = "scores.parquet";
pub const EVALUATION_FILE: &str = "evaluation.json";
/// The file with the columns of each data file, with the data files in the plan's order.
pub const COLUMNS_FILE: &str = "columns.json";
pub const LEAKAGE_REPORT_FILE: &str = "leakage_report.json";
pub const DECISION_REPORT_FILE: &str = "decision_report.json";

/// The file `job.json`, with everything that the child is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildJob {
    pub plan: TrainPlan,
    /// The data files, in the plan's order. The worker has already checked their digests.
    pub files: Vec<PathBuf>,
    /// The plan's limits, lowered to what the worker grants. The child's results do not depend on them.
    pub limits: Limits,
    pub threads: u32,
}

impl ChildJob {
    pub const FILE: &'static str = "job.json";

    /// Returns the path of an earlier bundle's model. The worker checks this file against the plan's digest.
    pub fn earlier_model(job_dir: &Path, role: EarlierRole) -> PathBuf {
        job_dir.join(format!("{role}_model.json"))
    }

    /// Writes `job.json` into `job_dir`, where the data files are. For a registered command, also makes the work folder
    /// and writes the [`CommandSpec`], which watcher and `trainer-exec` read. Returns a failure if the plan's command
    /// is not registered or a file cannot be written.
    pub async fn write(&self, job_dir: &Path, commands: &TrainerRegistrations) -> Result<(), Failure> {
        let io = |error: std::io::Error| Failure::of_worker(format!("cannot write the job: {error}"));
        if let ResolvedAlgorithm::Process(algorithm) = &self.plan.algorithm {
            let (_, registration) = registered(algorithm, commands)?;
            let spec = CommandSpec::new(registration.clone(), algorithm.command.clone(), self.limits.clone());
            tokio::fs::create_dir(CommandSpec::work(job_dir)).await.map_err(io)?;
            tokio::fs::write(job_dir.join(CommandSpec::FILE), document_bytes(&spec)).await.map_err(io)?;
        }
        tokio::fs::write(job_dir.join(Self::FILE), document_bytes(self)).await.map_err(io)
    }
}

/// The file `job.json` of a job that only scores. The model's file is in the same directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringJob {
    pub model_sha256: Digest,
    /// The model's inputs, in the model's order.
    pub features: Vec<Feature>,
    /// Rows with known scores. The child checks that the model gives these scores before it scores the file.
    pub parity: ParityVectors,
    pub file: PathBuf,
    /// The column with the row ids.
    pub ids: IdColumn,
    /// If given, the scores get a column `decision`, which is true from this score on.
    pub threshold: Option<f64>,
    /// If given, the scores get a column `champion_score`, mapped by these knots.
    pub knots: Option<Vec<MapKnot>>,
    /// The key-value metadata of the Parquet file with the scores: metadata key to value.
    pub about: BTreeMap<String, String>,
    /// The child's memory and time limits. The limits on rows and categories do not apply.
    pub limits: Limits,
}

/// The file `job.json` of a job that looks at the model of a bundle. The model's file is in the same directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectionJob {
    pub run_id: RunId,
    pub model_sha256: Digest,
    pub format: ModelFormat,
    /// Whether the built-in booster fitted the model.
    pub is_built_in: bool,
    /// The model's inputs, in the model's order.
    pub features: Vec<Feature>,
    /// The child's memory and time limits.
    pub limits: Limits,
}

/// The file `inspected.json`, which the child writes if the model is of the stated format.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectedModel {
    /// What was counted in the model. `None` if a registered command fitted it. If there is one, the child has also
    /// written the parity vectors that follow from the model.
    pub counted: Option<CountedModel>,
}

impl InspectedModel {
    pub const FILE: &'static str = "inspected.json";
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountedModel {
    /// Number of trees.
    pub rounds: u32,
    /// One entry per input, in the model's order.
    pub features: Vec<CountedFeature>,
}

/// How often the trees of a model split on an input, and the summed loss reduction of these splits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountedFeature {
    pub feature: String,
    pub splits: u64,
    pub total_gain: f64,
}

/// The file `scored.json`, which the child writes when it has scored all rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScoringResult {
    pub rows: u64,
    /// Number of rows whose decision is true. `None` without a threshold.
    pub flagged: Option<u64>,
    /// The column that the ids were read from. `None` if the ids are the row numbers, from 0.
    pub id_column: Option<String>,
    /// For each categorical feature by name, the number of rows whose value the model does not know and takes as
    /// missing.
    pub unknown_categories: BTreeMap<String, u64>,
}

impl ScoringResult {
    pub const FILE: &'static str = "scored.json";
}

/// Builds the failure for a file of the job that cannot be read or written. If the machine has no disk or descriptors
/// left, that is a failure of the worker. If memory is missing, the job has reached its own limit.
pub fn file_failure(what: &str, error: &(dyn Error + 'static)) -> Failure {
    let message = format!("{what}: {error}");
    match error.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::OutOfMemory) => Failure::new(FailureCode::TrainerOutOfMemory, message),
        _ if is_exhausted(error) => Failure::of_worker(message),
        _ => Failure::new(FailureCode::TrainerFailed, message),
    }
}
