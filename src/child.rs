//! The trainer's child process: read, check, fit, score, measure, write.
//!
//! Where dataset, trainer and pipeline meet. Everything that it knows is in the job directory; everything
//! that it leaves is there too, `result.json` last. Never: opens a socket, reads the environment.

use crate::dataset::{read_table, write_scores};
use crate::identity::document_bytes;
use crate::pipeline::metrics::{self, Measured, Resampling, Scored};
use crate::pipeline::{
    Assignment, BoostParameters, DatasetSummary, Evaluation, LeakageReport, Table, TrainPlan, WindowSummary, canary,
    encode_categories, leakage, settle, shap_rows, slicings, split,
};
use crate::run::{Failure, FailureCode};
use crate::trainer::{
    self, EVALUATION_FILE, Fitted, FittingWindow, Job, JobEnd, LEAKAGE_REPORT_FILE, MODEL_FILE, Matrix, Progress,
    RESULT_FILE, SCORES_FILE,
};
use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

/// Carries the job out. The exit status says whether a result was written, the result says which.
pub fn main(job_dir: &Path, worker: i32) -> ExitCode {
    let end = match work(job_dir, worker) {
        Ok(()) => JobEnd::Finished,
        Err(failure) => JobEnd::failed(&failure),
    };
    let temporary = job_dir.join(".result");
    let written =
        fs::write(&temporary, document_bytes(&end)).and_then(|()| fs::rename(&temporary, job_dir.join(RESULT_FILE)));
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn work(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = fs::read(job_dir.join(Job::FILE)).map_err(broken)?;
    let Job { plan, files, threads } = serde_json::from_slice(&job).map_err(broken)?;
    trainer::confine(&plan.limits, worker).map_err(broken)?;

    tell("read", 0.0, "reading the rows");
    let files: Vec<_> = files.into_iter().zip(plan.files.iter().map(|file| file.rows)).collect();
    let reading = || read_table(&files, &plan.columns, &plan.features, &plan.limits);
    let mut table = catch_unwind(AssertUnwindSafe(reading))
        .unwrap_or_else(|_| Err(Failure::new(FailureCode::DatasetInvalid, "a data file made the decoder panic")))?;

    tell("check", 0.2, "looking for leakage");
    let settled = settle(&plan.split, &table)?;
    let assignment = split(&table, &settled, plan.seed);
    let categories = encode_categories(&mut table, &assignment.train, &plan.features, plan.limits.max_categories)?;
    let report = leakage(&table, &assignment, &settled, &plan);
    keep_if_clean(job_dir, &report)?;
    let dataset = summarise(&table, &assignment);
    check_labels(&dataset, &plan)?;
    let matrix = Matrix::new(&table, &plan.features)?;
    if let Some(rule) = &plan.leakage.shuffled_label_canary {
        tell("check", 0.25, "fitting to shuffled labels");
        let parameters =
            BoostParameters { rounds: rule.rounds, early_stopping_rounds: 0, ..plan.algorithm.parameters.clone() };
        let rule = canary(&table, &assignment, rule, plan.seed, |labels| {
            trainer::fit_to_labels(&matrix, &assignment.train, labels, &parameters, plan.seed, threads)?
                .score(&matrix, &assignment.test)
        })?;
        keep_if_clean(job_dir, &report.with(rule))?;
    }

    let fitted = fit(&matrix, &assignment, &plan, threads)?;
    write(job_dir, MODEL_FILE, &fitted.xgboost_json(&plan.features, &categories)?)?;
    tell("score", 0.85, "scoring the test window");
    let scores = fitted.score(&matrix, &assignment.test)?;
    write_scores(&job_dir.join(SCORES_FILE), &table, &assignment.test, &scores).map_err(broken)?;
    tell("evaluate", 0.9, "measuring");
    let Measured { scores, confusion, curves, slices } = measure(&table, &assignment, &scores, &plan, threads);
    let evaluation = Evaluation {
        scores,
        confusion,
        curves,
        slices,
        dataset,
        split: settled,
        rounds: fitted.rounds,
        features: fitted.effects(&matrix, &shap_rows(&assignment.test))?,
    };
    write(job_dir, EVALUATION_FILE, &document_bytes(&evaluation))?;
    tell("evaluate", 1.0, "measured");
    Ok(())
}

/// Writes the report; what it finds ends the job.
fn keep_if_clean(job_dir: &Path, report: &LeakageReport) -> Result<(), Failure> {
    write(job_dir, LEAKAGE_REPORT_FILE, &document_bytes(report))?;
    if report.clean { Ok(()) } else { Err(Failure::new(FailureCode::LeakageGuardViolation, report.message())) }
}

fn fit(matrix: &Matrix, assignment: &Assignment, plan: &TrainPlan, threads: u32) -> Result<Fitted, Failure> {
    let parameters = &plan.algorithm.parameters;
    let every = (parameters.rounds / 20).max(1);
    let rows = FittingWindow { train: &assignment.train, validation: &assignment.validation };
    trainer::fit(matrix, rows, parameters, plan.seed, threads, |done| {
        if done % every == 0 {
            let fraction = 0.3 + 0.55 * f64::from(done) / f64::from(parameters.rounds);
            tell("fit", fraction, &format!("{done} of {} trees", parameters.rounds));
        }
    })
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureCode::TrainerFailed, error.to_string())
}

