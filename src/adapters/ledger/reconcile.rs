//! The facts of a platform run, in one snapshot. Never: writes.

use super::audit_log::head;
use super::rows::{stored_request, unreadable};
use super::{Error, Ledger};
use crate::domain::audit_log::RunFacts;
use crate::domain::contract::Reconciliation;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

macro_rules! select_facts {
    ($rest:literal) => {
        concat!(
            r#"SELECT r.run_id, r.state::text, r.execution_mode::text, r.reason_code, r.publish_allowed, r.refs, i.value,
                    (SELECT count(*) FROM requests n WHERE n.run_id = r.run_id),
                    (SELECT t.to_state::text FROM transitions t WHERE t.run_id = r.run_id ORDER BY t.seq DESC LIMIT 1),
                    EXISTS (SELECT FROM outbox o WHERE o.stream = r.run_id AND o.seq = 1),
                    (SELECT count(*) FROM outbox o
                     WHERE o.stream = r.run_id AND o.kind = 'PUBLICATION' AND o.sent_at IS NOT NULL),
                    (SELECT count(DISTINCT sha256(o.value)) FROM outbox o
                     WHERE o.stream = r.run_id AND o.kind = 'PUBLICATION' AND o.sent_at IS NOT NULL)
             FROM runs r LEFT JOIN requests q ON q.request_id = r.request_id
             LEFT JOIN inbox i ON i.topic = q.topic AND i.partition = q.partition AND i."offset" = q."offset" "#,
            $rest
        )
    };
}

impl Ledger {
    /// What a platform run came to; none where the ledger knows no run of it.
    pub async fn reconcile(&self, platform_run_id: &str) -> Result<Option<Reconciliation>, Error> {
        let mut transaction = self.snapshot().await?;
        let as_of = head(&mut transaction).await?;
        let mut facts = Vec::new();
        // Runs from before the column was there are told apart by their requests.
        for statement in [
            select_facts!("WHERE r.platform_run_id = $1"),
            select_facts!("WHERE r.platform_run_id IS NULL AND $1 <> ''"),
        ] {
            for row in sqlx::query(statement).bind(platform_run_id).fetch_all(&mut *transaction).await? {
                facts.extend(run_facts(&row, platform_run_id)?);
            }
        }
        if facts.is_empty() {
            return Ok(None);
        }
        let run_ids: Vec<&str> = facts.iter().map(|run| run.run_id.as_str()).collect();
        let repeated = records(&mut transaction, "DUPLICATE_REQUEST", &run_ids).await?;
        let conflicting = records(&mut transaction, "CONFLICT", &run_ids).await?;
        transaction.rollback().await?;
        Ok(Some(Reconciliation::of(platform_run_id, as_of, facts, repeated, conflicting)))
    }
}

fn run_facts(row: &PgRow, platform_run_id: &str) -> Result<Option<RunFacts>, Error> {
    let request = stored_request(row.try_get(6)?)?;
    if request.platform_run_id != platform_run_id {
        return Ok(None);
    }
    let text = |index: usize| row.try_get::<String, _>(index);
    let count = |index: usize| row.try_get::<i64, _>(index).map(|count| count as u64);
    let state = |text: String| text.parse().map_err(|error| unreadable("state", error));
    let reason: Option<String> = row.try_get(3)?;
    Ok(Some(RunFacts {
        run_id: text(0)?.parse().map_err(|error| unreadable("run id", error))?,
        state: state(text(1)?)?,
        execution_mode: text(2)?.parse().map_err(|error| unreadable("mode", error))?,
        reason: reason.map(|code| code.parse().map_err(|error| unreadable("reason", error))).transpose()?,
        publish_allowed: row.try_get(4)?,
        refs: serde_json::from_value(row.try_get(5)?).map_err(|error| unreadable("refs", error))?,
        intent_kind: request.intent_kind,
        requests: count(7)?,
        last_step: row.try_get::<Option<String>, _>(8)?.map(state).transpose()?,
        admission_emitted: row.try_get(9)?,
        announcements: count(10)?,
        contents: count(11)?,
    }))
}

/// Records that made no run. The list is an index's own.
async fn records(connection: &mut PgConnection, outcome: &str, run_ids: &[&str]) -> Result<u64, Error> {
    let row = sqlx::query(
        "SELECT count(*) FROM inbox
         WHERE outcome ->> 'outcome' IN ('REJECTED', 'CONFLICT', 'DUPLICATE_REQUEST') AND outcome ->> 'outcome' = $1
           AND outcome ->> 'run_id' = ANY($2)",
    )
    .bind(outcome)
    .bind(run_ids)
    .fetch_one(connection)
    .await?;
    Ok(row.try_get::<i64, _>(0)? as u64)
}
