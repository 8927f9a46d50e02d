//! Judges a record that the ledger does not know yet: what message it holds, and whether it may be admitted.
//!
//! Checks run in this order: bytes and shape, then requester and policy, then symbolic links in the paths that the
//! request names. The policy comes before the links, so that a refused requester cannot find out which files exist.

use crate::adapters::authority::{CurrentPolicy, Policy};
use crate::adapters::dataset::{Inputs, Links};
use crate::adapters::ledger::{Arrival, SourceRecord};
use crate::domain::contract::{
    AllowList, Message, OpenedMessage, Reference, Rejection, TrainBuildRequest, Wrapping, open,
};
use crate::domain::grant::Grant;
use crate::domain::run::FailureCode;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Screening {
    allow: AllowList,
    links: Links,
    policy: CurrentPolicy,
}

/// Screens the records of one batch, and looks at the disk once for each reference.
#[derive(Debug)]
pub struct BatchScreening<'a> {
    screening: &'a Screening,
    policy: Option<Arc<Policy>>,
    leads_out: HashMap<Reference, bool>,
}

impl Screening {
    /// Without a policy everybody may ask for everything.
    pub fn new(inputs: &Inputs, policy: impl Into<CurrentPolicy>) -> Self {
        Self { allow: inputs.allow_list(), links: inputs.links(), policy: policy.into() }
    }

    /// Replaces the policy. With `None` everybody may ask for everything.
    #[must_use]
    pub fn with_policy(self, policy: impl Into<CurrentPolicy>) -> Self {
        Self { policy: policy.into(), ..self }
    }

    /// Begins the screening of one batch, under the policy that is in force now. What it finds out about links ends with
    /// the batch, since links may change.
    pub fn of_batch(&self) -> BatchScreening<'_> {
        BatchScreening { screening: self, policy: self.policy.now(), leads_out: HashMap::new() }
    }
}

/// Screening without a policy, which judges references by their text and does not look at the disk.
impl From<AllowList> for Screening {
    fn from(allow: AllowList) -> Self {
        Self { allow, links: Links::default(), policy: CurrentPolicy::default() }
    }
}

impl BatchScreening<'_> {
    /// Judges a record for the ledger. If its headers carry no trace context, that of its `CloudEvent` is used.
    pub fn arrival(&mut self, mut record: SourceRecord) -> Arrival {
        if let Some(cut) = &record.cut {
            let refused = Err(cut.rejection.clone());
            return Arrival::judged(record, refused, None);
        }
        let OpenedMessage { message, wrapping } = open(&record.value, &self.screening.allow);
        let (judged, grant) = self.screen(record.coordinates.topic_and_incarnation().0, message, &wrapping);
        if let (None, Some(event)) = (&record.trace, wrapping.event) {
            record.trace = event.trace;
        }
        Arrival::judged(record, judged, grant).at(wrapping.pointer)
    }

    /// Parses and judges a value from this topic: the message or why it is refused, and what the policy grants the
    /// requester. The grant is `None` without a policy and after a refusal.
    pub fn judge(&mut self, topic: &str, value: &[u8]) -> (Result<Message, Rejection>, Option<Grant>) {
        let OpenedMessage { message, wrapping } = open(value, &self.screening.allow);
        self.screen(topic, message, &wrapping)
    }

    fn screen(
        &mut self,
        topic: &str,
        parsed: Result<Message, Rejection>,
        wrapping: &Wrapping,
    ) -> (Result<Message, Rejection>, Option<Grant>) {
        let message = match parsed {
            Ok(message) => message,
            Err(rejection) => return (Err(rejection), None),
        };
        let decided = self.policy.as_ref().map(|policy| policy.decide(topic, &message, wrapping.envelope.as_ref()));
        let grant = match decided.transpose() {
            Ok(grant) => grant.cloned(),
            Err(rejection) => return (Err(rejection.within(&wrapping.pointer)), None),
        };
        match &message {
            Message::Train(request) => match self.link_out(request) {
                Some((pointer, reference)) => {
                    let rule = format!("{:?} leads out of the allowed folders", reference.as_str());
                    let rejection = message.refused(FailureCode::RefNotAllowed, &pointer, rule);
                    (Err(rejection.within(&wrapping.pointer)), None)
                }
                None => (Ok(message), grant),
            },
            Message::PublishRetry(_) | Message::Cancel(_) => (Ok(message), grant),
        }
    }

    /// Returns the first reference of a request that a link leads out of the allowed folders, and its JSON pointer;
    /// `None` if no link does.
    fn link_out<'r>(&mut self, request: &'r TrainBuildRequest) -> Option<(String, &'r Reference)> {
        request.references().find(|(_, reference)| {
            if let Some(&known) = self.leads_out.get(reference) {
                return known;
            }
            let leads_out = self.screening.links.lead_out(reference);
            self.leads_out.insert((*reference).clone(), leads_out);
            leads_out
        })
    }
}
