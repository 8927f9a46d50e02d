//! Admission: one transaction for a whole batch of records, one outcome for each, for ever.
//!
//! Order of locks: partitions, then request ids ascending, then run ids ascending. Two workers that bring
//! the same keys, or after a rebalance the same records, wait for each other and never deadlock.

use super::control::{Act, ActRefused, Order};
use super::events::{NewEvent, refusal_drafts};
use super::fault::{commit_fault, committed};
use super::rows::{Additions, LockedRun, select_run, unreadable};
use super::types::{Arrival, Coordinates, Outcome};
use super::{Fault, Ledger, LedgerSettings};
use crate::contract::{
    CancelRequest, Deduplication, EventType, Message, PublishRetryRequest, RejectedIds, Rejection, SameAs,
    TrainBuildRequest,
};
use crate::faults::reach;
use crate::identity::{Digest, RunId, RunKey, near_key};
use crate::run::{FailureCode, State, Transition};
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A stored request: what an arrival with the same id is compared with.
struct Known {
    run_id: RunId,
    payload_digest: Digest,
    body: Value,
    /// Inserted by this transaction, by the arrival with this index.
    inserted_by: Option<usize>,
    duplicate_announced: bool,
}

/// What identity makes of a request, worked out once.
struct Fingerprint {
    run_key: RunKey,
    run_id: RunId,
    near_key: Digest,
    payload_digest: Digest,
    body: Value,
}

impl Fingerprint {
    fn of(request: &TrainBuildRequest) -> Self {
        let meaning = request.meaning();
        let run_key = RunKey::of(&meaning);
        Self {
            run_id: run_key.run_id(),
            run_key,
            near_key: near_key(&meaning),
            payload_digest: request.payload_digest(),
            body: normalised(request),
        }
    }
}

/// Runs that one event names as near misses at the most.
const NEAR_MISSES: usize = 16;

struct Admission<'a> {
    batch: &'a [Arrival],
    worker: &'a str,
    at: DateTime<Utc>,
    outcomes: Vec<Option<Outcome>>,
    /// By index; of fresh training requests only.
    fingerprints: HashMap<usize, Fingerprint>,
    known: BTreeMap<String, Known>,
    runs: BTreeMap<RunId, LockedRun>,
    /// The same rows as they stand in the database: only those that changed are written.
    stored: HashMap<RunId, LockedRun>,
    created: BTreeSet<RunId>,
    announced: BTreeSet<String>,
    /// Runs by what they look like, for the meanings of this batch.
    near_misses: HashMap<Digest, Vec<RunId>>,
    settings: &'a LedgerSettings,
    additions: Additions,
}

impl Ledger {
    /// Decides what becomes of each record, in one transaction. A record that was decided before keeps
    /// its outcome and writes nothing, so the same batch may be brought again after any fault.
    pub async fn admit(&self, batch: &[Arrival], worker: &str) -> Result<Vec<Outcome>, Fault> {
        let mut transaction = self.pool.begin().await?;
        let connection = &mut *transaction;
        let at: DateTime<Utc> = sqlx::query("SELECT now()").fetch_one(&mut *connection).await?.try_get(0)?;
        reach("admit.begun")?;
        let mut admission = Admission {
            batch,
            worker,
            at,
            outcomes: vec![None; batch.len()],
            fingerprints: HashMap::new(),
            known: BTreeMap::new(),
            runs: BTreeMap::new(),
            stored: HashMap::new(),
            created: BTreeSet::new(),
            announced: BTreeSet::new(),
            near_misses: HashMap::new(),
            settings: &self.settings,
            additions: Additions::default(),
        };
        admission.take_turns(connection).await?;
        admission.recall(connection).await?;
        let fresh: Vec<usize> = (0..batch.len()).filter(|&index| admission.outcomes[index].is_none()).collect();
        if !fresh.is_empty() {
            let of = |&index: &usize| Some((index, Fingerprint::of(admission.train(index)?)));
            admission.fingerprints = fresh.iter().filter_map(of).collect();
            admission.place_requests(connection, &fresh).await?;
            admission.place_runs(connection, &fresh).await?;
            for &index in &fresh {
                admission.decide(index);
            }
            admission.store(connection, &fresh).await?;
        }
        reach("admit.inserted")?;
        transaction.commit().await.map_err(commit_fault)?;
        committed("admit.committed")?;
        Ok(admission.outcomes.into_iter().map(|outcome| outcome.expect("every record was decided")).collect())
    }
}

