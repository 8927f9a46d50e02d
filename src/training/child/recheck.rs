//! The model of an earlier bundle, measured on this run's test window. Nothing is fitted.

use super::columns::describe;
use super::measure::measured;
use super::{Assigned, assign, begin, broken, read, tell, write};
use crate::adapters::dataset::write_scores;
use crate::domain::identity::document_bytes;
use crate::domain::run::Failure;
use crate::modelling::metrics::Measured;
use crate::modelling::{Evaluation, ParityVectors};
use crate::training::{self, EVALUATION_FILE, MODEL_FILE, SCORES_FILE};
use std::path::Path;

/// Reads, checks, scores and measures.
pub(super) fn recheck(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job = begin(job_dir, worker)?;
    let plan = &job.plan;
    tell("read", 0.0, "reading the rows");
    describe(job_dir, &job)?;
    let mut table = read(&job)?;
    tell("check", 0.4, "looking for leakage");
    let assigned = assign(job_dir, &mut table, plan)?;
    let (Some(baseline), Some(pinned)) = (&assigned.baseline, &plan.baseline) else {
        return Err(broken("the plan names no baseline, and this step fits nothing"));
    };
    tell("score", 0.6, "scoring the test window");
    let scores = baseline.scores()?;
    write_scores(&job_dir.join(SCORES_FILE), &table, &assigned.assignment.test, &scores).map_err(broken)?;
    tell("evaluate", 0.7, "measuring");
    let (measured, champion) = measured(&table, &assigned, &scores, &job)?;
    let Measured { scores, confusion, curves, slices } = measured;
    let (rounds, features) = (Some(baseline.rounds()), baseline.effects()?);
    write(job_dir, MODEL_FILE, &baseline.bytes)?;
    let parity = training::parity_vectors(&plan.run_id, &baseline.bytes, &pinned.features)?;
    write(job_dir, ParityVectors::FILE, &document_bytes(&parity))?;
    let Assigned { split, dataset, .. } = assigned;
    let evaluation = Evaluation { scores, confusion, curves, slices, dataset, split, rounds, features, champion };
    write(job_dir, EVALUATION_FILE, &document_bytes(&evaluation))?;
    tell("evaluate", 1.0, "measured");
    Ok(())
}
