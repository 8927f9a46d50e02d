//! What a message comes in: a `CloudEvent`, a signed envelope, or both, either around the other.
//!
//! Never: more than one of each; so a message is opened twice at the most, and nests no deeper for it.

use super::cloud_event::Data;
use super::parse::{Refused, object, remember_ids};
use super::{CloudEvent, DocumentError, Message, RejectedIds, Rejection, SignedEnvelope};
use crate::domain::run::FailureCode;
use serde_json::{Map, Value};

/// What a record's value wraps its message in, whether the message is refused or not.
#[derive(Debug, Clone, Default)]
pub struct Wrapping {
    /// The event around it.
    pub event: Option<CloudEvent>,
    /// The envelope around it.
    pub envelope: Option<SignedEnvelope>,
    /// JSON pointer to the message. Base64 is read where it stands: `/data_base64`, `/data/payload`.
    pub place: String,
}

/// What can be said of a record whether it is refused or not.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) ids: RejectedIds,
    pub(super) wrapping: Wrapping,
    /// Where the event stands.
    event_at: Option<String>,
}

impl Seen {
    /// The rejection of what is in hand; pointers lead from there.
    pub(super) fn rejection(&mut self, (code, pointer, message): Refused) -> Rejection {
        let ids = std::mem::take(&mut self.ids);
        Rejection { code, pointer, message, ids }.within(&self.wrapping.place)
    }

    /// Takes a message out of what is around it. What an event says of itself is judged in a message that
    /// comes, not in one that was accepted before.
    pub(super) fn unwrap(
        &mut self,
        mut message: Map<String, Value>,
        is_judged: bool,
    ) -> Result<Map<String, Value>, Refused> {
        loop {
            if CloudEvent::is_one(&message) {
                message = self.out_of_event(message, is_judged)?;
            } else if SignedEnvelope::is_one(&message) {
                message = self.out_of_envelope(message)?;
            } else {
                return Ok(message);
            }
        }
    }

    /// Refuses an event whose type is not its message's.
    pub(super) fn check_type(&mut self, message: &Message) -> Result<(), Refused> {
        let (Some(event), Some(at)) = (&self.wrapping.event, &self.event_at) else { return Ok(()) };
        if event.event_type == message.event_type() {
            return Ok(());
        }
        let rule = format!("it says {:?}, and the data is {:?}", event.event_type, message.event_type());
        self.wrapping.place.clone_from(at);
        Err(invalid("/type", rule))
    }

    fn out_of_event(&mut self, event: Map<String, Value>, is_judged: bool) -> Result<Map<String, Value>, Refused> {
        if self.event_at.is_some() {
            return Err(invalid("/specversion", "a CloudEvent must not hold another one"));
        }
        let (said, data) = CloudEvent::open(event);
        let inside = data.map_err(faulty).and_then(|data| match data {
            Data::Object(message) => Ok(("/data", message)),
            Data::Bytes(bytes) => match object(&bytes) {
                Ok(message) => Ok(("/data_base64", message)),
                Err((code, _, rule)) => Err((code, "/data_base64".to_owned(), rule)),
            },
        });
        if let Ok((_, message)) = &inside {
            // Its requester is told of a bad attribute, too.
            remember_ids(message, &mut self.ids);
        }
        self.wrapping.event = if is_judged { Some(said.map_err(faulty)?) } else { said.ok() };
        let (place, message) = inside?;
        self.event_at = Some(self.wrapping.place.clone());
        self.wrapping.place.push_str(place);
        Ok(message)
    }

    fn out_of_envelope(&mut self, envelope: Map<String, Value>) -> Result<Map<String, Value>, Refused> {
        if self.wrapping.envelope.is_some() {
            return Err(invalid("/payloadType", "an envelope must not hold another one"));
        }
        let opened = SignedEnvelope::open(envelope).map_err(faulty)?;
        self.wrapping.place.push_str("/payload");
        let message = object(&opened.payload)?;
        self.wrapping.envelope = Some(opened);
        Ok(message)
    }
}

fn faulty(error: DocumentError) -> Refused {
    (FailureCode::SchemaInvalid, error.pointer, error.rule)
}

fn invalid(pointer: &str, rule: impl Into<String>) -> Refused {
    (FailureCode::SchemaInvalid, pointer.to_owned(), rule.into())
}
