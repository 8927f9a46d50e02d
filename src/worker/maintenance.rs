//! Maintenance: what a worker does for runs that it does not hold, beside its work and never before it.
//!
//! Two loops. [`Maintenance`] runs once in each worker with the runner's role: it rescues runs whose lease expired,
//! withdraws publications that the broker did not acknowledge in time, defers those that the registry did not answer
//! in time, and writes missing receipts. `run_gauges` runs in every worker and sets the gauges of the ledger. It is a
//! loop of its own, since counting ended runs may take long and no rescue may wait for that.
//!
//! Guarantees: while the ledger answers, a run of a dead worker is queued again within `lease_seconds`, one scan and
//! its pause, also while every slot of this worker is busy; a row that the ledger refuses holds up neither the other
//! steps nor the loop. Any number of workers may scan at once: each step locks the row and looks again before it
//! writes.
//! Never: ends the worker; changes what was published; sets a gauge to a value that was not read.

use crate::adapters::evidence::{EvidencePath, EvidenceStore, PutError, RunFolder};
use crate::adapters::ledger::{self, Announced, Coordinates, Ledger};
use crate::clock::{self, Stopwatch};
use crate::domain::contract::{AnnouncedRecord, Confirmation, EvidenceRef, PublishReceipt};
use crate::domain::identity::{Digest, RunId, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::failpoints::failpoint;
use crate::telemetry::metrics;
use crate::worker::liveness::Heartbeat;
use bytes::Bytes;
use std::time::{Duration, Instant};
use strum::VariantArray;
use tokio::sync::watch;
use tracing::{error, info, warn};

const SCAN_EVERY: Duration = Duration::from_millis(250);
/// Pause after a scan that the ledger refused or did not answer.
const TROUBLE: Duration = Duration::from_secs(2);
/// How long nothing is rescued after the ledger was away. Meanwhile nobody could renew leases, and the workers that
/// hold expired ones give their runs back by themselves.
const GRACE: Duration = Duration::from_secs(5);
/// Most rows that one step takes in one scan.
const LIMIT: usize = 16;

pub struct Maintenance {
    ledger: Ledger,
    store: EvidenceStore,
    worker: String,
    /// When runs may be rescued again; `None` if the ledger has answered in time since the start.
    no_rescue_before: Option<Instant>,
}

#[derive(Debug, Clone, Copy, VariantArray)]
enum MaintenanceStep {
    Rescue,
    WithdrawOverdue,
    DeferUnanswered,
    WriteReceipts,
}

impl Maintenance {
    /// `worker` is the name that stands in transitions and the audit log.
    pub fn new(ledger: Ledger, store: EvidenceStore, worker: String) -> Self {
        Self { ledger, store, worker, no_rescue_before: None }
    }

    /// Scans until `shutdown` turns true.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>, heartbeat: Heartbeat) {
        while !*shutdown.borrow() {
            heartbeat.turned();
            let asked = Stopwatch::start();
            let is_away = self.ledger.ping().await.is_err();
            // In this time, each worker should have renewed its leases once.
            if is_away || asked.elapsed() >= self.ledger.renewal_interval() {
                self.no_rescue_before = Some(clock::now() + GRACE);
            }
            let pause = match self.scan_once(&heartbeat).await {
                // A step that took `LIMIT` rows may have left others.
                Ok(LIMIT..) => continue,
                Ok(_) => SCAN_EVERY,
                Err(error) => {
                    warn!(fault = %error, "maintenance waits for the ledger");
                    TROUBLE
                }
            };
            // A shutdown cuts only this wait short, and drops no database future.
            let _ = tokio::time::timeout(pause, shutdown.wait_for(|stop| *stop)).await;
        }
    }

    /// Takes every step once, and returns the largest number of rows that a step took. If the ledger refuses a row, the
    /// other steps go on and the error is returned at the end. If the ledger is away, the scan ends at once.
    pub async fn scan_once(&self, heartbeat: &Heartbeat) -> Result<usize, ledger::Error> {
        let (mut most, mut refused) = (0, None);
        for &step in MaintenanceStep::VARIANTS {
            match self.take(step, heartbeat).await {
                Ok(rows) => most = most.max(rows),
                Err(error @ (ledger::Error::Refused(_) | ledger::Error::Unfit(_))) => refused = refused.or(Some(error)),
                Err(error) => return Err(error),
            }
            heartbeat.turned();
        }
        refused.map_or(Ok(most), Err)
    }

    async fn take(&self, step: MaintenanceStep, heartbeat: &Heartbeat) -> Result<usize, ledger::Error> {
        let (ledger, worker, limit) = (&self.ledger, self.worker.as_str(), LIMIT as i64);
        Ok(match step {
            MaintenanceStep::Rescue if self.no_rescue_before.is_some_and(|before| clock::now() < before) => 0,
            MaintenanceStep::Rescue => {
                let rescued = ledger.requeue_expired(worker, limit).await?;
                for (run_id, state) in &rescued {
                    warn!(run.id = %run_id, run.state = %state, "took a run whose lease had expired");
                }
                rescued.len()
            }
            MaintenanceStep::WithdrawOverdue => {
                let withdrawn = ledger.withdraw_overdue(worker, limit).await?;
                for run_id in &withdrawn {
                    warn!(run.id = %run_id, "the broker did not acknowledge a publication in time");
                }
                withdrawn.len()
            }
            MaintenanceStep::DeferUnanswered => {
                let deferred = ledger.defer_unanswered(worker, limit).await?;
                for run_id in &deferred {
                    warn!(run.id = %run_id, "the registry did not answer a publication in time");
                }
                deferred.len()
            }
            MaintenanceStep::WriteReceipts => {
                let runs = ledger.take_open_receipts(limit).await?;
                for run_id in &runs {
                    match self.write_receipt(run_id).await {
                        // A row that the ledger cannot read back must not hold up the other receipts.
                        Err(ledger::Error::Refused(why) | ledger::Error::Unfit(why)) => {
                            error!(run.id = %run_id, why, "no receipt can be made");
                        }
                        written => written?,
                    }
                    heartbeat.turned();
                }
                runs.len()
            }
        })
    }

    /// Writes the receipt of a publication from the ledger alone. The announcement's coordinates are known only when
    /// the run is PUBLISHED and no worker holds it, so any worker may write the receipt. If the store is away, a scan
    /// tries again after `lease_seconds`.
    async fn write_receipt(&self, run_id: &RunId) -> Result<(), ledger::Error> {
        let announced = self.ledger.announced(run_id).await?;
        let path = RunFolder::new(&announced.platform_run_id, run_id).publish_receipt();
        let receipt = receipt(announced);
        match self.store.put(&path, Bytes::from(document_bytes(&receipt))).await {
            Ok(put) => {
                failpoint("receipt.written")?;
                let at = EvidenceRef { reference: path.to_string(), sha256: put.digest };
                self.ledger.keep_receipt(run_id, &at, &self.worker).await
            }
            Err(drift @ PutError::Drift { .. }) => {
                if let Some(at) = self.earlier_receipt(&path, &receipt).await {
                    warn!(run.id = %run_id, "the receipt names the first announcement of this publication; it is kept");
                    return self.ledger.keep_receipt(run_id, &at, &self.worker).await;
                }
                let failure = Failure::new(FailureCode::PublishReceiptImmutabilityViolation, drift.to_string());
                error!(run.id = %run_id, failure.code = %failure.code, failure.message = %failure.message, "failed");
                self.ledger.refuse_receipt(run_id, &failure, &self.worker).await
            }
            Err(PutError::Store(error)) => {
                warn!(run.id = %run_id, fault = %error, "the receipt of a publication waits for the evidence store");
                Ok(())
            }
        }
    }

    /// Returns the stored receipt, if it is of the same publication and names another record of it; `None` if not, or
    /// if it cannot be read. A ledger that was restored from a backup announces again what it no longer knows to be
    /// announced; the first announcement stands.
    async fn earlier_receipt(&self, path: &EvidencePath, receipt: &PublishReceipt) -> Option<EvidenceRef> {
        const LARGEST: u64 = 64 * 1024;
        let bytes = self.store.find(path, LARGEST).await.ok().flatten()?;
        let earlier: PublishReceipt = serde_json::from_slice(&bytes).ok()?;
        let at = EvidenceRef { reference: path.to_string(), sha256: Digest::of(&bytes) };
        are_of_one_publication(&earlier, receipt).then_some(at)
    }
}

