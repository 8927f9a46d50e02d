//! `OwnershipBoundaries`: which owner emits which outputs on the platform.

use crate::domain::contract::{DocumentError, SchemaName, read_yaml};
use crate::domain::identity::Digest;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The checked document. It gives the outputs `eval_report` and `bundle_publication` to the owner `mf`, Model Factory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnershipBoundaries {
    outputs: Vec<String>,
    digest: Digest,
}

#[derive(Deserialize)]
struct BoundariesDocument {
    owners: BTreeMap<String, Owner>,
}

#[derive(Deserialize)]
struct Owner {
    outputs: Vec<String>,
}

const SHIPPED: &str = include_str!("../../../../schemas/profiles/ownership_boundaries.yaml");
const REQUIRED: [&str; 2] = ["eval_report", "bundle_publication"];

impl OwnershipBoundaries {
    /// Returns the document that is embedded in the program.
    pub fn shipped() -> Self {
        Self::read(SHIPPED.as_bytes()).expect("the shipped document gives Model Factory its outputs")
    }

    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        let document: BoundariesDocument = read_yaml(SchemaName::OwnershipBoundaries, bytes)?;
        let Some(mf) = document.owners.get("mf") else {
            return Err(DocumentError::at("/owners/mf", "the document does not name mf as an owner"));
        };
        for output in REQUIRED {
            if !mf.outputs.iter().any(|given| given == output) {
                return Err(DocumentError::at(
                    "/owners/mf/outputs",
                    format!("the document does not give {output} to mf"),
                ));
            }
        }
        // Each kind of output has one owner: a document that gives it to two owners is ambiguous.
        let others = document.owners.iter().filter(|(name, _)| *name != "mf");
        for (name, other) in others {
            if let Some(twice) = other.outputs.iter().find(|output| mf.outputs.contains(output)) {
                let pointer = format!("/owners/{}/outputs", name.replace('~', "~0").replace('/', "~1"));
                return Err(DocumentError::at(pointer, format!("the document gives {twice} to mf and to {name}")));
            }
        }
        Ok(Self { outputs: mf.outputs.clone(), digest: Digest::of(bytes) })
    }

    /// Returns whether Model Factory may emit this kind of output, for example `eval_report` or `bundle_publication`.
    pub fn gives_to_mf(&self, output: &str) -> bool {
        self.outputs.iter().any(|given| given == output)
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_document_gives_mf_what_it_needs() {
        let shipped = OwnershipBoundaries::shipped();
        assert!(REQUIRED.iter().all(|output| shipped.gives_to_mf(output)));
        assert!(!shipped.gives_to_mf("dataset_manifest"));
    }

    #[test]
    fn a_document_without_mf_or_its_outputs_is_refused() {
        let version = "schema_version: platform.ownership_boundaries.v0\n";
        for owners in [
            "owners: {ofs: {outputs: [dataset_manifest]}}",
            "owners: {mf: {outputs: [eval_report]}}",
            "owners: {mf: {outputs: []}}",
            "owners: {mf: {outputs: [eval_report, bundle_publication]}, mpr: {outputs: [bundle_publication]}}",
        ] {
            assert!(OwnershipBoundaries::read(format!("{version}{owners}\n").as_bytes()).is_err(), "{owners}");
        }
    }
}
