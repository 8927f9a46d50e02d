//! The page shown if a page cannot be rendered. It says why, and what to do.

use super::frame::{Here, Live, PageFrame, page};
use super::query::BadQuery;
use super::words::capped;
use crate::adapters::evidence::{self, ReadError};
use crate::adapters::ledger::{self, UnloggedEvidence};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use maud::html;

#[derive(Debug)]
pub(super) enum Trouble {
    Bad(String),
    /// No such page, run or record exists.
    NotThere(String),
    /// The HTTP method is not GET or HEAD.
    NotAllowed,
    /// As many downloads are running as are allowed at one time.
    Busy,
    /// Ledger and audit log disagree about the evidence.
    Unlogged(UnloggedEvidence),
    /// Ledger or evidence store is not available at present.
    Away(String),
    /// Ledger or evidence store holds something that cannot be read.
    Broken(String),
}

impl From<BadQuery> for Trouble {
    fn from(BadQuery(why): BadQuery) -> Self {
        Self::Bad(why)
    }
}

impl From<ledger::Error> for Trouble {
    fn from(error: ledger::Error) -> Self {
        match error {
            ledger::Error::Unavailable(_)
            | ledger::Error::TimedOut(_)
            | ledger::Error::CommitUnknown(_)
            | ledger::Error::Denied(_) => Self::Away(error.to_string()),
            ledger::Error::Refused(_) | ledger::Error::Unfit(_) => Self::Broken(error.to_string()),
        }
    }
}

impl From<UnloggedEvidence> for Trouble {
    fn from(error: UnloggedEvidence) -> Self {
        Self::Unlogged(error)
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing => Self::NotThere(error.to_string()),
            ReadError::Store(
                evidence::Error::Unavailable(_) | evidence::Error::Unusable(_) | evidence::Error::Exhausted(_),
            ) => Self::Away(error.to_string()),
            ReadError::Store(evidence::Error::Unfit(_))
            | ReadError::NoPath
            | ReadError::TooLarge { .. }
            | ReadError::Changed { .. } => Self::Broken(error.to_string()),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let (status, title, why, next) = match self {
            Self::Bad(why) => {
                (StatusCode::BAD_REQUEST, "This address cannot be read", why, "Mend it, or start again from the runs.")
            }
            Self::NotThere(why) => (
                StatusCode::NOT_FOUND,
                "There is no such page",
                why,
                "Look for it among the runs, by run or request id.",
            ),
            Self::NotAllowed => (
                StatusCode::METHOD_NOT_ALLOWED,
                "The console only reads",
                "It answers GET and HEAD.".to_owned(),
                "What changes runs: model-factory runs cancel, requeue and retry-publish.",
            ),
            Self::Busy => (
                StatusCode::SERVICE_UNAVAILABLE,
                "Others are downloading",
                "A worker sends two documents at one time.".to_owned(),
                "Try again in a moment.",
            ),
            Self::Unlogged(why) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "The audit log does not name this document",
                format!("It is not handed out: {why}."),
                "Tell the operator: evidence changes only by a step of its run, and each step appends an act to the log.",
            ),
            Self::Away(why) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "This cannot be shown now",
                why,
                "This page asks again by itself. What the worker itself says stands under Health; `model-factory doctor` \
                 looks at everything that it stands on.",
            ),
            Self::Broken(why) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "This does not read back",
                why,
                "Nothing was changed by looking. `model-factory doctor` looks at the set-up; the operator compares ledger \
                 and store.",
            ),
        };
        let live = if status == StatusCode::SERVICE_UNAVAILABLE { Live::UntilItIsBack } else { Live::Never };
        let frame = PageFrame { title, here: Here::Nowhere, live, quiet: false, worker: "" };
        let content = html! {
            div.trouble {
                p.eyebrow { (status.as_u16()) }
                h1 { (title) }
                p { (capped(&why)) }
                p.note { (super::words::prose(next)) " " a href="/" { "All runs" } }
            }
        };
        (status, Html(page(&frame, &content).into_string())).into_response()
    }
}
