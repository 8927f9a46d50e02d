//! What the end of a child means for its run.

use crate::domain::run::{Failure, FailureCode};
use crate::training::protocol::{ChildStep, JobEnd};
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;

/// How the child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// Every result is in the job directory.
    Finished,
    Failed(Failure),
    /// The worker stopped it.
    Stopped,
}

/// Judges exit status, signal and `result.json`; `stderr` is the tail of the child's standard error.
pub(super) fn judge(status: ExitStatus, step: ChildStep, job_dir: &Path, stderr: &str) -> Exit {
    let failed = |code, message: String| Exit::Failed(Failure::new(code, message));
    match JobEnd::read(job_dir) {
        Some(JobEnd::Finished) if status.success() => return Exit::Finished,
        Some(JobEnd::Failed { code, message }) => {
            let code = code.parse().unwrap_or(FailureCode::TrainerFailed);
            return match step {
                ChildStep::Train | ChildStep::Prepare | ChildStep::Measure | ChildStep::Recheck | ChildStep::Score => {
                    failed(code, message)
                }
                ChildStep::Command => judge_command(code, message, stderr),
            };
        }
        Some(JobEnd::Finished) | None => {}
    }
    if stderr.contains("memory allocation of") {
        return failed(FailureCode::TrainerOutOfMemory, format!("the trainer ran out of memory: {stderr}"));
    }
    match status.signal() {
        // The worker did not send it: the kernel kills what takes too much memory.
        Some(signal) if signal == Signal::SIGKILL as i32 => {
            failed(FailureCode::TrainerOutOfMemory, "the trainer was killed from outside, as by the kernel".to_owned())
        }
        Some(signal) if signal == Signal::SIGXCPU as i32 => {
            failed(FailureCode::TrainerTimeout, "the trainer used up its processor time".to_owned())
        }
        Some(signal) => failed(FailureCode::TrainerFailed, format!("the trainer died of signal {signal}: {stderr}")),
        None => failed(FailureCode::TrainerFailed, format!("the trainer ended with {status} and no result: {stderr}")),
    }
}

/// A registered command explains itself on its standard error, if anywhere; its memory runs out in many words.
fn judge_command(code: FailureCode, message: String, stderr: &str) -> Exit {
    const OUT_OF_MEMORY: [&str; 6] = [
        "Cannot allocate memory",
        "MemoryError",
        "OutOfMemoryError",
        "memory allocation of",
        "memory exhausted",
        "std::bad_alloc",
    ];
    let out_of_memory = OUT_OF_MEMORY.iter().any(|sign| stderr.contains(sign));
    let code = if out_of_memory && code == FailureCode::TrainerFailed { FailureCode::TrainerOutOfMemory } else { code };
    let message = if stderr.is_empty() { message } else { format!("{message}: {stderr}") };
    Exit::Failed(Failure::new(code, message))
}
