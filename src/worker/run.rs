//! One life of a worker, from its configuration to its end.

use super::assembly::Assembly;
use super::drain::{Abandoned, LAST_WORDS, release_leases};
use super::role::Role;
use super::waker::RuntimeWaker;
use crate::config::Config;
use crate::failpoints::failpoint;
use crate::telemetry::metrics::MetricsPage;
use crate::version;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::info;

/// Runs a worker of this name until `shutdown` turns true, then drains it: no new work, the run in hand finished or given
/// back, offsets of what was admitted committed. A loop that ends by itself ends the worker with an error.
/// `on_listening` gets the console's address as soon as it answers.
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
    // Abandoned work may still hold connections.
    let _ = tokio::time::timeout(LAST_WORDS, ledger.close()).await;
    info!("stopped");
    ended
}
