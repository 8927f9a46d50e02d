//! Models that the gate does not let through.

use super::inputs;
use super::row::{Bring, Leaves, Row};
use super::stage::{ask, bytes};
use crate::support::data;
use arrow_array::{ArrayRef, Int64Array};
use model_factory::domain::contract::EventType as E;
use model_factory::domain::run::{FailureCode as C, State};
use serde_json::json;
use std::sync::Arc;

pub fn rows() -> Vec<Row> {
    vec![
        fails("a threshold that the model does not reach", "auc_roc is", || {
            governed_by("req-strict-01", &data().inputs.strict_governance_profile)
        }),
        fails("a test window with fewer frauds than the governance profile wants", "required are 1000000", || {
            let rest = "eval_thresholds: {min_auc_roc: 0.5}\nmin_positives: 1000000";
            governed_by("req-minpos-01", &inputs::governance("minpos", true, rest))
        }),
        fails("a threshold on the confidence bound of a metric that has no interval", "no confidence interval", || {
            let rest = "eval_thresholds: {min_ks_statistic: {bound: 0, on: confidence_bound}}";
            governed_by("req-nobound-1", &inputs::governance("nobound", true, rest))
        }),
        fails("a threshold on the confidence bound, and payments of one card only", "only 1 entities", || {
            let rows = inputs::dataset("one-card", |rows| {
                let card: ArrayRef = Arc::new(Int64Array::from_iter_values(vec![7; rows.num_rows()]));
                inputs::with_column(&rows, "customer_id", Some(&card))
            });
            let rest = "eval_thresholds: {min_auc_roc: {bound: 0.1, on: confidence_bound}}\nmin_positives: 20";
            let mut request = ask("req-onecard-1");
            request["dataset_manifest_refs"] = json!([rows]);
            request["governance_profile_ref"] = json!(inputs::governance("one-card", true, rest));
            bytes(&request)
        }),
        fails("a threshold on a metric that was not measured", "was not measured", || {
            let rest = "eval_thresholds: {min_precision_at_7: 0.1}";
            governed_by("req-nometric1", &inputs::governance("nometric", true, rest))
        }),
    ]
}

fn fails(cause: &'static str, says: &'static str, record: fn() -> Vec<u8>) -> Row {
    let events = vec![
        (E::RequestAdmitted, None),
        (E::RunStarted, None),
        (E::RunEvalReady, None),
        (E::RunGateFailed, Some(C::GateFail)),
    ];
    Row {
        code: C::GateFail,
        cause,
        brought: Bring::Record(record),
        leaves: Leaves::Run { state: State::Fail, says, events },
        next: "read the evaluation report; ask with other data, features or parameters",
    }
}

/// Publication is allowed, and nothing is announced.
fn governed_by(id: &str, profile: &str) -> Vec<u8> {
    let mut request = ask(id);
    request["governance_profile_ref"] = json!(profile);
    request["publish_allowed"] = json!(true);
    bytes(&request)
}
