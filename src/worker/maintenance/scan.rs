//! The loop over rows that wait for anybody: rescue, overdue publications, silent registry, missing receipts.

use super::receipts::ReceiptWriter;
use crate::adapters::evidence::EvidenceStore;
use crate::adapters::ledger::{self, Ledger};
use crate::worker::liveness::Heartbeat;
use std::time::Duration;
use tokio::sync::watch;
use tracing::warn;

/// Pause between two scans.
const SCAN_EVERY: Duration = Duration::from_millis(250);
/// Pause after a scan that the ledger refused or did not answer.
const TROUBLE: Duration = Duration::from_secs(2);
/// Rows that one step takes in one scan at the most.
const LIMIT: usize = 16;

pub struct Maintenance {
    ledger: Ledger,
    store: EvidenceStore,
    worker: String,
    heartbeat: Heartbeat,
}

#[derive(Debug, Clone, Copy)]
enum MaintenanceStep {
    Rescue,
    WithdrawOverdue,
    DeferUnanswered,
    WriteReceipts,
}

impl MaintenanceStep {
    const ALL: [Self; 4] = [Self::Rescue, Self::WithdrawOverdue, Self::DeferUnanswered, Self::WriteReceipts];
}

impl Maintenance {
    /// `worker` is the name that stands in transitions and the audit log.
    pub fn new(ledger: Ledger, store: EvidenceStore, worker: String) -> Self {
        Self { ledger, store, worker, heartbeat: Heartbeat::default() }
    }

    #[must_use]
    pub fn watched(self, heartbeat: Heartbeat) -> Self {
        Self { heartbeat, ..self }
    }

    /// Scans until `shutdown` turns true.
    pub async fn run(self, mut shutdown: watch::Receiver<bool>) {
        while !*shutdown.borrow() {
            self.heartbeat.turned();
            let pause = match self.scan_once().await {
                // A step that took all that it may has more to do.
                Ok(LIMIT..) => continue,
                Ok(_) => SCAN_EVERY,
                Err(error) => {
                    warn!(fault = %error, "maintenance waits for the ledger");
                    TROUBLE
                }
            };
            // Only the wait is cut short: a database future must never be.
            let _ = tokio::time::timeout(pause, shutdown.wait_for(|stop| *stop)).await;
        }
    }

    /// Takes every step once, and gives the most rows that one of them took. A step whose row the ledger refuses does
    /// not hold up the others; its error comes in the end. A ledger that is away ends the scan.
    pub async fn scan_once(&self) -> Result<usize, ledger::Error> {
        let (mut most, mut refused) = (0, None);
        for step in MaintenanceStep::ALL {
            match self.take(step).await {
                Ok(rows) => most = most.max(rows),
                Err(error @ ledger::Error::Refused(_)) => refused = refused.or(Some(error)),
                Err(error) => return Err(error),
            }
            self.heartbeat.turned();
        }
        refused.map_or(Ok(most), Err)
    }

    async fn take(&self, step: MaintenanceStep) -> Result<usize, ledger::Error> {
        let (ledger, worker, limit) = (&self.ledger, self.worker.as_str(), LIMIT as i64);
        Ok(match step {
            MaintenanceStep::Rescue => {
                let rescued = ledger.requeue_expired(worker, limit).await?;
                for (run_id, state) in &rescued {
                    warn!(run.id = %run_id, run.state = %state, "took a run from a worker that was lost");
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
                let writer = ReceiptWriter { ledger, store: &self.store, worker, heartbeat: &self.heartbeat };
                writer.write_missing(limit).await?
            }
        })
    }
}
