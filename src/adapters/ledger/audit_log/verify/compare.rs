//! Compares the acts of a page of blocks, row by row, with the ledger's tables.

use super::verdict::LogVerification;
use crate::adapters::ledger::session::Session;
use crate::adapters::ledger::{Coordinates, Error, RunCommand};
use crate::domain::audit_log::Block;
use crate::domain::contract::{ActKind, AuditAct, AuditActs};
use crate::domain::run::FailureCode;
use chrono::{DateTime, Utc};

#[derive(Default)]
pub(super) struct LoggedActs<'a> {
    acts: Vec<LoggedAct<'a>>,
}

/// An act, with number, time and writer of the block that holds it.
#[derive(Clone, Copy)]
struct LoggedAct<'a> {
    seq: i64,
    at: DateTime<Utc>,
    by: &'a str,
    act: &'a AuditAct,
}

/// A row that a block reports and that its table lacks, or holds with other values.
#[derive(sqlx_macros::FromRow)]
struct RowDifference {
    /// Position among the rows that were looked up, counted from 1.
    line: i64,
    is_there: bool,
}

impl RowDifference {
    fn index(&self) -> usize {
        self.line as usize - 1
    }
}

fn run_id(act: &AuditAct) -> &str {
    act.subject.run_id.as_ref().map_or("", |run_id| run_id.as_str())
}

impl<'a> LoggedActs<'a> {
    pub(super) fn take(&mut self, block: &Block, body: &'a AuditActs) {
        let logged = body.acts.iter().map(|act| LoggedAct { seq: block.seq, at: block.at, by: &body.by, act });
        self.acts.extend(logged);
    }

