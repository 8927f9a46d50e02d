//! Defines what worker and child write for each other: files in the job directory, and lines of progress on standard
//! output.
//!
//! Guarantees: reading a document with unknown fields returns an error. Never: names a path outside the job directory,
//! except for paths that an operator registers, and the file of rows that `score` reads.

mod command;
mod job;
mod report;
mod steps;

pub use command::{
    AcceptedModel, CommandSpec, Layer, TrainerRegistration, TrainerRegistrations, digest_of, registered,
};
pub use job::{
    COLUMNS_FILE, ChildJob, CountedFeature, CountedModel, DECISION_REPORT_FILE, EVALUATION_FILE, InspectedModel,
    InspectionJob, LEAKAGE_REPORT_FILE, MODEL_FILE, SCORES_FILE, ScoringJob, ScoringResult, file_failure,
};
pub use report::{ChildProgress, JobEnd};
pub use steps::{ChildStep, model_format, steps};
