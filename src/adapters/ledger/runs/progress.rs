//! What a worker reports of a run while it works on it: progress, and the datasets that lineage gets.

use super::held::{Guarded, Lease};
use crate::adapters::ledger::error::unreadable;
use crate::adapters::ledger::outbox::{DatasetsKnown, NewEvent};
use crate::adapters::ledger::transaction::Precondition;
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::{EventProgress, EventType};
use crate::modelling::lineage::DatasetIo;

impl Ledger {
    /// Stores how far the trainer is, with a `run.progress` event where `emit` says so. Returns whether it was stored:
    /// not where the lease is lost, nor where somebody else has locked the row. Never waits for a lock: the next report
    /// comes soon enough.
    pub async fn report_progress(&self, lease: &Lease, progress: &EventProgress, emit: bool) -> Result<bool, Error> {
        let mut transaction = self.begin(&lease.worker).await?;
        let held = Precondition::HeldAndFree { fence: lease.fence, owner: &lease.worker };
        let Some(mut run) = transaction.lock(lease.run_id.as_str(), held).await? else {
            transaction.rollback().await?;
            return Ok(false);
        };
        if emit {
            let event = NewEvent { progress: Some(progress.clone()), ..NewEvent::of(EventType::RunProgress, None) };
            transaction.emit(&mut run, event);
        }
        sqlx::query("UPDATE runs SET progress = $2, next_seq = $3, updated_at = now() WHERE run_id = $1")
            .bind(lease.run_id.as_str())
            .bind(serde_json::to_value(progress).map_err(|error| unreadable("progress", error))?)
            .bind(run.next_seq)
            .execute(transaction.connection())
            .await?;
        transaction.commit(None, None).await?;
        Ok(true)
    }

    /// Emits the datasets that are known by now. Emits nothing where lineage is off, has this event already, or has no
    /// START of the run. [`Guarded::Lost`] where the lease is.
    pub async fn emit_lineage(
        &self,
        lease: &Lease,
        known: DatasetsKnown,
        datasets: DatasetIo,
    ) -> Result<Guarded, Error> {
        let mut transaction = self.begin(&lease.worker).await?;
        let held = Precondition::Held { fence: lease.fence, owner: &lease.worker };
        let Some(run) = transaction.lock(lease.run_id.as_str(), held).await? else {
            transaction.rollback().await?;
            return Ok(Guarded::Lost);
        };
        let at = transaction.at;
        transaction.effects.lineage.emit_datasets(&run, known, datasets, at);
        transaction.commit(Some("lineage.told"), None).await?;
        Ok(Guarded::Won(run.state))
    }
}
