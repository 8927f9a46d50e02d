//! HTTP for whoever operates a worker: do its loops turn, can it work, what did it count; and the pages it is given.
//!
//! Never: changes anything; listens beyond loopback unless configured.

pub mod console;

mod page;
mod process;
mod ready;

pub use page::Figures;
pub use ready::AtHand;

use crate::telemetry::metrics::MetricsPage;
use crate::version;
use crate::worker::liveness::Watchdog;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the checks look at.
#[derive(Clone)]
pub struct Health {
    /// What the worker needs.
    pub at_hand: AtHand,
    /// Its loops.
    pub watchdog: Watchdog,
    /// True once it takes no new work.
    pub draining: watch::Receiver<bool>,
    /// What else `/metrics` tells.
    pub figures: Figures,
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

/// Serves `/livez` (every loop turns), `/readyz` (what the worker needs is at hand), `/metrics` (Prometheus) and
/// everything else by `pages`, until `stopped`.
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
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
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
            () = page::sum_up(page) => {}
        }
    });
    Ok(Server { address, task })
}

/// 200, or 503 with the loops that are stuck.
async fn live(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let stuck = health.watchdog.late();
    let (code, status) = match stuck.as_slice() {
        [] => (StatusCode::OK, "ok"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "stuck"),
    };
    let body = json!({
        "status": status,
        "stuck": stuck,
        "version": version::VERSION,
        "commit": version::COMMIT,
        "build": version::PROFILE,
    });
    (code, Json(body))
}

/// 200, or 503 with what is not at hand. A worker that drains takes no new work, and says so.
async fn ready(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let missing = health.at_hand.missing().await;
    let (code, status) = match (*health.draining.borrow(), missing.is_empty()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, true) => (StatusCode::OK, "ok"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (code, Json(json!({"status": status, "missing": missing})))
}

/// Text in the format of Prometheus.
async fn metrics(State(health): State<Health>, Extension(page): Extension<MetricsPage>) -> Response {
    match page::read(page, health).await {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(panic) => (StatusCode::INTERNAL_SERVER_ERROR, panic.to_string()).into_response(),
    }
}
