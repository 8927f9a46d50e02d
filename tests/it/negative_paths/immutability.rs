//! Names that are taken by other bytes. Evidence is never overwritten: the run fails, the first bytes stand.

use super::inputs;
use super::row::{Bring, Emitted, Leaves, Row, brings_down};
use super::stage::{Brought, Stage, ask, bytes};
use futures::FutureExt as _;
use model_factory::domain::contract::EventType as E;
use model_factory::domain::run::{FailureCode as C, State};
use model_factory::worker::runner::RunnerOutcome;
use serde_json::json;

const WHO: &str = "tell the operator; ask under another revision";

pub fn rows() -> Vec<Row> {
    let mut rows = changed_between_attempts();
    rows.extend(taken_names());
    rows.push(Row {
        code: C::PublishReceiptImmutabilityViolation,
        cause: "other bytes where the receipt of a publication belongs",
        brought: Bring::Scenario(|stage| receipt(stage).boxed_local()),
        leaves: Leaves::Published { says: "publish/publish_receipt.json exists with digest" },
        next: "tell the operator; the publication stands",
    });
    rows
}

fn row(code: C, cause: &'static str, says: &'static str, brought: Bring, events: &[Emitted]) -> Row {
    Row { code, cause, brought, leaves: Leaves::Run { state: State::Fail, says, events: events.to_vec() }, next: WHO }
}

/// The first attempt is turned back, an input changes, and the second attempt finds the change.
fn changed_between_attempts() -> Vec<Row> {
    let twice = |turned_back: C, code: C| -> Vec<Emitted> {
        let started = (E::RunStarted, None);
        let requeued = (E::RunRequeued, Some(turned_back));
        vec![(E::RequestAdmitted, None), started, requeued, started, (E::RunFailed, Some(code))]
    };
    vec![
        row(
            C::ManifestImmutabilityViolation,
            "a manifest that is rewritten between two attempts",
            "inputs/manifest_0.json exists with digest",
            Bring::Scenario(|stage| manifest(stage).boxed_local()),
            &twice(C::MaterializationUnresolved, C::ManifestImmutabilityViolation),
        ),
        row(
            C::ManifestImmutabilityViolation,
            "a training profile that is rewritten between two attempts",
            "inputs/training_profile.yaml exists with digest",
            Bring::Scenario(|stage| profile(stage).boxed_local()),
            &twice(C::MaterializationUnresolved, C::ManifestImmutabilityViolation),
        ),
        row(
            C::ResolvedTrainPlanImmutabilityViolation,
            "a second attempt by a worker under another boundaries document",
            "exists with digest",
            Bring::Scenario(|stage| boundaries(stage).boxed_local()),
            &twice(C::MaterializationUnresolved, C::ResolvedTrainPlanImmutabilityViolation),
        ),
        row(
            C::TrainArtifactImmutabilityViolation,
            "a model that is changed after its training record was written",
            "model.json was written with digest",
            Bring::Scenario(|stage| after_record(stage, "req-artifact1", "model/model.json").boxed_local()),
            &twice(C::EvidenceUnresolved, C::TrainArtifactImmutabilityViolation),
        ),
        row(
            C::TrainArtifactImmutabilityViolation,
            "a training record that is not one any more",
            "training_record.json is not what was written",
            Bring::Scenario(|stage| after_record(stage, "req-artifact2", "model/training_record.json").boxed_local()),
            &twice(C::EvidenceUnresolved, C::TrainArtifactImmutabilityViolation),
        ),
    ]
}

fn taken_names() -> Vec<Row> {
    let before_gate = |code: C| -> Vec<Emitted> {
        vec![(E::RequestAdmitted, None), (E::RunStarted, None), (E::RunEvalReady, None), (E::RunFailed, Some(code))]
    };
    let taken = |code: C, cause, says, scenario| row(code, cause, says, Bring::Scenario(scenario), &before_gate(code));
    vec![
        brings_down(
            C::EvalReportImmutabilityViolation,
            "other bytes where the evaluation report belongs",
            "eval/eval_report.json exists with digest",
            WHO,
            |stage| planted(stage, "eval/eval_report.json").boxed_local(),
        ),
        taken(
            C::GateReceiptImmutabilityViolation,
            "other bytes where the gate's receipt belongs",
            "gate/gate_receipt.json exists with digest",
            |stage| planted(stage, "gate/gate_receipt.json").boxed_local(),
        ),
        taken(
            C::PublishEligibilityImmutabilityViolation,
            "other bytes where the publish eligibility belongs",
            "gate/publish_eligibility.json exists with digest",
            |stage| planted(stage, "gate/publish_eligibility.json").boxed_local(),
        ),
        taken(
            C::BundlePackageImmutabilityViolation,
            "other bytes where a file of the bundle belongs",
            "bundle/MLmodel exists with digest",
            |stage| planted(stage, "bundle/MLmodel").boxed_local(),
        ),
        taken(
            C::EvidencePackImmutabilityViolation,
            "other bytes where the evidence pack belongs",
            "evidence/evidence_pack.json exists with digest",
            |stage| planted(stage, "evidence/evidence_pack.json").boxed_local(),
        ),
        taken(
            C::EvidencePackImmutabilityViolation,
            "other bytes where the mark of completion belongs",
            "_COMPLETE exists with digest",
            |stage| planted(stage, "_COMPLETE").boxed_local(),
        ),
        taken(
            C::ExecutionRecordImmutabilityViolation,
            "the record of another attempt under the same fence, as after a ledger restored from an old backup",
            "attempts/1.json exists with digest",
            |stage| planted(stage, "attempts/1.json").boxed_local(),
        ),
    ]
}

