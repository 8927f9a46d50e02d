//! Drafts the OpenLineage events of a transaction.
//!
//! Lineage reports a run from START, its first claim, to COMPLETE, FAIL or ABORT. It does not report admission and
//! publication. Never: holds up the other outbox.

use super::draft::{CloudEventHeaders, StoredHeaders};
use crate::adapters::ledger::Error;
use crate::adapters::ledger::row::LockedRun;
use crate::adapters::ledger::session::Session;
use crate::domain::contract::EventReason;
use crate::domain::run::Transition;
use crate::modelling::lineage::{DatasetIo, EventWriter, Moment, RunState};
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use std::sync::Arc;

/// How much is known of a running run's datasets; lineage reports each stage once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum DatasetsKnown {
    /// The run is resolved: the datasets that it will read are known.
    Resolved,
    /// The data was read: the datasets are known with their columns.
    Read,
}

#[derive(Debug)]
pub struct LineageDraft {
    run_id: String,
    event_id: String,
    event_type: RunState,
    key: String,
    value: Vec<u8>,
    headers: StoredHeaders,
}

#[derive(Debug, Default)]
pub struct LineageEffects {
    /// `None` if lineage is off: then nothing is drafted.
    emitter: Option<Arc<EventWriter>>,
    /// The datasets that the event of the next step reports as inputs and outputs.
    pub datasets: Option<DatasetIo>,
    drafts: Vec<LineageDraft>,
}

impl LineageEffects {
    pub fn new(emitter: Option<Arc<EventWriter>>) -> Self {
        Self { emitter, ..Self::default() }
    }

    pub fn drafts(&self) -> &[LineageDraft] {
        &self.drafts
    }

    /// Drafts the event of a step if OpenLineage has one for it; call it before `next_seq` moves on. The first attempt
    /// is START, later ones are RUNNING. The gate's verdict is COMPLETE; publication is not reported.
    pub fn emit_step(
        &mut self,
        run: &mut LockedRun,
        transition: Transition,
        reason: Option<&EventReason>,
        at: DateTime<Utc>,
    ) {
        let datasets = self.datasets.take().unwrap_or_default();
        let state = match (transition, run.lineage_since) {
            (Transition::Start, None) => RunState::Start,
            (Transition::Start, Some(_)) => RunState::Running,
            (Transition::PassGate | Transition::FailGate, Some(_)) => RunState::Complete,
            (Transition::Fail, Some(_)) => RunState::Fail,
            (Transition::Cancel, Some(_)) => RunState::Abort,
            _ => return,
        };
        let Some(emitter) = &self.emitter else { return };
        let event_id = format!("lin_{}_{}", run.run_id, run.next_seq);
        self.drafts.push(draft(emitter, run, state, event_id, (reason, datasets, at)));
        if state == RunState::Start {
            run.lineage_since = Some(run.next_seq);
        } else if state.is_end() {
            run.lineage_since = None;
        }
    }

    /// Drafts the event about the datasets of a running run; does nothing if lineage has not reported the run's START.
    pub fn emit_datasets(&mut self, run: &LockedRun, known: DatasetsKnown, datasets: DatasetIo, at: DateTime<Utc>) {
        if let (Some(emitter), Some(since)) = (&self.emitter, run.lineage_since) {
            let event_id = format!("lin_{}_{since}_{known}", run.run_id);
            self.drafts.push(draft(emitter, run, RunState::Running, event_id, (None, datasets, at)));
        }
    }
}

fn draft(
    emitter: &EventWriter,
    run: &LockedRun,
    state: RunState,
    event_id: String,
    (reason, datasets, at): (Option<&EventReason>, DatasetIo, DateTime<Utc>),
) -> LineageDraft {
    let moment = Moment {
        run_id: &run.run_id,
        run_key: run.run_key,
        request: &run.request,
        state: run.state,
        attempt: run.full_run_attempts as u32,
        reason,
        at,
    };
    LineageDraft {
        run_id: run.run_id.to_string(),
        event_type: state,
        key: moment.run_uuid().to_string(),
        value: emitter.event(state, &moment, datasets),
        headers: CloudEventHeaders::of_run(run, &event_id, "io.modelfactory.lineage.run_event".to_owned(), at),
        event_id,
    }
}

/// Inserts in the order of `drafts`. A row whose event id exists already is left as it is.
pub async fn insert_lineage(connection: &mut Session, drafts: &[LineageDraft]) -> Result<(), Error> {
    if drafts.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO lineage_outbox (run_id, event_id, event_type, key, value, headers, created_at)
         SELECT d.run_id, d.event_id, d.event_type, d.key, d.value, d.headers, now()
         FROM UNNEST($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[], $6::jsonb[])
              WITH ORDINALITY AS d (run_id, event_id, event_type, key, value, headers, line)
         ORDER BY d.line ON CONFLICT (event_id) DO NOTHING",
    )
    .bind(drafts.iter().map(|d| d.run_id.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.event_id.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.event_type.as_str()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.key.as_bytes()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| d.value.as_slice()).collect::<Vec<_>>())
    .bind(drafts.iter().map(|d| Json(&d.headers)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
