//! One way in which a request or a run goes wrong, how it is brought about, and what it must leave.

use super::stage::{Brought, Stage};
use futures::future::LocalBoxFuture;
use model_factory::domain::contract::EventType;
use model_factory::domain::run::{FailureCode, State};

pub struct Row {
    pub code: FailureCode,
    /// The real input or fault, as the documentation shows it; unique among the rows.
    pub cause: &'static str,
    pub brought: Bring,
    pub leaves: Leaves,
    /// What a requester does next.
    pub next: &'static str,
}

pub enum Bring {
    /// Send this record, and run its run once if it is admitted.
    Record(fn() -> Vec<u8>),
    /// More than one record; returns the record that the row is about.
    Scenario(for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, Brought>),
    /// A boundaries document under which no worker starts.
    Boundaries(&'static str),
}

/// An emitted event, with the code of its reason.
pub type Emitted = (EventType, Option<FailureCode>);

pub enum Leaves {
    /// The record is rejected for good; its dead letter has all of its bytes.
    Refusal {
        /// The outcome in the inbox.
        outcome: &'static str,
        pointer: &'static str,
        /// Part of the message.
        says: &'static str,
        /// Whether `request.rejected` is emitted: only where the request id can be read.
        emits: bool,
    },
    /// The record is admitted, and its run has this state.
    Run {
        state: State,
        /// Part of the message of the event that carries the row's code.
        says: &'static str,
        /// Every event, in order; the last one's reason is the run's.
        events: Vec<Emitted>,
    },
    /// The record is admitted, and something goes wrong once its run is PUBLISHED: only the run's row has the reason.
    Published {
        /// Part of the message in the row.
        says: &'static str,
    },
    /// No process starts; the record stays where it is.
    NoStart,
}

/// A record that intake refuses.
pub fn refused(
    code: FailureCode,
    pointer: &'static str,
    cause: &'static str,
    says: &'static str,
    next: &'static str,
    record: fn() -> Vec<u8>,
) -> Row {
    let leaves = Leaves::Refusal { outcome: "REJECTED", pointer, says, emits: true };
    Row { code, cause, brought: Bring::Record(record), leaves, next }
}

/// A record that intake refuses, and whose request id cannot be read.
pub fn unreadable(
    code: FailureCode,
    pointer: &'static str,
    cause: &'static str,
    says: &'static str,
    next: &'static str,
    record: fn() -> Vec<u8>,
) -> Row {
    let leaves = Leaves::Refusal { outcome: "REJECTED", pointer, says, emits: false };
    Row { leaves, ..refused(code, pointer, cause, says, next, record) }
}

/// A request whose run ends before its model is evaluated: failed, or queued again where the code is retryable.
pub fn ends(
    code: FailureCode,
    cause: &'static str,
    says: &'static str,
    next: &'static str,
    record: fn() -> Vec<u8>,
) -> Row {
    Row { code, cause, brought: Bring::Record(record), leaves: ended(code, says), next }
}

/// A scenario whose run ends as that of [`ends`].
pub fn brings_down(
    code: FailureCode,
    cause: &'static str,
    says: &'static str,
    next: &'static str,
    scenario: for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, Brought>,
) -> Row {
    Row { code, cause, brought: Bring::Scenario(scenario), leaves: ended(code, says), next }
}

fn ended(code: FailureCode, says: &'static str) -> Leaves {
    let (state, last) =
        if code.is_retryable() { (State::Queued, EventType::RunRequeued) } else { (State::Fail, EventType::RunFailed) };
    let events = vec![(EventType::RequestAdmitted, None), (EventType::RunStarted, None), (last, Some(code))];
    Leaves::Run { state, says, events }
}
