//! Records for the ledger, without a broker.

use super::request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model_factory::adapters::ledger::{Arrival, Coordinates, Ledger, SourceRecord};
use model_factory::domain::contract::AllowList;
use model_factory::domain::identity::RunId;
use model_factory::domain::run::Outcome;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, Ordering};

/// A good request; each `config_revision` is another meaning, and so another run.
pub fn revision(request_id: &str, config_revision: &str) -> Value {
    let mut request = request(request_id);
    request["config_revision"] = json!(config_revision);
    request
}

/// A record of partition 0 with this value.
pub fn arrival(offset: i64, value: &Value) -> Arrival {
    let coordinates = Coordinates { topic: "requests".to_owned(), partition: 0, offset };
    let value = value.to_string().into_bytes();
    let record = SourceRecord { coordinates, key: None, value, cut: None, trace: None };
    Arrival::read(record, &AllowList::new([], true))
}

/// Admits one value as a record at an offset of its own.
pub async fn bring(ledger: &Ledger, value: &Value) -> Outcome {
    static NEXT: AtomicI64 = AtomicI64::new(1_000_000);
    let offset = NEXT.fetch_add(1, Ordering::Relaxed);
    ledger.admit(&[arrival(offset, value)], "w").await.unwrap().remove(0)
}

/// Admits a new run, one for each `config_revision`.
pub async fn admit_one(ledger: &Ledger, config_revision: &str) -> RunId {
    match bring(ledger, &revision(&format!("req-{config_revision}-0001"), config_revision)).await {
        Outcome::Admitted { run_id } => run_id,
        other => panic!("{other:?}"),
    }
}

/// A structured `CloudEvent`.
pub fn event(event_type: &str, data: &Value) -> Value {
    json!({
        "specversion": "1.0",
        "id": "event-1",
        "source": "/tests",
        "type": format!("io.modelfactory.{event_type}"),
        "data": data,
    })
}

/// The same with the data in base64.
pub fn event_of_bytes(event_type: &str, data: &[u8]) -> Value {
    let mut event = event(event_type, &Value::Null);
    event["data_base64"] = json!(STANDARD.encode(data));
    event
}
