//! Structured `CloudEvents` that break the rules of `CloudEvents`, or whose request breaks ours.

use super::row::{Row, refused, unreadable};
use super::stage::{ask, ask_with, bytes};
use crate::support::{event, event_of_bytes};
use model_factory::domain::run::FailureCode as C;
use serde_json::{Value, json};

const TRAIN: &str = "train_build_request";
const MEND: &str = "mend the field that the pointer names, send again";
const DATA: &str = "put the request into data";

/// A good event around a good request with one member set; null removes it.
fn with(id: &str, member: &str, value: Value) -> Vec<u8> {
    let mut event = event(TRAIN, &ask(id));
    event[member] = value;
    bytes(&event)
}

pub fn rows() -> Vec<Row> {
    let mut rows = attributes();
    rows.extend(data());
    rows
}

fn attributes() -> Vec<Row> {
    let refused = |pointer, cause, says, record| refused(C::SchemaInvalid, pointer, cause, says, MEND, record);
    vec![
        refused("/id", "a CloudEvent without its id", "id is required", || with("req-event-001", "id", Value::Null)),
        refused("/source", "a CloudEvent whose source is no URI reference", "uri-reference", || {
            with("req-event-002", "source", json!("not a reference"))
        }),
        refused("/type", "a CloudEvent of somebody else's type", "com.example.order", || {
            with("req-event-003", "type", json!("com.example.order"))
        }),
        refused("/type", "a CloudEvent that says cancel around a request", "the data is", || {
            bytes(&event("cancel", &ask("req-event-004")))
        }),
        refused("/traceParent", "a CloudEvent with a capital letter in an attribute's name", "not known", || {
            with("req-event-005", "traceParent", json!("00-1"))
        }),
        refused("/time", "a CloudEvent at a time that is none", "date-time", || {
            with("req-event-006", "time", json!("yesterday"))
        }),
        refused("/datacontenttype", "a CloudEvent whose data is not JSON by its own word", "text/plain", || {
            with("req-event-007", "datacontenttype", json!("text/plain"))
        }),
        refused("/data_base64", "a CloudEvent with data of both kinds", "exclude each other", || {
            with("req-event-008", "data_base64", json!("e30="))
        }),
    ]
}

fn data() -> Vec<Row> {
    vec![
        unreadable(C::SchemaInvalid, "/data", "a structured CloudEvent without data", "data", DATA, || {
            with("req-event-010", "data", Value::Null)
        }),
        unreadable(C::SchemaInvalid, "/data", "a CloudEvent whose data is the request as text", "object", DATA, || {
            with("req-event-011", "data", json!(ask("req-event-011").to_string()))
        }),
        unreadable(
            C::MessageNotJson,
            "",
            "a CloudEvent that says data twice",
            "occurs twice",
            "say every key once",
            || {
                let event = event(TRAIN, &ask("req-event-012")).to_string();
                event.replacen('{', r#"{"data": {},"#, 1).into_bytes()
            },
        ),
        unreadable(C::SchemaInvalid, "/data_base64", "a CloudEvent whose base64 is none", "base64", DATA, || {
            let mut event = event_of_bytes(TRAIN, b"{}");
            event["data_base64"] = json!("not base64!");
            bytes(&event)
        }),
        unreadable(
            C::MessageNotJson,
            "/data_base64",
            "a CloudEvent whose base64 says a key twice",
            "occurs twice",
            "say every key once",
            || bytes(&event_of_bytes(TRAIN, br#"{"request_id": "req-twice-001", "request_id": "req-twice-002"}"#)),
        ),
        unreadable(C::SchemaInvalid, "/data/specversion", "a CloudEvent in a CloudEvent", "another one", DATA, || {
            bytes(&event(TRAIN, &event(TRAIN, &ask("req-event-013"))))
        }),
        unreadable(
            C::MessageNotJson,
            "",
            "a batch of CloudEvents",
            "record by record",
            "send each event as a record of its own",
            || bytes(&json!([event(TRAIN, &ask("req-event-014"))])),
        ),
        refused(
            C::RequesterMissing,
            "/data/requester_principal",
            "no requester in a CloudEvent",
            "required",
            MEND,
            || {
                let mut request = ask("req-event-015");
                request.as_object_mut().unwrap().remove("requester_principal");
                bytes(&event(TRAIN, &request))
            },
        ),
        refused(
            C::IntentKindUnsupported,
            "/data_base64/intent_kind",
            "an intent that nobody knows in the base64 of a CloudEvent",
            "",
            MEND,
            || bytes(&event_of_bytes(TRAIN, &ask_with("req-event-016", "intent_kind", json!("retrain_everything")))),
        ),
    ]
}
