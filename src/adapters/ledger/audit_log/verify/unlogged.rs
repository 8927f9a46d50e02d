//! Finds rows of the ledger that no block reports. Counts first, and searches only if the counts allow such rows.

use super::verdict::LogVerification;
use crate::adapters::ledger::audit_log::blocks::page;
use crate::adapters::ledger::session::Session;
use crate::adapters::ledger::{Error, RunCommand};
use crate::domain::contract::ActKind;
use chrono::SecondsFormat;
use futures::TryStreamExt as _;
use std::collections::HashSet;

/// A table: its name, SQL that counts its rows, and SQL that names them. Names have the form that `logged_keys` builds
/// from the log.
struct CheckedTable {
    name: &'static str,
    count: &'static str,
    rows: &'static str,
}

const TABLES: [CheckedTable; 5] = [
    CheckedTable {
        name: "transitions",
        count: "SELECT count(*) FROM transitions WHERE at >= $1",
        rows: "SELECT 'step ' || seq || ' of ' || run_id FROM transitions WHERE at >= $1 ORDER BY at, run_id, seq",
    },
    CheckedTable {
        name: "inbox",
        count: "SELECT count(*) FROM inbox WHERE received_at >= $1 AND outcome ->> 'outcome' <> 'DUPLICATE_REQUEST'",
        rows: r#"SELECT 'record ' || topic || '/' || partition || '/' || "offset" FROM inbox
                 WHERE received_at >= $1 AND outcome ->> 'outcome' <> 'DUPLICATE_REQUEST'
                 ORDER BY received_at, topic, partition, "offset""#,
    },
    CheckedTable {
        name: "acts",
        count: "SELECT count(*) FROM acts WHERE at >= $1",
        rows: "SELECT act || ' of ' || run_id || ' by ' || actor || ' at '
                      || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
               FROM acts WHERE at >= $1 ORDER BY id",
    },
    CheckedTable {
        name: "registry_events",
        count: "SELECT count(*) FROM registry_events WHERE received_at >= $1",
        rows: "SELECT 'event ' || registry_event_id FROM registry_events WHERE received_at >= $1
               ORDER BY received_at, registry_event_id",
    },
    CheckedTable {
        name: "runs",
        count: "SELECT count(*) FROM runs WHERE refs ? 'publish_receipt' AND created_at >= $1",
        rows: "SELECT 'the receipt of ' || run_id FROM runs WHERE refs ? 'publish_receipt' AND created_at >= $1
               ORDER BY run_id",
    },
];

/// Looks for rows that no block reports. Only rows at or after the verdict's `since` must be in a block.
pub(super) async fn look(connection: &mut Session, verification: &mut LogVerification) -> Result<(), Error> {
    let Some(since) = verification.verdict.since else { return Ok(()) };
    let agreeing = verification.verdict.agreeing;
    let logged = [agreeing.transitions, agreeing.inbox, agreeing.acts, agreeing.registry_events, agreeing.receipts];
    let mut keys = None;
    for (table, logged) in TABLES.iter().zip(logged) {
        let count: i64 = sqlx::query_scalar(table.count).bind(since).fetch_one(&mut *connection).await?;
        // If `since` is later than the log's beginning, the counts cannot be compared, because `logged` also counts
        // older rows.
        if count as u64 <= logged && verification.verdict.since == verification.verdict.began_at {
            continue;
        }
        if keys.is_none() {
            keys = Some(logged_keys(connection, verification.verdict.head.seq).await?);
        }
        let keys: &HashSet<String> = keys.as_ref().expect("they were just read");
        let mut rows = sqlx::query_scalar::<_, String>(table.rows).bind(since).fetch(&mut *connection);
        while let Some(key) = rows.try_next().await? {
            if !keys.contains(&key) {
                verification.disagree(format!("{} holds {key}, which no block tells", table.name));
            }
        }
    }
    Ok(())
}

async fn logged_keys(connection: &mut Session, last: i64) -> Result<HashSet<String>, Error> {
    let mut keys = HashSet::new();
    let mut behind = 0;
    loop {
        let blocks = page(connection, behind, last).await?;
        let Some(end) = blocks.last() else { return Ok(keys) };
        behind = end.seq;
        // `read` returns no error for these blocks: every block was read when the chain was checked.
        let acts = blocks.iter().filter_map(|block| Some((block.at, block.read().ok()?)));
        for (at, act) in acts.flat_map(|(at, body)| body.acts.into_iter().map(move |act| (at, act))) {
            let run_id = act.subject.run_id.as_ref().map_or("", |run_id| run_id.as_str());
            if let Some(change) = &act.change {
                keys.insert(format!("step {} of {run_id}", change.seq));
            }
            if let (Some(_), Some(record)) = (&act.outcome, &act.subject.record) {
                keys.insert(format!("record {record}"));
            }
            if let Some(command) = RunCommand::of(act.act) {
                let at = at.to_rfc3339_opts(SecondsFormat::Micros, true);
                keys.insert(format!("{} of {run_id} by {} at {at}", command.as_str(), act.actor.name));
            }
            if act.act == ActKind::PublishReceiptWritten {
                keys.insert(format!("the receipt of {run_id}"));
            }
            if let (ActKind::RegistryAnswered, Some(id)) = (act.act, &act.subject.registry_event_id) {
                keys.insert(format!("event {id}"));
            }
        }
    }
}
