//! The trainer's child processes: job directory, limits, progress, kill; the built-in booster, and commands
//! that operators register, behind the same contract.
//!
//! Guarantees: the child has no credentials, dies with its worker and at its limits; the same plan and
//! rows give the same model bytes on any number of threads. Never: lets a crash of the child become a
//! crash of the worker.

pub mod child;

mod booster;
mod command;
mod confine;
mod container;
mod course;
mod descendants;
mod footprint;
mod interchange;
mod job;
mod listen;
mod order;
mod parity;
mod pids;
mod sandbox;
mod scoring;
mod supervise;
mod watch;

pub use booster::{Fitted, FittingWindow, Matrix, fit, fit_to_labels};
pub use command::{TrainerRegistration, TrainerRegistrations, digest_of};
pub use confine::{confine, exec};
pub use container::memory_at_hand_mib;
pub use course::{model_format, registered, steps};
pub use footprint::Footprint;
pub use job::{COLUMNS_FILE, EVALUATION_FILE, Job, JobEnd, LEAKAGE_REPORT_FILE, MODEL_FILE, Progress, SCORES_FILE};
pub use order::{AcceptedModel, CommandOrder, JobFiles, JobRows, SavedModel, TrainerJob, TrainerResult};
pub use parity::{check_parity, must_agree, parity_vectors};
pub use sandbox::{Enforcement, check_confinement, enforcement};
pub use scoring::{Scored, ScoringJob};
pub use supervise::{Error, Exit, Step, TrainerCommand, run};
pub use watch::watch;
