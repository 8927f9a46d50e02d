//! Builds parity vectors, which are rows with known scores, and compares a model's scores with them.

use super::edge_rows::{ParityRow, known};
use crate::domain::contract::{
    CategoryValue, Feature, FeatureCategories, FeatureKind, ParityOrigin, ParityValue, ParityVector, ParityVectors,
};
use crate::domain::identity::{Digest, RunId};

impl ParityVectors {
    /// Builds one vector for each row and its score, in the order of `scored`.
    pub fn new(
        run_id: &RunId,
        model: &[u8],
        origin: ParityOrigin,
        features: &[Feature],
        categories: Vec<FeatureCategories>,
        scored: impl IntoIterator<Item = (ParityRow, f32)>,
    ) -> Self {
        let vector = |(row, score): (ParityRow, f32)| ParityVector {
            case: row.case,
            values: row.values,
            score,
            score_bits: bits(score),
        };
        Self {
            schema_version: Self::SCHEMA_VERSION.to_owned(),
            run_id: run_id.clone(),
            model_sha256: Digest::of(model),
            origin,
            features: features.iter().map(|feature| feature.name.clone()).collect(),
            categories,
            vectors: scored.into_iter().map(vector).collect(),
        }
    }

    /// Returns the rows as the model reads them: 32-bit floats, row by row. NaN is a missing value, and a category is
    /// its code. Returns an error if `features` differ from the features of the vectors.
    pub fn inputs(&self, features: &[Feature]) -> Result<Vec<f32>, String> {
        let names = features.iter().map(|feature| feature.name.as_str());
        if !names.eq(self.features.iter().map(String::as_str)) {
            return Err("the vectors name other features than the bundle".to_owned());
        }
        inputs(features, &self.categories, self.vectors.iter().map(|vector| vector.values.as_slice()))
    }

    /// Describes the first vector whose score differs from `scores`. `None` if all agree. Scores that Model Factory
    /// computed must agree bit for bit with `score` and `score_bits`. Scores that a registered command returned may
    /// differ by 1e-6.
    pub fn first_difference(&self, scores: &[f32]) -> Option<String> {
        /// The largest difference that is accepted between a command's score and Model Factory's score of the same row.
        /// Both add up the same leaves, but their libraries compute the exponential function differently.
        const NEAR: f32 = 1e-6;
        if scores.len() != self.vectors.len() {
            return Some(format!("{} vectors and {} scores", self.vectors.len(), scores.len()));
        }
        self.vectors.iter().zip(scores).enumerate().find_map(|(index, (vector, &found))| match self.origin {
            ParityOrigin::Model => {
                let (said, found) = (bits(vector.score), bits(found));
                (said != vector.score_bits || said != found)
                    .then(|| format!("vector {index} says {} ({said}), the model gives {found}", vector.score_bits))
            }
            ParityOrigin::Trainer => ((vector.score - found).abs() > NEAR)
                .then(|| format!("vector {index} says {}, the model gives {found}", vector.score)),
        })
    }
}

/// Writes the 32 bits of a score as hex digits.
fn bits(score: f32) -> String {
    format!("{:08x}", score.to_bits())
}

/// Converts rows to the 32-bit floats that the model reads, as [`ParityVectors::inputs`] describes.
pub fn inputs<'a>(
    features: &[Feature],
    categories: &[FeatureCategories],
    rows: impl IntoIterator<Item = &'a [Option<ParityValue>]>,
) -> Result<Vec<f32>, String> {
    let codes: Vec<Option<&[CategoryValue]>> = features
        .iter()
        .map(|feature| match feature.kind {
            FeatureKind::Numeric => None,
            FeatureKind::Categorical => Some(known(categories, &feature.name)),
        })
        .collect();
    let mut inputs = Vec::new();
    for row in rows {
        if row.len() != features.len() {
            return Err(format!("a row has {} values, the model has {} features", row.len(), features.len()));
        }
        for ((value, known), feature) in row.iter().zip(&codes).zip(features) {
            inputs.push(match (value, known) {
                (None, _) => f32::NAN,
                (Some(value), Some(known)) => code(value, known),
                (Some(ParityValue::Number(number)), None) => *number,
                (Some(ParityValue::Integer(number)), None) => *number as f32,
                (Some(ParityValue::Text(_)), None) => {
                    return Err(format!("{:?} is a number and has a text", feature.name));
                }
            });
        }
    }
    Ok(inputs)
}

