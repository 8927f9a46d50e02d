//! A run's row under its lock. The row is read, changed in memory, and written back only if the fence has not moved
//! since the read.

use super::columns::{Coordinates, StoredRequest, StoredTrace};
use super::error::{Error, unreadable};
use crate::adapters::ledger::session::Session;
use crate::domain::contract::{EventReason, EventRefs, StateChange};
use crate::domain::identity::{RunId, RunKey};
use crate::domain::run::{ExecutionMode, FailureCode, IllegalTransition, State, Transition, apply};
use chrono::{DateTime, Utc};

#[derive(Debug, Clone, PartialEq, sqlx_macros::FromRow)]
pub(super) struct LockedRun {
    pub(super) run_id: RunId,
    pub(super) run_key: RunKey,
    /// The run's first request.
    pub(super) request: StoredRequest,
    pub(super) state: State,
    #[sqlx(rename = "execution_mode")]
    pub(super) mode: ExecutionMode,
    pub(super) publish_allowed: bool,
    pub(super) full_run_attempts: i32,
    pub(super) publish_retry_attempts: i32,
    /// Number of full attempts made before a person last asked for the run again. The bound on attempts does not count
    /// them.
    pub(super) full_attempts_before: i32,
    pub(super) publish_attempts_before: i32,
    pub(super) priority: i16,
    pub(super) fence: i64,
    /// The fence when the row was read. [`save_all`] writes the row only if the table still holds this fence.
    pub(super) read_fence: i64,
    pub(super) lease_owner: Option<String>,
    pub(super) cancel_requested: bool,
    pub(super) available_at: DateTime<Utc>,
    /// When the first attempt failed for want of what it needs. `None` if no attempt did, or a later one found all that
    /// it needs: it announced the bundle, brought a verdict, or failed for another reason.
    pub(super) outage_since: Option<DateTime<Utc>>,
    /// Number of attempts that failed for want of what they need since then.
    pub(super) outage_tries: i32,
    /// Failure code of the last step. Kept as text, because another release may have written a code that this release
    /// does not know.
    pub(super) reason_code: Option<String>,
    pub(super) reason_message: Option<String>,
    #[sqlx(json)]
    pub(super) refs: EventRefs,
    /// Whether `refs` was changed since the read. Only then [`save_all`] writes it, because it may be long.
    #[sqlx(skip)]
    pub(super) refs_changed: bool,
    /// The `seq` of the run's next event.
    pub(super) next_seq: i64,
    #[sqlx(flatten)]
    pub(super) trace: StoredTrace,
    /// Coordinates of the publication that the broker acknowledged. `None` if no publication was acknowledged yet.
    pub(super) published: Option<Coordinates>,
    /// When the registry's reply is due. `None` if the run does not wait for a reply.
    pub(super) answer_due_at: Option<DateTime<Utc>>,
    /// Id of the event by which the registry confirmed the bundle. `None` if the registry has not confirmed it.
    pub(super) confirmed_by: Option<String>,
    /// `seq` of the event that lineage reported as START. `None` before START, and after lineage has reported the end.
    pub(super) lineage_since: Option<i64>,
}

/// Builds a `SELECT` of runs, each with its first request, followed by `$rest`. All reads of runs use this list of
/// columns.
macro_rules! select_run {
    ($rest:literal) => {
        concat!(
            r#"SELECT r.run_id, r.run_key, split_part(r.request_id, '/', 1) AS request_id, i.value AS request, r.state::text, r.execution_mode::text,
                    r.publish_allowed, r.full_run_attempts, r.publish_retry_attempts, r.full_attempts_before,
                    r.publish_attempts_before, r.priority, r.fence, r.fence AS read_fence, r.lease_owner,
                    r.cancel_requested, r.available_at, r.outage_since, r.outage_tries, r.reason_code,
                    r.reason_message, r.refs, r.next_seq, r.traceparent, r.tracestate,
                    CASE WHEN r.published_topic IS NOT NULL
                         THEN (r.published_topic, r.published_partition, r.published_offset) END AS published,
                    r.answer_due_at, r.confirmed_by, r.lineage_since, r.progress, r.created_at, r.updated_at
             FROM runs r LEFT JOIN requests q ON q.request_id = r.request_id
             LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset" "#,
            $rest
        )
    };
}
pub(super) use select_run;

impl LockedRun {
    /// Returns whether the run waits for a person, because its last failure code is not retryable.
    pub(super) fn is_parked(&self) -> bool {
        let code = self.reason_code.as_deref().and_then(|code| code.parse::<FailureCode>().ok());
        code.is_some_and(|code| !code.is_retryable())
    }

    /// Gives the run its whole patience again.
    pub(super) fn forget_outage(&mut self) {
        (self.outage_since, self.outage_tries) = (None, 0);
    }

    pub(super) fn clear_reason(&mut self) {
        self.reason_code = None;
        self.reason_message = None;
    }

