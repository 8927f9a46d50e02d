//! What all slots of a worker share, and how the configuration opens it.

use super::claim_pace::ClaimPace;
use super::lease::Renewer;
use super::limits::Ceiling;
use super::progress::ProgressRate;
use super::scratch::Scratch;
use crate::adapters::authority::CurrentPolicy;
use crate::adapters::dataset::Inputs;
use crate::adapters::evidence::EvidenceStore;
use crate::adapters::ledger::{Lease, Ledger};
use crate::adapters::signing::PrivateKey;
use crate::config::Config;
use crate::domain::contract::OwnershipBoundaries;
use crate::modelling::lineage::DatasetLocations;
use crate::training::{self, Enforcement, TrainerCommand, TrainerRegistrations};
use crate::worker::liveness::Watchdog;
use anyhow::Context as _;
use std::sync::Mutex;
use tracing::{info, warn};

pub struct Runner {
    pub ledger: Ledger,
    pub store: EvidenceStore,
    pub inputs: Inputs,
    pub policy: CurrentPolicy,
    /// Where inputs and evidence lie, in OpenLineage's terms; `None` if lineage is off.
    pub lineage: Option<DatasetLocations>,
    pub boundaries: OwnershipBoundaries,
    pub renewer: Renewer,
    pub trainer: TrainerCommand,
    /// Commands that a profile may name in place of the built-in trainer.
    pub commands: TrainerRegistrations,
    pub signing: Option<PrivateKey>,
    /// Whether a bundle without a signature may be announced.
    pub allow_unsigned: bool,
    /// Folder that holds the job folders.
    pub scratch: Scratch,
    /// Number of threads that a fit uses.
    pub threads: u32,
    pub ceiling: Ceiling,
    pub progress_rate: ProgressRate,
    pub claims: ClaimPace,
    /// Leases of attempts that lost them or got an error from the ledger, to be given back. At most one for each slot.
    pub(super) interrupted: Mutex<Vec<Lease>>,
    /// This worker's name in leases and events.
    pub worker: String,
}

/// Log target of what is logged at the start, which belongs to no run. Lines with the runner's own target name a run.
const AT_START: &str = "model_factory::worker";

impl Runner {
    /// Opens the evidence store and the inputs, and starts the renewer. Fails if one of them cannot be opened, if the
    /// store is not write-once, or if a registered trainer command is missing or cannot be confined by this kernel and
    /// must be.
    pub async fn open(
        config: &Config,
        policy: CurrentPolicy,
        ledger: Ledger,
        worker: String,
        watchdog: &Watchdog,
    ) -> anyhow::Result<Self> {
        let store = EvidenceStore::open(&config.evidence)?;
        store.self_test().await.context("the evidence store is not fit ([evidence])")?;
        let scratch = Scratch::open(&config.trainer.scratch)
            .with_context(|| format!("cannot make the scratch folder {}", config.trainer.scratch.display()))?;
        let threads = match config.trainer.threads {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
            threads => threads,
        };
        check_commands(config)?;
        let signing = config.signing_key()?;
        if let Some(key) = &signing {
            info!(target: AT_START, key = %key.public().hint(), "bundles are signed");
        } else {
            warn!(target: AT_START, "bundles are not signed ([signing] allow_unsigned)");
        }
        let inputs = Inputs::open(&config.inputs)?;
        let lineage = config.lineage.enabled.then(|| DatasetLocations {
            root: inputs.root().map(|root| root.display().to_string()),
            azure_account: config.inputs.azure.account.clone(),
            evidence: store.url().to_owned(),
        });
        Ok(Self {
            renewer: Renewer::start(&ledger, worker.clone(), watchdog.of("heartbeats"))
                .context("cannot start the heartbeats")?,
            ledger,
            store,
            inputs,
            policy,
            lineage,
            boundaries: config.ownership_boundaries()?,
            trainer: TrainerCommand::this_binary()?,
            commands: config.trainer.commands.clone(),
            signing,
            allow_unsigned: config.signing.allow_unsigned,
            scratch,
            threads,
            ceiling: Ceiling::of(&config.trainer),
            progress_rate: ProgressRate::default(),
            claims: ClaimPace::default(),
            interrupted: Mutex::default(),
            worker,
        })
    }
}

/// Fails if a registered trainer command is missing or could read what is the worker's, or if this kernel cannot
/// confine it and must.
fn check_commands(config: &Config) -> anyhow::Result<()> {
    let settings = &config.trainer;
    config.check_commands().map_err(anyhow::Error::msg)?;
    if settings.commands.is_empty() {
        return Ok(());
    }
    match training::check_confinement(settings.allow_unconfined).map_err(anyhow::Error::msg)? {
        Enforcement::Full => {}
        Enforcement::Files => {
            warn!(target: AT_START, "this kernel confines trainer commands to their files, but not what they signal or connect to");
        }
        Enforcement::Nothing => {
            warn!(target: AT_START, "this kernel cannot confine trainer commands: one that looks for the test labels finds them");
        }
    }
    Ok(())
}
