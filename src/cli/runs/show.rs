//! `runs list`, `runs show` and `runs explain`: print what the ledger holds about runs.

use crate::adapters::ledger::{EvidenceRecord, Ledger, RunRecord};
use crate::cli::output::{Output, json_lines, print_table};
use crate::domain::contract::{Apart, Joined, TrainBuildRequest};
use crate::domain::run::{FailureCode, Guidance, State};
use chrono::SecondsFormat;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Prints the table of runs. `demo` prints this table too.
pub(crate) fn list(out: &mut dyn Write, runs: &[RunRecord]) -> io::Result<()> {
    let rows = runs.iter().map(|run| {
        [
            run.run_id.to_string(),
            run.state.to_string(),
            run.full_run_attempts.to_string(),
            run.request.request_id.clone(),
            run.request.target_scope.scope_key(),
            run.reason_code.clone().unwrap_or_default(),
        ]
    });
    print_table(out, ["RUN", "STATE", "ATTEMPTS", "FIRST REQUEST", "SCOPE", "REASON"], rows)
}

pub(super) async fn show(out: &mut dyn Write, ledger: &Ledger, run: &RunRecord, output: Output) -> anyhow::Result<()> {
    let transitions = ledger.transitions(&run.run_id).await?;
    let requests = ledger.requests_of(&run.run_id, i64::MAX).await?;
    let acts = ledger.acts_of(&run.run_id).await?;
    let EvidenceRecord { refs, unlogged } = ledger.evidence_of(&run.run_id).await?;
    if output == Output::Json {
        let all = json!({"run": run, "transitions": transitions, "requests": requests, "acts": acts,
                         "unlogged_evidence": unlogged});
        return Ok(json_lines(out, &[all])?);
    }
    list(out, std::slice::from_ref(run))?;
    if let (Some(code), Some(message)) = (&run.reason_code, &run.reason_message) {
        writeln!(out, "\n  {code}: {message}")?;
    }
    if let Some(since) = run.outage_since.filter(|_| matches!(run.state, State::Queued | State::PublishPending)) {
        let [since, next] = [since, run.available_at].map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let tries = run.outage_tries;
        writeln!(out, "\n  waits since {since} for what it needs, after {tries} tries; the next one is at {next}")?;
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
    for (role, at) in &refs {
        writeln!(out, "  {role:<32} {}  {}", &at.sha256.to_string()[..12], at.reference)?;
    }
    if !unlogged.is_empty() {
        let roles = unlogged.iter().cloned().collect::<Vec<_>>().join(", ");
        writeln!(out, "\n  row and audit log name different documents as {roles}: ask `model-factory audit verify`")?;
    }
    if refs.is_empty() {
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

/// Prints why requests share one run and why similar requests do not. Also prints who has to do what after the run's
/// last failure.
pub(super) async fn explain(
    out: &mut dyn Write,
    ledger: &Ledger,
    run: &RunRecord,
    output: Output,
) -> anyhow::Result<()> {
    let requests = ledger.requests_of(&run.run_id, i64::MAX).await?;
    let near = ledger.near_misses(&run.run_id).await?;
    let canonical = run.request.meaning().canonical();
    let joined: Vec<Joined> = requests.iter().map(|request| Joined::to(&run.request, &request.request)).collect();
    let misses: Vec<(&RunRecord, Vec<Apart>)> =
        near.iter().map(|other| (other, Apart::between(&run.request, &other.request))).collect();
    let code: Option<FailureCode> = run.reason_code.as_deref().and_then(|code| code.parse().ok());
    let guidance = code.map(|code| (code, code.guidance()));
    if output == Output::Json {
        let misses = misses
            .iter()
            .map(|(other, differs)| json!({"run_id": other.run_id, "state": other.state, "differs": differs}));
        let explained = json!({
            "run_id": run.run_id,
            "run_key": run.request.run_key(),
            "canonical": canonical,
            "compared": TrainBuildRequest::IDENTITY,
            "requests": joined,
            "near_misses": misses.collect::<Vec<_>>(),
            "guidance": guidance.map(|(code, guidance)| json!({
                "code": code,
                "happened": guidance.happened,
                "requester": guidance.requester,
                "operator": guidance.operator,
            })),
        });
        return Ok(json_lines(out, &[explained])?);
    }
    writeln!(out, "  run      {} is {}", run.run_id, run.state)?;
    if let Some((code, Guidance { happened, requester, operator, .. })) = guidance {
        writeln!(out, "  because  {code}: {happened}")?;
        writeln!(out, "  requester: {requester}\n  operator:  {operator}\n")?;
    }
    writeln!(out, "  run key  {}, the SHA-256 of", run.request.run_key())?;
    writeln!(out, "  {canonical}")?;
    writeln!(out, "  Every field of it was compared; order and repetition of manifests carry no meaning.\n")?;
    let rows = joined
        .into_iter()
        .map(|request| [request.request_id, request.because.to_owned(), request.ignored_differences.join(", ")]);
    print_table(out, ["REQUEST", "BECAUSE", "DIFFERS WITHOUT EFFECT AT"], rows)?;
    for (other, differs) in misses {
        writeln!(out, "\n  near miss {} is another run ({}):", other.run_id, other.state)?;
        for Apart { pointer, only_in, here, there } in differs {
            let only: Vec<Value> = only_in.iter().flatten().map(|likeness| json!(likeness)).collect();
            let only: Vec<&str> = only.iter().filter_map(Value::as_str).collect();
            writeln!(out, "    {pointer} differs only in {}", only.join(", ").replace('_', " "))?;
            writeln!(out, "      here  {here}\n      there {there}")?;
        }
    }
    Ok(())
}
