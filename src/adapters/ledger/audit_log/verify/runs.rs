//! Compares the rows of `runs` and `requests` with what the log says about them: which request made a run, which joined it,
//! and what state, evidence and receipt the run has.

use super::compare::LoggedActs;
use super::verdict::LogVerification;
use crate::adapters::ledger::session::Session;
use crate::adapters::ledger::{Coordinates, Error};
use crate::domain::contract::{ActKind, AuditAct, EventRefs, EvidenceRef, StateChange, unreported};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, State};
use chrono::{DateTime, Utc};
use futures::TryStreamExt as _;
use serde::Deserialize as _;
use serde_json::Value;
use sqlx::types::Json;

/// The role whose document is written after a run's last step.
const RECEIPT: &str = "publish_receipt";

/// A run as its row holds it, for a logged step. `None` in all columns if there is no such row.
#[derive(sqlx_macros::FromRow)]
struct RunOfStep {
    /// Position among the steps that were looked up, counted from 1.
    line: i64,
    /// Whether the run's steps were pruned, so that a later block may report a later step.
    is_pruned: bool,
    state: Option<State>,
    execution_mode: Option<ExecutionMode>,
    /// As stored: whoever changes the row may leave what does not read as evidence.
    refs: Option<Json<Value>>,
}

#[derive(sqlx_macros::FromRow)]
struct RunWithoutSteps {
    run_id: RunId,
    state: State,
}

impl RunOfStep {
    /// Says how the row differs from the step that should be its last; `None` if it does not.
    fn difference(&self, change: &StateChange, act: &AuditAct) -> Option<String> {
        let (Some(state), Some(mode), Some(Json(refs))) = (self.state, self.execution_mode, &self.refs) else {
            return Some("is not there".to_owned());
        };
        if (state, mode) != (change.to, change.execution_mode) {
            return Some(format!(
                "is {state} ({mode}), and its last step led to {} ({})",
                change.to, change.execution_mode
            ));
        }
        let Ok(mut kept) = EventRefs::deserialize(refs) else {
            return Some("has evidence that does not read".to_owned());
        };
        kept.remove(RECEIPT);
        unreported(&kept, &act.evidence_of_run())
            .first()
            .map(|role| format!("has other evidence {role:?} than its last step"))
    }
}