    /// Takes a step in memory. An illegal step returns an error and changes nothing.
    pub(super) fn change(
        &mut self,
        transition: Transition,
        reason: Option<&EventReason>,
        at: DateTime<Utc>,
    ) -> Result<StateChange, IllegalTransition> {
        let (to, mode) = apply(self.state, self.mode, transition)?;
        let from = std::mem::replace(&mut self.state, to);
        self.mode = mode;
        self.answer_due_at = None;
        match transition {
            // A claim does not end an outage, nor does a step towards the verdict that the next attempt takes again. What
            // a requeue or a deferral means for the outage depends on its reason, which the caller knows.
            Transition::Start
            | Transition::StartPublish
            | Transition::FinishEvaluation
            | Transition::Requeue
            | Transition::DeferPublish => {}
            Transition::PassGate
            | Transition::FailGate
            | Transition::Fail
            | Transition::Reopen
            | Transition::Cancel
            | Transition::RequestPublish
            | Transition::Publish => self.forget_outage(),
        }
        if transition == Transition::Publish {
            // The receipt may be written from now on, even if the next attempt was to wait longer.
            self.available_at = at;
        }
        if mode == ExecutionMode::None {
            self.lease_owner = None;
            self.cancel_requested = false;
        }
        self.reason_code = reason.map(|reason| reason.code.as_str().to_owned());
        self.reason_message = reason.map(|reason| reason.message.clone());
        Ok(StateChange {
            seq: self.next_seq,
            transition,
            from,
            to,
            execution_mode: mode,
            attempt: self.full_run_attempts,
            fence: self.fence,
        })
    }
}

/// Writes rows back in one statement. Skips rows whose fence has moved since the read. Returns how many were written.
/// With `lease_seconds`, rows that have an owner get a new lease.
pub(super) async fn save_all(
    connection: &mut Session,
    runs: &[&LockedRun],
    lease_seconds: Option<u32>,
) -> Result<u64, Error> {
    fn each<'r, T>(runs: &[&'r LockedRun], of: impl Fn(&'r LockedRun) -> T) -> Vec<T> {
        runs.iter().map(|run| of(run)).collect()
    }
    let mut refs = Vec::with_capacity(runs.len());
    for run in runs {
        let changed = run.refs_changed.then(|| serde_json::to_value(&run.refs)).transpose();
        refs.push(changed.map_err(|error| unreadable("refs", error))?);
    }
    let done = sqlx::query(
        "UPDATE runs r SET state = n.state::run_state, execution_mode = n.mode::execution_mode,
            publish_allowed = n.publish_allowed, full_run_attempts = n.full_attempts,
            publish_retry_attempts = n.publish_attempts, fence = n.fence, lease_owner = n.lease_owner,
            cancel_requested = n.cancel_requested, available_at = n.available_at, reason_code = n.reason_code,
            reason_message = n.reason_message, refs = COALESCE(n.refs, r.refs), next_seq = n.next_seq,
            published_topic = n.topic, published_partition = n.partition, published_offset = n.position,
            full_attempts_before = n.full_before, publish_attempts_before = n.publish_before,
            priority = n.priority, answer_due_at = n.answer_due_at, confirmed_by = n.confirmed_by,
            lineage_since = n.lineage_since, outage_since = n.outage_since, outage_tries = n.outage_tries,
            updated_at = now(),
            progress = CASE WHEN n.fence = r.fence THEN r.progress END,
            lease_expires_at = CASE WHEN n.lease_owner IS NULL THEN NULL
                                    WHEN $24::float8 IS NULL THEN r.lease_expires_at
                                    ELSE clock_timestamp() + make_interval(secs => $24) END
         FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::boolean[], $6::integer[],
                     $7::integer[], $8::bigint[], $9::text[], $10::boolean[], $11::timestamptz[], $12::text[],
                     $13::text[], $14::jsonb[], $15::bigint[], $16::text[], $17::integer[], $18::bigint[],
                     $19::integer[], $20::integer[], $21::smallint[], $22::timestamptz[], $23::text[],
                     $25::bigint[], $26::timestamptz[], $27::integer[])
              AS n (run_id, read_fence, state, mode, publish_allowed, full_attempts, publish_attempts, fence,
                    lease_owner, cancel_requested, available_at, reason_code, reason_message, refs, next_seq,
                    topic, partition, position, full_before, publish_before, priority, answer_due_at, confirmed_by,
                    lineage_since, outage_since, outage_tries)
         WHERE r.run_id = n.run_id AND r.fence = n.read_fence",
    )
    .bind(each(runs, |run| run.run_id.as_str()))
    .bind(each(runs, |run| run.read_fence))
    .bind(each(runs, |run| run.state.as_str()))
    .bind(each(runs, |run| run.mode.as_str()))
    .bind(each(runs, |run| run.publish_allowed))
    .bind(each(runs, |run| run.full_run_attempts))
    .bind(each(runs, |run| run.publish_retry_attempts))
    .bind(each(runs, |run| run.fence))
    .bind(each(runs, |run| run.lease_owner.as_deref()))
    .bind(each(runs, |run| run.cancel_requested))
    .bind(each(runs, |run| run.available_at))
    .bind(each(runs, |run| run.reason_code.as_deref()))
    .bind(each(runs, |run| run.reason_message.as_deref()))
    .bind(refs)
    .bind(each(runs, |run| run.next_seq))
    .bind(each(runs, |run| run.published.as_ref().map(|at| at.topic.as_str())))
    .bind(each(runs, |run| run.published.as_ref().map(|at| at.partition)))
    .bind(each(runs, |run| run.published.as_ref().map(|at| at.offset)))
    .bind(each(runs, |run| run.full_attempts_before))
    .bind(each(runs, |run| run.publish_attempts_before))
    .bind(each(runs, |run| run.priority))
    .bind(each(runs, |run| run.answer_due_at))
    .bind(each(runs, |run| run.confirmed_by.as_deref()))
    .bind(lease_seconds.map(f64::from))
    .bind(each(runs, |run| run.lineage_since))
    .bind(each(runs, |run| run.outage_since))
    .bind(each(runs, |run| run.outage_tries))
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
