//! Run rows under lock: read, changed in memory by the one transition function, written back guarded.

use super::Error;
use super::audit_log::Cause;
use super::control::{ActDraft, store_acts};
use super::error::{commit_fault, committed};
use super::events::{NewEvent, OutboxDraft, lifecycle_draft};
use super::lineage::{LineageDraft, store_lineage};
use crate::domain::contract::{
    AuditAct, EventReason, EventRefs, EventType, StateChange, TrainBuildRequest, parse_accepted,
};
use crate::domain::identity::{Digest, RunId, RunKey};
use crate::domain::run::{ExecutionMode, FailureCode, State, Transition, apply};
use crate::modelling::lineage::{DatasetIo, EventWriter};
use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, Row, Transaction};
use std::sync::Arc;

/// A run's row while its lock is held.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LockedRun {
    pub(super) run_id: RunId,
    pub(super) run_key: RunKey,
    pub(super) request: Arc<TrainBuildRequest>,
    pub(super) state: State,
    pub(super) mode: ExecutionMode,
    pub(super) publish_allowed: bool,
    pub(super) full_run_attempts: i32,
    pub(super) publish_retry_attempts: i32,
    pub(super) full_attempts_before: i32,
    pub(super) publish_attempts_before: i32,
    pub(super) priority: i16,
    pub(super) fence: i64,
    pub(super) lease_owner: Option<String>,
    pub(super) cancel_requested: bool,
    pub(super) available_at: DateTime<Utc>,
    pub(super) reason: Option<(String, String)>,
    pub(super) refs: EventRefs,
    pub(super) next_seq: i64,
    pub(super) traceparent: Option<String>,
    pub(super) tracestate: Option<String>,
    /// Where the broker acknowledged the announcement.
    pub(super) published: Option<(String, i32, i64)>,
    /// Until when the registry may take to answer; none where nobody waits for it.
    pub(super) answer_due_at: Option<DateTime<Utc>>,
    /// The event by which the registry confirmed the bundle.
    pub(super) confirmed_by: Option<String>,
    /// The number of the event with which OpenLineage was told that it began; none where it was not, or ended.
    pub(super) lineage_since: Option<i64>,
}

/// A transition to be stored beside the event that tells it.
#[derive(Debug)]
pub(super) struct TransitionDraft {
    pub(super) run_id: RunId,
    pub(super) seq: i64,
    pub(super) transition: Transition,
    pub(super) from: State,
    pub(super) to: State,
    pub(super) mode: ExecutionMode,
    pub(super) attempt: i32,
    pub(super) fence: i64,
    pub(super) reason: Option<EventReason>,
}

/// Everything that one transaction adds besides changed rows.
#[derive(Debug, Default)]
pub(super) struct Additions {
    pub(super) transitions: Vec<TransitionDraft>,
    pub(super) acts: Vec<ActDraft>,
    pub(super) outbox: Vec<OutboxDraft>,
    /// For the audit log.
    pub(super) told: Vec<AuditAct>,
    /// Because of what the next things are done; the worker's own doing where there is none.
    pub(super) cause: Option<Cause>,
    pub(super) lineage: Vec<LineageDraft>,
    /// Where lineage is told.
    pub(super) teller: Option<Arc<EventWriter>>,
    /// What the next step says of inputs and outputs.
    pub(super) account: Option<DatasetIo>,
}

/// `SELECT` of a run with its first request, in the order that [`LockedRun::read`] expects, followed by
/// the rest of the statement.
macro_rules! select_run {
    ($rest:literal) => {
        concat!(
            r#"SELECT r.run_id, r.run_key, i.value, r.state::text, r.execution_mode::text, r.publish_allowed,
                    r.full_run_attempts, r.publish_retry_attempts, r.fence, r.lease_owner, r.cancel_requested,
                    r.available_at, r.reason_code, r.reason_message, r.refs, r.next_seq, r.traceparent,
                    r.tracestate, r.published_topic, r.published_partition, r.published_offset,
                    r.full_attempts_before, r.publish_attempts_before, r.priority, r.answer_due_at, r.confirmed_by,
                    r.lineage_since
             FROM runs r LEFT JOIN requests q ON q.request_id = r.request_id
             LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset" "#,
            $rest
        )
    };
}
pub(super) use select_run;

/// A stored value that does not read back: a defect or a hand-made row.
pub(super) fn unreadable(what: &str, error: impl std::fmt::Display) -> Error {
    Error::Refused(format!("the ledger holds an unreadable {what}: {error}"))
}

