//! A worker's lease on a run: what the claim returns to the worker, which steps the worker may take, and how the lease
//! is renewed.

use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::{BundlePublication, EventReason, EventRefs, TrainBuildRequest};
use crate::domain::identity::{RunId, RunKey};
use crate::domain::run::{ExecutionMode, Failure, FailureCode, State, Transition};
use crate::domain::trace_context::TraceContext;
use crate::failpoints::failpoint;
use crate::modelling::lineage::DatasetIo;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A worker's right to work on a run, with the run as it was at the claim.
#[derive(Debug, Clone)]
pub struct Lease {
    pub run_id: RunId,
    pub run_key: RunKey,
    /// Fencing token. Every write of the worker names it. The next claim raises it, so that older writes are refused.
    pub fence: i64,
    pub mode: ExecutionMode,
    /// Number of full attempts, including this one.
    pub attempt: u32,
    pub worker: String,
    pub request: Arc<TrainBuildRequest>,
    /// Whether any request of the run allowed publication at the time of the claim.
    pub publish_allowed: bool,
    pub refs: EventRefs,
    /// Trace context under which the run's first request was admitted. `None` if the request had none.
    pub trace: Option<TraceContext>,
    /// Time between when the run became claimable and this claim.
    pub queued: Duration,
    /// Time on the worker's monotonic clock at which the worker must stop, unless the lease is renewed before.
    pub stop_at: Instant,
}

/// One step of a run. One transaction can take several steps.
#[derive(Debug, Clone)]
pub struct Step {
    pub transition: Transition,
    /// Evidence that was stored before this step. The ledger adds it to the run's `refs`.
    pub refs: EventRefs,
    pub reason: Option<EventReason>,
    /// Whether the attempt failed for want of what it needs. Such an attempt does not count while the run's patience
    /// lasts.
    pub is_outage: bool,
    /// Bundle to announce; `None` if the step announces none. The announcement goes into the outbox in the same
    /// transaction.
    pub publication: Option<BundlePublication>,
    /// Data sets read and written, for lineage. `None` if the step does not end the work.
    pub lineage: Option<DatasetIo>,
}

impl Step {
    pub fn to(transition: Transition, refs: EventRefs) -> Self {
        Self { transition, refs, reason: None, is_outage: false, publication: None, lineage: None }
    }

    pub fn with_reason(transition: Transition, code: FailureCode, message: impl AsRef<str>) -> Self {
        Self { reason: Some(EventReason::new(code, message)), ..Self::to(transition, EventRefs::new()) }
    }

    /// Builds the step of an attempt that ends with this failure.
    pub fn of_failure(mode: ExecutionMode, failure: Failure) -> Self {
        let transition = match mode {
            ExecutionMode::PublishOnly => Transition::DeferPublish,
            ExecutionMode::Full | ExecutionMode::None if failure.outage.is_some() || failure.code.is_retryable() => {
                Transition::Requeue
            }
            ExecutionMode::Full | ExecutionMode::None => Transition::Fail,
        };
        Self { is_outage: failure.outage.is_some(), ..Self::with_reason(transition, failure.code, failure.message) }
    }

    /// Builds a step that announces a bundle. The ledger leaves the step out if no request of the run allows
    /// publication.
    pub fn publish(transition: Transition, publication: BundlePublication) -> Self {
        Self { publication: Some(publication), ..Self::to(transition, EventRefs::new()) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// The lease was renewed and lasts for another full length.
    Held,
    Lost,
    /// The lease was renewed, and a requester or operator has asked to cancel the run.
    CancelRequested,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a lost lease means that the work must stop"]
pub enum Guarded {
    Won(State),
    /// Nothing was written, because the lease is lost or the run's state does not allow the write.
    Lost,
}

#[derive(sqlx_macros::FromRow)]
struct RenewedLease {
    run_id: String,
    cancel_requested: bool,
}

impl Ledger {
    /// Renews leases of one worker, each named by run and fence. Returns one result per lease, in the same order. One
    /// statement renews all of them, and only the database's clock decides which have expired.
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
