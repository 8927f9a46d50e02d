//! Rows of the ledger that no block tells: counted first, and looked for only where the count says that there are some.

use super::Agreement;
use super::compare::command;
use crate::adapters::ledger::Error;
use crate::adapters::ledger::audit_log::page;
use crate::domain::contract::ActKind;
use chrono::SecondsFormat;
use futures::TryStreamExt as _;
use sqlx::{PgConnection, Row};
use std::collections::HashSet;

/// How a table's rows are counted, and named as [`told_keys`] names what is told.
struct Table {
    name: &'static str,
    count: &'static str,
    rows: &'static str,
}

const TABLES: [Table; 4] = [
    Table {
        name: "transitions",
        count: "SELECT count(*) FROM transitions WHERE at >= $1",
        rows: "SELECT 'step ' || seq || ' of ' || run_id FROM transitions WHERE at >= $1 ORDER BY at, run_id, seq",
    },
    Table {
        name: "inbox",
        count: "SELECT count(*) FROM inbox WHERE received_at >= $1 AND outcome ->> 'outcome' <> 'DUPLICATE_REQUEST'",
        rows: r#"SELECT 'record ' || topic || '/' || partition || '/' || "offset" FROM inbox
                 WHERE received_at >= $1 AND outcome ->> 'outcome' <> 'DUPLICATE_REQUEST'
                 ORDER BY received_at, topic, partition, "offset""#,
    },
    Table {
        name: "acts",
        count: "SELECT count(*) FROM acts WHERE at >= $1",
        rows: "SELECT act || ' of ' || run_id || ' by ' || actor || ' at '
                      || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
               FROM acts WHERE at >= $1 ORDER BY id",
    },
    Table {
        name: "registry_events",
        count: "SELECT count(*) FROM registry_events WHERE received_at >= $1",
        rows: "SELECT 'event ' || registry_event_id FROM registry_events WHERE received_at >= $1
               ORDER BY received_at, registry_event_id",
    },
];

/// Rows since the log has to tell of all.
pub(super) async fn look(connection: &mut PgConnection, agreement: &mut Agreement) -> Result<(), Error> {
    let Some(since) = agreement.verdict.since else { return Ok(()) };
    let agreeing = agreement.verdict.agreeing;
    let told = [agreeing.transitions, agreeing.inbox, agreeing.acts, agreeing.registry_events];
    let mut keys = None;
    for (table, told) in TABLES.iter().zip(told) {
        let row = sqlx::query(table.count).bind(since).fetch_one(&mut *connection).await?;
        // More agree than there are where `since` is later than the log's beginning.
        if row.try_get::<i64, _>(0)? as u64 <= told && agreement.verdict.since == agreement.verdict.began_at {
            continue;
        }
        if keys.is_none() {
            keys = Some(told_keys(connection, agreement.verdict.head.seq).await?);
        }
        let keys: &HashSet<String> = keys.as_ref().expect("they were just read");
        let mut rows = sqlx::query(table.rows).bind(since).fetch(&mut *connection);
        while let Some(row) = rows.try_next().await? {
            let key: String = row.try_get(0)?;
            if !keys.contains(&key) {
                agreement.disagree(format!("{} holds {key}, which no block tells", table.name));
            }
        }
    }
    Ok(())
}

async fn told_keys(connection: &mut PgConnection, last: i64) -> Result<HashSet<String>, Error> {
    let mut keys = HashSet::new();
    let mut behind = 0;
    loop {
        let blocks = page(connection, behind, last).await?;
        let Some(end) = blocks.last() else { return Ok(keys) };
        behind = end.seq;
        // They were followed before.
        let acts = blocks.iter().filter_map(|block| Some((block.at, block.read().ok()?)));
        for (at, act) in acts.flat_map(|(at, body)| body.acts.into_iter().map(move |act| (at, act))) {
            let run_id = act.subject.run_id.as_ref().map_or("", |run_id| run_id.as_str());
            if let Some(change) = &act.change {
                keys.insert(format!("step {} of {run_id}", change.seq));
            }
            if let (Some(_), Some(record)) = (&act.outcome, &act.subject.record) {
                keys.insert(format!("record {record}"));
            }
            if let Some(command) = command(act.act) {
                let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
                keys.insert(format!("{} of {run_id} by {} at {at}", command.as_str(), act.actor.name));
            }
            if let (ActKind::RegistryAnswered, Some(id)) = (act.act, &act.subject.registry_event_id) {
                keys.insert(format!("event {id}"));
            }
        }
    }
}
