//! Applies the registry's replies about announced bundles.
//!
//! The ledger applies an event of the registry once, by the event's id, in one transaction with the step that it
//! causes. If the event arrives before the relay has marked the announcement as sent, the ledger remembers the event,
//! and the mark makes the run PUBLISHED. If it arrives while a worker is about to announce the bundle again, that
//! worker loses its lease. Never: applies an event about a bundle that was not announced.

use super::effects::Cause;
use super::error::unreadable;
use super::row::LockedRun;
use super::transaction::Transaction;
use super::{Error, Ledger};
use crate::adapters::ledger::session::Session;
use crate::domain::contract::{
    ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, BundlePublication, EventReason, RegistryEvent,
    RegistryVerdict,
};
use crate::domain::identity::RunId;
use crate::domain::run::{FailureCode, RegistryReply, State, Transition, apply};
use sqlx::types::Json;

impl Ledger {
    /// Applies an event of the registry. Applying the same event again changes nothing.
    pub async fn apply_registry_reply(
        &self,
        event: &RegistryEvent,
        verdict: RegistryVerdict,
        worker: &str,
    ) -> Result<RegistryReply, Error> {
        let Some(run_id) = run_of(&event.bundle_ref) else { return Ok(RegistryReply::Unknown) };
        let mut transaction = self.begin(worker).await?;
        // Locks the announcements before the run, in the same order as the relay when it marks an announcement as sent.
        if !was_announced(transaction.connection(), &run_id, event).await? {
            transaction.rollback().await?;
            return Ok(RegistryReply::Unknown);
        }
        let mut run = transaction.lock_named(run_id.as_str()).await?;
        if !insert_event(transaction.connection(), &run_id, event).await? {
            transaction.rollback().await?;
            return Ok(RegistryReply::Repeated);
        }
        transaction.effects.cause = Some(cause(event));
        let outcome = match verdict {
            RegistryVerdict::Published => transaction.confirm(&mut run, event).await?,
            RegistryVerdict::Rejected => transaction.reject(&mut run, event).await?,
        };
        if outcome != RegistryReply::Late {
            transaction.save(&run).await??;
        }
        let act = transaction.append(ActKind::RegistryAnswered, Some(&run));
        act.reason = Some(ActReason::said(&format!("{}: {}", outcome.as_str(), event.sentence())));
        transaction.commit(Some("answer.taken"), Some("answer.committed")).await?;
        Ok(outcome)
    }
}

impl Transaction<'_> {
    async fn confirm(&mut self, run: &mut LockedRun, event: &RegistryEvent) -> Result<RegistryReply, Error> {
        if !is_open(run) {
            return Ok(RegistryReply::Late);
        }
        run.confirmed_by = Some(event.registry_event_id.clone());
        if run.published.is_some() {
            withdraw_unsent(self.connection(), &run.run_id).await?;
            self.step(run, Transition::Publish, None)?;
            return Ok(RegistryReply::Published);
        }
        if run.state == State::PublishPending && !is_being_sent(self.connection(), &run.run_id).await? {
            // The publication was withdrawn before it was marked as sent, so it has no coordinates. Announced again, it
            // gets coordinates.
            run.clear_reason();
            run.available_at = self.at;
        }
        Ok(RegistryReply::Remembered)
    }

    /// Stores that the registry rejected the bundle. Takes the run from a worker that is about to announce the bundle
    /// again. An operator may ask for another announcement.
    async fn reject(&mut self, run: &mut LockedRun, event: &RegistryEvent) -> Result<RegistryReply, Error> {
        if run.confirmed_by.is_some() || !is_open(run) {
            return Ok(RegistryReply::Late);
        }
        withdraw_unsent(self.connection(), &run.run_id).await?;
        self.defer_publish(run, EventReason::new(FailureCode::PublishRejected, event.sentence()))?;
        Ok(RegistryReply::Rejected)
    }
}

fn is_open(run: &LockedRun) -> bool {
    apply(run.state, run.mode, Transition::Publish).is_ok()
}

fn cause(event: &RegistryEvent) -> Cause {
    /// The audit log takes at most this many references of an event.
    const EVIDENCE_REFS: usize = 16;
    let subject = ActSubject { registry_event_id: Some(event.registry_event_id.clone()), ..ActSubject::default() };
    let references = event.evidence_refs.iter().take(EVIDENCE_REFS).enumerate();
    let evidence =
        references.map(|(number, at)| (format!("{}{}", AuditAct::OF_REGISTRY, number + 1), at.clone())).collect();
    Cause { actor: Actor::new(ActorKind::Registry, event.actor.as_str()), subject, evidence }
}

/// Reads the run id from the path of a bundle, which is stored in the folder of its run. `None` if no part of the path
/// is a run id.
fn run_of(bundle_ref: &str) -> Option<RunId> {
    bundle_ref.rsplit('/').find_map(|segment| segment.parse().ok())
}

/// Returns whether the outbox ever held a publication of this bundle for this run and scope. Locks the run's
/// publications.
async fn was_announced(connection: &mut Session, run_id: &RunId, event: &RegistryEvent) -> Result<bool, Error> {
    let values: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT value FROM outbox WHERE stream = $1 AND kind = 'PUBLICATION' ORDER BY id FOR UPDATE",
    )
    .bind(run_id.as_str())
    .fetch_all(connection)
    .await?;
    for value in values {
        let publication: BundlePublication =
            serde_json::from_slice(&value).map_err(|error| unreadable("publication", error))?;
        if publication.bundle_ref == event.bundle_ref && publication.scope_key == event.scope_key {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Inserts the event. Returns false if an event with this id was inserted before.
async fn insert_event(connection: &mut Session, run_id: &RunId, event: &RegistryEvent) -> Result<bool, Error> {
    let done = sqlx::query(
        "INSERT INTO registry_events (registry_event_id, run_id, event_type, event, received_at)
         VALUES ($1, $2, $3, $4, now()) ON CONFLICT DO NOTHING",
    )
    .bind(&event.registry_event_id)
    .bind(run_id.as_str())
    .bind(&event.event_type)
    .bind(Json(event))
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn is_being_sent(connection: &mut Session, run_id: &RunId) -> Result<bool, Error> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM outbox WHERE stream = $1 AND kind = 'PUBLICATION' AND sent_at IS NULL
                                             AND withdrawn_at IS NULL)",
    )
    .bind(run_id.as_str())
    .fetch_one(connection)
    .await?)
}

async fn withdraw_unsent(connection: &mut Session, run_id: &RunId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE outbox SET withdrawn_at = now()
         WHERE stream = $1 AND kind = 'PUBLICATION' AND sent_at IS NULL AND withdrawn_at IS NULL",
    )
    .bind(run_id.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_names_its_run() {
        let run = "tr_16a2ad9c3ad29e2e989ece1cb3c61936";
        assert_eq!(run_of(&format!("p/mf/train_runs/{run}/bundle")).unwrap().as_str(), run);
        assert_eq!(run_of(&format!("p/mf/train_runs/{run}/bundle/")).unwrap().as_str(), run);
        assert_eq!(run_of("somebody/else's/bundle"), None);
    }
}
