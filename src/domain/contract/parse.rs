//! Turns a record's value into a typed message or a rejection. There is no other way to read a message.
//!
//! The schema decides about shape. This file adds what a schema cannot say (bytes, trimming, references). If there are
//! several errors, the first in the order of [`FIELDS`] becomes the rejection.

use super::first_error::first_error;
use super::message::{Refused, whole};
use super::schema::excerpt;
use super::wrapping::Seen;
use super::{
    AllowList, CloudEventAttributes, CommandMessage, DocumentError, Message, Reference, RejectedIds, Rejection,
    SchemaName, SignedEnvelope, TrainBuildRequest, Wrapping,
};
use crate::domain::run::FailureCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;
const MAX_STRING_BYTES: usize = 4 * 1024;

/// Fields in the order in which errors are reported. Each has a code for "missing" and a code for other errors.
const FIELDS: [(&str, FailureCode, FailureCode); 12] = {
    use FailureCode as C;
    [
        ("schema_version", C::SchemaVersionUnsupported, C::SchemaVersionUnsupported),
        ("request_id", C::RequestIdInvalid, C::RequestIdInvalid),
        ("intent_kind", C::IntentKindUnsupported, C::IntentKindUnsupported),
        ("platform_run_id", C::RunScopeInvalid, C::RunScopeInvalid),
        ("dataset_manifest_refs", C::ManifestRefMissing, C::SchemaInvalid),
        ("training_config_ref", C::TrainConfigMissing, C::SchemaInvalid),
        ("governance_profile_ref", C::GovernanceProfileMissing, C::SchemaInvalid),
        ("requester_principal", C::RequesterMissing, C::SchemaInvalid),
        ("target_scope", C::TargetScopeInvalid, C::TargetScopeInvalid),
        ("policy_revision", C::PolicyRevisionMissing, C::SchemaInvalid),
        ("config_revision", C::ConfigRevisionMissing, C::SchemaInvalid),
        ("mf_code_release_id", C::CodeReleaseMissing, C::SchemaInvalid),
    ]
};

#[derive(Debug)]
pub struct OpenedMessage {
    pub message: Result<Message, Rejection>,
    pub wrapping: Wrapping,
}

/// Parses a record's value. The value is plain JSON, or JSON wrapped in a structured `CloudEvent`, in a DSSE envelope,
/// or in both in any order. Does not check signatures.
pub fn parse(bytes: &[u8], allow: &AllowList) -> Result<Message, Rejection> {
    open(bytes, allow).message
}

/// Parses a record's value like [`parse`], and also returns what the message was wrapped in.
pub fn open(bytes: &[u8], allow: &AllowList) -> OpenedMessage {
    let mut seen = Seen::default();
    let message = read(bytes, Some(allow), &mut seen).map_err(|refused| seen.rejection(refused));
    OpenedMessage { message, wrapping: seen.wrapping }
}

/// Reads a training request that was accepted before. Does not check the allow-list or the `CloudEvent` attributes
/// again, because the request must stay readable after the operator has changed the list. The list is checked again
/// when a reference is opened.
pub fn parse_accepted(bytes: &[u8]) -> Result<Arc<TrainBuildRequest>, Rejection> {
    match message_accepted(bytes)? {
        Message::Train(request) => Ok(request),
        other @ (Message::PublishRetry(_) | Message::Cancel(_)) => {
            Err(other.refused(FailureCode::SchemaVersionUnsupported, "", "not a training request"))
        }
    }
}

/// Reads a request or command that was accepted before, like [`parse_accepted`].
pub fn message_accepted(bytes: &[u8]) -> Result<Message, Rejection> {
    let mut seen = Seen::default();
    read(bytes, None, &mut seen).map_err(|refused| seen.rejection(refused))
}

/// Returns the attributes of the event that wraps an accepted message. `None` if no event wraps the message, or if
/// event or message break a rule.
pub fn event_around(bytes: &[u8]) -> Option<CloudEventAttributes> {
    let mut seen = Seen::default();
    read(bytes, None, &mut seen).ok()?;
    seen.wrapping.event
}

