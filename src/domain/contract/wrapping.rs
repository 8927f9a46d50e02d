//! What a message is wrapped in: a `CloudEvent`, a signed envelope, or both in any order.
//!
//! A message has at most one event and one envelope around it, so that it is unwrapped at most twice.

use super::message::{Refused, whole};
use super::messages::EventData;
use super::schema::excerpt;
use super::{CloudEventAttributes, DocumentError, Message, RejectedIds, Rejection, SignedEnvelope, parse_strict};
use crate::domain::run::FailureCode;
use serde_json::{Map, Value};

/// Upper bound on the levels of nesting of a message.
const MAX_DEPTH: usize = 32;

/// What a record's value wraps its message in. Known even if the message is rejected.
#[derive(Debug, Clone, Default)]
pub struct Wrapping {
    pub event: Option<CloudEventAttributes>,
    pub envelope: Option<SignedEnvelope>,
    /// JSON pointer to the message. Decoding base64 counts as one step: `/data_base64`, `/data/payload`.
    pub pointer: String,
}

/// What is known about a record while it is read. A rejection takes its ids from this.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) ids: RejectedIds,
    pub(super) wrapping: Wrapping,
    /// JSON pointer to the event. `None` while no event was found.
    event_pointer: Option<String>,
}

impl Seen {
    /// Builds the rejection of the message that is being read. Extends the pointer so that it starts at the record's
    /// value.
    pub(super) fn rejection(&mut self, (code, pointer, message): Refused) -> Rejection {
        let ids = std::mem::take(&mut self.ids);
        Rejection::new(code, &pointer, &message, ids).within(&self.wrapping.pointer)
    }

    /// Takes a message out of its event and envelope. Checks the event's attributes only if `is_judged`. `is_judged` is
    /// false for a message that was accepted before.
    pub(super) fn unwrap(&mut self, bytes: &[u8], is_judged: bool) -> Result<Map<String, Value>, Refused> {
        let mut message = object(bytes)?;
        loop {
            if CloudEventAttributes::is_one(&message) {
                message = self.out_of_event(message, is_judged)?;
            } else if SignedEnvelope::is_one(&message) {
                message = self.out_of_envelope(message)?;
            } else {
                return Ok(message);
            }
        }
    }

    /// Refuses an event whose type does not fit the message in it.
    pub(super) fn check_type(&mut self, message: &Message) -> Result<(), Refused> {
        let (Some(event), Some(pointer)) = (&self.wrapping.event, &self.event_pointer) else { return Ok(()) };
        if event.event_type == message.event_type() {
            return Ok(());
        }
        let rule = format!("it says {:?}, and the data is {:?}", event.event_type, message.event_type());
        self.wrapping.pointer.clone_from(pointer);
        Err(invalid("/type", rule))
    }

    fn out_of_event(&mut self, event: Map<String, Value>, is_judged: bool) -> Result<Map<String, Value>, Refused> {
        if self.event_pointer.is_some() {
            return Err(invalid("/specversion", "a CloudEvent must not hold another one"));
        }
        let (attributes, data) = CloudEventAttributes::open(event);
        let inside = data.map_err(refused).and_then(|data| match data {
            EventData::Object(message) => Ok(("/data", message)),
            EventData::Bytes(bytes) => match object(&bytes) {
                Ok(message) => Ok(("/data_base64", message)),
                Err((code, _, rule)) => Err((code, "/data_base64".to_owned(), rule)),
            },
        });
        if let Ok((_, message)) = &inside {
            // Takes the ids first, so that a rejection for a wrong attribute still carries the request's id.
            self.ids = RejectedIds::of(message);
        }
        self.wrapping.event = if is_judged { Some(attributes.map_err(refused)?) } else { attributes.ok() };
        let (step, message) = inside?;
        self.event_pointer = Some(self.wrapping.pointer.clone());
        self.wrapping.pointer.push_str(step);
        Ok(message)
    }

    fn out_of_envelope(&mut self, envelope: Map<String, Value>) -> Result<Map<String, Value>, Refused> {
        if self.wrapping.envelope.is_some() {
            return Err(invalid("/payloadType", "an envelope must not hold another one"));
        }
        let opened = SignedEnvelope::open(envelope).map_err(refused)?;
        self.wrapping.pointer.push_str("/payload");
        let message = object(&opened.payload)?;
        self.wrapping.envelope = Some(opened);
        Ok(message)
    }
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>, Refused> {
    match parse_strict(bytes, MAX_DEPTH).map_err(|error| whole(FailureCode::MessageNotJson, excerpt(&error.message)))? {
        Value::Object(message) => Ok(message),
        Value::Array(_) => {
            let rule = "the value must be one JSON object; send what is in a list or batch record by record";
            Err(whole(FailureCode::MessageNotJson, rule))
        }
        _ => Err(whole(FailureCode::MessageNotJson, "the value must be one JSON object")),
    }
}

fn refused(error: DocumentError) -> Refused {
    (FailureCode::SchemaInvalid, error.pointer, error.rule)
}

fn invalid(pointer: &str, rule: impl Into<String>) -> Refused {
    (FailureCode::SchemaInvalid, pointer.to_owned(), rule.into())
}
