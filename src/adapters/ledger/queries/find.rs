//! Queries of runs with their requests, steps, commands and events.

use crate::adapters::ledger::columns::StoredRequest;
use crate::adapters::ledger::error::unreadable;
use crate::adapters::ledger::row::select_run;
use crate::adapters::ledger::{Coordinates, Error, Ledger};
use crate::domain::contract::{
    BundlePublication, CloudEventAttributes, EventProgress, EventRefs, TrainBuildRequest, event_around,
};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Clone, Serialize, sqlx_macros::FromRow)]
pub struct RunRecord {
    pub run_id: RunId,
    pub state: State,
    pub execution_mode: ExecutionMode,
    pub full_run_attempts: i32,
    pub publish_retry_attempts: i32,
    pub fence: i64,
    pub lease_owner: Option<String>,
    /// When the run may next be claimed.
    pub available_at: DateTime<Utc>,
    /// When the first attempt failed for want of what it needs. `None` if the run lacks nothing.
    pub outage_since: Option<DateTime<Utc>>,
    /// Number of attempts that failed for want of what they need since then.
    pub outage_tries: i32,
    /// Failure code of the run's last step. `None` if that step had no reason.
    pub reason_code: Option<String>,
    pub reason_message: Option<String>,
    #[sqlx(json)]
    pub refs: EventRefs,
    /// Topic, partition and offset of the publication that the broker last acknowledged. `None` if it acknowledged
    /// none.
    pub published: Option<(String, i32, i64)>,
    /// When the registry's confirmation is due. `None` if the run does not wait for a confirmation.
    pub answer_due_at: Option<DateTime<Utc>>,
    pub confirmed_by: Option<String>,
    pub request: TrainBuildRequest,
    pub progress: Option<EventProgress>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, sqlx_macros::FromRow)]
pub struct TransitionRecord {
    pub seq: i64,
    pub transition: String,
    pub from_state: String,
    pub to_state: String,
    pub attempt: i32,
    pub fence: i64,
    pub worker: String,
    pub reason_code: Option<String>,
    pub reason_message: Option<String>,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize)]
pub struct RequestRecord {
    pub request_id: String,
    pub run_id: RunId,
    pub request: TrainBuildRequest,
    /// Attributes of the structured `CloudEvent` around the request. `None` if there was no event around it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<CloudEventAttributes>,
    pub admitted_at: DateTime<Utc>,
}

#[derive(sqlx_macros::FromRow)]
struct RequestColumns {
    request_id: String,
    value: Option<Vec<u8>>,
    admitted_at: DateTime<Utc>,
}

#[derive(Debug, Clone, Serialize, sqlx_macros::FromRow)]
pub struct ActRecord {
    pub act: String,
    pub actor: String,
    pub reason: String,
    pub refused_code: Option<String>,
    pub at: DateTime<Utc>,
}

/// Counts of the ledger's rows, all taken at the same time.
#[derive(Debug, Clone, Serialize, sqlx_macros::FromRow)]
pub struct LedgerCounts {
    #[sqlx(json)]
    pub runs: BTreeMap<String, i64>,
    /// Records of both outbox tables that the relay has not sent yet.
    pub outbox_unsent: i64,
    pub inbox: i64,
}

/// An event or publication of a run, and whether it reached its topic.
#[derive(Debug, Clone, sqlx_macros::FromRow)]
pub struct EmittedEvent {
    /// Number of the event within its run. `None` for publications.
    pub seq: Option<i64>,
    /// Value of the header `ce_type`.
    pub event_type: String,
    pub created_at: DateTime<Utc>,
    pub sent_at: Option<DateTime<Utc>>,
    pub sent_to: Option<Coordinates>,
    /// When the publication was withdrawn before it was sent. `None` if it was not withdrawn.
    pub withdrawn_at: Option<DateTime<Utc>>,
}

impl Ledger {
    pub async fn run(&self, run_id: &RunId) -> Result<Option<RunRecord>, Error> {
        Ok(sqlx::query_as(select_run!("WHERE r.run_id = $1")).bind(run_id.as_str()).fetch_optional(&self.pool).await?)
    }

    /// Reads the run of a request by its key, or by its id. If the id is several principals', reads one of their runs:
    /// [`Self::request_keys`] says whether it is.
    pub async fn run_of_request(&self, request: &str) -> Result<Option<RunRecord>, Error> {
        match self.request_keys(request).await?.into_iter().next() {
            Some((_, run_id)) => self.run(&run_id).await,
            None => Ok(None),
        }
    }

    /// Reads keys and runs of all requests with this id, at most 100. If `request` is a key, reads that request only.
    pub async fn request_keys(&self, request: &str) -> Result<Vec<(String, RunId)>, Error> {
        // A slash ends the id in a key, and `0` sorts right behind a slash.
        let keys: Vec<(String, RunId)> = sqlx::query_as(
            "SELECT request_id, run_id FROM requests
             WHERE request_id = $1 OR request_id ~>=~ ($1 || '/') AND request_id ~<~ ($1 || '0')
             ORDER BY request_id LIMIT 100",
        )
        .bind(request)
        .fetch_all(&self.pool)
        .await?;
        Ok(keys)
    }

    /// Reads the latest runs, newest first. If `state` is `None`, reads runs in every state.
    pub async fn runs(&self, state: Option<State>, limit: i64) -> Result<Vec<RunRecord>, Error> {
        Ok(sqlx::query_as(select_run!(
            "WHERE $1::text IS NULL OR r.state::text = $1 ORDER BY r.created_at DESC, r.run_id LIMIT $2"
        ))
        .bind(state.map(State::as_str))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?)
    }

