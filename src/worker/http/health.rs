//! `/livez` and `/readyz`: whether the loops turn, and whether the worker can work.

use super::readiness::Readiness;
use super::scrapers::Scrapers;
use crate::version;
use crate::worker::liveness::Watchdog;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::watch;

/// What health checks, metrics and console read of a worker.
#[derive(Clone)]
pub struct Health {
    pub readiness: Readiness,
    pub watchdog: Watchdog,
    /// True once the worker takes no new work.
    pub draining: watch::Receiver<bool>,
    pub scrapers: Scrapers,
}

/// `/livez`: 200, or 503 with the loops that are stuck.
pub(super) async fn live(State(health): State<Health>) -> (StatusCode, Json<Value>) {
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

/// `/readyz`: 200, or 503 with the needs that are not met. A worker that drains is not ready.
pub(super) async fn ready(State(health): State<Health>) -> (StatusCode, Json<Value>) {
    let missing = health.readiness.missing().await;
    let (code, status) = match (*health.draining.borrow(), missing.is_empty()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, true) => (StatusCode::OK, "ok"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
    };
    (code, Json(json!({"status": status, "missing": missing})))
}
