//! Receipts of publications: which PUBLISHED runs have none, what one says, and that it is written.
//!
//! PUBLISHED is final, so there is neither lease nor fence: whoever writes a receipt writes the same one. Taking
//! a run only keeps others from the same work for the length of a lease, and a worker that dies with it costs no
//! more than that. Never: changes a state.

use super::audit_log::append;
use super::error::commit_fault;
use super::rows::{stored_request, unreadable};
use super::types::Coordinates;
use super::{Error, Ledger};
use crate::domain::contract::{
    ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, BundlePublication, EvidenceRef,
};
use crate::domain::identity::RunId;
use crate::domain::run::Failure;
use sqlx::Row;
use sqlx::types::Json;

/// A run's announcement, as it was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// In whose folder the run's evidence stands.
    pub platform_run_id: String,
    /// Where the record stands.
    pub at: Coordinates,
    /// Its id.
    pub event_id: String,
    /// Its bytes.
    pub value: Vec<u8>,
    /// What they say.
    pub publication: BundlePublication,
    /// The registry's event that confirmed it, where its word was asked for.
    pub confirmed_by: Option<String>,
}

impl Ledger {
    /// Takes up to `limit` PUBLISHED runs that have neither a receipt nor a reason why not.
    pub async fn take_open_receipts(&self, limit: i64) -> Result<Vec<RunId>, Error> {
        let rows = sqlx::query(
            "WITH open AS MATERIALIZED (
                SELECT run_id FROM runs
                WHERE state = 'PUBLISHED' AND reason_code IS NULL AND NOT refs ? 'publish_receipt'
                  AND available_at <= now()
                ORDER BY available_at, run_id LIMIT $1 FOR UPDATE SKIP LOCKED)
             UPDATE runs r SET available_at = now() + make_interval(secs => $2) FROM open
             WHERE r.run_id = open.run_id RETURNING r.run_id",
        )
        .bind(limit)
        .bind(f64::from(self.settings.lease_seconds))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| row.try_get::<String, _>(0)?.parse().map_err(|error| unreadable("run id", error)))
            .collect()
    }

    /// The announcement that made a run PUBLISHED.
    pub async fn announced(&self, run_id: &RunId) -> Result<Announced, Error> {
        let row = sqlx::query(
            r#"SELECT r.published_topic, r.published_partition, r.published_offset, r.confirmed_by, o.event_id,
                      o.value, i.value
               FROM runs r
               JOIN outbox o ON o.stream = r.run_id AND o.kind = 'PUBLICATION' AND o.sent_topic = r.published_topic
                            AND o.sent_partition = r.published_partition AND o.sent_offset = r.published_offset
               LEFT JOIN requests q ON q.request_id = r.request_id
               LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset"
               WHERE r.run_id = $1 AND r.state = 'PUBLISHED'"#,
        )
        .bind(run_id.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let row =
            row.ok_or_else(|| unreadable("publication", format!("no record stands where {run_id} was published")))?;
        let value: Vec<u8> = row.try_get(5)?;
        Ok(Announced {
            platform_run_id: stored_request(row.try_get(6)?)?.platform_run_id.clone(),
            at: Coordinates { topic: row.try_get(0)?, partition: row.try_get(1)?, offset: row.try_get(2)? },
            event_id: row.try_get(4)?,
            publication: serde_json::from_slice(&value).map_err(|error| unreadable("publication", error))?,
            value,
            confirmed_by: row.try_get(3)?,
        })
    }

    /// Writes down where the receipt stands.
    pub async fn keep_receipt(&self, run_id: &RunId, at: &EvidenceRef, worker: &str) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE runs SET refs = refs || jsonb_build_object('publish_receipt', $2::jsonb), updated_at = now()
             WHERE run_id = $1 AND state = 'PUBLISHED' AND refs -> 'publish_receipt' IS DISTINCT FROM $2::jsonb",
        )
        .bind(run_id.as_str())
        .bind(Json(at))
        .execute(&mut *transaction)
        .await?;
        // Whoever else wrote the same receipt has told of it.
        if done.rows_affected() == 1 {
            let mut act = about(ActKind::PublishReceiptWritten, run_id, worker);
            act.evidence.insert("publish_receipt".to_owned(), at.clone());
            append(&mut transaction, worker, &[act]).await?;
        }
        transaction.commit().await.map_err(commit_fault)
    }

    /// Writes down why there can be none; the run stays PUBLISHED, and nobody tries again.
    pub async fn refuse_receipt(&self, run_id: &RunId, failure: &Failure, worker: &str) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        let done = sqlx::query(
            "UPDATE runs SET reason_code = $2, reason_message = $3, updated_at = now()
             WHERE run_id = $1 AND state = 'PUBLISHED' AND NOT refs ? 'publish_receipt'",
        )
        .bind(run_id.as_str())
        .bind(failure.code.as_str())
        .bind(&failure.message)
        .execute(&mut *transaction)
        .await?;
        if done.rows_affected() == 1 {
            let mut act = about(ActKind::PublishReceiptRefused, run_id, worker);
            act.reason = Some(ActReason::coded(failure.code, &failure.message));
            append(&mut transaction, worker, &[act]).await?;
        }
        transaction.commit().await.map_err(commit_fault)
    }
}

fn about(kind: ActKind, run_id: &RunId, worker: &str) -> AuditAct {
    let subject = ActSubject { run_id: Some(run_id.clone()), ..ActSubject::default() };
    AuditAct::new(kind, Actor::new(ActorKind::Worker, worker), subject)
}