impl Admission<'_> {
    /// Takes turns with another worker that brings records of the same partitions: what it decided has
    /// to be seen before anything is decided here.
    async fn take_turns(&self, connection: &mut PgConnection) -> Result<(), Fault> {
        let partitions: BTreeSet<(&str, i32)> = self
            .batch
            .iter()
            .map(|arrival| (arrival.coordinates.topic.as_str(), arrival.coordinates.partition))
            .collect();
        sqlx::query(
            "SELECT pg_advisory_xact_lock(p.key)
             FROM (SELECT DISTINCT hashtextextended(topic, partition) AS key
                   FROM UNNEST($1::text[], $2::integer[]) AS c (topic, partition) ORDER BY key OFFSET 0) p",
        )
        .bind(partitions.iter().map(|(topic, _)| (*topic).to_owned()).collect::<Vec<_>>())
        .bind(partitions.iter().map(|(_, partition)| *partition).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    }

    /// Records that were decided before.
    async fn recall(&mut self, connection: &mut PgConnection) -> Result<(), Fault> {
        let coordinates = || self.batch.iter().map(|arrival| &arrival.coordinates);
        let rows = sqlx::query(
            r#"SELECT i.topic, i.partition, i."offset", i.outcome FROM inbox i
               JOIN UNNEST($1::text[], $2::integer[], $3::bigint[]) AS c (topic, partition, position)
                 ON i.topic = c.topic AND i.partition = c.partition AND i."offset" = c.position"#,
        )
        .bind(coordinates().map(|c| c.topic.clone()).collect::<Vec<_>>())
        .bind(coordinates().map(|c| c.partition).collect::<Vec<_>>())
        .bind(coordinates().map(|c| c.offset).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        let mut decided = HashMap::with_capacity(rows.len());
        for row in rows {
            let coordinates =
                Coordinates { topic: row.try_get(0)?, partition: row.try_get(1)?, offset: row.try_get(2)? };
            let outcome: Outcome =
                serde_json::from_value(row.try_get(3)?).map_err(|error| unreadable("outcome", error))?;
            decided.insert(coordinates, outcome);
        }
        for (arrival, outcome) in self.batch.iter().zip(&mut self.outcomes) {
            *outcome = decided.get(&arrival.coordinates).cloned();
        }
        Ok(())
    }

    fn train(&self, index: usize) -> Option<&TrainBuildRequest> {
        match &self.batch[index].parsed {
            Ok(Message::Train(request)) => Some(request),
            Ok(Message::PublishRetry(_) | Message::Cancel(_)) | Err(_) => None,
        }
    }

    /// Inserts new request ids in order, then reads back every id of the batch: `ON CONFLICT DO NOTHING`
    /// does not return the row that it met.
    async fn place_requests(&mut self, connection: &mut PgConnection, fresh: &[usize]) -> Result<(), Fault> {
        let mut first: BTreeMap<String, usize> = BTreeMap::new();
        for &index in fresh {
            if let Some(request) = self.train(index) {
                first.entry(request.request_id.clone()).or_insert(index);
            }
        }
        if first.is_empty() {
            return Ok(());
        }
        let requests: Vec<&Fingerprint> = first.values().map(|index| &self.fingerprints[index]).collect();
        let ids: Vec<String> = first.keys().cloned().collect();
        let inserted = sqlx::query(
            "INSERT INTO requests (request_id, run_id, payload_digest, body, admitted_at)
             SELECT n.request_id, n.run_id, n.payload_digest, n.body, now()
             FROM UNNEST($1::text[], $2::text[], $3::bytea[], $4::jsonb[]) AS n (request_id, run_id, payload_digest, body)
             ORDER BY n.request_id
             ON CONFLICT (request_id) DO NOTHING RETURNING request_id",
        )
        .bind(&ids)
        .bind(requests.iter().map(|request| request.run_id.to_string()).collect::<Vec<_>>())
        .bind(requests.iter().map(|request| request.payload_digest.as_bytes().to_vec()).collect::<Vec<_>>())
        .bind(requests.iter().map(|request| request.body.clone()).collect::<Vec<Value>>())
        .fetch_all(&mut *connection)
        .await?;
        let mut new = BTreeSet::new();
        for row in inserted {
            new.insert(row.try_get::<String, _>(0)?);
        }
        let rows = sqlx::query(
            "SELECT request_id, run_id, payload_digest, body, duplicate_announced FROM requests
             WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE",
        )
        .bind(&ids)
        .fetch_all(connection)
        .await?;
        for row in rows {
            let id: String = row.try_get(0)?;
            let run_id: String = row.try_get(1)?;
            let digest: Vec<u8> = row.try_get(2)?;
            let known = Known {
                run_id: run_id.parse().map_err(|error| unreadable("run id", error))?,
                payload_digest: Digest::from_bytes(&digest).map_err(|error| unreadable("digest", error))?,
                body: row.try_get(3)?,
                inserted_by: if new.contains(&id) { first.get(&id).copied() } else { None },
                duplicate_announced: row.try_get(4)?,
            };
            self.known.insert(id, known);
        }
        Ok(())
    }

    /// Inserts new runs in order, then locks every run that the batch touches. A new run is inserted as it
    /// stands after its first event, `request.admitted`, so that it need not be written twice.
    async fn place_runs(&mut self, connection: &mut PgConnection, fresh: &[usize]) -> Result<(), Fault> {
        let mut new: BTreeMap<RunId, usize> = BTreeMap::new();
        let mut touched: BTreeSet<RunId> = self.known.values().map(|known| known.run_id.clone()).collect();
        for &index in fresh {
            match &self.batch[index].parsed {
                Ok(Message::Train(request)) => {
                    if self.known.get(&request.request_id).is_some_and(|known| known.inserted_by == Some(index)) {
                        new.entry(self.fingerprints[&index].run_id.clone()).or_insert(index);
                    }
                }
                Ok(Message::PublishRetry(command)) => {
                    touched.insert(command.run_id.clone());
                }
                Ok(Message::Cancel(command)) => {
                    touched.insert(command.run_id.clone());
                }
                Err(_) => {}
            }
        }
        let of = |pick: fn(&Arrival, &TrainBuildRequest) -> Option<String>| {
            new.values().map(|&i| self.train(i).and_then(|request| pick(&self.batch[i], request))).collect::<Vec<_>>()
        };
        let tenants: BTreeSet<String> = new.values().filter_map(|&i| self.train(i)).map(tenant).collect();
        sqlx::query("INSERT INTO tenants (tenant) SELECT UNNEST($1::text[]) ON CONFLICT DO NOTHING")
            .bind(tenants.into_iter().collect::<Vec<_>>())
            .execute(&mut *connection)
            .await?;
        let digests = |of: fn(&Fingerprint) -> Digest| {
            new.values().map(|index| of(&self.fingerprints[index]).as_bytes().to_vec()).collect::<Vec<_>>()
        };
        let near_keys = digests(|request| request.near_key);
        let keys = digests(|request| request.run_key.digest());
        let inserted = sqlx::query(
            "INSERT INTO runs (run_id, run_key, near_key, request_id, tenant, traceparent, tracestate, publish_allowed,
                               priority, next_seq, available_at, created_at, updated_at)
             SELECT n.run_id, n.run_key, n.near_key, n.request_id, n.tenant, n.traceparent, n.tracestate,
                    n.publish_allowed, n.priority, 2, now(), now(), now()
             FROM UNNEST($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::boolean[], $9::smallint[])
                  AS n (run_id, run_key, near_key, request_id, tenant, traceparent, tracestate, publish_allowed,
                        priority)
             ORDER BY n.run_id
             ON CONFLICT (run_key) DO NOTHING RETURNING run_id",
        )
        .bind(new.keys().map(RunId::to_string).collect::<Vec<_>>())
        .bind(keys)
        .bind(&near_keys)
        .bind(of(|_, request| Some(request.request_id.clone())))
        .bind(of(|_, request| Some(tenant(request))))
        .bind(of(|arrival, _| arrival.traceparent.clone()))
        .bind(of(|arrival, _| arrival.tracestate.clone()))
        .bind(new.values().map(|&i| self.train(i).map(|request| request.publish_allowed)).collect::<Vec<_>>())
        .bind(new.values().map(|&i| self.train(i).map(|r| self.settings.priority_of(r))).collect::<Vec<_>>())
        .fetch_all(&mut *connection)
        .await?;
        for row in inserted {
            self.created.insert(row.try_get::<String, _>(0)?.parse().map_err(|error| unreadable("run id", error))?);
        }
        for row in sqlx::query("SELECT near_key, run_id FROM runs WHERE near_key = ANY($1) ORDER BY run_id")
            .bind(&near_keys)
            .fetch_all(&mut *connection)
            .await?
        {
            let near: Vec<u8> = row.try_get(0)?;
            let near = Digest::from_bytes(&near).map_err(|error| unreadable("near key", error))?;
            let run_id: String = row.try_get(1)?;
            let run_id = run_id.parse().map_err(|error| unreadable("run id", error))?;
            self.near_misses.entry(near).or_default().push(run_id);
        }
        let rows = sqlx::query(select_run!("WHERE r.run_id = ANY($1) ORDER BY r.run_id FOR UPDATE OF r"))
            .bind(touched.iter().map(RunId::to_string).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
        for row in rows {
            let mut run = LockedRun::read(&row)?;
            self.stored.insert(run.run_id.clone(), run.clone());
            if self.created.contains(&run.run_id) {
                // Its first event is still to be told.
                run.next_seq = 1;
            }
            self.runs.insert(run.run_id.clone(), run);
        }
        Ok(())
    }

    fn decide(&mut self, index: usize) {
        let outcome = match &self.batch[index].parsed {
            Ok(Message::Train(request)) => self.decide_request(index, request),
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
        self.outcomes[index] = Some(outcome);
    }

    fn decide_request(&mut self, index: usize, request: &TrainBuildRequest) -> Outcome {
        let known = &self.known[&request.request_id];
        let print = &self.fingerprints[&index];
        let run_id = known.run_id.clone();
        if known.payload_digest != print.payload_digest {
            let differs = TrainBuildRequest::differences(&known.body, &print.body);
            let message = format!(
                "request id {:?} was used before with other content; it differs at {}; the first one stands ({run_id})",
                request.request_id,
                differs.join(", ")
            );
            self.refuse_as(index, FailureCode::RequestIdPayloadMismatch, "/request_id", message, &request.request_id);
            return Outcome::Conflict { run_id, differs };
        }
        let (at, worker) = (self.at, self.worker);
        let run = self.runs.get_mut(&run_id).expect("the request's foreign key");
        if known.inserted_by == Some(index) {
            run.publish_allowed |= request.publish_allowed;
            run.priority = run.priority.max(self.settings.priority_of(request));
            if self.created.contains(&run_id) && run.request.request_id == request.request_id {
                let near_misses = self.near_misses.get(&print.near_key).cloned().unwrap_or_default();
                let event = NewEvent {
                    request_id: Some(request.request_id.clone()),
                    near_misses: near_misses.into_iter().filter(|other| *other != run_id).take(NEAR_MISSES).collect(),
                    ..NewEvent::of(EventType::RequestAdmitted, None)
                };
                run.tell(event, at, worker, &mut self.additions);
                return Outcome::Admitted { run_id };
            }
            run.tell(joined(run, &print.body, SameAs::Meaning), at, worker, &mut self.additions);
            if run.state == State::Pass && run.publish_allowed && run.request.intent_kind.is_publishable() {
                run.step(Transition::RequestPublish, None, at, worker, &mut self.additions)
                    .expect("a run at PASS may be published");
                run.available_at = at;
            }
            return Outcome::DuplicateRun { run_id };
        }
        if !known.duplicate_announced && self.announced.insert(request.request_id.clone()) {
            run.tell(joined(run, &print.body, SameAs::Request), at, worker, &mut self.additions);
        }
        Outcome::DuplicateRequest { run_id }
    }

    fn command(&mut self, index: usize, act: Act, command: (&RunId, &str, &str, &str)) -> Outcome {
        let (run_id, request_id, actor, why) = command;
        let done = match self.runs.get_mut(run_id) {
            Some(run) => run.act(Order { act, actor, why }, self.at, self.worker, &mut self.additions),
            None => Err(ActRefused { code: FailureCode::SchemaInvalid, message: format!("there is no run {run_id}") }),
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
        self.refuse(index, &Rejection { code, pointer: pointer.to_owned(), message, ids });
    }

    fn refuse(&mut self, index: usize, rejection: &Rejection) {
        self.additions.outbox.extend(refusal_drafts(&self.batch[index], rejection, self.at, self.worker));
    }

    async fn store(&self, connection: &mut PgConnection, fresh: &[usize]) -> Result<(), Fault> {
        self.store_inbox(connection, fresh).await?;
        let as_read = |run: &LockedRun| self.stored.get(&run.run_id).filter(|stored| *stored != run).map(|s| s.fence);
        let changed: Vec<(&LockedRun, i64)> = self.runs.values().filter_map(|run| Some((run, as_read(run)?))).collect();
        if !changed.is_empty() {
            LockedRun::store_all(connection, &changed, None).await?;
        }
        if !self.announced.is_empty() {
            sqlx::query("UPDATE requests SET duplicate_announced = true WHERE request_id = ANY($1)")
                .bind(self.announced.iter().cloned().collect::<Vec<_>>())
                .execute(&mut *connection)
                .await?;
        }
        self.additions.store(connection, self.worker).await
    }

    async fn store_inbox(&self, connection: &mut PgConnection, fresh: &[usize]) -> Result<(), Fault> {
        let arrivals = || fresh.iter().map(|&index| &self.batch[index]);
        sqlx::query(
            r#"INSERT INTO inbox (topic, partition, "offset", key, value, outcome, request_id, received_at)
               SELECT n.topic, n.partition, n.position, n.key, n.value, n.outcome, n.request_id, now()
               FROM UNNEST($1::text[], $2::integer[], $3::bigint[], $4::bytea[], $5::bytea[], $6::jsonb[], $7::text[])
                    AS n (topic, partition, position, key, value, outcome, request_id)"#,
        )
        .bind(arrivals().map(|a| a.coordinates.topic.clone()).collect::<Vec<_>>())
        .bind(arrivals().map(|a| a.coordinates.partition).collect::<Vec<_>>())
        .bind(arrivals().map(|a| a.coordinates.offset).collect::<Vec<_>>())
        .bind(arrivals().map(|a| a.key.clone()).collect::<Vec<_>>())
        .bind(arrivals().map(|a| a.value.clone()).collect::<Vec<_>>())
        .bind(fresh.iter().map(|&index| serde_json::json!(self.outcomes[index])).collect::<Vec<Value>>())
        .bind(arrivals().map(|a| request_id(&a.parsed)).collect::<Vec<_>>())
        .execute(connection)
        .await?;
        Ok(())
    }
}

fn request_id(parsed: &Result<Message, Rejection>) -> Option<String> {
    match parsed {
        Ok(Message::Train(request)) => Some(request.request_id.clone()),
        Ok(Message::PublishRetry(command)) => Some(command.request_id.clone()),
        Ok(Message::Cancel(command)) => Some(command.request_id.clone()),
        Err(rejection) => rejection.ids.request_id.clone(),
    }
}

fn tenant(request: &TrainBuildRequest) -> String {
    request.target_scope.tenant_id.clone().unwrap_or_default()
}

fn normalised(request: &TrainBuildRequest) -> Value {
    serde_json::to_value(request).expect("a request serialises")
}

/// The event that tells which run a request joined, and why.
fn joined(run: &LockedRun, body: &Value, because: SameAs) -> NewEvent {
    let request_id = body["request_id"].as_str().map(str::to_owned);
    let deduplication = Deduplication {
        because,
        first_request_id: run.request.request_id.clone(),
        compared: TrainBuildRequest::IDENTITY.map(str::to_owned).to_vec(),
        ignored_differences: TrainBuildRequest::differences(&normalised(&run.request), body)
            .into_iter()
            .filter(|field| !TrainBuildRequest::IDENTITY.contains(&field.as_str()))
            .collect(),
    };
    NewEvent { request_id, deduplication: Some(deduplication), ..NewEvent::of(EventType::RequestDeduplicated, None) }
}
