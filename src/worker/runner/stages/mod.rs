//! The six stages. Each gets what it needs, computes by a pure function or a child process, and writes the result once.
//! A [`StageFrame`] around each makes a span, measures its time, and has a failpoint before and after.

mod bundle;
mod evaluate;
mod gate;
mod publish;
mod resolve;
mod train;

pub(super) use bundle::Packed;
pub(super) use evaluate::Reported;
pub(super) use gate::Gated;
pub(super) use resolve::Resolved;

use super::outcome::Interrupted;
use crate::clock::Stopwatch;
use crate::domain::run::{Failure, FailureCode};
use crate::failpoints::failpoint;
use crate::telemetry::metrics::{self, Stage, StageEnd};
use futures::future::BoxFuture;
use std::fmt::Display;
use tracing::{Instrument as _, info_span};

pub(super) struct StageFrame {
    stage: Stage,
    name: &'static str,
    before: &'static str,
    after: &'static str,
}

macro_rules! frames {
    ($($frame:ident = $stage:ident, $name:literal;)+) => {
        $(pub(super) const $frame: StageFrame = StageFrame {
            stage: Stage::$stage,
            name: $name,
            before: concat!($name, ".before"),
            after: concat!($name, ".after"),
        };)+
    };
}

frames! {
    RESOLVE = Resolve, "resolve";
    TRAIN = Train, "train";
    EVALUATE = Evaluate, "evaluate";
    GATE = Gate, "gate";
    BUNDLE = Bundle, "bundle";
    PUBLISH = Publish, "publish";
    PUBLISH_AGAIN = Publish, "publish_again";
}

impl StageFrame {
    pub(super) fn around<'work, T: Send + 'work>(
        &self,
        work: impl Future<Output = Result<T, Interrupted>> + Send + 'work,
    ) -> BoxFuture<'work, Result<T, Interrupted>> {
        self.around_reusable(work, |_| false)
    }

    /// Does the same as [`Self::around`] for a stage whose work an earlier attempt may have done; `reused` says whether
    /// it did.
    pub(super) fn around_reusable<'work, T: Send + 'work>(
        &self,
        work: impl Future<Output = Result<T, Interrupted>> + Send + 'work,
        reused: fn(&T) -> bool,
    ) -> BoxFuture<'work, Result<T, Interrupted>> {
        let &Self { stage, name, before, after } = self;
        let framed = async move {
            failpoint(before)?;
            let watch = Stopwatch::start();
            let ended = work.await;
            metrics::STAGE.observe((stage, end_of(&ended, reused)), watch.elapsed().as_secs_f64());
            let done = ended?;
            failpoint(after)?;
            Ok(done)
        };
        let span = info_span!("stage", otel.name = name, run.stage = name);
        // On the heap: a stage is a large future.
        Box::pin(async move { framed.await.inspect_err(Interrupted::record) }.instrument(span))
    }
}

/// Turns an error into a failure of the run with this code.
fn failed<E: Display>(code: FailureCode) -> impl FnOnce(E) -> Failure {
    move |error| Failure::new(code, error.to_string())
}

fn end_of<T>(ended: &Result<T, Interrupted>, reused: fn(&T) -> bool) -> StageEnd {
    match ended {
        Ok(value) if reused(value) => StageEnd::Reused,
        Ok(_) => StageEnd::Done,
        Err(Interrupted::Failed(_)) => StageEnd::Failed,
        Err(Interrupted::Lost | Interrupted::HandBack | Interrupted::Cancelled | Interrupted::Ledger(_)) => {
            StageEnd::Stopped
        }
    }
}
