//! Forgetting what nothing depends on any more, by age, in small transactions of their own.
//!
//! Of runs that have ended: their steps, the events that were sent, what the registry said. Of records that
//! made no run: their bytes with their dead letters and refusals, once those were sent.
//!
//! Guarantees: whatever comes again is recognised as before, since the rows of runs and of request ids stay, with the
//! bytes of every record that they came from, and every command. Never: touches a run that has not ended or a record
//! that was not sent; waits for a row that somebody works on.

use super::audit_log::append;
use super::error::commit_fault;
use super::{Error, Ledger};
use crate::domain::contract::{ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, PrunedRows};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use std::ops::AddAssign;
use std::time::Duration;

/// Rows that were deleted, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Steps of runs.
    pub transitions: u64,
    /// Sent records of the outbox: events, of lineage too, and dead letters.
    pub outbox: u64,
    /// Events of the registry.
    pub registry_events: u64,
    /// Records of the request topic that made no run.
    pub inbox: u64,
}

impl AddAssign for Pruned {
    fn add_assign(&mut self, other: Self) {
        self.transitions += other.transitions;
        self.outbox += other.outbox;
        self.registry_events += other.registry_events;
        self.inbox += other.inbox;
    }
}

/// One pass over what is older than an instant.
#[derive(Debug, Clone)]
pub struct Pruning {
    before: DateTime<Utc>,
    dry_run: bool,
    place: Place,
    actor: String,
    why: String,
}

/// How far it has come.
#[derive(Debug, Clone)]
enum Place {
    Runs { after: (DateTime<Utc>, String) },
    Records { after: (DateTime<Utc>, String, i32, i64) },
    End,
}

/// Runs or records of one transaction at the most.
const BATCH: i64 = 200;

impl Pruning {
    /// What happened before this instant is old.
    pub fn before(&self) -> DateTime<Utc> {
        self.before
    }

    /// The same pass, told as this operator's, with a reason.
    #[must_use]
    pub fn by(self, actor: String, why: String) -> Self {
        Self { actor, why, ..self }
    }

    /// What one transaction of it deleted.
    fn told(&self, pruned: &Pruned, run_ids: Vec<String>, records: Vec<String>) -> AuditAct {
        let actor = Actor::new(ActorKind::Operator, self.actor.as_str());
        let mut act = AuditAct::new(ActKind::LedgerPruned, actor, ActSubject::default());
        act.reason = Some(ActReason::said(&self.why));
        let &Pruned { transitions, outbox, registry_events, inbox } = pruned;
        let before = self.before;
        act.removed = Some(PrunedRows { before, inbox, outbox, records, registry_events, run_ids, transitions });
        act
    }
}

/// Counts rows or deletes them: the same rows either way.
macro_rules! count_or_delete {
    ($rest:literal) => {
        [
            concat!("SELECT count(*) FROM ", $rest),
            concat!("WITH gone AS (DELETE FROM ", $rest, " RETURNING 1) SELECT count(*) FROM gone"),
        ]
    };
}

impl Ledger {
    /// Begins a pass, by the database's clock. A dry run only counts.
    pub async fn pruning(&self, older_than: Duration, dry_run: bool) -> Result<Pruning, Error> {
        let row = sqlx::query("SELECT now() - make_interval(secs => $1), current_user::text")
            .bind(older_than.as_secs_f64())
            .fetch_one(&self.pool)
            .await?;
        let place = Place::Runs { after: (DateTime::UNIX_EPOCH, String::new()) };
        let before: DateTime<Utc> = row.try_get(0)?;
        let why = format!("older than {} seconds", older_than.as_secs());
        Ok(Pruning { before, dry_run, place, actor: row.try_get(1)?, why })
    }

    /// One small transaction of a pass; none when nothing is left. A pass that breaks off is as good as one that
    /// was shorter.
    pub async fn prune_some(&self, pruning: &mut Pruning) -> Result<Option<Pruned>, Error> {
        let mut transaction = self.pool.begin().await?;
        let (pruned, next, act) = match &pruning.place {
            Place::Runs { after } => prune_runs(&mut transaction, pruning, after).await?,
            Place::Records { after } => prune_records(&mut transaction, pruning, after).await?,
            Place::End => return Ok(None),
        };
        if pruning.dry_run || pruned == Pruned::default() {
            transaction.rollback().await?;
        } else {
            append(&mut transaction, &format!("operator:{}", pruning.actor), &[act]).await?;
            transaction.commit().await.map_err(commit_fault)?;
        }
        pruning.place = next;
        Ok(Some(pruned))
    }
}

