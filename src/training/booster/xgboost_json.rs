//! Completes a model file. Adds the names and types of the inputs, so that XGBoost refuses columns in another order.
//! Also adds the category codes.
//!
//! The file holds the categories twice. XGBoost 3.1 and newer reads its own form, and then encodes the categories of a
//! data frame by itself. Every other reader uses the JSON text in the attribute `categories`. The code of a value is
//! its index in that text's list. Null and unlisted values are missing (NaN).

use crate::domain::contract::{CategoryValue, Feature, FeatureCategories, FeatureKind};
use serde_json::{Value, json};

/// Adds names and types of the inputs, and the categories, to a model in XGBoost JSON.
pub(super) fn complete(
    model: &[u8],
    features: &[Feature],
    categories: &[FeatureCategories],
) -> Result<Vec<u8>, String> {
    let mut document: Value = serde_json::from_slice(model).map_err(|error| error.to_string())?;
    let names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    let types: Vec<&str> = features
        .iter()
        .map(|feature| match feature.kind {
            FeatureKind::Numeric => "float",
            FeatureKind::Categorical => "c",
        })
        .collect();
    let Some(learner) = document.get_mut("learner").and_then(Value::as_object_mut) else {
        return Err("the model document has no learner".to_owned());
    };
    learner.insert("feature_names".to_owned(), json!(names));
    learner.insert("feature_types".to_owned(), json!(types));
    if !categories.is_empty() {
        let text = serde_json::to_string(categories).map_err(|error| error.to_string())?;
        learner.insert("attributes".to_owned(), json!({"categories": text}));
        let Some(trees) = learner.get_mut("gradient_booster").and_then(|booster| booster.get_mut("model")) else {
            return Err("the model document has no trees".to_owned());
        };
        trees["cats"] = container(features, categories);
    }
    serde_json::to_vec(&document).map_err(|error| error.to_string())
}

/// Reads the category codes from a model that Model Factory wrote. Returns an error if the model names inputs other
/// than `features`. A model that names no inputs is taken to have exactly `features`.
pub(super) fn categories(model: &[u8], features: &[Feature]) -> Result<Vec<FeatureCategories>, String> {
    let document: Value = serde_json::from_slice(model).map_err(|error| error.to_string())?;
    let learner = &document["learner"];
    let names: Vec<&str> =
        learner["feature_names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !names.is_empty() && !names.iter().eq(features.iter().map(|feature| &feature.name)) {
        return Err(format!("its inputs are {}, which are not those of its bundle", names.join(", ")));
    }
    match learner["attributes"]["categories"].as_str() {
        Some(text) => serde_json::from_str(text).map_err(|error| format!("its categories: {error}")),
        None => Ok(Vec::new()),
    }
}

/// Builds XGBoost's container of categories: the values of each feature, and the index at which each feature's values
/// begin in the list of all values.
fn container(features: &[Feature], categories: &[FeatureCategories]) -> Value {
    /// XGBoost's tag for an array of 64-bit integers.
    const I64_ARRAY: u8 = 15;
    let mut encodings = Vec::with_capacity(features.len());
    let mut segments = vec![0];
    let mut sorted = Vec::new();
    for feature in features {
        let values = categories.iter().find(|of| of.feature == feature.name).map_or(&[][..], |of| &of.values);
        let numbers: Vec<i64> = values
            .iter()
            .filter_map(|value| match value {
                CategoryValue::Number(number) => Some(*number),
                CategoryValue::Text(_) => None,
            })
            .collect();
        if numbers.is_empty() {
            encodings.push(texts(values));
        } else {
            encodings.push(json!({"type": I64_ARRAY, "values": numbers}));
        }
        sorted.extend(0..values.len());
        segments.push(sorted.len());
    }
    json!({"enc": encodings, "feature_segments": segments, "sorted_idx": sorted})
}

/// Encodes texts one after the other as UTF-8 in signed bytes, with the offsets at which they begin and end. A feature
/// without values, such as a numeric feature, gives empty lists.
fn texts(values: &[CategoryValue]) -> Value {
    if values.is_empty() {
        return json!({"offsets": [], "values": []});
    }
    let mut offsets = vec![0];
    let mut bytes: Vec<i8> = Vec::new();
    for value in values {
        if let CategoryValue::Text(text) = value {
            bytes.extend(text.bytes().map(u8::cast_signed));
        }
        offsets.push(bytes.len());
    }
    json!({"offsets": offsets, "values": bytes})
}
