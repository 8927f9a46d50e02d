//! What happened to a run: its steps and attempts, its events, and the acts of requesters and operators.

use super::{EVENTS, none};
use crate::adapters::ledger::{ActRecord, EmittedEvent, RunRecord, TransitionRecord};
use crate::modelling::{TableHeading, html_table};
use crate::worker::http::console::words::{capped, instant, length, since};
use chrono::{DateTime, Utc};
use maud::{Markup, html};

pub(super) fn timeline(run: &RunRecord, steps: &[TransitionRecord], now: DateTime<Utc>) -> Markup {
    const HEADINGS: [TableHeading<'static>; 7] = [
        ("At", ""),
        ("Step", ""),
        ("State", ""),
        ("Stayed there", "right"),
        ("Attempt", "right"),
        ("Fence", "right"),
        ("By", "after"),
    ];
    let entered = std::iter::once(run.created_at).chain(steps.iter().map(|step| step.at));
    let left = steps.iter().map(|step| Some(step.at)).chain([None]);
    let mut lasted = entered.zip(left).map(|(entered, left)| {
        html! {
            @if let Some(left) = left { (length(left - entered)) } @else { "for " (since(now, entered)) }
        }
    });
    html! {
        (html_table("stack history", &HEADINGS, &html! {
            tr {
                td { (instant(run.created_at)) }
                th scope="row" { "ADMIT" }
                td { "QUEUED" }
                td.right data-label="Stayed there" { @if let Some(lasted) = lasted.next() { (lasted) } }
                td.right data-label="Attempt" { "0" }
                td.right data-label="Fence" { "0" }
                td.after { code { (capped(&run.request.request_id)) } }
            }
            @for step in steps {
                tr {
                    td { (instant(step.at)) }
                    th scope="row" { (step.transition) }
                    td {
                        (step.from_state) " → " (step.to_state)
                        @if let Some(code) = &step.reason_code {
                            div.soft { code { (code) } " " (capped(step.reason_message.as_deref().unwrap_or_default())) }
                        }
                    }
                    td.right data-label="Stayed there" { @if let Some(lasted) = lasted.next() { (lasted) } }
                    td.right data-label="Attempt" { (step.attempt) }
                    td.right data-label="Fence" { (step.fence) }
                    td.after { code { (step.worker) } }
                }
            }
        }))
    }
}

/// The time that one worker held the run: from the step that claimed the run to the step that released it.
#[derive(Debug, PartialEq, Eq)]
struct ClaimSpan<'a> {
    publish_only: bool,
    fence: i64,
    worker: &'a str,
    began: DateTime<Utc>,
    /// When the time ended, by which step, and the failure code of that step. `None` while the worker holds the run.
    ended: Option<(DateTime<Utc>, &'a str, Option<&'a str>)>,
}

fn claims(steps: &[TransitionRecord]) -> Vec<ClaimSpan<'_>> {
    let mut attempts: Vec<ClaimSpan<'_>> = Vec::new();
    for step in steps {
        match step.transition.as_str() {
            "START" | "START_PUBLISH" => attempts.push(ClaimSpan {
                publish_only: step.transition == "START_PUBLISH",
                fence: step.fence,
                worker: &step.worker,
                began: step.at,
                ended: None,
            }),
            // The same worker goes on to the gate, so that the time does not end.
            "FINISH_EVALUATION" => {}
            _ => {
                if let Some(open) = attempts.last_mut().filter(|attempt| attempt.ended.is_none()) {
                    open.ended = Some((step.at, &step.transition, step.reason_code.as_deref()));
                }
            }
        }
    }
    attempts
}

