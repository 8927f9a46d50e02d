//! Admission: one transaction for a whole batch of records, one outcome for each, for ever.
//!
//! Order of locks: partitions, then requesters with a quota, then request ids ascending, then run ids ascending, the
//! audit log's head last. Two workers that bring the same keys, or after a rebalance the same records, wait for each
//! other and never deadlock.

use super::advance::now;
use super::audit_log::Cause;
use super::control::{Act, ActRefused, Order};
use super::counting::count;
use super::events::{NewEvent, refusal_drafts};
use super::rows::{Additions, LockedRun};
use super::types::{Arrival, Coordinates, Fingerprint};
use super::{Error, Ledger, LedgerSettings, place};
use crate::domain::contract::{
    ActKind, ActReason, CancelRequest, Deduplication, EventType, Message, PublishRetryRequest, RejectedIds, Rejection,
    SameAs, TrainBuildRequest,
};
use crate::domain::identity::{Digest, RunId};
use crate::domain::run::{FailureCode, Outcome, State, Transition};
use crate::failpoints::failpoint;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A stored request: what an arrival with the same id is compared with.
pub(super) struct Known {
    pub(super) run_id: RunId,
    pub(super) payload_digest: Digest,
    /// Of a stored one only where an arrival contradicts it.
    pub(super) request: Option<Arc<TrainBuildRequest>>,
    /// Inserted by this transaction, by the arrival with this index.
    pub(super) inserted_by: Option<usize>,
    pub(super) duplicate_announced: bool,
}

/// Runs that one event names as near misses at the most.
const NEAR_MISSES: usize = 16;

pub(super) struct Admission<'a> {
    pub(super) batch: &'a [Arrival],
    pub(super) worker: &'a str,
    pub(super) at: DateTime<Utc>,
    pub(super) outcomes: Vec<Option<Outcome>>,
    pub(super) known: BTreeMap<&'a str, Known>,
    pub(super) runs: BTreeMap<RunId, LockedRun>,
    /// The same rows as they stand in the database: only those that changed are written.
    pub(super) stored: HashMap<RunId, LockedRun>,
    pub(super) created: BTreeSet<RunId>,
    pub(super) announced: BTreeSet<&'a str>,
    /// Runs by what they look like, for the meanings of this batch.
    pub(super) near_misses: HashMap<Digest, Vec<RunId>>,
    pub(super) settings: &'a LedgerSettings,
    pub(super) additions: Additions,
}

impl Ledger {
    /// What became of records before. It stands for ever, so that it may be asked outside of any
    /// transaction, and a record that has it need not be parsed.
    pub async fn recall(&self, records: &[Coordinates]) -> Result<Vec<Option<Outcome>>, Error> {
        let mut connection = self.pool.acquire().await?;
        place::recall(&mut connection, || records.iter()).await
    }

    /// Decides what becomes of each record, in one transaction. A record that was decided before keeps
    /// its outcome and writes nothing, so the same batch may be brought again after any fault.
    pub async fn admit(&self, batch: &[Arrival], worker: &str) -> Result<Vec<Outcome>, Error> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let at = now(connection).await?;
        failpoint("admit.begun")?;
        let mut admission = Admission {
            batch,
            worker,
            at,
            outcomes: Vec::new(),
            known: BTreeMap::new(),
            runs: BTreeMap::new(),
            stored: HashMap::new(),
            created: BTreeSet::new(),
            announced: BTreeSet::new(),
            near_misses: HashMap::new(),
            settings: &self.settings,
            additions: self.additions(),
        };
        admission.take_turns(connection).await?;
        admission.recall(connection).await?;
        let fresh: Vec<usize> = (0..batch.len()).filter(|&index| admission.outcomes[index].is_none()).collect();
        if !fresh.is_empty() {
            admission.refuse_over_quota(connection, &fresh).await?;
            let placed: Vec<usize> =
                fresh.iter().copied().filter(|&index| admission.outcomes[index].is_none()).collect();
            admission.place_requests(connection, &placed).await?;
            admission.recall_contradicted(connection, &placed).await?;
            admission.place_runs(connection, &placed).await?;
            for &index in &placed {
                admission.decide(index);
            }
            admission.store(connection, &fresh).await?;
        }
        failpoint("admit.inserted")?;
        admission.additions.commit(transaction, worker, Some("admit.committed")).await?;
        let outcomes: Vec<_> =
            admission.outcomes.into_iter().map(|outcome| outcome.expect("every record was decided")).collect();
        for index in fresh {
            count(&outcomes[index]);
        }
        Ok(outcomes)
    }
}