/// The history of some runs that ended before.
async fn prune_runs(
    connection: &mut PgConnection,
    pruning: &Pruning,
    after: &(DateTime<Utc>, String),
) -> Result<(Pruned, Place, AuditAct), Error> {
    // The lock keeps a run from being opened again meanwhile; one that is held by somebody is left for the next pass.
    let rows = sqlx::query(
        "SELECT created_at, run_id FROM runs
         WHERE created_at < $1 AND updated_at < $1 AND state IN ('FAIL', 'PASS', 'PUBLISHED')
           AND (created_at, run_id) > ($2, $3)
         ORDER BY created_at, run_id LIMIT $4 FOR UPDATE SKIP LOCKED",
    )
    .bind(pruning.before)
    .bind(after.0)
    .bind(&after.1)
    .bind(BATCH)
    .fetch_all(&mut *connection)
    .await?;
    let runs: Vec<String> = rows.iter().map(|row| row.try_get(1)).collect::<Result<_, _>>()?;
    let next = match rows.last() {
        Some(last) => Place::Runs { after: (last.try_get(0)?, last.try_get(1)?) },
        None => Place::Records { after: (DateTime::UNIX_EPOCH, String::new(), 0, 0) },
    };
    let dry = pruning.dry_run;
    // Announcements stay: a later one, and the registry's word, are checked against them.
    let outbox = count_or_delete!("outbox WHERE stream = ANY($1) AND kind = 'LIFECYCLE' AND sent_at IS NOT NULL");
    let lineage = count_or_delete!("lineage_outbox WHERE run_id = ANY($1) AND sent_at IS NOT NULL");
    let transitions = count_or_delete!("transitions WHERE run_id = ANY($1)");
    let told = with_steps(connection, &runs).await?;
    // Of a run that waits at PASS or failed, what the registry said may still matter.
    let registry_events = count_or_delete!(
        "registry_events WHERE run_id = ANY($1) AND EXISTS (SELECT FROM runs r WHERE r.run_id = registry_events.run_id
                                                                                AND r.state = 'PUBLISHED')"
    );
    let pruned = Pruned {
        outbox: gone(connection, dry, outbox, &runs).await? + gone(connection, dry, lineage, &runs).await?,
        transitions: gone(connection, dry, transitions, &runs).await?,
        registry_events: gone(connection, dry, registry_events, &runs).await?,
        inbox: 0,
    };
    let act = pruning.told(&pruned, told, Vec::new());
    Ok((pruned, next, act))
}

/// Some records that made no run, with what was sent about them.
async fn prune_records(
    connection: &mut PgConnection,
    pruning: &Pruning,
    after: &(DateTime<Utc>, String, i32, i64),
) -> Result<(Pruned, Place, AuditAct), Error> {
    // A command stays for ever: applied again, it would do something. The list is the index's own.
    let rows = sqlx::query(
        r#"SELECT i.received_at, i.topic, i.partition, i."offset",
                  'refused:' || i.topic || '/' || i.partition || '/' || i."offset"
           FROM inbox i
           WHERE i.outcome ->> 'outcome' IN ('REJECTED', 'CONFLICT', 'DUPLICATE_REQUEST') AND i.received_at < $1
             AND (i.received_at, i.topic, i.partition, i."offset") > ($2, $3, $4, $5)
             AND NOT EXISTS (SELECT FROM outbox o
                             WHERE o.stream = 'refused:' || i.topic || '/' || i.partition || '/' || i."offset"
                               AND (o.sent_at IS NULL OR o.sent_at >= $1))
           ORDER BY i.received_at, i.topic, i.partition, i."offset" LIMIT $6 FOR UPDATE OF i SKIP LOCKED"#,
    )
    .bind(pruning.before)
    .bind(after.0)
    .bind(&after.1)
    .bind(after.2)
    .bind(after.3)
    .bind(BATCH)
    .fetch_all(&mut *connection)
    .await?;
    let next = match rows.last() {
        Some(last) => {
            Place::Records { after: (last.try_get(0)?, last.try_get(1)?, last.try_get(2)?, last.try_get(3)?) }
        }
        None => Place::End,
    };
    let streams: Vec<String> = rows.iter().map(|row: &PgRow| row.try_get(4)).collect::<Result<_, _>>()?;
    let outbox = count_or_delete!("outbox WHERE stream = ANY($1)");
    let inbox = delete_records(connection, pruning.dry_run, &rows).await?;
    let outbox = gone(connection, pruning.dry_run, outbox, &streams).await?;
    let pruned = Pruned { outbox, inbox, ..Pruned::default() };
    let record = |stream: &String| stream.trim_start_matches("refused:").to_owned();
    let act = pruning.told(&pruned, Vec::new(), streams.iter().map(record).collect());
    Ok((pruned, next, act))
}

/// Those of the runs that have steps.
async fn with_steps(connection: &mut PgConnection, runs: &[String]) -> Result<Vec<String>, Error> {
    let rows = sqlx::query("SELECT DISTINCT run_id FROM transitions WHERE run_id = ANY($1) ORDER BY run_id")
        .bind(runs)
        .fetch_all(connection)
        .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

async fn delete_records(connection: &mut PgConnection, dry_run: bool, rows: &[PgRow]) -> Result<u64, Error> {
    if dry_run {
        return Ok(rows.len() as u64);
    }
    let topics: Vec<String> = rows.iter().map(|row| row.try_get(1)).collect::<Result<_, _>>()?;
    let partitions: Vec<i32> = rows.iter().map(|row| row.try_get(2)).collect::<Result<_, _>>()?;
    let offsets: Vec<i64> = rows.iter().map(|row| row.try_get(3)).collect::<Result<_, _>>()?;
    let done = sqlx::query(
        r#"DELETE FROM inbox i USING UNNEST($1::text[], $2::integer[], $3::bigint[]) AS c (topic, partition, position)
           WHERE i.topic = c.topic AND i.partition = c.partition AND i."offset" = c.position"#,
    )
    .bind(topics)
    .bind(partitions)
    .bind(offsets)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

async fn gone(
    connection: &mut PgConnection,
    dry_run: bool,
    [count, delete]: [&'static str; 2],
    whose: &[String],
) -> Result<u64, Error> {
    let row = sqlx::query(if dry_run { count } else { delete }).bind(whose).fetch_one(connection).await?;
    Ok(row.try_get::<i64, _>(0)? as u64)
}
