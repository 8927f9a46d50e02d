//! What a transaction writes besides the rows that it changes.

use super::error::Error;
use super::outbox::{LineageEffects, OutboxDraft, insert_lineage, insert_outbox};
use crate::adapters::ledger::session::Session;
use crate::domain::contract::{ActSubject, Actor, AuditAct, EventReason, EventRefs, StateChange};
use crate::domain::identity::RunId;
use crate::domain::run::{FailureCode, Transition};
use crate::telemetry::metrics::{self, Requeued, RunEnd};

#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) transitions: Vec<TransitionDraft>,
    pub(super) commands: Vec<CommandDraft>,
    pub(super) outbox: Vec<OutboxDraft>,
    pub(super) lineage: LineageEffects,
    pub(super) acts: Vec<AuditAct>,
    /// Who caused the acts that are appended next. `None` if the worker acts without being asked.
    pub(super) cause: Option<Cause>,
}

/// A row of the table `transitions`. `change` holds the number of the event that reports the step.
#[derive(Debug)]
pub(super) struct TransitionDraft {
    pub(super) run_id: RunId,
    pub(super) change: StateChange,
    pub(super) reason: Option<EventReason>,
}

/// A row of the table `acts`: a command of a requester or operator.
#[derive(Debug)]
pub(super) struct CommandDraft {
    pub(super) run_id: RunId,
    pub(super) act: &'static str,
    pub(super) actor: String,
    pub(super) reason: String,
    pub(super) refused: Option<FailureCode>,
}

/// Who caused an act, and by which record or event.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    pub(super) actor: Actor,
    pub(super) subject: ActSubject,
    pub(super) evidence: EventRefs,
}

impl Cause {
    pub(super) fn of(actor: Actor) -> Self {
        Self { actor, subject: ActSubject::default(), evidence: EventRefs::new() }
    }
}

impl Effects {
    /// Inserts everything but the audit log's acts, with one statement for each table.
    pub(super) async fn insert(&self, connection: &mut Session, worker: &str) -> Result<(), Error> {
        insert_transitions(connection, &self.transitions, worker).await?;
        insert_commands(connection, &self.commands).await?;
        insert_outbox(connection, &self.outbox).await?;
        insert_lineage(connection, self.lineage.drafts()).await
    }

    /// Adds the runs' steps to the metrics. Must be called after the COMMIT is acknowledged, so that no step is counted
    /// twice. If the worker dies before, the steps are not counted.
    pub(super) fn count(&self) {
        for TransitionDraft { change, reason, .. } in &self.transitions {
            let code = reason.as_ref().map(|reason| reason.code);
            // As in the event `publish.exhausted`: no worker tries again until a person asks.
            let is_parked = reason.as_ref().is_some_and(|reason| !reason.retryable);
            match (change.transition, code) {
                (Transition::PassGate, _) => metrics::RUNS_ENDED.count(RunEnd::Passed),
                (Transition::Publish, _) => metrics::RUNS_ENDED.count(RunEnd::Published),
                (Transition::Fail | Transition::FailGate | Transition::Cancel, Some(code)) => {
                    metrics::RUNS_ENDED.count(RunEnd::Failed(code));
                }
                (Transition::Requeue, code) => metrics::RUNS_REQUEUED.count(Requeued(code)),
                (Transition::StartPublish, _) => metrics::PUBLISH_RETRIES.count(()),
                (Transition::DeferPublish, _) if is_parked => metrics::PUBLISH_EXHAUSTED.count(()),
                _ => {}
            }
        }
    }
}

async fn insert_transitions(connection: &mut Session, drafts: &[TransitionDraft], worker: &str) -> Result<(), Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    let changes = || drafts.iter().map(|draft| &draft.change);
    let reasons = || drafts.iter().map(|draft| draft.reason.as_ref());
    sqlx::query(
        "INSERT INTO transitions (run_id, seq, transition, from_state, to_state, execution_mode, attempt, fence,
                                  reason_code, reason_message, worker, at)
         SELECT t.run_id, t.seq, t.transition, t.from_state::run_state, t.to_state::run_state,
                t.mode::execution_mode, t.attempt, t.fence, t.code, t.message, $11, now()
         FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[],
                     $8::bigint[], $9::text[], $10::text[])
              AS t (run_id, seq, transition, from_state, to_state, mode, attempt, fence, code, message)",
    )
    .bind(drafts.iter().map(|draft| draft.run_id.as_str()).collect::<Vec<_>>())
    .bind(changes().map(|change| change.seq).collect::<Vec<_>>())
    .bind(changes().map(|change| change.transition.as_str()).collect::<Vec<_>>())
    .bind(changes().map(|change| change.from.as_str()).collect::<Vec<_>>())
    .bind(changes().map(|change| change.to.as_str()).collect::<Vec<_>>())
    .bind(changes().map(|change| change.execution_mode.as_str()).collect::<Vec<_>>())
    .bind(changes().map(|change| change.attempt).collect::<Vec<_>>())
    .bind(changes().map(|change| change.fence).collect::<Vec<_>>())
    .bind(reasons().map(|reason| reason.map(|reason| reason.code.as_str())).collect::<Vec<_>>())
    .bind(reasons().map(|reason| reason.map(|reason| reason.message.as_str())).collect::<Vec<_>>())
    .bind(worker)
    .execute(connection)
    .await?;
    Ok(())
}

/// Inserts rows in the order of `drafts`.
async fn insert_commands(connection: &mut Session, drafts: &[CommandDraft]) -> Result<(), Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO acts (run_id, act, actor, reason, refused_code, at)
         SELECT a.run_id, a.act, a.actor, a.reason, a.refused, now()
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
              WITH ORDINALITY AS a (run_id, act, actor, reason, refused, line)
         ORDER BY a.line",
    )
    .bind(drafts.iter().map(|draft| draft.run_id.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| draft.act).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| draft.actor.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| draft.reason.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|draft| draft.refused.map(FailureCode::as_str)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
