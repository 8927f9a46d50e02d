//! The step before a registered command: writes what it may know into its folder. Never: a label of the test window.

use super::assign::{Assigned, assign};
use super::job::{begin, broken, write};
use super::progress::report;
use super::rows::{read, write_columns};
use crate::adapters::dataset::{LabelColumn, write_rows};
use crate::domain::contract::{JobFiles, JobRows, ResolvedAlgorithm, TrainerJob};
use crate::domain::identity::document_bytes;
use crate::domain::run::Failure;
use crate::training::protocol::CommandSpec;
use std::path::Path;

pub(super) fn prepare(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let plan = &job.plan;
    let ResolvedAlgorithm::Process(algorithm) = &plan.algorithm else {
        return Err(broken("the plan names no registered command"));
    };
    report("read", 0.0, "reading the rows");
    write_columns(job_dir, &job)?;
    let mut table = read(&job)?;
    report("check", 0.4, "looking for leakage");
    let Assigned { assignment, split, categories, .. } = assign(job_dir, &mut table, plan)?;
    report("prepare", 0.7, "writing what the command learns from");
    let work = CommandSpec::work(job_dir);
    let rows = |name: &str, rows: &[usize], labels| {
        write_rows(&work.join(name), &table, rows, &plan.features, labels).map_err(broken)
    };
    rows(JobFiles::TRAIN, &assignment.train, LabelColumn::Given)?;
    if split.has_validation() {
        rows(JobFiles::VALIDATION, &assignment.validation, LabelColumn::Given)?;
    }
    rows(JobFiles::SCORE, &assignment.test, LabelColumn::Withheld)?;
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
            score: assignment.test.len() as u64,
        },
        limits: job.limits.clone(),
    };
    write(&work, TrainerJob::FILE, &document_bytes(&trainer_job))?;
    report("prepare", 1.0, "ready for the command");
    Ok(())
}
