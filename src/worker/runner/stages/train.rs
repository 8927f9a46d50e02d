//! Train: fetch the data, let the child process fit and measure, keep what it left. A regression check goes
//! the same way, with the model of an earlier bundle in place of a fit.

use super::resolve::{Resolved, input_failure};
use crate::adapters::ledger::Lease;
use crate::domain::contract::{EvidenceRef, Reference};
use crate::domain::identity::Digest;
use crate::domain::run::{Failure, FailureCode};
use crate::failpoints::failpoint;
use crate::modelling::{EarlierRole, Evaluation, ModelFormat, ParityVectors, PinnedBundle, TrainPlan};
use crate::telemetry::ChildSpan;
use crate::training::{self, Exit, Job};
use crate::worker::runner::attempt::Attempt;
use crate::worker::runner::bounds::Given;
use crate::worker::runner::desk::Desk;
use crate::worker::runner::keeper::Keeper;
use crate::worker::runner::progress::{Teller, reporting};
use crate::worker::runner::{Interrupted, Runner};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tracing::{info, warn};

/// What training left, in the evidence store.
pub(in crate::worker::runner) struct Trained {
    pub(in crate::worker::runner) evaluation: Evaluation,
    pub(in crate::worker::runner) model: EvidenceRef,
    pub(in crate::worker::runner) scores: EvidenceRef,
    pub(in crate::worker::runner) leakage_report: EvidenceRef,
    /// An earlier attempt had left it.
    pub(in crate::worker::runner) reused: bool,
}

/// `model/training_record.json`, written after the files that it names: where it stands, the child's work
/// is done. `learning.training_record.v0`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TrainingRecord {
    schema_version: String,
    resolved_train_plan: Digest,
    model_format: ModelFormat,
    model: Digest,
    scores: Digest,
    leakage_report: Digest,
    parity_vectors: Digest,
    evaluation: Evaluation,
}

const RECORD_VERSION: &str = "learning.training_record.v0";
const RECORD: &str = "training_record.json";
const RECORD_ROLE: &str = "training_record";
const SCORES: &str = "scores.parquet";

impl Runner {
    pub(in crate::worker::runner) async fn train(
        &self,
        desk: &Desk<'_>,
        lease: &Lease,
        attempt: &Attempt,
        keeper: &Keeper<'_>,
        resolved: &Resolved,
    ) -> Result<Trained, Interrupted> {
        if let Some(record) = self.find_record(desk, resolved).await? {
            info!("training was done by an earlier attempt");
            return Ok(Trained { reused: true, ..verified(desk, record).await? });
        }
        let job_dir = tempfile::Builder::new()
            .prefix(&format!("{}-{}-", lease.run_id, lease.fence))
            .tempdir_in(&self.scratch)
            .map_err(|error| {
                let place = self.scratch.display();
                Failure::new(FailureCode::TrainerFailed, format!("no job directory in {place}: {error}"))
            })?;
        let given = self.give(attempt, &resolved.plan);
        // Whoever grants hours for a fit has data to match.
        keeper.may_take(given.limits.wall_seconds);
        self.prepare(job_dir.path(), resolved, given).await?;
        keeper.check()?;
        failpoint("train.fetched")?;
        let (place, (teller, reports)) = (job_dir.path(), reporting());
        // On the heap: a child with its streams is a large future.
        let fitting = Box::pin(async move { self.fit(place, desk, keeper, resolved, given, &teller).await });
        let (fitted, ()) = tokio::join!(fitting, reports.run(self.progress_rate, &self.ledger, lease));
        if matches!(fitted, Ok(()) | Err(Interrupted::Failed(_))) {
            self.tell_read(lease, resolved, job_dir.path()).await?;
        }
        fitted?;
        failpoint("train.fitted")?;
        keeper.check()?;
        let record = self.collect(job_dir.path(), desk, resolved).await?;
        verified(desk, record).await
    }

