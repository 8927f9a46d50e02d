//! The step of a regression check: measures the model of an earlier bundle on this run's test window. Never: fits.

use super::assign::assign;
use super::evaluate::evaluate;
use super::job::{begin, broken, write};
use super::progress::report;
use super::rows::{read, write_columns};
use crate::adapters::dataset::write_scores;
use crate::domain::contract::ParityVectors;
use crate::domain::identity::document_bytes;
use crate::domain::run::Failure;
use crate::training::booster::parity_vectors;
use crate::training::protocol::{EVALUATION_FILE, MODEL_FILE, SCORES_FILE};
use std::path::Path;

pub(super) fn recheck(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let plan = &job.plan;
    report("read", 0.0, "reading the rows");
    write_columns(job_dir, &job)?;
    let mut table = read(&job)?;
    report("check", 0.4, "looking for leakage");
    let assigned = assign(job_dir, &mut table, plan)?;
    let (Some(baseline), Some(pinned)) = (&assigned.baseline, &plan.baseline) else {
        return Err(broken("the plan names no baseline, and this step fits nothing"));
    };
    report("score", 0.6, "scoring the test window");
    let scores = baseline.scores()?;
    write_scores(&job_dir.join(SCORES_FILE), &table, &assigned.assignment.test, &scores).map_err(broken)?;
    report("evaluate", 0.7, "measuring");
    let mut evaluation = evaluate(&table, &assigned, &scores, &job)?;
    (evaluation.rounds, evaluation.features) = (Some(baseline.rounds()), baseline.effects()?);
    write(job_dir, MODEL_FILE, &baseline.bytes)?;
    let parity = parity_vectors(&plan.run_id, &baseline.bytes, &pinned.features)?;
    write(job_dir, ParityVectors::FILE, &document_bytes(&parity))?;
    write(job_dir, EVALUATION_FILE, &document_bytes(&evaluation))?;
    report("evaluate", 1.0, "measured");
    Ok(())
}
