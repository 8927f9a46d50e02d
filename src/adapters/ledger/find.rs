//! Reading, for people and tools.

use super::rows::{stored_request, unreadable};
use super::types::Coordinates;
use super::{Error, Ledger};
use crate::domain::contract::{
    BundlePublication, CloudEventAttributes, EventProgress, EventRefs, TrainBuildRequest, event_around,
};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, State};
use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A run as it stands.
#[derive(Debug, Clone, Serialize)]
pub struct RunRecord {
    /// The run.
    pub run_id: RunId,
    /// Where it stands.
    pub state: State,
    /// What a worker does with it.
    pub execution_mode: ExecutionMode,
    /// Full attempts so far.
    pub full_run_attempts: i32,
    /// Publish-only attempts so far.
    pub publish_retry_attempts: i32,
    /// The number that goes up with every claim.
    pub fence: i64,
    /// The worker that holds it.
    pub lease_owner: Option<String>,
    /// Code of the last reason.
    pub reason_code: Option<String>,
    /// Text of the last reason.
    pub reason_message: Option<String>,
    /// Evidence by role.
    pub refs: EventRefs,
    /// Topic, partition and offset of the publication that the broker acknowledged last.
    pub published: Option<(String, i32, i64)>,
    /// Until when the registry may take to confirm it; none where nobody waits for that.
    pub answer_due_at: Option<DateTime<Utc>>,
    /// The event by which the registry confirmed it.
    pub confirmed_by: Option<String>,
    /// Its first request.
    pub request: TrainBuildRequest,
    /// How far the trainer was when it last said so.
    pub progress: Option<EventProgress>,
    /// When it was admitted.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A step that a run took.
#[derive(Debug, Clone, Serialize)]
pub struct TransitionRecord {
    /// Number of the event that told it.
    pub seq: i64,
    /// The step.
    pub transition: String,
    /// From.
    pub from_state: String,
    /// To.
    pub to_state: String,
    /// Full attempts so far.
    pub attempt: i32,
    /// The fence under which it was taken.
    pub fence: i64,
    /// Who took it.
    pub worker: String,
    /// Code of the reason.
    pub reason_code: Option<String>,
    /// Text of the reason.
    pub reason_message: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A request that belongs to a run.
#[derive(Debug, Clone, Serialize)]
pub struct RequestRecord {
    /// The id.
    pub request_id: String,
    /// The run.
    pub run_id: RunId,
    /// The normalised request.
    pub request: TrainBuildRequest,
    /// The structured `CloudEventAttributes` that it came in, where it came in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<CloudEventAttributes>,
    /// When it was admitted.
    pub admitted_at: DateTime<Utc>,
}

/// What somebody asked to be done with a run.
#[derive(Debug, Clone, Serialize)]
pub struct ActRecord {
    /// What.
    pub act: String,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// Code of the refusal, where it was refused.
    pub refused_code: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A refused record.
#[derive(Debug, Clone, Serialize)]
pub struct DeadLetterRecord {
    /// Where it stood on the request topic.
    pub source: Coordinates,
    /// Headers of the dead letter: code, pointer, message, source.
    pub headers: BTreeMap<String, String>,
    /// Bytes of the original.
    pub bytes: i64,
    /// When it was refused.
    pub created_at: DateTime<Utc>,
    /// When it reached the dead-letter topic.
    pub sent_at: Option<DateTime<Utc>>,
}

/// A record as it came.
#[derive(Debug, Clone)]
pub struct Original {
    /// Key.
    pub key: Option<Vec<u8>>,
    /// Value.
    pub value: Vec<u8>,
}

/// How much of everything there is.
#[derive(Debug, Clone, Serialize)]
pub struct Counts {
    /// Runs by state.
    pub runs: BTreeMap<String, i64>,
    /// Records that the relay has still to send.
    pub outbox_unsent: i64,
    /// Records with an outcome.
    pub inbox: i64,
}

macro_rules! select_record {
    ($rest:literal) => {
        concat!(
            r#"SELECT r.run_id, r.state::text, r.execution_mode::text, r.full_run_attempts, r.publish_retry_attempts,
                    r.fence, r.lease_owner, r.reason_code, r.reason_message, r.refs, r.published_topic,
                    r.published_partition, r.published_offset, i.value, r.created_at, r.updated_at, r.progress,
                    r.answer_due_at, r.confirmed_by
             FROM runs r LEFT JOIN requests q ON q.request_id = r.request_id
             LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset" "#,
            $rest
        )
    };
}

macro_rules! select_letter {
    ($rest:literal) => {
        concat!(
            r#"SELECT o.headers, length(i.value)::bigint, o.created_at, o.sent_at, o.source_topic, o.source_partition,
                      o.source_offset, o.id
               FROM outbox o JOIN inbox i ON i.topic = o.source_topic AND i.partition = o.source_partition
                                         AND i."offset" = o.source_offset
               WHERE o.kind = 'DEAD_LETTER' "#,
            $rest
        )
    };
}

pub(super) use select_letter;

impl Ledger {
    /// One run.
    pub async fn run(&self, run_id: &RunId) -> Result<Option<RunRecord>, Error> {
        let row =
            sqlx::query(select_record!("WHERE r.run_id = $1")).bind(run_id.as_str()).fetch_optional(&self.pool).await?;
        row.as_ref().map(run_record).transpose()
    }