/// A request is kept once, as the bytes of its record.
pub(super) fn stored_request(value: Option<&[u8]>) -> Result<Arc<TrainBuildRequest>, Error> {
    let value = value.ok_or_else(|| unreadable("request", "its record is gone from the inbox"))?;
    parse_accepted(value).map_err(|rejection| unreadable("request", rejection))
}

impl LockedRun {
    pub(super) fn read(row: &PgRow) -> Result<Self, Error> {
        let text = |index: usize| row.try_get::<String, _>(index);
        let run_key: Vec<u8> = row.try_get(1)?;
        let reason_code: Option<String> = row.try_get(12)?;
        let topic: Option<String> = row.try_get(18)?;
        let published = match topic {
            Some(topic) => Some((topic, row.try_get(19)?, row.try_get(20)?)),
            None => None,
        };
        Ok(Self {
            run_id: text(0)?.parse().map_err(|error| unreadable("run id", error))?,
            run_key: RunKey::from_digest(Digest::from_bytes(&run_key).map_err(|error| unreadable("run key", error))?),
            request: stored_request(row.try_get(2)?)?,
            state: text(3)?.parse().map_err(|error| unreadable("state", error))?,
            mode: text(4)?.parse().map_err(|error| unreadable("mode", error))?,
            publish_allowed: row.try_get(5)?,
            full_run_attempts: row.try_get(6)?,
            publish_retry_attempts: row.try_get(7)?,
            full_attempts_before: row.try_get(21)?,
            publish_attempts_before: row.try_get(22)?,
            priority: row.try_get(23)?,
            fence: row.try_get(8)?,
            lease_owner: row.try_get(9)?,
            cancel_requested: row.try_get(10)?,
            available_at: row.try_get(11)?,
            reason: match reason_code {
                Some(code) => Some((code, row.try_get::<Option<String>, _>(13)?.unwrap_or_default())),
                None => None,
            },
            refs: serde_json::from_value(row.try_get(14)?).map_err(|error| unreadable("refs", error))?,
            next_seq: row.try_get(15)?,
            traceparent: row.try_get(16)?,
            tracestate: row.try_get(17)?,
            published,
            answer_due_at: row.try_get(24)?,
            confirmed_by: row.try_get(25)?,
            lineage_since: row.try_get(26)?,
        })
    }

    /// Whether its reason says that nobody goes on by himself.
    pub(super) fn is_parked(&self) -> bool {
        self.reason.as_ref().is_some_and(|(code, _)| code.parse().is_ok_and(|code: FailureCode| !code.is_retryable()))
    }

    /// Takes a step: new state, transition row, event. Illegal steps change nothing.
    pub(super) fn step(
        &mut self,
        transition: Transition,
        reason: Option<EventReason>,
        at: DateTime<Utc>,
        worker: &str,
        additions: &mut Additions,
    ) -> Result<(), crate::domain::run::IllegalTransition> {
        let (to, mode) = apply(self.state, self.mode, transition)?;
        let from = std::mem::replace(&mut self.state, to);
        self.mode = mode;
        self.answer_due_at = None;
        if transition == Transition::Publish {
            // Its receipt may be written from now on, however long a next attempt was to wait.
            self.available_at = at;
        }
        if mode == ExecutionMode::None {
            self.lease_owner = None;
            self.cancel_requested = false;
        }
        self.reason = reason.as_ref().map(|reason| (reason.code.as_str().to_owned(), reason.message.clone()));
        let change = StateChange {
            seq: self.next_seq,
            transition,
            from,
            to,
            execution_mode: mode,
            attempt: self.full_run_attempts,
            fence: self.fence,
        };
        additions.transitions.push(TransitionDraft {
            run_id: self.run_id.clone(),
            seq: self.next_seq,
            transition,
            from,
            to,
            mode,
            attempt: self.full_run_attempts,
            fence: self.fence,
            reason: reason.clone(),
        });
        self.tell_step(transition, reason.as_ref(), at, additions);
        let event = NewEvent::of(event_of(transition, reason.as_ref()), reason);
        self.tell_of(event, Some(change), at, worker, additions);
        Ok(())
    }

    /// Adds an event with the next number.
    pub(super) fn tell(&mut self, event: NewEvent, at: DateTime<Utc>, worker: &str, additions: &mut Additions) {
        self.tell_of(event, None, at, worker, additions);
    }

