//! Renders the headline of a run's page, and its sections in order.

use super::{RunView, documents, history, requests};
use crate::domain::run::State;
use crate::worker::http::console::frame::{Here, Live, PageFrame, page};
use crate::worker::http::console::words::{ago, badge, capped, guidance, instant, progress, run_href};
use maud::{Markup, html};

pub fn run(view: &RunView, worker: &str) -> Markup {
    let RunView { run, now, .. } = view;
    let run_id = run.run_id.as_str();
    let live = match run.state {
        State::Fail | State::Published => Live::Never,
        State::Queued | State::Running | State::EvalReady | State::Pass | State::PublishPending => {
            Live::of(&run_href(run_id, false), view.quiet)
        }
    };
    let frame = PageFrame { title: run_id, here: Here::Runs, live, quiet: view.quiet, worker };
    let content = html! {
        (headline(view))
        (section("Timeline", &history::timeline(run, &view.steps, *now)))
        (section("Attempts", &history::attempts(&view.steps, *now)))
        (section("Operating points", &documents::decision(&view.decision)))
        (section("Gate", &documents::gate(&view.receipt)))
        (section("Metrics", &documents::metrics(&view.report, &view.plan)))
        (section("Curves", &documents::curves(&view.report)))
        (section("Features to look at", &documents::findings(&view.report)))
        (section("Inputs", &documents::inputs(&run.request, &view.plan)))
        (section("Requests", &requests::requests(view)))
        (section("Events", &history::events(&view.events, *now)))
        (section("Evidence", &documents::evidence(&run.run_id, &view.evidence)))
        (section("Acts", &history::acts(&view.acts)))
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
                    @if let Some(due) = run.answer_due_at { "; the registry may answer until " (instant(due)) }
                    @if let Some(event) = &run.confirmed_by { "; confirmed by the registry's event " code { (capped(event)) } }
                    "."
                }
            }
        }
    }
}
