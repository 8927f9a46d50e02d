//! Before a registered command: what it may know, as files in its folder. LabelColumn of the test window stay out.

use super::columns::describe;
use super::{Assigned, assign, begin, broken, read, tell, write};
use crate::adapters::dataset::{LabelColumn, write_rows};
use crate::domain::identity::document_bytes;
use crate::domain::run::Failure;
use crate::modelling::ResolvedAlgorithm;
use crate::training::{CommandOrder, JobFiles, JobRows, TrainerJob};
use std::path::Path;

/// Reads, checks, and writes rows and job into the work folder.
pub(super) fn prepare(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let plan = &job.plan;
    let ResolvedAlgorithm::Process(algorithm) = &plan.algorithm else {
        return Err(broken("the plan names no registered command"));
    };
    tell("read", 0.0, "reading the rows");
    describe(job_dir, &job)?;
    let mut table = read(&job)?;
    tell("check", 0.4, "looking for leakage");
    let Assigned { assignment, split, categories, .. } = assign(job_dir, &mut table, plan)?;
    tell("prepare", 0.7, "writing what the command learns from");
    let work = CommandOrder::work(job_dir);
    let rows = |name: &str, rows: &[usize], labels| {
        write_rows(&work.join(name), &table, rows, &plan.features, labels).map_err(broken)
    };
    rows(JobFiles::TRAIN, &assignment.train, LabelColumn::Given)?;
    if split.has_validation() {
        rows(JobFiles::VALIDATION, &assignment.validation, LabelColumn::Given)?;
    }
    rows(JobFiles::SCORE, &assignment.test, LabelColumn::Withheld)?;
    let told = TrainerJob {
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
    write(&work, TrainerJob::FILE, &document_bytes(&told))?;
    tell("prepare", 1.0, "ready for the command");
    Ok(())
}
