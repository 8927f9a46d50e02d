//! A message inside a structured `CloudEvent`: what stands around it, and its `data` taken out.
//!
//! Format: `CloudEvents` 1.0.2 in its JSON event format. A record is one by its own shape and never by a header. In
//! binary mode the attributes are headers, and the value is the message as it would be without them.

use super::schema::faults;
use super::{DocumentFault, Message, SchemaName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::{Map, Value};

/// What an event says of itself. None of it is part of what is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CloudEvent {
    /// The sender's own name of the event.
    pub id: String,
    /// Where it comes from.
    pub source: String,
    /// What its data is.
    #[serde(rename = "type")]
    pub event_type: String,
    /// W3C trace context, where the event has one.
    #[serde(skip)]
    pub traceparent: Option<String>,
    /// W3C trace state, beside it.
    #[serde(skip)]
    pub tracestate: Option<String>,
}

/// What an event carries.
pub(super) enum Data {
    /// In `data`.
    Object(Map<String, Value>),
    /// In `data_base64`.
    Bytes(Vec<u8>),
}

/// Longest attribute in bytes, as of any text in a message.
const MAX_ATTRIBUTE_BYTES: usize = 4 * 1024;

impl Message {
    /// The type of an event that carries this message.
    pub fn event_type(&self) -> &'static str {
        match self {
            Self::Train(_) => "io.modelfactory.train_build_request",
            Self::PublishRetry(_) => "io.modelfactory.publish_retry",
            Self::Cancel(_) => "io.modelfactory.cancel",
        }
    }
}

impl CloudEvent {
    /// Whether a message is an event: no request, command or envelope has such a field.
    pub(super) fn is_one(message: &Map<String, Value>) -> bool {
        message.contains_key("specversion")
    }

    /// What the event says of itself, or the rule that it breaks; and its data, which can be looked at in
    /// either case.
    pub(super) fn open(mut event: Map<String, Value>) -> (Result<Self, DocumentFault>, Result<Data, DocumentFault>) {
        // CloudEvents has null count as unset.
        event.retain(|_, member| !member.is_null());
        let value = Value::Object(event);
        (judge(&value), data(value))
    }
}

fn fault(pointer: &str, rule: impl Into<String>, missing: bool) -> DocumentFault {
    DocumentFault { pointer: pointer.to_owned(), rule: rule.into(), missing }
}

fn judge(event: &Value) -> Result<CloudEvent, DocumentFault> {
    match (event.get("data"), event.get("data_base64")) {
        (Some(_), Some(_)) => return Err(fault("/data_base64", "data and data_base64 exclude each other", false)),
        (None, None) => return Err(fault("/data", "a CloudEvent must carry the request in data", true)),
        (Some(_), None) | (None, Some(_)) => {}
    }
    if let Some(fault) = faults(SchemaName::CloudEvent, event).into_iter().min_by_key(|fault| fault.pointer.clone()) {
        return Err(fault);
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
        return Err(fault(&format!("/{name}"), rule, false));
    }
    let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(CloudEvent {
        id: text("id").unwrap_or_default(),
        source: text("source").unwrap_or_default(),
        event_type: text("type").unwrap_or_default(),
        traceparent: text("traceparent"),
        tracestate: text("tracestate"),
    })
}

/// What the type String of `CloudEvents` leaves out of Unicode.
fn is_no_text(c: char) -> bool {
    c.is_control() || ('\u{fdd0}'..='\u{fdef}').contains(&c) || u32::from(c) & 0xfffe == 0xfffe
}

fn data(mut event: Value) -> Result<Data, DocumentFault> {
    let mut take = |name: &str| event.get_mut(name).map(Value::take);
    match (take("data"), take("data_base64")) {
        (Some(Value::Object(data)), _) => Ok(Data::Object(data)),
        (None, Some(Value::String(text))) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Data::Bytes(bytes)),
            Err(_) => Err(fault("/data_base64", "it is not base64 with padding", false)),
        },
        (None, Some(_)) => Err(fault("/data_base64", "it must be text", false)),
        (found, _) => {
            let rule = "a CloudEvent must carry the request as a JSON object in data";
            Err(fault("/data", rule, found.is_none()))
        }
    }
}