    async fn find_record(&self, desk: &Desk<'_>, resolved: &Resolved) -> Result<Option<TrainingRecord>, Interrupted> {
        let path = desk.folder.model(RECORD);
        let Some(stored) = desk.left(RECORD_ROLE, &path).await? else { return Ok(None) };
        let invalid = |why: String| {
            Failure::new(
                FailureCode::TrainArtifactImmutabilityViolation,
                format!("{path} is not what was written: {why}"),
            )
        };
        let record: TrainingRecord =
            serde_json::from_slice(&stored.bytes).map_err(|error| invalid(error.to_string()))?;
        if record.resolved_train_plan != resolved.stored.at.sha256 {
            return Err(invalid("it names another plan".to_owned()).into());
        }
        Ok(Some(record))
    }

    /// Fetches every file once, checked against its digest while it streams, and writes the job.
    async fn prepare(&self, job_dir: &Path, resolved: &Resolved, given: &Given) -> Result<(), Interrupted> {
        let data = job_dir.join("data");
        let io =
            |error: std::io::Error| Failure::new(FailureCode::TrainerFailed, format!("cannot write the job: {error}"));
        tokio::fs::create_dir(&data).await.map_err(io)?;
        let mut files = Vec::with_capacity(resolved.plan.files.len());
        for (index, file) in resolved.plan.files.iter().enumerate() {
            let reference = Reference::parse(&file.reference)
                .map_err(|error| Failure::new(FailureCode::RefNotAllowed, error.to_string()))?;
            let into = data.join(format!("{index}.parquet"));
            self.inputs
                .file(&reference, file.sha256, file.bytes, &into)
                .await
                .map_err(|error| input_failure(&error, FailureCode::MaterializationUnresolved))?;
            files.push(into);
        }
        self.fetch_earlier(job_dir, &resolved.plan).await?;
        let job = Job { plan: resolved.plan.clone(), files, limits: given.limits.clone(), threads: given.threads };
        Ok(job.lay_out(job_dir, &self.commands).await?)
    }

    /// The models of earlier bundles, each checked against the digest that its `bundle.json` gives.
    async fn fetch_earlier(&self, job_dir: &Path, plan: &TrainPlan) -> Result<(), Failure> {
        let champion = plan.champion.as_ref().map(|champion| &champion.bundle);
        let named = [(EarlierRole::Baseline, plan.baseline.as_ref()), (EarlierRole::Champion, champion)];
        for (role, bundle) in named {
            let Some(PinnedBundle { model, .. }) = bundle else { continue };
            let reference = Reference::parse(&model.reference)
                .map_err(|error| Failure::new(FailureCode::RefNotAllowed, error.to_string()))?;
            let into = Job::earlier_model(job_dir, role);
            self.inputs
                .file(&reference, model.sha256, model.bytes, &into)
                .await
                .map_err(|error| input_failure(&error, FailureCode::EvidenceUnresolved))?;
        }
        Ok(())
    }