fn write(job_dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(job_dir.join(name), bytes).map_err(|error| broken(format!("cannot write {name}: {error}")))
}

/// One line of progress. Nobody may be listening; that is no reason to stop.
fn tell(step: &str, fraction: f64, message: &str) {
    let progress = Progress { step: step.to_owned(), fraction, message: message.to_owned() };
    if let Ok(line) = serde_json::to_string(&progress) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}

fn summarise(table: &Table, assignment: &Assignment) -> DatasetSummary {
    let window = |rows: &[usize]| WindowSummary {
        rows: rows.len() as u64,
        positives: rows.iter().filter(|&&row| table.label[row]).count() as u64,
    };
    DatasetSummary {
        rows: table.rows() as u64,
        unused_rows: assignment.unused as u64,
        excluded_rows: assignment.excluded as u64,
        train: window(&assignment.train),
        validation: (!assignment.validation.is_empty()).then(|| window(&assignment.validation)),
        test: window(&assignment.test),
    }
}

fn check_labels(dataset: &DatasetSummary, plan: &TrainPlan) -> Result<(), Failure> {
    let required = u64::from(plan.evaluation.min_rows_per_class);
    for (name, window) in [("train", &dataset.train), ("test", &dataset.test)] {
        let WindowSummary { rows, positives } = *window;
        if positives < required || rows - positives < required {
            let message = format!(
                "the {name} window holds {positives} frauds among {rows} rows; at least {required} of each class are required"
            );
            return Err(Failure::new(FailureCode::LabelsInsufficient, message));
        }
    }
    Ok(())
}

fn measure(table: &Table, assignment: &Assignment, scores: &[f32], plan: &TrainPlan, threads: u32) -> Measured {
    const DAY: i64 = 86_400_000_000;
    let rows = &assignment.test;
    let scores: Vec<f64> = scores.iter().map(|&score| f64::from(score)).collect();
    let labels: Vec<bool> = rows.iter().map(|&row| table.label[row]).collect();
    let at = table.event_time.as_deref();
    let days: Vec<i64> = rows.iter().map(|&row| at.map_or(0, |at| at[row].div_euclid(DAY))).collect();
    let of_rows = |ids: &[u32]| -> Vec<u32> { rows.iter().map(|&row| ids[row]).collect() };
    // Without time there are no days to look at the best cards of.
    let cards = table.entities.first().filter(|_| at.is_some()).map(|column| of_rows(&column.ids));
    let of_test = Scored { scores: &scores, labels: &labels, days: &days, cards: cards.as_deref() };
    let bootstrap = plan.evaluation.bootstrap.as_ref();
    let cluster = bootstrap.and_then(|spec| spec.cluster.as_ref());
    let clusters = cluster
        .and_then(|name| table.entities.iter().find(|column| &column.name == name))
        .map(|column| of_rows(&column.ids));
    let resampling = bootstrap.map(|spec| Resampling { spec, clusters: clusters.as_deref(), seed: plan.seed, threads });
    let slicings = slicings(table, &plan.features, rows, &plan.evaluation.slices);
    metrics::measure(&of_test, &plan.evaluation, resampling.as_ref(), &slicings)
}
