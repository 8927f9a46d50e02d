//! HTTP for whoever operates a worker: is it alive, can it work, what did it count.
//!
//! Never: changes anything; listens beyond loopback unless configured.

use crate::ledger::Ledger;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use metrics::describe_counter;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the checks look at.
#[derive(Clone)]
pub struct Health {
    ledger: Ledger,
}

impl Health {
    /// Checks over this ledger.
    pub fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }
}

/// A running server.
pub struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Where it listens; tells the port when the configuration left it open.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for its end, at most two seconds: an open connection must not hold up a shutdown.
    pub async fn ended(self) {
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

/// Serves `/livez` (the process answers), `/readyz` (the ledger answers) and `/metrics` (Prometheus) until
/// `stopped`.
pub async fn serve(address: SocketAddr, health: Health, mut stopped: watch::Receiver<bool>) -> anyhow::Result<Server> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {address} ([worker] http): {error}"))?;
    let address = listener.local_addr()?;
    let recorder = PrometheusBuilder::new().install_recorder()?;
    describe();
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(async move || recorder.render()))
        .with_state(health);
    let end = async move {
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    #[expect(clippy::disallowed_methods, reason = "the server lives beside the loops")]
    let task = tokio::spawn(async move {
        let _ = axum::serve(listener, router).with_graceful_shutdown(end).await;
    });
    Ok(Server { address, task })
}

async fn ready(State(health): State<Health>) -> (StatusCode, String) {
    match health.ledger.ping().await {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(fault) => (StatusCode::SERVICE_UNAVAILABLE, format!("{fault}\n")),
    }
}

fn describe() {
    describe_counter!(
        "model_factory_stale_writes_refused_total",
        "Writes that the ledger refused because the lease was lost, by kind"
    );
    describe_counter!("model_factory_producers_recreated_total", "Producers that were made again after a fatal error");
}
