//! Runs the steps before and after a registered command.
//!
//! The first step writes into the command's folder what the command may know. Never: a label of the test window. The
//! second step checks the command's model and scores, which come from foreign code, before they are used. The command
//! may have escaped from its sandbox and changed a file. Therefore the second step checks the data files' digests and
//! reads the labels again.

use super::assign::{Assigned, assign};
use super::decide::{ScoredWindows, decide};
use super::evaluate::evaluate;
use super::job::{begin, broken, decode, read_rows, report, unread, write, write_columns};
use crate::adapters::dataset::{LabelColumn, read_scores, write_rows, write_scores};
use crate::domain::contract::{
    FeatureCategories, JobFiles, JobRows, ModelFormat, ParityCase, ParityOrigin, ParityValue, ParityVectors,
    ResolvedAlgorithm, SavedModel, SchemaName, TrainPlan, TrainerJob, TrainerResult, read_json,
};
use crate::domain::identity::document_bytes;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{ParityRow, RowId, RowIds, Table};
use crate::training::protocol::{
    AcceptedModel, ChildJob, CommandSpec, DECISION_REPORT_FILE, EVALUATION_FILE, SCORES_FILE, digest_of, file_failure,
};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

pub(super) fn prepare(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let plan = &job.plan;
    let ResolvedAlgorithm::Process(algorithm) = &plan.algorithm else {
        return Err(broken("the plan names no registered command"));
    };
    report("read", 0.0, "reading the rows");
    write_columns(job_dir, &job)?;
    let mut table = read_rows(&job)?;
    report("check", 0.4, "looking for leakage");
    let assigned = assign(job_dir, &mut table, plan)?;
    let to_score = rows_to_score(&assigned);
    let Assigned { assignment, split, categories, .. } = assigned;
    report("prepare", 0.7, "writing what the command learns from");
    let work = CommandSpec::work(job_dir);
    let rows = |name: &str, rows: &[usize], labels| {
        write_rows(&work.join(name), &table, rows, &plan.features, labels)
            .map_err(|error| file_failure("cannot write the rows", &error))
    };
    rows(JobFiles::TRAIN, &assignment.train, LabelColumn::Given)?;
    if split.has_validation() {
        rows(JobFiles::VALIDATION, &assignment.validation, LabelColumn::Given)?;
    }
    rows(JobFiles::SCORE, &to_score, LabelColumn::Withheld)?;
    let trainer_job = TrainerJob {
        schema_version: TrainerJob::SCHEMA_VERSION.to_owned(),
        run_id: plan.run_id.clone(),
        parameters: algorithm.parameters.clone(),
        features: plan.features.clone(),
        categories,
        seed: plan.seed,
        threads: job.threads,
        files: JobFiles {
            train: JobFiles::TRAIN.to_owned(),
            validation: split.has_validation().then(|| JobFiles::VALIDATION.to_owned()),
            score: JobFiles::SCORE.to_owned(),
        },
        rows: JobRows {
            train: assignment.train.len() as u64,
            validation: assignment.validation.len() as u64,
            score: to_score.len() as u64,
        },
        limits: job.limits.clone(),
    };
    write(&work, TrainerJob::FILE, &document_bytes(&trainer_job))?;
    report("prepare", 1.0, "ready for the command");
    Ok(())
}

/// Checks the command's model and scores, computes the metrics, and writes the results into the job directory.
pub(super) fn measure(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let plan = &job.plan;
    report("check", 0.0, "looking at what the command left");
    let (format, model) = accept_model(job_dir)?;
    verify_data(&job)?;
    let mut table = read_rows(&job)?;
    let assigned = assign(job_dir, &mut table, plan)?;
    let test = &assigned.assignment.test;
    let to_score = rows_to_score(&assigned);
    let given = accept_scores(&CommandSpec::work(job_dir), &table, &to_score)?;
    let scores_of = |rows: &[usize]| -> Vec<f32> {
        rows.iter().filter_map(|row| Some(given[to_score.binary_search(row).ok()?])).collect()
    };
    let scores = scores_of(test);
    let decided = ScoredWindows { test: &scores, validation: &scores_of(&assigned.chosen_on) };
    let decision = decide(&table, &assigned, &decided, &model, plan)?;
    write_scores(&job_dir.join(SCORES_FILE), &table, test, &scores)
        .map_err(|error| file_failure("cannot write the scores", &error))?;
    report("evaluate", 0.5, "measuring");
    // Only the command can read its model. So the evaluation has no number of trees and no effects of features.
    let evaluation = evaluate(&table, &assigned, &scores, None, &job)?;
    let Assigned { assignment, categories, .. } = assigned;
    let parity = parity_of_scores(&table, &assignment.test, &scores, plan, &model, categories);
    write(job_dir, format.file_name(), &model)?;
    write(job_dir, ParityVectors::FILE, &document_bytes(&parity))?;
    write(job_dir, AcceptedModel::FILE, &document_bytes(&AcceptedModel { format }))?;
    write(job_dir, EVALUATION_FILE, &document_bytes(&evaluation))?;
    write(job_dir, DECISION_REPORT_FILE, &document_bytes(&decision))?;
    report("evaluate", 1.0, "measured");
    Ok(())
}

