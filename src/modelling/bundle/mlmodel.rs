//! Writes two files for MLflow: `MLmodel` describes the model, and `input_example.json` has rows that MLflow shows to
//! people who load the model.
//!
//! Formats: `MLmodel` is MLflow's model description (YAML), with the flavour `python_function` and the flavour of the
//! model's format. The example is a data frame as pandas writes it with `orient="split"`.

use crate::domain::contract::{Feature, ModelFormat, ParityCase, ParityVectors, TrainPlan};
use crate::domain::identity::Digest;
use serde_json::{Value, json};

/// Writes `MLmodel`. The file has no time stamp, and the model's UUID in it is derived from the model's bytes. The same
/// plan and model thus give the same file.
pub fn mlmodel(plan: &TrainPlan, model_digest: &Digest, format: ModelFormat) -> String {
    format!(
        "flavors:\n{}metadata: {}\nmodel_uuid: {}\nsaved_input_example_info:\n  artifact_path: {EXAMPLE_FILE}\n  \
         pandas_orient: split\n  type: dataframe\nsignature:\n  inputs: {}\n  outputs: {}\n  params: null\n",
        flavors(format),
        json!({"run_id": plan.run_id, "run_key": plan.run_key}),
        quoted(&model_digest.to_string()[..32]),
        quoted(&inputs(&plan.features)),
        quoted(&outputs(format)),
    )
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

/// Writes the flavours of a scikit-learn model. The score is the second column of what `predict_proba` returns.
fn sklearn(file: &str, serialization: &str) -> String {
    format!(
        "  python_function:\n    loader_module: mlflow.sklearn\n    model_path: {file}\n    predict_fn: predict_proba\n  \
         sklearn:\n    code: null\n    pickled_model: {file}\n    serialization_format: {serialization}\n"
    )
}

/// Writes the input columns as MLflow keeps them: JSON inside a YAML string. Models read features as 32-bit floats.
fn inputs(features: &[Feature]) -> String {
    let columns: Vec<_> =
        features.iter().map(|feature| json!({"name": feature.name, "required": true, "type": "float"})).collect();
    json!(columns).to_string()
}

fn outputs(format: ModelFormat) -> String {
    let (dtype, shape) = match format {
        ModelFormat::XgboostJson | ModelFormat::Onnx => ("float32", json!([-1])),
        ModelFormat::Skops | ModelFormat::Pickle => ("float64", json!([-1, 2])),
    };
    json!([{"type": "tensor", "tensor-spec": {"dtype": dtype, "shape": shape}}]).to_string()
}

/// Quotes a text for YAML with single quotes, where a doubled quote is the only escape.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub const EXAMPLE_FILE: &str = "input_example.json";

/// Returns up to five ordinary rows of the parity vectors as an example. A category is given as its code, as the model
/// reads it.
pub fn input_example(parity: &ParityVectors, features: &[Feature]) -> Value {
    const ROWS: usize = 5;
    let ordinary = |case| match case {
        ParityCase::Middle
        | ParityCase::OneMissing
        | ParityCase::AtThreshold
        | ParityCase::BelowThreshold
        | ParityCase::KnownCategory
        | ParityCase::TestRow => true,
        ParityCase::AllMissing
        | ParityCase::Lowest
        | ParityCase::Highest
        | ParityCase::Zero
        | ParityCase::UnknownCategory => false,
    };
    // Parity vectors always fit the features that they were written for. If they did not, the example would be empty.
    let inputs = parity.inputs(features).unwrap_or_default();
    let rows = inputs.chunks_exact(features.len().max(1)).zip(&parity.vectors);
    let shown = rows.filter(|(_, vector)| ordinary(vector.case)).take(ROWS);
    let data: Vec<Vec<Option<f32>>> =
        shown.map(|(row, _)| row.iter().map(|&value| Some(value).filter(|value| !value.is_nan())).collect()).collect();
    json!({"columns": parity.features, "data": data})
}
