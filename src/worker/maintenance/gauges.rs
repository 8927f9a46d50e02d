//! Gauges of the ledger, set by every worker to the same values.
//!
//! Never: ends the worker, or has it called stuck; sets a gauge to what was not read. While the ledger is away the
//! gauges keep their values, and `model_factory_ledger_surveyed_timestamp_seconds` says since when.

use crate::adapters::ledger::{Error, Ledger};
use crate::clock::Stopwatch;
use crate::telemetry::metrics;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

const EVERY: Duration = Duration::from_secs(15);
/// Counting ended runs takes longer with the years. It may take at most this part of the time: one in so many.
const SHARE: u32 = 100;

/// Reads until `stopped` turns true.
pub(in crate::worker) async fn run_gauges(ledger: Ledger, mut stopped: watch::Receiver<bool>) {
    let mut since_counted: Option<(Stopwatch, Duration)> = None;
    let mut is_away = false;
    while !*stopped.borrow() {
        let turn = Stopwatch::start();
        let count_ended = since_counted.as_ref().is_none_or(|(since, pause)| since.elapsed() >= *pause);
        let mut outcome = read_standing(&ledger).await;
        if outcome.is_ok() && count_ended {
            let counting = Stopwatch::start();
            outcome = read_ended(&ledger).await;
            let pause = counting.elapsed() * SHARE;
            since_counted = Some((counting, pause));
        }
        match outcome {
            Ok(()) if std::mem::take(&mut is_away) => info!("the ledger's gauges are read again"),
            Ok(()) => {}
            // One line is enough: the timestamp shows the rest.
            Err(_) if is_away => {}
            Err(error) => {
                is_away = true;
                warn!(fault = %error, "the ledger's gauges stand still");
            }
        }
        let pause = EVERY.saturating_sub(turn.elapsed());
        // Only the wait is cut short: a database future must never be.
        let _ = tokio::time::timeout(pause, stopped.wait_for(|stop| *stop)).await;
    }
    ledger.close().await;
}

async fn read_standing(ledger: &Ledger) -> Result<(), Error> {
    let standing = ledger.standing().await?;
    for (state, count) in standing.open {
        metrics::RUNS.set(state, count as f64);
    }
    metrics::QUEUE_DEPTH.set((), standing.claimable as f64);
    metrics::QUEUE_OLDEST_AGE.set((), standing.oldest_claimable);
    for (kind, waiting, oldest) in standing.outbox {
        metrics::OUTBOX_DEPTH.set(kind, waiting as f64);
        metrics::OUTBOX_OLDEST_AGE.set(kind, oldest);
    }
    metrics::LEDGER_SURVEYED.set((), standing.read_at);
    Ok(())
}

async fn read_ended(ledger: &Ledger) -> Result<(), Error> {
    for (state, count) in ledger.ended().await? {
        metrics::RUNS.set(state, count as f64);
    }
    Ok(())
}
