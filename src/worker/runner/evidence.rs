//! The documents of one run: put into the evidence store, read back, and named by their role.
//!
//! Guarantees: bytes that stand in the store are never replaced; if a document comes out different, the run fails.

use super::outcome::Interrupted;
use crate::adapters::evidence::{Error, EvidencePath, EvidenceStore, PutError, RunFolder};
use crate::adapters::ledger::Lease;
use crate::domain::contract::{EventRefs, EvidenceRef};
use crate::domain::identity::{Digest, document_bytes};
use crate::domain::run::{Failure, FailureCode, Outage};
use bytes::Bytes;
use serde::Serialize;
use std::path::Path;
use std::sync::Mutex;

/// Writes and reads documents, and remembers a reference to each by its role; the next step in the ledger names them.
pub(super) struct RunEvidence<'a> {
    store: &'a EvidenceStore,
    pub(super) folder: RunFolder,
    refs: Mutex<EventRefs>,
}

pub(super) struct StoredDocument {
    pub(super) at: EvidenceRef,
    pub(super) bytes: Bytes,
}

impl<'a> RunEvidence<'a> {
    pub(super) fn new(store: &'a EvidenceStore, lease: &Lease) -> Self {
        Self { store, folder: RunFolder::new(&lease.request.platform_run_id, &lease.run_id), refs: Mutex::default() }
    }

    /// Puts a document into the store. If the store has other bytes under this path, the run fails with the code
    /// `on_drift`.
    pub(super) async fn document<T: Serialize>(
        &self,
        role: &str,
        path: &EvidencePath,
        document: &T,
        on_drift: FailureCode,
    ) -> Result<StoredDocument, Interrupted> {
        self.bytes(role, path, Bytes::from(document_bytes(document)), on_drift).await
    }

    /// Puts bytes into the store. If the store has other bytes under this path, the run fails with the code `on_drift`.
    pub(super) async fn bytes(
        &self,
        role: &str,
        path: &EvidencePath,
        bytes: Bytes,
        on_drift: FailureCode,
    ) -> Result<StoredDocument, Interrupted> {
        let put = self.store.put(path, bytes.clone()).await.map_err(|error| put_failure(path, error, on_drift))?;
        Ok(StoredDocument { at: self.remember(role, path, put.digest), bytes })
    }

    /// Puts a file of the job folder into the store. If the store has other bytes there, the run fails with `on_drift`.
    pub(super) async fn file(
        &self,
        role: &str,
        path: &EvidencePath,
        local: &Path,
        on_drift: FailureCode,
    ) -> Result<EvidenceRef, Interrupted> {
        let put = self.store.put_file(path, local).await.map_err(|error| put_failure(path, error, on_drift))?;
        Ok(self.remember(role, path, put.digest))
    }

    /// Reads a document that an earlier attempt may have left; `None` if there is none. Its reference is remembered, so
    /// that the evidence that a run names does not depend on which attempt wrote it.
    pub(super) async fn left(&self, role: &str, path: &EvidencePath) -> Result<Option<StoredDocument>, Interrupted> {
        let Some(bytes) = self.find(path).await? else { return Ok(None) };
        Ok(Some(StoredDocument { at: self.remember(role, path, Digest::of(&bytes)), bytes }))
    }

    async fn find(&self, path: &EvidencePath) -> Result<Option<Bytes>, Interrupted> {
        Ok(self.store.find(path, MAX_DOCUMENT_BYTES).await.map_err(|error| store_failure(path, &error))?)
    }

    /// Reads a document that must be in the store. If it is missing, the run fails with `EVIDENCE_UNRESOLVED`; if it
    /// has another digest, with `on_drift`.
    pub(super) async fn verified(
        &self,
        role: &str,
        path: &EvidencePath,
        digest: Digest,
        on_drift: FailureCode,
    ) -> Result<StoredDocument, Interrupted> {
        let missing = || Failure::new(FailureCode::EvidenceUnresolved, format!("{path} is not in the evidence store"));
        let bytes = self.find(path).await?.ok_or_else(missing)?;
        let found = Digest::of(&bytes);
        if found != digest {
            let message = format!("{path} was written with digest {digest} and reads back with {found}");
            return Err(Failure::new(on_drift, message).into());
        }
        Ok(StoredDocument { at: self.remember(role, path, digest), bytes })
    }

    /// Returns references, by role, to all documents that this attempt has put, found or verified so far.
    pub(super) fn refs(&self) -> EventRefs {
        self.refs.lock().expect("no panic while the lock is held").clone()
    }

    fn remember(&self, role: &str, path: &EvidencePath, sha256: Digest) -> EvidenceRef {
        let at = EvidenceRef { reference: path.to_string(), sha256 };
        self.refs.lock().expect("no panic while the lock is held").insert(role.to_owned(), at.clone());
        at
    }
}

/// The largest document or model that is read back into memory, in bytes.
const MAX_DOCUMENT_BYTES: u64 = 1 << 30;

fn put_failure(path: &EvidencePath, error: PutError, on_drift: FailureCode) -> Failure {
    match error {
        PutError::Drift { .. } => Failure::new(on_drift, error.to_string()),
        PutError::Store(error) => store_failure(path, &error),
    }
}

fn store_failure(path: &EvidencePath, error: &Error) -> Failure {
    let message = format!("{path}: {error}");
    match error {
        Error::Unavailable(_) | Error::Unusable(_) => {
            Failure::outage(Outage::Worker, FailureCode::EvidenceUnresolved, message)
        }
        Error::Exhausted(_) => Failure::of_worker(message),
        Error::Unfit(_) => Failure::new(FailureCode::EvidenceUnresolved, message),
    }
}
