//! Documents of a run: read to be shown, or handed out as they are. Only what the run's row names, only with the
//! digest that it names.

use super::Console;
use super::headers::SANDBOX;
use super::run::Document;
use super::trouble::Trouble;
use crate::adapters::evidence::{Error, ReadError};
use crate::adapters::ledger::RunRecord;
use crate::domain::contract::EvidenceRef;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The largest document that is made a page of.
const SHOWN: u64 = 8 << 20;
/// The largest one that is handed out.
const HANDED_OUT: u64 = 64 << 20;
/// How long a page waits for the store.
const PATIENCE: Duration = Duration::from_secs(5);

impl Console {
    /// The bytes that a row names.
    async fn bytes(&self, at: &EvidenceRef, most: u64) -> Result<Bytes, ReadError> {
        let store = self.store.as_ref().map_err(|why| Error::Unusable(why.clone()))?;
        match tokio::time::timeout(PATIENCE, store.read_verified(at, most)).await {
            Ok(read) => read,
            Err(_) => Err(Error::Unavailable(format!("no answer within {PATIENCE:?}")).into()),
        }
    }

    /// A document by its role, to be shown.
    pub(super) async fn document<T: DeserializeOwned>(&self, run: &RunRecord, role: &str) -> Document<T> {
        let Some(at) = run.refs.get(role) else { return Ok(None) };
        let bytes = self.bytes(at, SHOWN).await.map_err(|why| why.to_string())?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| format!("it does not read back: {error}"))
    }

    /// A document by its role, as it is. A browser is told to keep it, and to run nothing of it.
    pub(super) async fn handed_out(&self, run: &RunRecord, role: &str) -> Result<Response, Trouble> {
        let named = run.refs.get(role);
        let at = named.ok_or_else(|| {
            let roles: Vec<&str> = run.refs.keys().map(String::as_str).collect();
            Trouble::NotThere(format!("This run has no evidence {role:?}; it has: {}.", roles.join(", ")))
        })?;
        let bytes = self.bytes(at, HANDED_OUT).await?;
        // A path of evidence has no character that would end the quotes.
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
