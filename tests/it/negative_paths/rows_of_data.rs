//! Rows that are not what the manifest describes, that know too much, or that are too few.

use super::inputs::{self, with_column};
use super::row::{Row, ends};
use super::stage::ask_with;
use crate::support::data;
use arrow_array::cast::AsArray as _;
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, StringArray, UInt8Array};
use model_factory::domain::run::FailureCode as C;
use serde_json::{Value, json};
use std::sync::Arc;

const NEW_DATA: &str = "have the dataset's owner write it anew, ask with the new manifest";
const NO_LEAK: &str = "read the leakage report; ask with data or a profile without the leak";

pub fn rows() -> Vec<Row> {
    let mut rows = datasets();
    rows.extend(leaks());
    rows.extend(few_labels());
    rows.push(unexpected());
    rows
}

fn unexpected() -> Row {
    ends(
        C::DataExpectationViolated,
        "rows that are not as the profile expects: payments above a bound, days with too few frauds",
        "rows are beyond it (first: ",
        "have the data mended, or ask with a profile that expects what is right",
        || {
            let expectations = "data_expectations: [{column: amount, max: 1.5, max_null_share: 0}, \
                                {windows: [test], min_rows_per_day: 1, min_frauds_per_day: 1000000}]\nevaluation:";
            let profile = inputs::training("unexpected", "evaluation:", expectations);
            ask_with("req-expect-01", "training_config_ref", json!(profile))
        },
    )
}

fn few_labels() -> [Row; 2] {
    const MORE: &str = "ask with more data, or wider windows";
    [
        ends(
            C::LabelsInsufficient,
            "a window with fewer frauds than the profile requires",
            "at least 1000000 of each class",
            MORE,
            || {
                let from = "min_rows_per_class: 10";
                let profile = inputs::training("many-frauds", from, "min_rows_per_class: 1000000");
                ask_with("req-labels-01", "training_config_ref", json!(profile))
            },
        ),
        ends(
            C::LabelsInsufficient,
            "a validation window without a fraud",
            "the validation window holds 0 rows of fraud and",
            MORE,
            || {
                let manifest = inputs::dataset("no-validation-fraud", |rows| {
                    let at = times(&rows, "event_time");
                    let days = |n: i64| at.iter().max().unwrap() - n * DAY;
                    let within = |at: &i64| (days(22)..days(12)).contains(at);
                    let labels = rows.column_by_name("fraud").unwrap().as_boolean().values().iter();
                    let labels: BooleanArray = labels.zip(&at).map(|(fraud, at)| Some(fraud && !within(at))).collect();
                    with_column(&rows, "fraud", Some(&(Arc::new(labels) as ArrayRef)))
                });
                of("req-labels-02", &manifest)
            },
        ),
    ]
}

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;