    /// The run that a request id belongs to.
    pub async fn run_of_request(&self, request_id: &str) -> Result<Option<RunRecord>, Error> {
        let row = sqlx::query(select_record!("WHERE r.run_id = (SELECT run_id FROM requests WHERE request_id = $1)"))
            .bind(request_id)
            .fetch_optional(&self.pool)
            .await?;
        row.as_ref().map(run_record).transpose()
    }

    /// The latest runs, newest first; all states where none is named.
    pub async fn runs(&self, state: Option<State>, limit: i64) -> Result<Vec<RunRecord>, Error> {
        let rows = sqlx::query(select_record!(
            "WHERE $1::text IS NULL OR r.state::text = $1 ORDER BY r.created_at DESC, r.run_id LIMIT $2"
        ))
        .bind(state.map(State::as_str))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(run_record).collect()
    }

    /// Every step of a run, in order.
    pub async fn transitions(&self, run_id: &RunId) -> Result<Vec<TransitionRecord>, Error> {
        let rows = sqlx::query(
            "SELECT seq, transition, from_state::text, to_state::text, attempt, fence, worker, reason_code,
                    reason_message, at FROM transitions WHERE run_id = $1 ORDER BY seq",
        )
        .bind(run_id.as_str())
        .fetch_all(&self.pool)
        .await?;
        let record = |row: &PgRow| {
            Ok(TransitionRecord {
                seq: row.try_get(0)?,
                transition: row.try_get(1)?,
                from_state: row.try_get(2)?,
                to_state: row.try_get(3)?,
                attempt: row.try_get(4)?,
                fence: row.try_get(5)?,
                worker: row.try_get(6)?,
                reason_code: row.try_get(7)?,
                reason_message: row.try_get(8)?,
                at: row.try_get(9)?,
            })
        };
        rows.iter().map(record).collect()
    }

    /// Every request of a run, oldest first.
    pub async fn requests_of(&self, run_id: &RunId) -> Result<Vec<RequestRecord>, Error> {
        self.some_requests_of(run_id, i64::MAX).await
    }

    pub(super) async fn some_requests_of(&self, run_id: &RunId, limit: i64) -> Result<Vec<RequestRecord>, Error> {
        let rows = sqlx::query(
            r#"SELECT q.request_id, i.value, q.admitted_at FROM requests q
               LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset"
               WHERE q.run_id = $1 ORDER BY q.admitted_at, q.request_id LIMIT $2"#,
        )
        .bind(run_id.as_str())
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        let record = |row: &PgRow| {
            Ok(RequestRecord {
                request_id: row.try_get(0)?,
                run_id: run_id.clone(),
                request: Arc::unwrap_or_clone(stored_request(row.try_get(1)?)?),
                event: row.try_get::<Option<&[u8]>, _>(1)?.and_then(event_around),
                admitted_at: row.try_get(2)?,
            })
        };
        rows.iter().map(record).collect()
    }

    /// Every announcement of a run's bundle that was ever put into the outbox, oldest first.
    pub async fn publications_of(&self, run_id: &RunId) -> Result<Vec<BundlePublication>, Error> {
        let rows = sqlx::query("SELECT value FROM outbox WHERE stream = $1 AND kind = 'PUBLICATION' ORDER BY id")
            .bind(run_id.as_str())
            .fetch_all(&self.pool)
            .await?;
        rows.iter()
            .map(|row| serde_json::from_slice(row.try_get(0)?).map_err(|error| unreadable("publication", error)))
            .collect()
    }

    /// Every act on a run, in order.
    pub async fn acts_of(&self, run_id: &RunId) -> Result<Vec<ActRecord>, Error> {
        let rows = sqlx::query("SELECT act, actor, reason, refused_code, at FROM acts WHERE run_id = $1 ORDER BY id")
            .bind(run_id.as_str())
            .fetch_all(&self.pool)
            .await?;
        let record = |row: &PgRow| {
            Ok(ActRecord {
                act: row.try_get(0)?,
                actor: row.try_get(1)?,
                reason: row.try_get(2)?,
                refused_code: row.try_get(3)?,
                at: row.try_get(4)?,
            })
        };
        rows.iter().map(record).collect()
    }

