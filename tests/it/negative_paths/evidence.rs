//! Rows and documents of a run that are lost or changed by hand: the worker finds out before it announces the bundle.

use super::row::{Bring, Emitted, Leaves, Row, brings_down};
use super::stage::{Brought, Stage, ask, bytes};
use futures::FutureExt as _;
use model_factory::adapters::signing::PrivateKey;
use model_factory::domain::contract::EventType as E;
use model_factory::domain::run::{FailureCode as C, State};
use serde_json::json;

const OPERATOR: &str = "tell the operator: restore the evidence, then ask for the publication again";
const FORGED: &str = "tell the operator: somebody changed evidence and ledger by hand";

/// The events of a run that passed, got permission to publish later, and was turned back.
pub fn announced_later(last: E, code: C) -> Vec<Emitted> {
    vec![
        (E::RequestAdmitted, None),
        (E::RunStarted, None),
        (E::RunEvalReady, None),
        (E::RunGatePassed, None),
        (E::RequestDeduplicated, None),
        (E::PublishPending, None),
        (E::PublishRetryStarted, None),
        (last, Some(code)),
    ]
}

pub fn rows() -> Vec<Row> {
    let mut rows = lost();
    rows.extend(forged());
    rows
}

fn later(code: C, cause: &'static str, says: &'static str, next: &'static str, brought: Bring) -> Row {
    let last = if code.is_retryable() { E::PublishPending } else { E::PublishExhausted };
    let leaves = Leaves::Run { state: State::PublishPending, says, events: announced_later(last, code) };
    Row { code, cause, brought, leaves, next }
}

fn lost() -> Vec<Row> {
    vec![
        later(
            C::EvidenceRefMissing,
            "a ledger row that lost a reference before the bundle is announced",
            "the ledger names no model",
            OPERATOR,
            Bring::Scenario(|stage| without_reference(stage).boxed_local()),
        ),
        later(
            C::EvidenceRefMissing,
            "a bundle that no key signed, announced by a worker that signs",
            "the ledger names no bundle/model.sig",
            "ask for the run under another config_revision, so that it is built and signed; or let an operator allow unsigned bundles",
            Bring::Scenario(|stage| without_signature(stage).boxed_local()),
        ),
        later(
            C::EvidenceUnresolved,
            "a file of the bundle that is gone before it is announced",
            "bundle/model.json is not in the evidence store",
            "nothing: it is tried again; after the bound, an operator restores the file",
            Bring::Scenario(|stage| without_bundle_file(stage).boxed_local()),
        ),
        brings_down(
            C::EvidenceUnresolved,
            "an evidence store that cannot read back what it holds",
            "the evidence store is not available",
            "nothing: it is tried again, within the bound",
            |stage| unreadable_store(stage).boxed_local(),
        ),
        later(
            C::BundlePackageImmutabilityViolation,
            "a file of the bundle that is changed before it is announced",
            "bundle/model.json was written with digest",
            OPERATOR,
            Bring::Scenario(|stage| changed(stage, "req-bundle-01", "bundle/model.json").boxed_local()),
        ),
        later(
            C::GateReceiptImmutabilityViolation,
            "a receipt that is changed before the bundle is announced",
            "gate/gate_receipt.json was written with digest",
            OPERATOR,
            Bring::Scenario(|stage| changed(stage, "req-receipt-1", "gate/gate_receipt.json").boxed_local()),
        ),
    ]
}

