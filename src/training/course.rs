//! The course of a job: what its directory holds before the first step, which steps follow, and how the model is
//! saved that the last one leaves. A worker and a reproduction take the same course.

use super::command::{TrainerRegistration, TrainerRegistrations};
use super::job::Job;
use super::order::{AcceptedModel, CommandOrder};
use super::supervise::Step;
use crate::domain::identity::document_bytes;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{ModelFormat, ProcessAlgorithm, ResolvedAlgorithm, TrainPlan};
use std::path::Path;

/// The steps of a plan, each with the part of the whole work that it begins and ends at: the built-in booster in
/// one child; a registered command between a child of ours that writes what it needs and one that checks and
/// measures what it left; an earlier bundle's model in one that fits nothing.
pub fn steps(plan: &TrainPlan) -> &'static [(Step, f64, f64)] {
    match &plan.algorithm {
        _ if plan.baseline.is_some() => &[(Step::Recheck, 0.0, 1.0)],
        ResolvedAlgorithm::BuiltIn(_) => &[(Step::Train, 0.0, 1.0)],
        ResolvedAlgorithm::Process(_) => {
            &[(Step::Prepare, 0.0, 0.2), (Step::Command, 0.2, 0.9), (Step::Measure, 0.9, 1.0)]
        }
    }
}

/// The command that a plan names, by its name and as it is registered here.
pub fn registered<'a>(
    algorithm: &'a ProcessAlgorithm,
    commands: &'a TrainerRegistrations,
) -> Result<(&'a str, &'a TrainerRegistration), Failure> {
    let name = algorithm.id.trim_start_matches(ResolvedAlgorithm::PROCESS);
    commands.get(name).map(|registration| (name, registration)).ok_or_else(|| {
        let message = format!("no trainer command {name:?} is registered here ([trainer.commands.{name}])");
        Failure::new(FailureCode::TrainingProfileInvalid, message)
    })
}

impl Job {
    /// Writes the job into its directory, where the data lies already, and what the processes around a registered
    /// command are told.
    pub async fn lay_out(&self, job_dir: &Path, commands: &TrainerRegistrations) -> Result<(), Failure> {
        let io =
            |error: std::io::Error| Failure::new(FailureCode::TrainerFailed, format!("cannot write the job: {error}"));
        if let ResolvedAlgorithm::Process(algorithm) = &self.plan.algorithm {
            let (_, registration) = registered(algorithm, commands)?;
            let order = CommandOrder {
                registration: registration.clone(),
                pinned: algorithm.command.clone(),
                limits: self.limits.clone(),
            };
            tokio::fs::create_dir(CommandOrder::work(job_dir)).await.map_err(io)?;
            tokio::fs::write(job_dir.join(CommandOrder::FILE), document_bytes(&order)).await.map_err(io)?;
        }
        tokio::fs::write(job_dir.join(Self::FILE), document_bytes(self)).await.map_err(io)
    }
}

/// How the model is saved that lies in a job directory after its last step.
pub async fn model_format(plan: &TrainPlan, job_dir: &Path) -> Result<ModelFormat, Failure> {
    match &plan.algorithm {
        // No other can be scored by us.
        _ if plan.baseline.is_some() => Ok(ModelFormat::XgboostJson),
        ResolvedAlgorithm::BuiltIn(_) => Ok(ModelFormat::XgboostJson),
        ResolvedAlgorithm::Process(_) => {
            let unreadable =
                |error: String| Failure::new(FailureCode::TrainerFailed, format!("the trainer's result: {error}"));
            let accepted = tokio::fs::read(job_dir.join(AcceptedModel::FILE)).await;
            let accepted = accepted.map_err(|error| unreadable(error.to_string()))?;
            let accepted: AcceptedModel =
                serde_json::from_slice(&accepted).map_err(|error| unreadable(error.to_string()))?;
            Ok(accepted.format)
        }
    }
}
