//! Checks that the data has the columns for the metrics, slices and intervals that a training profile asks for.

use crate::domain::contract::{ColumnRoles, DocumentError, EvaluationSpec, Feature, PointTarget, SliceSpec, SplitSpec};
use std::collections::BTreeSet;

/// Checks a profile's `evaluation` section. The error points to the first entry that cannot be measured.
pub(super) fn measurable(
    spec: &EvaluationSpec,
    features: &[Feature],
    columns: &ColumnRoles,
    split: &SplitSpec,
) -> Result<(), DocumentError> {
    let error = |pointer: String, rule: String| {
        Err(DocumentError { pointer: format!("/evaluation/{pointer}"), rule, missing: false })
    };
    let mut sliced = BTreeSet::new();
    for (index, slice) in spec.slices.iter().enumerate() {
        if let Err((field, rule)) = check_slice(slice, features, columns) {
            return error(format!("slices/{index}/{field}"), rule);
        }
        if !sliced.insert(&slice.column) {
            return error(format!("slices/{index}/column"), format!("{:?} is sliced twice", slice.column));
        }
    }
    if let Some(entity) = spec.intervals.entity()
        && !columns.entities.iter().any(|column| column == entity)
    {
        let rule = format!("{entity:?} is not an entity column of the manifest");
        return error("intervals/cluster".to_owned(), rule);
    }
    if spec.cost.is_some() && columns.amount.is_none() {
        return error("cost".to_owned(), "the manifest names no amount column, so that nothing has a cost".to_owned());
    }
    if columns.weight.is_some() && !spec.operating_points.is_empty() {
        let rule = "the rows have weights, and alerts and money are counted by row; leave operating_points out";
        return error("operating_points".to_owned(), rule.to_owned());
    }
    let mut named = BTreeSet::new();
    for (index, point) in spec.operating_points.iter().enumerate() {
        if !named.insert(&point.name) {
            return error(format!("operating_points/{index}/name"), format!("{:?} is named twice", point.name));
        }
        if let Some(why) = unchoosable(point.target, spec, split) {
            return error(format!("operating_points/{index}/target"), why.to_owned());
        }
    }
    Ok(())
}

/// Says why no threshold can be chosen for a target, whatever the rows.
fn unchoosable(target: PointTarget, spec: &EvaluationSpec, split: &SplitSpec) -> Option<&'static str> {
    let (validated, timed) = match split {
        SplitSpec::TimeBased { validation, .. } => (validation.is_some(), true),
        SplitSpec::StratifiedRandom { validation, .. } => (validation.is_some(), false),
    };
    match target {
        _ if !validated => Some("a threshold is chosen on the validation window, and split.validation is not there"),
        PointTarget::AlertsPerDay(_) if !timed => Some("rows that are split at random have no days"),
        PointTarget::MinCost if spec.cost.is_none() => Some("the least cost needs evaluation.cost"),
        PointTarget::AlertsPerDay(_)
        | PointTarget::Fpr(_)
        | PointTarget::Precision(_)
        | PointTarget::Recall(_)
        | PointTarget::MinCost => None,
    }
}

