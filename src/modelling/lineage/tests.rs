//! Tests whole events: some in full, some that are too large.

use super::{DatasetIo, DatasetLocations, EventWriter, LineageSettings, Moment, RunState};
use crate::domain::contract::{EventReason, PinnedFile, SchemaName, TrainBuildRequest, TrainPlan, check};
use crate::domain::identity::RunKey;
use crate::domain::run::{FailureCode, State};
use crate::modelling::data::FileColumn;
use chrono::DateTime;
use serde_json::Value;

fn request() -> TrainBuildRequest {
    serde_json::from_str(include_str!("../../../tests/golden/requests/base.json")).unwrap()
}

fn plan() -> TrainPlan {
    let schema: Value =
        serde_json::from_str(crate::domain::contract::schema_text(SchemaName::ResolvedTrainPlan)).unwrap();
    serde_json::from_value(schema["examples"][0].clone()).unwrap()
}

fn locations() -> DatasetLocations {
    DatasetLocations { root: Some("/data".to_owned()), azure_account: None, evidence: "s3://evidence".to_owned() }
}

fn event(state: RunState, reason: Option<&EventReason>, io: DatasetIo, max_bytes: u32) -> (Vec<u8>, Value) {
    let request = request();
    let run_key = RunKey::of(&request.meaning());
    let moment = Moment {
        run_id: &run_key.run_id(),
        run_key,
        request: &request,
        state: State::Running,
        attempt: 1,
        reason,
        at: DateTime::from_timestamp(1_772_352_000, 250_000_000).unwrap(),
    };
    let bytes = EventWriter::new(&LineageSettings::default(), max_bytes).event(state, &moment, io);
    let value = serde_json::from_slice(&bytes).unwrap();
    (bytes, value)
}

fn wide(files: usize, columns: usize) -> DatasetIo {
    let mut plan = plan();
    let file = plan.files[0].clone();
    plan.files = (0..files).map(|n| PinnedFile { reference: format!("part-{n:05}.parquet"), ..file.clone() }).collect();
    let column = |n| FileColumn { name: format!("column_{n}"), kind: "double".to_owned() };
    DatasetIo::of(&plan, &vec![(0..columns).map(column).collect(); files], &locations())
}

#[test]
fn the_same_moment_is_the_same_bytes_and_says_who_what_and_why() {
    let reason = EventReason::new(FailureCode::DigestMismatch, "other bytes");
    let (bytes, failed) = event(RunState::Fail, Some(&reason), DatasetIo::default(), 900_000);
    assert_eq!(bytes, event(RunState::Fail, Some(&reason), DatasetIo::default(), 900_000).0);
    assert_eq!(failed["eventTime"], "2026-03-01T08:00:00.250Z");
    assert_eq!(failed["job"]["name"], "local_parity/fraud/primary.baseline_train");
    assert_eq!(failed["run"]["facets"]["parent"]["job"]["name"], "platform_run");
    assert_eq!(failed["run"]["facets"]["errorMessage"]["message"], "DIGEST_MISMATCH: other bytes");
    check(SchemaName::LineageRunFacet, &failed["run"]["facets"]["modelFactory_run"]).unwrap();
}

#[test]
fn columns_that_are_too_many_for_an_event_are_counted() {
    let (_, emitted) = event(RunState::Running, None, DatasetIo::without_columns(&plan(), &locations()), 900_000);
    let ours = &emitted["run"]["facets"]["modelFactory_run"];
    check(SchemaName::LineageRunFacet, ours).unwrap();
    assert_eq!(ours["omitted"]["schemas"], plan().files.len());
}

#[test]
fn an_event_that_is_too_large_leaves_out_columns_first_then_inputs_and_says_so() {
    let omitted = |event: &Value| {
        let ours = &event["run"]["facets"]["modelFactory_run"];
        check(SchemaName::LineageRunFacet, ours).unwrap();
        let count = |what: &str| ours["omitted"][what].as_u64();
        (count("schemas"), count("inputs"), event["inputs"].as_array().unwrap().len() as u64)
    };
    let (whole, emitted) = event(RunState::Running, None, wide(20, 100), 900_000);
    assert_eq!(omitted(&emitted), (None, None, 20 + earlier()));
    let (small, emitted) = event(RunState::Running, None, wide(20, 100), whole.len() as u32 - 1);
    assert!(small.len() < whole.len());
    assert_eq!(omitted(&emitted), (Some(20), Some(0), 20 + earlier()));
    let (few, emitted) = event(RunState::Running, None, wide(2_000, 1), 100_000);
    assert!(few.len() <= 100_000, "{}", few.len());
    let (schemas, inputs, left) = omitted(&emitted);
    assert_eq!((schemas, inputs.unwrap() + left), (Some(2_000), 2_000 + earlier()));
    assert!(left > 0);
}

/// Returns the number of models of earlier bundles that the example plan names.
fn earlier() -> u64 {
    u64::from(plan().baseline.is_some()) + u64::from(plan().champion.is_some())
}
