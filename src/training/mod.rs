//! Holds both ends of the pipe between a worker and the trainer's child processes. This covers the protocol, how the
//! worker supervises a child, the child's sandbox, the child's work, the built-in booster, and registered commands.
//!
//! Guarantees: a child has no credentials, and ends with its worker or at its limits. The same plan and rows give the
//! built-in booster's model the same bytes on any number of threads. Never: lets a crash of the child become a crash of
//! the worker.

mod booster;
pub mod child;
mod protocol;
mod sandbox;
mod supervise;

pub use booster::{Fitted, FittingWindow, Matrix, fit};
pub use protocol::{
    AcceptedModel, COLUMNS_FILE, ChildJob, ChildProgress, ChildStep, CommandSpec, CountedModel, DECISION_REPORT_FILE,
    EVALUATION_FILE, InspectedModel, InspectionJob, JobEnd, LEAKAGE_REPORT_FILE, Layer, MODEL_FILE, SCORES_FILE,
    ScoringJob, ScoringResult, TrainerRegistration, TrainerRegistrations, digest_of, file_failure, model_format,
    registered, steps,
};
pub use sandbox::{
    Enforcement, HostLayers, check_confinement, enforcement, exec_command, init_command, readable_paths, try_host,
};
pub use supervise::{ChildrenUsage, Error, Exit, TrainerCommand, available_memory_mib, run};