/// Whether two receipts are of one publication, whichever record announced it.
fn are_of_one_publication(one: &PublishReceipt, other: &PublishReceipt) -> bool {
    PublishReceipt { record: other.record.clone(), ..one.clone() } == *other
}

fn receipt(announced: Announced) -> PublishReceipt {
    let Coordinates { topic, partition, offset } = announced.at;
    let sha256 = Digest::of(&announced.value);
    let record = AnnouncedRecord { topic, partition, offset, event_id: announced.event_id, sha256 };
    let confirmed = match announced.confirmed_by {
        Some(registry_event_id) => Confirmation::Registry { registry_event_id },
        None => Confirmation::Broker,
    };
    PublishReceipt::of(announced.publication, record, confirmed)
}

const GAUGES_EVERY: Duration = Duration::from_secs(15);
/// Counting ended runs takes longer as they pile up. Counts begin at least this many times the last duration apart, so
/// that counting takes 1 % of the time at most.
const SHARE: u32 = 100;

/// Sets the gauges of the ledger until `stopped` turns true; every worker sets the same values. While the ledger is
/// away the gauges keep their values, and `model_factory_ledger_surveyed_timestamp_seconds` shows when they were read.
pub(super) async fn run_gauges(ledger: Ledger, mut stopped: watch::Receiver<bool>) {
    let mut since_counted: Option<(Stopwatch, Duration)> = None;
    let mut is_away = false;
    while !*stopped.borrow() {
        let turn = Stopwatch::start();
        let count_ended = since_counted.as_ref().is_none_or(|(since, pause)| since.elapsed() >= *pause);
        let mut outcome = read_standing(&ledger).await;
        if outcome.is_ok() && count_ended {
            let counting = Stopwatch::start();
            let ended = ledger.ended().await;
            outcome =
                ended.map(|runs| runs.into_iter().for_each(|(state, count)| metrics::RUNS.set(state, count as f64)));
            let pause = counting.elapsed() * SHARE;
            since_counted = Some((counting, pause));
        }
        match outcome {
            Ok(()) if std::mem::take(&mut is_away) => info!("the ledger's gauges are read again"),
            Ok(()) => {}
            // The first failure was logged; the timestamp shows how old the gauges are.
            Err(_) if is_away => {}
            Err(error) => {
                is_away = true;
                warn!(fault = %error, "the ledger's gauges stand still");
            }
        }
        let pause = GAUGES_EVERY.saturating_sub(turn.elapsed());
        // A shutdown cuts only this wait short, and drops no database future.
        let _ = tokio::time::timeout(pause, stopped.wait_for(|stop| *stop)).await;
    }
    ledger.close().await;
}

async fn read_standing(ledger: &Ledger) -> Result<(), ledger::Error> {
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
    for (kind, records) in standing.set_aside {
        metrics::OUTBOX_SET_ASIDE.set(kind, records as f64);
    }
    metrics::LEDGER_SURVEYED.set((), standing.read_at);
    Ok(())
}
