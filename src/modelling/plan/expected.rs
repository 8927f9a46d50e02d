//! Checks the data expectations of a training profile, and writes out the windows that each is about.

use crate::domain::contract::{
    ColumnExpectation, ColumnRoles, DataExpectation, DaysExpectation, DocumentError, Feature, FeatureKind, SplitSpec,
    TrainingProfile, WindowName,
};
use strum::VariantArray as _;

/// Returns the profile's expectations with their windows written out. `learns` says whether the run fits a model: a run
/// that fits none has only a test window. The error points to the first expectation that cannot be judged.
pub(super) fn plan_expectations(
    profile: &TrainingProfile,
    columns: &ColumnRoles,
    learns: bool,
) -> Result<Vec<DataExpectation>, DocumentError> {
    let of_run = windows_of_run(&profile.split, learns);
    let plan = |(index, expectation): (usize, &DataExpectation)| {
        check(expectation, profile, columns, &of_run).map_err(|(field, rule)| DocumentError {
            pointer: format!("/data_expectations/{index}/{field}"),
            rule,
            missing: false,
        })?;
        let windows = expectation.windows().map_or_else(|| of_run.clone(), <[WindowName]>::to_vec);
        Ok(expectation.of_windows(windows))
    };
    profile.data_expectations.iter().enumerate().map(plan).collect()
}

fn windows_of_run(split: &SplitSpec, learns: bool) -> Vec<WindowName> {
    let validated = match split {
        SplitSpec::TimeBased { validation, .. } => validation.is_some(),
        SplitSpec::StratifiedRandom { validation, .. } => validation.is_some(),
    };
    let is_there = |name: &WindowName| match name {
        WindowName::Train => learns,
        WindowName::Validation => learns && validated,
        WindowName::Test => true,
    };
    WindowName::VARIANTS.iter().copied().filter(is_there).collect()
}

