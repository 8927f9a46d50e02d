//! A message inside a structured `CloudEvent`: the event's attributes, and its `data`.
//!
//! Format: `CloudEvents` 1.0.2 in its JSON event format. A record's value is an event if it has an event's fields.
//! Headers do not matter. In binary mode the attributes are headers, and the value is the message itself.

use crate::domain::contract::first_error::first_error;
use crate::domain::contract::{DocumentError, SchemaName};
use crate::domain::trace_context::TraceContext;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};

/// Attributes of an event. The run key depends on none of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloudEventAttributes {
    pub id: String,
    pub source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    /// `None` if the event has no valid trace context.
    #[serde(skip)]
    pub trace: Option<TraceContext>,
}

pub(in crate::domain::contract) enum EventData {
    Object(Map<String, Value>),
    Bytes(Vec<u8>),
}

/// Upper bound on the length of an attribute, in bytes. Every text in a message has the same bound.
const MAX_ATTRIBUTE_BYTES: usize = 4 * 1024;
const NO_OBJECT: &str = "a CloudEvent must carry the request as a JSON object in data";

impl CloudEventAttributes {
    /// Returns whether a message is an event. Only events have a field `specversion`.
    pub(in crate::domain::contract) fn is_one(message: &Map<String, Value>) -> bool {
        message.contains_key("specversion")
    }

    /// Returns the event's attributes, or the rule that they break. Also returns the event's data, even if the
    /// attributes are wrong.
    pub(in crate::domain::contract) fn open(
        mut event: Map<String, Value>,
    ) -> (Result<Self, DocumentError>, Result<EventData, DocumentError>) {
        // In CloudEvents, null means that a member is not set.
        event.retain(|_, member| !member.is_null());
        let value = Value::Object(event);
        (attributes(&value), data(value))
    }
}

fn attributes(event: &Value) -> Result<CloudEventAttributes, DocumentError> {
    match (event.get("data"), event.get("data_base64")) {
        (Some(_), Some(_)) => return Err(DocumentError::at("/data_base64", "data and data_base64 exclude each other")),
        (Some(data), None) if !data.is_object() => return Err(DocumentError::at("/data", NO_OBJECT)),
        (None, None) => return Err(DocumentError::at("/data", NO_OBJECT)),
        (Some(_), None) | (None, Some(_)) => {}
    }
    if let Some(error) = first_error(SchemaName::CloudEvent, event, &[]) {
        return Err(error);
    }
    for (name, value) in event.as_object().into_iter().flatten().filter(|(name, _)| *name != "data_base64") {
        let rule = match value.as_str() {
            Some(text) if text.len() > MAX_ATTRIBUTE_BYTES => {
                format!("an attribute of {} bytes, {MAX_ATTRIBUTE_BYTES} are allowed", text.len())
            }
            Some(text) if text.chars().any(is_no_text) => {
                "an attribute must not contain control characters or code points that are no characters".to_owned()
            }
            _ => continue,
        };
        return Err(DocumentError::at(format!("/{name}"), rule));
    }
    let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    let trace = TraceContext::read(text("traceparent").as_deref(), text("tracestate").as_deref());
    Ok(CloudEventAttributes {
        id: text("id").unwrap_or_default(),
        source: text("source").unwrap_or_default(),
        event_type: text("type").unwrap_or_default(),
        trace,
    })
}

/// Returns whether the `CloudEvents` type String excludes this character.
fn is_no_text(c: char) -> bool {
    c.is_control() || ('\u{fdd0}'..='\u{fdef}').contains(&c) || u32::from(c) & 0xfffe == 0xfffe
}