/// Returns the signed envelope around an accepted message. `None` if there is none.
pub fn envelope_around(bytes: &[u8]) -> Option<SignedEnvelope> {
    let mut seen = Seen::default();
    read(bytes, None, &mut seen).ok()?;
    seen.wrapping.envelope
}

fn read(bytes: &[u8], allow: Option<&AllowList>, seen: &mut Seen) -> Result<Message, Refused> {
    if bytes.is_empty() {
        return Err(whole(FailureCode::MessageEmpty, "the record has no value"));
    }
    if bytes.len() > MAX_MESSAGE_BYTES {
        let message = format!("the value has {} bytes, {MAX_MESSAGE_BYTES} are allowed", bytes.len());
        return Err(whole(FailureCode::MessageTooLarge, message));
    }
    let message = seen.unwrap(bytes, allow.is_some())?;
    let message = typed(message, allow, seen)?;
    if allow.is_some() {
        seen.check_type(&message)?;
    }
    Ok(message)
}

fn typed(mut message: Map<String, Value>, allow: Option<&AllowList>, seen: &mut Seen) -> Result<Message, Refused> {
    trim_members(&mut message).map_err(|Untidy { pointer, rule }| (code_at(&pointer, false), pointer, rule))?;
    seen.ids = RejectedIds::of(&message);
    match message.get("schema_version").and_then(Value::as_str) {
        Some(TrainBuildRequest::SCHEMA_VERSION) => {
            let request: TrainBuildRequest = checked(SchemaName::TrainBuildRequest, message, allow)?;
            Ok(Message::Train(Arc::new(request)))
        }
        Some(CommandMessage::PUBLISH_RETRY) => {
            checked(SchemaName::PublishRetry, message, allow).map(Message::PublishRetry)
        }
        Some(CommandMessage::CANCEL) => checked(SchemaName::Cancel, message, allow).map(Message::Cancel),
        found => {
            let found = found.map_or_else(|| "missing".to_owned(), |text| format!("{:?}", excerpt(text)));
            let rule = format!("schema_version is {found}; known is {}", TrainBuildRequest::SCHEMA_VERSION);
            Err((FailureCode::SchemaVersionUnsupported, "/schema_version".to_owned(), rule))
        }
    }
}

/// An error in a text of a message. Callers build the pointer while they pass the error up, because errors are rare.
struct Untidy {
    pointer: String,
    rule: String,
}

impl Untidy {
    fn within(self, segment: &str) -> Self {
        Self { pointer: format!("/{}{}", segment.replace('~', "~0").replace('/', "~1"), self.pointer), ..self }
    }
}

/// Trims every text. Removes members that are empty afterwards, so that they count as missing. Recursion is safe
/// because the parser has bounded the nesting.
fn trim_members(members: &mut Map<String, Value>) -> Result<(), Untidy> {
    for (key, value) in members.iter_mut() {
        trim(value).map_err(|untidy| untidy.within(key))?;
    }
    members.retain(|_, value| value.as_str() != Some(""));
    Ok(())
}

fn trim(value: &mut Value) -> Result<(), Untidy> {
    match value {
        Value::String(text) => {
            let trimmed = text.trim();
            let refuse = |rule: String| Err(Untidy { pointer: String::new(), rule });
            if trimmed.len() > MAX_STRING_BYTES {
                return refuse(format!("text of {} bytes, {MAX_STRING_BYTES} are allowed", trimmed.len()));
            }
            if let Some(control) = trimmed.chars().find(|c| c.is_control()) {
                return refuse(format!("text must not contain the control character {}", control.escape_unicode()));
            }
            if trimmed.len() < text.len() {
                *text = trimmed.to_owned();
            }
            Ok(())
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                trim(item).map_err(|untidy| untidy.within(&index.to_string()))?;
            }
            Ok(())
        }
        Value::Object(members) => trim_members(members),
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
    }
}

