//! Admission: one transaction decides a whole batch of records, and no record gets a second outcome.
//!
//! Guarantees: a record that was decided before keeps its outcome and writes nothing. Two workers that bring the same
//! keys, or after a rebalance the same records, wait for each other; the order of their locks is that of
//! [the ledger's page](super).

mod arrival;
mod commands;
mod decide;
mod deduplicate;
mod keys;
mod quota;
mod reconsider;

pub use arrival::{Arrival, SourceRecord};
pub use deduplicate::Recalled;

use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::transaction::Transaction;
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::contract::{Message, Rejection, TrainBuildRequest};
use crate::domain::identity::{Digest, RunId};
use crate::domain::run::Outcome;
use crate::failpoints::failpoint;
use crate::telemetry::metrics;
use sqlx::types::Json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// An event names at most this many runs as near misses, and no more are looked up: anybody can make many.
const NEAR_MISSES: usize = 16;

/// A batch with what its admission has found and inserted so far. An index names a record by its position in the batch.
struct Admission<'a> {
    transaction: Transaction<'a>,
    batch: &'a [Arrival],
    outcomes: Vec<Option<Outcome>>,
    /// Records whose id the same principal took when there was no policy, or when there was one and now there is none: the
    /// ledger knows it by the other key.
    by_other_key: BTreeSet<usize>,
    /// Requests by key: those that records of this batch bring.
    requests: BTreeMap<&'a str, KnownRequest>,
    /// Commands by key: those that records of this batch bring.
    commands: BTreeMap<&'a str, KnownCommand>,
    /// Records whose request joins a run that was there before, and counts against its requester's quota.
    joining: BTreeSet<usize>,
    /// Runs that the batch touches, all of them locked or inserted by this transaction.
    runs: BTreeMap<RunId, LockedRun>,
    /// The rows of `runs` as the database has them. `store` writes only runs that differ from their row in this map.
    stored: HashMap<RunId, LockedRun>,
    /// Runs that this transaction inserted, with the index of the record that asked for the run first.
    created: BTreeMap<RunId, usize>,
    /// Keys of requests whose duplicate event this batch emits: only the first duplicate of a request gets one.
    announced: BTreeSet<&'a str>,
    /// Keys of commands whose duplicate event this batch emits: only the first duplicate of a command gets one.
    announced_commands: BTreeSet<&'a str>,
    /// Existing runs by near key, a bounded number for each near key of this batch's requests.
    near_misses: HashMap<Digest, Vec<NearRun>>,
}

/// A run that differs from another one of this near key only in white space, case or Unicode form.
#[derive(sqlx_macros::FromRow)]
struct NearRun {
    near_key: Digest,
    run_id: RunId,
    /// Key of the run's first request.
    request_id: String,
}

/// A stored request, for comparison with an arrival of the same id.
struct KnownRequest {
    run_id: RunId,
    payload_digest: Digest,
    /// Read only if an arrival has the same id and other content; otherwise `None`.
    request: Option<Arc<TrainBuildRequest>>,
    /// Index in the batch of the record that brought this request; `None` if it was stored before this transaction.
    inserted_by: Option<usize>,
    duplicate_announced: bool,
}

/// A command that was decided before, or is decided on in this batch.
struct KnownCommand {
    payload_digest: Digest,
    /// Index in the batch of the record that brought this command; `None` if it was stored before this transaction.
    inserted_by: Option<usize>,
    duplicate_announced: bool,
}

