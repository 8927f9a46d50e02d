//! A bundle checked as an auditor would: link by link, from the files alone.
//!
//! Guarantees: every claim that one document of the folder makes about another is checked against that
//! other's bytes; the first link that does not hold is named. Never: opens a socket, a database or a file
//! outside the folder.

mod chain;
mod folder;
mod links;

pub use links::{BrokenLink, CheckedLink, Link, Verification};

use crate::adapters::signing::PublicKey;
use crate::domain::identity::Digest;
use crate::modelling::{ModelFormat, ParityVectors, TrainPlan};
use std::path::Path;

/// What is known of a bundle from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The key that must have signed it.
    pub public_key: Option<PublicKey>,
    /// Its id, as a publication tells it.
    pub bundle_id: Option<Digest>,
}

/// A bundle at which every link holds: what was checked, in memory, whatever becomes of the folder.
#[derive(Debug)]
pub struct Verified {
    /// Its id.
    pub bundle_id: Digest,
    /// How it was built.
    pub plan: TrainPlan,
    /// How its model is saved.
    pub format: ModelFormat,
    /// Its model.
    pub model: Vec<u8>,
    /// Rows with the model's scores.
    pub parity: ParityVectors,
}

/// Checks the bundle in this folder, and gives what there is to be used of it.
pub fn open(folder: &Path, expected: &Expected) -> Result<Verified, BrokenLink> {
    chain::follow(folder, expected, &mut Verification::default())
}

/// Checks the bundle in this folder.
pub fn verify(folder: &Path, expected: &Expected) -> Verification {
    let mut verification = Verification::default();
    if let Err(broken) = chain::follow(folder, expected, &mut verification) {
        verification.broken = Some(broken);
    }
    verification.intact = verification.broken.is_none();
    verification
}