fn data(mut event: Value) -> Result<EventData, DocumentError> {
    let mut take = |name: &str| event.get_mut(name).map(Value::take);
    match (take("data"), take("data_base64")) {
        (Some(Value::Object(data)), _) => Ok(EventData::Object(data)),
        (None, Some(Value::String(text))) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(EventData::Bytes(bytes)),
            Err(_) => Err(DocumentError::at("/data_base64", "it is not base64 with padding")),
        },
        (None, Some(_)) => Err(DocumentError::at("/data_base64", "it must be text")),
        _ => Err(DocumentError::at("/data", NO_OBJECT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{AllowList, Message, SignedEnvelope, parse};
    use crate::domain::identity::near_key;
    use crate::domain::run::FailureCode;
    use proptest::prelude::*;
    use serde_json::json;

    fn allow() -> AllowList {
        AllowList::new(["s3://fraud-platform".to_owned()], true)
    }

    fn base() -> Value {
        serde_json::from_str(include_str!("../../../../tests/golden/requests/base.json")).unwrap()
    }

    fn event(data: &Value) -> Value {
        json!({"specversion": "1.0", "id": "1", "source": "/t", "type": "io.modelfactory.train_build_request", "data": data})
    }

    /// Puts a value into `data`, into `data_base64`, or into an envelope, in the order of `how`.
    fn wrap(mut value: Value, how: &str) -> Vec<u8> {
        for way in how.chars() {
            value = match way {
                'd' => event(&value),
                'b' => {
                    let mut event = event(&Value::Null);
                    event["data_base64"] = json!(STANDARD.encode(value.to_string()));
                    event
                }
                _ => serde_json::from_slice(&SignedEnvelope::seal(value.to_string().as_bytes(), b"s", "")).unwrap(),
            };
        }
        value.to_string().into_bytes()
    }

    proptest! {
        #[test]
        fn wrapping_a_request_never_changes_what_it_is(
            how in prop::sample::select(vec!["d", "b", "s", "ds", "bs", "sd", "sb"]),
            revision in "[^\\p{C}]{1,40}",
            requester in "[^\\p{C}]{1,40}",
            manifests in prop::collection::vec("[a-z]{1,8}/[a-z]{1,8}\\.json", 1..5),
            publish_allowed in any::<bool>(),
        ) {
            let mut request = base();
            request["policy_revision"] = json!(revision);
            request["requester_principal"] = json!(requester);
            request["dataset_manifest_refs"] = json!(manifests);
            request["publish_allowed"] = json!(publish_allowed);
            match (parse(request.to_string().as_bytes(), &allow()), parse(&wrap(request, how), &allow())) {
                (Ok(Message::Train(bare)), Ok(Message::Train(wrapped))) => {
                    prop_assert_eq!(bare.run_key(), wrapped.run_key());
                    prop_assert_eq!(bare.payload_digest(), wrapped.payload_digest());
                    prop_assert_eq!(near_key(&bare.meaning()), near_key(&wrapped.meaning()));
                    prop_assert_eq!(bare, wrapped);
                }
                (Err(bare), Err(wrapped)) => {
                    prop_assert!(wrapped.pointer.ends_with(&bare.pointer));
                    prop_assert_eq!((bare.code, bare.message, bare.ids), (wrapped.code, wrapped.message, wrapped.ids));
                }
                (bare, wrapped) => prop_assert!(false, "{bare:?}, {wrapped:?}"),
            }
        }

        #[test]
        fn any_attribute_of_any_name_is_let_pass_or_refused_by_its_pointer(
            name in "[a-zA-Z0-9_/~]{1,12}|id|source|type|time|subject|dataschema|datacontenttype|traceparent",
            value in prop_oneof![
                Just(Value::Null),
                any::<bool>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from),
                ".{0,40}".prop_map(Value::from),
                Just(json!([1])),
                Just(json!({"a": "b"})),
            ],
        ) {
            prop_assume!(!["data", "specversion"].contains(&name.as_str()));
            let mut event = event(&base());
            event[&name] = value;
            match parse(event.to_string().as_bytes(), &allow()) {
                Ok(Message::Train(request)) => {
                    let Ok(Message::Train(bare)) = parse(base().to_string().as_bytes(), &allow()) else { panic!("bare") };
                    prop_assert_eq!(bare, request);
                }
                Ok(other) => prop_assert!(false, "{other:?}"),
                // Strict JSON refuses NUL characters.
                Err(refused) if refused.code == FailureCode::MessageNotJson => {}
                Err(refused) => {
                    let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
                    prop_assert_eq!((refused.code, refused.pointer), (FailureCode::SchemaInvalid, pointer));
                    prop_assert_eq!(refused.ids.request_id.as_deref(), Some("req-golden-0001"));
                }
            }
        }
    }
}