/// The field that is wrong, and why.
type Wrong = (&'static str, String);

fn check(
    expectation: &DataExpectation,
    profile: &TrainingProfile,
    columns: &ColumnRoles,
    of_run: &[WindowName],
) -> Result<(), Wrong> {
    if let Some(absent) = expectation.windows().unwrap_or_default().iter().find(|name| !of_run.contains(name)) {
        return Err(("windows", format!("this run has no {absent} window")));
    }
    match expectation {
        DataExpectation::Column(column) => check_column(column, &profile.features, of_run),
        DataExpectation::Days(days) => check_days(days, &profile.split, columns),
    }
}

fn check_column(of: &ColumnExpectation, features: &[Feature], of_run: &[WindowName]) -> Result<(), Wrong> {
    let name = &of.column;
    let Some(feature) = features.iter().find(|feature| &feature.name == name) else {
        return Err(("column", format!("{name:?} is not among the features")));
    };
    let needs = |field, kind| Err((field, format!("{field} needs a {kind} feature, and {name:?} is none")));
    match feature.kind {
        FeatureKind::Numeric if of.allowed.is_some() => return needs("allowed", "categorical"),
        FeatureKind::Categorical if of.min.is_some() => return needs("min", "numeric"),
        FeatureKind::Categorical if of.max.is_some() => return needs("max", "numeric"),
        FeatureKind::Numeric | FeatureKind::Categorical => {}
    }
    if of.min.zip(of.max).is_some_and(|(min, max)| min > max) {
        return Err(("max", "max is below min".to_owned()));
    }
    if of.max_psi.is_some() {
        if !of_run.contains(&WindowName::Train) {
            let rule = "max_psi compares with the train window, and a run that fits no model has none";
            return Err(("max_psi", rule.to_owned()));
        }
        if of.windows.as_deref() == Some(&[WindowName::Train]) {
            return Err(("windows", "max_psi compares the train window with another; name one".to_owned()));
        }
    }
    let is_empty = of.max_null_share.is_none()
        && of.min.is_none()
        && of.max.is_none()
        && of.allowed.is_none()
        && of.max_psi.is_none();
    if is_empty { Err(("column", format!("nothing is expected of {name:?}"))) } else { Ok(()) }
}

fn check_days(of: &DaysExpectation, split: &SplitSpec, columns: &ColumnRoles) -> Result<(), Wrong> {
    let bounds = [
        ("max_rows_per_day", of.min_rows_per_day, of.max_rows_per_day),
        ("max_frauds_per_day", of.min_frauds_per_day, of.max_frauds_per_day),
    ];
    if bounds.iter().all(|(_, min, max)| min.is_none() && max.is_none()) {
        return Err(("windows", "nothing is expected of the days".to_owned()));
    }
    if columns.event_time.is_none() || matches!(split, SplitSpec::StratifiedRandom { .. }) {
        let rule = "bounds on the rows of a day need windows of event time (split.strategy time_based)";
        return Err(("windows", rule.to_owned()));
    }
    match bounds.iter().find(|(_, min, max)| min.zip(*max).is_some_and(|(min, max)| min > max)) {
        Some((field, ..)) => Err((*field, "the maximum is below the minimum".to_owned())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{SchemaName, schema_text};
    use serde_json::{Value, json};

    fn planned(expectations: &Value, learns: bool) -> Result<Vec<DataExpectation>, String> {
        let schema: Value = serde_json::from_str(schema_text(SchemaName::TrainingProfile)).unwrap();
        let mut profile: TrainingProfile = serde_json::from_value(schema["examples"][1].clone()).unwrap();
        profile.data_expectations = serde_json::from_value(expectations.clone()).unwrap();
        let columns = ColumnRoles {
            event_time: Some("at".to_owned()),
            label: "fraud".to_owned(),
            row_id: "id".to_owned(),
            label_observed_time: None,
            feature_time: None,
            weight: None,
            entities: vec![],
            amount: None,
        };
        plan_expectations(&profile, &columns, learns).map_err(|error| error.pointer)
    }

    #[test]
    fn a_plan_lists_the_windows_that_the_profile_leaves_out() {
        let expectations = json!([{"column": "amount", "min": 0}, {"windows": ["test"], "min_rows_per_day": 1}]);
        let windows = |learns| -> Vec<Value> {
            let planned = planned(&expectations, learns).unwrap();
            planned.iter().map(|one| serde_json::to_value(one).unwrap()["windows"].clone()).collect()
        };
        assert_eq!(windows(true), [json!(["train", "validation", "test"]), json!(["test"])]);
        assert_eq!(windows(false), [json!(["test"]), json!(["test"])]);
    }

    #[test]
    fn what_cannot_be_judged_is_named_by_its_pointer() {
        let wrong = [
            (json!({"column": "card_id", "min": 0}), "column"),
            (json!({"column": "amount"}), "column"),
            (json!({"column": "amount", "allowed": [1]}), "allowed"),
            (json!({"column": "merchant_category", "min": 0}), "min"),
            (json!({"column": "merchant_category", "max": 0}), "max"),
            (json!({"column": "amount", "min": 2, "max": 1}), "max"),
            (json!({"column": "amount", "windows": ["train"], "max_psi": 0.1}), "windows"),
            (json!({"windows": ["train"]}), "windows"),
            (json!({"min_frauds_per_day": 2, "max_frauds_per_day": 1}), "max_frauds_per_day"),
        ];
        for (expectation, field) in wrong {
            assert_eq!(planned(&json!([expectation]), true), Err(format!("/data_expectations/0/{field}")));
        }
        let of_a_check = [
            (json!({"column": "amount", "max_psi": 0.1}), "max_psi"),
            (json!({"column": "amount", "windows": ["train"], "min": 0}), "windows"),
        ];
        for (expectation, field) in of_a_check {
            assert_eq!(planned(&json!([expectation]), false), Err(format!("/data_expectations/0/{field}")));
        }
    }
}
