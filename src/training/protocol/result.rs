//! `result.json`: how a step of the job ended.

use crate::domain::identity::document_bytes;
use crate::domain::run::Failure;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The child writes it last, so that its absence means that the child did not finish.
const FILE: &str = "result.json";
/// Bytes of a result; a larger one does not count.
const CAP: u64 = 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub enum JobEnd {
    /// Every file of the step is there.
    Finished,
    Failed {
        /// The failure code.
        code: String,
        message: String,
    },
}

impl JobEnd {
    /// Writes the end of a step into its job directory, by a rename. The exit status says whether that worked, not how
    /// the step ended.
    pub fn write(ended: Result<(), Failure>, job_dir: &Path) -> ExitCode {
        let end = match ended {
            Ok(()) => Self::Finished,
            Err(failure) => Self::Failed { code: failure.code.as_str().to_owned(), message: failure.message },
        };
        let temporary = job_dir.join(".result");
        let written =
            fs::write(&temporary, document_bytes(&end)).and_then(|()| fs::rename(&temporary, job_dir.join(FILE)));
        if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// None where there is no result, or none that can be read.
    pub fn read(job_dir: &Path) -> Option<Self> {
        let path = job_dir.join(FILE);
        let size = fs::metadata(&path).ok()?.len();
        if size > CAP {
            return None;
        }
        serde_json::from_slice(&fs::read(&path).ok()?).ok()
    }

    /// Removes the result of the step before.
    pub fn remove(job_dir: &Path) -> io::Result<()> {
        match fs::remove_file(job_dir.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
