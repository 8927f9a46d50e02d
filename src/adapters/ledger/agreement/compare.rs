//! What a page of the log tells, row by row beside the ledger's tables.

use super::Agreement;
use crate::adapters::ledger::types::Coordinates;
use crate::adapters::ledger::{Act as Command, Error};
use crate::domain::audit_log::Block;
use crate::domain::contract::{ActKind, AuditAct, AuditActs};
use crate::domain::run::FailureCode;
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

/// What some blocks tell.
#[derive(Default)]
pub(super) struct Page<'a> {
    told: Vec<Told<'a>>,
}

#[derive(Clone, Copy)]
struct Told<'a> {
    seq: i64,
    at: DateTime<Utc>,
    by: &'a str,
    act: &'a AuditAct,
}

/// The command that an act of the log is in the table of acts.
pub(super) fn command(kind: ActKind) -> Option<Command> {
    match kind {
        ActKind::CancelRequested => Some(Command::Cancel),
        ActKind::PublishRetryRequested => Some(Command::RetryPublish),
        ActKind::RequeueRequested => Some(Command::Requeue),
        _ => None,
    }
}

fn run_id(act: &AuditAct) -> &str {
    act.subject.run_id.as_ref().map_or("", |run_id| run_id.as_str())
}

impl<'a> Page<'a> {
    pub(super) fn take(&mut self, block: &Block, body: &'a AuditActs) {
        let told = body.acts.iter().map(|act| Told { seq: block.seq, at: block.at, by: &body.by, act });
        self.told.extend(told);
    }

    /// Looks up all of it; what is not there may still be explained by a later block.
    pub(super) async fn compare(&self, connection: &mut PgConnection, agreement: &mut Agreement) -> Result<(), Error> {
        self.steps(connection, agreement).await?;
        self.records(connection, agreement).await?;
        self.commands(connection, agreement).await?;
        self.answers(connection, agreement).await
    }