fn code(value: &ParityValue, known: &[CategoryValue]) -> f32 {
    let is = |category: &CategoryValue| match (value, category) {
        (ParityValue::Integer(value), CategoryValue::Number(number)) => value == number,
        (ParityValue::Text(value), CategoryValue::Text(text)) => value == text,
        (ParityValue::Number(_) | ParityValue::Integer(_) | ParityValue::Text(_), _) => false,
    };
    known.iter().position(is).map_or(f32::NAN, |code| code as f32)
}

#[cfg(test)]
mod tests {
    use super::super::edge_rows::edge_rows;
    use super::*;
    use crate::domain::contract::ParityCase;
    use serde_json::json;

    fn features() -> Vec<Feature> {
        let feature = |name: &str, kind| Feature { name: name.to_owned(), kind, monotone: None };
        vec![feature("amount", FeatureKind::Numeric), feature("shop", FeatureKind::Categorical)]
    }

    fn model() -> Vec<u8> {
        let tree = json!({
            "left_children": [1, -1, 3, -1, -1], "split_type": [0, 0, 1, 0, 0],
            "split_indices": [0, 0, 1, 0, 0], "split_conditions": [20.5, 0.1, 0.0, 0.2, 0.3],
        });
        let categories = json!([{"feature": "shop", "values": ["fig", "pear"]}]).to_string();
        let learner =
            json!({"attributes": {"categories": categories}, "gradient_booster": {"model": {"trees": [tree]}}});
        json!({ "learner": learner }).to_string().into_bytes()
    }

    #[test]
    fn rows_try_what_is_exactly_at_a_threshold_right_below_it_missing_and_unknown() {
        let (categories, rows) = edge_rows(&model(), &features()).unwrap();
        let of = |case| rows.iter().filter(|row| row.case == case).map(|row| row.values.clone()).collect::<Vec<_>>();
        let pear = || Some(ParityValue::Text("pear".to_owned()));
        assert_eq!(of(ParityCase::AtThreshold), [vec![Some(ParityValue::Number(20.5)), pear()]]);
        assert_eq!(of(ParityCase::BelowThreshold), [vec![Some(ParityValue::Number(20.5_f32.next_down())), pear()]]);
        assert_eq!(of(ParityCase::OneMissing).len(), 2);
        let unknown = of(ParityCase::UnknownCategory);
        let inputs = inputs(&features(), &categories, unknown.iter().map(Vec::as_slice)).unwrap();
        assert!(inputs[1].is_nan() && inputs[0].to_bits() == 20.5_f32.to_bits());
        assert_eq!(code(&pear().unwrap(), &categories[0].values).to_bits(), 1.0_f32.to_bits());
    }

    #[test]
    fn what_is_written_reads_back_to_the_bit() {
        let (categories, rows) = edge_rows(&model(), &features()).unwrap();
        let run_id: RunId = format!("tr_{}", "0".repeat(32)).parse().unwrap();
        let scored = rows.into_iter().zip([0.1_f32, 0.2, 1.0e-7].into_iter().cycle());
        let origin = ParityOrigin::Model;
        let vectors = ParityVectors::new(&run_id, b"model", origin, &features(), categories, scored);
        let bytes = crate::domain::identity::document_bytes(&vectors);
        let again: ParityVectors =
            crate::domain::contract::read_json(crate::domain::contract::SchemaName::ParityVectors, &bytes).unwrap();
        assert_eq!(again, vectors);
        let mut given: Vec<f32> = vectors.vectors.iter().map(|vector| vector.score).collect();
        assert_eq!(vectors.first_difference(&given), None);
        given[3] = given[3].next_up();
        assert!(vectors.first_difference(&given).unwrap().contains("vector 3"));
    }
}
