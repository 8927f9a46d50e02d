//! Find or insert: looks up earlier outcomes, requests and runs, and inserts those that are missing. Afterwards this
//! transaction holds a lock on every row that the batch touches.

use super::{Admission, Arrival, KnownRequest, NEAR_MISSES, NearRun};
use crate::adapters::ledger::columns::{StoredRequest, StoredTrace};
use crate::adapters::ledger::error::unreadable;
use crate::adapters::ledger::row::{LockedRun, select_run};
use crate::adapters::ledger::session::Session;
use crate::adapters::ledger::{Coordinates, Error, Ledger, positions};
use crate::domain::contract::{CommandMessage, EventRefs, Message, TrainBuildRequest};
use crate::domain::identity::{Digest, RunId};
use crate::domain::run::{ExecutionMode, Outcome, State};
use crate::domain::trace_context::TraceContext;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(sqlx_macros::FromRow)]
struct MetRequest {
    request_id: String,
    run_id: RunId,
    payload_digest: Digest,
    duplicate_announced: bool,
}

#[derive(sqlx_macros::FromRow)]
struct ContradictedRequest {
    request_id: String,
    request: StoredRequest,
}

#[derive(sqlx_macros::FromRow)]
struct EarlierOutcome {
    /// Position within the coordinates that were asked for, counted from 1.
    line: i64,
    #[sqlx(json)]
    outcome: Outcome,
    fingerprint: Option<i64>,
    /// Digest of the record's value, read only if there is no fingerprint.
    value_digest: Option<Digest>,
}

/// The outcome of a record that was decided before, and what stood at its coordinates then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recalled {
    pub outcome: Outcome,
    fingerprint: Option<i64>,
    /// Digest of the value, if an earlier release decided on the record and stored no fingerprint; else `None`.
    value_digest: Option<Digest>,
}

impl Recalled {
    /// Whether a record is the one that was decided on: by its fingerprint or, if none is stored, by the digest of its
    /// value. True if neither is stored.
    pub fn is_of(&self, fingerprint: i64, value_digest: impl FnOnce() -> Digest) -> bool {
        match (self.fingerprint, self.value_digest) {
            (Some(known), _) => known == fingerprint,
            (None, Some(known)) => known == value_digest(),
            (None, None) => true,
        }
    }
}

impl Ledger {
    /// Looks up the outcomes of records that were decided before; `None` for a new record. An outcome never changes, so
    /// that no transaction is needed, and a record that has an outcome need not be parsed.
    pub async fn recall(&self, records: &[Coordinates]) -> Result<Vec<Option<Recalled>>, Error> {
        let mut connection = self.pool.acquire().await?;
        outcomes_at(&mut connection, &records.iter().collect::<Vec<_>>()).await
    }
}

impl<'a> Admission<'a> {
    /// Waits until other workers have committed their records of the same partitions, so that their decisions can be
    /// read.
    pub(super) async fn lock_partitions(&mut self) -> Result<(), Error> {
        let mut first: BTreeMap<(&str, i32), i64> = BTreeMap::new();
        for Coordinates { topic, partition, offset } in self.batch.iter().map(|arrival| &arrival.record.coordinates) {
            let at = first.entry((topic, *partition)).or_insert(*offset);
            *at = (*at).min(*offset);
        }
        if self.lock_positions(&first).await? < first.len() {
            // Nothing of a partition was read before. Its row says where this batch begins; `store` moves it on.
            positions::insert(self.transaction.connection(), &first).await?;
            self.lock_positions(&first).await?;
        }
        Ok(())
    }

    /// Locks the rows of these partitions that exist, in ascending order. Returns how many there are.
    async fn lock_positions(&mut self, partitions: &BTreeMap<(&str, i32), i64>) -> Result<usize, Error> {
        let locked = sqlx::query(
            "SELECT FROM positions p
             WHERE (p.topic, p.partition) IN (SELECT * FROM UNNEST($1::text[], $2::integer[]))
             ORDER BY p.topic, p.partition FOR UPDATE",
        )
        .bind(partitions.keys().map(|(topic, _)| *topic).collect::<Vec<_>>())
        .bind(partitions.keys().map(|(_, partition)| *partition).collect::<Vec<_>>())
        .execute(self.transaction.connection())
        .await?;
        Ok(locked.rows_affected() as usize)
    }

    /// Reads the outcomes of those records of the batch that were decided before.
    pub(super) async fn recall(&mut self) -> Result<(), Error> {
        let coordinates: Vec<&Coordinates> = self.batch.iter().map(|arrival| &arrival.record.coordinates).collect();
        let recalled = outcomes_at(self.transaction.connection(), &coordinates).await?;
        self.outcomes = recalled.into_iter().map(|recalled| recalled.map(|recalled| recalled.outcome)).collect();
        Ok(())
    }

