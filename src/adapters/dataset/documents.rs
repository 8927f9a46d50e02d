//! Reads manifests, profiles and other documents of one run, under a bound on each and on their sum.

use super::{InputError, InputSettings, Inputs};
use crate::domain::contract::Reference;
use crate::domain::identity::{Digest, Hasher};
use bytes::Bytes;
use futures::StreamExt as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads the documents of one run. All documents that are read through one value count towards the same sum.
#[derive(Debug)]
pub struct DocumentReader<'a> {
    inputs: &'a Inputs,
    /// Upper bound on one document, in bytes.
    each: u64,
    /// Upper bound on all documents together, in bytes.
    sum: u64,
    read: AtomicU64,
}

impl Inputs {
    pub fn documents(&self) -> DocumentReader<'_> {
        let InputSettings { max_document_bytes: each, max_documents_bytes: sum, .. } = self.settings;
        DocumentReader { inputs: self, each, sum, read: AtomicU64::new(0) }
    }
}

impl DocumentReader<'_> {
    /// Reads one document. Returns its bytes and their digest, or an error at the first chunk that goes beyond a bound.
    pub async fn read(&self, reference: &Reference) -> Result<(Bytes, Digest), InputError> {
        let mut chunks = self.inputs.stream(reference).await?;
        let (mut bytes, mut hasher) = (Vec::new(), Hasher::new());
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| InputError::unreadable(reference, error))?;
            let (here, before) = (chunk.len() as u64, self.read.fetch_add(chunk.len() as u64, Ordering::Relaxed));
            if bytes.len() as u64 + here > self.each {
                return Err(too_large(reference, "has", self.each, "max_document_bytes"));
            }
            if before.saturating_add(here) > self.sum {
                return Err(too_large(reference, "gives the documents of its run", self.sum, "max_documents_bytes"));
            }
            hasher.update(&chunk);
            bytes.extend_from_slice(&chunk);
        }
        Ok((Bytes::from(bytes), hasher.finish()))
    }
}

fn too_large(reference: &Reference, what: &str, bound: u64, key: &str) -> InputError {
    let bound = format!("{what} more than {bound} bytes ([inputs] {key})");
    InputError::TooLarge { reference: reference.to_string(), bound }
}
