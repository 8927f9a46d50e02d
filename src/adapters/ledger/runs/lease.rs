//! A worker's lease on a run: what it holds, what it may do with it, and how the lease is renewed.

use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::{BundlePublication, EventReason, EventRefs, TrainBuildRequest};
use crate::domain::identity::{RunId, RunKey};
use crate::domain::run::{ExecutionMode, FailureCode, State, Transition};
use crate::domain::trace_context::TraceContext;
use crate::failpoints::failpoint;
use crate::modelling::lineage::DatasetIo;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A worker's right to work on a run.
#[derive(Debug, Clone)]
pub struct Lease {
    pub run_id: RunId,
    pub run_key: RunKey,
    /// Every write must name it: the next claim raises it.
    pub fence: i64,
    pub mode: ExecutionMode,
    /// Full attempts, this one included.
    pub attempt: u32,
    pub worker: String,
    pub request: Arc<TrainBuildRequest>,
    /// Whether any request of the run allows publication, at the time of the claim.
    pub publish_allowed: bool,
    pub refs: EventRefs,
    /// The span under which the first request was admitted.
    pub trace: Option<TraceContext>,
    /// How long the run was ready before it was claimed.
    pub queued: Duration,
    /// The worker stops at this instant of its own monotonic clock, unless a renewal has moved it.
    pub stop_at: Instant,
}

/// One step of a run. Several can be taken in one transaction.
#[derive(Debug, Clone)]
pub struct Step {
    pub transition: Transition,
    /// Evidence that became durable before this step; merged into the run's.
    pub refs: EventRefs,
    pub reason: Option<EventReason>,
    /// Goes into the outbox with this step.
    pub publication: Option<BundlePublication>,
    /// The datasets that lineage reports as read and written, where this step ends the work.
    pub lineage: Option<DatasetIo>,
}

impl Step {
    pub fn to(transition: Transition, refs: EventRefs) -> Self {
        Self { transition, refs, reason: None, publication: None, lineage: None }
    }

    pub fn with_reason(transition: Transition, code: FailureCode, message: impl Into<String>) -> Self {
        Self { reason: Some(EventReason::new(code, message)), ..Self::to(transition, EventRefs::new()) }
    }

    /// The ledger leaves it out where no request of the run allows publication.
    pub fn publish(transition: Transition, publication: BundlePublication) -> Self {
        Self { publication: Some(publication), ..Self::to(transition, EventRefs::new()) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It holds for another full length.
    Held,
    Lost,
    /// It holds, and somebody wants the run stopped.
    CancelRequested,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lost lease means that the work must stop"]
pub enum Guarded {
    Won(State),
    /// Nothing was written: the lease is lost, or the run is not where the write needs it.
    Lost,
}

#[derive(sqlx_macros::FromRow)]
struct RenewedLease {
    run_id: String,
    cancel_requested: bool,
}

impl Ledger {
    /// Renews leases of one worker, each named by run and fence; the result is in the same order. One statement renews
    /// all of them, and the database's clock alone decides.
    pub async fn renew(&self, worker: &str, held: &[(RunId, i64)]) -> Result<Vec<Renewal>, Error> {
        failpoint("heartbeat.before")?;
        let rows: Vec<RenewedLease> = sqlx::query_as(
            "UPDATE runs r SET lease_expires_at = clock_timestamp() + make_interval(secs => $4)
             FROM UNNEST($2::text[], $3::bigint[]) AS h (run_id, fence)
             WHERE r.run_id = h.run_id AND r.fence = h.fence AND r.lease_owner = $1
               AND r.lease_expires_at > clock_timestamp()
             RETURNING r.run_id, r.cancel_requested",
        )
        .bind(worker)
        .bind(held.iter().map(|(run_id, _)| run_id.to_string()).collect::<Vec<_>>())
        .bind(held.iter().map(|(_, fence)| *fence).collect::<Vec<_>>())
        .bind(f64::from(self.settings.lease_seconds))
        .fetch_all(&self.pool)
        .await?;
        let renewed: HashMap<String, bool> = rows.into_iter().map(|row| (row.run_id, row.cancel_requested)).collect();
        let renewal = |(run_id, _): &(RunId, i64)| match renewed.get(run_id.as_str()) {
            Some(false) => Renewal::Held,
            Some(true) => Renewal::CancelRequested,
            None => Renewal::Lost,
        };
        failpoint("heartbeat.after")?;
        Ok(held.iter().map(renewal).collect())
    }
}