    pub async fn transitions(&self, run_id: &RunId) -> Result<Vec<TransitionRecord>, Error> {
        Ok(sqlx::query_as(
            "SELECT seq, transition, from_state::text, to_state::text, attempt, fence, worker, reason_code,
                    reason_message, at FROM transitions WHERE run_id = $1 ORDER BY seq",
        )
        .bind(run_id.as_str())
        .fetch_all(&self.pool)
        .await?)
    }

    /// Reads requests that belong to a run, oldest first, at most `limit`.
    pub async fn requests_of(&self, run_id: &RunId, limit: i64) -> Result<Vec<RequestRecord>, Error> {
        let rows: Vec<RequestColumns> = sqlx::query_as(
            r#"SELECT split_part(q.request_id, '/', 1) AS request_id, i.value, q.admitted_at FROM requests q
               LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset"
               WHERE q.run_id = $1 ORDER BY q.admitted_at, q.request_id LIMIT $2"#,
        )
        .bind(run_id.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let record = |RequestColumns { request_id, value, admitted_at }| {
            let StoredRequest(request) =
                StoredRequest::parse(value.as_deref()).map_err(|error| unreadable("request", error))?;
            let (request, event) = (Arc::unwrap_or_clone(request), value.as_deref().and_then(event_around));
            Ok(RequestRecord { request_id, run_id: run_id.clone(), request, event, admitted_at })
        };
        rows.into_iter().map(record).collect()
    }

    /// Reads requests of everybody who asked for a run: the newest three of each principal, at most 300, oldest first.
    pub async fn requests_by_everybody(&self, run_id: &RunId) -> Result<Vec<TrainBuildRequest>, Error> {
        let values: Vec<Option<Vec<u8>>> = sqlx::query_scalar(
            r#"SELECT i.value FROM (
                 SELECT q.*, row_number() OVER (PARTITION BY substring(q.request_id FROM '/.*')
                                                ORDER BY q.admitted_at DESC, q.request_id) AS nth
                 FROM requests q WHERE q.run_id = $1) q
               LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset"
               WHERE q.nth <= 3 ORDER BY q.admitted_at, q.request_id LIMIT 300"#,
        )
        .bind(run_id.as_str())
        .fetch_all(&self.pool)
        .await?;
        let request = |value: Option<Vec<u8>>| {
            let stored = StoredRequest::parse(value.as_deref()).map_err(|error| unreadable("request", error))?;
            Ok(Arc::unwrap_or_clone(stored.0))
        };
        values.into_iter().map(request).collect()
    }

    pub async fn count_requests_of(&self, run_id: &RunId) -> Result<i64, Error> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM requests WHERE run_id = $1")
            .bind(run_id.as_str())
            .fetch_one(&self.pool)
            .await?)
    }

    /// Reads every publication of a run's bundle that was ever put into the outbox, oldest first.
    pub async fn publications_of(&self, run_id: &RunId) -> Result<Vec<BundlePublication>, Error> {
        let values: Vec<Vec<u8>> =
            sqlx::query_scalar("SELECT value FROM outbox WHERE stream = $1 AND kind = 'PUBLICATION' ORDER BY id")
                .bind(run_id.as_str())
                .fetch_all(&self.pool)
                .await?;
        let read = |value: &Vec<u8>| serde_json::from_slice(value).map_err(|error| unreadable("publication", error));
        values.iter().map(read).collect()
    }

    pub async fn acts_of(&self, run_id: &RunId) -> Result<Vec<ActRecord>, Error> {
        Ok(sqlx::query_as("SELECT act, actor, reason, refused_code, at FROM acts WHERE run_id = $1 ORDER BY id")
            .bind(run_id.as_str())
            .fetch_all(&self.pool)
            .await?)
    }

    /// Reads other runs whose requests differ from this run's only in white space, case or Unicode form. At most 100.
    pub async fn near_misses(&self, run_id: &RunId) -> Result<Vec<RunRecord>, Error> {
        Ok(sqlx::query_as(select_run!(
            "WHERE r.near_key = (SELECT near_key FROM runs WHERE run_id = $1) AND r.run_id <> $1
             ORDER BY r.created_at LIMIT 100"
        ))
        .bind(run_id.as_str())
        .fetch_all(&self.pool)
        .await?)
    }

    pub async fn counts(&self) -> Result<LedgerCounts, Error> {
        // One statement sees one snapshot, so that all counts are of the same time.
        let mut counts: LedgerCounts = sqlx::query_as(concat!(
            "SELECT (SELECT count(*) FROM ",
            unsent_outbox!(),
            " o) + (SELECT count(*) FROM ",
            unsent_lineage!(),
            " l) AS outbox_unsent,
                    (SELECT count(*) FROM inbox) AS inbox,
                    (SELECT COALESCE(jsonb_object_agg(s.state, s.runs), '{}')
                     FROM (SELECT state::text, count(*) AS runs FROM runs GROUP BY state) s) AS runs",
        ))
        .fetch_one(&self.pool)
        .await?;
        for state in State::ALL {
            counts.runs.entry(state.to_string()).or_default();
        }
        Ok(counts)
    }

    /// Reads events and publications of a run, newest first, at most `limit`.
    pub async fn events_of(&self, run_id: &RunId, limit: i64) -> Result<Vec<EmittedEvent>, Error> {
        Ok(sqlx::query_as(
            "SELECT seq, created_at, withdrawn_at, sent_at,
                    COALESCE((SELECT h.pair ->> 1 FROM jsonb_array_elements(headers) AS h (pair)
                              WHERE h.pair ->> 0 = 'ce_type' LIMIT 1), '') AS event_type,
                    CASE WHEN sent_at IS NOT NULL THEN (sent_topic, sent_partition, sent_offset) END AS sent_to
             FROM outbox WHERE stream = $1 ORDER BY id DESC LIMIT $2",
        )
        .bind(run_id.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?)
    }
}