/// Returns the rows that the command scores, ascending: the test window and, if thresholds are chosen, the rows for that.
/// Which rows left the test window follows from labels, so that the command scores all of them.
fn rows_to_score(assigned: &Assigned) -> Vec<usize> {
    let mut rows = [assigned.chosen_on.clone(), assigned.assignment.whole_test_window()].concat();
    rows.sort_unstable();
    rows
}

/// Builds parity vectors from up to 64 rows of the test window and the command's scores of these rows. Model Factory
/// does not run the command's model, so it can score no other rows.
fn parity_of_scores(
    table: &Table,
    rows: &[usize],
    scores: &[f32],
    plan: &TrainPlan,
    model: &[u8],
    categories: Vec<FeatureCategories>,
) -> ParityVectors {
    const ROWS: usize = 64;
    let shown = |row: usize, feature: usize| {
        let value = table.features.value(row, feature);
        let known = table.features.vocabulary(feature);
        (!value.is_nan()).then(|| match known {
            Some(known) => ParityValue::from(&known[value as usize]),
            None => ParityValue::Number(value),
        })
    };
    let vectors = rows.iter().zip(scores).step_by(rows.len().div_ceil(ROWS).max(1)).map(|(&row, &score)| {
        let values = (0..plan.features.len()).map(|feature| shown(row, feature)).collect();
        (ParityRow { case: ParityCase::TestRow, values }, score)
    });
    ParityVectors::new(&plan.run_id, model, ParityOrigin::Trainer, &plan.features, categories, vectors)
}

/// Reads the model that `result.json` names. Returns a failure unless the model file has the format that `result.json`
/// states, and the command's registration allows this format.
fn accept_model(job_dir: &Path) -> Result<(ModelFormat, Vec<u8>), Failure> {
    const RESULT_CAP: u64 = 64 * 1024;
    let spec = CommandSpec::read(job_dir).map_err(|error| unread(&error))?;
    let work = CommandSpec::work(job_dir);
    let result = fs::read(regular_file(&work, TrainerResult::FILE, RESULT_CAP)?).map_err(|error| unread(&error))?;
    let result: TrainerResult = read_json(SchemaName::TrainerResult, &result)
        .map_err(|error| broken(format!("the command's result.json: {error}")))?;
    let SavedModel { format, path } = result.model;
    if format.runs_code() && !spec.registration.allow_pickle {
        return Err(broken(format!(
            "the command saved its model as {format}, which runs code when it is loaded; its registration does not \
             set allow_pickle"
        )));
    }
    let bytes = fs::read(regular_file(&work, &path, u64::MAX)?).map_err(|error| unread(&error))?;
    format.check(&bytes).map_err(|why| broken(format!("the command's {path} is no {format} model: {why}")))?;
    Ok((format, bytes))
}

/// Reads the command's scores of `rows`, in their order. Returns a failure unless each of them has exactly one score.
fn accept_scores(work: &Path, table: &Table, rows: &[usize]) -> Result<Vec<f32>, Failure> {
    let path = regular_file(work, TrainerResult::SCORES, u64::MAX)?;
    let reading = || read_scores(&path, rows.len());
    let (ids, given) = decode("the command's scores.parquet", FailureCode::TrainerFailed, reading)?;
    let positions: HashMap<RowId<'_>, usize> =
        rows.iter().enumerate().map(|(position, &row)| (table.row_id.show(row), position)).collect();
    let mut scores = vec![f32::NAN; rows.len()];
    let length = match &ids {
        RowIds::Numbers(ids) => ids.len(),
        RowIds::Texts(ids) => ids.len(),
    };
    if length != given.len() {
        return Err(broken("the command's scores.parquet has fewer ids than scores"));
    }
    for (row, score) in given.into_iter().enumerate() {
        let id = ids.show(row);
        let Some(&position) = positions.get(&id) else {
            return Err(broken(format!("the command scored row {id}, which it was not asked for")));
        };
        if !scores[position].is_nan() {
            return Err(broken(format!("the command scored row {id} twice")));
        }
        scores[position] = score;
    }
    Ok(scores)
}

/// Returns the path of a regular file in the command's folder. Returns a failure for links, pipes, devices, files with
/// a second hard link, and files of more than `cap` bytes.
fn regular_file(work: &Path, name: &str, cap: u64) -> Result<PathBuf, Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let refuse = |why: String| broken(format!("the command's {name}: {why}"));
    let mut path = work.to_owned();
    for part in name.split('/') {
        path.push(part);
        let found = fs::symlink_metadata(&path).map_err(|error| refuse(error.to_string()))?;
        if found.is_symlink() {
            return Err(refuse("it is a link".to_owned()));
        }
    }
    let found = fs::metadata(&path).map_err(|error| refuse(error.to_string()))?;
    if !found.is_file() || found.nlink() != 1 {
        return Err(refuse("it is no regular file of its own".to_owned()));
    }
    if found.len() > cap {
        return Err(refuse(format!("it holds {} bytes, at most {cap} are read", found.len())));
    }
    Ok(path)
}

fn verify_data(job: &ChildJob) -> Result<(), Failure> {
    for (path, pinned) in job.files.iter().zip(&job.plan.files) {
        let found = digest_of(path).map_err(|error| unread(&error))?;
        if found != pinned.sha256 {
            let message = format!("{} was changed while the command ran: its digest is {found} now", pinned.reference);
            return Err(broken(message));
        }
    }
    Ok(())
}
