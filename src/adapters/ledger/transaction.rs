//! A transaction of the ledger as a value. It owns the database's transaction and everything that the transaction will
//! write.
//!
//! ```text
//! begin ─▶ lock a run ─▶ step · emit · append ─▶ save ─▶ commit ─────────────────────────────────▶ count
//!               │                                  │      effects, audit log's block, COMMIT
//!               └── none: roll back                └── Lost: roll back, write nothing
//! ```
//!
//! Guarantees: events, steps, commands and acts are stored exactly when the transaction commits. The audit log's block
//! is the last statement before COMMIT, because the lock on the log's head is the last lock that anybody takes. Metrics
//! are counted only after an acknowledged COMMIT. Never: writes a run whose fence has moved ([`Lost`]).

use super::audit_log::append;
use super::effects::{Cause, Effects, TransitionDraft};
use super::error::{commit_error, committed, unreadable};
use super::outbox::{LineageEffects, NewEvent, lifecycle_draft};
use super::row::{LockedRun, save_all, select_run};
use super::session::Session;
use super::{Error, Ledger};
use crate::domain::contract::{
    ActKind, ActReason, Actor, ActorKind, AuditAct, EventReason, StateChange, without_many_inputs,
};
use crate::domain::run::{IllegalTransition, Transition};
use crate::failpoints::failpoint;
use chrono::{DateTime, Utc};

/// Upper bound on the inputs that one act names, so that the acts of a full batch fit into a block of the audit log.
pub(super) const ACT_INPUTS: usize = 8;

pub(super) struct Transaction<'a> {
    pub(super) ledger: &'a Ledger,
    /// Name of the writer: a worker, or `operator:` followed by a name.
    pub(super) worker: &'a str,
    /// When the transaction began, by the database's clock. Everything that the transaction writes has this time.
    pub(super) at: DateTime<Utc>,
    pub(super) effects: Effects,
    inner: Session,
}

/// The fence has moved, or the row is gone. Another worker has the run, and this transaction must write nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "who lost a run rolls back"]
pub(super) struct Lost;

/// Turns a moved fence into an error, for callers that have held the row's lock since they read the fence. For them the
/// fence cannot have moved.
impl From<Lost> for Error {
    fn from(_: Lost) -> Self {
        Self::Unavailable("a run's fence moved while its row was locked; nothing was written".to_owned())
    }
}

