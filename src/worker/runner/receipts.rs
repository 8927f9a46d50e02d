//! Receipts of publications. Where a bundle was announced is known only when its run is PUBLISHED and nobody
//! holds it any more, so the next turn of any worker writes the receipt.
//!
//! Guarantees: the content follows from the ledger alone, so that every worker writes the same bytes. Never:
//! changes what was published, or keeps a worker from its other work.

use super::Runner;
use crate::adapters::evidence::{PutError, RunFolder};
use crate::adapters::ledger::{self, Announced, Coordinates};
use crate::domain::contract::EvidenceRef;
use crate::domain::identity::{Digest, RunId, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::failpoints::failpoint;
use crate::modelling::{AnnouncedRecord, Confirmation, PublishReceipt};
use bytes::Bytes;
use tracing::{error, warn};

impl Runner {
    /// Writes up to `limit` receipts that are missing. One that cannot be written now is tried again when the
    /// length of a lease has passed.
    pub(super) async fn write_receipts(&self, limit: i64) -> Result<(), ledger::Error> {
        for run_id in self.ledger.take_open_receipts(limit).await? {
            match self.write_receipt(&run_id).await {
                // One row that does not read back holds up nobody else's.
                Err(ledger::Error::Refused(why)) => error!(run.id = %run_id, why, "no receipt can be made"),
                written => written?,
            }
        }
        Ok(())
    }

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
