//! Runs a private Postgres from the installed binaries, on loopback, for as long as this process lives.
//!
//! The server refuses to run as root. If this process is root, the server runs as user `postgres` or, if that user does
//! not exist, as `nobody`.

use crate::clock::Stopwatch;
use nix::unistd::{Uid, User, chown};
use std::fs;
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// A running server. Dropping this value stops the server. The kernel stops it when this process dies.
pub struct PrivatePostgres {
    port: u16,
    stop: mpsc::Sender<()>,
    parent: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PostgresError(String);

fn failed(what: impl std::fmt::Display) -> PostgresError {
    PostgresError(what.to_string())
}

struct Host {
    binaries: PathBuf,
    /// The user that the server runs as. `None` means the user of this process.
    user: Option<User>,
}

impl PrivatePostgres {
    /// Starts a server on a free port. An existing database in `folder` is used again.
    pub fn start(folder: &Path) -> Result<Self, PostgresError> {
        Self::start_at(folder, free_port()?)
    }

    /// Starts a server on a given port, as after a restart.
    pub fn start_at(folder: &Path, port: u16) -> Result<Self, PostgresError> {
        let host = Host { binaries: binaries()?, user: server_user()? };
        fs::create_dir_all(folder).map_err(|error| failed(format!("cannot make {}: {error}", folder.display())))?;
        let folder = folder.canonicalize().map_err(failed)?;
        let data = folder.join("data");
        if !data.join("PG_VERSION").exists() {
            host.init(&folder, &data)?;
        }
        // A killed server leaves this file behind, and the next server refuses to start because of it. The killed
        // server is certainly gone, because it cannot outlive the process that started it.
        let _ = fs::remove_file(data.join("postmaster.pid"));
        let log = folder.join("postgres.log");
        let (stop, stopped) = mpsc::channel();
        let (started, result) = mpsc::channel();
        // The kernel ends the server when the thread that started it ends, so a separate thread starts the server.
        let parent = thread::spawn(move || {
            let server = host.spawn(&data, port, &log);
            let ready = server.and_then(|mut server| wait_ready(&mut server, port, &log).map(|()| server));
            match ready {
                Ok(server) => {
                    let _ = started.send(Ok(()));
                    let _ = stopped.recv();
                    end(server);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        });
        result.recv().map_err(failed)??;
        Ok(Self { port, stop, parent: Some(parent) })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(parent) = self.parent.take() {
            let _ = parent.join();
        }
    }
}

impl Host {
    fn command(&self, program: &str) -> Command {
        // `setpriv` sets PDEATHSIG, because setting it in this process would need unsafe code.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "INT"]);
        if let Some(user) = &self.user {
            command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid)).arg("--clear-groups");
        }
        command.arg(self.binaries.join(program));
        command.env_clear().envs([("LC_ALL", "C"), ("TZ", "UTC")]).stdin(Stdio::null()).process_group(0);
        command
    }

    fn init(&self, folder: &Path, data: &Path) -> Result<(), PostgresError> {
        let _ = fs::remove_dir_all(data);
        fs::create_dir(data).map_err(failed)?;
        if let Some(user) = &self.user {
            for path in [folder, data] {
                chown(path, Some(user.uid), Some(user.gid)).map_err(failed)?;
            }
        }
        let output = self
            .command("initdb")
            .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(data)
            .current_dir(folder)
            .output()
            .map_err(|error| failed(format!("cannot run setpriv initdb: {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let folder = folder.display();
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(failed(format!("initdb failed in {folder} (every folder above must be open to the server's user): {said}")))
    }

    fn spawn(&self, data: &Path, port: u16, log: &Path) -> Result<Child, PostgresError> {
        let log = fs::File::create(log).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        self.command("postgres")
            .arg("-D")
            .arg(data)
            .args(["-c", &format!("port={port}"), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
            .args(["-c", "max_connections=200", "-c", "timezone=UTC", "-c", "shared_buffers=64MB"])
            .current_dir(data)
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| failed(format!("cannot run setpriv postgres: {error}")))
    }
}

/// Returns the folder of the installed Postgres server binaries: the one that `pg_config` names, or the newest of
/// Debian's folders.
pub fn binaries() -> Result<PathBuf, PostgresError> {
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        if folder.join("initdb").exists() {
            return Ok(folder);
        }
    }
    // Debian keeps the server's binaries outside PATH, in one folder per version.
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder): &(u32, PathBuf)| folder.join("initdb").exists())
        .collect();
    folders.sort();
    let newest = folders.pop().map(|(_, folder)| folder);
    newest.ok_or_else(|| failed("no Postgres server binaries found (pg_config --bindir, /usr/lib/postgresql); install the package postgresql"))
}

fn server_user() -> Result<Option<User>, PostgresError> {
    if !Uid::effective().is_root() {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let Some(user) = User::from_name(name).map_err(failed)? {
            return Ok(Some(user));
        }
    }
    Err(failed("Postgres refuses to run as root, and there is no user postgres or nobody to run it as"))
}

fn free_port() -> Result<u16, PostgresError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
    Ok(listener.local_addr().map_err(failed)?.port())
}

fn wait_ready(server: &mut Child, port: u16, log: &Path) -> Result<(), PostgresError> {
    const BOUND: Duration = Duration::from_mins(1);
    let since = Stopwatch::start();
    while since.elapsed() < BOUND {
        if let Some(status) = server.try_wait().map_err(failed)? {
            return Err(failed(format!("postgres ended with {status}:\n{}", tail(log))));
        }
        if answers(port) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(failed(format!("postgres did not come up within a minute:\n{}", tail(log))))
}

/// Returns whether the server accepts sessions. If it does, it replies to a start-up message with an authentication
/// message, `R`. While the server starts, it replies with an error.
fn answers(port: u16) -> bool {
    use std::io::Write as _;
    let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return false };
    let _ = stream.set_read_timeout(Some(Duration::from_secs(1)));
    let start_up: [u8; 41] = *b"\0\0\0\x29\0\x03\0\0user\0postgres\0database\0postgres\0\0";
    let mut answer = [0];
    stream.write_all(&start_up).is_ok() && stream.read_exact(&mut answer).is_ok() && answer[0] == b'R'
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Shuts the server down: sends SIGINT, waits up to ten seconds, then sends SIGKILL.
fn end(mut server: Child) {
    if let Ok(pid) = i32::try_from(server.id()) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGINT);
    }
    let since = Stopwatch::start();
    while since.elapsed() < Duration::from_secs(10) {
        if matches!(server.try_wait(), Ok(Some(_)) | Err(_)) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    let _ = server.kill();
    let _ = server.wait();
}
