//! What a failure code tells people, and in which state a failure leaves the run or record.

use Aftermath::{Command, Contradiction, Deferred, Ended, NotStarted, Parked, Refused, RefusedForNow, Reopenable};
use Aftermath::{Requeued, Stands};

/// Sentences for people that explain one failure code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guidance {
    /// In which stage the failure occurs, and what the worker saw.
    pub happened: &'static str,
    /// In which states the run or record may be left. The most usual state is first.
    pub leaves: &'static [Aftermath],
    /// What the sender of the request should do next.
    pub requester: &'static str,
    /// What the operators of the workers should do next.
    pub operator: &'static str,
}

/// In which state a failure leaves the run or record, and whether the same request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// A dead letter is written and no run exists. The record itself is wrong.
    Refused,
    /// A dead letter is written. The record is refused until something outside the record changes, for example the
    /// policy.
    RefusedForNow,
    /// A dead letter is written. The record contradicts an earlier request, whose run stays as it is.
    Contradiction,
    Command,
    /// No worker starts.
    NotStarted,
    Requeued,
    /// A worker will announce the bundle again.
    Deferred,
    /// The run's state is FAIL. No operator can reopen the run.
    Ended,
    /// The run's state is FAIL. An operator can reopen the run.
    Reopenable,
    /// The publication waits until a requester or operator asks for it again.
    Parked,
    /// The run stays PUBLISHED. Only the failure code is stored.
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
                "The run goes back to `QUEUED` and is tried again, after a while or, where a worker was lost, at once. \
                 Attempts that do not find what they need count only after the run's patience; then the bound \
                 on attempts ends the run with `ATTEMPTS_EXHAUSTED`. Asking again changes nothing: the same \
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
