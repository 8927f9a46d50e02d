//! Runs one child from its start to its end, and turns its end into a result or a failure code.

use super::output::{ProgressLines, tail};
use super::process::{ProcessGroup, TrainerCommand};
use super::usage::PeakMemory;
use crate::domain::contract::Limits;
use crate::domain::run::{Failure, FailureCode};
use crate::training::protocol::{ChildProgress, ChildStep, JobEnd};
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

/// The child could not be started or supervised. This is an error of the worker, not a failure of the job.
#[derive(Debug, thiserror::Error)]
#[error("the trainer could not be run: {0}")]
pub struct Error(#[from] std::io::Error);

/// Timeout for reading all that an ended child wrote last. A descendant of the child may still hold the pipe open, and
/// write to it for ever.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Runs one step on a job directory until the child ends, `stop` resolves, or the wall time is over.
pub async fn run(
    command: &TrainerCommand,
    job_dir: &Path,
    limits: &Limits,
    stop: impl Future<Output = ()>,
    mut on_progress: impl FnMut(ChildProgress),
) -> Result<Exit, Error> {
    JobEnd::remove(job_dir)?;
    let mut child = command.spawn(job_dir)?;
    let mut group = ProcessGroup::of(&child);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(std::io::Error::other("the child has no output").into());
    };
    let mut lines = ProgressLines::new(stdout);
    let stderr = tail(stderr);
    tokio::pin!(stderr, stop);
    let limit = tokio::time::sleep(Duration::from_secs(u64::from(limits.wall_seconds)));
    tokio::pin!(limit);
    let mut stderr_tail = None;
    let mut open = true;
    let mut memory = PeakMemory::of(group.leader());
    let status = loop {
        tokio::select! {
            () = memory.sample() => {}
            progress = lines.next(), if open => match progress {
                Some(progress) => on_progress(progress),
                None => open = false,
            },
            text = &mut stderr, if stderr_tail.is_none() => stderr_tail = Some(text),
            status = child.wait() => break status?,
            () = &mut stop => {
                group.end(&mut child).await?;
                return Ok(Exit::Stopped);
            }
            () = &mut limit => {
                group.end(&mut child).await?;
                let message = format!("the trainer did not finish within {} seconds", limits.wall_seconds);
                return Ok(Exit::Failed(Failure::new(FailureCode::TrainerTimeout, message)));
            }
        }
    };
    group.kill();
    // The pipe may still hold what the child wrote last.
    let rest = async {
        while open && let Some(progress) = lines.next().await {
            on_progress(progress);
        }
    };
    let _ = tokio::time::timeout(LAST_OUTPUT, rest).await;
    let stderr = match stderr_tail {
        Some(text) => text,
        None => tokio::time::timeout(LAST_OUTPUT, stderr).await.unwrap_or_default(),
    };
    judge(status, command.step, job_dir, &stderr)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// Every result of the step is in the job directory.
    Finished,
    Failed(Failure),
    /// `stop` resolved, and the worker ended the child.
    Stopped,
}

/// Decides from exit status, signal and `result.json` how a child ended. `stderr` is the end of its standard error.
fn judge(status: ExitStatus, step: ChildStep, job_dir: &Path, stderr: &str) -> Result<Exit, Error> {
    let failed = |code, message: String| Exit::Failed(Failure::new(code, message));
    match JobEnd::read(job_dir)? {
        Some(JobEnd::Finished) if status.success() => return Ok(Exit::Finished),
        Some(JobEnd::Failed { code, message }) => {
            let code = code.parse().unwrap_or(FailureCode::TrainerFailed);
            return Ok(match step {
                _ if code == FailureCode::WorkerUnable => Exit::Failed(Failure::of_worker(message)),
                ChildStep::Train
                | ChildStep::Prepare
                | ChildStep::Measure
                | ChildStep::Recheck
                | ChildStep::Score
                | ChildStep::Inspect => failed(code, message),
                ChildStep::Command => judge_command(code, message, stderr),
            });
        }
        Some(JobEnd::Finished) | None => {}
    }
    // Rust's runtime prints this before it aborts.
    if stderr.contains("has overflowed its stack") {
        return Ok(failed(FailureCode::TrainerFailed, format!("the trainer's stack overflowed: {stderr}")));
    }
    // Under a memory limit, an allocation fails, or a thread that cannot get its stack does not start.
    let no_memory = ["memory allocation of", "failed to spawn thread", "(os error 12)"];
    if no_memory.iter().any(|sign| stderr.contains(sign)) {
        return Ok(failed(FailureCode::TrainerOutOfMemory, format!("the trainer ran out of memory: {stderr}")));
    }
    if status.code() == Some(i32::from(JobEnd::NO_ROOM)) {
        return Ok(Exit::Failed(Failure::of_worker("the trainer found no room in the scratch folder")));
    }
    Ok(match status.signal() {
        // The worker did not send this SIGKILL. Most likely the kernel did, because memory ran out.
        Some(signal) if signal == Signal::SIGKILL as i32 => {
            failed(FailureCode::TrainerOutOfMemory, "the trainer was killed from outside, as by the kernel".to_owned())
        }
        Some(signal) if signal == Signal::SIGXCPU as i32 => {
            failed(FailureCode::TrainerTimeout, "the trainer used up its processor time".to_owned())
        }
        Some(signal) => failed(FailureCode::TrainerFailed, format!("the trainer died of signal {signal}: {stderr}")),
        None => failed(FailureCode::TrainerFailed, format!("the trainer ended with {status} and no result: {stderr}")),
    })
}

/// Builds the failure of a registered command, with the command's standard error in the message. The code becomes
/// `TRAINER_OUT_OF_MEMORY` if a runtime wrote there that it ran out of memory.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_death_of_a_child_has_its_code() {
        use FailureCode::{TrainerFailed, TrainerOutOfMemory, TrainerTimeout};
        let job_dir = tempfile::tempdir().unwrap();
        let code = |wait_status: i32, stderr: &str| match judge(
            ExitStatus::from_raw(wait_status),
            ChildStep::Train,
            job_dir.path(),
            stderr,
        )
        .unwrap()
        {
            Exit::Failed(failure) => (failure.code, failure.message),
            exit => panic!("{exit:?}"),
        };
        let exit = 101 << 8;
        let overflow = "thread 'main' (7) has overflowed its stack\nfatal runtime error: stack overflow, aborting";
        for (wait_status, stderr, expected, says) in [
            (Signal::SIGABRT as i32, overflow, TrainerFailed, "stack overflowed"),
            (Signal::SIGSEGV as i32, "", TrainerFailed, "signal 11"),
            (Signal::SIGABRT as i32, "memory allocation of 99 bytes failed", TrainerOutOfMemory, "out of memory"),
            (exit, "failed to spawn thread: Os { code: 11, .. }", TrainerOutOfMemory, "out of memory"),
            (Signal::SIGKILL as i32, "", TrainerOutOfMemory, "killed from outside"),
            (Signal::SIGXCPU as i32, "", TrainerTimeout, "processor time"),
            (exit, "Too many open files (os error 24)", TrainerFailed, "Too many open files"),
            (0, "", TrainerFailed, "no result"),
        ] {
            let (code, message) = code(wait_status, stderr);
            assert_eq!(code, expected, "{message}");
            assert!(message.contains(says), "{message}");
        }
    }
}
