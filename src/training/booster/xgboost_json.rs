//! Completes a model file. Adds the names and types of the inputs, so that XGBoost refuses columns in another order.
//! Also adds the category codes.
//!
//! The file holds the categories twice. XGBoost 3.1 and newer reads its own form, and then encodes the categories of a
//! data frame by itself. Every other reader uses the JSON text in the attribute `categories`. The code of a value is
//! its index in that text's list. Null and unlisted values are missing (NaN).
//!
//! The base score is written as XGBoost 3.0 and older write it, a single number. Every version of XGBoost reads this.
//! The crate reads and writes the list of newer versions (`[0.5]`), in whose place older versions take 0.5 without a
//! word.

use super::node_order::renumber;
use crate::domain::contract::{CategoryValue, Feature, FeatureCategories, FeatureKind};
use serde_json::{Value, json};

/// Adds names and types of the inputs, and the categories, to a model in XGBoost JSON as the crate writes it. Numbers its
/// nodes as XGBoost does. Writes `base_score` if it is given, else the model's own.
pub(super) fn complete(
    model: &[u8],
    features: &[Feature],
    categories: &[FeatureCategories],
    base_score: Option<f32>,
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
    let own = base_score_text(&mut document)?;
    *own = base_score.map_or_else(|| own.trim_matches(['[', ']']).to_owned(), |given| given.to_string());
    let Some(learner) = document.get_mut("learner").and_then(Value::as_object_mut) else {
        return Err("the model document has no learner".to_owned());
    };
    learner.insert("feature_names".to_owned(), json!(names));
    learner.insert("feature_types".to_owned(), json!(types));
    let Some(booster) = learner.get_mut("gradient_booster").and_then(|booster| booster.get_mut("model")) else {
        return Err("the model document has no trees".to_owned());
    };
    renumber(&mut booster["trees"])?;
    if !categories.is_empty() {
        booster["cats"] = container(features, categories);
        let text = serde_json::to_string(categories).map_err(|error| error.to_string())?;
        learner.insert("attributes".to_owned(), json!({"categories": text}));
    }
    serde_json::to_vec(&document).map_err(|error| error.to_string())
}

/// Rewrites a model's file for the crate, which reads the base score only as a list.
pub(super) fn for_the_crate(file: &[u8]) -> Result<Vec<u8>, String> {
    let mut document: Value = serde_json::from_slice(file).map_err(|error| error.to_string())?;
    let text = base_score_text(&mut document)?;
    if !text.starts_with('[') {
        *text = format!("[{text}]");
    }
    serde_json::to_vec(&document).map_err(|error| error.to_string())
}

/// Reads the base score of a model's file, the probability that the trees start from.
pub(super) fn base_score(file: &[u8]) -> Result<f32, String> {
    let mut document: Value = serde_json::from_slice(file).map_err(|error| error.to_string())?;
    let text = base_score_text(&mut document)?;
    text.trim_matches(['[', ']']).parse().map_err(|_| format!("its base score {text:?} is no number"))
}

fn base_score_text(document: &mut Value) -> Result<&mut String, String> {
    match document.pointer_mut("/learner/learner_model_param/base_score") {
        Some(Value::String(text)) => Ok(text),
        Some(_) | None => Err("the model has no base score".to_owned()),
    }
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

/// Builds XGBoost's container of categories: the values of each feature, the index at which each feature's values begin
/// in the list of all values, and each feature's codes in the order in which XGBoost searches its values.
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
        sorted.extend(search_order(values));
        segments.push(sorted.len());
    }
    json!({"enc": encodings, "feature_segments": segments, "sorted_idx": sorted})
}

/// Returns the codes in the order of their values. XGBoost searches texts by halving, and compares them by signed bytes:
/// "é" comes before "a".
fn search_order(values: &[CategoryValue]) -> Vec<usize> {
    let signed = |text: &str| -> Vec<i8> { text.bytes().map(u8::cast_signed).collect() };
    let mut codes: Vec<usize> = (0..values.len()).collect();
    codes.sort_by_cached_key(|&code| match &values[code] {
        CategoryValue::Number(number) => (*number, Vec::new()),
        CategoryValue::Text(text) => (0, signed(text)),
    });
    codes
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_searched_by_signed_bytes_and_numbers_by_size() {
        let texts = ["Z", "a", "z", "ß", "é", "ü"].map(|text| CategoryValue::Text(text.to_owned()));
        assert_eq!(search_order(&texts), [3, 4, 5, 0, 1, 2]);
        assert_eq!(search_order(&[-5, 0, 700].map(CategoryValue::Number)), [0, 1, 2]);
    }
}
