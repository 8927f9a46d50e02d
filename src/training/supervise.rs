//! Starts the child, listens to it, and ends it: when it is done, at its limit, or when told to.

use super::footprint::peak_memory;
use super::job::{JobEnd, Progress, RESULT_FILE};
use super::listen::{ProgressLines, tail};
use crate::clock;
use crate::domain::contract::Limits;
use crate::domain::run::{Failure, FailureCode};
use crate::telemetry::metrics;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

/// How the child is started.
#[derive(Debug, Clone)]
pub struct TrainerCommand {
    /// A `model-factory` binary; the job directory and this process's id follow the name of the step.
    pub program: PathBuf,
    step: Step,
}

/// What the child is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Everything, with the built-in booster.
    Train,
    /// Read, check, and write what a registered command needs.
    Prepare,
    /// Run the registered command and watch it.
    Command,
    /// Check and measure what the command left.
    Measure,
    /// Measure the model of an earlier bundle; fit nothing.
    Recheck,
    /// Score a file with the model of a bundle; measure nothing.
    Score,
}

impl Step {
    /// The subcommand of the binary.
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

impl TrainerCommand {
    /// The binary that runs, for the built-in booster.
    pub fn this_binary() -> std::io::Result<Self> {
        Ok(Self::binary(std::env::current_exe()?))
    }

    /// A `model-factory` binary, for the built-in booster.
    pub fn binary(program: PathBuf) -> Self {
        Self { program, step: Step::Train }
    }

    /// The same binary for another step.
    #[must_use]
    pub fn to(&self, step: Step) -> Self {
        Self { program: self.program.clone(), step }
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
pub struct Error(#[from] std::io::Error);

/// How long a child may take to end after it was asked to: the one that watches a command ends that first,
/// and whoever ends the watcher before lets the command go.
const GRACE: Duration = Duration::from_mins(1);
/// How long is listened to an error stream that some orphan holds open.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Asks the child's whole group to end when it goes out of scope: also when the future is dropped.
struct Group(Option<Pid>);

impl Group {
    fn send(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // It may have ended by itself; then there is no group.
            let _ = killpg(pid, signal);
        }
    }

    /// Asks, waits, and insists.
    async fn end(&mut self, child: &mut Child) -> std::io::Result<()> {
        self.send(Signal::SIGTERM);
        if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
            self.send(Signal::SIGKILL);
            child.wait().await?;
        }
        self.0 = None;
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.send(Signal::SIGTERM);
    }
}

/// The most memory of a child, as far as it was seen; told when it goes out of scope.
struct Memory {
    pid: Option<i32>,
    peak: u64,
    next: Instant,
    pause: Duration,
}

impl Memory {
    fn of(pid: Option<Pid>) -> Self {
        Self { pid: pid.map(Pid::as_raw), peak: 0, next: clock::now(), pause: Duration::from_millis(20) }
    }

    /// Looks when it is time to, at last every second. May be dropped half-way.
    async fn look(&mut self) {
        tokio::time::sleep_until(self.next.into()).await;
        self.peak = self.peak.max(self.pid.map_or(0, peak_memory));
        self.pause = (self.pause * 2).min(Duration::from_secs(1));
        self.next = clock::now() + self.pause;
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.peak > 0 {
            metrics::TRAINER_PEAK_MEMORY.observe((), self.peak as f64);
        }
    }
}

/// Runs the child over a job directory until it ends, `stop` resolves, or the wall time is over.
pub async fn run(
    command: &TrainerCommand,
    job_dir: &Path,
    limits: &Limits,
    stop: impl Future<Output = ()>,
    mut on_progress: impl FnMut(Progress),
) -> Result<Exit, Error> {
    forget_end(job_dir)?;
    let mut child = start(command, job_dir)?;
    let mut group = Group(child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw));
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(std::io::Error::other("the child has no output").into());
    };
    let mut lines = ProgressLines::new(stdout);
    let errors = tail(stderr);
    tokio::pin!(errors, stop);
    let limit = tokio::time::sleep(Duration::from_secs(u64::from(limits.wall_seconds)));
    tokio::pin!(limit);
    let mut said = None;
    let mut open = true;
    let mut memory = Memory::of(group.0);
    let status = loop {
        tokio::select! {
            () = memory.look() => {}
            progress = lines.next(), if open => match progress {
                Some(progress) => on_progress(progress),
                None => open = false,
            },
            text = &mut errors, if said.is_none() => said = Some(text),
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
    group.send(Signal::SIGKILL);
    group.0 = None;
    // What was said last is still in the pipe.
    while open && let Ok(Some(progress)) = tokio::time::timeout(LAST_WORDS, lines.next()).await {
        on_progress(progress);
    }
    let said = match said {
        Some(text) => text,
        None => tokio::time::timeout(LAST_WORDS, errors).await.unwrap_or_default(),
    };
    Ok(judge(status, command.step, job_dir, &said))
}

fn start(command: &TrainerCommand, job_dir: &Path) -> std::io::Result<Child> {
    Command::new(&command.program)
        .arg(command.step.subcommand())
        .arg(job_dir)
        .arg(std::process::id().to_string())
        .current_dir(job_dir)
        .env_clear()
        .envs([("LC_ALL", "C"), ("TZ", "UTC")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
}

/// Exit status, signal and result become one verdict.
fn judge(status: ExitStatus, step: Step, job_dir: &Path, said: &str) -> Exit {
    let failed = |code, message: String| Exit::Failed(Failure::new(code, message));
    match result(job_dir) {
        Some(JobEnd::Finished) if status.success() => return Exit::Finished,
        Some(JobEnd::Failed { code, message }) => {
            let code = code.parse().unwrap_or(FailureCode::TrainerFailed);
            return match step {
                Step::Train | Step::Prepare | Step::Measure | Step::Recheck | Step::Score => failed(code, message),
                Step::Command => judge_command(code, message, said),
            };
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

/// A registered command says why on its standard error, if anywhere.
fn judge_command(code: FailureCode, message: String, said: &str) -> Exit {
    const OUT_OF_MEMORY: [&str; 6] = [
        "Cannot allocate memory",
        "MemoryError",
        "OutOfMemoryError",
        "memory allocation of",
        "memory exhausted",
        "std::bad_alloc",
    ];
    let out_of_memory = OUT_OF_MEMORY.iter().any(|sign| said.contains(sign));
    let code = if out_of_memory && code == FailureCode::TrainerFailed { FailureCode::TrainerOutOfMemory } else { code };
    let message = if said.is_empty() { message } else { format!("{message}: {said}") };
    Exit::Failed(Failure::new(code, message))
}

/// The end that an earlier step wrote is not this one's.
fn forget_end(job_dir: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(job_dir.join(RESULT_FILE)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
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