    /// What this worker gives the attempt's trainer: no more than the operator allows and the machine has.
    fn give<'a>(&self, attempt: &'a Attempt, plan: &TrainPlan) -> &'a Given {
        attempt.given.get_or_init(|| {
            let given = Given { limits: self.ceiling.over(&plan.limits), threads: self.threads };
            if given.limits != plan.limits {
                warn!(asked = ?plan.limits, given = ?given.limits, "the trainer gets less than its profile asks for");
            }
            given
        })
    }

    /// The steps of the plan, one child after the other.
    async fn fit(
        &self,
        job_dir: &Path,
        desk: &Desk<'_>,
        keeper: &Keeper<'_>,
        resolved: &Resolved,
        given: &Given,
        teller: &Teller,
    ) -> Result<(), Interrupted> {
        for &(step, start, end) in training::steps(&resolved.plan) {
            let command = self.trainer.to(step);
            keeper.may_take(given.limits.wall_seconds);
            let mut span = ChildSpan::begin(step.subcommand());
            let exit = training::run(&command, job_dir, &given.limits, keeper.stopped(), |progress| {
                if let Some(span) = &mut span {
                    span.at(&progress.step, progress.at_unix_micros);
                }
                teller.tell(progress.within(start, end));
            })
            .await
            .map_err(|error| Failure::new(FailureCode::TrainerFailed, error.to_string()))?;
            match exit {
                Exit::Finished => {}
                Exit::Failed(failure) => {
                    if let Some(span) = &span {
                        span.fail(failure.code.as_str());
                    }
                    if failure.code == FailureCode::LeakageGuardViolation {
                        self.keep_leakage_report(job_dir, desk).await?;
                    }
                    return Err(given.explain(&resolved.plan.limits, failure).into());
                }
                Exit::Stopped => return Err(keeper.check().err().unwrap_or(Interrupted::Lost)),
            }
        }
        Ok(())
    }

    async fn keep_leakage_report(&self, job_dir: &Path, desk: &Desk<'_>) -> Result<EvidenceRef, Interrupted> {
        desk.file(
            "leakage_report",
            &desk.folder.leakage_report(),
            &job_dir.join(training::LEAKAGE_REPORT_FILE),
            FailureCode::NondeterminismDetected,
        )
        .await
    }

    /// Moves the results into the evidence store; the record goes last. Whatever stands there already
    /// was left under the same plan by an attempt that did not come to its record: other bytes mean that
    /// the same work came out differently.
    async fn collect(
        &self,
        job_dir: &Path,
        desk: &Desk<'_>,
        resolved: &Resolved,
    ) -> Result<TrainingRecord, Interrupted> {
        let unreadable =
            |error: String| Failure::new(FailureCode::TrainerFailed, format!("the trainer's result: {error}"));
        let evaluation = tokio::fs::read(job_dir.join(training::EVALUATION_FILE))
            .await
            .map_err(|error| unreadable(error.to_string()))?;
        let evaluation: Evaluation =
            serde_json::from_slice(&evaluation).map_err(|error| unreadable(error.to_string()))?;
        let drift = FailureCode::NondeterminismDetected;
        let folder = &desk.folder;
        let model_format = training::model_format(&resolved.plan, job_dir).await?;
        let name = model_format.file_name();
        let model = desk.file("model", &folder.model(name), &job_dir.join(name), drift).await?;
        let scores = desk.file("scores", &folder.model(SCORES), &job_dir.join(training::SCORES_FILE), drift).await?;
        let leakage_report = self.keep_leakage_report(job_dir, desk).await?;
        let name = ParityVectors::FILE;
        let parity_vectors = desk.file("parity_vectors", &folder.model(name), &job_dir.join(name), drift).await?;
        let record = TrainingRecord {
            schema_version: RECORD_VERSION.to_owned(),
            resolved_train_plan: resolved.stored.at.sha256,
            model_format,
            model: model.sha256,
            scores: scores.sha256,
            leakage_report: leakage_report.sha256,
            parity_vectors: parity_vectors.sha256,
            evaluation,
        };
        desk.document(RECORD_ROLE, &folder.model(RECORD), &record, drift).await?;
        Ok(record)
    }
}

/// Reads the artifacts back against the record, so that what goes on is what is stored.
async fn verified(desk: &Desk<'_>, record: TrainingRecord) -> Result<Trained, Interrupted> {
    let folder = &desk.folder;
    let on_drift = FailureCode::TrainArtifactImmutabilityViolation;
    let leakage_report = folder.leakage_report();
    // Remembered by its role: the bundle takes it from there.
    desk.verified("parity_vectors", &folder.model(ParityVectors::FILE), record.parity_vectors, on_drift).await?;
    Ok(Trained {
        model: desk.verified("model", &folder.model(record.model_format.file_name()), record.model, on_drift).await?.at,
        scores: desk.verified("scores", &folder.model(SCORES), record.scores, on_drift).await?.at,
        leakage_report: desk.verified("leakage_report", &leakage_report, record.leakage_report, on_drift).await?.at,
        evaluation: record.evaluation,
        reused: false,
    })
}