/// Foreign bytes stand under a name that the run will write; they must still stand afterwards.
async fn planted(stage: &mut Stage, document: &str) -> Brought {
    let id = format!("req-planted-{}", document.replace('/', "."));
    let brought = stage.bring(&bytes(&ask(&id))).await;
    stage.plant(&brought.run_id(), document);
    let path = stage.evidence(&brought.run_id(), document);
    let first = std::fs::read(&path).unwrap();
    stage.work().await;
    assert!(std::fs::read(&path).unwrap() == first, "the first bytes stand");
    brought
}

/// Foreign bytes stand under the name of the receipt, which is written after the acknowledgement.
async fn receipt(stage: &mut Stage) -> Brought {
    let mut request = ask("req-planted-receipt");
    request["publish_allowed"] = json!(true);
    let brought = stage.bring(&bytes(&request)).await;
    stage.plant(&brought.run_id(), "publish/publish_receipt.json");
    let path = stage.evidence(&brought.run_id(), "publish/publish_receipt.json");
    let first = std::fs::read(&path).unwrap();
    stage.work().await;
    stage.relay().await;
    for _ in 0..2 {
        assert_eq!(stage.work().await, RunnerOutcome::Idle);
    }
    assert!(std::fs::read(&path).unwrap() == first, "the first bytes stand");
    brought
}

/// A first attempt that finds no data file; returns the manifest's reference, too.
async fn turned_back(stage: &mut Stage, id: &str, profile: &str) -> (Brought, String) {
    let lost = |m: &mut serde_json::Value| m["materializations"][0]["ref"] = json!("ofs/data/lost.parquet");
    let reference = inputs::manifest(&format!("dm-{id}"), lost);
    let mut request = ask(id);
    request["dataset_manifest_refs"] = json!([reference]);
    request["training_config_ref"] = json!(profile);
    let brought = stage.bring_and_work(&bytes(&request)).await;
    stage.due(&brought.run_id()).await;
    (brought, reference)
}

async fn manifest(stage: &mut Stage) -> Brought {
    let (brought, _) = turned_back(stage, "req-dmchang-1", &inputs::quick()).await;
    inputs::manifest("dm-req-dmchang-1", |m| m["scenario_run_ids"] = json!(["another"]));
    stage.work().await;
    brought
}

async fn profile(stage: &mut Stage) -> Brought {
    let to_rounds = |rounds: &str| inputs::training("rewritten", "rounds: 10", rounds);
    let (brought, _) = turned_back(stage, "req-tpchang-1", &to_rounds("rounds: 11")).await;
    to_rounds("rounds: 12");
    stage.work().await;
    brought
}

async fn boundaries(stage: &mut Stage) -> Brought {
    let (brought, _) = turned_back(stage, "req-bounds-01", &inputs::quick()).await;
    let document = stage.world.folder.path().join("boundaries.yaml");
    let outputs = "owners: {mf: {outputs: [eval_report, bundle_publication]}}\n";
    std::fs::write(&document, format!("schema_version: platform.ownership_boundaries.v0\n{outputs}")).unwrap();
    stage.world.config.worker.ownership_boundaries = Some(document);
    stage.restart_runner().await;
    stage.work().await;
    stage.world.config.worker.ownership_boundaries = None;
    stage.restart_runner().await;
    brought
}

/// The first attempt trains and cannot write its report; then an artifact that its training record pins is changed.
async fn after_record(stage: &mut Stage, id: &str, artifact: &str) -> Brought {
    let brought = stage.bring(&bytes(&ask(id))).await;
    let run_id = brought.run_id();
    let obstacle = stage.evidence(&run_id, "eval/eval_report.json");
    std::fs::create_dir_all(&obstacle).unwrap();
    stage.work().await;
    std::fs::remove_dir(&obstacle).unwrap();
    stage.plant(&run_id, artifact);
    stage.due(&run_id).await;
    stage.work().await;
    brought
}
