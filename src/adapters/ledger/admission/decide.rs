//! Decides what becomes of each record of a batch. Nothing in this file asks the database: the rows were found and
//! locked before.

use super::arrival::{Arrival, Fingerprint};
use super::{Admission, NEAR_MISSES, NearRun};
use crate::adapters::ledger::effects::Cause;
use crate::adapters::ledger::outbox::{NewEvent, refusal_drafts};
use crate::adapters::ledger::request_key::owner_of;
use crate::adapters::ledger::row::LockedRun;
use crate::domain::contract::{
    ActKind, ActReason, ActSubject, Actor, ActorKind, Deduplication, EventRefs, EventType, EvidenceRef, Message,
    RejectedIds, Rejection, SameAs, TrainBuildRequest,
};
use crate::domain::grant::Grant;
use crate::domain::run::{FailureCode, Outcome, State, Transition};

impl<'a> Admission<'a> {
    pub(super) fn decide(&mut self, index: usize) {
        let arrival = &self.batch[index];
        self.settle(index, |admission| match &arrival.parsed {
            Ok(Message::Train(_)) => {
                let (request, fingerprint) = arrival.train().expect("a training request has a fingerprint");
                admission.decide_request(index, request, fingerprint)
            }
            Ok(Message::Cancel(_) | Message::PublishRetry(_)) => {
                let (command, message) = arrival.command().expect("it is a command");
                admission.decide_command(index, command, message)
            }
            Err(rejection) => {
                admission.refuse(index, rejection);
                Outcome::Rejected { code: rejection.code }
            }
        });
    }

    /// Decides a record, and notes the outcome in the audit act that reports the decision.
    pub(super) fn settle(&mut self, index: usize, decide: impl FnOnce(&mut Self) -> Outcome) {
        let before = self.transaction.effects.acts.len();
        let cause = cause(&self.batch[index], self.transaction.worker);
        self.transaction.effects.cause = Some(cause);
        let outcome = decide(self);
        let settles = |kind: ActKind| match outcome {
            Outcome::Admitted { .. } => kind == ActKind::RequestAdmitted,
            Outcome::DuplicateRequest { .. } | Outcome::DuplicateRun { .. } => kind == ActKind::RequestDeduplicated,
            Outcome::Conflict { .. } | Outcome::Rejected { .. } | Outcome::CommandRejected { .. } => {
                kind == ActKind::RequestRejected
            }
            Outcome::CommandApplied { .. } => {
                matches!(kind, ActKind::CancelRequested | ActKind::PublishRetryRequested)
            }
        };
        if let Some(act) = self.transaction.effects.acts[before..].iter_mut().find(|act| settles(act.act)) {
            act.outcome = Some(outcome.kind().as_str().to_owned());
        }
        self.outcomes[index] = Some(outcome);
    }

