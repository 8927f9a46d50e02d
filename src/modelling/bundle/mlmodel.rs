//! The `MLmodel` file, by which MLflow opens the bundle as it is.
//!
//! Format: MLflow's model description (YAML) with the flavour `python_function` and that of the model's format.

use super::input_example::EXAMPLE_FILE;
use crate::domain::contract::{Feature, FeatureKind, ModelFormat, TrainPlan};
use crate::domain::identity::Digest;
use serde_json::json;
use std::fmt::Write as _;

/// Has no time stamp; the model's uuid follows from its bytes.
pub fn mlmodel(plan: &TrainPlan, model_digest: &Digest, format: ModelFormat) -> String {
    let mut text = format!("flavors:\n{}", flavors(format));
    let metadata = json!({"run_id": plan.run_id, "run_key": plan.run_key});
    writeln!(text, "metadata: {metadata}").expect("writing to a string");
    writeln!(text, "model_uuid: {}", quoted(&model_digest.to_string()[..32])).expect("writing to a string");
    writeln!(
        text,
        "saved_input_example_info:\n  artifact_path: {EXAMPLE_FILE}\n  pandas_orient: split\n  type: dataframe"
    )
    .expect("writing to a string");
    text.push_str("signature:\n");
    writeln!(text, "  inputs: {}", quoted(&inputs(&plan.features))).expect("writing to a string");
    writeln!(text, "  outputs: {}", quoted(&outputs(format))).expect("writing to a string");
    text.push_str("  params: null\n");
    text
}

fn flavors(format: ModelFormat) -> String {
    let file = format.file_name();
    match format {
        ModelFormat::XgboostJson => format!(
            "  python_function:\n    data: {file}\n    loader_module: mlflow.xgboost\n  xgboost:\n    code: null\n    \
             data: {file}\n    model_class: xgboost.core.Booster\n    model_format: json\n"
        ),
        ModelFormat::Skops => sklearn(file, "skops"),
        ModelFormat::Pickle => sklearn(file, "pickle"),
        ModelFormat::Onnx => format!(
            "  onnx:\n    code: null\n    data: {file}\n    providers:\n    - CPUExecutionProvider\n  python_function:\n    \
             data: {file}\n    loader_module: mlflow.onnx\n"
        ),
    }
}

/// The score is the second column of `predict_proba`.
fn sklearn(file: &str, serialization: &str) -> String {
    format!(
        "  python_function:\n    loader_module: mlflow.sklearn\n    model_path: {file}\n    predict_fn: predict_proba\n  \
         sklearn:\n    code: null\n    pickled_model: {file}\n    serialization_format: {serialization}\n"
    )
}

/// MLflow keeps a signature as JSON inside a YAML string. Models read features as f32.
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

fn outputs(format: ModelFormat) -> String {
    let (dtype, shape) = match format {
        ModelFormat::XgboostJson | ModelFormat::Onnx => ("float32", json!([-1])),
        ModelFormat::Skops | ModelFormat::Pickle => ("float64", json!([-1, 2])),
    };
    json!([{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}]).to_string()
}

/// A YAML single-quoted scalar, whose only escape is the doubled quote.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
