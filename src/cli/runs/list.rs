//! `runs list`.

use crate::adapters::ledger::RunRecord;
use crate::cli::output::print_table;
use std::io::Write;

/// Prints the table of runs; `demo` prints the same one.
pub(crate) fn list(out: &mut dyn Write, runs: &[RunRecord]) -> anyhow::Result<()> {
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
    Ok(print_table(out, ["RUN", "STATE", "ATTEMPTS", "FIRST REQUEST", "SCOPE", "REASON"], rows)?)
}
