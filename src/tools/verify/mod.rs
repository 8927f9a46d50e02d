//! `verify`: checks a bundle as an auditor would, link by link, from its files alone.
//!
//! Guarantees: every claim that one document of the folder makes about another is checked against that
//! other's bytes; the first link that does not hold is named. Never: opens a socket, a database or a file
//! outside the folder.

mod bundle;
mod chain;
mod documents;
mod folder;
mod link;
mod packaging;

pub use chain::{Expected, Verified};
pub use link::{BrokenLink, CheckedLink, Link, Verification};

use std::path::Path;

/// Checks the bundle in this folder, and returns its parts if every link holds.
pub fn open(folder: &Path, expected: &Expected) -> Result<Verified, BrokenLink> {
    chain::follow(folder, expected, &mut Verification::default())
}

/// Checks the bundle in this folder, up to the first broken link.
pub fn verify(folder: &Path, expected: &Expected) -> Verification {
    let mut verification = Verification::default();
    if let Err(broken) = chain::follow(folder, expected, &mut verification) {
        verification.broken = Some(broken);
    }
    verification.intact = verification.broken.is_none();
    verification
}
