//! Who owns what on the platform.

use super::DocumentFault;
use crate::identity::Digest;

/// The boundaries document, checked: `owners.mf` exists and lists `eval_report` and `bundle_publication`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnershipBoundaries {
    outputs: Vec<String>,
    digest: Digest,
}

impl OwnershipBoundaries {
    /// The document that ships inside the binary.
    pub fn shipped() -> Self {
        unimplemented!()
    }

    /// Reads the platform's own document.
    pub fn read(_bytes: &[u8]) -> Result<Self, DocumentFault> {
        unimplemented!()
    }

    /// Whether Model Factory may emit this kind of output (`eval_report`, `bundle_publication`, …).
    pub fn gives_to_mf(&self, output: &str) -> bool {
        self.outputs.iter().any(|o| o == output)
    }

    /// Digest of the bytes that were read.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}