    /// The acts, each with the number of its block.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (i64, &'a AuditAct)> {
        self.acts.iter().map(|logged| (logged.seq, logged.act))
    }

    /// Looks up every row that the blocks report. A missing row may still be explained by a later block, because
    /// pruning logs what it deletes.
    pub(super) async fn compare(
        &self,
        connection: &mut Session,
        verification: &mut LogVerification,
    ) -> Result<(), Error> {
        self.steps(connection, verification).await?;
        self.records(connection, verification).await?;
        self.commands(connection, verification).await?;
        self.runs(connection, verification).await?;
        self.requests(connection, verification).await?;
        self.receipts(connection, verification).await?;
        self.registry_replies(connection, verification).await
    }

    async fn steps(&self, connection: &mut Session, verification: &mut LogVerification) -> Result<(), Error> {
        let steps: Vec<_> =
            self.acts.iter().filter_map(|logged| logged.act.change.as_ref().map(|change| (*logged, change))).collect();
        let why = |logged: &LoggedAct<'a>| logged.act.reason.as_ref();
        let rows: Vec<RowDifference> = sqlx::query_as(
            "SELECT t.line, x.run_id IS NOT NULL AS is_there
             FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[],
                         $8::bigint[], $9::text[], $10::text[], $11::text[], $12::timestamptz[])
                  WITH ORDINALITY AS t (run_id, seq, transition, from_state, to_state, mode, attempt, fence, worker,
                                        code, message, at, line)
             LEFT JOIN transitions x ON x.run_id = t.run_id AND x.seq = t.seq
             WHERE x.run_id IS NULL
                OR (x.transition, x.from_state::text, x.to_state::text, x.execution_mode::text, x.attempt, x.fence,
                    x.worker, x.reason_code, x.reason_message, x.at)
                   IS DISTINCT FROM (t.transition, t.from_state, t.to_state, t.mode, t.attempt, t.fence, t.worker,
                                     t.code, t.message, t.at)
             ORDER BY t.line",
        )
        .bind(steps.iter().map(|(logged, _)| run_id(logged.act)).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.seq).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.transition.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.from.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.to.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.execution_mode.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.attempt).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.fence).collect::<Vec<_>>())
        .bind(steps.iter().map(|(logged, _)| logged.by).collect::<Vec<_>>())
        .bind(steps.iter().map(|(logged, _)| why(logged)?.code.map(FailureCode::as_str)).collect::<Vec<_>>())
        .bind(steps.iter().map(|(logged, _)| Some(why(logged)?.message.as_str())).collect::<Vec<_>>())
        .bind(steps.iter().map(|(logged, _)| logged.at).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        verification.verdict.agreeing.transitions += (steps.len() - rows.len()) as u64;
        for row in rows {
            let (logged, change) = steps[row.index()];
            let run_id = run_id(logged.act);
            if row.is_there {
                let step = format!("{} of {run_id}, number {}", change.transition, change.seq);
                verification.disagree(format!("block {} tells {step} otherwise than the table of steps", logged.seq));
            } else {
                verification.miss(run_id, logged.seq);
            }
        }
        Ok(())
    }

    async fn records(&self, connection: &mut Session, verification: &mut LogVerification) -> Result<(), Error> {
        let settled = |logged: &LoggedAct<'a>| {
            let outcome = logged.act.outcome.as_deref()?;
            let at: Coordinates = logged.act.subject.record.as_deref()?.parse().ok()?;
            Some((*logged, outcome, at, logged.act.evidence.get("request")?.sha256))
        };
        let records: Vec<_> = self.acts.iter().filter_map(settled).collect();
        let rows: Vec<RowDifference> = sqlx::query_as(
            r#"SELECT t.line, i.topic IS NOT NULL AS is_there
               FROM UNNEST($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::bytea[], $6::timestamptz[])
                    WITH ORDINALITY AS t (topic, partition, position, outcome, sha256, at, line)
               LEFT JOIN inbox i ON i.topic = t.topic AND i.partition = t.partition AND i."offset" = t.position
               WHERE i.topic IS NULL
                  OR (i.outcome ->> 'outcome', COALESCE(i.value_sha256, sha256(i.value)), i.received_at)
                     IS DISTINCT FROM (t.outcome, t.sha256, t.at)
               ORDER BY t.line"#,
        )
        .bind(records.iter().map(|(_, _, at, _)| at.topic.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, _, at, _)| at.partition).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, _, at, _)| at.offset).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, outcome, _, _)| *outcome).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, _, _, sha256)| sha256.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(records.iter().map(|(logged, ..)| logged.at).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        let must_be_logged = |outcome: &str| outcome != "DUPLICATE_REQUEST";
        let differs = |line: &i64| rows.binary_search_by_key(line, |row| row.line).is_ok();
        let agreeing = (1_i64..).zip(&records).filter(|(line, _)| !differs(line));
        verification.verdict.agreeing.inbox +=
            agreeing.filter(|(_, (_, outcome, ..))| must_be_logged(outcome)).count() as u64;
        for row in rows {
            let (logged, _, at, _) = &records[row.index()];
            if row.is_there {
                verification
                    .disagree(format!("block {} tells of record {at} otherwise than the inbox holds it", logged.seq));
            } else {
                verification.miss(&at.to_string(), logged.seq);
            }
        }
        Ok(())
    }

    async fn commands(&self, connection: &mut Session, verification: &mut LogVerification) -> Result<(), Error> {
        let commands: Vec<_> =
            self.acts.iter().filter_map(|logged| Some((*logged, RunCommand::of(logged.act.act)?.as_str()))).collect();
        let lines: Vec<i64> = sqlx::query_scalar(
            "SELECT t.line
             FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
                  WITH ORDINALITY AS t (run_id, act, actor, refused, reason, at, line)
             WHERE NOT EXISTS (SELECT FROM acts x
                               WHERE x.run_id = t.run_id AND x.act = t.act AND x.actor = t.actor AND x.at = t.at
                                 AND x.refused_code IS NOT DISTINCT FROM t.refused
                                 AND (x.reason = t.reason OR octet_length(x.reason) > 2048))
             ORDER BY t.line",
        )
        .bind(commands.iter().map(|(logged, _)| run_id(logged.act)).collect::<Vec<_>>())
        .bind(commands.iter().map(|(_, command)| *command).collect::<Vec<_>>())
        .bind(commands.iter().map(|(logged, _)| logged.act.actor.name.as_str()).collect::<Vec<_>>())
        .bind(commands.iter().map(|(logged, _)| logged.act.refused.map(FailureCode::as_str)).collect::<Vec<_>>())
        .bind(
            commands
                .iter()
                .map(|(logged, _)| logged.act.reason.as_ref().map(|why| why.message.as_str()))
                .collect::<Vec<_>>(),
        )
        .bind(commands.iter().map(|(logged, _)| logged.at).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        verification.verdict.agreeing.acts += (commands.len() - lines.len()) as u64;
        for line in lines {
            let (logged, command) = commands[line as usize - 1];
            let run_id = run_id(logged.act);
            verification
                .disagree(format!("block {} tells {command} of {run_id}, the table of acts does not", logged.seq));
        }
        Ok(())
    }

    /// Counts the logged replies of the registry that still exist. Missing replies are no error, because pruning deletes
    /// replies together with the history of their run.
    async fn registry_replies(
        &self,
        connection: &mut Session,
        verification: &mut LogVerification,
    ) -> Result<(), Error> {
        let replies = self.acts.iter().filter(|logged| logged.act.act == ActKind::RegistryAnswered);
        let ids: Vec<&str> = replies.filter_map(|logged| logged.act.subject.registry_event_id.as_deref()).collect();
        let found: i64 = sqlx::query_scalar("SELECT count(*) FROM registry_events WHERE registry_event_id = ANY($1)")
            .bind(ids)
            .fetch_one(connection)
            .await?;
        verification.verdict.agreeing.registry_events += found as u64;
        Ok(())
    }
}
