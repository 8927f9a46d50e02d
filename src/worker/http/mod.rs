//! HTTP for the operators of a worker: health checks, metrics, and the console's pages.
//!
//! Guarantees: one address holds at most half of the connections, and a connection that has to wait ends after five
//! minutes. Never: changes anything; listens beyond loopback unless configured.

pub mod console;

mod connections;
mod hosts;
mod metrics;
mod probes;

pub use hosts::KnownHosts;
pub use probes::{Health, Readiness, Scrapers};

use crate::config::{ServeAt, WorkerSettings};
use crate::telemetry::metrics::MetricsPage;
use axum::routing::get;
use axum::{Extension, Router};
use connections::FewConnections;
use futures::future::join_all;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::info;

pub struct Server {
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Server {
    /// Returns the address of the health checks. If `[worker] http` has port 0, holds the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the server to end, at most two seconds, so that an open connection does not hold up a shutdown.
    pub async fn ended(self) {
        let _ = tokio::time::timeout(Duration::from_secs(2), join_all(self.tasks)).await;
    }
}

/// Serves `/livez` and `/readyz` on `[worker] http`, and `/metrics` and the console's `pages` there or where the settings
/// say. Serves until `stopped` turns true.
pub async fn serve(
    settings: &WorkerSettings,
    page: MetricsPage,
    health: Health,
    pages: Router,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<Server> {
    let hosts = KnownHosts::read(&settings.hosts);
    let listener = listen(settings.http, "http").await?;
    let mut server = Server { address: listener.local_addr()?, tasks: Vec::new() };
    let metrics = Router::new().route("/metrics", get(metrics::metrics)).layer(Extension(page.clone()));
    let probes = Router::new().route("/livez", get(probes::live)).route("/readyz", get(probes::ready));
    let mut router = probes.with_state(health.clone());
    let parts = [("metrics", settings.metrics, metrics.with_state(health)), ("console", settings.console, pages)];
    for (name, at, routes) in parts {
        match at {
            ServeAt::Own(address) => {
                let own = listen(address, name).await?;
                info!(address = %own.local_addr()?, "{name} at an address of its own");
                server.tasks.push(spawn(until(stopped.clone(), own, hosts.clone().guard(routes))));
            }
            ServeAt::WithHttp => router = router.merge(routes),
            ServeAt::Off => {}
        }
    }
    let router = hosts.guard(router);
    server.tasks.push(spawn(async move {
        tokio::select! {
            () = until(stopped, listener, router) => {}
            () = metrics::sum_up(page) => {}
        }
    }));
    Ok(server)
}

async fn listen(address: SocketAddr, key: &str) -> anyhow::Result<TcpListener> {
    let failed = |error| anyhow::anyhow!("cannot listen on {address} ([worker] {key}): {error}");
    TcpListener::bind(address).await.map_err(failed)
}

async fn until(mut stopped: watch::Receiver<bool>, listener: TcpListener, router: Router) {
    let end = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let _ = axum::serve(FewConnections::on(listener), router).with_graceful_shutdown(end).await;
}

#[expect(clippy::disallowed_methods, reason = "the server lives beside the loops")]
fn spawn(server: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(server)
}