impl<'a> Admission<'a> {
    fn decide(&mut self, index: usize) {
        let arrival = &self.batch[index];
        let told = self.additions.told.len();
        self.additions.cause = Some(Cause::record(arrival, self.worker));
        let outcome = match &arrival.parsed {
            Ok(Message::Train(_)) => {
                let (request, fingerprint) = arrival.train().expect("a training request has a fingerprint");
                self.decide_request(index, request, fingerprint)
            }
            Ok(Message::Cancel(CancelRequest { run_id, request_id, requester_principal, reason, .. })) => {
                self.command(index, Act::Cancel, (run_id, request_id, requester_principal, reason))
            }
            Ok(Message::PublishRetry(PublishRetryRequest {
                run_id, request_id, requester_principal, reason, ..
            })) => self.command(index, Act::RetryPublish, (run_id, request_id, requester_principal, reason)),
            Err(rejection) => {
                self.refuse(index, rejection);
                Outcome::Rejected { code: rejection.code }
            }
        };
        self.additions.settle(told, &outcome);
        self.outcomes[index] = Some(outcome);
    }

    fn decide_request(&mut self, index: usize, request: &'a TrainBuildRequest, fingerprint: &Fingerprint) -> Outcome {
        let known = &self.known[request.request_id.as_str()];
        let run_id = known.run_id.clone();
        if known.payload_digest != fingerprint.payload_digest {
            let first = known.request.as_ref().expect("what is contradicted was read").normalised();
            let differs = TrainBuildRequest::differences(&first, &request.normalised());
            let message = format!(
                "request id {:?} was used before with other content; it differs at {}; the first one stands ({run_id})",
                request.request_id,
                differs.join(", ")
            );
            self.refuse_as(index, FailureCode::RequestIdPayloadMismatch, "/request_id", message, &request.request_id);
            return Outcome::Conflict { run_id, differs };
        }
        let (at, worker) = (self.at, self.worker);
        let run = self.runs.get_mut(&run_id).expect("the run of every known request was locked or made");
        if known.inserted_by == Some(index) {
            run.publish_allowed |= request.publish_allowed;
            run.priority = run.priority.max(self.settings.priority_of(request));
            if self.created.contains(&run_id) && run.request.request_id == request.request_id {
                let near_misses = self.near_misses.get(&fingerprint.near_key).cloned().unwrap_or_default();
                let event = NewEvent {
                    request_id: Some(request.request_id.clone()),
                    near_misses: near_misses.into_iter().filter(|other| *other != run_id).take(NEAR_MISSES).collect(),
                    ..NewEvent::of(EventType::RequestAdmitted, None)
                };
                run.tell(event, at, worker, &mut self.additions);
                return Outcome::Admitted { run_id };
            }
            run.tell(joined(run, request, SameAs::Meaning), at, worker, &mut self.additions);
            if run.state == State::Pass && run.publish_allowed && run.request.intent_kind.is_publishable() {
                run.step(Transition::RequestPublish, None, at, worker, &mut self.additions)
                    .expect("a run at PASS may be published");
                run.available_at = at;
            }
            return Outcome::DuplicateRun { run_id };
        }
        if !known.duplicate_announced && self.announced.insert(&request.request_id) {
            run.tell(joined(run, request, SameAs::Request), at, worker, &mut self.additions);
        }
        Outcome::DuplicateRequest { run_id }
    }

    fn command(&mut self, index: usize, act: Act, command: (&RunId, &str, &str, &str)) -> Outcome {
        let (run_id, request_id, actor, why) = command;
        let grant = self.batch[index].grant.as_ref();
        let done = match self.runs.get_mut(run_id) {
            Some(run) if grant.is_some_and(|grant| !grant.covers(&run.request.target_scope, act.publishes())) => {
                let message = format!("{actor:?} may not do this to runs of the scope and tenant of {run_id}");
                Err(ActRefused { code: FailureCode::RequesterNotAllowed, message })
            }
            Some(run) => run.act(Order { act, actor, why }, self.at, self.worker, &mut self.additions),
            None => Err(ActRefused { code: FailureCode::RunUnknown, message: format!("there is no run {run_id}") }),
        };
        match done {
            Ok(()) => Outcome::CommandApplied { run_id: run_id.clone() },
            Err(ActRefused { code, message }) => {
                self.refuse_as(index, code, "/run_id", message, request_id);
                Outcome::CommandRejected { code }
            }
        }
    }

