//! The trainer's child process: read, check, fit, score, measure, write.
//!
//! Where dataset, trainer and pipeline meet. Everything that it knows is in the job directory; everything
//! that it leaves is there too, `result.json` last. Never: opens a socket, reads the environment.

mod columns;
mod earlier;
mod measure;
mod prepare;
mod recheck;
mod score;
mod train;

use crate::adapters::dataset::{read_table, room_mib};
use crate::clock;
use crate::domain::identity::document_bytes;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{
    Assignment, DatasetSummary, EarlierRole, FeatureCategories, LeakageReport, PinnedBundle, SettledSplit, Table,
    TrainPlan, WindowSummary, encode_categories, leakage, settle, split,
};
use crate::training::{self, Job, JobEnd, LEAKAGE_REPORT_FILE, Progress, Step};
use earlier::Earlier;
use serde::de::DeserializeOwned;
use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;

/// Carries a step of the job out. The exit status says whether a result was written, the result says which.
pub fn main(step: Step, job_dir: &Path, worker: i32) -> ExitCode {
    let work: fn(&Path, i32) -> Result<(), Failure> = match step {
        Step::Train => train::train,
        Step::Prepare => prepare::prepare,
        Step::Measure => measure::measure,
        Step::Recheck => recheck::recheck,
        Step::Score => score::score,
        Step::Command => return training::watch(job_dir, worker),
    };
    JobEnd::leave(work(job_dir, worker), job_dir)
}

/// Reads the job and confines this process to its limits.
fn begin(job_dir: &Path, worker: i32) -> Result<Job, Failure> {
    let job: Job = told(job_dir)?;
    training::confine(&job.limits, worker).map_err(broken)?;
    Ok(job)
}

/// What stands in `job.json`.
fn told<T: DeserializeOwned>(job_dir: &Path) -> Result<T, Failure> {
    let job = fs::read(job_dir.join(Job::FILE)).map_err(broken)?;
    serde_json::from_slice(&job).map_err(broken)
}

/// Reads every row.
fn read(job: &Job) -> Result<Table, Failure> {
    let Job { plan, files, .. } = job;
    let rows = plan.files.iter().map(|file| file.rows).sum();
    let (needed, given) = (room_mib(rows, &plan.columns, &plan.features), job.limits.memory_mib);
    // Above the profile's own limit the data is at fault, and the reader says so.
    if needed > u64::from(given) && given < plan.limits.memory_mib {
        let message = format!("the rows take {needed} MiB, and there are {given} MiB for the trainer");
        return Err(Failure::new(FailureCode::TrainerOutOfMemory, message));
    }
    let files: Vec<_> = files.iter().cloned().zip(plan.files.iter().map(|file| file.rows)).collect();
    let reading = || read_table(&files, &plan.columns, &plan.features, &plan.limits);
    decoding("a data file", FailureCode::DatasetInvalid, reading)
}

/// A hostile file may make a decoder panic.
fn decoding<T>(what: &str, code: FailureCode, read: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(Failure::new(code, format!("{what} made the decoder panic"))))
}

/// Which rows are for what, and what is known once that is.
struct Assigned {
    assignment: Assignment,
    split: SettledSplit,
    categories: Vec<FeatureCategories>,
    report: LeakageReport,
    dataset: DatasetSummary,
    baseline: Option<Earlier>,
    champion: Option<Earlier>,
}

/// Settles the split and the codes of categories, and opens the models of earlier bundles; with the report
/// on leakage written, and an end where there is some. Where a baseline is measured nothing learns, so that
/// only the test window is used.
fn assign(job_dir: &Path, table: &mut Table, plan: &TrainPlan) -> Result<Assigned, Failure> {
    let settled = settle(&plan.split, table)?;
    let mut assignment = split(table, &settled, plan.seed);
    if plan.baseline.is_some() {
        assignment.unused += assignment.train.len() + assignment.validation.len();
        assignment.train.clear();
        assignment.validation.clear();
    }
    let open = |role, pinned: Option<&PinnedBundle>| {
        let test = &assignment.test;
        pinned.map(|pinned| Earlier::open(job_dir, role, pinned, table, &plan.features, test)).transpose()
    };
    let baseline = open(EarlierRole::Baseline, plan.baseline.as_ref())?;
    let champion = open(EarlierRole::Champion, plan.champion.as_ref().map(|champion| &champion.bundle))?;
    let categories = match baseline {
        // The train window is empty; every value would lose its name.
        Some(_) => Vec::new(),
        None => encode_categories(table, &assignment.train, &plan.features, plan.limits.max_categories)?,
    };
    let report = leakage(table, &assignment, &settled, plan);
    keep_if_clean(job_dir, &report)?;
    let dataset = summarise(table, &assignment);
    check_labels(&dataset, plan)?;
    Ok(Assigned { assignment, split: settled, categories, report, dataset, baseline, champion })
}

/// Writes the report; what it finds ends the job.
fn keep_if_clean(job_dir: &Path, report: &LeakageReport) -> Result<(), Failure> {
    write(job_dir, LEAKAGE_REPORT_FILE, &document_bytes(report))?;
    if report.clean { Ok(()) } else { Err(Failure::new(FailureCode::LeakageGuardViolation, report.message())) }
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureCode::TrainerFailed, error.to_string())
}

fn write(job_dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(job_dir.join(name), bytes).map_err(|error| broken(format!("cannot write {name}: {error}")))
}

/// One line of progress. Nobody may be listening; that is no reason to stop.
fn tell(step: &str, fraction: f64, message: &str) {
    let (step, message) = (step.to_owned(), message.to_owned());
    let progress =
        Progress { step, fraction, message, at_unix_micros: u64::try_from(clock::since_epoch().as_micros()).ok() };
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
    let learns = plan.baseline.is_none().then_some(("train", &dataset.train));
    for (name, window) in learns.into_iter().chain([("test", &dataset.test)]) {
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
