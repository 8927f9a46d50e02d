//! What the pages are made from: the ledger, this worker, and documents of runs. A document is shown only if the run's
//! row in the ledger names it and its bytes have the digest in that row.

use super::run::FoundDocument;
use super::trouble::Trouble;
use crate::adapters::evidence::{Error, EvidenceStore, ReadError};
use crate::adapters::ledger::{self, Ledger, RunRecord};
use crate::domain::contract::EvidenceRef;
use crate::worker::http::Health;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Bytes of the largest document that a page shows.
const MAX_SHOWN: u64 = 8 << 20;
/// Bytes of the largest document that is downloaded.
const MAX_DOWNLOAD: u64 = 64 << 20;
/// How long a page waits for the store.
const PATIENCE: Duration = Duration::from_secs(5);
/// Content-Security-Policy of an evidence document: the browser runs no script, loads nothing, and does not treat the
/// document as a page of the console.
const SANDBOX: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; sandbox";

pub struct Console {
    /// The ledger on connections of its own, which cannot write.
    pub(super) ledger: Ledger,
    /// The store, or why it could not be opened.
    pub(super) store: Result<EvidenceStore, String>,
    pub(super) health: Health,
    pub(super) worker: String,
}

impl Console {
    /// If `store` is an error, the pages show its text in place of evidence.
    pub fn new(
        ledger: &Ledger,
        store: Result<EvidenceStore, String>,
        health: Health,
        worker: String,
    ) -> Result<Self, ledger::Error> {
        Ok(Self { ledger: ledger.for_the_console()?, store, health, worker })
    }

    async fn bytes(&self, at: &EvidenceRef, max_bytes: u64) -> Result<Bytes, ReadError> {
        let store = self.store.as_ref().map_err(|why| Error::Unusable(why.clone()))?;
        match tokio::time::timeout(PATIENCE, store.read_verified(at, max_bytes)).await {
            Ok(read) => read,
            Err(_) => Err(Error::Unavailable(format!("no answer within {PATIENCE:?}")).into()),
        }
    }

    pub(super) async fn document<T: DeserializeOwned>(&self, run: &RunRecord, role: &str) -> FoundDocument<T> {
        let Some(at) = run.refs.get(role) else { return Ok(None) };
        let bytes = self.bytes(at, MAX_SHOWN).await.map_err(|why| why.to_string())?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("it does not read back: {error}"))
    }

    /// The document with this role, its bytes unchanged. The headers make the browser save it and run nothing of it.
    pub(super) async fn download(&self, run: &RunRecord, role: &str) -> Result<Response, Trouble> {
        let named = run.refs.get(role);
        let at = named.ok_or_else(|| {
            let roles: Vec<&str> = run.refs.keys().map(String::as_str).collect();
            Trouble::NotThere(format!("This run has no evidence {role:?}; it has: {}.", roles.join(", ")))
        })?;
        let bytes = self.bytes(at, MAX_DOWNLOAD).await?;
        // A path of evidence cannot contain a quote.
        let name = at.reference.rsplit('/').next().unwrap_or(role);
        let kind = match name.rsplit('.').next() {
            Some("json" | "jsonl") => "application/json",
            Some("md" | "html" | "txt" | "yaml" | "MLmodel") => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        };
        let headers = [
            (CONTENT_TYPE, kind.to_owned()),
            (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
            (CONTENT_SECURITY_POLICY, SANDBOX.to_owned()),
        ];
        Ok((headers, bytes).into_response())
    }
}
