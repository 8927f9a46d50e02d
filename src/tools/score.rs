//! `score`: scores a file of rows with a bundle's model.
//!
//! Guarantees: a bundle is used only if every link of it holds and the given key signed it, or the caller allows
//! unsigned ones; the bytes that were verified compute the scores. The file is decoded in the trainer's child process.
//! The file of scores appears complete or not at all. Never: opens the ledger, the evidence store or a socket; replaces
//! a file unless the caller allows it.

use crate::domain::contract::{Limits, MapKnot, ModelFormat};
use crate::domain::identity::{Digest, RunId, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::IdColumn;
use crate::tools::verify::{Expected, Verdict, Verified, Verifier};
use crate::training::{
    self, ChildJob, ChildProgress, ChildStep, Exit, MODEL_FILE, SCORES_FILE, ScoringJob, ScoringResult, TrainerCommand,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::{TempDir, TempPath};

pub struct BundleScorer {
    pub trainer: TrainerCommand,
    /// Limits of the child process. The limit on rows is not used.
    pub limits: Limits,
}

pub struct ScoreOrder {
    /// Folder of the bundle.
    pub bundle: PathBuf,
    pub expected: Expected,
    /// The Parquet file with the rows.
    pub file: PathBuf,
    /// Column with the rows' ids. `None` means the id column of the training data, if the file has it.
    pub row_id: Option<String>,
    /// Operating point whose threshold decides. `None` writes no decisions.
    pub operating_point: Option<String>,
    /// Whether the scores are also written on the scale of the model that the bundle was compared with.
    pub on_champions_scale: bool,
    pub out: PathBuf,
    /// Whether an existing file may be replaced.
    pub replace: bool,
}

/// The operating point by which each row was decided.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DecidedAt {
    pub operating_point: String,
    pub threshold: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scoring {
    /// The run that built the bundle.
    pub run_id: RunId,
    pub bundle_id: Digest,
    pub model_sha256: Digest,
    /// The verdict on the bundle, in one sentence.
    pub verdict: String,
    /// `None` if no decision was asked for.
    #[serde(flatten)]
    pub decided: Option<DecidedAt>,
    #[serde(flatten)]
    pub scored: ScoringResult,
    /// The file of scores, with the columns `row_id`, `score` and, if asked for, `decision` and `champion_score`.
    pub out: PathBuf,
}

/// Why there are no scores. No file is left behind.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The verdict on the bundle, in one sentence.
    #[error("nothing is scored with this bundle. {0}{advice}", advice = if .0.starts_with("UNSIGNED") {
        " (--allow-unsigned scores with it all the same)"
    } else {
        ""
    })]
    NotVerified(String),
    #[error("the bundle's model is saved as {0}; only models in XGBoost's format are scored here")]
    Format(ModelFormat),
    #[error("{0}")]
    Point(String),
    #[error("{} exists already; --out names another file, --force replaces it", .0.display())]
    Exists(PathBuf),
    #[error("{} is what is to be scored; --out must name another file", .0.display())]
    Itself(PathBuf),
    /// The rows cannot be scored, or the child process ended with an error.
    #[error(transparent)]
    Failed(#[from] Failure),
    #[error("it was stopped before every row was scored; nothing is left")]
    Stopped,
    #[error("{}: {error}", path.display())]
    Unusable { path: PathBuf, error: io::Error },
}

impl Refusal {
    fn unusable(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |error| Self::Unusable { path, error }
    }
}

