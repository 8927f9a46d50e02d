//! `runs show`.

use super::list::list;
use crate::adapters::ledger::{Ledger, RunRecord};
use crate::cli::output::{Output, json_lines, print_table};
use crate::domain::run::State;
use chrono::SecondsFormat;
use serde_json::json;
use std::io::Write;

pub(super) async fn show(out: &mut dyn Write, ledger: &Ledger, run: &RunRecord, output: Output) -> anyhow::Result<()> {
    let transitions = ledger.transitions(&run.run_id).await?;
    let requests = ledger.requests_of(&run.run_id, i64::MAX).await?;
    let acts = ledger.acts_of(&run.run_id).await?;
    if output == Output::Json {
        let all = json!({"run": run, "transitions": transitions, "requests": requests, "acts": acts});
        return Ok(json_lines(out, &[all])?);
    }
    list(out, std::slice::from_ref(run))?;
    if let (Some(code), Some(message)) = (&run.reason_code, &run.reason_message) {
        writeln!(out, "\n  {code}: {message}")?;
    }
    if let Some(progress) = run.progress.as_ref().filter(|_| run.state == State::Running) {
        writeln!(out, "\n  {}% {}: {}", progress.percent, progress.step, progress.message)?;
    }
    if let (Some((topic, partition, offset)), Some(due)) = (&run.published, run.answer_due_at) {
        let due = due.to_rfc3339_opts(SecondsFormat::Secs, true);
        writeln!(out, "\n  acknowledged at {topic}/{partition}/{offset}; the registry may answer until {due}")?;
    }
    writeln!(out)?;
    let steps = transitions.iter().map(|step| {
        [
            step.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            step.transition.clone(),
            step.from_state.clone(),
            step.to_state.clone(),
            step.attempt.to_string(),
            step.fence.to_string(),
            step.worker.clone(),
            step.reason_code.clone().unwrap_or_default(),
        ]
    });
    print_table(out, ["AT", "STEP", "FROM", "TO", "ATTEMPT", "FENCE", "WORKER", "REASON"], steps)?;
    writeln!(out)?;
    for (role, at) in &run.refs {
        writeln!(out, "  {role:<32} {}  {}", &at.sha256.to_string()[..12], at.reference)?;
    }
    if run.refs.is_empty() {
        let none = ["none yet", "", ""].map(str::to_owned);
        print_table(out, ["EVIDENCE", "SHA-256", "PATH"], [none])?;
    }
    writeln!(out)?;
    for request in &requests {
        let event = request.event.as_ref().map(|event| format!(", CloudEvent {} from {}", event.id, event.source));
        let (id, who) = (&request.request_id, &request.request.requester_principal);
        writeln!(out, "  request {id} by {who}{}", event.unwrap_or_default())?;
    }
    for act in &acts {
        let refused = act.refused_code.as_ref().map(|code| format!(" (refused: {code})")).unwrap_or_default();
        writeln!(out, "  {} by {}: {}{refused}", act.act, act.actor, act.reason)?;
    }
    Ok(())
}
