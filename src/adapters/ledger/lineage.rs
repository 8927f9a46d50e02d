//! OpenLineage events in the ledger: written by the transaction whose step they tell, read and marked by the relay.
//!
//! A run is told from a START on to its end; what happens outside of that is nobody's business here. Never: holds up
//! the other outbox.

use super::error::commit_fault;
use super::events::{CloudEvent, headers};
use super::relay::{header_bytes, over};
use super::rows::{Additions, LockedRun};
use super::types::{Guarded, Lease, OutboxRow, Sent, Shard};
use super::{Error, Ledger, advance};
use crate::domain::contract::EventReason;
use crate::domain::run::{OutboxKind, Transition};
use crate::failpoints::failpoint;
use crate::modelling::lineage::{DatasetIo, EventWriter, LineageSettings, Moment, RunState};
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use std::sync::Arc;

/// What the check on the table allows.
const MAX_VALUE_BYTES: u32 = 900_000;

/// A row to be inserted.
#[derive(Debug)]
pub(super) struct LineageDraft {
    run_id: String,
    event_id: String,
    event_type: RunState,
    key: String,
    value: Vec<u8>,
    headers: Vec<(String, String)>,
}

/// What is told of a run while it is worked on, once each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// What it will read.
    Resolved,
    /// What it has read.
    Read,
}

impl Ledger {
    /// The same ledger, telling lineage where that is turned on; in events of at most so many bytes.
    #[must_use]
    pub fn telling(self, settings: &LineageSettings, max_value_bytes: u32) -> Self {
        let teller =
            settings.enabled.then(|| Arc::new(EventWriter::new(settings, max_value_bytes.min(MAX_VALUE_BYTES))));
        Self { teller, ..self }
    }

    /// What a transaction adds; with the teller, where there is one.
    pub(super) fn additions(&self) -> Additions {
        Additions::new(self.teller.clone())
    }

    /// Tells what is known of a run that is worked on. Nothing where lineage is off, where this was told before,
    /// or where the run was not told as begun. [`Guarded::Lost`] where the lease is.
    pub async fn tell_lineage(&self, lease: &Lease, known: Known, account: DatasetIo) -> Result<Guarded, Error> {
        let mut transaction = self.pool.begin().await?;
        let held = (lease.run_id.as_str(), lease.fence);
        let Some((run, at)) = advance::hold(&mut transaction, held, &lease.worker).await? else {
            transaction.rollback().await?;
            return Ok(Guarded::Lost);
        };
        if let (Some(teller), Some(since)) = (&self.teller, run.lineage_since) {
            let name = match known {
                Known::Resolved => "resolved",
                Known::Read => "read",
            };
            let event_id = format!("lin_{}_{since}_{name}", run.run_id);
            let draft = run.lineage_draft(teller, RunState::Running, event_id, None, account, at);
            store_lineage(&mut transaction, &[draft]).await?;
        }
        failpoint("lineage.told")?;
        transaction.commit().await.map_err(commit_fault)?;
        Ok(Guarded::Won(run.state))
    }

    /// The first unsent event of each run of these shards.
    pub async fn unsent_lineage(&self, shards: &[Shard], limit: i64) -> Result<Vec<OutboxRow>, Error> {
        let rows = sqlx::query(
            "SELECT DISTINCT ON (o.run_id) o.id, o.run_id, o.shard, o.key, o.value, o.headers FROM lineage_outbox o
             WHERE o.sent_at IS NULL AND o.shard = ANY($1) ORDER BY o.run_id, o.id LIMIT $2",
        )
        .bind(shards.iter().map(|shard| shard.shard).collect::<Vec<_>>())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let row = |row: &sqlx::postgres::PgRow| {
            Ok(OutboxRow {
                id: row.try_get(0)?,
                stream: row.try_get(1)?,
                shard: row.try_get(2)?,
                kind: OutboxKind::Lineage,
                key: Some(row.try_get(3)?),
                value: row.try_get(4)?,
                headers: header_bytes(row.try_get(5)?)?,
            })
        };
        rows.iter().map(row).collect()
    }
}

