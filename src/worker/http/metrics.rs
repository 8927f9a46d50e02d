//! `/metrics`: what the loops counted, and gauges that are read at each scrape.

use super::health::Health;
use super::process;
use crate::telemetry::metrics::{self, LoopLabel, MetricsPage, NeedLabel};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use std::time::Duration;
use tokio::task::JoinError;

/// Histograms grow until they are summed up: so often it happens where nobody scrapes.
const SUM_UP_EVERY: Duration = Duration::from_secs(30);

/// The page in Prometheus' text format.
pub(super) async fn metrics(State(health): State<Health>, Extension(page): Extension<MetricsPage>) -> Response {
    match render(page, health).await {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(panic) => (StatusCode::INTERNAL_SERVER_ERROR, panic.to_string()).into_response(),
    }
}

/// The page as it is now.
async fn render(page: MetricsPage, health: Health) -> Result<String, JoinError> {
    let missing = health.readiness.missing().await;
    for need in health.readiness.names() {
        metrics::READY.set(NeedLabel(need), yes_or_no(!missing.contains_key(need)));
    }
    for (name, late) in health.watchdog.lateness() {
        metrics::LOOP_LATE.set(LoopLabel(name), yes_or_no(late));
    }
    metrics::DRAINING.set((), yes_or_no(*health.draining.borrow()));
    let reading = tokio::task::spawn_blocking(move || {
        process::measure();
        health.scrapers.lasting.iter().for_each(|scrape| scrape());
        page.render(|| health.scrapers.transient.iter().for_each(|scrape| scrape()))
    });
    reading.await
}

/// Sums histograms up for as long as it is polled.
pub(super) async fn sum_up(page: MetricsPage) {
    loop {
        tokio::time::sleep(SUM_UP_EVERY).await;
        page.sum_up();
    }
}

fn yes_or_no(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
