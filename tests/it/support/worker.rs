//! The binary as a worker process, started with settings and a failpoint, ended with its test.

use super::{BOUND, World, eventually};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::ffi::OsStr;
use std::future::ready;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A worker that has not started yet.
pub struct WorkerCommand {
    command: Command,
    log: PathBuf,
    database_port: u16,
}

impl World {
    /// `worker --from earliest` with this world's settings; it logs JSON to `{name}.log` in the world's folder.
    pub fn worker(&self, name: &str) -> WorkerCommand {
        let mut command = self.command(&["worker", "--from", "earliest"]);
        command.env("MODEL_FACTORY_WORKER__LOG_FORMAT", "json");
        let url = url::Url::parse(&self.config.ledger.url).unwrap();
        let log = self.folder.path().join(format!("{name}.log"));
        WorkerCommand { command, log, database_port: url.port().unwrap_or(5432) }
    }
}

impl WorkerCommand {
    #[must_use]
    pub fn roles(mut self, roles: &str) -> Self {
        self.command.args(["--roles", roles]);
        self
    }

    /// `key` is a configuration key as a variable has it, without `MODEL_FACTORY_`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(format!("MODEL_FACTORY_{key}"), value);
        self
    }

    #[must_use]
    pub fn set_all(self, settings: &[(&str, &str)]) -> Self {
        settings.iter().fold(self, |command, (key, value)| command.set(key, value))
    }

    /// The worker makes the file `mark` when it comes to the point, then acts: `kill`, `error`, `cut` or `stall`.
    #[must_use]
    pub fn failpoint(self, point: &str, action: &str, mark: &Path) -> Self {
        let port = self.database_port.to_string();
        let failpoint = self.set("FAULT__POINT", point).set("FAULT__ACTION", action);
        failpoint.set("FAULT__MARK", mark).set("FAULT__DATABASE_PORT", port)
    }

    pub fn start(mut self) -> Worker {
        // Enough threads that a stalled loop does not take the others with it.
        self.command.env("TOKIO_WORKER_THREADS", "4");
        let log = std::fs::File::create(&self.log).unwrap();
        let child = self.command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        Worker { child, log: self.log }
    }
}

/// Killed when dropped; if the test fails, its last log lines are printed.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// The most memory that it ever held, by the kernel's own count.
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// None while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub async fn exit(&mut self) -> ExitStatus {
        eventually("the worker's end", BOUND, || ready(self.exit_status())).await
    }

    /// SIGTERM, as an orchestrator sends it; fails the test unless the worker ends well. What it settled is committed
    /// by then.
    pub async fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let status = self.exit().await;
        assert!(status.success(), "{status}: {}", self.log());
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub async fn logs(&self, text: &str) {
        eventually(text, BOUND, || ready(self.log().contains(text).then_some(()))).await;
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where health checks, metrics and the console are; None until the worker listens.
    pub fn address(&self) -> Option<String> {
        self.log().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line.get("http")?.as_str()?.to_owned())
        })
    }

    /// Status and body of a path; the body is a text where it is not JSON. None until the worker listens.
    pub fn get(&self, path: &str) -> Option<(u16, Value)> {
        let mut stream = TcpStream::connect(self.address()?).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())
            .ok()?;
        let mut response = String::new();
        stream.read_to_string(&mut response).ok()?;
        let (head, body) = response.split_once("\r\n\r\n")?;
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        Some((status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))))
    }

    /// Waits until a path gives this status, and returns the body.
    pub async fn responds(&self, path: &str, status: u16) -> Value {
        let response = || ready(self.get(path).filter(|(found, _)| *found == status));
        eventually(&format!("{status} of {path}"), BOUND, response).await.1
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{} ends:\n{}", self.log.display(), lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