impl Ledger {
    /// Decides what becomes of each record; outcomes are in the order of the batch. After any error the same batch may
    /// be admitted again.
    pub async fn admit(&self, batch: &[Arrival], worker: &str) -> Result<Vec<Outcome>, Error> {
        let transaction = self.begin(worker).await?;
        failpoint("admit.begun")?;
        let mut admission = Admission {
            transaction,
            batch,
            outcomes: Vec::new(),
            by_other_key: BTreeSet::new(),
            requests: BTreeMap::new(),
            commands: BTreeMap::new(),
            joining: BTreeSet::new(),
            runs: BTreeMap::new(),
            stored: HashMap::new(),
            created: BTreeMap::new(),
            announced: BTreeSet::new(),
            announced_commands: BTreeSet::new(),
            near_misses: HashMap::new(),
        };
        admission.lock_partitions().await?;
        admission.recall().await?;
        let fresh = admission.undecided();
        if !fresh.is_empty() {
            admission.find_by_other_key(&fresh).await?;
            admission.refuse_over_quota(&fresh).await?;
            let within_quota = admission.undecided();
            admission.find_or_insert_requests(&within_quota).await?;
            admission.read_contradicted(&within_quota).await?;
            admission.find_or_insert_commands(&within_quota).await?;
            admission.find_or_insert_runs(&within_quota).await?;
            for &index in &within_quota {
                admission.decide(index);
            }
            admission.store(&fresh).await?;
        }
        let Admission { transaction, outcomes, .. } = admission;
        transaction.commit(Some("admit.inserted"), Some("admit.committed")).await?;
        let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.expect("every record was decided")).collect();
        for outcome in fresh.iter().map(|&index| &outcomes[index]) {
            metrics::REQUESTS.count(outcome.kind());
            if let Some(code) = outcome.code() {
                metrics::DEAD_LETTERS.count(code);
            }
        }
        Ok(outcomes)
    }
}

impl Admission<'_> {
    fn undecided(&self) -> Vec<usize> {
        (0..self.batch.len()).filter(|&index| self.outcomes[index].is_none()).collect()
    }

    /// Writes the records that this transaction decided, and the runs that changed.
    async fn store(&mut self, fresh: &[usize]) -> Result<(), Error> {
        self.insert_records(fresh).await?;
        let batch = self.batch;
        self.transaction.pass(fresh.iter().map(|&index| &batch[index].record.coordinates)).await?;
        let has_changed = |run: &&LockedRun| self.stored.get(&run.run_id).is_some_and(|stored| stored != *run);
        let changed: Vec<&LockedRun> = self.runs.values().filter(has_changed).collect();
        self.transaction.save_each(&changed, None).await??;
        for (statement, keys) in [
            ("UPDATE requests SET duplicate_announced = true WHERE request_id = ANY($1)", &self.announced),
            ("UPDATE commands SET duplicate_announced = true WHERE request_id = ANY($1)", &self.announced_commands),
        ] {
            if !keys.is_empty() {
                sqlx::query(statement)
                    .bind(keys.iter().copied().collect::<Vec<_>>())
                    .execute(self.transaction.connection())
                    .await?;
            }
        }
        Ok(())
    }

    async fn insert_records(&mut self, fresh: &[usize]) -> Result<(), Error> {
        let arrivals = || fresh.iter().map(|&index| &self.batch[index]);
        let records = || arrivals().map(|arrival| &arrival.record);
        let cuts = || records().map(|record| record.cut.as_ref());
        sqlx::query(
            r#"INSERT INTO inbox (topic, partition, "offset", key, value, value_bytes, value_sha256, outcome, request_id,
                                  received_at, fingerprint)
               SELECT n.topic, n.partition, n.position, n.key, n.value, n.value_bytes, n.value_sha256, n.outcome,
                      n.request_id, now(), n.fingerprint
               FROM UNNEST($1::text[], $2::integer[], $3::bigint[], $4::bytea[], $5::bytea[], $6::bigint[], $7::bytea[],
                           $8::jsonb[], $9::text[], $10::bigint[])
                    AS n (topic, partition, position, key, value, value_bytes, value_sha256, outcome, request_id, fingerprint)"#,
        )
        .bind(records().map(|record| record.coordinates.topic.as_str()).collect::<Vec<_>>())
        .bind(records().map(|record| record.coordinates.partition).collect::<Vec<_>>())
        .bind(records().map(|record| record.coordinates.offset).collect::<Vec<_>>())
        .bind(records().map(|record| record.key.as_deref()).collect::<Vec<_>>())
        .bind(records().map(|record| record.value.as_slice()).collect::<Vec<_>>())
        .bind(cuts().map(|cut| cut.map(|cut| cut.value_bytes as i64)).collect::<Vec<_>>())
        .bind(cuts().map(|cut| cut.map(|cut| cut.value_sha256.as_bytes().as_slice())).collect::<Vec<_>>())
        .bind(fresh.iter().map(|&index| Json(&self.outcomes[index])).collect::<Vec<_>>())
        .bind(arrivals().map(|arrival| request_id(&arrival.parsed)).collect::<Vec<_>>())
        .bind(arrivals().map(|arrival| arrival.fingerprint_of_record).collect::<Vec<_>>())
        .execute(self.transaction.connection())
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
