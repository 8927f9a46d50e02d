//! What an admission finds in the ledger or makes there: outcomes of earlier, requests, runs. Everything
//! that it decides about is locked when this is done.

use super::Fault;
use super::admit::{Admission, Fingerprint, Known};
use super::rows::{LockedRun, select_run, unreadable};
use super::types::{Arrival, Coordinates, Outcome};
use crate::contract::{EventRefs, Message, TrainBuildRequest};
use crate::identity::{Digest, RunId};
use crate::run::{ExecutionMode, State};
use serde_json::Value;
use sqlx::{PgConnection, Row};
use std::collections::{BTreeMap, BTreeSet, HashMap};

impl Admission<'_> {
    /// Takes turns with another worker that brings records of the same partitions: what it decided has
    /// to be seen before anything is decided here.
    pub(super) async fn take_turns(&self, connection: &mut PgConnection) -> Result<(), Fault> {
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
    pub(super) async fn recall(&mut self, connection: &mut PgConnection) -> Result<(), Fault> {
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

    /// Inserts new request ids in order, then reads back the ids that were there: `ON CONFLICT DO NOTHING`
    /// does not return the row that it met. What this transaction inserted is known and locked by that.
    pub(super) async fn place_requests(&mut self, connection: &mut PgConnection, fresh: &[usize]) -> Result<(), Fault> {
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
        for row in inserted {
            let id: String = row.try_get(0)?;
            let index = first[&id];
            let print = &self.fingerprints[&index];
            let known = Known {
                run_id: print.run_id.clone(),
                payload_digest: print.payload_digest,
                body: print.body.clone(),
                inserted_by: Some(index),
                duplicate_announced: false,
            };
            self.known.insert(id, known);
        }
        let met: Vec<String> = ids.into_iter().filter(|id| !self.known.contains_key(id)).collect();
        if met.is_empty() {
            return Ok(());
        }
        let rows = sqlx::query(
            "SELECT request_id, run_id, payload_digest, body, duplicate_announced FROM requests
             WHERE request_id = ANY($1) ORDER BY request_id FOR UPDATE",
        )
        .bind(&met)
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
                inserted_by: None,
                duplicate_announced: row.try_get(4)?,
            };
            self.known.insert(id, known);
        }
        Ok(())
    }

    /// Inserts new runs in order, then locks every other run that the batch touches. A new run is inserted as
    /// it stands after its first event, `request.admitted`, so that it need not be written twice.
    pub(super) async fn place_runs(&mut self, connection: &mut PgConnection, fresh: &[usize]) -> Result<(), Fault> {
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
            let run_id: RunId = row.try_get::<String, _>(0)?.parse().map_err(|error| unreadable("run id", error))?;
            touched.remove(&run_id);
            let mut run = self.new_run(new[&run_id])?;
            self.stored.insert(run_id.clone(), run.clone());
            // Its first event is still to be told.
            run.next_seq = 1;
            self.runs.insert(run_id.clone(), run);
            self.created.insert(run_id);
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
            let run = LockedRun::read(&row)?;
            self.stored.insert(run.run_id.clone(), run.clone());
            self.runs.insert(run.run_id.clone(), run);
        }
        Ok(())
    }

    /// The row of a new run, as it was inserted for this arrival.
    fn new_run(&self, index: usize) -> Result<LockedRun, Fault> {
        let request = self.train(index).ok_or_else(|| unreadable("new run", "it is of no training request"))?;
        let print = &self.fingerprints[&index];
        let arrival = &self.batch[index];
        Ok(LockedRun {
            run_id: print.run_id.clone(),
            run_key: print.run_key,
            request: request.clone(),
            state: State::Queued,
            mode: ExecutionMode::None,
            publish_allowed: request.publish_allowed,
            full_run_attempts: 0,
            publish_retry_attempts: 0,
            full_attempts_before: 0,
            publish_attempts_before: 0,
            priority: self.settings.priority_of(request),
            fence: 0,
            lease_owner: None,
            cancel_requested: false,
            available_at: self.at,
            reason: None,
            refs: EventRefs::new(),
            next_seq: 2,
            traceparent: arrival.traceparent.clone(),
            tracestate: arrival.tracestate.clone(),
            published: None,
        })
    }
}

fn tenant(request: &TrainBuildRequest) -> String {
    request.target_scope.tenant_id.clone().unwrap_or_default()
}