fn check_slice(slice: &SliceSpec, features: &[Feature], columns: &ColumnRoles) -> Result<(), (&'static str, String)> {
    let name = &slice.column;
    let is_entity = columns.entities.contains(name);
    if !is_entity && !features.iter().any(|feature| &feature.name == name) {
        return Err(("column", format!("{name:?} is neither a feature nor an entity column of the manifest")));
    }
    if is_entity && !slice.cuts.is_empty() {
        return Err(("cuts", format!("{name:?} is an entity column, which has no order to cut")));
    }
    if slice.cuts.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(("cuts", "cuts must ascend".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::{
        AmountColumn, ClusterRule, CostSpec, FeatureKind, IntervalSpec, OperatingPointSpec, SwitchedOff,
    };
    use serde_json::json;

    fn pointer_of(spec: &EvaluationSpec) -> Option<String> {
        pointer_with(
            spec,
            &split(json!({"strategy": "time_based", "train": {"days": 3}, "validation": {"days": 1},
            "test": {"days": 2}, "delay_days": 1})),
            Some("eur"),
        )
    }

    fn split(spec: serde_json::Value) -> SplitSpec {
        serde_json::from_value(spec).unwrap()
    }

    fn pointer_with(spec: &EvaluationSpec, split: &SplitSpec, amount: Option<&str>) -> Option<String> {
        let features = [Feature { name: "amount".to_owned(), kind: FeatureKind::Numeric, monotone: None }];
        let columns = ColumnRoles {
            event_time: Some("at".to_owned()),
            label: "fraud".to_owned(),
            row_id: "id".to_owned(),
            label_observed_time: None,
            feature_time: None,
            weight: None,
            entities: vec!["card".to_owned()],
            amount: amount.map(|name| AmountColumn { column: name.to_owned(), unit: "EUR".to_owned() }),
        };
        measurable(spec, &features, &columns, split).err().map(|error| error.pointer)
    }

    fn with_slice(column: &str, cuts: &[f64]) -> EvaluationSpec {
        let slice = SliceSpec { column: column.to_owned(), cuts: cuts.to_vec(), max_values: 5 };
        EvaluationSpec { slices: vec![slice], ..EvaluationSpec::default() }
    }

    fn with_cluster(cluster: ClusterRule) -> EvaluationSpec {
        let intervals = IntervalSpec { cluster: Some(cluster), ..IntervalSpec::default() };
        EvaluationSpec { intervals, ..EvaluationSpec::default() }
    }

    #[test]
    fn what_cannot_be_measured_is_named_by_its_pointer() {
        assert_eq!(pointer_of(&EvaluationSpec::default()), None);
        assert_eq!(pointer_of(&with_slice("amount", &[1.0, 2.0])), None);
        assert_eq!(pointer_of(&with_slice("card", &[])), None);
        let entity = |column: &str| ClusterRule::Entity(column.to_owned());
        assert_eq!(pointer_of(&with_cluster(entity("card"))), None);
        let off = SwitchedOff { reason: "every card pays once".to_owned() };
        assert_eq!(pointer_of(&with_cluster(ClusterRule::Off(off))), None);
        let wrong = [
            (with_slice("fraud", &[]), "slices/0/column"),
            (with_slice("card", &[1.0]), "slices/0/cuts"),
            (with_slice("amount", &[2.0, 1.0]), "slices/0/cuts"),
            (with_cluster(entity("amount")), "intervals/cluster"),
        ];
        for (spec, pointer) in wrong {
            assert_eq!(pointer_of(&spec), Some(format!("/evaluation/{pointer}")));
        }
        let mut twice = with_slice("amount", &[]);
        twice.slices.push(twice.slices[0].clone());
        assert_eq!(pointer_of(&twice), Some("/evaluation/slices/1/column".to_owned()));
    }

    #[test]
    fn an_operating_point_that_no_rows_could_have_is_refused_by_its_pointer() {
        let cost = CostSpec { review: 1.0, loss_share: 1.0, friction: 0.0 };
        let point = |target| OperatingPointSpec { name: "block".to_owned(), target };
        let of = |points: &[PointTarget], cost| EvaluationSpec {
            operating_points: points.iter().map(|&target| point(target)).collect(),
            cost,
            ..EvaluationSpec::default()
        };
        let random = json!({"strategy": "stratified_random", "train": {"fraction": 0.5}, "validation":
            {"fraction": 0.2}, "test": {"fraction": 0.3}});
        let no_validation = json!({"strategy": "time_based", "train": {"days": 3}, "test": {"days": 2},
            "delay_days": 1});
        assert_eq!(pointer_of(&of(&[PointTarget::MinCost], Some(cost))), None);
        let recall = of(&[PointTarget::Recall(0.5)], None);
        let alerts = of(&[PointTarget::AlertsPerDay(5.0)], None);
        assert_eq!(pointer_with(&recall, &split(random.clone()), None), None);
        let refused = [
            (pointer_of(&of(&[PointTarget::MinCost], None)), "operating_points/0/target"),
            (pointer_of(&of(&[PointTarget::Fpr(0.1), PointTarget::Fpr(0.2)], None)), "operating_points/1/name"),
            (pointer_with(&alerts, &split(random.clone()), None), "operating_points/0/target"),
            (pointer_with(&recall, &split(no_validation), None), "operating_points/0/target"),
            (pointer_with(&of(&[], Some(cost)), &split(random), None), "cost"),
        ];
        for (found, pointer) in refused {
            assert_eq!(found, Some(format!("/evaluation/{pointer}")));
        }
    }
}
