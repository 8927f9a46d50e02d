//! The only way in.
//!
//! The schema is the authority on shape; this file adds what a schema cannot say (bytes, trimming,
//! references) and turns the first fault, in the order of [`FIELDS`], into a rejection.

use super::schema::{excerpt, faults};
use super::wrapping::Seen;
use super::{
    AllowList, CancelRequest, CloudEvent, DocumentError, PublishRetryRequest, Reference, SchemaName, TrainBuildRequest,
    Wrapping, parse_strict,
};
use crate::domain::run::FailureCode;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A message from the request topic, checked and typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Build something.
    Train(Arc<TrainBuildRequest>),
    /// Announce again.
    PublishRetry(PublishRetryRequest),
    /// Stop.
    Cancel(CancelRequest),
}

impl Message {
    /// Chosen by the requester.
    pub fn request_id(&self) -> &str {
        match self {
            Self::Train(request) => &request.request_id,
            Self::PublishRetry(command) => &command.request_id,
            Self::Cancel(command) => &command.request_id,
        }
    }

    /// Who asks, as the message says it.
    pub fn requester_principal(&self) -> &str {
        match self {
            Self::Train(request) => &request.requester_principal,
            Self::PublishRetry(command) => &command.requester_principal,
            Self::Cancel(command) => &command.requester_principal,
        }
    }

    /// A rejection of this message.
    pub fn refused(&self, code: FailureCode, pointer: &str, message: String) -> Rejection {
        let platform_run_id = match self {
            Self::Train(request) => Some(request.platform_run_id.clone()),
            Self::PublishRetry(_) | Self::Cancel(_) => None,
        };
        let ids = RejectedIds { request_id: Some(self.request_id().to_owned()), platform_run_id };
        Rejection { code, pointer: pointer.to_owned(), message, ids }
    }
}

/// Why a message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code} at {pointer:?}: {message}")]
pub struct Rejection {
    /// The code.
    pub code: FailureCode,
    /// JSON pointer to the place, empty for the whole message.
    pub pointer: String,
    /// The rule that it breaks, for people; foreign text in it is escaped and capped.
    pub message: String,
    /// What could be read of the message's ids.
    pub ids: RejectedIds,
}

/// Ids of a refused message, as far as they are well-formed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RejectedIds {
    /// `request_id`.
    pub request_id: Option<String>,
    /// `platform_run_id`.
    pub platform_run_id: Option<String>,
}

/// Largest message in bytes.
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// Levels of nesting in a message.
const MAX_DEPTH: usize = 32;
/// Longest string in bytes.
const MAX_STRING_BYTES: usize = 4 * 1024;

/// Fields in the order in which they are judged, each with the code of its absence and of any other
/// fault.
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

/// Code, pointer, rule.
pub(super) type Refused = (FailureCode, String, String);

/// A record's value, read.
#[derive(Debug)]
pub struct Opened {
    /// The message, or why it is refused.
    pub message: Result<Message, Rejection>,
    /// What it came in.
    pub wrapping: Wrapping,
}

impl Rejection {
    /// The same of a message that stands at this place of its record's value.
    #[must_use]
    pub fn within(self, place: &str) -> Self {
        Self { pointer: format!("{place}{}", self.pointer), ..self }
    }
}

/// Parses a record's value: plain JSON, or a structured `CloudEvent` or a DSSE envelope around it, or both,
/// either around the other. Whether a signature holds is not asked.
pub fn parse(bytes: &[u8], allow: &AllowList) -> Result<Message, Rejection> {
    open(bytes, allow).message
}

/// The same with what it came in.
pub fn open(bytes: &[u8], allow: &AllowList) -> Opened {
    let mut seen = Seen::default();
    let message = read(bytes, Some(allow), &mut seen).map_err(|refused| seen.rejection(refused));
    Opened { message, wrapping: seen.wrapping }
}

/// Reads a training request that was accepted before. Where it points, and what an event says around it, was
/// judged then, and the first is again when it is opened; what the operator allows by now must not make it
/// unreadable.
pub fn parse_accepted(bytes: &[u8]) -> Result<Arc<TrainBuildRequest>, Rejection> {
    let mut seen = Seen::default();
    let request = match read(bytes, None, &mut seen) {
        Ok(Message::Train(request)) => Ok(request),
        Ok(Message::PublishRetry(_) | Message::Cancel(_)) => {
            Err(whole(FailureCode::SchemaVersionUnsupported, "not a training request"))
        }
        Err(refused) => Err(refused),
    };
    request.map_err(|refused| seen.rejection(refused))
}

