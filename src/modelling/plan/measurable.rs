//! Checks that the data has the columns for the metrics, slices and intervals that a training profile asks for.

use crate::domain::contract::{ColumnRoles, DocumentError, EvaluationSpec, Feature, SliceSpec};
use std::collections::BTreeSet;

/// Checks a profile's `evaluation` section. The error points to the first entry that cannot be measured.
pub(super) fn measurable(
    spec: &EvaluationSpec,
    features: &[Feature],
    columns: &ColumnRoles,
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
    Ok(())
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
    use crate::domain::contract::{ClusterRule, FeatureKind, IntervalSpec, SwitchedOff};

    fn pointer_of(spec: &EvaluationSpec) -> Option<String> {
        let features = [Feature { name: "amount".to_owned(), kind: FeatureKind::Numeric, monotone: None }];
        let columns = ColumnRoles {
            event_time: Some("at".to_owned()),
            label: "fraud".to_owned(),
            row_id: "id".to_owned(),
            label_observed_time: None,
            feature_time: None,
            weight: None,
            entities: vec!["card".to_owned()],
        };
        measurable(spec, &features, &columns).err().map(|error| error.pointer)
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
}
