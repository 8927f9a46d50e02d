//! Receipts of publications. Where a bundle was announced is known only when its run is PUBLISHED and nobody
//! holds it any more, so the next turn of any worker writes the receipt.
//!
//! Guarantees: the content follows from the ledger alone, so that every worker writes the same bytes. Never:
//! changes what was published, or keeps a worker from its other work.

use super::Runner;
use crate::contract::EvidenceRef;
use crate::evidence::{PutFault, RunFolder};
use crate::faults::reach;
use crate::identity::{Digest, RunId, document_bytes};
use crate::ledger::{self, Announced, Coordinates};
use crate::pipeline::{AnnouncedRecord, Confirmation, PublishReceipt};
use crate::run::{Failure, FailureCode};
use bytes::Bytes;
use tracing::{error, warn};

impl Runner {
    /// Writes up to `limit` receipts that are missing. One that cannot be written now is tried again when the
    /// length of a lease has passed.
    pub(super) async fn write_receipts(&self, limit: i64) -> Result<(), ledger::Fault> {
        for run_id in self.ledger.take_open_receipts(limit).await? {
            match self.write_receipt(&run_id).await {
                // One row that does not read back holds up nobody else's.
                Err(ledger::Fault::Refused(why)) => error!(run.id = %run_id, why, "no receipt can be made"),
                written => written?,
            }
        }
        Ok(())
    }

    async fn write_receipt(&self, run_id: &RunId) -> Result<(), ledger::Fault> {
        let announced = self.ledger.announced(run_id).await?;
        let path = RunFolder::new(&announced.platform_run_id, run_id).publish_receipt();
        let receipt = receipt(announced);
        match self.store.put(&path, Bytes::from(document_bytes(&receipt))).await {
            Ok(put) => {
                reach("receipt.written")?;
                let at = EvidenceRef { reference: path.to_string(), sha256: put.digest };
                self.ledger.keep_receipt(run_id, &at, &self.worker).await
            }
            Err(drift @ PutFault::Drift { .. }) => {
                let failure = Failure::new(FailureCode::PublishReceiptImmutabilityViolation, drift.to_string());
                error!(run.id = %run_id, failure.code = %failure.code, failure.message = %failure.message, "failed");
                self.ledger.refuse_receipt(run_id, &failure, &self.worker).await
            }
            Err(PutFault::Store(fault)) => {
                warn!(run.id = %run_id, %fault, "the receipt of a publication waits for the evidence store");
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
