//! Reads and writes the job directory from inside a child process, and prints progress for the worker.

use crate::adapters::dataset::{file_columns, read_table, room_mib};
use crate::clock;
use crate::domain::identity::document_bytes;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{FileColumn, Table};
use crate::training::protocol::{COLUMNS_FILE, ChildJob, ChildProgress, file_failure};
use crate::training::sandbox::limit_this_process;
use serde::de::DeserializeOwned;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::{fs, io};

/// Reads the job and applies its limits to this process. Returns a failure if the worker with the process id `worker`
/// has ended.
pub(super) fn begin(job_dir: &Path, worker: i32) -> Result<ChildJob, Failure> {
    let job: ChildJob = read_job(job_dir)?;
    limit_this_process(&job.limits, worker).map_err(broken)?;
    Ok(job)
}

pub(super) fn read_job<T: DeserializeOwned>(job_dir: &Path) -> Result<T, Failure> {
    let job = fs::read(job_dir.join(ChildJob::FILE)).map_err(|error| unread(&error))?;
    serde_json::from_slice(&job).map_err(broken)
}

pub(super) fn write(job_dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(job_dir.join(name), bytes).map_err(|error| file_failure(&format!("cannot write {name}"), &error))
}

pub(super) fn unread(error: &io::Error) -> Failure {
    file_failure("cannot read the job", error)
}

/// Builds the failure `TRAINER_FAILED`, for an error in the job, its files or the trainer's output.
pub(super) fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureCode::TrainerFailed, error.to_string())
}

/// Decodes a foreign file with `read`. If the decoder panics, returns a failure with `code`.
pub(super) fn decode<T>(
    what: &str,
    code: FailureCode,
    read: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(Failure::new(code, format!("{what} made the decoder panic"))))
}

/// Reads the rows of every data file. Returns a failure if the rows would need more memory than the job allows.
pub(super) fn read_rows(job: &ChildJob) -> Result<Table, Failure> {
    let ChildJob { plan, files, .. } = job;
    let rows = plan.files.iter().map(|file| file.rows).sum();
    let (needed, available) = (room_mib(rows, &plan.columns, &plan.features), job.limits.memory_mib);
    // If the job has the full limit of the profile, the data is too large for the profile. In that case `read_table`
    // refuses it.
    if needed > u64::from(available) && available < plan.limits.memory_mib {
        let message = format!("the rows take {needed} MiB, and there are {available} MiB for the trainer");
        return Err(Failure::new(FailureCode::TrainerOutOfMemory, message));
    }
    let files: Vec<_> = files.iter().cloned().zip(plan.files.iter().map(|file| file.rows)).collect();
    let reading = || read_table(&files, &plan.columns, &plan.features, &plan.limits);
    decode("a data file", FailureCode::DatasetInvalid, reading)
}

/// Writes the columns that each data file declares. The worker needs them for lineage, and opens no data file itself.
/// If a file cannot be read, writes nothing and returns `Ok`, since [`read_rows`] then returns the failure.
pub(super) fn write_columns(job_dir: &Path, job: &ChildJob) -> Result<(), Failure> {
    let invalid = |why: String| Failure::new(FailureCode::DatasetInvalid, why);
    let reading = || job.files.iter().map(|file| file_columns(file).map_err(invalid)).collect();
    let columns: Result<Vec<Vec<FileColumn>>, Failure> = decode("a data file", FailureCode::DatasetInvalid, reading);
    columns.map_or(Ok(()), |columns| write(job_dir, COLUMNS_FILE, &document_bytes(&columns)))
}

/// Prints one line of progress for the worker. Ignores an error, so that the child goes on if nobody reads the line.
pub(super) fn report(step: &str, fraction: f64, message: &str) {
    let at_unix_micros = u64::try_from(clock::since_epoch().as_micros()).ok();
    let progress = ChildProgress { step: step.to_owned(), fraction, message: message.to_owned(), at_unix_micros };
    if let Ok(line) = serde_json::to_string(&progress) {
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
