//! The trainer's child process: job directory, limits, progress, kill; the built-in booster behind the
//! same contract.
//!
//! Guarantees: the child has no credentials, dies with its worker and at its limits; the same plan and
//! rows give the same model bytes on any number of threads. Never: lets a crash of the child become a
//! crash of the worker.

mod booster;
mod confine;
mod interchange;
mod job;
mod supervise;

pub use booster::{Fitted, FittingWindow, Matrix, fit, fit_to_labels};
pub use confine::confine;
pub use job::{EVALUATION_FILE, Job, JobEnd, LEAKAGE_REPORT_FILE, MODEL_FILE, Progress, RESULT_FILE, SCORES_FILE};
pub use supervise::{Exit, Fault, TrainerCommand, run};
