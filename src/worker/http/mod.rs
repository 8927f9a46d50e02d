//! HTTP for the operators of a worker: health checks, metrics, and the console's pages.
//!
//! Guarantees: one address holds at most half of the connections, and a connection that has to wait ends after five
//! minutes. Never: changes anything; listens beyond loopback unless configured.

pub mod console;

mod connections;
mod metrics;
mod probes;

pub use probes::{Health, Readiness, Scrapers};

use crate::config::ConsoleAt;
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
    /// Returns the address of health checks and metrics. If `[worker] http` has port 0, holds the port that the system
    /// chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the server to end, at most two seconds, so that an open connection does not hold up a shutdown.
    pub async fn ended(self) {
        let _ = tokio::time::timeout(Duration::from_secs(2), join_all(self.tasks)).await;
    }
}

/// Serves `/livez`, `/readyz` and `/metrics` on `address`, and `pages` on the address that `console` names. Serves
/// until `stopped` turns true.
pub async fn serve(
    address: SocketAddr,
    console: ConsoleAt,
    page: MetricsPage,
    health: Health,
    pages: Router,
    stopped: watch::Receiver<bool>,
) -> anyhow::Result<Server> {
    let listener = listen(address, "http").await?;
    let own = match console {
        ConsoleAt::Own(address) => Some(listen(address, "console").await?),
        ConsoleAt::WithHttp | ConsoleAt::Off => None,
    };
    let address = listener.local_addr()?;
    let mut router = Router::new()
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready))
        .route("/metrics", get(metrics::metrics))
        .layer(Extension(page.clone()))
        .with_state(health);
    let mut server = Server { address, tasks: Vec::new() };
    match own {
        Some(own) => {
            info!(address = %own.local_addr()?, "the console listens");
            server.tasks.push(spawn(until(stopped.clone(), own, pages)));
        }
        None if console == ConsoleAt::WithHttp => router = router.merge(pages),
        None => {}
    }
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
