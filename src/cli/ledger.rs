//! Opens the ledger, finds a run in it, and names the person who acts on it.

use crate::adapters::ledger::{Ledger, RunRecord};
use crate::config::Config;
use crate::domain::identity::RunId;
use anyhow::{Context as _, bail};

pub(super) async fn connect(config: &Config) -> anyhow::Result<Ledger> {
    Ledger::connect(&config.ledger).await.context("cannot reach Postgres ([ledger] url)")
}

/// Opens the ledger. Returns an error unless the database has this release's schema.
pub(super) async fn connect_to_current(config: &Config) -> anyhow::Result<Ledger> {
    let ledger = connect(config).await?;
    ledger.check_schema().await.context("the database is not ready")?;
    Ok(ledger)
}

/// Returns the run with this id, or the run to which the request with this id belongs. `None` if the ledger has
/// neither. Returns an error if several principals have given this id to requests of different runs.
pub(super) async fn find_run(ledger: &Ledger, id: &str) -> anyhow::Result<Option<RunRecord>> {
    if let Ok(run_id) = id.parse::<RunId>() {
        return Ok(ledger.run(&run_id).await?);
    }
    let keys = ledger.request_keys(id).await?;
    let Some((_, run_id)) = keys.first() else { return Ok(None) };
    if keys.iter().any(|(_, other)| other != run_id) {
        let keys: Vec<String> = keys.iter().map(|(key, run_id)| format!("  {key} ({run_id})")).collect();
        bail!("{id:?} is the id of requests of several principals; give one of these instead:\n{}", keys.join("\n"));
    }
    Ok(ledger.run(run_id).await?)
}

/// Returns the run like [`find_run`]. Returns an error if the ledger has no such run or request.
pub(super) async fn require_run(ledger: &Ledger, id: &str) -> anyhow::Result<RunRecord> {
    find_run(ledger, id).await?.with_context(|| format!("the ledger knows no run or request {id:?}"))
}

#[derive(Debug, clap::Args)]
pub(super) struct ActorArgs {
    /// Your name, which the ledger keeps. By default the name of the system's user.
    #[arg(long)]
    actor: Option<String>,
}

impl ActorArgs {
    pub(super) fn name(self) -> String {
        self.actor.unwrap_or_else(|| {
            let uid = nix::unistd::Uid::effective();
            let user = nix::unistd::User::from_uid(uid).ok().flatten();
            user.map_or_else(|| format!("uid:{uid}"), |user| user.name)
        })
    }
}
