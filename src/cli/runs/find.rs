//! The run that a command names.

use crate::adapters::ledger::{Ledger, RunRecord};
use crate::cli::ledger::find_run;
use anyhow::Context as _;

pub(super) async fn find(ledger: &Ledger, id: &str) -> anyhow::Result<RunRecord> {
    find_run(ledger, id).await?.with_context(|| format!("the ledger knows no run or request {id:?}"))
}