impl BundleScorer {
    /// Scores every row of the file. On an error, leaves no file behind.
    pub async fn score(
        &self,
        order: &ScoreOrder,
        stop: impl Future<Output = ()>,
        on_progress: impl FnMut(ChildProgress),
    ) -> Result<Scoring, Refusal> {
        let out = std::path::absolute(&order.out).map_err(Refusal::unusable(&order.out))?;
        let file = rows_at(&order.file)?;
        match out.canonicalize() {
            Ok(there) if there == file => return Err(Refusal::Itself(order.file.clone())),
            Ok(_) if !order.replace => return Err(Refusal::Exists(order.out.clone())),
            Ok(_) | Err(_) => {}
        }
        let checks = Verifier::new(self.trainer.clone(), &self.limits);
        let (verification, verified) = checks.open(&order.bundle, &order.expected).await;
        let verdict = verification.sentence;
        let verified = match (verification.verdict, verified) {
            (Verdict::Verified, Some(verified)) => verified,
            (Verdict::Unsigned, Some(verified)) if order.expected.allow_unsigned => verified,
            (Verdict::Verified | Verdict::Unsigned | Verdict::NotVerified, _) => {
                return Err(Refusal::NotVerified(verdict));
            }
        };
        match verified.format {
            ModelFormat::XgboostJson => {}
            other @ (ModelFormat::Skops | ModelFormat::Onnx | ModelFormat::Pickle) => {
                return Err(Refusal::Format(other));
            }
        }
        let decided = order.operating_point.as_deref().map(|name| decided_at(&verified, name)).transpose()?;
        let knots = order.on_champions_scale.then(|| champions_knots(&verified)).transpose()?;
        // The work folder is beside the file of scores, because a rename is atomic only within one file system.
        let folder = out.parent().unwrap_or(Path::new("/"));
        let work = tempfile::Builder::new()
            .prefix(".model-factory-score-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(folder);
        let work = work.map_err(Refusal::unusable(folder))?;
        let (run_id, bundle_id) = (verified.plan.run_id.clone(), verified.bundle_id);
        let model_sha256 = self.prepare(&work, verified, order, (decided.as_ref(), knots), file)?;
        let command = self.trainer.to(ChildStep::Score);
        let ended = training::run(&command, work.path(), &self.limits, stop, on_progress).await;
        match ended.map_err(broken)? {
            Exit::Finished => {}
            Exit::Failed(failure) => return Err(failure.into()),
            Exit::Stopped => return Err(Refusal::Stopped),
        }
        let scored = fs::read(work.path().join(ScoringResult::FILE)).map_err(broken)?;
        let scored = serde_json::from_slice(&scored).map_err(broken)?;
        put(work.path().join(SCORES_FILE), &out, order)?;
        Ok(Scoring { run_id, bundle_id, model_sha256, verdict, decided, scored, out })
    }

    /// Writes the child's job and model. Returns the model's digest.
    fn prepare(
        &self,
        work: &TempDir,
        verified: Verified,
        order: &ScoreOrder,
        (decided, knots): (Option<&DecidedAt>, Option<Vec<MapKnot>>),
        file: PathBuf,
    ) -> Result<Digest, Refusal> {
        let Verified { bundle_id, plan, model, parity, .. } = verified;
        let model_sha256 = Digest::of(&model);
        let ids = match &order.row_id {
            Some(name) => IdColumn { name: name.clone(), required: true },
            None => IdColumn { name: plan.columns.row_id, required: false },
        };
        let mut about = BTreeMap::from([
            ("model_factory.run_id".to_owned(), plan.run_id.to_string()),
            ("model_factory.bundle_id".to_owned(), bundle_id.to_string()),
            ("model_factory.model_sha256".to_owned(), model_sha256.to_string()),
        ]);
        if let Some(decided) = decided {
            about.insert("model_factory.operating_point".to_owned(), decided.operating_point.clone());
            about.insert("model_factory.threshold".to_owned(), decided.threshold.to_string());
        }
        let (limits, threshold) = (self.limits.clone(), decided.map(|decided| decided.threshold));
        let features = plan.features;
        let job = ScoringJob { model_sha256, features, parity, file, ids, threshold, knots, about, limits };
        let write = |name: &str, bytes: &[u8]| {
            let path = work.path().join(name);
            fs::write(&path, bytes).map_err(Refusal::unusable(&path))
        };
        write(MODEL_FILE, &model)?;
        write(ChildJob::FILE, &document_bytes(&job))?;
        Ok(model_sha256)
    }
}

/// Finds the threshold of an operating point.
fn decided_at(verified: &Verified, name: &str) -> Result<DecidedAt, Refusal> {
    let points = verified.decision.iter().flat_map(|decision| &decision.operating_points);
    let names: Vec<&str> = points.clone().map(|point| point.name.as_str()).collect();
    let Some(point) = points.clone().find(|point| point.name == name) else {
        let known = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        return Err(Refusal::Point(format!("the bundle has no operating point {name:?}; {known}")));
    };
    let Some(threshold) = point.threshold else {
        let why = point.no_threshold_because.as_deref().unwrap_or_default();
        return Err(Refusal::Point(format!("the operating point {name} has no threshold: {why}")));
    };
    Ok(DecidedAt { operating_point: point.name.clone(), threshold })
}

/// Returns the map to the champion's scale.
fn champions_knots(verified: &Verified) -> Result<Vec<MapKnot>, Refusal> {
    let champion = verified.decision.as_ref().and_then(|decision| decision.champion.as_ref());
    let Some(champion) = champion else {
        let why = "the bundle has no map to a champion: it was compared with none, or has no operating point";
        return Err(Refusal::Point(why.to_owned()));
    };
    champion.score_map.as_ref().map(|map| map.knots.clone()).ok_or_else(|| {
        let why = champion.no_score_map_because.as_deref().unwrap_or_default();
        Refusal::Point(format!("the bundle has no map to the champion: {why}"))
    })
}

/// Returns the path of the file to score. It must be a regular file, because Parquet is read from its end.
fn rows_at(file: &Path) -> Result<PathBuf, Refusal> {
    let found = file.canonicalize().map_err(Refusal::unusable(file))?;
    if found.is_file() {
        return Ok(found);
    }
    Err(Refusal::unusable(file)(io::Error::other("it is no file")))
}

/// Renames the complete scores to their final name.
fn put(scores: PathBuf, out: &Path, order: &ScoreOrder) -> Result<(), Refusal> {
    let scores = TempPath::try_from_path(scores).map_err(Refusal::unusable(out))?;
    let put = if order.replace { scores.persist(out) } else { scores.persist_noclobber(out) };
    put.map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => Refusal::Exists(order.out.clone()),
        _ => Refusal::unusable(out)(error.error),
    })
}

fn broken(why: impl std::fmt::Display) -> Refusal {
    Failure::new(FailureCode::TrainerFailed, why.to_string()).into()
}
