//! One child, from its start to its end.

use super::command::TrainerCommand;
use super::exit::{Exit, judge};
use super::output::{ProgressLines, tail};
use super::process_group::ProcessGroup;
use super::usage::PeakMemory;
use crate::domain::contract::Limits;
use crate::domain::run::{Failure, FailureCode};
use crate::training::protocol::{ChildProgress, JobEnd};
use std::path::Path;
use std::time::Duration;

/// The child could not be started or supervised.
#[derive(Debug, thiserror::Error)]
#[error("the trainer could not be run: {0}")]
pub struct Error(#[from] std::io::Error);

/// How long to read what an ended child wrote last; some orphan may hold the pipe open.
const LAST_OUTPUT: Duration = Duration::from_secs(2);

/// Runs the child over a job directory until it ends, `stop` resolves, or the wall time is over.
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
    while open && let Ok(Some(progress)) = tokio::time::timeout(LAST_OUTPUT, lines.next()).await {
        on_progress(progress);
    }
    let stderr = match stderr_tail {
        Some(text) => text,
        None => tokio::time::timeout(LAST_OUTPUT, stderr).await.unwrap_or_default(),
    };
    Ok(judge(status, command.step, job_dir, &stderr))
}