/// A document and its digest in the ledger are changed together: only other documents contradict it.
fn forged() -> Vec<Row> {
    vec![
        later(
            C::EvalReportInvalid,
            "an evaluation report that lost a field, with its digest in the ledger",
            "gate_decision is required",
            FORGED,
            Bring::Scenario(|stage| invalid_report(stage).boxed_local()),
        ),
        later(
            C::EvalReportMismatch,
            "an evaluation report of another model, with its digest in the ledger",
            "the evaluation report is about",
            FORGED,
            Bring::Scenario(|stage| other_report(stage).boxed_local()),
        ),
        Row {
            code: C::EvalReportMismatch,
            cause: "a request that is changed in the ledger after its admission",
            brought: Bring::Scenario(|stage| changed_request(stage).boxed_local()),
            leaves: Leaves::Run {
                state: State::Fail,
                says: "the evaluation report belongs to",
                events: vec![
                    (E::RequestAdmitted, None),
                    (E::RunStarted, None),
                    (E::RunEvalReady, None),
                    (E::RunFailed, Some(C::EvalReportMismatch)),
                ],
            },
            next: FORGED,
        },
        later(
            C::GateDecisionMismatch,
            "a receipt about another evaluation report, with its digest in the ledger",
            "is not about the evaluation report",
            FORGED,
            Bring::Scenario(|stage| other_receipt(stage).boxed_local()),
        ),
    ]
}

async fn without_reference(stage: &mut Stage) -> Brought {
    let passed = stage.passed("req-noref-001").await;
    stage.set(&passed.run_id(), "refs = refs - 'model'").await;
    stage.permit_and_work("req-noref-001").await;
    passed
}

async fn without_signature(stage: &mut Stage) -> Brought {
    let passed = stage.passed("req-unsigned1").await;
    let signing = &mut stage.world.config.signing;
    signing.key = Some(PrivateKey::generate().to_pem());
    signing.allow_unsigned = false;
    stage.restart_runner().await;
    stage.permit_and_work("req-unsigned1").await;
    let signing = &mut stage.world.config.signing;
    signing.key = None;
    signing.allow_unsigned = true;
    stage.restart_runner().await;
    passed
}

async fn without_bundle_file(stage: &mut Stage) -> Brought {
    let passed = stage.passed("req-nobundle1").await;
    std::fs::remove_file(stage.evidence(&passed.run_id(), "bundle/model.json")).unwrap();
    stage.permit_and_work("req-nobundle1").await;
    passed
}

/// A folder stands where the store keeps a document.
async fn unreadable_store(stage: &mut Stage) -> Brought {
    let brought = stage.bring(&bytes(&ask("req-nostore-1"))).await;
    std::fs::create_dir_all(stage.evidence(&brought.run_id(), "inputs/manifest_0.json")).unwrap();
    stage.work().await;
    brought
}

async fn changed(stage: &mut Stage, id: &str, document: &str) -> Brought {
    let passed = stage.passed(id).await;
    stage.plant(&passed.run_id(), document);
    stage.permit_and_work(id).await;
    passed
}

async fn invalid_report(stage: &mut Stage) -> Brought {
    let passed = stage.passed("req-invalid-1").await;
    stage
        .forge(&passed.run_id(), "eval_report", "eval/eval_report.json", |report| {
            report.as_object_mut().unwrap().remove("gate_decision").unwrap();
        })
        .await;
    stage.permit_and_work("req-invalid-1").await;
    passed
}

async fn other_report(stage: &mut Stage) -> Brought {
    let passed = stage.passed("req-mismatch1").await;
    stage
        .forge(&passed.run_id(), "eval_report", "eval/eval_report.json", |report| {
            report["provenance"]["model"]["sha256"] = json!("0".repeat(64));
        })
        .await;
    stage.permit_and_work("req-mismatch1").await;
    passed
}

async fn changed_request(stage: &mut Stage) -> Brought {
    let brought = stage.bring(&bytes(&ask("req-tampered1"))).await;
    let change = r#"UPDATE inbox SET value = convert_to(jsonb_set(convert_from(value, 'UTF8')::jsonb,
                                                       '{config_revision}', '"other"')::text, 'UTF8')
                    WHERE request_id = 'req-tampered1'"#;
    assert_eq!(stage.sql(change).await, 1);
    stage.work().await;
    brought
}

async fn other_receipt(stage: &mut Stage) -> Brought {
    let passed = stage.passed("req-receipt-2").await;
    stage
        .forge(&passed.run_id(), "gate_receipt", "gate/gate_receipt.json", |receipt| {
            receipt["looked_at"]["eval_report"]["sha256"] = json!("0".repeat(64));
        })
        .await;
    stage.permit_and_work("req-receipt-2").await;
    passed
}