fn checked<T: DeserializeOwned>(
    schema: SchemaName,
    message: Map<String, Value>,
    allow: Option<&AllowList>,
) -> Result<T, Refused> {
    let value = Value::Object(message);
    if let Some(error) = first_error(schema, &value, &FIELDS.map(|(name, ..)| name)) {
        let DocumentError { pointer, rule, missing } = error;
        return Err((code_at(&pointer, missing), pointer, rule));
    }
    for (pointer, text) in references(&value) {
        let refuse = |rule: String| Err((FailureCode::RefNotAllowed, pointer.clone(), rule));
        match Reference::parse(text) {
            Ok(reference) if allow.is_none_or(|allow| allow.allows(&reference)) => {}
            Ok(_) => return refuse(format!("{:?} is outside the operator's allow-list", excerpt(text))),
            Err(error) => return refuse(error.rule),
        }
    }
    serde_json::from_value(value).map_err(|error| whole(FailureCode::SchemaInvalid, excerpt(&error.to_string())))
}

fn references(value: &Value) -> Vec<(String, &str)> {
    let manifests = value.get("dataset_manifest_refs").and_then(Value::as_array).into_iter().flatten().enumerate();
    let mut found: Vec<(String, &str)> = manifests
        .filter_map(|(index, item)| item.as_str().map(|text| (format!("/dataset_manifest_refs/{index}"), text)))
        .collect();
    for name in ["training_config_ref", "governance_profile_ref"] {
        if let Some(text) = value.get(name).and_then(Value::as_str) {
            found.push((format!("/{name}"), text));
        }
    }
    found
}

fn field_of(pointer: &str) -> &str {
    pointer.trim_start_matches('/').split('/').next().unwrap_or_default()
}

fn code_at(pointer: &str, missing: bool) -> FailureCode {
    FIELDS
        .iter()
        .find(|(name, ..)| *name == field_of(pointer))
        .map_or(FailureCode::SchemaInvalid, |&(_, absent, other)| if missing { absent } else { other })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base() -> Value {
        serde_json::from_str(include_str!("../../../tests/golden/requests/base.json")).unwrap()
    }

    fn train(value: &[u8]) -> TrainBuildRequest {
        match parse(value, &AllowList::new(["s3://fraud-platform".to_owned()], true)).unwrap() {
            Message::Train(request) => Arc::unwrap_or_clone(request),
            other => panic!("{other:?}"),
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(".{0,12}", inner, 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_a_rejection(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes, &AllowList::default());
        }

        #[test]
        fn any_value_in_any_field_is_judged_at_that_field(
            field in prop::sample::select(&FIELDS[..]),
            value in json(),
        ) {
            let mut message = base();
            message[field.0] = value;
            if let Err(rejection) = parse(message.to_string().as_bytes(), &AllowList::new([], true)) {
                // The unchanged references are outside this allow-list, and strict JSON refuses NUL characters.
                let elsewhere = [FailureCode::RefNotAllowed, FailureCode::MessageNotJson];
                prop_assert!(field_of(&rejection.pointer) == field.0 || elsewhere.contains(&rejection.code));
                prop_assert!(rejection.message.len() <= 2000 && !rejection.message.contains(char::is_control));
            }
        }

        #[test]
        fn spelling_never_changes_the_run(
            keys in Just(base().as_object().unwrap().keys().cloned().collect::<Vec<_>>()).prop_shuffle(),
            manifests in Just(vec!["a/m1.json", "a/m2.json", "a/m1.json", "b/m3.json"]).prop_shuffle(),
            space in "[ \t\r\n]{0,5}",
        ) {
            let mut message = base();
            message["dataset_manifest_refs"] = serde_json::json!(["a/m1.json", "a/m2.json", "b/m3.json"]);
            let expected = train(message.to_string().as_bytes()).run_key();
            message["dataset_manifest_refs"] = serde_json::json!(manifests);
            let members: Vec<String> = keys
                .iter()
                .map(|key| {
                    let value = match &message[key] {
                        Value::String(text) => Value::from(format!("{space}{text}{space}")),
                        other => other.clone(),
                    };
                    format!("{space}\"{key}\"{space}:{value}")
                })
                .collect();
            let spelled = format!("{space}{{{}}}{space}", members.join(","));
            prop_assert_eq!(train(spelled.as_bytes()).run_key(), expected);
        }
    }
}
