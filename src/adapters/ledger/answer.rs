//! What the registry says about a bundle that was announced to it.
//!
//! An event of the registry is applied once, by its id, in one transaction with the step that it leads to.
//! It may come before the relay has marked the announcement as sent: then it is remembered, and the mark
//! makes the run PUBLISHED. It may come while a worker is about to announce the bundle once more: then
//! that worker loses its lease. Never: believes an event about a bundle that was not announced.

use super::advance::now;
use super::audit_log::Cause;
use super::rows::{Additions, LockedRun, select_run, unreadable};
use super::{Error, Ledger};
use crate::domain::contract::{
    ActKind, ActReason, ActSubject, Actor, ActorKind, BundlePublication, EventReason, RegistryEvent, RegistryVerdict,
};
use crate::domain::identity::RunId;
use crate::domain::run::{FailureCode, RegistryReply, State, Transition};
use crate::failpoints::failpoint;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

impl Ledger {
    /// Applies an event, which may come any number of times.
    pub async fn answer(
        &self,
        event: &RegistryEvent,
        verdict: RegistryVerdict,
        worker: &str,
    ) -> Result<RegistryReply, Error> {
        let Some(run_id) = run_of(&event.bundle_ref) else { return Ok(RegistryReply::Unknown) };
        let mut transaction = self.pool.begin().await?;
        // The announcements before the run, as the relay locks them when it marks one as sent.
        if !was_announced(&mut transaction, &run_id, event).await? {
            transaction.rollback().await?;
            return Ok(RegistryReply::Unknown);
        }
        let row = sqlx::query(select_run!("WHERE r.run_id = $1 FOR UPDATE OF r"))
            .bind(run_id.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        let mut run = LockedRun::read(&row)?;
        if !keep(&mut transaction, &run_id, event).await? {
            transaction.rollback().await?;
            return Ok(RegistryReply::Repeated);
        }
        let at = now(&mut transaction).await?;
        let mut additions = self.additions().because(cause(event));
        let reply = match verdict {
            RegistryVerdict::Published => {
                confirm(&mut transaction, &mut run, event, at, worker, &mut additions).await?
            }
            RegistryVerdict::Rejected => {
                self.reject(&mut transaction, &mut run, event, at, worker, &mut additions).await?
            }
        };
        if reply != RegistryReply::Late {
            run.store(&mut transaction, run.fence, None).await?;
            additions.store(&mut transaction, worker).await?;
        }
        let act = additions.act(ActKind::RegistryAnswered, Some(&run), worker);
        act.reason = Some(ActReason::said(&format!("{}: {}", reply.as_str(), event.sentence())));
        failpoint("answer.taken")?;
        additions.commit(transaction, worker, Some("answer.committed")).await?;
        Ok(reply)
    }

    /// Whoever is about to announce the bundle once more is stopped; an operator may ask for it again.
    async fn reject(
        &self,
        connection: &mut PgConnection,
        run: &mut LockedRun,
        event: &RegistryEvent,
        at: DateTime<Utc>,
        worker: &str,
        additions: &mut Additions,
    ) -> Result<RegistryReply, Error> {
        if run.confirmed_by.is_some() || !awaits(run) {
            return Ok(RegistryReply::Late);
        }
        withdraw_unsent(connection, &run.run_id).await?;
        let reason = EventReason::new(FailureCode::PublishRejected, event.sentence());
        self.defer_publish(run, reason, at, worker, additions).map_err(|error| Error::Refused(error.to_string()))?;
        Ok(RegistryReply::Rejected)
    }
}

async fn confirm(
    connection: &mut PgConnection,
    run: &mut LockedRun,
    event: &RegistryEvent,
    at: DateTime<Utc>,
    worker: &str,
    additions: &mut Additions,
) -> Result<RegistryReply, Error> {
    if !awaits(run) {
        return Ok(RegistryReply::Late);
    }
    run.confirmed_by = Some(event.registry_event_id.clone());
    if run.published.is_some() {
        withdraw_unsent(connection, &run.run_id).await?;
        run.step(Transition::Publish, None, at, worker, additions)
            .map_err(|error| Error::Refused(error.to_string()))?;
        return Ok(RegistryReply::Published);
    }
    if run.state == State::PublishPending && !is_being_sent(connection, &run.run_id).await? {
        // Withdrawn before it was marked: announced once more, it gets its coordinates.
        run.reason = None;
        run.available_at = at;
    }
    Ok(RegistryReply::Remembered)
}

/// Whether the run's publication is still open.
fn awaits(run: &LockedRun) -> bool {
    match run.state {
        State::PublishPending => true,
        State::Running => crate::domain::run::apply(run.state, run.mode, Transition::Publish).is_ok(),
        State::Queued | State::EvalReady | State::Pass | State::Fail | State::Published => false,
    }
}

/// At most this many of the references of an event are told as evidence.
const TOLD_REFERENCES: usize = 16;

fn cause(event: &RegistryEvent) -> Cause {
    let subject = ActSubject { registry_event_id: Some(event.registry_event_id.clone()), ..ActSubject::default() };
    let references = event.evidence_refs.iter().take(TOLD_REFERENCES).enumerate();
    let evidence = references.map(|(number, at)| (format!("registry_{}", number + 1), at.clone())).collect();
    Cause { actor: Actor::new(ActorKind::Registry, event.actor.as_str()), subject, evidence }
}

/// Bundles stand in the folder of their run.
fn run_of(bundle_ref: &str) -> Option<RunId> {
    bundle_ref.rsplit('/').find_map(|segment| segment.parse().ok())
}

/// Whether a bundle with this reference and scope was ever put into the outbox for this run. Locks what was.
async fn was_announced(connection: &mut PgConnection, run_id: &RunId, event: &RegistryEvent) -> Result<bool, Error> {
    let rows =
        sqlx::query("SELECT value FROM outbox WHERE stream = $1 AND kind = 'PUBLICATION' ORDER BY id FOR UPDATE")
            .bind(run_id.as_str())
            .fetch_all(connection)
            .await?;
    for row in rows {
        let publication: BundlePublication =
            serde_json::from_slice(row.try_get(0)?).map_err(|error| unreadable("publication", error))?;
        if publication.bundle_ref == event.bundle_ref && publication.scope_key == event.scope_key {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Keeps the event; false where its id is there already.
async fn keep(connection: &mut PgConnection, run_id: &RunId, event: &RegistryEvent) -> Result<bool, Error> {
    let body = serde_json::to_value(event).map_err(|error| unreadable("registry event", error))?;
    let done = sqlx::query(
        "INSERT INTO registry_events (registry_event_id, run_id, event_type, event, received_at)
         VALUES ($1, $2, $3, $4, now()) ON CONFLICT DO NOTHING",
    )
    .bind(&event.registry_event_id)
    .bind(run_id.as_str())
    .bind(&event.event_type)
    .bind(body)
    .execute(connection)
    .await?;
    Ok(done.rows_affected() == 1)
}

async fn is_being_sent(connection: &mut PgConnection, run_id: &RunId) -> Result<bool, Error> {
    let row = sqlx::query(
        "SELECT EXISTS (SELECT FROM outbox WHERE stream = $1 AND kind = 'PUBLICATION' AND sent_at IS NULL
                                             AND withdrawn_at IS NULL)",
    )
    .bind(run_id.as_str())
    .fetch_one(connection)
    .await?;
    Ok(row.try_get(0)?)
}

async fn withdraw_unsent(connection: &mut PgConnection, run_id: &RunId) -> Result<(), Error> {
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
