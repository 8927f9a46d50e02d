//! Writes the files for MLflow: `MLmodel` describes the model, `model_factory_pyfunc.py` scores rows with it, and
//! `input_example.json` has rows that MLflow shows to people who load the model.
//!
//! Formats: `MLmodel` is MLflow's model description (YAML), with the flavour `python_function` and the flavour of the
//! model's format. The example is a data frame as pandas writes it with `orient="split"`.

use super::python_environment::{CONDA_FILE, VIRTUALENV_FILE};
use crate::domain::contract::{DecisionReport, ModelFormat, ParityCase, ParityVectors, TrainPlan};
use crate::domain::identity::Digest;
use serde_json::{Value, json};

/// The program that MLflow runs to score rows. It is the only program in a bundle, and the same in every bundle of a
/// release.
pub const PYFUNC_FILE: &str = "model_factory_pyfunc.py";
pub const PYFUNC: &str = include_str!("model_factory_pyfunc.py");

/// The columns that the program returns, as MLflow keeps them. It declares no input columns, because MLflow has no type
/// for a column that may hold integers, floats or booleans and that it also reads from CSV. The program checks them.
const OUTPUTS: &str = r#"[{"name":"score","required":true,"type":"float"}]"#;

/// Writes `MLmodel`. Its metadata has the thresholds of the operating points. The file has no time stamp, and the model's UUID in it is derived from the model's bytes. The same
/// plan and model thus give the same file.
pub fn mlmodel(
    plan: &TrainPlan,
    decision: Option<&DecisionReport>,
    model_digest: &Digest,
    format: ModelFormat,
) -> String {
    let points = decision.into_iter().flat_map(|decision| &decision.operating_points);
    let points: Vec<Value> = points.map(|point| json!({"name": point.name, "threshold": point.threshold})).collect();
    let metadata = json!({
        "inputs": plan.features,
        "operating_points": points,
        "run_id": plan.run_id,
        "run_key": plan.run_key,
    });
    format!(
        "flavors:\n{}{}metadata: {}\nmodel_uuid: {}\nsaved_input_example_info:\n  artifact_path: {EXAMPLE_FILE}\n  \
         pandas_orient: split\n  type: dataframe\nsignature:\n  inputs: null\n  outputs: {}\n  params: null\n",
        python_function(format.file_name()),
        own_flavor(format),
        flow(&metadata),
        quoted(&model_digest.to_string()[..32]),
        quoted(OUTPUTS),
    )
}

/// Writes the flavour that scores rows as they are in the data, by the program and the files that it reads.
fn python_function(model: &str) -> String {
    let artifact = |name: &str, file: &str| format!("      {name}:\n        path: {file}\n        uri: {file}\n");
    format!(
        "  python_function:\n    artifacts:\n{}{}    env:\n      conda: {CONDA_FILE}\n      virtualenv: {VIRTUALENV_FILE}\n    \
         loader_module: mlflow.pyfunc.model\n    model_code_path: {PYFUNC_FILE}\n",
        artifact("model", model),
        artifact("parity_vectors", ParityVectors::FILE),
    )
}

/// Writes the flavour of the model's own library, which reads categories as their codes.
fn own_flavor(format: ModelFormat) -> String {
    let file = format.file_name();
    let sklearn = |serialization: &str| {
        format!("  sklearn:\n    code: null\n    pickled_model: {file}\n    serialization_format: {serialization}\n")
    };
    match format {
        ModelFormat::XgboostJson => format!(
            "  xgboost:\n    code: null\n    data: {file}\n    model_class: xgboost.core.Booster\n    model_format: json\n"
        ),
        ModelFormat::Skops => sklearn("skops"),
        ModelFormat::Pickle => sklearn("pickle"),
        ModelFormat::Onnx => {
            format!("  onnx:\n    code: null\n    data: {file}\n    providers:\n    - CPUExecutionProvider\n")
        }
    }
}

/// Writes a value as JSON that is YAML at the same time. YAML takes some characters for ends of lines and refuses others,
/// where JSON has them in a text as they are.
fn flow(value: &Value) -> String {
    let mut text = value.to_string();
    for char in ('\u{7f}'..='\u{9f}').chain(['\u{2028}', '\u{2029}', '\u{feff}', '\u{fffe}', '\u{ffff}']) {
        if text.contains(char) {
            text = text.replace(char, &format!("\\u{:04x}", u32::from(char)));
        }
    }
    text
}

/// Quotes a text for YAML with single quotes, where a doubled quote is the only escape.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub const EXAMPLE_FILE: &str = "input_example.json";

/// Returns up to five ordinary rows of the parity vectors as an example, with the values that the data has.
pub fn input_example(parity: &ParityVectors) -> Value {
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
    let shown = parity.vectors.iter().filter(|vector| ordinary(vector.case)).take(ROWS);
    let data: Vec<_> = shown.map(|vector| &vector.values).collect();
    json!({"columns": parity.features, "data": data})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{Feature, FeatureKind, ParityOrigin, ParityValue};
    use crate::modelling::bundle::edge_rows::ParityRow;

    #[test]
    fn names_are_json_that_yaml_reads_as_the_same_text() {
        let escaped = flow(&json!({"name": "prix\u{85}\u{2028}é😀\""}));
        assert_eq!(escaped, "{\"name\":\"prix\\u0085\\u2028é😀\\\"\"}");
        assert_eq!(serde_json::from_str::<Value>(&escaped).unwrap()["name"], "prix\u{85}\u{2028}é😀\"");
    }

    #[test]
    fn the_example_has_ordinary_rows_with_the_values_of_the_data() {
        let row = |case, shop: &str| {
            let values = vec![Some(ParityValue::Text(shop.to_owned())), Some(ParityValue::Number(1.5)), None];
            (ParityRow { case, values }, 0.25)
        };
        let features = ["shop", "amount", "age"].map(|name| {
            let kind = if name == "shop" { FeatureKind::Categorical } else { FeatureKind::Numeric };
            Feature { name: name.to_owned(), kind, monotone: None }
        });
        let rows = [row(ParityCase::Highest, "fig"), row(ParityCase::KnownCategory, "pear")];
        let run_id = serde_json::from_value(json!(format!("tr_{}", "0".repeat(32)))).unwrap();
        let parity = ParityVectors::new(&run_id, b"model", ParityOrigin::Model, &features, Vec::new(), rows);
        let expected = json!({"columns": ["shop", "amount", "age"], "data": [["pear", 1.5, null]]});
        assert_eq!(input_example(&parity), expected);
    }
}