pub(super) fn attempts(steps: &[TransitionRecord], now: DateTime<Utc>) -> Markup {
    const HEADINGS: [TableHeading<'static>; 6] = [
        ("Attempt", ""),
        ("Began", ""),
        ("Lasted", "right"),
        ("Fence", "right"),
        ("Worker", "after"),
        ("Ended by", ""),
    ];
    let attempts = claims(steps);
    if attempts.is_empty() {
        return none("No worker has taken it yet.");
    }
    html! {
        (html_table("stack", &HEADINGS, &html! {
            @for (index, attempt) in attempts.iter().enumerate() {
                tr {
                    th scope="row" { (index + 1) ", " @if attempt.publish_only { "publish only" } @else { "full" } }
                    td { (instant(attempt.began)) }
                    td.right data-label="Lasted" {
                        (length(attempt.ended.map_or(now, |(at, ..)| at) - attempt.began))
                    }
                    td.right data-label="Fence" { (attempt.fence) }
                    td.after { code { (attempt.worker) } }
                    td {
                        @match attempt.ended {
                            Some((_, step, why)) => { (step) @if let Some(code) = why { " " code { (code) } } },
                            None => span.soft { "goes on" },
                        }
                    }
                }
            }
        }))
    }
}

/// Renders the newest `EVENTS` events of `latest`, newest first.
pub(super) fn events(latest: &[EmittedEvent], now: DateTime<Utc>) -> Markup {
    if latest.is_empty() {
        return none("There are none left: old events are pruned.");
    }
    html! {
        (html_table("stack", &[("No.", "right"), ("Event", "after"), ("Put down", ""), ("On its topic", "")], &html! {
            @for event in latest.iter().take(EVENTS) {
                tr {
                    td.right data-label="No." { @if let Some(seq) = event.seq { (seq) } @else { "–" } }
                    th.after scope="row" { (capped(&event.event_type)) }
                    td { (instant(event.created_at)) }
                    td {
                        @match (event.sent_at.zip(event.sent_to.as_ref()), event.withdrawn_at) {
                            (Some((at, coordinates)), _) => {
                                "sent " (instant(at)) br; code.soft { (coordinates) }
                            },
                            (None, Some(at)) => { "withdrawn " (instant(at)) },
                            (None, None) => span.waits { "waits for " (since(now, event.created_at)) },
                        }
                    }
                }
            }
        }))
        @if latest.len() > EVENTS { p.note { "The latest " (EVENTS) " are shown." } }
    }
}

pub(super) fn acts(acts: &[ActRecord]) -> Markup {
    if acts.is_empty() {
        return none("Nobody asked for anything to be done with it.");
    }
    html! {
        (html_table("stack", &["At", "Act", "By", "Why", "Outcome"].map(|title| (title, "")), &html! {
            @for act in acts {
                tr {
                    td { (instant(act.at)) }
                    th scope="row" { (act.act) }
                    td { (capped(&act.actor)) }
                    td { (capped(&act.reason)) }
                    td {
                        @match &act.refused_code {
                            Some(code) => { "refused, " code { (code) } },
                            None => "done",
                        }
                    }
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(second: i64, transition: &str, fence: i64, reason: Option<&str>) -> TransitionRecord {
        TransitionRecord {
            seq: second,
            transition: transition.to_owned(),
            from_state: String::new(),
            to_state: String::new(),
            attempt: 1,
            fence,
            worker: format!("w{fence}"),
            reason_code: reason.map(str::to_owned),
            reason_message: None,
            at: DateTime::from_timestamp(second, 0).unwrap(),
        }
    }

    #[test]
    fn an_attempt_lasts_from_its_claim_to_the_step_that_lets_the_run_go() {
        let steps = [
            step(1, "START", 1, None),
            step(2, "REQUEUE", 1, Some("LEASE_EXPIRED")),
            step(3, "START", 2, None),
            step(4, "FINISH_EVALUATION", 2, None),
            step(5, "PASS_GATE", 2, None),
            step(5, "REQUEST_PUBLISH", 2, None),
            step(6, "DEFER_PUBLISH", 2, None),
            step(7, "START_PUBLISH", 3, None),
        ];
        let ended: Vec<_> = claims(&steps).into_iter().map(|attempt| (attempt.fence, attempt.ended)).collect();
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        assert_eq!(
            ended,
            [(1, Some((at(2), "REQUEUE", Some("LEASE_EXPIRED")))), (2, Some((at(5), "PASS_GATE", None))), (3, None)]
        );
    }
}