    async fn steps(&self, connection: &mut PgConnection, agreement: &mut Agreement) -> Result<(), Error> {
        let steps: Vec<_> =
            self.told.iter().filter_map(|told| told.act.change.as_ref().map(|change| (*told, change))).collect();
        let why = |told: &Told<'a>| told.act.reason.as_ref();
        let rows = sqlx::query(
            "SELECT t.line, x.run_id IS NOT NULL
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
        .bind(steps.iter().map(|(told, _)| run_id(told.act)).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.seq).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.transition.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.from.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.to.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.execution_mode.as_str()).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.attempt).collect::<Vec<_>>())
        .bind(steps.iter().map(|(_, change)| change.fence).collect::<Vec<_>>())
        .bind(steps.iter().map(|(told, _)| told.by).collect::<Vec<_>>())
        .bind(steps.iter().map(|(told, _)| why(told)?.code.map(FailureCode::as_str)).collect::<Vec<_>>())
        .bind(steps.iter().map(|(told, _)| Some(why(told)?.message.as_str())).collect::<Vec<_>>())
        .bind(steps.iter().map(|(told, _)| told.at).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        agreement.verdict.agreeing.transitions += (steps.len() - rows.len()) as u64;
        for row in rows {
            let (told, change) = steps[row.try_get::<i64, _>(0)? as usize - 1];
            let run_id = run_id(told.act);
            if row.try_get(1)? {
                let step = format!("{} of {run_id}, number {}", change.transition, change.seq);
                agreement.disagree(format!("block {} tells {step} otherwise than the table of steps", told.seq));
            } else {
                agreement.miss(run_id, told.seq);
            }
        }
        Ok(())
    }

    async fn records(&self, connection: &mut PgConnection, agreement: &mut Agreement) -> Result<(), Error> {
        let settled = |told: &Told<'a>| {
            let outcome = told.act.outcome.as_deref()?;
            let at: Coordinates = told.act.subject.record.as_deref()?.parse().ok()?;
            Some((*told, outcome, at, told.act.evidence.get("request")?.sha256))
        };
        let records: Vec<_> = self.told.iter().filter_map(settled).collect();
        let rows = sqlx::query(
            r#"SELECT t.line, i.topic IS NOT NULL
               FROM UNNEST($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::bytea[], $6::timestamptz[])
                    WITH ORDINALITY AS t (topic, partition, position, outcome, sha256, at, line)
               LEFT JOIN inbox i ON i.topic = t.topic AND i.partition = t.partition AND i."offset" = t.position
               WHERE i.topic IS NULL
                  OR (i.outcome ->> 'outcome', sha256(i.value), i.received_at)
                     IS DISTINCT FROM (t.outcome, t.sha256, t.at)
               ORDER BY t.line"#,
        )
        .bind(records.iter().map(|(_, _, at, _)| at.topic.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, _, at, _)| at.partition).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, _, at, _)| at.offset).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, outcome, _, _)| *outcome).collect::<Vec<_>>())
        .bind(records.iter().map(|(_, _, _, sha256)| sha256.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(records.iter().map(|(told, ..)| told.at).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        let differ: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let must_be_told = |outcome: &str| outcome != "DUPLICATE_REQUEST";
        let agreeing = (1_i64..).zip(&records).filter(|(line, _)| differ.binary_search(line).is_err());
        agreement.verdict.agreeing.inbox +=
            agreeing.filter(|(_, (_, outcome, ..))| must_be_told(outcome)).count() as u64;
        for row in rows {
            let (told, _, at, _) = &records[row.try_get::<i64, _>(0)? as usize - 1];
            if row.try_get(1)? {
                agreement
                    .disagree(format!("block {} tells of record {at} otherwise than the inbox holds it", told.seq));
            } else {
                agreement.miss(&at.to_string(), told.seq);
            }
        }
        Ok(())
    }

    async fn commands(&self, connection: &mut PgConnection, agreement: &mut Agreement) -> Result<(), Error> {
        let commands: Vec<_> =
            self.told.iter().filter_map(|told| Some((*told, command(told.act.act)?.as_str()))).collect();
        let rows = sqlx::query(
            "SELECT t.line
             FROM UNNEST($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
                  WITH ORDINALITY AS t (run_id, act, actor, refused, reason, at, line)
             WHERE NOT EXISTS (SELECT FROM acts x
                               WHERE x.run_id = t.run_id AND x.act = t.act AND x.actor = t.actor AND x.at = t.at
                                 AND x.refused_code IS NOT DISTINCT FROM t.refused
                                 AND (x.reason = t.reason OR octet_length(x.reason) > 2048))
             ORDER BY t.line",
        )
        .bind(commands.iter().map(|(told, _)| run_id(told.act)).collect::<Vec<_>>())
        .bind(commands.iter().map(|(_, command)| *command).collect::<Vec<_>>())
        .bind(commands.iter().map(|(told, _)| told.act.actor.name.as_str()).collect::<Vec<_>>())
        .bind(commands.iter().map(|(told, _)| told.act.refused.map(FailureCode::as_str)).collect::<Vec<_>>())
        .bind(
            commands
                .iter()
                .map(|(told, _)| told.act.reason.as_ref().map(|why| why.message.as_str()))
                .collect::<Vec<_>>(),
        )
        .bind(commands.iter().map(|(told, _)| told.at).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
        agreement.verdict.agreeing.acts += (commands.len() - rows.len()) as u64;
        for row in rows {
            let (told, command) = commands[row.try_get::<i64, _>(0)? as usize - 1];
            let run_id = run_id(told.act);
            agreement.disagree(format!("block {} tells {command} of {run_id}, the table of acts does not", told.seq));
        }
        Ok(())
    }

    /// Of what the registry said, only what is still there is compared: it is deleted with a run's history.
    async fn answers(&self, connection: &mut PgConnection, agreement: &mut Agreement) -> Result<(), Error> {
        let answers = self.told.iter().filter(|told| told.act.act == ActKind::RegistryAnswered);
        let ids: Vec<&str> = answers.filter_map(|told| told.act.subject.registry_event_id.as_deref()).collect();
        let row = sqlx::query("SELECT count(*) FROM registry_events WHERE registry_event_id = ANY($1)")
            .bind(ids)
            .fetch_one(connection)
            .await?;
        agreement.verdict.agreeing.registry_events += row.try_get::<i64, _>(0)? as u64;
        Ok(())
    }
}

impl Agreement {
    fn miss(&mut self, key: &str, seq: i64) {
        let (last, rows) = self.gone.entry(key.to_owned()).or_insert((seq, 0));
        *last = seq;
        *rows += 1;
    }
}
