//! Builds and admits the requests that the measurements use.

use super::database::BenchError;
use crate::adapters::ledger::{Arrival, Coordinates, Ledger, SourceRecord};
use crate::domain::contract::AllowList;
use crate::domain::run::Outcome;
use serde_json::json;

/// Builds the value of a request's record. Requests with the same `meaning` share one run.
pub(super) fn request(request_id: &str, meaning: usize, tenants: usize) -> Vec<u8> {
    json!({
        "schema_version": "learning.mf_train_build_request.v0",
        "request_id": request_id,
        "intent_kind": "baseline_train",
        "platform_run_id": "platform_bench",
        "dataset_manifest_refs": ["manifests/2026-10.json", "manifests/2026-11.json"],
        "training_config_ref": "profiles/training.yaml",
        "governance_profile_ref": "profiles/governance.yaml",
        "requester_principal": "bench@risk-engineering",
        "target_scope": {
            "environment": "bench", "mode": "fraud", "bundle_slot": "primary",
            "tenant_id": format!("tenant-{}", meaning % tenants),
        },
        "policy_revision": "policy-v1",
        "config_revision": format!("config-{meaning}"),
        "mf_code_release_id": "git:0123456789abcdef",
        "publish_allowed": true,
    })
    .to_string()
    .into_bytes()
}

/// Parses a record as intake does.
pub(super) fn arrival(offset: usize, value: Vec<u8>) -> Arrival {
    let coordinates = Coordinates { topic: "bench".to_owned(), partition: 0, offset: offset as i64 };
    let record = SourceRecord { coordinates, key: None, value, cut: None, trace: None };
    Arrival::read(record, &AllowList::new([], true))
}

/// Admits runs without measuring, to prepare a later measurement.
pub(super) async fn admit_all(
    ledger: &Ledger,
    values: impl Iterator<Item = Vec<u8>>,
    batch: usize,
) -> Result<(), BenchError> {
    let mut values = values.enumerate().peekable();
    while values.peek().is_some() {
        let arrivals: Vec<Arrival> =
            values.by_ref().take(batch).map(|(offset, value)| arrival(offset, value)).collect();
        expect(&ledger.admit(&arrivals, "bench").await?, |outcome| !matches!(outcome, Outcome::Rejected { .. }))?;
    }
    Ok(())
}

/// Returns an error if a record has an outcome that `wanted` does not accept.
pub(super) fn expect(outcomes: &[Outcome], wanted: impl Fn(&Outcome) -> bool) -> Result<(), BenchError> {
    match outcomes.iter().find(|outcome| !wanted(outcome)) {
        Some(other) => Err(BenchError::Wrong(format!("a record became {other:?}"))),
        None => Ok(()),
    }
}
