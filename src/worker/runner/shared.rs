//! What all slots of a worker share.

use super::lease::Renewer;
use super::limits::Ceiling;
use super::progress::ProgressRate;
use crate::adapters::dataset::Inputs;
use crate::adapters::evidence::EvidenceStore;
use crate::adapters::ledger::Ledger;
use crate::adapters::signing::PrivateKey;
use crate::domain::contract::OwnershipBoundaries;
use crate::modelling::lineage::DatasetLocations;
use crate::training::{TrainerCommand, TrainerRegistrations};
use std::path::PathBuf;

pub struct Runner {
    pub ledger: Ledger,
    pub store: EvidenceStore,
    pub inputs: Inputs,
    /// Where inputs and evidence lie, in OpenLineage's terms; none where lineage is off.
    pub lineage: Option<DatasetLocations>,
    /// Who owns which outputs.
    pub boundaries: OwnershipBoundaries,
    pub renewer: Renewer,
    /// Starts the trainer's child process.
    pub trainer: TrainerCommand,
    /// Commands that a profile may name in place of the built-in trainer.
    pub commands: TrainerRegistrations,
    /// Key that bundles are signed with.
    pub signing: Option<PrivateKey>,
    /// Whether a bundle without a signature may be announced.
    pub allow_unsigned: bool,
    /// Folder that holds the job directories.
    pub scratch: PathBuf,
    /// Threads of a fit.
    pub threads: u32,
    /// Upper bounds on a profile's limits.
    pub ceiling: Ceiling,
    pub progress_rate: ProgressRate,
    /// This worker's name in leases and events.
    pub worker: String,
}
