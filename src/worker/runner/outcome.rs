//! What one turn of a slot did.

use crate::domain::identity::RunId;
use crate::domain::run::State;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunnerOutcome {
    /// There was nothing to claim.
    Idle,
    /// A run was worked on and now stands in this state.
    Settled { run_id: RunId, state: State },
    /// The lease was lost; another worker goes on.
    Lost { run_id: RunId },
}