/// Condition under which a run is locked. If it is not met, no row is returned.
#[derive(Debug, Clone, Copy)]
pub(super) enum Precondition<'a> {
    /// No condition. Waits for the row's lock.
    Any,
    /// `owner` holds an unexpired lease with this fence. Waits for the row's lock.
    Held { fence: i64, owner: &'a str },
    /// The same condition as `Held`. Does not wait: if the row is locked, no row is returned.
    HeldAndFree { fence: i64, owner: &'a str },
    /// The lease has expired. Does not wait: if the row is locked, no row is returned.
    Expired,
    /// This worker claimed the run with this fence, and nobody has claimed it since. Its lease may have expired. Waits
    /// for the row's lock.
    ClaimedBy { fence: i64, owner: &'a str },
    /// The registry's reply is overdue. Waits for the row's lock.
    Unanswered,
}

impl Ledger {
    pub(super) async fn begin<'a>(&'a self, worker: &'a str) -> Result<Transaction<'a>, Error> {
        let mut inner = self.pool.begin().await?;
        let at = sqlx::query_scalar("SELECT now()").fetch_one(&mut inner).await?;
        let effects = Effects { lineage: LineageEffects::new(self.lineage.clone()), ..Effects::default() };
        Ok(Transaction { ledger: self, worker, at, effects, inner })
    }
}

impl Transaction<'_> {
    pub(super) fn connection(&mut self) -> &mut Session {
        &mut self.inner
    }

    /// Locks a run's row and reads it. `None` if there is no such run, or `precondition` is not met.
    pub(super) async fn lock(
        &mut self,
        run_id: &str,
        precondition: Precondition<'_>,
    ) -> Result<Option<LockedRun>, Error> {
        let query = match precondition {
            Precondition::Any => sqlx::query_as(select_run!("WHERE r.run_id = $1 FOR UPDATE OF r")).bind(run_id),
            Precondition::Held { fence, owner } => sqlx::query_as(select_run!(
                "WHERE r.run_id = $1 AND r.fence = $2 AND r.lease_owner = $3
                   AND r.lease_expires_at > clock_timestamp() FOR UPDATE OF r"
            ))
            .bind(run_id)
            .bind(fence)
            .bind(owner),
            Precondition::HeldAndFree { fence, owner } => sqlx::query_as(select_run!(
                "WHERE r.run_id = $1 AND r.fence = $2 AND r.lease_owner = $3
                   AND r.lease_expires_at > clock_timestamp() FOR UPDATE OF r SKIP LOCKED"
            ))
            .bind(run_id)
            .bind(fence)
            .bind(owner),
            Precondition::ClaimedBy { fence, owner } => sqlx::query_as(select_run!(
                "WHERE r.run_id = $1 AND r.fence = $2 AND r.lease_owner = $3 FOR UPDATE OF r"
            ))
            .bind(run_id)
            .bind(fence)
            .bind(owner),
            Precondition::Expired => sqlx::query_as(select_run!(
                "WHERE r.run_id = $1 AND r.lease_owner IS NOT NULL AND r.lease_expires_at < clock_timestamp()
                 FOR UPDATE OF r SKIP LOCKED"
            ))
            .bind(run_id),
            Precondition::Unanswered => sqlx::query_as(select_run!(
                "WHERE r.run_id = $1 AND r.answer_due_at < now() AND r.state = 'PUBLISH_PENDING' FOR UPDATE OF r"
            ))
            .bind(run_id),
        };
        Ok(query.fetch_optional(&mut self.inner).await?)
    }

    /// Locks a run that another row refers to. Returns an error if the run does not exist.
    pub(super) async fn lock_named(&mut self, run_id: &str) -> Result<LockedRun, Error> {
        self.lock(run_id, Precondition::Any).await?.ok_or_else(|| unreadable("run", format!("{run_id} is gone")))
    }

    /// Takes a step of a locked run, and adds its event, its audit act and its lineage. An illegal step changes
    /// nothing.
    pub(super) fn step(
        &mut self,
        run: &mut LockedRun,
        transition: Transition,
        reason: Option<EventReason>,
    ) -> Result<(), IllegalTransition> {
        let change = run.change(transition, reason.as_ref(), self.at)?;
        self.effects.lineage.emit_step(run, transition, reason.as_ref(), self.at);
        let draft = TransitionDraft { run_id: run.run_id.clone(), change: change.clone(), reason: reason.clone() };
        self.effects.transitions.push(draft);
        self.emit_change(run, NewEvent::of_step(transition, reason), Some(change));
        Ok(())
    }

    /// Emits an event with the run's next `seq`. If this type of event has an audit act, also appends the act.
    pub(super) fn emit(&mut self, run: &mut LockedRun, event: NewEvent) {
        self.emit_change(run, event, None);
    }

    fn emit_change(&mut self, run: &mut LockedRun, event: NewEvent, change: Option<StateChange>) {
        if let Some(kind) = ActKind::of(event.event_type) {
            let act = self.append(kind, Some(run));
            act.reason = event.reason.as_ref().map(|reason| ActReason::coded(reason.code, &reason.message));
            if change.is_some() {
                act.evidence.extend(without_many_inputs(&run.refs, ACT_INPUTS));
            }
            act.change = change;
        }
        self.effects.outbox.push(lifecycle_draft(run, event, self.at, self.worker));
        run.next_seq += 1;
    }

    /// Appends an act to the audit log, in the name of the actor who caused it. Returns the act, so that the caller can
    /// complete it.
    pub(super) fn append(&mut self, kind: ActKind, run: Option<&LockedRun>) -> &mut AuditAct {
        let itself = || Cause::of(Actor::new(ActorKind::Worker, self.worker));
        let cause = self.effects.cause.clone().unwrap_or_else(itself);
        let mut act = AuditAct::new(kind, cause.actor, cause.subject);
        act.evidence = cause.evidence;
        if let Some(run) = run {
            act.subject.run_id = Some(run.run_id.clone());
            act.subject.platform_run_id = Some(run.request.platform_run_id.clone());
            act.subject.request_id.get_or_insert_with(|| run.request.request_id.clone());
        }
        self.effects.acts.push(act);
        self.effects.acts.last_mut().expect("it was just pushed")
    }

    /// Writes a locked run back. Returns [`Lost`] if its fence has moved since it was read.
    pub(super) async fn save(&mut self, run: &LockedRun) -> Result<Result<(), Lost>, Error> {
        self.save_each(&[run], None).await
    }

    /// Writes several runs back. Returns [`Lost`] if any of their fences has moved. With `lease_seconds`, runs with an
    /// owner get a new lease.
    pub(super) async fn save_each(
        &mut self,
        runs: &[&LockedRun],
        lease_seconds: Option<u32>,
    ) -> Result<Result<(), Lost>, Error> {
        if runs.is_empty() {
            return Ok(Ok(()));
        }
        let saved = save_all(&mut self.inner, runs, lease_seconds).await?;
        Ok(if saved == runs.len() as u64 { Ok(()) } else { Err(Lost) })
    }

    /// Writes the effects, appends the audit log's block, commits, and counts metrics. `taken` and `answered` name
    /// failpoints: `taken` after the effects, `answered` after the COMMIT.
    pub(super) async fn commit(
        mut self,
        taken: Option<&'static str>,
        answered: Option<&'static str>,
    ) -> Result<(), Error> {
        self.effects.insert(&mut self.inner, self.worker).await?;
        taken.map_or(Ok(()), failpoint)?;
        append(&mut self.inner, self.worker, &self.effects.acts).await?;
        self.inner.commit().await.map_err(commit_error)?;
        answered.map_or(Ok(()), committed)?;
        self.effects.count();
        Ok(())
    }

    pub(super) async fn rollback(self) -> Result<(), Error> {
        Ok(self.inner.rollback().await?)
    }
}
