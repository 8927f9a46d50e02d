//! What the page of a run is made from.

use crate::adapters::ledger::{ActRecord, EmittedEvent, RequestRecord, RunRecord, TransitionRecord};
use crate::domain::contract::{EvalReport, GateReceipt, TrainPlan};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// Events that the page shows.
pub(crate) const EVENTS: usize = 100;

/// A document of the run; none where it is not written yet; or why it cannot be shown.
pub(crate) type FoundDocument<T> = Result<Option<T>, String>;

pub(crate) struct RunView {
    pub(crate) run: RunRecord,
    pub(crate) steps: Vec<TransitionRecord>,
    /// The first ones.
    pub(crate) requests: Vec<RequestRecord>,
    /// Of all requests, not only the ones above.
    pub(crate) request_count: i64,
    pub(crate) near_misses: Vec<RunRecord>,
    pub(crate) acts: Vec<ActRecord>,
    /// The latest events, newest first.
    pub(crate) events: Vec<EmittedEvent>,
    pub(crate) plan: FoundDocument<TrainPlan>,
    pub(crate) report: FoundDocument<EvalReport>,
    pub(crate) receipt: FoundDocument<GateReceipt>,
    pub(crate) now: DateTime<Utc>,
    pub(crate) quiet: bool,
}

/// A sentence in place of content.
pub(super) fn none(why: &str) -> Markup {
    html! { p.note { (why) } }
}