    fn refuse_as(&mut self, index: usize, code: FailureCode, pointer: &str, message: String, request_id: &str) {
        let ids = RejectedIds { request_id: Some(request_id.to_owned()), platform_run_id: None };
        let rejection = Rejection { code, pointer: pointer.to_owned(), message, ids };
        self.refuse(index, &rejection.within(&self.batch[index].place));
    }

    pub(super) fn refuse(&mut self, index: usize, rejection: &Rejection) {
        let act = self.additions.act(ActKind::RequestRejected, None, self.worker);
        act.reason =
            Some(ActReason::coded(rejection.code, &format!("at {:?}: {}", rejection.pointer, rejection.message)));
        self.additions.outbox.extend(refusal_drafts(&self.batch[index], rejection, self.at, self.worker));
    }

    async fn store(&self, connection: &mut PgConnection, fresh: &[usize]) -> Result<(), Error> {
        self.store_inbox(connection, fresh).await?;
        let as_read = |run: &LockedRun| self.stored.get(&run.run_id).filter(|stored| *stored != run).map(|s| s.fence);
        let changed: Vec<(&LockedRun, i64)> = self.runs.values().filter_map(|run| Some((run, as_read(run)?))).collect();
        if !changed.is_empty() {
            LockedRun::store_all(connection, &changed, None).await?;
        }
        if !self.announced.is_empty() {
            sqlx::query("UPDATE requests SET duplicate_announced = true WHERE request_id = ANY($1)")
                .bind(self.announced.iter().copied().collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        self.additions.store(connection, self.worker).await
    }

    async fn store_inbox(&self, connection: &mut PgConnection, fresh: &[usize]) -> Result<(), Error> {
        let arrivals = || fresh.iter().map(|&index| &self.batch[index]);
        let records = || arrivals().map(|arrival| &arrival.record);
        sqlx::query(
            r#"INSERT INTO inbox (topic, partition, "offset", key, value, outcome, request_id, received_at)
               SELECT n.topic, n.partition, n.position, n.key, n.value, n.outcome, n.request_id, now()
               FROM UNNEST($1::text[], $2::integer[], $3::bigint[], $4::bytea[], $5::bytea[], $6::jsonb[], $7::text[])
                    AS n (topic, partition, position, key, value, outcome, request_id)"#,
        )
        .bind(records().map(|record| record.coordinates.topic.as_str()).collect::<Vec<_>>())
        .bind(records().map(|record| record.coordinates.partition).collect::<Vec<_>>())
        .bind(records().map(|record| record.coordinates.offset).collect::<Vec<_>>())
        .bind(records().map(|record| record.key.as_deref()).collect::<Vec<_>>())
        .bind(records().map(|record| record.value.as_slice()).collect::<Vec<_>>())
        .bind(fresh.iter().map(|&index| Json(&self.outcomes[index])).collect::<Vec<_>>())
        .bind(arrivals().map(|a| request_id(&a.parsed)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    }
}

fn request_id(parsed: &Result<Message, Rejection>) -> Option<&str> {
    match parsed {
        Ok(message) => Some(message.request_id()),
        Err(rejection) => rejection.ids.request_id.as_deref(),
    }
}

/// The event that tells which run a request joined, and why.
fn joined(run: &LockedRun, request: &TrainBuildRequest, because: SameAs) -> NewEvent {
    let deduplication = Deduplication {
        because,
        first_request_id: run.request.request_id.clone(),
        compared: TrainBuildRequest::IDENTITY.map(str::to_owned).to_vec(),
        ignored_differences: TrainBuildRequest::differences(&run.request.normalised(), &request.normalised())
            .into_iter()
            .filter(|field| !TrainBuildRequest::IDENTITY.contains(&field.as_str()))
            .collect(),
    };
    let request_id = Some(request.request_id.clone());
    NewEvent { request_id, deduplication: Some(deduplication), ..NewEvent::of(EventType::RequestDeduplicated, None) }
}
