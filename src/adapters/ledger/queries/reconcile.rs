//! Reads the facts about the runs of one platform run, in one snapshot.

use crate::adapters::ledger::audit_log::{EvidenceRow, evidence_columns, head, logged_evidence};
use crate::adapters::ledger::columns::StoredRequest;
use crate::adapters::ledger::session::Session;
use crate::adapters::ledger::{Error, Ledger};
use crate::domain::audit_log::RunFacts;
use crate::domain::contract::{EventRefs, Reconciliation, unreported};
use crate::domain::identity::RunId;
use crate::domain::run::{ExecutionMode, FailureCode, State};
use std::collections::BTreeMap;

macro_rules! select_facts {
    ($rest:literal) => {
        concat!(
            "SELECT r.run_id, r.state::text, r.execution_mode::text, r.reason_code, r.publish_allowed, ",
            evidence_columns!(),
            r#", i.value AS request,
                    (SELECT count(*) FROM requests n WHERE n.run_id = r.run_id) AS requests,
                    (SELECT t.to_state::text FROM transitions t WHERE t.run_id = r.run_id
                     ORDER BY t.seq DESC LIMIT 1) AS last_step,
                    EXISTS (SELECT FROM outbox o WHERE o.stream = r.run_id AND o.seq = 1) AS has_admission_event,
                    (SELECT count(*) FROM outbox o
                     WHERE o.stream = r.run_id AND o.kind = 'PUBLICATION' AND o.sent_at IS NOT NULL) AS announcements,
                    (SELECT count(DISTINCT sha256(o.value)) FROM outbox o
                     WHERE o.stream = r.run_id AND o.kind = 'PUBLICATION' AND o.sent_at IS NOT NULL) AS contents
             FROM runs r LEFT JOIN requests q ON q.request_id = r.request_id
             LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset" "#,
            $rest
        )
    };
}

#[derive(sqlx_macros::FromRow)]
struct FactsRow {
    run_id: RunId,
    state: State,
    execution_mode: ExecutionMode,
    reason_code: Option<FailureCode>,
    publish_allowed: bool,
    #[sqlx(flatten)]
    evidence: EvidenceRow,
    request: StoredRequest,
    requests: i64,
    last_step: Option<State>,
    has_admission_event: bool,
    announcements: i64,
    contents: i64,
}

impl FactsRow {
    fn facts(self, logged: &BTreeMap<RunId, EventRefs>) -> RunFacts {
        let StoredRequest(request) = self.request;
        let agrees = || logged.get(&self.run_id).is_some_and(|named| unreported(&self.evidence.refs, named).is_empty());
        RunFacts {
            evidence_logged: self.evidence.is_timed().then(agrees),
            run_id: self.run_id,
            state: self.state,
            execution_mode: self.execution_mode,
            reason: self.reason_code,
            publish_allowed: self.publish_allowed,
            refs: self.evidence.refs,
            intent_kind: request.intent_kind,
            requests: self.requests as u64,
            last_step: self.last_step,
            admission_emitted: self.has_admission_event,
            announcements: self.announcements as u64,
            contents: self.contents as u64,
        }
    }
}

impl Ledger {
    /// Sums up what became of a platform run's requests. `None` if the ledger has no run of this platform run.
    pub async fn reconcile(&self, platform_run_id: &str) -> Result<Option<Reconciliation>, Error> {
        let mut transaction = self.snapshot().await?;
        let as_of = head(&mut transaction).await?;
        let mut rows = Vec::new();
        // Runs from before the column `platform_run_id` existed are found by their first request.
        for statement in [
            select_facts!("WHERE r.platform_run_id = $1"),
            select_facts!("WHERE r.platform_run_id IS NULL AND $1 <> ''"),
        ] {
            let found: Vec<FactsRow> =
                sqlx::query_as(statement).bind(platform_run_id).fetch_all(&mut transaction).await?;
            rows.extend(found.into_iter().filter(|row| row.request.0.platform_run_id == platform_run_id));
        }
        if rows.is_empty() {
            return Ok(None);
        }
        let times: Vec<_> = rows.iter().flat_map(|row| row.evidence.times()).collect();
        let logged = logged_evidence(&mut transaction, &times).await?;
        let facts: Vec<_> = rows.into_iter().map(|row| row.facts(&logged)).collect();
        let run_ids: Vec<&str> = facts.iter().map(|run| run.run_id.as_str()).collect();
        let repeated = count_records(&mut transaction, "DUPLICATE_REQUEST", &run_ids).await?;
        let conflicting = count_records(&mut transaction, "CONFLICT", &run_ids).await?;
        transaction.rollback().await?;
        Ok(Some(Reconciliation::of(platform_run_id, as_of, facts, repeated, conflicting)))
    }
}

/// Counts records that have one outcome and made no run. The statement repeats the index's list of outcomes, so that
/// Postgres can use the index.
async fn count_records(connection: &mut Session, outcome: &str, run_ids: &[&str]) -> Result<u64, Error> {
    let records: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM inbox
         WHERE outcome ->> 'outcome' IN ('REJECTED', 'CONFLICT', 'DUPLICATE_REQUEST') AND outcome ->> 'outcome' = $1
           AND outcome ->> 'run_id' = ANY($2)",
    )
    .bind(outcome)
    .bind(run_ids)
    .fetch_one(connection)
    .await?;
    Ok(records as u64)
}
