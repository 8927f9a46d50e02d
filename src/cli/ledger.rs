//! Opening the ledger, and finding a run in it.

use crate::adapters::ledger::{Ledger, RunRecord};
use crate::config::Config;
use crate::domain::identity::RunId;
use anyhow::Context as _;

pub(super) async fn connect(config: &Config) -> anyhow::Result<Ledger> {
    Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")
}

/// Refuses a database whose schema is not that of this release.
pub(super) async fn connect_to_current(config: &Config) -> anyhow::Result<Ledger> {
    let ledger = connect(config).await?;
    ledger.check_schema().await.context("the database is not ready")?;
    Ok(ledger)
}

/// The run with this id, or the one that the request with this id belongs to.
pub(super) async fn find_run(ledger: &Ledger, id: &str) -> anyhow::Result<Option<RunRecord>> {
    Ok(match id.parse::<RunId>() {
        Ok(run_id) => ledger.run(&run_id).await?,
        Err(_) => ledger.run_of_request(id).await?,
    })
}
