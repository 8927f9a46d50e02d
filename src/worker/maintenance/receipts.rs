//! Receipts of publications. Where a bundle was announced is known only when its run is PUBLISHED and nobody holds it
//! any more, so maintenance of any worker with the runner role writes the receipt.
//!
//! Guarantees: the content follows from the ledger alone, so that every worker writes the same bytes. Never: changes
//! what was published.

use crate::adapters::evidence::{EvidenceStore, PutError, RunFolder};
use crate::adapters::ledger::{self, Announced, Coordinates, Ledger};
use crate::domain::contract::{AnnouncedRecord, Confirmation, EvidenceRef, PublishReceipt};
use crate::domain::identity::{Digest, RunId, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::failpoints::failpoint;
use crate::worker::liveness::Heartbeat;
use bytes::Bytes;
use tracing::{error, warn};

pub(super) struct ReceiptWriter<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) store: &'a EvidenceStore,
    pub(super) worker: &'a str,
    pub(super) heartbeat: &'a Heartbeat,
}

impl ReceiptWriter<'_> {
    /// Writes up to `limit` receipts that are missing, and gives the number of runs that it looked at. One that cannot
    /// be written now is tried again after the length of a lease.
    pub(super) async fn write_missing(&self, limit: i64) -> Result<usize, ledger::Error> {
        let runs = self.ledger.take_open_receipts(limit).await?;
        for run_id in &runs {
            match self.write(run_id).await {
                // A row that does not read back holds up no other.
                Err(ledger::Error::Refused(why)) => error!(run.id = %run_id, why, "no receipt can be made"),
                written => written?,
            }
            self.heartbeat.turned();
        }
        Ok(runs.len())
    }

    async fn write(&self, run_id: &RunId) -> Result<(), ledger::Error> {
        let announced = self.ledger.announced(run_id).await?;
        let path = RunFolder::new(&announced.platform_run_id, run_id).publish_receipt();
        let receipt = receipt(announced);
        match self.store.put(&path, Bytes::from(document_bytes(&receipt))).await {
            Ok(put) => {
                failpoint("receipt.written")?;
                let at = EvidenceRef { reference: path.to_string(), sha256: put.digest };
                self.ledger.keep_receipt(run_id, &at, self.worker).await
            }
            Err(drift @ PutError::Drift { .. }) => {
                let failure = Failure::new(FailureCode::PublishReceiptImmutabilityViolation, drift.to_string());
                error!(run.id = %run_id, failure.code = %failure.code, failure.message = %failure.message, "failed");
                self.ledger.refuse_receipt(run_id, &failure, self.worker).await
            }
            Err(PutError::Store(error)) => {
                warn!(run.id = %run_id, fault = %error, "the receipt of a publication waits for the evidence store");
                Ok(())
            }
        }
    }
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
