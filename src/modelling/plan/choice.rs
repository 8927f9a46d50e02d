//! Writes out the sets of parameters that a run chooses among: those that the profile names, or those that its search
//! draws.

use crate::domain::contract::{
    Algorithm, BoostParameters, CandidateSpec, ColumnRoles, DrawnFrom, DrawnRange, DrawnScale, EvaluationSpec,
    PlannedCandidate, PlannedChoice, SearchSpec,
};
use crate::modelling::metrics::MetricKind;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Map, Number, Value};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

/// The metric that chooses if the profile names none. Unlike ROC AUC, it is about the payments with the highest scores.
const CHOOSE_BY: &str = "average_precision";

/// Reads parameters by name. The names in `over` take the place of those in `base`.
pub(super) fn parameters(
    base: &BTreeMap<String, Value>,
    over: &BTreeMap<String, Value>,
) -> Result<BoostParameters, String> {
    let named: Map<String, Value> =
        base.iter().chain(over).map(|(name, value)| (name.clone(), value.clone())).collect();
    let parameters: BoostParameters =
        serde_json::from_value(Value::Object(named)).map_err(|error| format!("parameters: {error}"))?;
    parameters.check()?;
    Ok(parameters)
}

/// Returns the candidates of the profile and the metric that chooses among them. `None` if there is nothing to choose.
pub(super) fn plan_choice(
    algorithm: &Algorithm,
    evaluation: &EvaluationSpec,
    columns: &ColumnRoles,
) -> Result<Option<PlannedChoice>, String> {
    let named = match (&algorithm.search, algorithm.candidates.is_empty()) {
        (None, true) if algorithm.choose_by.is_some() => {
            return Err("choose_by needs candidates or a search".to_owned());
        }
        (None, true) => return Ok(None),
        (None, false) => algorithm.candidates.clone(),
        (Some(search), true) => draw(search)?,
        (Some(_), false) => return Err("give candidates or a search, not both".to_owned()),
    };
    if named.len() < 2 {
        return Err("there must be at least two different candidates to choose from".to_owned());
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = named.iter().find(|candidate| !seen.insert(&candidate.name)) {
        return Err(format!("two candidates have the name {:?}", twice.name));
    }
    let metric = algorithm.choose_by.clone().unwrap_or_else(|| CHOOSE_BY.to_owned());
    // Of weighted rows, metrics of cards have no value.
    let has_cards = !columns.entities.is_empty() && columns.event_time.is_some() && columns.weight.is_none();
    let known: Vec<String> = MetricKind::all(evaluation, has_cards, false).into_iter().map(MetricKind::name).collect();
    if !known.contains(&metric) {
        let known = known.join(", ");
        return Err(format!("choose_by: {metric:?} is not among the metrics of this evaluation, which are {known}"));
    }
    let candidate = |spec: CandidateSpec| match parameters(&algorithm.parameters, &spec.parameters) {
        Ok(parameters) => Ok(PlannedCandidate { name: spec.name, parameters }),
        Err(why) => Err(format!("candidate {:?}: {why}", spec.name)),
    };
    let candidates = named.into_iter().map(candidate).collect::<Result<Vec<_>, String>>()?;
    Ok(Some(PlannedChoice { metric, candidates }))
}

/// Draws the trials of a search. Sets that were drawn before are left out, so a small space gives fewer candidates.
fn draw(search: &SearchSpec) -> Result<Vec<CandidateSpec>, String> {
    let mut rng = ChaCha8Rng::seed_from_u64(search.seed);
    let mut drawn: Vec<BTreeMap<String, Value>> = Vec::new();
    for _ in 0..search.trials {
        let mut parameters = BTreeMap::new();
        for (name, from) in &search.space {
            let value = match from {
                DrawnFrom::Values(values) if values.is_empty() => return Err(format!("search: no values of {name}")),
                DrawnFrom::Values(values) => values[rng.random_range(0..values.len())].clone(),
                DrawnFrom::Range(range) => {
                    Value::Number(range.draw(rng.random()).map_err(|why| format!("search: {name}: {why}"))?)
                }
            };
            parameters.insert(name.clone(), value);
        }
        if !drawn.contains(&parameters) {
            drawn.push(parameters);
        }
    }
    let name = |(index, parameters)| CandidateSpec { name: format!("trial_{}", index + 1), parameters };
    Ok(drawn.into_iter().enumerate().map(name).collect())
}

impl DrawnRange {
    /// Returns the number at the place `at`, from 0 to 1, of the range.
    fn draw(&self, at: f64) -> Result<Number, String> {
        let ends = (self.low.as_f64().unwrap_or(f64::NAN), self.high.as_f64().unwrap_or(f64::NAN));
        let (low, high) = ends;
        if low.partial_cmp(&high) != Some(Ordering::Less) || (self.scale == DrawnScale::Log && low <= 0.0) {
            return Err("low must be below high, and above 0 on the scale log".to_owned());
        }
        let whole = self.low.as_i64().zip(self.high.as_i64());
        // Each whole number has a part of the range that is as long as that of the others.
        let high = if whole.is_some() { high + 1.0 } else { high };
        let value = match self.scale {
            DrawnScale::Linear => low + at * (high - low),
            DrawnScale::Log => (low.ln() + at * (high.ln() - low.ln())).exp(),
        };
        if let Some((low, high)) = whole {
            return Ok(Number::from((value as i64).clamp(low, high)));
        }
        // Logarithms of two machines may differ in the last bits. Six digits do not, and people can read them.
        let rounded = format!("{value:.5e}").parse().unwrap_or(value);
        Number::from_f64(f64::clamp(rounded, ends.0, ends.1)).ok_or_else(|| "out of range".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn planned(algorithm: Value) -> Result<Option<PlannedChoice>, String> {
        let columns = ColumnRoles {
            event_time: Some("at".to_owned()),
            label: "fraud".to_owned(),
            row_id: "id".to_owned(),
            label_observed_time: None,
            feature_time: None,
            weight: None,
            entities: Vec::new(),
            amount: None,
        };
        plan_choice(&serde_json::from_value(algorithm).unwrap(), &EvaluationSpec::default(), &columns)
    }

    #[test]
    fn a_candidate_has_its_own_parameters_and_the_algorithms_others() {
        let candidates = json!([{"name": "shallow", "parameters": {"max_depth": 3}}, {"name": "as_given"}]);
        let algorithm =
            json!({"id": "hessboost", "parameters": {"max_depth": 8, "eta": 0.1}, "candidates": candidates});
        let choice = planned(algorithm).unwrap().unwrap();
        assert_eq!(choice.metric, "average_precision");
        let depths: Vec<_> = choice.candidates.iter().map(|of| (of.name.as_str(), of.parameters.max_depth)).collect();
        assert_eq!(depths, [("shallow", 3), ("as_given", 8)]);
        assert!(choice.candidates.iter().all(|of| (of.parameters.eta - 0.1).abs() < f64::EPSILON));
        assert_eq!(planned(json!({"id": "hessboost"})), Ok(None));
    }

    #[test]
    fn a_search_draws_the_same_different_sets_within_its_space_each_time() {
        let space = json!({
            "max_depth": {"low": 3, "high": 5}, "eta": {"low": 0.01, "high": 0.3, "scale": "log"},
            "tree_method": ["hist", "approx"],
        });
        let search = json!({"space": space, "trials": 40, "seed": 7});
        let draw = || planned(json!({"id": "hessboost", "search": search})).unwrap().unwrap().candidates;
        assert_eq!(draw(), draw());
        let drawn = draw();
        assert_eq!(drawn[39].name, "trial_40");
        let depths: BTreeSet<u32> = drawn.iter().map(|of| of.parameters.max_depth).collect();
        assert_eq!(depths, BTreeSet::from([3, 4, 5]), "both ends are drawn");
        let low = drawn.iter().filter(|of| of.parameters.eta < 0.055).count();
        assert!((10..=30).contains(&low), "half of the draws lie below the geometric mean: {low} of 40");
        let small = json!({"space": {"max_depth": [3, 4]}, "trials": 40, "seed": 7});
        assert_eq!(planned(json!({"id": "hessboost", "search": small})).unwrap().unwrap().candidates.len(), 2);
    }

    #[test]
    fn a_choice_that_cannot_be_made_is_refused_in_words() {
        let two = json!([{"name": "a"}, {"name": "b", "parameters": {"max_depth": 3}}]);
        let search = |range: Value| json!({"space": {"eta": range}, "trials": 5, "seed": 1});
        for (algorithm, says) in [
            (json!({"choose_by": "auc_roc"}), "needs candidates"),
            (json!({"candidates": [{"name": "a"}]}), "at least two"),
            (json!({"candidates": [{"name": "a"}, {"name": "a"}]}), "two candidates have the name \"a\""),
            (json!({"candidates": two, "choose_by": "accuracy"}), "\"accuracy\" is not among the metrics"),
            (json!({"candidates": two, "choose_by": "card_precision_at_100"}), "is not among the metrics"),
            (json!({"candidates": two, "search": search(json!([0.1, 0.2]))}), "not both"),
            (json!({"candidates": [{"name": "a"}, {"name": "b", "parameters": {"eta": 7}}]}), "\"b\": eta must be"),
            (json!({"search": search(json!([]))}), "no values of eta"),
            (json!({"search": search(json!({"low": 0.3, "high": 0.1}))}), "eta: low must be below high"),
            (json!({"search": search(json!({"low": 0.0, "high": 0.1, "scale": "log"}))}), "above 0 on the scale log"),
        ] {
            let mut algorithm = algorithm;
            algorithm["id"] = json!("hessboost");
            let why = planned(algorithm.clone()).unwrap_err();
            assert!(why.contains(says), "{algorithm}: {why}");
        }
    }
}
