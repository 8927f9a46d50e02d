//! The data files of a job, decoded.

use super::job::{decode, write};
use crate::adapters::dataset::{file_columns, read_table, room_mib};
use crate::domain::identity::document_bytes;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{FileColumn, Table};
use crate::training::protocol::{COLUMNS_FILE, ChildJob};
use std::path::Path;

/// Reads the rows of every file. They must fit into the memory that the job allows.
pub(super) fn read(job: &ChildJob) -> Result<Table, Failure> {
    let ChildJob { plan, files, .. } = job;
    let rows = plan.files.iter().map(|file| file.rows).sum();
    let (needed, available) = (room_mib(rows, &plan.columns, &plan.features), job.limits.memory_mib);
    // Rows that exceed the profile's own limit are the data's fault: `read_table` refuses them with another code.
    if needed > u64::from(available) && available < plan.limits.memory_mib {
        let message = format!("the rows take {needed} MiB, and there are {available} MiB for the trainer");
        return Err(Failure::new(FailureCode::TrainerOutOfMemory, message));
    }
    let files: Vec<_> = files.iter().cloned().zip(plan.files.iter().map(|file| file.rows)).collect();
    let reading = || read_table(&files, &plan.columns, &plan.features, &plan.limits);
    decode("a data file", FailureCode::DatasetInvalid, reading)
}

/// Writes the columns that every file declares; the worker, which needs them for lineage, opens no data file. Where a file
/// cannot be read it writes nothing: [`read`] says why.
pub(super) fn write_columns(job_dir: &Path, job: &ChildJob) -> Result<(), Failure> {
    let invalid = |why: String| Failure::new(FailureCode::DatasetInvalid, why);
    let reading = || job.files.iter().map(|file| file_columns(file).map_err(invalid)).collect();
    let columns: Result<Vec<Vec<FileColumn>>, Failure> = decode("a data file", FailureCode::DatasetInvalid, reading);
    match columns {
        Ok(columns) => write(job_dir, COLUMNS_FILE, &document_bytes(&columns)),
        Err(_) => Ok(()),
    }
}
