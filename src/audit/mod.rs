//! A bundle checked as an auditor would: link by link, from the files alone.
//!
//! Guarantees: every claim that one document of the folder makes about another is checked against that
//! other's bytes; the first link that does not hold is named. Never: opens a socket, a database or a file
//! outside the folder.

mod chain;
mod folder;
mod links;

pub use links::{BrokenLink, CheckedLink, Link, Verification};

use crate::identity::Digest;
use crate::signing::PublicKey;
use std::path::Path;

/// What is known of a bundle from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The key that must have signed it.
    pub public_key: Option<PublicKey>,
    /// Its id, as a publication tells it.
    pub bundle_id: Option<Digest>,
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