    fn decide_request(&mut self, index: usize, request: &'a TrainBuildRequest, fingerprint: &Fingerprint) -> Outcome {
        let key = self.key(index);
        let known = &self.requests[key];
        let run_id = known.run_id.clone();
        let differs = if known.payload_digest == fingerprint.payload_digest {
            Vec::new()
        } else {
            let first = known.request.as_ref().expect("what is contradicted was read").content();
            TrainBuildRequest::differences(&first, &request.content())
        };
        if !differs.is_empty() {
            let id = &request.request_id;
            let first = &self.runs.get(&run_id).expect("the run of every known request was locked or made").request;
            let may_see = |grant: &Grant| grant.covers(&first.target_scope, false);
            let message = if self.batch[index].grant.as_ref().is_none_or(may_see) {
                let fields = differs.join(", ");
                format!(
                    "request id {id:?} was used before with other content; it differs at {fields}; the first one stands \
                     ({run_id})"
                )
            } else {
                format!("request id {id:?} was used before with other content; the first one stands")
            };
            self.refuse_as(index, FailureCode::RequestIdPayloadMismatch, "/request_id", &message, &request.request_id);
            return Outcome::Conflict { run_id, differs };
        }
        let transaction = &mut self.transaction;
        let run = self.runs.get_mut(&run_id).expect("the run of every known request was locked or made");
        if known.inserted_by != Some(index) {
            if !known.duplicate_announced && self.announced.insert(key) {
                let event = joined(run, request, SameAs::Request);
                transaction.emit(run, event);
            }
            return Outcome::DuplicateRequest { run_id };
        }
        run.publish_allowed |= request.publish_allowed;
        run.priority = run.priority.max(transaction.ledger.settings.priority_of(request));
        if self.created.get(&run_id) == Some(&index) {
            let near = self.near_misses.get(&fingerprint.near_key).map_or(&[][..], Vec::as_slice);
            let owner = owner_of(key);
            // A requester learns of its own runs only.
            let may_know =
                |other: &&NearRun| other.run_id != run_id && (owner.is_none() || owner_of(&other.request_id) == owner);
            let event = NewEvent {
                request_id: Some(request.request_id.clone()),
                near_misses: near.iter().filter(may_know).map(|other| other.run_id.clone()).take(NEAR_MISSES).collect(),
                ..NewEvent::of(EventType::RequestAdmitted, None)
            };
            transaction.emit(run, event);
            return Outcome::Admitted { run_id };
        }
        let event = joined(run, request, SameAs::Meaning);
        transaction.emit(run, event);
        transaction.reconsider(run, request);
        if run.state == State::Pass && run.publish_allowed && run.request.intent_kind.is_publishable() {
            transaction.step(run, Transition::RequestPublish, None).expect("a run at PASS may be published");
            run.available_at = transaction.at;
        }
        Outcome::DuplicateRun { run_id }
    }

    pub(super) fn refuse_as(
        &mut self,
        index: usize,
        code: FailureCode,
        pointer: &str,
        message: &str,
        request_id: &str,
    ) {
        let ids = RejectedIds { request_id: Some(request_id.to_owned()), platform_run_id: None };
        let rejection = Rejection::new(code, pointer, message, ids);
        self.refuse(index, &rejection.within(&self.batch[index].pointer));
    }

    pub(super) fn refuse(&mut self, index: usize, rejection: &Rejection) {
        let transaction = &mut self.transaction;
        let act = transaction.append(ActKind::RequestRejected, None);
        act.reason =
            Some(ActReason::coded(rejection.code, &format!("at {:?}: {}", rejection.pointer, rejection.message)));
        let drafts = refusal_drafts(&self.batch[index], rejection, transaction.at, transaction.worker);
        transaction.effects.outbox.extend(drafts);
    }
}

/// Says which record caused an act. The requester is the actor; if the record does not name one, the worker is.
fn cause(arrival: &Arrival, worker: &str) -> Cause {
    let record = arrival.record.coordinates.to_string();
    let (actor, request_id, platform_run_id) = match &arrival.parsed {
        Ok(message) => {
            let actor = Actor::new(ActorKind::Requester, message.requester_principal());
            (actor, Some(message.request_id().to_owned()), None)
        }
        Err(rejection) => {
            let ids = &rejection.ids;
            (Actor::new(ActorKind::Worker, worker), ids.request_id.clone(), ids.platform_run_id.clone())
        }
    };
    let request = EvidenceRef { reference: format!("ledger:{record}"), sha256: arrival.sha256 };
    Cause {
        actor,
        subject: ActSubject { request_id, platform_run_id, record: Some(record), ..ActSubject::default() },
        evidence: EventRefs::from([("request".to_owned(), request)]),
    }
}

fn joined(run: &LockedRun, request: &TrainBuildRequest, because: SameAs) -> NewEvent {
    let deduplication = Deduplication {
        because,
        first_request_id: run.request.request_id.clone(),
        compared: TrainBuildRequest::IDENTITY.map(str::to_owned).to_vec(),
        ignored_differences: TrainBuildRequest::differences(&run.request.normalised(), &request.normalised())
            .into_iter()
            .filter(|field| !TrainBuildRequest::IDENTITY.contains(&field.as_str()))
            .collect(),
    };
    let request_id = Some(request.request_id.clone());
    NewEvent { request_id, deduplication: Some(deduplication), ..NewEvent::of(EventType::RequestDeduplicated, None) }
}
