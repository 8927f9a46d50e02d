//! Runs one worker: roles, unique name, start of the loops, wait until `shutdown` turns true, drain.

use super::assembly::Assembly;
use super::drain::{Abandoned, LAST_WORDS, release_leases};
use crate::clock;
use crate::config::Config;
use crate::failpoints::failpoint;
use crate::telemetry::metrics::MetricsPage;
use crate::version;
use anyhow::ensure;
use clap::ValueEnum;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::info;

/// A role that `--roles` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Role {
    /// Consumes requests and admits them.
    Intake,
    /// Carries runs to the gate's verdict and to publication.
    Runner,
    /// Sends what the outbox holds. If the configuration requires the registry's confirmation, also reads the
    /// registry's topic.
    Relay,
}

impl Role {
    pub fn all() -> BTreeSet<Self> {
        BTreeSet::from([Self::Intake, Self::Runner, Self::Relay])
    }
}

/// Returns the name `host-pid-start` (start in milliseconds) for leases, events and metrics. Each start of a worker
/// gets another name.
pub fn unique_name() -> anyhow::Result<String> {
    let host = nix::unistd::gethostname()?.to_string_lossy().into_owned();
    // A restarted container has the same host and pid as before, so the start time distinguishes the names.
    let name = format!("{host}-{}-{}", std::process::id(), clock::since_epoch().as_millis());
    ensure!(name.len() <= 200, "the host name is too long for a worker's name");
    Ok(name)
}

/// Runs a worker of this name until `shutdown` turns true, then drains it. The drain takes no new work, finishes or
/// gives back the runs in work, and commits the offsets of admitted records. A loop that ends by itself ends the worker
/// with an error. `on_listening` gets the address of health checks and metrics as soon as the worker listens there.
pub async fn run(
    config: Config,
    roles: BTreeSet<Role>,
    name: String,
    shutdown: watch::Receiver<bool>,
    on_listening: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    #[cfg(debug_assertions)]
    if let Some(settings) = config.fault.clone() {
        crate::failpoints::arm(settings).map_err(anyhow::Error::msg)?;
    }
    let page = MetricsPage::install()?;
    let _waker = RuntimeWaker::start(Handle::current())?;
    let drain_seconds = u64::from(config.worker.drain_seconds);
    let mut assembly = Assembly::check(config, name).await?;
    assembly.spawn_policy_watch()?;
    for role in &roles {
        match role {
            Role::Intake => assembly.spawn_intake().await?,
            Role::Runner => assembly.spawn_runner().await?,
            Role::Relay => assembly.spawn_relay().await?,
        }
    }
    assembly.spawn_gauges()?;
    let (end, ended) = watch::channel(false);
    let http = assembly.serve_http(page, ended).await?;
    on_listening(http.address());
    let Assembly { name, ledger, loops, .. } = assembly;
    info!(worker = %name, version = version::VERSION, commit = version::COMMIT, http = %http.address(), ?roles, "working");

    let ended = loops.supervise(Duration::from_secs(drain_seconds), shutdown).await;
    if ended.as_ref().is_err_and(anyhow::Error::is::<Abandoned>) {
        release_leases(&ledger, &name).await;
    }
    failpoint("shutdown.drained")?;
    end.send_replace(true);
    http.ended().await;
    // Closing has a timeout, because abandoned work may still hold connections.
    let _ = tokio::time::timeout(LAST_WORDS, ledger.close()).await;
    info!("stopped");
    ended
}

/// A thread that wakes the runtime once a second, so that a loop that blocks its thread does not stop the others.
/// Dropping this value ends the thread.
///
/// Only one thread of tokio's runtime waits for sockets and timers at a time. If exactly one task becomes ready there,
/// that thread runs the task itself and wakes no other thread. If the task then blocks, no thread waits for sockets and
/// timers any more. Every loop stands still, and `/livez` does not reply. A task that is spawned from outside wakes
/// another thread, which takes over.
struct RuntimeWaker {
    _end: Sender<()>,
}

impl RuntimeWaker {
    fn start(runtime: Handle) -> std::io::Result<Self> {
        let (end, ended) = channel();
        std::thread::Builder::new().name("waker".to_owned()).spawn(move || {
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                runtime.spawn(async {});
            }
        })?;
        Ok(Self { _end: end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_blocks_its_thread_does_not_stop_the_timers_of_the_others() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let _waker = RuntimeWaker::start(runtime.handle().clone()).unwrap();
        runtime.spawn(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            loop {
                std::thread::park();
            }
        });
        let (sender, receiver) = channel();
        runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(200)).await;
            sender.send(()).unwrap();
        });
        receiver.recv_timeout(Duration::from_secs(30)).expect("the second timer fires");
        runtime.shutdown_background();
    }
}
