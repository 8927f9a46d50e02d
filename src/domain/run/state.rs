//! States, transitions, and the one function that says which transitions are legal.

use crate::domain::named::named;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantArray};

/// State of a run. `PUBLISHED` is final. `FAIL` is final unless an operator reopens the run with a reason. `PASS` is
/// final unless a request allows publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Admitted and waiting for a worker.
    Queued,
    /// A worker holds the run's lease. The execution mode says for which work.
    Running,
    /// The model is trained and measured. The evaluation report is in the evidence store.
    EvalReady,
    Pass,
    /// The run ended without a usable model, or the gate returned FAIL.
    Fail,
    /// The bundle may be published. The run waits for the broker's acknowledgement, for the registry's confirmation if
    /// the configuration requires it, or for another attempt to publish.
    PublishPending,
    /// The broker acknowledged the publication and, if the registry's reply is required, the registry confirmed it.
    Published,
}

/// What the worker that holds the run does. `None` if no worker holds the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionMode {
    None,
    /// The worker runs all stages: resolve, train, evaluate, gate, bundle, publish.
    Full,
    /// The worker verifies the existing bundle and announces it. It never trains.
    PublishOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Transition {
    Start,
    /// The evaluation report is in the evidence store.
    FinishEvaluation,
    PassGate,
    FailGate,
    /// The run ends with a failure code.
    Fail,
    /// The run goes back to the queue: its lease was lost, its failure is retryable, its worker gave it back, or an
    /// operator took it from its worker.
    Requeue,
    /// An operator puts a run in FAIL back into the queue after mending the cause.
    Reopen,
    Cancel,
    /// The run's first request, or a later request with the same meaning, allows publication.
    RequestPublish,
    /// A worker claims a publication that waits.
    StartPublish,
    /// The run waits again. Either its bundle was verified and is in the outbox again, or the publication was not sent,
    /// not acknowledged or confirmed in time, or rejected.
    DeferPublish,
    /// The broker acknowledged the publication and, if the registry's reply is required, the registry confirmed it.
    Publish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{transition:?} is not possible from {from} ({mode:?})")]
pub struct IllegalTransition {
    pub from: State,
    pub mode: ExecutionMode,
    pub transition: Transition,
}

/// Returns the state and mode after `transition`, or an error if the transition is not legal.
///
/// While a run waits for the gate, its worker still holds it, so the mode stays `FULL` until the run passes or fails.
/// Receipt and bundle are stored before the run passes, so that no worker needs to hold it afterwards.
pub fn apply(
    state: State,
    mode: ExecutionMode,
    transition: Transition,
) -> Result<(State, ExecutionMode), IllegalTransition> {
    use ExecutionMode as M;
    use State as S;
    use Transition as T;
    let illegal = Err(IllegalTransition { from: state, mode, transition });
    match (transition, state, mode) {
        (T::Start, S::Queued, M::None) => Ok((S::Running, M::Full)),
        (T::FinishEvaluation, S::Running, M::Full) => Ok((S::EvalReady, M::Full)),
        (T::PassGate, S::EvalReady, M::Full) => Ok((S::Pass, M::None)),
        (T::FailGate, S::EvalReady, M::Full) => Ok((S::Fail, M::None)),
        (T::Fail, S::Running | S::EvalReady, M::Full) => Ok((S::Fail, M::None)),
        (T::Fail, S::Queued, M::None) => Ok((S::Fail, M::None)),
        (T::Requeue, S::Running | S::EvalReady, M::Full) => Ok((S::Queued, M::None)),
        (T::Reopen, S::Fail, M::None) => Ok((S::Queued, M::None)),
        (T::Cancel, S::Queued, M::None) => Ok((S::Fail, M::None)),
        (T::Cancel, S::Running | S::EvalReady, M::Full) => Ok((S::Fail, M::None)),
        (T::RequestPublish, S::Pass, M::None) => Ok((S::PublishPending, M::None)),
        (T::StartPublish, S::PublishPending, M::None) => Ok((S::Running, M::PublishOnly)),
        (T::DeferPublish, S::Running, M::PublishOnly) => Ok((S::PublishPending, M::None)),
        (T::DeferPublish, S::PublishPending, M::None) => Ok((S::PublishPending, M::None)),
        (T::Publish, S::PublishPending, M::None) => Ok((S::Published, M::None)),
        // The registry's reply to an earlier announcement arrives while a worker is about to announce the bundle again.
        (T::Publish, S::Running, M::PublishOnly) => Ok((S::Published, M::None)),
        (
            T::Start
            | T::FinishEvaluation
            | T::PassGate
            | T::FailGate
            | T::Fail
            | T::Requeue
            | T::Reopen
            | T::Cancel
            | T::RequestPublish
            | T::StartPublish
            | T::DeferPublish
            | T::Publish,
            S::Queued | S::Running | S::EvalReady | S::Pass | S::Fail | S::PublishPending | S::Published,
            M::None | M::Full | M::PublishOnly,
        ) => illegal,
    }
}

named!(State, "{:?} is not a State");
named!(ExecutionMode, "{:?} is not a ExecutionMode");
named!(Transition, "{:?} is not a Transition");

#[cfg(test)]
mod tests {
    use super::*;

    fn legal() -> Vec<(State, ExecutionMode, Transition, (State, ExecutionMode))> {
        let mut found = Vec::new();
        for &state in State::ALL {
            for &mode in ExecutionMode::ALL {
                for &transition in Transition::ALL {
                    if let Ok(next) = apply(state, mode, transition) {
                        found.push((state, mode, transition, next));
                    }
                }
            }
        }
        found
    }

    #[test]
    fn final_states_absorb() {
        let leaves = |state: State| -> Vec<Transition> {
            legal().into_iter().filter(|(from, ..)| *from == state).map(|(_, _, transition, _)| transition).collect()
        };
        assert_eq!(leaves(State::Published), []);
        assert_eq!(leaves(State::Fail), [Transition::Reopen], "only an operator opens it again");
        assert_eq!(leaves(State::Pass), [Transition::RequestPublish]);
    }

    #[test]
    fn a_publish_retry_can_never_train() {
        for (_, mode, _, (_, next)) in legal() {
            assert!(!(mode == ExecutionMode::PublishOnly && next == ExecutionMode::Full));
        }
    }

    #[test]
    fn every_state_can_be_reached_from_queued_and_every_open_state_can_end() {
        let reach = |start: State| {
            let mut seen = vec![(start, ExecutionMode::None), (start, ExecutionMode::Full)];
            let mut index = 0;
            while index < seen.len() {
                let (state, mode) = seen[index];
                for &transition in Transition::ALL {
                    if let Ok(next) = apply(state, mode, transition)
                        && !seen.contains(&next)
                    {
                        seen.push(next);
                    }
                }
                index += 1;
            }
            seen.into_iter().map(|(state, _)| state).collect::<Vec<_>>()
        };
        for state in State::ALL {
            assert!(reach(State::Queued).contains(state), "{state} is out of reach");
            let ends = reach(*state);
            assert!(ends.contains(&State::Fail) || ends.contains(&State::Published), "{state} cannot end");
        }
    }

    #[test]
    fn names_read_back() {
        for &state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert_eq!(serde_json::to_string(&state).unwrap(), format!("\"{state}\""));
        }
        for &transition in Transition::ALL {
            assert_eq!(serde_json::to_string(&transition).unwrap(), format!("\"{transition}\""));
        }
    }
}
