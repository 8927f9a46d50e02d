//! The `MLmodel` file: what lets MLflow open the bundle as it is.
//!
//! Format: MLflow's model description (YAML), flavours `python_function` and `xgboost`.

use super::plan::TrainPlan;
use crate::contract::{Feature, FeatureKind};
use crate::identity::Digest;
use serde_json::json;
use std::fmt::Write as _;

/// The text of `MLmodel`. No time stamp; the model's uuid follows from its bytes.
pub fn mlmodel(plan: &TrainPlan, model_digest: &Digest) -> String {
    let mut text = String::new();
    text.push_str("flavors:\n");
    text.push_str("  python_function:\n");
    text.push_str("    data: model.json\n");
    text.push_str("    loader_module: mlflow.xgboost\n");
    text.push_str("  xgboost:\n");
    text.push_str("    code: null\n");
    text.push_str("    data: model.json\n");
    text.push_str("    model_class: xgboost.core.Booster\n");
    text.push_str("    model_format: json\n");
    let metadata = json!({"run_id": plan.run_id, "run_key": plan.run_key});
    writeln!(text, "metadata: {metadata}").expect("writing to a string");
    writeln!(text, "model_uuid: {}", quoted(&model_digest.to_string()[..32])).expect("writing to a string");
    text.push_str("signature:\n");
    writeln!(text, "  inputs: {}", quoted(&inputs(&plan.features))).expect("writing to a string");
    let outputs = json!([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1]}}]).to_string();
    writeln!(text, "  outputs: {}", quoted(&outputs)).expect("writing to a string");
    text.push_str("  params: null\n");
    text
}

/// MLflow keeps a signature as JSON inside a YAML string. Features are read as f32 by the model.
fn inputs(features: &[Feature]) -> String {
    let columns: Vec<_> = features
        .iter()
        .map(|feature| match feature.kind {
            FeatureKind::Numeric | FeatureKind::Categorical => {
                json!({"name": feature.name, "required": true, "type": "float"})
            }
        })
        .collect();
    json!(columns).to_string()
}

/// A YAML single-quoted scalar: the only escape is the doubled quote.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
