//! The door: what a record is and whether it may come in, before the ledger is asked.
//!
//! Order: bytes and shape, then who asks and whether that one may, then where links of its references lead.
//! Nobody is told about files who may not ask.

use crate::adapters::authority::Policy;
use crate::adapters::dataset::{Inputs, Links};
use crate::adapters::ledger::{Arrival, SourceRecord};
use crate::domain::contract::{AllowList, Message, Opened, Reference, Rejection, TrainBuildRequest, Wrapping, open};
use crate::domain::grant::Grant;
use crate::domain::run::FailureCode;
use std::collections::HashMap;

/// What a record is judged by.
#[derive(Debug, Clone)]
pub struct Door {
    allow: AllowList,
    links: Links,
    policy: Option<Policy>,
}

/// Somebody at the door: judges one record after the other, and looks at each link once.
#[derive(Debug)]
pub struct Doorkeeper<'a> {
    door: &'a Door,
    leads_out: HashMap<Reference, bool>,
}

impl Door {
    /// A door to these inputs; without a policy everybody may ask.
    pub fn new(inputs: &Inputs, policy: Option<Policy>) -> Self {
        Self { allow: inputs.allow_list(), links: inputs.links(), policy }
    }

    /// Somebody who stays for a batch: links may change.
    pub fn keeper(&self) -> Doorkeeper<'_> {
        Doorkeeper { door: self, leads_out: HashMap::new() }
    }
}

/// A door that looks at the text of references alone.
impl From<AllowList> for Door {
    fn from(allow: AllowList) -> Self {
        Self { allow, links: Links::default(), policy: None }
    }
}

impl Doorkeeper<'_> {
    /// The record as the ledger takes it. Where its headers have no trace context, the event's counts.
    pub fn arrival(&mut self, mut record: SourceRecord) -> Arrival {
        let Opened { message, wrapping } = open(&record.value, &self.door.allow);
        let (judged, grant) = self.may_come_in(&record.coordinates.topic, message, &wrapping);
        if let (None, Some(event)) = (&record.traceparent, wrapping.event) {
            (record.traceparent, record.tracestate) = (event.traceparent, event.tracestate);
        }
        Arrival::judged(record, judged, grant).at(wrapping.place)
    }

    /// What this value on this topic is, or why it is refused; with what its requester may ask for, where
    /// there is a policy.
    pub fn judge(&mut self, topic: &str, value: &[u8]) -> (Result<Message, Rejection>, Option<Grant>) {
        let Opened { message, wrapping } = open(value, &self.door.allow);
        self.may_come_in(topic, message, &wrapping)
    }

    fn may_come_in(
        &mut self,
        topic: &str,
        parsed: Result<Message, Rejection>,
        wrapping: &Wrapping,
    ) -> (Result<Message, Rejection>, Option<Grant>) {
        let message = match parsed {
            Ok(message) => message,
            Err(rejection) => return (Err(rejection), None),
        };
        let policy = self.door.policy.as_ref();
        let decided = policy.map(|policy| policy.decide(topic, &message, wrapping.envelope.as_ref()));
        let grant = match decided.transpose() {
            Ok(grant) => grant.cloned(),
            Err(rejection) => return (Err(rejection.within(&wrapping.place)), None),
        };
        match &message {
            Message::Train(request) => match self.link_out(request) {
                Some((pointer, reference)) => {
                    let rule = format!("{:?} leads out of the allowed folders", reference.as_str());
                    let rejection = message.refused(FailureCode::RefNotAllowed, &pointer, rule);
                    (Err(rejection.within(&wrapping.place)), None)
                }
                None => (Ok(message), grant),
            },
            Message::PublishRetry(_) | Message::Cancel(_) => (Ok(message), grant),
        }
    }

    /// The first reference of a request that leads out through a link.
    fn link_out<'r>(&mut self, request: &'r TrainBuildRequest) -> Option<(String, &'r Reference)> {
        request.references().find(|(_, reference)| {
            if let Some(&known) = self.leads_out.get(reference) {
                return known;
            }
            let leads_out = self.door.links.lead_out(reference);
            self.leads_out.insert((*reference).clone(), leads_out);
            leads_out
        })
    }
}
