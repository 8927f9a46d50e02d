//! Deletes old rows on which nothing depends any more, in small transactions.
//!
//! Of runs that have ended, deletes their steps and their sent events and, if they are PUBLISHED, the registry's
//! replies. Of records that made no run, deletes their bytes, dead letters and refusal events, once these were sent.
//!
//! Guarantees: a repeated record or request is still recognised. For this, the rows of runs and request ids stay, with
//! the bytes of every record that they came from, and every command. Never: deletes anything of a run that has not
//! ended, or of a record with an unsent dead letter or event; waits for a locked row.

use crate::adapters::ledger::session::Session;
use crate::adapters::ledger::{Coordinates, Error, Ledger};
use crate::domain::contract::{ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, PrunedRows};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::ops::AddAssign;
use std::time::Duration;

/// How many rows were deleted or, in a dry run, would be deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    pub transitions: u64,
    /// Sent events, lineage events and dead letters.
    pub outbox: u64,
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

/// One pass over all rows older than `before`.
#[derive(Debug, Clone)]
pub struct Pruning {
    before: DateTime<Utc>,
    dry_run: bool,
    cursor: PruneCursor,
    actor: String,
    why: String,
}

/// The row after which the next transaction of the pass continues.
#[derive(Debug, Clone)]
enum PruneCursor {
    Runs(OldRun),
    Records(OldRecord),
    End,
}

#[derive(Debug, Clone, Default, sqlx_macros::FromRow)]
struct OldRun {
    created_at: DateTime<Utc>,
    run_id: String,
}

#[derive(Debug, Clone, Default, sqlx_macros::FromRow)]
struct OldRecord {
    received_at: DateTime<Utc>,
    #[sqlx(flatten)]
    coordinates: Coordinates,
}

#[derive(sqlx_macros::FromRow)]
struct PruneStart {
    before: DateTime<Utc>,
    role: String,
}

const BATCH: i64 = 200;

impl Pruning {
    pub fn before(&self) -> DateTime<Utc> {
        self.before
    }

    /// Names the operator and the reason that the audit log reports for this pass.
    #[must_use]
    pub fn by(self, actor: String, why: String) -> Self {
        Self { actor, why, ..self }
    }

    fn act(&self, pruned: &Pruned, run_ids: Vec<String>, records: Vec<String>) -> AuditAct {
        let actor = Actor::new(ActorKind::Operator, self.actor.as_str());
        let mut act = AuditAct::new(ActKind::LedgerPruned, actor, ActSubject::default());
        act.reason = Some(ActReason::said(&self.why));
        let &Pruned { transitions, outbox, registry_events, inbox } = pruned;
        let before = self.before;
        act.removed = Some(PrunedRows { before, inbox, outbox, records, registry_events, run_ids, transitions });
        act
    }
}

/// Builds a counting and a deleting statement with the same condition, so that a dry run counts exactly what a pass
/// deletes.
macro_rules! count_or_delete {
    ($rest:literal) => {
        [
            concat!("SELECT count(*) FROM ", $rest),
            concat!("WITH gone AS (DELETE FROM ", $rest, " RETURNING 1) SELECT count(*) FROM gone"),
        ]
    };
}

impl Ledger {
    /// Begins a pass over rows older than `older_than` by the database's clock. A dry run deletes nothing.
    pub async fn pruning(&self, older_than: Duration, dry_run: bool) -> Result<Pruning, Error> {
        let PruneStart { before, role } =
            sqlx::query_as("SELECT now() - make_interval(secs => $1) AS before, current_user::text AS role")
                .bind(older_than.as_secs_f64())
                .fetch_one(&self.pool)
                .await?;
        let why = format!("older than {} seconds", older_than.as_secs());
        Ok(Pruning { before, dry_run, cursor: PruneCursor::Runs(OldRun::default()), actor: role, why })
    }

    /// Runs the next small transaction of the pass. `None` if nothing is left. A caller may stop after any transaction.
    pub async fn prune_some(&self, pruning: &mut Pruning) -> Result<Option<Pruned>, Error> {
        let by = format!("operator:{}", pruning.actor);
        let mut transaction = self.begin(&by).await?;
        let (pruned, next, act) = match &pruning.cursor {
            PruneCursor::Runs(after) => prune_runs(transaction.connection(), pruning, after).await?,
            PruneCursor::Records(after) => prune_records(transaction.connection(), pruning, after).await?,
            PruneCursor::End => {
                transaction.rollback().await?;
                return Ok(None);
            }
        };
        if pruning.dry_run || pruned == Pruned::default() {
            transaction.rollback().await?;
        } else {
            transaction.effects.acts.push(act);
            transaction.commit(None, None).await?;
        }
        pruning.cursor = next;
        Ok(Some(pruned))
    }
}

