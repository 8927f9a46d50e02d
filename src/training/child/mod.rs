//! Runs the steps of a job inside the child process: reads, checks, fits, scores, measures and writes.
//!
//! A child reads only its job directory and, to score, the file of rows. It writes all results into the job directory,
//! `result.json` last. Never: opens a socket, or reads the environment.

mod assign;
mod choose;
mod command;
mod decide;
mod earlier;
mod evaluate;
mod inspect;
mod job;
mod score;
mod train;

use crate::domain::run::Failure;
use crate::training::protocol::{ChildStep, JobEnd};
use crate::training::sandbox::watch_command;
use std::path::Path;
use std::process::ExitCode;

/// Runs one step of the job. `worker` is the process id of the worker that started this child. The exit status says
/// whether `result.json` was written. `result.json` says how the step ended.
pub fn main(step: ChildStep, job_dir: &Path, worker: i32) -> ExitCode {
    let work: fn(&Path, i32) -> Result<(), Failure> = match step {
        ChildStep::Train => train::train,
        ChildStep::Prepare => command::prepare,
        ChildStep::Measure => command::measure,
        ChildStep::Recheck => train::recheck,
        ChildStep::Score => score::score,
        ChildStep::Inspect => inspect::inspect,
        ChildStep::Command => return watch_command(job_dir, worker),
    };
    JobEnd::write(work(job_dir, worker), job_dir)
}
