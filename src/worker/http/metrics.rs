//! `/metrics`: counters of the loops, and gauges that are read at each scrape.

use super::probes::Health;
use crate::telemetry::metrics::{self, LoopLabel, MetricsPage, NeedLabel};
use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use procfs::ProcResult;
use procfs::process::Process;
use std::time::Duration;
use tokio::task::JoinError;

/// How often histograms are aggregated, whether or not there are scrapes. Until then a histogram keeps every value in
/// memory.
const SUM_UP_EVERY: Duration = Duration::from_secs(30);

/// Returns the metrics in Prometheus' text format.
pub(super) async fn metrics(State(health): State<Health>, Extension(page): Extension<MetricsPage>) -> Response {
    match render(page, health).await {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(panic) => (StatusCode::INTERNAL_SERVER_ERROR, panic.to_string()).into_response(),
    }
}

async fn render(page: MetricsPage, health: Health) -> Result<String, JoinError> {
    let missing = health.readiness.missing().await;
    for need in health.readiness.names() {
        metrics::READY.set(NeedLabel(need), yes_or_no(!missing.contains_key(need)));
    }
    for (name, late) in health.watchdog.lateness() {
        metrics::LOOP_LATE.set(LoopLabel(name), yes_or_no(late));
    }
    metrics::DRAINING.set((), yes_or_no(*health.draining.borrow()));
    tokio::task::spawn_blocking(move || {
        // Nothing depends on the process metrics. If they cannot be read, the page lacks them.
        let _ = measure_process();
        health.scrapers.lasting.iter().for_each(|scrape| scrape());
        page.render(|| health.scrapers.transient.iter().for_each(|scrape| scrape()))
    })
    .await
}

/// Aggregates the histograms every `SUM_UP_EVERY`. Never returns.
pub(super) async fn sum_up(page: MetricsPage) {
    loop {
        tokio::time::sleep(SUM_UP_EVERY).await;
        page.sum_up();
    }
}

fn yes_or_no(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}

/// Measures CPU, memory and file descriptors of the worker's own process, under the names that Prometheus clients use.
fn measure_process() -> ProcResult<()> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second().max(1);
    metrics::PROCESS_CPU.set_total((), (stat.utime + stat.stime) / ticks);
    metrics::PROCESS_MEMORY.set((), (stat.rss * procfs::page_size()) as f64);
    metrics::PROCESS_OPEN_FDS.set((), process.fd_count()? as f64);
    metrics::PROCESS_START.set((), procfs::boot_time_secs()? as f64 + stat.starttime as f64 / ticks as f64);
    Ok(())
}
