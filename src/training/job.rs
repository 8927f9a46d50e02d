//! What lies in a job directory.

use crate::domain::contract::Limits;
use crate::domain::identity::document_bytes;
use crate::domain::run::Failure;
use crate::modelling::{EarlierRole, TrainPlan};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `job.json`: all that the child is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What to do.
    pub plan: TrainPlan,
    /// Data files, in the plan's order, already checked against their digests.
    pub files: Vec<PathBuf>,
    /// What this machine gives: never more than the plan's limits, and never part of what is left.
    pub limits: Limits,
    /// Threads of the fit.
    pub threads: u32,
}

impl Job {
    /// Its name in the directory.
    pub const FILE: &'static str = "job.json";

    /// Where the model of an earlier bundle lies that the plan names, checked against its digest.
    pub fn earlier_model(job_dir: &Path, role: EarlierRole) -> PathBuf {
        job_dir.join(format!("{role}_model.json"))
    }
}

/// XGBoost JSON.
pub const MODEL_FILE: &str = "model.json";
/// Scores of the test window: `row_id`, `label`, `score`.
pub const SCORES_FILE: &str = "scores.parquet";
/// What was measured.
pub const EVALUATION_FILE: &str = "evaluation.json";
/// The columns of each data file, in the plan's order.
pub const COLUMNS_FILE: &str = "columns.json";
/// What the leakage rules found.
pub const LEAKAGE_REPORT_FILE: &str = "leakage_report.json";
/// How the child ended; written last, so that its absence means that the child did not finish.
pub(super) const RESULT_FILE: &str = "result.json";

/// How the child ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case", deny_unknown_fields)]
pub enum JobEnd {
    /// Every result is there.
    Finished,
    /// The run is bad.
    Failed {
        /// The failure code.
        code: String,
        /// What happened.
        message: String,
    },
}

impl JobEnd {
    /// The end that a failure makes.
    fn failed(failure: &Failure) -> Self {
        Self::Failed { code: failure.code.as_str().to_owned(), message: failure.message.clone() }
    }

    /// Leaves the end of a step in its job directory, in one piece. The exit status says whether it is there;
    /// how the step ended it says itself.
    pub fn leave(done: Result<(), Failure>, job_dir: &Path) -> ExitCode {
        let end = match done {
            Ok(()) => Self::Finished,
            Err(failure) => Self::failed(&failure),
        };
        let temporary = job_dir.join(".result");
        let written = fs::write(&temporary, document_bytes(&end))
            .and_then(|()| fs::rename(&temporary, job_dir.join(RESULT_FILE)));
        if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// A line that the child prints; of other members nothing is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// `read`, `check`, `fit`, `score`, `evaluate`; a registered command's own word.
    pub step: String,
    /// Share of the whole work, 0 to 1.
    pub fraction: f64,
    /// For people.
    pub message: String,
    /// When this was so, in microseconds since 1970; a registered command need not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_unix_micros: Option<u64>,
}

impl Progress {
    /// Reads a line that may come from foreign code; none where it is no progress.
    pub fn read(line: &[u8]) -> Option<Self> {
        const STEP_CAP: usize = 32;
        const MESSAGE_CAP: usize = 200;
        let said: Self = serde_json::from_slice(line).ok()?;
        let clean = |text: &str, cap: usize| -> String {
            text.chars().take(cap).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
        };
        (0.0..=1.0).contains(&said.fraction).then(|| Self {
            step: clean(&said.step, STEP_CAP),
            fraction: said.fraction,
            message: clean(&said.message, MESSAGE_CAP),
            at_unix_micros: said.at_unix_micros,
        })
    }

    /// The same within a part of the whole work.
    #[must_use]
    pub fn within(mut self, start: f64, end: f64) -> Self {
        self.fraction = start + (end - start) * self.fraction;
        self
    }
}
