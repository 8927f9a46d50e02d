//! Admission: one transaction for a whole batch of records, one outcome for each, for ever.
//!
//! Guarantees: a record that was decided before keeps its outcome and writes nothing. Two workers that bring the same
//! keys, or after a rebalance the same records, wait for each other; the order of their locks is that of
//! [the ledger's page](super).

mod arrival;
mod batch;
mod decide;
mod deduplicate;
mod quota;
mod store;

pub use arrival::Arrival;

use super::connection::Ledger;
use super::error::Error;
use super::record::Coordinates;
use crate::domain::run::Outcome;
use crate::failpoints::failpoint;
use crate::telemetry::metrics;
use batch::Admission;
use deduplicate::outcomes_at;

impl Ledger {
    /// The outcomes of records that were decided before. They stand for ever, so that no transaction is needed to ask
    /// for them, and a record that has one need not be parsed.
    pub async fn recall(&self, records: &[Coordinates]) -> Result<Vec<Option<Outcome>>, Error> {
        let mut connection = self.pool.acquire().await?;
        outcomes_at(&mut connection, &records.iter().collect::<Vec<_>>()).await
    }

    /// Decides what becomes of each record. After any error the same batch may be brought again.
    pub async fn admit(&self, batch: &[Arrival], worker: &str) -> Result<Vec<Outcome>, Error> {
        let transaction = self.begin(worker).await?;
        failpoint("admit.begun")?;
        let mut admission = Admission::new(transaction, batch);
        admission.lock_partitions().await?;
        admission.recall().await?;
        let fresh = admission.undecided();
        if !fresh.is_empty() {
            admission.refuse_over_quota(&fresh).await?;
            let within_quota = admission.undecided();
            admission.find_or_insert_requests(&within_quota).await?;
            admission.read_contradicted(&within_quota).await?;
            admission.find_or_insert_runs(&within_quota).await?;
            for &index in &within_quota {
                admission.decide(index);
            }
            admission.store(&fresh).await?;
        }
        let Admission { transaction, outcomes, .. } = admission;
        transaction.commit(Some("admit.inserted"), Some("admit.committed")).await?;
        let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("every record was decided")).collect();
        for index in fresh {
            count(&outcomes[index]);
        }
        Ok(outcomes)
    }
}

/// Counts an outcome, and its dead letter where there is one. Call it when the COMMIT is acknowledged.
fn count(outcome: &Outcome) {
    metrics::REQUESTS.count(outcome.kind());
    if let Some(code) = outcome.code() {
        metrics::DEAD_LETTERS.count(code);
    }
}