impl LoggedActs<'_> {
    /// Compares each run whose last step is in these blocks. A step of a run whose steps were pruned is kept until the last
    /// block was read, since a later one counts.
    pub(super) async fn runs(&self, connection: &mut Session, verification: &mut LogVerification) -> Result<(), Error> {
        let steps: Vec<_> = self.steps_of_runs().collect();
        let rows: Vec<RunOfStep> = sqlx::query_as(
            "SELECT t.line, last.seq IS NULL AS is_pruned, r.state::text, r.execution_mode::text, r.refs
             FROM UNNEST($1::text[], $2::bigint[]) WITH ORDINALITY AS t (run_id, seq, line)
             LEFT JOIN runs r ON r.run_id = t.run_id
             CROSS JOIN LATERAL (SELECT max(x.seq) AS seq FROM transitions x WHERE x.run_id = t.run_id) last
             WHERE last.seq IS NULL OR last.seq = t.seq
             ORDER BY t.line",
        )
        .bind(steps.iter().map(|step| step.run_id.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|step| step.change.seq).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        for row in rows {
            let step = &steps[row.line as usize - 1];
            let what = row.difference(step.change, step.act);
            let what = what.map(|what| format!("the run {} {what} (block {})", step.run_id, step.block));
            if row.is_pruned {
                verification.pruned_runs.insert(step.run_id.clone(), what);
            } else {
                verification.compared_run(what);
            }
        }
        Ok(())
    }

    /// Compares the requests that made runs or joined them: each has its row, which names its record and run.
    pub(super) async fn requests(
        &self,
        connection: &mut Session,
        verification: &mut LogVerification,
    ) -> Result<(), Error> {
        let requests: Vec<_> = self.requests_of_runs().collect();
        let lines: Vec<i64> = sqlx::query_scalar(
            r#"SELECT t.line
               FROM UNNEST($1::text[], $2::text[], $3::text[], $4::integer[], $5::bigint[], $6::boolean[])
                    WITH ORDINALITY AS t (id, run_id, topic, partition, position, is_first, line)
               WHERE NOT EXISTS (
                   SELECT FROM requests q
                   WHERE (q.request_id = t.id OR q.request_id ~>=~ (t.id || '/') AND q.request_id ~<~ (t.id || '0'))
                     AND q.run_id = t.run_id AND q.topic = t.topic AND q.partition = t.partition
                     AND q."offset" = t.position
                     AND (NOT t.is_first OR EXISTS (SELECT FROM runs r
                                                    WHERE r.run_id = q.run_id AND r.request_id = q.request_id)))
               ORDER BY t.line"#,
        )
        .bind(requests.iter().map(|request| request.id).collect::<Vec<_>>())
        .bind(requests.iter().map(|request| request.run_id.as_str()).collect::<Vec<_>>())
        .bind(requests.iter().map(|request| request.at.topic.as_str()).collect::<Vec<_>>())
        .bind(requests.iter().map(|request| request.at.partition).collect::<Vec<_>>())
        .bind(requests.iter().map(|request| request.at.offset).collect::<Vec<_>>())
        .bind(requests.iter().map(|request| request.is_first).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        for line in lines {
            let LoggedRequest { id, run_id, at, block, .. } = &requests[line as usize - 1];
            verification.disagree(format!(
                "block {block} reports that request {id} of record {at} belongs to {run_id}, and the rows of requests and \
                 runs do not say so"
            ));
        }
        Ok(())
    }

    /// Compares the receipts that were written after their runs' last steps.
    pub(super) async fn receipts(
        &self,
        connection: &mut Session,
        verification: &mut LogVerification,
    ) -> Result<(), Error> {
        let receipts: Vec<_> = self.receipts_of_runs().collect();
        let lines: Vec<i64> = sqlx::query_scalar(
            "SELECT t.line FROM UNNEST($1::text[], $2::jsonb[]) WITH ORDINALITY AS t (run_id, receipt, line)
             WHERE NOT EXISTS (SELECT FROM runs r WHERE r.run_id = t.run_id AND r.refs -> 'publish_receipt' = t.receipt)
             ORDER BY t.line",
        )
        .bind(receipts.iter().map(|(_, run_id, _)| run_id.as_str()).collect::<Vec<_>>())
        .bind(receipts.iter().map(|(.., receipt)| Json(*receipt)).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        verification.verdict.agreeing.receipts += (receipts.len() - lines.len()) as u64;
        for line in lines {
            let (block, run_id, _) = &receipts[line as usize - 1];
            verification
                .disagree(format!("block {block} reports a receipt of {run_id}, and its row names another or none"));
        }
        Ok(())
    }
}

/// Reports what was found of runs whose steps were pruned, and looks for runs that no step leads to their state.
pub(super) async fn look(connection: &mut Session, verification: &mut LogVerification) -> Result<(), Error> {
    let Some(since): Option<DateTime<Utc>> = verification.verdict.since else { return Ok(()) };
    let pruned = std::mem::take(&mut verification.pruned_runs);
    let mut rows = sqlx::query_as::<_, RunWithoutSteps>(
        "SELECT r.run_id, r.state::text FROM runs r
         WHERE r.created_at >= $1 AND (r.state <> 'QUEUED' OR r.refs <> '{}')
           AND NOT EXISTS (SELECT FROM transitions x WHERE x.run_id = r.run_id)
         ORDER BY r.run_id",
    )
    .bind(since)
    .fetch(&mut *connection);
    while let Some(RunWithoutSteps { run_id, state }) = rows.try_next().await? {
        if !pruned.contains_key(&run_id) {
            verification
                .disagree(format!("the run {run_id} is {state} or has evidence, and no block reports a step of it"));
        }
    }
    drop(rows);
    for what in pruned.into_values() {
        verification.compared_run(what);
    }
    Ok(())
}

struct LoggedStep<'a> {
    block: i64,
    run_id: &'a RunId,
    change: &'a StateChange,
    act: &'a AuditAct,
}

struct LoggedRequest<'a> {
    block: i64,
    id: &'a str,
    run_id: &'a RunId,
    at: Coordinates,
    /// Whether the run was made for this request.
    is_first: bool,
}

impl LoggedActs<'_> {
    fn steps_of_runs(&self) -> impl Iterator<Item = LoggedStep<'_>> {
        self.numbered().filter_map(|(block, act)| {
            Some(LoggedStep { block, run_id: act.subject.run_id.as_ref()?, change: act.change.as_ref()?, act })
        })
    }

    fn requests_of_runs(&self) -> impl Iterator<Item = LoggedRequest<'_>> {
        self.numbered().filter_map(|(block, act)| {
            let is_first = match act.outcome.as_deref()? {
                "ADMITTED" => true,
                "DUPLICATE_RUN" => false,
                _ => return None,
            };
            let at = act.subject.record.as_deref()?.parse().ok()?;
            let id = act.subject.request_id.as_deref()?;
            Some(LoggedRequest { block, id, run_id: act.subject.run_id.as_ref()?, at, is_first })
        })
    }

    fn receipts_of_runs(&self) -> impl Iterator<Item = (i64, &RunId, &EvidenceRef)> {
        self.numbered()
            .filter(|(_, act)| act.act == ActKind::PublishReceiptWritten)
            .filter_map(|(block, act)| Some((block, act.subject.run_id.as_ref()?, act.evidence.get(RECEIPT)?)))
    }
}
