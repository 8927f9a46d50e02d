//! The door: what a record is and whether it may come in, before the ledger is asked.
//!
//! Order: bytes and shape, then who asks and whether that one may, then where links of its references lead.
//! Nobody is told about files who may not ask.

use crate::authority::{Grant, Policy};
use crate::contract::{AllowList, Message, Reference, Rejection, TrainBuildRequest, parse_signed};
use crate::dataset::{Inputs, Links};
use crate::ledger::{Arrival, SourceRecord};
use crate::run::FailureCode;
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
    /// The record as the ledger takes it.
    pub fn arrival(&mut self, record: SourceRecord) -> Arrival {
        let (judged, grant) = self.judge(&record.coordinates.topic, &record.value);
        Arrival::judged(record, judged, grant)
    }

    /// What this value on this topic is, or why it is refused; with what its requester may ask for, where
    /// there is a policy.
    pub fn judge(&mut self, topic: &str, value: &[u8]) -> (Result<Message, Rejection>, Option<Grant>) {
        let (parsed, envelope) = parse_signed(value, &self.door.allow);
        let message = match parsed {
            Ok(message) => message,
            Err(rejection) => return (Err(rejection), None),
        };
        let decided = self.door.policy.as_ref().map(|policy| policy.decide(topic, &message, envelope.as_ref()));
        let grant = match decided.transpose() {
            Ok(grant) => grant.cloned(),
            Err(rejection) => return (Err(rejection), None),
        };
        match &message {
            Message::Train(request) => match self.link_out(request) {
                Some((pointer, reference)) => {
                    let rule = format!("{:?} leads out of the allowed folders", reference.as_str());
                    (Err(message.refused(FailureCode::RefNotAllowed, &pointer, rule)), None)
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
