//! One way in which a request or a run goes wrong, how it is brought about, and what it must leave.

use super::stage::{Brought, Stage};
use futures::future::LocalBoxFuture;
use model_factory::domain::contract::EventType;
use model_factory::domain::run::{FailureCode, State};

/// A row of the matrix.
pub struct Row {
    pub code: FailureCode,
    /// The real input or fault, as the documentation says it; no two rows say the same.
    pub cause: &'static str,
    pub brought: Bring,
    pub leaves: Leaves,
    /// What a requester does next.
    pub next: &'static str,
}

/// How it is brought about.
pub enum Bring {
    /// By this record alone: it is sent, and worked on once where it is admitted.
    Record(fn() -> Vec<u8>),
    /// By more than that; gives the record that the row is about.
    Scenario(for<'a> fn(&'a mut Stage) -> LocalBoxFuture<'a, Brought>),
    /// By a boundaries document under which no worker starts.
    Boundaries(&'static str),
}

/// An event with the code of its reason.
pub type Told = (EventType, Option<FailureCode>);

/// What must be left.
pub enum Leaves {
    /// The record is refused, once and for ever; its dead letter has all of its bytes.
    Refusal {
        /// Tag of the outcome in the inbox.
        outcome: &'static str,
        pointer: &'static str,
        /// Part of the message.
        says: &'static str,
        /// Whether an event tells it: only where the request id can be read.
        told: bool,
    },
    /// The record is admitted, and its run stands here.
    Run {
        state: State,
        /// Part of the message of the event that carries the row's code.
        says: &'static str,
        /// Every event, in order; the last one's reason is the run's.
        events: Vec<Told>,
    },
    /// The record is admitted, and its run was PUBLISHED before something went wrong: only its row says so.
    Published {
        /// Part of the message in the row.
        says: &'static str,
    },
    /// No process starts; the record stays where it is.
    NoStart,
}

/// A record that is refused when it is read.
pub fn refused(
    code: FailureCode,
    pointer: &'static str,
    cause: &'static str,
    says: &'static str,
    next: &'static str,
    record: fn() -> Vec<u8>,
) -> Row {
    let leaves = Leaves::Refusal { outcome: "REJECTED", pointer, says, told: true };
    Row { code, cause, brought: Bring::Record(record), leaves, next }
}

/// The same where the request id cannot be read either.
pub fn unreadable(
    code: FailureCode,
    pointer: &'static str,
    cause: &'static str,
    says: &'static str,
    next: &'static str,
    record: fn() -> Vec<u8>,
) -> Row {
    let leaves = Leaves::Refusal { outcome: "REJECTED", pointer, says, told: false };
    Row { leaves, ..refused(code, pointer, cause, says, next, record) }
}

/// A request whose run fails, or is queued again where its code is retryable, before it is measured.
pub fn ends(
    code: FailureCode,
    cause: &'static str,
    says: &'static str,
    next: &'static str,
    record: fn() -> Vec<u8>,
) -> Row {
    Row { code, cause, brought: Bring::Record(record), leaves: ended(code, says), next }
}

/// A scenario whose run ends as [`ends`] says.
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
