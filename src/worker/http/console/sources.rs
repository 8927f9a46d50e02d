//! The data of the pages: the ledger, this worker, and documents of runs. A document is shown only if the run's row in
//! the ledger and the acts of the audit log name it with one digest, and its bytes have this digest.

use super::run::FoundDocument;
use super::trouble::Trouble;
use crate::adapters::evidence::{Error, EvidenceParts, EvidenceStore, ReadError};
use crate::adapters::ledger::{self, EvidenceRecord, Ledger};
use crate::worker::http::Health;
use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use futures::StreamExt as _;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Upper bound on a document that a page shows, in bytes.
const MAX_SHOWN: u64 = 8 << 20;
/// Upper bound on a document that can be downloaded, in bytes.
const MAX_DOWNLOAD: u64 = 64 << 20;
/// Upper bound on downloads at one time.
const DOWNLOADS: usize = 2;
/// Timeout for checking the digest of a download, before its first byte is sent.
const CHECKED_WITHIN: Duration = Duration::from_secs(10);
/// Timeout of a page's reads from the store.
const PATIENCE: Duration = Duration::from_secs(5);
/// Content-Security-Policy of an evidence document: the browser runs no script, loads nothing, and does not treat the
/// document as a page of the console.
const SANDBOX: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox";

pub struct Console {
    /// The ledger by separate connections, which cannot write.
    pub(super) ledger: Ledger,
    /// The evidence store. An error says why it could not be opened.
    pub(super) store: Result<EvidenceStore, String>,
    pub(super) health: Health,
    pub(super) worker: String,
    /// Permits for downloads, [`DOWNLOADS`] at one time.
    downloads: Arc<Semaphore>,
}

impl Console {
    /// Builds the console. If `store` is an error, pages show its text in place of evidence.
    pub fn new(
        ledger: &Ledger,
        store: Result<EvidenceStore, String>,
        health: Health,
        worker: String,
    ) -> Result<Self, ledger::Error> {
        let downloads = Arc::new(Semaphore::new(DOWNLOADS));
        Ok(Self { ledger: ledger.for_the_console()?, store, health, worker, downloads })
    }

    pub(super) async fn document<T: DeserializeOwned>(
        &self,
        evidence: &EvidenceRecord,
        role: &str,
    ) -> FoundDocument<T> {
        let logged = evidence.logged(role).map_err(|why| why.to_string())?;
        let Some(at) = logged else { return Ok(None) };
        let reading = self.evidence()?.read_verified(at, MAX_SHOWN);
        let bytes = in_time(reading, PATIENCE).await.map_err(|why| why.to_string())?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("it does not read back: {error}"))
    }

    /// Returns the document with this role, its bytes unchanged. The headers make the browser save it and run nothing
    /// in it.
    pub(super) async fn download(&self, named: &EvidenceRecord, role: &str) -> Result<Response, Trouble> {
        let at = named.logged(role)?.ok_or_else(|| {
            let roles: Vec<&str> = named.refs.keys().map(String::as_str).collect();
            Trouble::NotThere(format!("This run has no evidence {role:?}; it has: {}.", roles.join(", ")))
        })?;
        let place = Arc::clone(&self.downloads).try_acquire_owned().map_err(|_| Trouble::Busy)?;
        let store = self.evidence().map_err(|why| ReadError::from(Error::Unusable(why)))?;
        let EvidenceParts { bytes, parts } = in_time(store.open_verified(at, MAX_DOWNLOAD), CHECKED_WITHIN).await?;
        // A path of evidence cannot contain a quote.
        let name = at.reference.rsplit('/').next().unwrap_or(role);
        let kind = match name.rsplit('.').next() {
            Some("json" | "jsonl") => "application/json",
            Some("md" | "html" | "txt" | "yaml" | "py" | "MLmodel") => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        };
        let headers = [
            (CONTENT_TYPE, kind.to_owned()),
            (CONTENT_LENGTH, bytes.to_string()),
            (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
            (CONTENT_SECURITY_POLICY, SANDBOX.to_owned()),
        ];
        // The download's permit is released when the body is sent or the connection has ended.
        let body = Body::from_stream(parts.inspect(move |_| _ = &place));
        Ok((headers, body).into_response())
    }

    /// Returns the evidence store. An error says why it could not be opened.
    fn evidence(&self) -> Result<&EvidenceStore, String> {
        self.store.as_ref().map_err(Clone::clone)
    }
}

async fn in_time<T>(reading: impl Future<Output = Result<T, ReadError>>, patience: Duration) -> Result<T, ReadError> {
    match tokio::time::timeout(patience, reading).await {
        Ok(read) => read,
        Err(_) => Err(Error::Unavailable(format!("no answer within {patience:?}")).into()),
    }
}
