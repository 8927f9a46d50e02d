//! Receipts of publications: which PUBLISHED runs have none, what a receipt says, and where it is stored.
//!
//! PUBLISHED is final, so there is no lease and no fence: every writer writes the same receipt. A worker that takes a
//! run postpones the run by the length of a lease, so that two workers do not write its receipt at the same time. If
//! the worker dies, another worker takes the run later. Never: changes a state.

use super::columns::StoredRequest;
use super::error::unreadable;
use super::transaction::ACT_INPUTS;
use super::{Coordinates, Error, Ledger};
use crate::domain::contract::{ActKind, ActReason, BundlePublication, EventRefs, EvidenceRef, without_many_inputs};
use crate::domain::identity::RunId;
use crate::domain::run::Failure;
use sqlx::types::Json;

/// A run's publication, as the broker acknowledged it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    /// First segment of the path of the run's folder in the evidence store.
    pub platform_run_id: String,
    pub at: Coordinates,
    pub event_id: String,
    pub value: Vec<u8>,
    /// The parsed value of the publication's record.
    pub publication: BundlePublication,
    /// Id of the registry's event that confirmed the bundle. `None` if the registry did not confirm it.
    pub confirmed_by: Option<String>,
}

#[derive(sqlx_macros::FromRow)]
struct AnnouncedRow {
    #[sqlx(flatten)]
    at: Coordinates,
    event_id: String,
    value: Vec<u8>,
    confirmed_by: Option<String>,
    request: StoredRequest,
}

impl Ledger {
    /// Takes up to `limit` PUBLISHED runs that have no receipt. Skips runs with a stored reason why they can have no
    /// receipt.
    pub async fn take_open_receipts(&self, limit: i64) -> Result<Vec<RunId>, Error> {
        Ok(sqlx::query_scalar(
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
        .await?)
    }

    pub async fn announced(&self, run_id: &RunId) -> Result<Announced, Error> {
        let row: Option<AnnouncedRow> = sqlx::query_as(
            r#"SELECT r.published_topic AS topic, r.published_partition AS partition, r.published_offset AS "offset",
                      r.confirmed_by, o.event_id, o.value, i.value AS request
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
        let AnnouncedRow { at, event_id, value, confirmed_by, request: StoredRequest(request) } =
            row.ok_or_else(|| unreadable("publication", format!("no record stands where {run_id} was published")))?;
        Ok(Announced {
            platform_run_id: request.platform_run_id.clone(),
            at,
            event_id,
            publication: serde_json::from_slice(&value).map_err(|error| unreadable("publication", error))?,
            value,
            confirmed_by,
        })
    }

    pub async fn keep_receipt(&self, run_id: &RunId, at: &EvidenceRef, worker: &str) -> Result<(), Error> {
        let mut transaction = self.begin(worker).await?;
        let named: Option<Json<EventRefs>> = sqlx::query_scalar(
            "UPDATE runs SET refs = refs || jsonb_build_object('publish_receipt', $2::jsonb), updated_at = now()
             WHERE run_id = $1 AND state = 'PUBLISHED' AND refs -> 'publish_receipt' IS DISTINCT FROM $2::jsonb
             RETURNING refs",
        )
        .bind(run_id.as_str())
        .bind(Json(at))
        .fetch_optional(transaction.connection())
        .await?;
        // If another worker has written the same receipt, that worker has also appended the act.
        if let Some(Json(refs)) = named {
            let act = transaction.append(ActKind::PublishReceiptWritten, None);
            act.subject.run_id = Some(run_id.clone());
            // All evidence, as a step names it: steps may be pruned, and the row must still agree with the log.
            act.evidence.extend(without_many_inputs(&refs, ACT_INPUTS));
        }
        transaction.commit(None, None).await
    }

    /// Stores why a run can have no receipt. The run stays PUBLISHED, and no worker tries again.
    pub async fn refuse_receipt(&self, run_id: &RunId, failure: &Failure, worker: &str) -> Result<(), Error> {
        let mut transaction = self.begin(worker).await?;
        let done = sqlx::query(
            "UPDATE runs SET reason_code = $2, reason_message = $3, updated_at = now()
             WHERE run_id = $1 AND state = 'PUBLISHED' AND NOT refs ? 'publish_receipt'",
        )
        .bind(run_id.as_str())
        .bind(failure.code.as_str())
        .bind(&failure.message)
        .execute(transaction.connection())
        .await?;
        if done.rows_affected() == 1 {
            let act = transaction.append(ActKind::PublishReceiptRefused, None);
            act.subject.run_id = Some(run_id.clone());
            act.reason = Some(ActReason::coded(failure.code, &failure.message));
        }
        transaction.commit(None, None).await
    }
}