    /// Inserts new requests in ascending order of their keys, then locks and reads those that existed before: `ON CONFLICT DO
    /// NOTHING` does not return the existing row. An inserted row needs no further lock.
    pub(super) async fn find_or_insert_requests(&mut self, fresh: &[usize]) -> Result<(), Error> {
        let batch = self.batch;
        let mut first: BTreeMap<&'a str, usize> = BTreeMap::new();
        for &index in fresh {
            if batch[index].train().is_some() {
                first.entry(self.key(index)).or_insert(index);
            }
        }
        if first.is_empty() {
            return Ok(());
        }
        let counted_for = |index: &usize| self.joining.contains(index).then(|| batch[*index].counted_for()).flatten();
        let arrivals = || first.values().map(|&index| &batch[index]);
        let fingerprints = || arrivals().filter_map(|arrival| arrival.train().map(|(_, fingerprint)| fingerprint));
        let coordinates = || arrivals().map(|arrival| &arrival.record.coordinates);
        let inserted: Vec<String> = sqlx::query_scalar(
            r#"INSERT INTO requests (request_id, run_id, payload_digest, topic, partition, "offset", counted_for,
                                     admitted_at)
               SELECT n.request_id, n.run_id, n.payload_digest, n.topic, n.partition, n.position, n.counted_for, now()
               FROM UNNEST($1::text[], $2::text[], $3::bytea[], $4::text[], $5::integer[], $6::bigint[], $7::text[])
                    AS n (request_id, run_id, payload_digest, topic, partition, position, counted_for)
               ORDER BY n.request_id
               ON CONFLICT (request_id) DO NOTHING RETURNING request_id"#,
        )
        .bind(first.keys().copied().collect::<Vec<_>>())
        .bind(fingerprints().map(|print| print.run_id.as_str()).collect::<Vec<_>>())
        .bind(fingerprints().map(|print| print.payload_digest.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(coordinates().map(|at| at.topic.as_str()).collect::<Vec<_>>())
        .bind(coordinates().map(|at| at.partition).collect::<Vec<_>>())
        .bind(coordinates().map(|at| at.offset).collect::<Vec<_>>())
        .bind(first.values().map(counted_for).collect::<Vec<_>>())
        .fetch_all(self.transaction.connection())
        .await?;
        for id in inserted {
            let (&id, &index) = first.get_key_value(id.as_str()).expect("it is one of those inserted");
            let Some((request, print)) = batch[index].train() else { continue };
            let known = KnownRequest {
                run_id: print.run_id.clone(),
                payload_digest: print.payload_digest,
                request: Some(Arc::clone(request)),
                inserted_by: Some(index),
                duplicate_announced: false,
            };
            self.requests.insert(id, known);
        }
        let met: Vec<&str> = first.keys().copied().filter(|id| !self.requests.contains_key(id)).collect();
        if met.is_empty() {
            return Ok(());
        }
        let rows: Vec<MetRequest> = sqlx::query_as(
            "SELECT request_id, run_id, payload_digest, duplicate_announced FROM requests
             WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE",
        )
        .bind(&met)
        .fetch_all(self.transaction.connection())
        .await?;
        for MetRequest { request_id, run_id, payload_digest, duplicate_announced } in rows {
            let (&id, _) = first.get_key_value(request_id.as_str()).expect("it is one of those asked for");
            let known = KnownRequest { run_id, payload_digest, request: None, inserted_by: None, duplicate_announced };
            self.requests.insert(id, known);
        }
        Ok(())
    }

    /// If an arrival reuses a stored request id with other content, reads the stored request: the rejection names the
    /// fields that differ.
    pub(super) async fn read_contradicted(&mut self, fresh: &[usize]) -> Result<(), Error> {
        let batch = self.batch;
        let contradicted: Vec<&'a str> = fresh
            .iter()
            .filter_map(|&index| Some((self.key(index), batch[index].train()?)))
            .filter(|(key, (_, print))| {
                let known = &self.requests[key];
                known.request.is_none() && known.payload_digest != print.payload_digest
            })
            .map(|(key, _)| key)
            .collect();
        if contradicted.is_empty() {
            return Ok(());
        }
        let rows: Vec<ContradictedRequest> = sqlx::query_as(
            r#"SELECT q.request_id, i.value AS request FROM requests q
               LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset"
               WHERE q.request_id = ANY($1)"#,
        )
        .bind(contradicted)
        .fetch_all(self.transaction.connection())
        .await?;
        for ContradictedRequest { request_id, request } in rows {
            let known = self.requests.get_mut(request_id.as_str()).expect("it is one of those asked for");
            known.request = Some(request.0);
        }
        Ok(())
    }

    /// Inserts new runs in ascending order, then locks every other run that the batch touches.
    pub(super) async fn find_or_insert_runs(&mut self, fresh: &[usize]) -> Result<(), Error> {
        let batch = self.batch;
        let mut new: BTreeMap<RunId, usize> = BTreeMap::new();
        let mut touched: BTreeSet<RunId> = self.requests.values().map(|known| known.run_id.clone()).collect();
        for &index in fresh {
            match &batch[index].parsed {
                Ok(Message::Train(_)) => {
                    let known = &self.requests[self.key(index)];
                    if known.inserted_by == Some(index) {
                        new.entry(known.run_id.clone()).or_insert(index);
                    }
                }
                Ok(
                    Message::PublishRetry(CommandMessage { run_id, .. })
                    | Message::Cancel(CommandMessage { run_id, .. }),
                ) => {
                    touched.insert(run_id.clone());
                }
                Err(_) => {}
            }
        }
        if !new.is_empty() {
            self.find_near_runs(&new).await?;
            for run_id in self.insert_runs(&new).await? {
                touched.remove(&run_id);
                let index = new[&run_id];
                let mut run = self.new_run(index)?;
                self.stored.insert(run_id.clone(), run.clone());
                // The caller still has to emit the run's first event.
                run.next_seq = 1;
                self.runs.insert(run_id.clone(), run);
                self.created.insert(run_id, index);
            }
            self.add_created_to_near_runs();
        }
        if touched.is_empty() {
            return Ok(());
        }
        let met: Vec<LockedRun> =
            sqlx::query_as(select_run!("WHERE r.run_id = ANY($1) ORDER BY r.run_id FOR UPDATE OF r"))
                .bind(touched.iter().map(RunId::as_str).collect::<Vec<_>>())
                .fetch_all(self.transaction.connection())
                .await?;
        for run in met {
            self.stored.insert(run.run_id.clone(), run.clone());
            self.runs.insert(run.run_id.clone(), run);
        }
        Ok(())
    }

    /// Looks up existing runs that look like one of these. Called before these are inserted, so that for most of them the
    /// index alone answers.
    async fn find_near_runs(&mut self, new: &BTreeMap<RunId, usize>) -> Result<(), Error> {
        let batch = self.batch;
        let prints = new.values().filter_map(|&index| batch[index].train().map(|(_, fingerprint)| fingerprint));
        let near_runs: Vec<NearRun> = sqlx::query_as(
            "SELECT n.near_key, r.run_id, r.request_id FROM (SELECT DISTINCT UNNEST($1::bytea[]) AS near_key) n
                 CROSS JOIN LATERAL (SELECT run_id, request_id FROM runs WHERE near_key = n.near_key LIMIT $2) r
             ORDER BY r.run_id",
        )
        .bind(prints.map(|print| print.near_key.as_bytes().as_slice()).collect::<Vec<_>>())
        // One more than an event names, since another worker may have inserted the run itself.
        .bind(NEAR_MISSES as i64 + 1)
        .fetch_all(self.transaction.connection())
        .await?;
        for near in near_runs {
            self.near_misses.entry(near.near_key).or_default().push(near);
        }
        Ok(())
    }

    /// Runs of one batch may look alike, too.
    fn add_created_to_near_runs(&mut self) {
        let batch = self.batch;
        for (run_id, &index) in &self.created {
            let Some((_, fingerprint)) = batch[index].train() else { continue };
            let request_id = self.key(index).to_owned();
            let near = self.near_misses.entry(fingerprint.near_key).or_default();
            if near.len() <= NEAR_MISSES {
                near.push(NearRun { near_key: fingerprint.near_key, run_id: run_id.clone(), request_id });
            }
        }
    }

    /// Inserts runs with `next_seq` already behind their first event, `request.admitted`, so that no second write is
    /// needed. Returns the runs that did not exist before. `new[run_id]` is the index of the record that asked for the
    /// run.
    async fn insert_runs(&mut self, new: &BTreeMap<RunId, usize>) -> Result<Vec<RunId>, Error> {
        let (batch, settings) = (self.batch, &self.transaction.ledger.settings);
        let arrivals = || new.values().map(|&index| &batch[index]);
        let traces = || arrivals().map(Arrival::requested_under);
        let requests = || arrivals().filter_map(|arrival| arrival.train().map(|(request, _)| request));
        let prints = || arrivals().filter_map(|arrival| arrival.train().map(|(_, print)| print));
        let tenants: BTreeSet<&str> = requests().map(|request| tenant(request)).collect();
        sqlx::query("INSERT INTO tenants (tenant) SELECT UNNEST($1::text[]) ON CONFLICT DO NOTHING")
            .bind(tenants.into_iter().collect::<Vec<_>>())
            .execute(self.transaction.connection())
            .await?;
        Ok(sqlx::query_scalar(
            "INSERT INTO runs (run_id, run_key, near_key, request_id, tenant, traceparent, tracestate, publish_allowed,
                               priority, counted_for, platform_run_id, next_seq, available_at, created_at, updated_at)
             SELECT n.run_id, n.run_key, n.near_key, n.request_id, n.tenant, n.traceparent, n.tracestate,
                    n.publish_allowed, n.priority, n.counted_for, n.platform_run_id, 2, now(), now(), now()
             FROM UNNEST($1::text[], $2::bytea[], $3::bytea[], $4::text[], $5::text[], $6::text[], $7::text[],
                         $8::boolean[], $9::smallint[], $10::text[], $11::text[])
                  AS n (run_id, run_key, near_key, request_id, tenant, traceparent, tracestate, publish_allowed,
                        priority, counted_for, platform_run_id)
             ORDER BY n.run_id
             ON CONFLICT (run_id) DO NOTHING RETURNING run_id",
        )
        .bind(new.keys().map(RunId::as_str).collect::<Vec<_>>())
        .bind(prints().map(|print| print.run_key.digest().as_bytes().to_vec()).collect::<Vec<_>>())
        .bind(prints().map(|print| print.near_key.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(new.values().map(|&index| self.key(index)).collect::<Vec<_>>())
        .bind(requests().map(|request| tenant(request)).collect::<Vec<_>>())
        .bind(traces().map(|trace| trace.map(TraceContext::traceparent)).collect::<Vec<_>>())
        .bind(traces().map(|trace| trace.and_then(TraceContext::tracestate)).collect::<Vec<_>>())
        .bind(requests().map(|request| request.publish_allowed).collect::<Vec<_>>())
        .bind(requests().map(|request| settings.priority_of(request)).collect::<Vec<_>>())
        .bind(arrivals().map(Arrival::counted_for).collect::<Vec<_>>())
        .bind(requests().map(|request| request.platform_run_id.as_str()).collect::<Vec<_>>())
        .fetch_all(self.transaction.connection())
        .await?)
    }

    /// Builds the row of a new run in memory, equal to the row that was inserted for the record at `index`.
    fn new_run(&self, index: usize) -> Result<LockedRun, Error> {
        let arrival = &self.batch[index];
        let (request, print) = arrival.train().ok_or_else(|| unreadable("new run", "it is of no training request"))?;
        Ok(LockedRun {
            run_id: print.run_id.clone(),
            run_key: print.run_key,
            request: StoredRequest(Arc::clone(request)),
            state: State::Queued,
            mode: ExecutionMode::None,
            publish_allowed: request.publish_allowed,
            full_run_attempts: 0,
            publish_retry_attempts: 0,
            full_attempts_before: 0,
            publish_attempts_before: 0,
            priority: self.transaction.ledger.settings.priority_of(request),
            fence: 0,
            read_fence: 0,
            lease_owner: None,
            cancel_requested: false,
            available_at: self.transaction.at,
            outage_since: None,
            outage_tries: 0,
            reason_code: None,
            reason_message: None,
            refs: EventRefs::new(),
            refs_changed: false,
            next_seq: 2,
            trace: StoredTrace(arrival.record.trace.clone()),
            published: None,
            answer_due_at: None,
            confirmed_by: None,
            lineage_since: None,
        })
    }
}

/// Reads the outcome of the record at each of these coordinates; `None` if the record was not decided yet.
async fn outcomes_at(connection: &mut Session, coordinates: &[&Coordinates]) -> Result<Vec<Option<Recalled>>, Error> {
    let rows: Vec<EarlierOutcome> = sqlx::query_as(
        r#"SELECT c.line, i.outcome, i.fingerprint,
                  CASE WHEN i.fingerprint IS NULL THEN sha256(i.value) END AS value_digest
           FROM inbox i
           JOIN UNNEST($1::text[], $2::integer[], $3::bigint[]) WITH ORDINALITY AS c (topic, partition, position, line)
             ON i.topic = c.topic AND i.partition = c.partition AND i."offset" = c.position"#,
    )
    .bind(coordinates.iter().map(|c| c.topic.as_str()).collect::<Vec<_>>())
    .bind(coordinates.iter().map(|c| c.partition).collect::<Vec<_>>())
    .bind(coordinates.iter().map(|c| c.offset).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let mut recalled = vec![None; coordinates.len()];
    for EarlierOutcome { line, outcome, fingerprint, value_digest } in rows {
        recalled[line as usize - 1] = Some(Recalled { outcome, fingerprint, value_digest });
    }
    Ok(recalled)
}

fn tenant(request: &TrainBuildRequest) -> &str {
    request.target_scope.tenant_id.as_deref().unwrap_or_default()
}
