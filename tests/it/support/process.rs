//! Worker processes, ended with the test.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A worker whose log goes to a file; ended when dropped, however the test ends.
pub struct Worker {
    child: Child,
    log: PathBuf,
}

impl Worker {
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = std::fs::File::create(log).unwrap();
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// None while it works.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Status and JSON of a health check, once the worker listens. Its log must be JSON.
    pub fn health(&self, path: &str) -> Option<(u16, Value)> {
        let address = self.said().lines().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line.get("http")?.as_str()?.to_owned())
        })?;
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\r\n").as_bytes())
            .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split_whitespace().nth(1)?.parse().ok()?;
        // Metrics are no JSON.
        Some((status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))))
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = said.lines().collect();
            eprintln!("{} ends:\n{}", self.log.display(), lines[lines.len().saturating_sub(60)..].join("\n"));
        }
    }
}