async fn prune_runs(
    connection: &mut Session,
    pruning: &Pruning,
    after: &OldRun,
) -> Result<(Pruned, PruneCursor, AuditAct), Error> {
    // The lock keeps these runs from being reopened meanwhile. Runs locked by another transaction wait for the next
    // pass.
    let rows: Vec<OldRun> = sqlx::query_as(
        "SELECT created_at, run_id FROM runs
         WHERE created_at < $1 AND updated_at < $1 AND state IN ('FAIL', 'PASS', 'PUBLISHED')
           AND (created_at, run_id) > ($2, $3)
         ORDER BY created_at, run_id LIMIT $4 FOR UPDATE SKIP LOCKED",
    )
    .bind(pruning.before)
    .bind(after.created_at)
    .bind(&after.run_id)
    .bind(BATCH)
    .fetch_all(&mut *connection)
    .await?;
    let next = rows.last().cloned().map_or_else(|| PruneCursor::Records(OldRecord::default()), PruneCursor::Runs);
    let runs: Vec<String> = rows.into_iter().map(|run| run.run_id).collect();
    let dry = pruning.dry_run;
    // Publications are not deleted, because later publications and the registry's replies are checked against them.
    let outbox = count_or_delete!("outbox WHERE stream = ANY($1) AND kind = 'LIFECYCLE' AND sent_at IS NOT NULL");
    let lineage = count_or_delete!("lineage_outbox WHERE run_id = ANY($1) AND sent_at IS NOT NULL");
    let transitions = count_or_delete!("transitions WHERE run_id = ANY($1)");
    let with_steps: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT run_id FROM transitions WHERE run_id = ANY($1) ORDER BY run_id")
            .bind(&runs)
            .fetch_all(&mut *connection)
            .await?;
    // Replies are kept until the run is PUBLISHED, because they may still change its state.
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
    let act = pruning.act(&pruned, with_steps, Vec::new());
    Ok((pruned, next, act))
}

/// Deletes records that made no run, with their dead letters and events, up to one batch.
async fn prune_records(
    connection: &mut Session,
    pruning: &Pruning,
    after: &OldRecord,
) -> Result<(Pruned, PruneCursor, AuditAct), Error> {
    // Commands stay for ever, because a repeated command would be applied again after pruning. The outcomes listed are
    // those of the index.
    let rows: Vec<OldRecord> = sqlx::query_as(
        r#"SELECT i.received_at, i.topic, i.partition, i."offset"
           FROM inbox i
           WHERE i.outcome ->> 'outcome' IN ('REJECTED', 'CONFLICT', 'DUPLICATE_REQUEST') AND i.received_at < $1
             AND (i.received_at, i.topic, i.partition, i."offset") > ($2, $3, $4, $5)
             AND NOT EXISTS (SELECT FROM outbox o
                             WHERE o.stream = 'refused:' || i.topic || '/' || i.partition || '/' || i."offset"
                               AND (o.sent_at IS NULL OR o.sent_at >= $1))
           ORDER BY i.received_at, i.topic, i.partition, i."offset" LIMIT $6 FOR UPDATE OF i SKIP LOCKED"#,
    )
    .bind(pruning.before)
    .bind(after.received_at)
    .bind(&after.coordinates.topic)
    .bind(after.coordinates.partition)
    .bind(after.coordinates.offset)
    .bind(BATCH)
    .fetch_all(&mut *connection)
    .await?;
    let next = rows.last().cloned().map_or(PruneCursor::End, PruneCursor::Records);
    let names: Vec<String> = rows.iter().map(|row| row.coordinates.to_string()).collect();
    let streams: Vec<String> = names.iter().map(|name| format!("refused:{name}")).collect();
    let inbox = delete_records(connection, pruning.dry_run, &rows).await?;
    let outbox = gone(connection, pruning.dry_run, count_or_delete!("outbox WHERE stream = ANY($1)"), &streams).await?;
    let pruned = Pruned { outbox, inbox, ..Pruned::default() };
    let act = pruning.act(&pruned, Vec::new(), names);
    Ok((pruned, next, act))
}

async fn delete_records(connection: &mut Session, dry_run: bool, rows: &[OldRecord]) -> Result<u64, Error> {
    if dry_run {
        return Ok(rows.len() as u64);
    }
    let done = sqlx::query(
        r#"DELETE FROM inbox i USING UNNEST($1::text[], $2::integer[], $3::bigint[]) AS c (topic, partition, position)
           WHERE i.topic = c.topic AND i.partition = c.partition AND i."offset" = c.position"#,
    )
    .bind(rows.iter().map(|row| row.coordinates.topic.as_str()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.coordinates.partition).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.coordinates.offset).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

async fn gone(
    connection: &mut Session,
    dry_run: bool,
    [count, delete]: [&'static str; 2],
    whose: &[String],
) -> Result<u64, Error> {
    let statement = if dry_run { count } else { delete };
    let rows: i64 = sqlx::query_scalar(statement).bind(whose).fetch_one(connection).await?;
    Ok(rows as u64)
}
