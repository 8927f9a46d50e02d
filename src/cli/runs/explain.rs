//! `runs explain`: why requests are one run, why similar requests are not, and what the run's last failure requires.

use crate::adapters::ledger::{Ledger, RunRecord};
use crate::cli::output::{Output, json_lines, print_table};
use crate::domain::contract::{Apart, Joined, TrainBuildRequest};
use crate::domain::run::{FailureCode, Guidance};
use serde_json::{Value, json};
use std::io::Write;

pub(super) async fn explain(
    out: &mut dyn Write,
    ledger: &Ledger,
    run: &RunRecord,
    output: Output,
) -> anyhow::Result<()> {
    let requests = ledger.requests_of(&run.run_id, i64::MAX).await?;
    let near = ledger.near_misses(&run.run_id).await?;
    let canonical = run.request.meaning().canonical();
    let joined: Vec<Value> = requests.iter().map(|request| json!(Joined::to(&run.request, &request.request))).collect();
    let misses: Vec<Value> = near.iter().map(|other| near_miss(run, other)).collect();
    if output == Output::Json {
        let explained = json!({
            "run_id": run.run_id,
            "run_key": run.request.run_key(),
            "canonical": canonical,
            "compared": TrainBuildRequest::IDENTITY,
            "requests": joined,
            "near_misses": misses,
            "guidance": guidance(run).map(|(code, guidance)| json!({
                "code": code,
                "happened": guidance.happened,
                "requester": guidance.requester,
                "operator": guidance.operator,
            })),
        });
        return Ok(json_lines(out, &[explained])?);
    }
    writeln!(out, "  run      {} is {}", run.run_id, run.state)?;
    if let Some((code, Guidance { happened, requester, operator, .. })) = guidance(run) {
        writeln!(out, "  because  {code}: {happened}")?;
        writeln!(out, "  requester: {requester}\n  operator:  {operator}\n")?;
    }
    writeln!(out, "  run key  {}, the SHA-256 of", run.request.run_key())?;
    writeln!(out, "  {canonical}")?;
    writeln!(out, "  Every field of it was compared; order and repetition of manifests carry no meaning.\n")?;
    let rows = joined.iter().map(|request| {
        [text(&request["request_id"]), text(&request["because"]), joined_texts(&request["ignored_differences"])]
    });
    print_table(out, ["REQUEST", "BECAUSE", "DIFFERS WITHOUT EFFECT AT"], rows)?;
    for miss in &misses {
        writeln!(out, "\n  near miss {} is another run ({}):", text(&miss["run_id"]), text(&miss["state"]))?;
        for field in miss["differs"].as_array().into_iter().flatten() {
            let only = joined_texts(&field["only_in"]).replace('_', " ");
            writeln!(out, "    {} differs only in {only}", text(&field["pointer"]))?;
            writeln!(out, "      here  {}\n      there {}", field["here"], field["there"])?;
        }
    }
    Ok(())
}

fn guidance(run: &RunRecord) -> Option<(FailureCode, Guidance)> {
    let code: FailureCode = run.reason_code.as_deref()?.parse().ok()?;
    Some((code, code.guidance()))
}

fn near_miss(run: &RunRecord, other: &RunRecord) -> Value {
    let differs = Apart::between(&run.request, &other.request);
    json!({"run_id": other.run_id, "state": other.state, "differs": differs})
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn joined_texts(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}