impl LockedRun {
    /// Tells a step, where it is one that OpenLineage knows; before the run's own number moves on.
    ///
    /// The first attempt is START, later ones are RUNNING: the run did not end in between. The verdict of the gate
    /// ends the work, whichever it is; to announce the bundle is no part of it.
    pub(super) fn tell_step(
        &mut self,
        transition: Transition,
        reason: Option<&EventReason>,
        at: DateTime<Utc>,
        additions: &mut Additions,
    ) {
        let account = additions.account.take().unwrap_or_default();
        let Some(teller) = additions.teller.clone() else { return };
        let state = match (transition, self.lineage_since) {
            (Transition::Start, None) => RunState::Start,
            (Transition::Start, Some(_)) => RunState::Running,
            (Transition::PassGate | Transition::FailGate, Some(_)) => RunState::Complete,
            (Transition::Fail, Some(_)) => RunState::Fail,
            (Transition::Cancel, Some(_)) => RunState::Abort,
            _ => return,
        };
        let event_id = format!("lin_{}_{}", self.run_id, self.next_seq);
        additions.lineage.push(self.lineage_draft(&teller, state, event_id, reason, account, at));
        if state == RunState::Start {
            self.lineage_since = Some(self.next_seq);
        } else if state.is_end() {
            self.lineage_since = None;
        }
    }

    fn lineage_draft(
        &self,
        teller: &EventWriter,
        state: RunState,
        event_id: String,
        reason: Option<&EventReason>,
        account: DatasetIo,
        at: DateTime<Utc>,
    ) -> LineageDraft {
        let moment = Moment {
            run_id: &self.run_id,
            run_key: self.run_key,
            request: &self.request,
            state: self.state,
            attempt: self.full_run_attempts as u32,
            reason,
            at,
        };
        LineageDraft {
            run_id: self.run_id.to_string(),
            event_type: state,
            key: moment.run_uuid().to_string(),
            value: teller.event(state, &moment, account),
            headers: headers(&CloudEvent {
                id: &event_id,
                event_type: "io.modelfactory.lineage.run_event".to_owned(),
                at,
                subject: Some(&self.run_id),
                traceparent: self.traceparent.as_deref(),
                tracestate: self.tracestate.as_deref(),
            }),
            event_id,
        }
    }
}

/// Inserts rows in this order; one that stands there already stays as it is.
pub(super) async fn store_lineage(connection: &mut PgConnection, drafts: &[LineageDraft]) -> Result<(), Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO lineage_outbox (run_id, event_id, event_type, key, value, headers, created_at)
         SELECT d.run_id, d.event_id, d.event_type, d.key, d.value, d.headers, now()
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::jsonb[])
              WITH ORDINALITY AS d (run_id, event_id, event_type, key, value, headers, line)
         ORDER BY d.line ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(drafts.iter().map(|d| d.run_id.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.event_id.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.event_type.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.key.as_bytes()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.value.as_slice()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| Json(&d.headers)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Marks acknowledged events as sent, each under the fence of its shard; of every one that was, the seconds that it
/// waited.
pub(super) async fn mark_lineage(
    connection: &mut PgConnection,
    relay: &str,
    sent: &[&Sent],
) -> Result<Vec<f64>, Error> {
    if sent.is_empty() {
        return Ok(Vec::new());
    }
    let marked = over(
        "UPDATE lineage_outbox o SET sent_at = now(), sent_topic = m.topic, sent_partition = m.partition,
                                     sent_offset = m.position
         FROM UNNEST($1::bigint[], $2::smallint[], $3::bigint[], $4::text[], $5::integer[], $6::bigint[])
              AS m (id, shard, fence, topic, partition, position)
         WHERE o.id = m.id AND o.sent_at IS NULL
           AND EXISTS (SELECT FROM relay_shards s WHERE s.shard = m.shard AND s.fence = m.fence AND s.owner = $7)
         RETURNING EXTRACT(EPOCH FROM o.sent_at - o.created_at)::float8",
        relay,
        sent,
    )
    .fetch_all(connection)
    .await?;
    marked.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
