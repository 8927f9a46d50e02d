//! What the data files declare, for the worker to tell: it opens none of them itself.

use super::{decoding, write};
use crate::adapters::dataset::file_columns;
use crate::domain::identity::document_bytes;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::FileColumn;
use crate::training::{COLUMNS_FILE, Job};
use std::path::Path;

/// Writes the columns of every file. A file that cannot be read leaves nothing: whoever reads its rows says why.
pub(super) fn describe(job_dir: &Path, job: &Job) -> Result<(), Failure> {
    let invalid = |why: String| Failure::new(FailureCode::DatasetInvalid, why);
    let reading = || job.files.iter().map(|file| file_columns(file).map_err(invalid)).collect();
    let described: Result<Vec<Vec<FileColumn>>, Failure> =
        decoding("a data file", FailureCode::DatasetInvalid, reading);
    match described {
        Ok(columns) => write(job_dir, COLUMNS_FILE, &document_bytes(&columns)),
        Err(_) => Ok(()),
    }
}
