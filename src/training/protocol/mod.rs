//! What worker and child write for each other: files in the job directory, and lines of progress on standard output.
//!
//! Guarantees: a document refuses fields that it does not know. Never: names a path outside the job directory, but for
//! what an operator registers.

mod command;
mod job;
mod report;
mod steps;

pub use command::{AcceptedModel, CommandSpec, TrainerRegistration, TrainerRegistrations, digest_of, registered};
pub use job::{
    COLUMNS_FILE, ChildJob, EVALUATION_FILE, LEAKAGE_REPORT_FILE, MODEL_FILE, SCORES_FILE, ScoringJob, ScoringResult,
};
pub use report::{ChildProgress, JobEnd};
pub use steps::{ChildStep, model_format, steps};
