//! Measures admission, the life of a run and the relay, on a database that each benchmark creates. Also measures the
//! metrics and the trainer.
//!
//! Guarantees: every figure but the latency from request to event is printed beside a ceiling that was measured in the
//! same run. Never: asserts a figure; touches a database or a topic that somebody else uses.

mod admission;
mod coverage;
mod database;
mod lifecycle;
mod load;
mod measure;
mod metrics;
mod relay;
mod training;

pub use admission::{AdmissionSpec, LatencySpec, admission, latency};
pub use coverage::{Coverage, CoverageShares, CoverageSpec, Scene, coverage};
pub use database::{BenchDatabase, BenchError};
pub use lifecycle::{LifecycleSpec, lifecycle};
pub use measure::Figures;
pub use metrics::{MetricsSpec, metrics};
pub use relay::{RelaySpec, relay};
pub use training::{TrainingFigures, TrainingSpec, training};
