//! `/runs/{run_id}`: the page of one run.

mod documents;
mod history;
mod page;
mod requests;

pub(super) use page::run;

use crate::adapters::ledger::{ActRecord, EmittedEvent, EvidenceRecord, RequestRecord, RunRecord, TransitionRecord};
use crate::domain::contract::{DecisionReport, EvalReport, GateReceipt, TrainPlan};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

pub(super) const EVENTS: usize = 100;

/// A document of the run. `None` if the run has not written it yet. An error says why it cannot be shown.
pub(super) type FoundDocument<T> = Result<Option<T>, String>;

pub(super) struct RunView {
    pub(super) run: RunRecord,
    pub(super) evidence: EvidenceRecord,
    pub(super) steps: Vec<TransitionRecord>,
    /// The run's first requests, as many as its page shows at most.
    pub(super) requests: Vec<RequestRecord>,
    /// Number of all requests of the run.
    pub(super) request_count: i64,
    pub(super) near_misses: Vec<RunRecord>,
    pub(super) acts: Vec<ActRecord>,
    /// The latest events, newest first. If there are more than `EVENTS`, holds one more than that.
    pub(super) events: Vec<EmittedEvent>,
    pub(super) plan: FoundDocument<TrainPlan>,
    pub(super) report: FoundDocument<EvalReport>,
    pub(super) decision: FoundDocument<DecisionReport>,
    pub(super) receipt: FoundDocument<GateReceipt>,
    pub(super) now: DateTime<Utc>,
    pub(super) quiet: bool,
}

fn none(why: &str) -> Markup {
    html! { p.note { (why) } }
}
