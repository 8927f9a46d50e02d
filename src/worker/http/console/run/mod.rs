//! The page of one run: what it was asked, what was done, what came out, and who was told.

mod asked;
mod history;
mod results;
mod told;

use super::frame::{Frame, Here, Live, page};
use super::words::{ago, badge, capped, guidance, progress, run_href};
use crate::adapters::ledger::{ActRecord, RequestRecord, RunRecord, ToldEvent, TransitionRecord};
use crate::domain::run::State;
use crate::modelling::{EvalReport, GateReceipt, TrainPlan};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

/// A document of the run: not written yet, or why it is not shown.
pub(super) type Document<T> = Result<Option<T>, String>;

/// What the page shows.
pub(super) struct RunView {
    pub(super) run: RunRecord,
    pub(super) steps: Vec<TransitionRecord>,
    /// The first requests.
    pub(super) requests: Vec<RequestRecord>,
    /// How many there are.
    pub(super) request_count: i64,
    /// Runs that only look the same.
    pub(super) near: Vec<RunRecord>,
    pub(super) acts: Vec<ActRecord>,
    /// The latest events, newest first.
    pub(super) told: Vec<ToldEvent>,
    pub(super) plan: Document<TrainPlan>,
    pub(super) report: Document<EvalReport>,
    pub(super) receipt: Document<GateReceipt>,
    pub(super) now: DateTime<Utc>,
    pub(super) quiet: bool,
}

pub(super) fn run(view: &RunView, worker: &str) -> Markup {
    let RunView { run, now, .. } = view;
    let run_id = run.run_id.as_str();
    let live = match run.state {
        State::Fail | State::Published => Live::Never,
        State::Queued | State::Running | State::EvalReady | State::Pass | State::PublishPending => {
            Live::of(&run_href(run_id, false), view.quiet)
        }
    };
    let frame = Frame { title: run_id, here: Here::Runs, live, quiet: view.quiet, worker };
    let content = html! {
        (headline(view))
        (section("Timeline", &history::timeline(run, &view.steps, *now)))
        (section("Attempts", &history::attempts(&view.steps, *now)))
        (section("Gate", &results::gate(&view.receipt)))
        (section("Metrics", &results::metrics(&view.report, &view.plan)))
        (section("Curves", &results::curves(&view.report)))
        (section("Inputs", &asked::inputs(&run.request, &view.plan)))
        (section("Requests", &asked::requests(view)))
        (section("Events", &told::events(&view.told, *now)))
        (section("Evidence", &told::evidence(run)))
        (section("Acts", &asked::acts(&view.acts)))
    };
    page(&frame, &content)
}

fn section(title: &str, content: &Markup) -> Markup {
    html! { section aria-label=(title) { h2 { (title) } (content) } }
}

fn headline(view: &RunView) -> Markup {
    let RunView { run, now, .. } = view;
    let request = &run.request;
    html! {
        header.headline {
            p.eyebrow { (request.intent_kind.as_str()) " · " (request.target_scope.scope_key()) }
            h1 { code { (run.run_id) } }
            p.standing {
                (badge(run.state)) " "
                span { "changed " (ago(*now, run.updated_at)) ", admitted " (ago(*now, run.created_at)) }
                @if let Some(owner) = &run.lease_owner { " " span { "held by " code { (owner) } } }
            }
            @if let Some(of) = run.progress.as_ref().filter(|_| run.lease_owner.is_some()) {
                p.standing { (progress(of)) " " span.soft { (capped(&of.message)) } }
            }
            @if let Some(code) = &run.reason_code {
                div.reason {
                    p { code.code { (code) } " " (capped(run.reason_message.as_deref().unwrap_or_default())) }
                    (guidance(code))
                }
            }
            @if let Some((topic, partition, offset)) = &run.published {
                p.standing.soft {
                    "Publication acknowledged at " code { (topic) "/" (partition) "/" (offset) }
                    @if let Some(due) = run.answer_due_at { "; the registry may answer until " (super::words::instant(due)) }
                    @if let Some(event) = &run.confirmed_by { "; confirmed by the registry's event " code { (capped(event)) } }
                    "."
                }
            }
        }
    }
}

/// A sentence where there is nothing to show.
fn none(why: &str) -> Markup {
    html! { p.note { (why) } }
}
