//! Assigns rows to the train, validation and test windows, and checks these rows for leakage and for enough labels.

use super::earlier::Earlier;
use super::job::write;
use crate::domain::contract::{
    DatasetSummary, FeatureCategories, LeakageReport, PinnedBundle, SettledSplit, TrainPlan, WindowSummary,
};
use crate::domain::identity::document_bytes;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{Assignment, EarlierRole, Table, encode_categories, leakage, settle, split};
use crate::training::protocol::LEAKAGE_REPORT_FILE;
use std::path::Path;

/// A table's rows by window, and what was computed from them: categories, reports and earlier models.
pub(super) struct Assigned {
    pub(super) assignment: Assignment,
    pub(super) split: SettledSplit,
    pub(super) categories: Vec<FeatureCategories>,
    pub(super) report: LeakageReport,
    pub(super) dataset: DatasetSummary,
    pub(super) baseline: Option<Earlier>,
    pub(super) champion: Option<Earlier>,
}

/// Assigns rows to windows, encodes categories, opens the models of earlier bundles, and writes the leakage report.
/// Returns a failure if there is leakage or if a window has too few rows of a class. A run that measures a baseline
/// fits nothing and uses only the test window.
pub(super) fn assign(job_dir: &Path, table: &mut Table, plan: &TrainPlan) -> Result<Assigned, Failure> {
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
        // A run with a baseline fits nothing. Its train window is empty, so no category would get a code.
        Some(_) => Vec::new(),
        None => encode_categories(table, &assignment.train, &plan.features, plan.limits.max_categories)?,
    };
    let report = leakage(table, &assignment, &settled, plan);
    write_leakage_report(job_dir, &report)?;
    let dataset = summarise(table, &assignment);
    check_labels(&dataset, plan)?;
    Ok(Assigned { assignment, split: settled, categories, report, dataset, baseline, champion })
}

/// Writes the report to the job directory. Returns the failure `LEAKAGE_GUARD_VIOLATION` if the report has a violation.
pub(super) fn write_leakage_report(job_dir: &Path, report: &LeakageReport) -> Result<(), Failure> {
    write(job_dir, LEAKAGE_REPORT_FILE, &document_bytes(report))?;
    if report.clean { Ok(()) } else { Err(Failure::new(FailureCode::LeakageGuardViolation, report.message())) }
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
