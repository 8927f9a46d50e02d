//! The steps of a job, and the format of the model that the last one leaves. A worker and a reproduction take the same
//! steps.

use super::command::AcceptedModel;
use crate::domain::contract::{ModelFormat, ResolvedAlgorithm, TrainPlan};
use crate::domain::run::{Failure, FailureCode};
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildStep {
    /// Everything, with the built-in booster.
    Train,
    /// Read, check, and write what a registered command needs.
    Prepare,
    /// Start the registered command and watch it.
    Command,
    /// Check and measure what the command left.
    Measure,
    /// Measure the model of an earlier bundle; fit nothing.
    Recheck,
    /// Score a file with the model of a bundle; measure nothing.
    Score,
}

impl ChildStep {
    /// The subcommand of the binary, which nobody calls by hand.
    pub fn subcommand(self) -> &'static str {
        match self {
            Self::Train => "trainer-child",
            Self::Prepare => "trainer-prepare",
            Self::Command => "trainer-watch",
            Self::Measure => "trainer-measure",
            Self::Recheck => "trainer-recheck",
            Self::Score => "trainer-score",
        }
    }
}

/// The steps of a plan, each with the shares of the whole work at which it begins and ends. The built-in booster takes
/// one child. A registered command runs between a child that writes what it needs and one that checks and measures what
/// it left. An earlier bundle's model takes one child, which fits nothing.
pub fn steps(plan: &TrainPlan) -> &'static [(ChildStep, f64, f64)] {
    match &plan.algorithm {
        _ if plan.baseline.is_some() => &[(ChildStep::Recheck, 0.0, 1.0)],
        ResolvedAlgorithm::BuiltIn(_) => &[(ChildStep::Train, 0.0, 1.0)],
        ResolvedAlgorithm::Process(_) => {
            &[(ChildStep::Prepare, 0.0, 0.2), (ChildStep::Command, 0.2, 0.9), (ChildStep::Measure, 0.9, 1.0)]
        }
    }
}

/// The format of the model in a job directory after the last step.
pub async fn model_format(plan: &TrainPlan, job_dir: &Path) -> Result<ModelFormat, Failure> {
    // A baseline is a model of the built-in booster: only those can be scored again.
    let (None, ResolvedAlgorithm::Process(_)) = (&plan.baseline, &plan.algorithm) else {
        return Ok(ModelFormat::XgboostJson);
    };
    let read = tokio::fs::read(job_dir.join(AcceptedModel::FILE)).await;
    let accepted = read.and_then(|bytes| Ok(serde_json::from_slice::<AcceptedModel>(&bytes)?));
    let unreadable = |error| Failure::new(FailureCode::TrainerFailed, format!("the trainer's result: {error}"));
    Ok(accepted.map_err(unreadable)?.format)
}
