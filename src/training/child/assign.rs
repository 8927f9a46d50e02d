//! Assigns rows to the train, validation and test windows, and checks these rows for leakage and for enough labels.

use super::earlier::Earlier;
use super::job::write;
use crate::domain::contract::{
    DatasetSummary, FeatureCategories, LeakageReport, PinnedBundle, SettledSplit, StandsFor, TrainPlan, WindowSummary,
};
use crate::domain::identity::document_bytes;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{
    Assignment, EarlierRole, Table, check_expectations, encode_categories, feature_histograms, leakage, settle, split,
    without_known_entities,
};
use crate::training::protocol::LEAKAGE_REPORT_FILE;
use std::path::Path;

/// A table's rows by window, and what was computed from them: categories, reports and earlier models.
pub(super) struct Assigned {
    pub(super) assignment: Assignment,
    pub(super) split: SettledSplit,
    /// The rows of the validation window that thresholds are chosen on. If empty, no operating point has a threshold.
    pub(super) chosen_on: Vec<usize>,
    pub(super) categories: Vec<FeatureCategories>,
    pub(super) report: LeakageReport,
    pub(super) dataset: DatasetSummary,
    pub(super) baseline: Option<Earlier>,
    pub(super) champion: Option<Earlier>,
}

/// Assigns rows to windows, checks the data expectations, encodes categories, opens the models of earlier bundles, and writes the leakage report.
/// Returns a failure if an expectation is violated, if there is leakage or if a window has too few rows of a class. A run that measures a baseline
/// fits nothing and uses only the test window.
pub(super) fn assign(job_dir: &Path, table: &mut Table, plan: &TrainPlan) -> Result<Assigned, Failure> {
    let settled = settle(&plan.split, table)?;
    let mut assignment = split(table, &settled, plan.seed);
    if plan.baseline.is_some() {
        assignment.unused += assignment.train.len() + assignment.validation.len();
        assignment.train.clear();
        assignment.validation.clear();
    }
    if !plan.data_expectations.is_empty() {
        let validated = settled.has_validation() && plan.baseline.is_none();
        let histograms = feature_histograms(table, &assignment, &plan.features, validated);
        check_expectations(table, &assignment, &settled, plan, &histograms)?;
    }
    let chosen_on = rows_to_choose_on(table, &settled, &assignment, plan);
    let open = |role, pinned: Option<&PinnedBundle>| {
        let rows = (assignment.test.as_slice(), chosen_on.as_slice());
        pinned.map(|pinned| Earlier::open(job_dir, role, pinned, table, &plan.features, rows)).transpose()
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
    let learns = plan.baseline.is_none();
    let dataset = summarise(table, &assignment, learns && settled.has_validation());
    check_labels(&dataset, learns, plan.evaluation.min_rows_per_class)?;
    Ok(Assigned { assignment, split: settled, chosen_on, categories, report, dataset, baseline, champion })
}

/// Returns the rows that thresholds are chosen on. Empty if the profile asks for no operating point, or if the run has no
/// validation window.
fn rows_to_choose_on(table: &Table, settled: &SettledSplit, assignment: &Assignment, plan: &TrainPlan) -> Vec<usize> {
    if plan.evaluation.operating_points.is_empty() {
        return Vec::new();
    }
    without_known_entities(table, settled, &assignment.validation)
}

/// Writes the report to the job directory. Returns the failure `LEAKAGE_GUARD_VIOLATION` if the report has a violation.
pub(super) fn write_leakage_report(job_dir: &Path, report: &LeakageReport) -> Result<(), Failure> {
    write(job_dir, LEAKAGE_REPORT_FILE, &document_bytes(report))?;
    if report.clean { Ok(()) } else { Err(Failure::new(FailureCode::LeakageGuardViolation, report.message())) }
}

/// Counts the rows of each window. `validated` says whether the run has a validation window, perhaps without any row.
fn summarise(table: &Table, assignment: &Assignment, validated: bool) -> DatasetSummary {
    let window = |rows: &[usize]| WindowSummary {
        rows: rows.len() as u64,
        positives: rows.iter().filter(|&&row| table.label[row]).count() as u64,
        stands_for: table.weight.as_ref().map(|weights| {
            let sum = |of: &dyn Fn(usize) -> bool| -> f64 {
                rows.iter().filter(|&&row| of(row)).map(|&row| f64::from(weights[row])).sum()
            };
            StandsFor { payments: sum(&|_| true), frauds: sum(&|row| table.label[row]) }
        }),
    };
    DatasetSummary {
        rows: table.rows() as u64,
        unused_rows: assignment.unused as u64,
        excluded_rows: assignment.excluded.len() as u64,
        train: window(&assignment.train),
        validation: validated.then(|| window(&assignment.validation)),
        test: window(&assignment.test),
    }
}

/// Checks that each window that the run learns from or measures on has `required` rows of both classes. The failure names
/// every window that has too few.
fn check_labels(dataset: &DatasetSummary, learns: bool, required: u32) -> Result<(), Failure> {
    let train = learns.then_some(dataset.train);
    let windows = [("train", train), ("validation", dataset.validation), ("test", Some(dataset.test))];
    let lacking: Vec<String> = windows
        .into_iter()
        .filter_map(|(name, window)| Some((name, window?.positives, window?.rows - window?.positives)))
        .filter(|(_, frauds, good)| frauds.min(good) < &u64::from(required))
        .map(|(name, frauds, good)| format!("the {name} window holds {frauds} rows of fraud and {good} good ones"))
        .collect();
    if lacking.is_empty() {
        return Ok(());
    }
    let lacking = lacking.join(", ");
    let message = format!("{lacking}; evaluation.min_rows_per_class asks for at least {required} of each class");
    Err(Failure::new(FailureCode::LabelsInsufficient, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_window_needs_rows_of_both_classes_and_the_failure_names_all_that_lack_them() {
        let window = |rows, positives| WindowSummary { rows, positives, stands_for: None };
        let enough = window(1_000, 10);
        let dataset = |train, validation, test| DatasetSummary {
            rows: 5_000,
            unused_rows: 0,
            excluded_rows: 0,
            train,
            validation,
            test,
        };
        let check = |dataset: &DatasetSummary, learns| check_labels(dataset, learns, 10).map_err(|why| why.message);
        assert_eq!(check(&dataset(enough, Some(enough), enough), true), Ok(()));
        assert_eq!(check(&dataset(enough, None, enough), true), Ok(()), "no validation window is planned");
        assert_eq!(check(&dataset(window(0, 0), None, enough), false), Ok(()), "a run that fits nothing");
        for (validation, says) in [
            (window(0, 0), "the validation window holds 0 rows of fraud and 0 good ones"),
            (window(700, 1), "the validation window holds 1 rows of fraud and 699 good ones"),
            (window(19, 10), "the validation window holds 10 rows of fraud and 9 good ones"),
        ] {
            let message = check(&dataset(enough, Some(validation), enough), true).unwrap_err();
            assert_eq!(message, format!("{says}; evaluation.min_rows_per_class asks for at least 10 of each class"));
        }
        let message = check(&dataset(window(9, 0), Some(enough), window(100, 9)), true).unwrap_err();
        assert!(
            message.contains("the train window holds 0") && message.contains("the test window holds 9"),
            "{message}"
        );
    }
}
