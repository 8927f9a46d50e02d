//! Starts the child, listens to it, and ends it: when it is done, at its limit, or when told to.

use super::job::{JobEnd, Progress, RESULT_FILE};
use crate::contract::Limits;
use crate::run::{Failure, FailureCode};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How the child is started.
#[derive(Debug, Clone)]
pub struct TrainerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; the job directory and this process's id follow.
    pub arguments: Vec<OsString>,
}

impl TrainerCommand {
    /// The same binary, as `trainer-child`.
    pub fn this_binary() -> std::io::Result<Self> {
        Ok(Self::binary(std::env::current_exe()?))
    }

    /// A `model-factory` binary, as `trainer-child`.
    pub fn binary(program: PathBuf) -> Self {
        Self { program, arguments: vec!["trainer-child".into()] }
    }
}

/// How the child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// Every result is in the job directory.
    Finished,
    /// The run is bad.
    Failed(Failure),
    /// It was told to stop.
    Stopped,
}

/// The child could not be started or watched.
#[derive(Debug, thiserror::Error)]
#[error("the trainer could not be run: {0}")]
pub struct Fault(#[from] std::io::Error);

/// Most that is read of the child's output.
const OUTPUT_CAP: u64 = 16 * 1024 * 1024;
/// What is kept of its standard error.
const ERROR_TAIL: usize = 4 * 1024;

/// Kills the child's whole group when it goes out of scope: also when the future is dropped.
struct Group(Option<Pid>);

impl Group {
    fn kill(&mut self) {
        if let Some(pid) = self.0.take() {
            // It may have ended by itself; then there is no group to kill.
            let _ = killpg(pid, Signal::SIGKILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs the child over a job directory until it ends, `stop` resolves, or the wall time is over.
pub async fn run(
    command: &TrainerCommand,
    job_dir: &Path,
    limits: &Limits,
    stop: impl Future<Output = ()>,
    mut on_progress: impl FnMut(Progress),
) -> Result<Exit, Fault> {
    let mut child = start(command, job_dir)?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(std::io::Error::other("the child has no output").into());
    };
    let mut lines = BufReader::new(stdout.take(OUTPUT_CAP)).lines();
    let errors = tail(stderr);
    tokio::pin!(errors, stop);
    let limit = tokio::time::sleep(Duration::from_secs(u64::from(limits.wall_seconds)));
    tokio::pin!(limit);
    let mut said = None;
    let mut open = true;
    let status = loop {
        tokio::select! {
            line = lines.next_line(), if open => match line {
                Ok(Some(line)) => {
                    if let Ok(progress) = serde_json::from_str(&line) {
                        on_progress(progress);
                    }
                }
                Ok(None) | Err(_) => open = false,
            },
            text = &mut errors, if said.is_none() => said = Some(text),
            status = child.wait() => break status?,
            () = &mut stop => {
                group.kill();
                child.wait().await?;
                return Ok(Exit::Stopped);
            }
            () = &mut limit => {
                group.kill();
                child.wait().await?;
                let message = format!("the trainer did not finish within {} seconds", limits.wall_seconds);
                return Ok(Exit::Failed(Failure::new(FailureCode::TrainerTimeout, message)));
            }
        }
    };
    group.kill();
    let said = match said {
        Some(text) => text,
        None => errors.await,
    };
    Ok(judge(status, job_dir, &said))
}

fn start(command: &TrainerCommand, job_dir: &Path) -> std::io::Result<Child> {
    Command::new(&command.program)
        .args(&command.arguments)
        .arg(job_dir)
        .arg(std::process::id().to_string())
        .current_dir(job_dir)
        .env_clear()
        .envs([("LC_ALL", "C"), ("TZ", "UTC")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// The end of what a stream says.
async fn tail(mut stream: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..read]);
        if kept.len() > 2 * ERROR_TAIL {
            kept.drain(..kept.len() - ERROR_TAIL);
        }
    }
    let start = kept.len().saturating_sub(ERROR_TAIL);
    String::from_utf8_lossy(&kept[start..]).trim().to_owned()
}

/// Exit status, signal and result become one verdict.
fn judge(status: ExitStatus, job_dir: &Path, said: &str) -> Exit {
    let failed = |code, message: String| Exit::Failed(Failure::new(code, message));
    match result(job_dir) {
        Some(JobEnd::Finished) if status.success() => return Exit::Finished,
        Some(JobEnd::Failed { code, message }) => {
            let code = code.parse().unwrap_or(FailureCode::TrainerFailed);
            return failed(code, message);
        }
        Some(JobEnd::Finished) | None => {}
    }
    if said.contains("memory allocation of") {
        return failed(FailureCode::TrainerOutOfMemory, format!("the trainer ran out of memory: {said}"));
    }
    match status.signal() {
        // Nobody here sent it: the kernel ends what takes too much memory.
        Some(signal) if signal == Signal::SIGKILL as i32 => {
            failed(FailureCode::TrainerOutOfMemory, "the trainer was killed from outside, as by the kernel".to_owned())
        }
        Some(signal) if signal == Signal::SIGXCPU as i32 => {
            failed(FailureCode::TrainerTimeout, "the trainer used up its processor time".to_owned())
        }
        Some(signal) => failed(FailureCode::TrainerFailed, format!("the trainer died of signal {signal}: {said}")),
        None => failed(FailureCode::TrainerFailed, format!("the trainer ended with {status} and no result: {said}")),
    }
}

fn result(job_dir: &Path) -> Option<JobEnd> {
    const RESULT_CAP: u64 = 1024 * 1024;
    let path = job_dir.join(RESULT_FILE);
    let size = std::fs::metadata(&path).ok()?.len();
    if size > RESULT_CAP {
        return None;
    }
    serde_json::from_slice(&std::fs::read(&path).ok()?).ok()
}