/// The event that a message which was accepted before came in, where it came in one.
pub fn event_around(bytes: &[u8]) -> Option<CloudEvent> {
    let mut seen = Seen::default();
    read(bytes, None, &mut seen).ok()?;
    seen.wrapping.event
}

fn whole(code: FailureCode, message: impl Into<String>) -> Refused {
    (code, String::new(), message.into())
}

fn read(bytes: &[u8], allow: Option<&AllowList>, seen: &mut Seen) -> Result<Message, Refused> {
    if bytes.is_empty() {
        return Err(whole(FailureCode::MessageEmpty, "the record has no value"));
    }
    if bytes.len() > MAX_MESSAGE_BYTES {
        let message = format!("the value has {} bytes, {MAX_MESSAGE_BYTES} are allowed", bytes.len());
        return Err(whole(FailureCode::MessageTooLarge, message));
    }
    let message = seen.unwrap(object(bytes)?, allow.is_some())?;
    let message = typed(message, allow, seen)?;
    if allow.is_some() {
        seen.check_type(&message)?;
    }
    Ok(message)
}

fn typed(mut message: Map<String, Value>, allow: Option<&AllowList>, seen: &mut Seen) -> Result<Message, Refused> {
    trim_members(&mut message).map_err(|Untidy { pointer, rule }| (code_at(&pointer, false), pointer, rule))?;
    remember_ids(&message, &mut seen.ids);
    match message.get("schema_version").and_then(Value::as_str) {
        Some(TrainBuildRequest::SCHEMA_VERSION) => {
            let request: TrainBuildRequest = checked(SchemaName::TrainBuildRequest, message, allow)?;
            Ok(Message::Train(Arc::new(request)))
        }
        Some("learning.mf_publish_retry.v0") => {
            checked(SchemaName::PublishRetry, message, allow).map(Message::PublishRetry)
        }
        Some("learning.mf_cancel.v0") => checked(SchemaName::Cancel, message, allow).map(Message::Cancel),
        found => {
            let found = found.map_or_else(|| "missing".to_owned(), |text| format!("{:?}", excerpt(text)));
            let rule = format!("schema_version is {found}; known is {}", TrainBuildRequest::SCHEMA_VERSION);
            Err((FailureCode::SchemaVersionUnsupported, "/schema_version".to_owned(), rule))
        }
    }
}

pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refused> {
    match parse_strict(bytes, MAX_DEPTH).map_err(|error| whole(FailureCode::MessageNotJson, excerpt(&error.message)))? {
        Value::Object(message) => Ok(message),
        Value::Array(_) => {
            let rule = "the value must be one JSON object; send what is in a list or batch record by record";
            Err(whole(FailureCode::MessageNotJson, rule))
        }
        _ => Err(whole(FailureCode::MessageNotJson, "the value must be one JSON object")),
    }
}

/// Text that may not be in a message. Its pointer grows on the way out: messages are seldom untidy.
struct Untidy {
    pointer: String,
    rule: String,
}

impl Untidy {
    fn within(self, segment: &str) -> Self {
        Self { pointer: format!("/{}{}", segment.replace('~', "~0").replace('/', "~1"), self.pointer), ..self }
    }
}

/// Trims every text; a member that is empty then is as good as missing. Depth is bounded already.
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

pub(super) fn remember_ids(message: &Map<String, Value>, ids: &mut RejectedIds) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    let token = |name: &str, lengths: std::ops::RangeInclusive<usize>| {
        let text = message.get(name).and_then(Value::as_str)?;
        (lengths.contains(&text.len()) && text.chars().all(allowed)).then(|| text.to_owned())
    };
    ids.request_id = token("request_id", 8..=128);
    ids.platform_run_id = token("platform_run_id", 1..=128);
}

fn checked<T: DeserializeOwned>(
    schema: SchemaName,
    message: Map<String, Value>,
    allow: Option<&AllowList>,
) -> Result<T, Refused> {
    let value = Value::Object(message);
    if let Some(error) =
        faults(schema, &value).into_iter().min_by_key(|error| (rank(&error.pointer), error.pointer.clone()))
    {
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

fn rank(pointer: &str) -> usize {
    FIELDS.iter().position(|(name, ..)| *name == field_of(pointer)).unwrap_or(FIELDS.len())
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
                // The base's own references are outside this allow-list, and NUL is not JSON here.
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