    /// Other runs that differ from this one only in white space, case or Unicode form.
    pub async fn near_misses(&self, run_id: &RunId) -> Result<Vec<RunRecord>, Error> {
        let rows = sqlx::query(select_record!(
            "WHERE r.near_key = (SELECT near_key FROM runs WHERE run_id = $1) AND r.run_id <> $1
             ORDER BY r.created_at LIMIT 100"
        ))
        .bind(run_id.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(run_record).collect()
    }

    /// The latest refused records, newest first; of one code where it is given.
    pub async fn dead_letters(&self, code: Option<FailureCode>, limit: i64) -> Result<Vec<DeadLetterRecord>, Error> {
        let rows = sqlx::query(select_letter!(
            "AND ($1::text IS NULL OR o.headers @> jsonb_build_array(jsonb_build_array('mf_code', $1)))
             ORDER BY o.id DESC LIMIT $2"
        ))
        .bind(code.map(FailureCode::as_str))
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        rows.iter().map(dead_letter).collect()
    }

    /// The refused record that stood here, with its key and bytes as they came.
    pub async fn dead_letter(&self, source: &Coordinates) -> Result<Option<(DeadLetterRecord, Original)>, Error> {
        let Some(letter) = self.letter_of(source).await? else { return Ok(None) };
        let original =
            sqlx::query(r#"SELECT key, value FROM inbox WHERE topic = $1 AND partition = $2 AND "offset" = $3"#)
                .bind(&source.topic)
                .bind(source.partition)
                .bind(source.offset)
                .fetch_one(&self.pool)
                .await?;
        let original = Original { key: original.try_get(0)?, value: original.try_get(1)? };
        Ok(Some((letter, original)))
    }

    /// The refused record that stood here.
    pub(super) async fn letter_of(&self, source: &Coordinates) -> Result<Option<DeadLetterRecord>, Error> {
        let row =
            sqlx::query(select_letter!("AND o.source_topic = $1 AND o.source_partition = $2 AND o.source_offset = $3"))
                .bind(&source.topic)
                .bind(source.partition)
                .bind(source.offset)
                .fetch_optional(&self.pool)
                .await?;
        row.as_ref().map(dead_letter).transpose()
    }

    /// How much of everything there is.
    pub async fn counts(&self) -> Result<Counts, Error> {
        // One statement, one snapshot: the numbers belong together.
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM outbox WHERE sent_at IS NULL AND withdrawn_at IS NULL)
                    + (SELECT count(*) FROM lineage_outbox WHERE sent_at IS NULL), (SELECT count(*) FROM inbox),
                    (SELECT COALESCE(jsonb_object_agg(s.state, s.runs), '{}')
                     FROM (SELECT state::text, count(*) AS runs FROM runs GROUP BY state) s)",
        )
        .fetch_one(&self.pool)
        .await?;
        let mut runs: BTreeMap<String, i64> = State::ALL.iter().map(|state| (state.to_string(), 0)).collect();
        let found: BTreeMap<String, i64> =
            serde_json::from_value(row.try_get(2)?).map_err(|error| unreadable("count", error))?;
        runs.extend(found);
        Ok(Counts { runs, outbox_unsent: row.try_get(0)?, inbox: row.try_get(1)? })
    }
}

pub(super) fn dead_letter(row: &PgRow) -> Result<DeadLetterRecord, Error> {
    let headers: Vec<(String, String)> =
        serde_json::from_value(row.try_get(0)?).map_err(|error| unreadable("header list", error))?;
    Ok(DeadLetterRecord {
        headers: headers.into_iter().collect(),
        bytes: row.try_get(1)?,
        created_at: row.try_get(2)?,
        sent_at: row.try_get(3)?,
        source: Coordinates { topic: row.try_get(4)?, partition: row.try_get(5)?, offset: row.try_get(6)? },
    })
}

fn run_record(row: &PgRow) -> Result<RunRecord, Error> {
    let text = |index: usize| row.try_get::<String, _>(index);
    let topic: Option<String> = row.try_get(10)?;
    let published = match topic {
        Some(topic) => Some((topic, row.try_get(11)?, row.try_get(12)?)),
        None => None,
    };
    Ok(RunRecord {
        run_id: text(0)?.parse().map_err(|error| unreadable("run id", error))?,
        state: text(1)?.parse().map_err(|error| unreadable("state", error))?,
        execution_mode: text(2)?.parse().map_err(|error| unreadable("mode", error))?,
        full_run_attempts: row.try_get(3)?,
        publish_retry_attempts: row.try_get(4)?,
        fence: row.try_get(5)?,
        lease_owner: row.try_get(6)?,
        reason_code: row.try_get(7)?,
        reason_message: row.try_get(8)?,
        refs: serde_json::from_value(row.try_get(9)?).map_err(|error| unreadable("refs", error))?,
        published,
        answer_due_at: row.try_get(17)?,
        confirmed_by: row.try_get(18)?,
        request: Arc::unwrap_or_clone(stored_request(row.try_get(13)?)?),
        progress: match row.try_get::<Option<serde_json::Value>, _>(16)? {
            Some(progress) => Some(serde_json::from_value(progress).map_err(|error| unreadable("progress", error))?),
            None => None,
        },
        created_at: row.try_get(14)?,
        updated_at: row.try_get(15)?,
    })
}
