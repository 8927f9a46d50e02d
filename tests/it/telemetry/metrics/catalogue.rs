//! The catalogue: names, units and labels.

use model_factory::domain::run::FailureCode;
use model_factory::telemetry::metrics::{CATALOGUE, Described, Values};
use std::collections::BTreeSet;

/// Every metric with its subject.
pub fn described() -> impl Iterator<Item = (&'static str, &'static dyn Described)> {
    CATALOGUE.iter().flat_map(|(subject, metrics)| metrics.iter().map(|metric| (*subject, *metric)))
}

#[test]
fn names_say_type_and_unit_and_stand_once() {
    let mut names = BTreeSet::new();
    for (_, metric) in described() {
        let name = metric.name();
        assert!(names.insert(name), "{name} stands twice");
        assert!(name.starts_with("model_factory_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), metric.kind() == "counter", "{name}");
        for unit in ["seconds", "bytes"] {
            assert_eq!(name.contains(unit), metric.unit().starts_with(unit), "{name} in {}", metric.unit());
        }
        assert!(!metric.help().is_empty() && !metric.normal().is_empty(), "{name}");
        assert!(!metric.help().ends_with('.') && metric.normal().ends_with('.'), "{name}");
    }
}

/// No label takes its value from the text of a request: values are a closed set, failure codes, or bounded by the
/// operator's configuration.
#[test]
fn labels_are_few_and_what_they_may_be_is_known() {
    for (_, metric) in described() {
        let mut series = 1;
        for label in metric.labels() {
            series *= match &label.values {
                Values::Closed(values) => {
                    assert!(values.iter().all(|(_, meaning)| !meaning.is_empty()), "{} {}", metric.name(), label.name);
                    values.len()
                }
                Values::Codes(more) => FailureCode::ALL.len() + more.len(),
                Values::Bounded(_) => {
                    let bound = ["version", "commit", "build", "target", "loop", "topic", "partition"];
                    assert!(bound.contains(&label.name), "{} {}", metric.name(), label.name);
                    1
                }
            };
        }
        let most = 4 * FailureCode::ALL.len();
        assert!(series <= most, "{} may have {series} series", metric.name());
    }
}
