//! The shape of a guidance, and what a failure can leave behind.

use Aftermath::{Command, Contradiction, Deferred, Ended, NotStarted, Parked, Refused, RefusedForNow, Reopenable};
use Aftermath::{Requeued, Stands};

/// What a code means, in sentences for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guidance {
    /// The stage, and what the worker saw there.
    pub happened: &'static str,
    /// What the code may leave behind, the usual first.
    pub leaves: &'static [Aftermath],
    /// What the sender of the request does next.
    pub requester: &'static str,
    /// What the people who run the workers do next.
    pub operator: &'static str,
}

/// What a code leaves behind, and whether sending the same request again helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// A dead letter; the record itself is at fault.
    Refused,
    /// A dead letter; something around the record is at fault, and may change.
    RefusedForNow,
    /// A dead letter beside the run of an earlier request.
    Contradiction,
    Command,
    /// No process works.
    NotStarted,
    Requeued,
    /// The publication is tried again.
    Deferred,
    /// FAIL for good.
    Ended,
    /// FAIL until an operator opens the run again.
    Reopenable,
    /// The publication waits until somebody asks for it again.
    Parked,
    /// PUBLISHED all the same.
    Stands,
}

impl Aftermath {
    pub fn sentence(self) -> &'static str {
        match self {
            Refused => {
                "A dead letter, and no run. The same bytes would be refused again; a mended request may keep its \
                 `request_id`."
            }
            RefusedForNow => {
                "A dead letter; no run is made or changed. The same bytes may be sent again once what stands in \
                 their way is gone; until then they are refused again."
            }
            Contradiction => {
                "A dead letter; the first request and its run stand. The same request would be refused again."
            }
            Command => {
                "The command changes nothing; where it came by the topic, it is a dead letter. It may be given again \
                 when the run stands where it applies."
            }
            NotStarted => {
                "Nothing starts, and no record is consumed or refused: requests on the topic wait, and need not be \
                 sent again; what `submit` did not send does."
            }
            Requeued => {
                "The run goes back to `QUEUED` and is tried again, after a while or, where a worker was lost, at once; \
                 the bound on attempts ends it with `ATTEMPTS_EXHAUSTED`. Asking again changes nothing: the same \
                 request joins the run."
            }
            Deferred => {
                "At publication: the run waits at `PUBLISH_PENDING` and is announced again with backoff, never \
                 trained again, until `PUBLISH_RETRY_EXHAUSTED`. Asking again changes nothing."
            }
            Ended => {
                "The run ends at `FAIL` for good: `runs requeue` refuses it, and the same request only joins it. \
                 What is asked next needs another run key: other references, or another `config_revision`."
            }
            Reopenable => {
                "The run ends at `FAIL`. The same request only joins it; `runs requeue` opens it again, with its \
                 attempts counted anew."
            }
            Parked => {
                "At publication: the run is parked at `PUBLISH_PENDING`, and no worker takes it up by itself. \
                 Asking again changes nothing; a `PublishRetryRequest` or `runs retry-publish` has it tried \
                 again, without training and with its attempts counted anew."
            }
            Stands => {
                "The run stays `PUBLISHED`; the code stands in its row alone, and nobody tries again. Asking again \
                 changes nothing."
            }
        }
    }
}
