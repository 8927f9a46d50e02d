//! Checks that the data has the columns for the metrics, slices and intervals that a training profile asks for.

use crate::domain::contract::{BootstrapSpec, ColumnRoles, DocumentError, EvaluationSpec, Feature, SliceSpec};
use crate::modelling::metrics::MetricKind;
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
    if let Some(bootstrap) = &spec.bootstrap
        && let Err((field, rule)) = check_bootstrap(bootstrap, spec, columns)
    {
        return error(format!("bootstrap/{field}"), rule);
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

fn check_bootstrap(
    bootstrap: &BootstrapSpec,
    spec: &EvaluationSpec,
    columns: &ColumnRoles,
) -> Result<(), (String, String)> {
    if let Some(cluster) = &bootstrap.cluster
        && !columns.entities.contains(cluster)
    {
        return Err(("cluster".to_owned(), format!("{cluster:?} is not an entity column of the manifest")));
    }
    let kinds = MetricKind::all(spec, !columns.entities.is_empty());
    for (index, name) in bootstrap.metrics.iter().enumerate() {
        let rule = match kinds.iter().find(|kind| &kind.name() == name) {
            None => format!("{name:?} is not among the metrics that this profile asks for"),
            Some(kind) if kind.is_per_day() => format!("{name:?} is measured per day and has no interval"),
            Some(_) => continue,
        };
        return Err((format!("metrics/{index}"), rule));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::FeatureKind;

    fn pointer_of(spec: &EvaluationSpec) -> Option<String> {
        let features = [Feature { name: "amount".to_owned(), kind: FeatureKind::Numeric, monotone: None }];
        let columns = ColumnRoles {
            event_time: Some("at".to_owned()),
            label: "fraud".to_owned(),
            row_id: "id".to_owned(),
            label_observed_time: None,
            feature_time: None,
            entities: vec!["card".to_owned()],
        };
        measurable(spec, &features, &columns).err().map(|error| error.pointer)
    }

    fn with_slice(column: &str, cuts: &[f64]) -> EvaluationSpec {
        let slice = SliceSpec { column: column.to_owned(), cuts: cuts.to_vec(), max_values: 5 };
        EvaluationSpec { slices: vec![slice], ..EvaluationSpec::default() }
    }

    fn with_bootstrap(cluster: Option<&str>, metrics: &[&str]) -> EvaluationSpec {
        let bootstrap = BootstrapSpec {
            cluster: cluster.map(str::to_owned),
            metrics: metrics.iter().map(|&name| name.to_owned()).collect(),
            ..BootstrapSpec::default()
        };
        EvaluationSpec { bootstrap: Some(bootstrap), ..EvaluationSpec::default() }
    }

    #[test]
    fn what_cannot_be_measured_is_named_by_its_pointer() {
        assert_eq!(pointer_of(&EvaluationSpec::default()), None);
        assert_eq!(pointer_of(&with_slice("amount", &[1.0, 2.0])), None);
        assert_eq!(pointer_of(&with_slice("card", &[])), None);
        assert_eq!(
            pointer_of(&with_bootstrap(Some("card"), &["auc_roc", "recall_at_fpr_0.01", "recall_at_100"])),
            None
        );
        let wrong = [
            (with_slice("fraud", &[]), "slices/0/column"),
            (with_slice("card", &[1.0]), "slices/0/cuts"),
            (with_slice("amount", &[2.0, 1.0]), "slices/0/cuts"),
            (with_bootstrap(Some("amount"), &[]), "bootstrap/cluster"),
            (with_bootstrap(None, &["auc_roc", "recall_at_fpr_0.02"]), "bootstrap/metrics/1"),
            (with_bootstrap(None, &["card_precision_at_100"]), "bootstrap/metrics/0"),
        ];
        for (spec, pointer) in wrong {
            assert_eq!(pointer_of(&spec), Some(format!("/evaluation/{pointer}")));
        }
        let mut twice = with_slice("amount", &[]);
        twice.slices.push(twice.slices[0].clone());
        assert_eq!(pointer_of(&twice), Some("/evaluation/slices/1/column".to_owned()));
    }
}
