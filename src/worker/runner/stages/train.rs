//! Train: fetches the data, has the child process fit and measure, and keeps its results. A regression check goes the
//! same way, with the model of an earlier bundle in place of a fit.

use super::failed;
use super::resolve::{Resolved, input_failure};
use crate::domain::contract::{
    DecisionReport, Evaluation, EvidenceRef, GrantedLimits, ParityVectors, PinnedBundle, Reference, SchemaName,
    TrainPlan, TrainingRecord, read_json,
};
use crate::domain::run::{Failure, FailureCode};
use crate::failpoints::failpoint;
use crate::modelling::EarlierRole;
use crate::telemetry::ChildSpan;
use crate::training::{self, ChildJob, Exit};
use crate::worker::runner::attempt::RunAttempt;
use crate::worker::runner::evidence::{RunEvidence, StoredDocument};
use crate::worker::runner::outcome::Interrupted;
use crate::worker::runner::progress::{ProgressSender, progress_channel};
use crate::worker::runner::scratch::JobFolder;
use std::path::Path;
use tracing::{info, warn};

/// The results of training, as they stand in the evidence store.
pub struct TrainingResults {
    pub evaluation: Evaluation,
    pub model: EvidenceRef,
    pub scores: EvidenceRef,
    pub leakage_report: EvidenceRef,
    /// `None` if an earlier release trained the model.
    pub decision: Option<StoredDecision>,
    /// Whether an earlier attempt left these results, so that this one did not train.
    pub reused: bool,
}

/// The decision report as a value, with the bytes of the evidence store.
pub struct StoredDecision {
    pub report: DecisionReport,
    pub stored: StoredDocument,
}

const RECORD_ROLE: &str = "training_record";
pub(super) const DECISION_ROLE: &str = "decision_report";
const SCORES: &str = "scores.parquet";