    /// The world and the audit log.
    fn tell_of(
        &mut self,
        event: NewEvent,
        change: Option<StateChange>,
        at: DateTime<Utc>,
        worker: &str,
        additions: &mut Additions,
    ) {
        additions.act_of(self, &event, change, worker);
        additions.outbox.push(lifecycle_draft(self, event, at, worker));
        self.next_seq += 1;
    }

    /// Writes the row back. The fence that was read must still stand; under the row's lock it does.
    pub(super) async fn store(
        &self,
        connection: &mut PgConnection,
        read_fence: i64,
        lease_seconds: Option<u32>,
    ) -> Result<bool, Error> {
        Ok(Self::store_all(connection, &[(self, read_fence)], lease_seconds).await? == 1)
    }

    /// Writes rows back with one statement, each under the fence that was read; says how many were.
    pub(super) async fn store_all(
        connection: &mut PgConnection,
        runs: &[(&Self, i64)],
        lease_seconds: Option<u32>,
    ) -> Result<u64, Error> {
        fn each<T>(runs: &[(&LockedRun, i64)], of: impl Fn(&LockedRun) -> T) -> Vec<T> {
            runs.iter().map(|(run, _)| of(run)).collect()
        }
        let mut refs = Vec::with_capacity(runs.len());
        for (run, _) in runs {
            refs.push(serde_json::to_value(&run.refs).map_err(|error| unreadable("refs", error))?);
        }
        let done = sqlx::query(
            "UPDATE runs r SET state = n.state::run_state, execution_mode = n.mode::execution_mode,
                publish_allowed = n.publish_allowed, full_run_attempts = n.full_attempts,
                publish_retry_attempts = n.publish_attempts, fence = n.fence, lease_owner = n.lease_owner,
                cancel_requested = n.cancel_requested, available_at = n.available_at, reason_code = n.reason_code,
                reason_message = n.reason_message, refs = n.refs, next_seq = n.next_seq,
                published_topic = n.topic, published_partition = n.partition, published_offset = n.position,
                full_attempts_before = n.full_before, publish_attempts_before = n.publish_before,
                priority = n.priority, answer_due_at = n.answer_due_at, confirmed_by = n.confirmed_by,
                lineage_since = n.lineage_since,
                updated_at = now(),
                progress = CASE WHEN n.fence = r.fence THEN r.progress END,
                lease_expires_at = CASE WHEN n.lease_owner IS NULL THEN NULL
                                        WHEN $24::float8 IS NULL THEN r.lease_expires_at
                                        ELSE clock_timestamp() + make_interval(secs => $24) END
             FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::integer[],
                         $7::integer[], $8::bigint[], $9::text[], $10::boolean[], $11::timestamptz[], $12::text[],
                         $13::text[], $14::jsonb[], $15::bigint[], $16::text[], $17::integer[], $18::bigint[],
                         $19::integer[], $20::integer[], $21::smallint[], $22::timestamptz[], $23::text[],
                         $25::bigint[])
                  AS n (run_id, read_fence, state, mode, publish_allowed, full_attempts, publish_attempts, fence,
                        lease_owner, cancel_requested, available_at, reason_code, reason_message, refs, next_seq,
                        topic, partition, position, full_before, publish_before, priority, answer_due_at, confirmed_by,
                        lineage_since)
             WHERE r.run_id = n.run_id AND r.fence = n.read_fence",
        )
        .bind(each(runs, |run| run.run_id.to_string()))
        .bind(runs.iter().map(|(_, read_fence)| *read_fence).collect::<Vec<_>>())
        .bind(each(runs, |run| run.state.to_string()))
        .bind(each(runs, |run| run.mode.to_string()))
        .bind(each(runs, |run| run.publish_allowed))
        .bind(each(runs, |run| run.full_run_attempts))
        .bind(each(runs, |run| run.publish_retry_attempts))
        .bind(each(runs, |run| run.fence))
        .bind(each(runs, |run| run.lease_owner.clone()))
        .bind(each(runs, |run| run.cancel_requested))
        .bind(each(runs, |run| run.available_at))
        .bind(each(runs, |run| run.reason.as_ref().map(|(code, _)| code.clone())))
        .bind(each(runs, |run| run.reason.as_ref().map(|(_, message)| message.clone())))
        .bind(refs)
        .bind(each(runs, |run| run.next_seq))
        .bind(each(runs, |run| run.published.as_ref().map(|(topic, _, _)| topic.clone())))
        .bind(each(runs, |run| run.published.as_ref().map(|(_, partition, _)| *partition)))
        .bind(each(runs, |run| run.published.as_ref().map(|(_, _, offset)| *offset)))
        .bind(each(runs, |run| run.full_attempts_before))
        .bind(each(runs, |run| run.publish_attempts_before))
        .bind(each(runs, |run| run.priority))
        .bind(each(runs, |run| run.answer_due_at))
        .bind(each(runs, |run| run.confirmed_by.clone()))
        .bind(lease_seconds.map(f64::from))
        .bind(each(runs, |run| run.lineage_since))
        .execute(connection)
        .await?;
        Ok(done.rows_affected())
    }
}

