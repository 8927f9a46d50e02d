//! Steps of runs by hand, as a runner and an operator take them.

use model_factory::adapters::ledger::{CommandRequest, Guarded, Lease, Ledger, RunCommand, Step};
use model_factory::domain::identity::RunId;
use model_factory::domain::run::{ExecutionMode, Failure, FailureCode, State};

/// Claims a run; fails the test if none waits.
pub async fn claim(ledger: &Ledger) -> Lease {
    ledger.claim("w").await.unwrap().expect("a run that waits")
}

/// The step with which a runner reports this failure.
pub fn fails(code: FailureCode) -> Step {
    Step::of_failure(ExecutionMode::Full, Failure::new(code, "a test"))
}

/// Claims a run and fails it for good.
pub async fn fail_one(ledger: &Ledger) {
    let lease = claim(ledger).await;
    let failed = ledger.advance(&lease, &[fails(FailureCode::ManifestInvalid)]).await.unwrap();
    assert_eq!(failed, Guarded::Won(State::Fail));
}

/// A command of the operator `ann`.
pub async fn act(ledger: &Ledger, run_id: &RunId, act: RunCommand) -> Result<State, FailureCode> {
    let order = CommandRequest { command: act, actor: "ann", why: "because" };
    ledger.command(run_id, order).await.unwrap().unwrap().map_err(|refused| refused.code)
}
