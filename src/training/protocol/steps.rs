//! Lists the steps of a job, and reads the format of the model that the last step leaves. A worker and `reproduce` run
//! the same steps.

use super::command::AcceptedModel;
use super::job::file_failure;
use crate::domain::contract::{ModelFormat, ResolvedAlgorithm, TrainPlan};
use crate::domain::run::Failure;
use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildStep {
    /// Reads, checks, fits the built-in booster, scores and measures.
    Train,
    /// Reads and checks the data, and writes what a registered command needs.
    Prepare,
    /// Starts the registered command and watches it.
    Command,
    /// Checks the command's model and scores, and computes the metrics.
    Measure,
    /// Measures the model of an earlier bundle on the test window. Fits nothing.
    Recheck,
    /// Scores a file with the model of a bundle. Measures nothing.
    Score,
    /// Looks at the model of a bundle that is verified.
    Inspect,
}

impl ChildStep {
    /// Returns the binary's hidden subcommand for this step. Only Model Factory itself calls it.
    pub fn subcommand(self) -> &'static str {
        match self {
            Self::Train => "trainer-child",
            Self::Prepare => "trainer-prepare",
            Self::Command => "trainer-watch",
            Self::Measure => "trainer-measure",
            Self::Recheck => "trainer-recheck",
            Self::Score => "trainer-score",
            Self::Inspect => "trainer-inspect",
        }
    }
}

/// Returns the steps of a plan. The two numbers of a step are the shares of the whole work, 0 to 1, at which the step
/// begins and ends. The built-in booster takes one child process. A registered command runs between a child that writes
/// the command's input and a child that checks and measures its output. A baseline takes one child, which fits nothing.
pub fn steps(plan: &TrainPlan) -> &'static [(ChildStep, f64, f64)] {
    match &plan.algorithm {
        _ if plan.baseline.is_some() => &[(ChildStep::Recheck, 0.0, 1.0)],
        ResolvedAlgorithm::BuiltIn(_) => &[(ChildStep::Train, 0.0, 1.0)],
        ResolvedAlgorithm::Process(_) => {
            &[(ChildStep::Prepare, 0.0, 0.2), (ChildStep::Command, 0.2, 0.9), (ChildStep::Measure, 0.9, 1.0)]
        }
    }
}

/// Reads the format of the model that the last step left in the job directory.
pub async fn model_format(plan: &TrainPlan, job_dir: &Path) -> Result<ModelFormat, Failure> {
    // A baseline is always a model in XGBoost's format, since only these can be scored again.
    let (None, ResolvedAlgorithm::Process(_)) = (&plan.baseline, &plan.algorithm) else {
        return Ok(ModelFormat::XgboostJson);
    };
    let read = tokio::fs::read(job_dir.join(AcceptedModel::FILE)).await;
    let accepted = read.and_then(|bytes| Ok(serde_json::from_slice::<AcceptedModel>(&bytes)?));
    Ok(accepted.map_err(|error| file_failure("the trainer's result", &error))?.format)
}