fn event_of(transition: Transition, reason: Option<&EventReason>) -> EventType {
    let exhausted = reason.is_some_and(|reason| !reason.retryable);
    match transition {
        Transition::DeferPublish if exhausted => EventType::PublishExhausted,
        Transition::Start => EventType::RunStarted,
        Transition::FinishEvaluation => EventType::RunEvalReady,
        Transition::PassGate => EventType::RunGatePassed,
        Transition::FailGate => EventType::RunGateFailed,
        Transition::Fail => EventType::RunFailed,
        Transition::Requeue | Transition::Reopen => EventType::RunRequeued,
        Transition::Cancel => EventType::RunCancelled,
        Transition::RequestPublish | Transition::DeferPublish => EventType::PublishPending,
        Transition::StartPublish => EventType::PublishRetryStarted,
        Transition::Publish => EventType::PublishPublished,
    }
}

impl Additions {
    /// Nothing yet.
    pub(super) fn new(teller: Option<Arc<EventWriter>>) -> Self {
        Self { teller, ..Self::default() }
    }

    /// Inserts everything, each table with one statement.
    pub(super) async fn store(&self, connection: &mut PgConnection, worker: &str) -> Result<(), Error> {
        self.store_transitions(connection, worker).await?;
        store_acts(connection, &self.acts).await?;
        super::events::store_outbox(connection, &self.outbox).await?;
        store_lineage(connection, &self.lineage).await
    }

    /// Tells the audit log, commits, and counts what was done: in this order, for every transaction that decides
    /// something. At `point`, where there is one, a test may lose the COMMIT's answer.
    pub(super) async fn commit(
        &self,
        mut transaction: Transaction<'_, Postgres>,
        worker: &str,
        point: Option<&'static str>,
    ) -> Result<(), Error> {
        self.seal(&mut transaction, worker).await?;
        transaction.commit().await.map_err(commit_fault)?;
        point.map_or(Ok(()), committed)?;
        self.count();
        Ok(())
    }

    async fn store_transitions(&self, connection: &mut PgConnection, worker: &str) -> Result<(), Error> {
        if self.transitions.is_empty() {
            return Ok(());
        }
        let each = |of: fn(&TransitionDraft) -> String| self.transitions.iter().map(of).collect::<Vec<String>>();
        let reason = |of: fn(&EventReason) -> String| {
            self.transitions.iter().map(|t| t.reason.as_ref().map(of)).collect::<Vec<Option<String>>>()
        };
        sqlx::query(
            "INSERT INTO transitions (run_id, seq, transition, from_state, to_state, execution_mode, attempt, fence,
                                      reason_code, reason_message, worker, at)
             SELECT t.run_id, t.seq, t.transition, t.from_state::run_state, t.to_state::run_state,
                    t.mode::execution_mode, t.attempt, t.fence, t.code, t.message, $11, now()
             FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[],
                         $8::bigint[], $9::text[], $10::text[])
                  AS t (run_id, seq, transition, from_state, to_state, mode, attempt, fence, code, message)",
        )
        .bind(each(|t| t.run_id.to_string()))
        .bind(self.transitions.iter().map(|t| t.seq).collect::<Vec<i64>>())
        .bind(each(|t| t.transition.to_string()))
        .bind(each(|t| t.from.to_string()))
        .bind(each(|t| t.to.to_string()))
        .bind(each(|t| t.mode.to_string()))
        .bind(self.transitions.iter().map(|t| t.attempt).collect::<Vec<i32>>())
        .bind(self.transitions.iter().map(|t| t.fence).collect::<Vec<i64>>())
        .bind(reason(|r| r.code.to_string()))
        .bind(reason(|r| r.message.clone()))
        .bind(worker)
        .execute(connection)
        .await?;
        Ok(())
    }
}
