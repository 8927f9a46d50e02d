//! HTTP for whoever operates a worker: health checks, metrics, and the console's pages.
//!
//! Never: changes anything; listens beyond loopback unless configured.

pub mod console;

mod health;
mod metrics;

pub use health::{Health, Readiness, Scrapers};

use crate::telemetry::metrics::MetricsPage;
use axum::routing::get;
use axum::{Extension, Router};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// The address that the server listens on; if `[worker] http` has port 0, with the port that the system chose.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the server's end, at most two seconds: an open connection must not hold up a shutdown.
    pub async fn ended(self) {
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

/// Serves `/livez`, `/readyz`, `/metrics` and the console's `pages` until `stopped`.
pub async fn serve(
    address: SocketAddr,
    page: MetricsPage,
    health: Health,
    pages: Router,
    mut stopped: watch::Receiver<bool>,
) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {address} ([worker] http): {error}"))?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .layer(Extension(page.clone()))
        .with_state(health)
        .merge(pages);
    let end = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    #[expect(clippy::disallowed_methods, reason = "the server lives beside the loops")]
    let task = tokio::spawn(async move {
        tokio::select! {
            _ = axum::serve(listener, router).with_graceful_shutdown(end) => {}
            () = metrics::sum_up(page) => {}
        }
    });
    Ok(Server { address, task })
}