impl RunAttempt<'_> {
    pub async fn train(&self, resolved: &Resolved) -> Result<TrainingResults, Interrupted> {
        if let Some(record) = self.find_record(resolved).await? {
            info!("training was done by an earlier attempt");
            return Ok(TrainingResults { reused: true, ..verified(&self.evidence, record).await? });
        }
        let job_dir = self.job_dir()?;
        let granted = self.grant(&resolved.plan);
        // The data of a trainer that may run for hours may take as long to fetch.
        self.guard.may_take(granted.limits.wall_seconds);
        self.prepare(job_dir.path(), resolved, granted).await?;
        self.guard.check()?;
        failpoint("train.fetched")?;
        let (sender, reports) = progress_channel();
        // On the heap: a child with its streams is a large future.
        let fitting = Box::pin(self.fit(job_dir.path(), resolved, granted, sender));
        let (fitted, ()) =
            tokio::join!(fitting, reports.run(self.runner.progress_rate, &self.runner.ledger, self.lease));
        if matches!(fitted, Ok(()) | Err(Interrupted::Failed(_))) {
            self.emit_read(resolved, job_dir.path()).await?;
        }
        fitted?;
        failpoint("train.fitted")?;
        self.guard.check()?;
        let record = self.collect(job_dir.path(), resolved).await?;
        verified(&self.evidence, record).await
    }

    fn job_dir(&self) -> Result<JobFolder, Failure> {
        let scratch = &self.runner.scratch;
        scratch.job_folder(&self.lease.run_id, self.lease.fence).map_err(|error| {
            let scratch = scratch.path().display();
            Failure::of_worker(format!("no job directory in {scratch}: {error}"))
        })
    }

    async fn find_record(&self, resolved: &Resolved) -> Result<Option<TrainingRecord>, Interrupted> {
        let path = self.evidence.folder.model(TrainingRecord::FILE);
        let Some(stored) = self.evidence.left(RECORD_ROLE, &path).await? else { return Ok(None) };
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

    /// Fetches every data file and the models of earlier bundles, checks each against its digest while it streams, and
    /// writes the job.
    async fn prepare(&self, job_dir: &Path, resolved: &Resolved, granted: &GrantedLimits) -> Result<(), Interrupted> {
        let data = job_dir.join("data");
        let io = |error: std::io::Error| Failure::of_worker(format!("cannot write the job: {error}"));
        tokio::fs::create_dir(&data).await.map_err(io)?;
        let plan = &resolved.plan;
        let mut files = Vec::with_capacity(plan.files.len());
        let mut wanted = Vec::new();
        for (index, file) in plan.files.iter().enumerate() {
            let into = data.join(format!("{index}.parquet"));
            files.push(into.clone());
            wanted.push((&file.reference, file.sha256, file.bytes, into, FailureCode::MaterializationUnresolved));
        }
        let champion = plan.champion.as_ref().map(|champion| &champion.bundle);
        for (role, bundle) in [(EarlierRole::Baseline, plan.baseline.as_ref()), (EarlierRole::Champion, champion)] {
            let Some(PinnedBundle { model, .. }) = bundle else { continue };
            let into = ChildJob::earlier_model(job_dir, role);
            wanted.push((&model.reference, model.sha256, model.bytes, into, FailureCode::EvidenceUnresolved));
        }
        for (reference, sha256, bytes, into, unresolved) in wanted {
            self.guard.check()?;
            let reference = Reference::parse(reference).map_err(failed(FailureCode::RefNotAllowed))?;
            let fetched = resolved.inputs.file(&reference, sha256, bytes, &into).await;
            fetched.map_err(|error| input_failure(&error, unresolved))?;
        }
        let job = ChildJob { plan: plan.clone(), files, limits: granted.limits.clone(), threads: granted.threads };
        Ok(job.write(job_dir, &self.runner.commands).await?)
    }

    fn grant(&self, plan: &TrainPlan) -> &GrantedLimits {
        self.granted.get_or_init(|| {
            let limits = self.runner.ceiling.over(&plan.limits);
            if limits != plan.limits {
                warn!(asked = ?plan.limits, given = ?limits, "the trainer gets less than its profile asks for");
            }
            GrantedLimits { limits, threads: self.runner.threads }
        })
    }

    /// Runs one child process after the other, one for each step of the plan.
    async fn fit(
        &self,
        job_dir: &Path,
        resolved: &Resolved,
        granted: &GrantedLimits,
        sender: ProgressSender,
    ) -> Result<(), Interrupted> {
        for &(step, start, end) in training::steps(&resolved.plan) {
            let command = self.runner.trainer.to(step);
            self.guard.may_take(granted.limits.wall_seconds);
            let mut span = ChildSpan::begin(step.subcommand());
            let exit = training::run(&command, job_dir, &granted.limits, self.guard.stopped(), |progress| {
                if let Some(span) = &mut span {
                    span.begin_step(&progress.step, progress.at_unix_micros);
                }
                sender.report(progress.within(start, end));
            })
            .await
            .map_err(|error| Failure::of_worker(error.to_string()))?;
            match exit {
                Exit::Finished => {}
                Exit::Failed(failure) => {
                    if let Some(span) = &span {
                        span.record_failure(failure.code.as_str());
                    }
                    if failure.code == FailureCode::LeakageGuardViolation {
                        self.keep_leakage_report(job_dir).await?;
                    }
                    return Err(granted.explain(&resolved.plan.limits, failure).into());
                }
                Exit::Stopped => return Err(self.guard.check().err().unwrap_or(Interrupted::Lost)),
            }
        }
        Ok(())
    }

    async fn keep_leakage_report(&self, job_dir: &Path) -> Result<EvidenceRef, Interrupted> {
        let (evidence, local) = (&self.evidence, job_dir.join(training::LEAKAGE_REPORT_FILE));
        let drift = FailureCode::NondeterminismDetected;
        evidence.file("leakage_report", &evidence.folder.leakage_report(), &local, drift).await
    }

    /// Puts the results into the evidence store, the record last. An earlier attempt under the same plan may have left
    /// files without a record; if their bytes differ, training is not deterministic, and the run fails.
    async fn collect(&self, job_dir: &Path, resolved: &Resolved) -> Result<TrainingRecord, Interrupted> {
        let read = tokio::fs::read(job_dir.join(training::EVALUATION_FILE)).await;
        let evaluation: Evaluation = read
            .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
            .map_err(|error| training::file_failure("the trainer's result", &error))?;
        let drift = FailureCode::NondeterminismDetected;
        let (evidence, folder) = (&self.evidence, &self.evidence.folder);
        let model_format = training::model_format(&resolved.plan, job_dir).await?;
        let name = model_format.file_name();
        let model = evidence.file("model", &folder.model(name), &job_dir.join(name), drift).await?;
        let scores =
            evidence.file("scores", &folder.model(SCORES), &job_dir.join(training::SCORES_FILE), drift).await?;
        let leakage_report = self.keep_leakage_report(job_dir).await?;
        let name = ParityVectors::FILE;
        let parity_vectors = evidence.file("parity_vectors", &folder.model(name), &job_dir.join(name), drift).await?;
        let local = job_dir.join(training::DECISION_REPORT_FILE);
        let decision_report = evidence.file(DECISION_ROLE, &folder.decision_report(), &local, drift).await?;
        let record = TrainingRecord {
            schema_version: TrainingRecord::SCHEMA_VERSION.to_owned(),
            resolved_train_plan: resolved.stored.at.sha256,
            model_format,
            model: model.sha256,
            scores: scores.sha256,
            leakage_report: leakage_report.sha256,
            parity_vectors: parity_vectors.sha256,
            decision_report: Some(decision_report.sha256),
            evaluation,
        };
        evidence.document(RECORD_ROLE, &folder.model(TrainingRecord::FILE), &record, drift).await?;
        Ok(record)
    }
}

/// Reads the results back and checks them against the record, so that later stages use what is stored.
async fn verified(evidence: &RunEvidence<'_>, record: TrainingRecord) -> Result<TrainingResults, Interrupted> {
    let folder = &evidence.folder;
    let on_drift = FailureCode::TrainArtifactImmutabilityViolation;
    let leakage_report = folder.leakage_report();
    // Verifying also remembers the reference under its role, where the bundle stage looks for it.
    evidence.verified("parity_vectors", &folder.model(ParityVectors::FILE), record.parity_vectors, on_drift).await?;
    let decision = match record.decision_report {
        Some(digest) => {
            let stored = evidence.verified(DECISION_ROLE, &folder.decision_report(), digest, on_drift).await?;
            Some(StoredDecision { report: read_decision(&stored)?, stored })
        }
        None => None,
    };
    Ok(TrainingResults {
        decision,
        model: evidence
            .verified("model", &folder.model(record.model_format.file_name()), record.model, on_drift)
            .await?
            .at,
        scores: evidence.verified("scores", &folder.model(SCORES), record.scores, on_drift).await?.at,
        leakage_report: evidence.verified("leakage_report", &leakage_report, record.leakage_report, on_drift).await?.at,
        evaluation: record.evaluation,
        reused: false,
    })
}

pub(super) fn read_decision(stored: &StoredDocument) -> Result<DecisionReport, Failure> {
    read_json(SchemaName::DecisionReport, &stored.bytes)
        .map_err(|error| Failure::new(FailureCode::EvidenceUnresolved, format!("{}: {error}", stored.at.reference)))
}
