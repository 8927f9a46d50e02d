//! Defines what a child reports: progress, as lines of JSON on its standard output, and `result.json`, which says how a
//! step of the job ended.

use crate::adapters::objects::is_exhausted;
use crate::domain::identity::document_bytes;
use crate::domain::run::Failure;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::ExitCode;
use std::{fs, io};

/// One line of progress. Unknown fields are ignored, since a registered command may print more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChildProgress {
    /// The step's name: `read`, `check`, `prepare`, `fit`, `score` or `evaluate`. A registered command uses names of
    /// its own.
    pub step: String,
    /// The share of the work that is done, 0 to 1.
    pub fraction: f64,
    pub message: String,
    /// When the child reached this point, in microseconds since 1970. `None` if a registered command does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_unix_micros: Option<u64>,
}

impl ChildProgress {
    /// Parses a line that may come from foreign code. Cuts long texts and replaces control characters. `None` if the
    /// line is not progress, or if its fraction is outside of 0 to 1.
    pub fn read(line: &[u8]) -> Option<Self> {
        const STEP_CAP: usize = 32;
        const MESSAGE_CAP: usize = 200;
        let line: Self = serde_json::from_slice(line).ok()?;
        let clean = |text: &str, cap: usize| -> String {
            text.chars().take(cap).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
        };
        (0.0..=1.0).contains(&line.fraction).then(|| Self {
            step: clean(&line.step, STEP_CAP),
            fraction: line.fraction,
            message: clean(&line.message, MESSAGE_CAP),
            at_unix_micros: line.at_unix_micros,
        })
    }

    /// Maps the fraction from the share of one step to the share of the whole work, of which the step takes `start` to
    /// `end`.
    #[must_use]
    pub fn within(mut self, start: f64, end: f64) -> Self {
        self.fraction = start + (end - start) * self.fraction;
        self
    }
}

/// The child writes this file last. If the file is absent, the child did not finish.
const FILE: &str = "result.json";
/// The most bytes of a result file. A larger file is treated as absent.
const CAP: u64 = 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub enum JobEnd {
    /// The step succeeded, and all of its files are written.
    Finished,
    Failed {
        code: String,
        message: String,
    },
}

impl JobEnd {
    /// Exit status of a child that cannot write how its step ended, because the disk is full.
    pub const NO_ROOM: u8 = 74;

    /// Writes how a step ended into its job directory, atomically by a rename. The exit status says whether the write
    /// succeeded, not how the step ended.
    pub fn write(ended: Result<(), Failure>, job_dir: &Path) -> ExitCode {
        let end = match ended {
            Ok(()) => Self::Finished,
            Err(failure) => Self::Failed { code: failure.code.as_str().to_owned(), message: failure.message },
        };
        let temporary = job_dir.join(".result");
        let written =
            fs::write(&temporary, document_bytes(&end)).and_then(|()| fs::rename(&temporary, job_dir.join(FILE)));
        match written {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if is_exhausted(&error) => ExitCode::from(Self::NO_ROOM),
            Err(_) => ExitCode::FAILURE,
        }
    }

    /// Reads how the step ended. `None` if the file is absent, too large or not valid.
    pub fn read(job_dir: &Path) -> io::Result<Option<Self>> {
        let path = job_dir.join(FILE);
        let read = fs::metadata(&path).and_then(|about| {
            if about.len() > CAP {
                return Ok(None);
            }
            Ok(serde_json::from_slice(&fs::read(&path)?).ok())
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read,
        }
    }

    /// Removes the result of the step before, so that it is not taken for the result of the next step.
    pub fn remove(job_dir: &Path) -> io::Result<()> {
        match fs::remove_file(job_dir.join(FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
