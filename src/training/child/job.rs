//! The job directory, read and written by a child.

use crate::domain::run::{Failure, FailureCode};
use crate::training::protocol::ChildJob;
use crate::training::sandbox::limit_this_process;
use serde::de::DeserializeOwned;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Reads the job, and limits this process as it says.
pub(super) fn begin(job_dir: &Path, worker: i32) -> Result<ChildJob, Failure> {
    let job: ChildJob = read_job(job_dir)?;
    limit_this_process(&job.limits, worker).map_err(broken)?;
    Ok(job)
}

/// Reads `job.json`.
pub(super) fn read_job<T: DeserializeOwned>(job_dir: &Path) -> Result<T, Failure> {
    let job = fs::read(job_dir.join(ChildJob::FILE)).map_err(broken)?;
    serde_json::from_slice(&job).map_err(broken)
}

pub(super) fn write(job_dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(job_dir.join(name), bytes).map_err(|error| broken(format!("cannot write {name}: {error}")))
}

/// `TRAINER_FAILED`: the job, its files or the trainer's output are not as they must be.
pub(super) fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureCode::TrainerFailed, error.to_string())
}

/// Decodes a foreign file. One that makes the decoder panic is a failure with this code.
pub(super) fn decode<T>(
    what: &str,
    code: FailureCode,
    read: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(Failure::new(code, format!("{what} made the decoder panic"))))
}