fn times(rows: &RecordBatch, name: &str) -> Vec<i64> {
    rows.column_by_name(name).unwrap().as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

fn of(id: &str, manifest: &str) -> Vec<u8> {
    ask_with(id, "dataset_manifest_refs", json!([manifest]))
}

fn datasets() -> Vec<Row> {
    vec![
        ends(C::DatasetInvalid, "a data file that is not Parquet", "file 0", NEW_DATA, || {
            of("req-noparq-01", &inputs::pinned("not-parquet", b"id,amount\n1,2\n", 1))
        }),
        ends(
            C::DatasetInvalid,
            "a data file without a column of the profile",
            "no column \"amount\"",
            NEW_DATA,
            || of("req-nocol-001", &inputs::dataset("no-amount", |rows| with_column(&rows, "amount", None))),
        ),
        ends(C::DatasetInvalid, "a label that is neither 0 nor 1", "is 2, not 0 or 1", NEW_DATA, || {
            let twos = |rows: RecordBatch| {
                let labels: ArrayRef = Arc::new(UInt8Array::from_iter_values(vec![2; rows.num_rows()]));
                with_column(&rows, "fraud", Some(&labels))
            };
            of("req-label2-01", &inputs::dataset("label-two", twos))
        }),
        ends(C::DatasetInvalid, "a numeric feature that holds text", "cannot be read from Utf8", NEW_DATA, || {
            let text = |rows: RecordBatch| {
                let texts: ArrayRef = Arc::new(StringArray::from(vec!["much"; rows.num_rows()]));
                with_column(&rows, "amount", Some(&texts))
            };
            of("req-text-0001", &inputs::dataset("text-amount", text))
        }),
        ends(
            C::DatasetInvalid,
            "a data file with another number of rows than the pinned one",
            "rows",
            NEW_DATA,
            || of("req-rows-0001", &changed("rows-off", |m| m["materializations"][0]["rows"] = json!(7))),
        ),
        ends(C::DatasetInvalid, "more rows than the profile allows", "more than the 10", NEW_DATA, || {
            let profile = inputs::training("few-rows", "max_rows: 1000000", "max_rows: 10");
            ask_with("req-maxrow-01", "training_config_ref", json!(profile))
        }),
    ]
}

fn changed(name: &str, change: impl FnOnce(&mut Value)) -> String {
    inputs::manifest(name, change)
}

fn leaks() -> Vec<Row> {
    vec![
        ends(
            C::LeakageGuardViolation,
            "features that were computed after the payment",
            "feature_time_after_event",
            NO_LEAK,
            || of("req-leak-0001", &data().inputs.leaky_manifest),
        ),
        ends(C::LeakageGuardViolation, "payments after the label as-of", "event_after_label_asof", NO_LEAK, || {
            of(
                "req-asof-0001",
                &changed("asof", |m| m["label_basis"]["label_asof_utc"] = json!("2001-01-01T00:00:00Z")),
            )
        }),
        ends(C::LeakageGuardViolation, "labels that are not settled yet", "immature_label", NO_LEAK, || {
            of("req-immatu-01", &changed("immature", |m| m["label_basis"]["maturity_days"] = json!(30)))
        }),
        ends(
            C::LeakageGuardViolation,
            "labels that were observed after the label as-of",
            "label_observed_after_asof",
            NO_LEAK,
            || {
                of(
                    "req-observ-01",
                    &changed("observed", |m| {
                        let end = m["label_basis"]["label_asof_utc"].as_str().unwrap().to_owned();
                        let end: chrono::DateTime<chrono::Utc> = end.parse().unwrap();
                        m["label_basis"]["label_asof_utc"] = json!(end - chrono::TimeDelta::days(7));
                        m["label_basis"]["maturity_days"] = json!(0);
                    }),
                )
            },
        ),
        ends(
            C::LeakageGuardViolation,
            "labels that were learned, and observed after the test window starts",
            "label_observed_after_test_start",
            NO_LEAK,
            || {
                let manifest = inputs::dataset("learned-late", |rows| {
                    // Every label is observed a day later than its delay, but for those of the last weeks.
                    let observed = times(&rows, "label_observed_time");
                    let last = observed.iter().max().unwrap();
                    let later = observed.iter().map(|at| if *at < last - 7 * DAY { at + DAY } else { *at });
                    let later =
                        PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(later).with_timezone("UTC");
                    with_column(&rows, "label_observed_time", Some(&(Arc::new(later) as ArrayRef)))
                });
                of("req-learned-1", &manifest)
            },
        ),
        ends(C::LeakageGuardViolation, "the same row in two files", "row_used_twice", NO_LEAK, || {
            let again = inputs::dataset("again", |rows| rows);
            ask_with("req-again-001", "dataset_manifest_refs", json!([data().inputs.manifest, again]))
        }),
        ends(
            C::LeakageGuardViolation,
            "a role column among the features",
            "role_column_among_features",
            NO_LEAK,
            || {
                let to = "- {name: customer_id, type: numeric}\n  - {name: amount, type: numeric}";
                let profile = inputs::training("role-feature", "- {name: amount, type: numeric}", to);
                ask_with("req-role-0001", "training_config_ref", json!(profile))
            },
        ),
        ends(
            C::LeakageGuardViolation,
            "an entity on both sides of the split, where the profile forbids it",
            "entity_on_both_sides:customer_id",
            NO_LEAK,
            || {
                let to = "leakage: {disjoint_entities: [customer_id]}\nevaluation:";
                let profile = inputs::training("disjoint", "evaluation:", to);
                ask_with("req-disjoi-01", "training_config_ref", json!(profile))
            },
        ),
    ]
}
