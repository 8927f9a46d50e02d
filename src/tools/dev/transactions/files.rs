//! Writes the data as the platform's feature store would: Parquet, manifest, profiles.

use super::TransactionSpec;
use super::features::{FEATURES, features};
use super::payments::{Payment, payments};
use crate::domain::contract::DatasetManifest;
use crate::domain::identity::{Digest, document_bytes};
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{
    ArrayRef, BooleanArray, Float32Array, Int64Array, PrimitiveArray, RecordBatch, StringArray, UInt8Array,
};
use chrono::{DateTime, Datelike as _, SecondsFormat, TimeDelta, Utc};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The platform run that produced the demo's data.
const PLATFORM_RUN: &str = "platform_20260316T000000Z";
const LABEL_DELAY_DAYS: i64 = 7;

/// References to the files, relative to their folder.
#[derive(Debug, Clone)]
pub struct DemoInputs {
    /// The platform run that the manifests name.
    pub platform_run_id: String,
    /// Manifest of the data set without a leak.
    pub manifest: String,
    /// Manifest of the same data set, but some rows have features that were computed after the payment.
    pub leaky_manifest: String,
    pub training_profile: String,
    /// Profile with a gate that a good model passes.
    pub governance_profile: String,
    /// Profile with a gate that a model can pass only by a leak.
    pub strict_governance_profile: String,
    pub payments: usize,
}

/// Generates the data, writes everything below `folder`, and reports each step to `progress`.
pub fn write(spec: &TransactionSpec, folder: &Path, mut progress: impl FnMut(&str)) -> anyhow::Result<DemoInputs> {
    for part in ["ofs/data", "ofs/manifests", "profiles"] {
        fs::create_dir_all(folder.join(part))?;
    }
    progress("generating payments");
    let payments = payments(spec);
    progress("computing features");
    let columns = features(&payments, i64::from(spec.start.weekday().num_days_from_monday()));
    let dataset = |name: &str, leak: bool| -> anyhow::Result<String> {
        let data = format!("ofs/data/{name}.parquet");
        let bytes = parquet_bytes(spec, &payments, &columns, leak)?;
        fs::write(folder.join(&data), &bytes)?;
        let manifest = format!("ofs/manifests/dm_{name}.json");
        let document = manifest_of(spec, name, &data, &bytes, payments.len())?;
        fs::write(folder.join(&manifest), document_bytes(&document))?;
        Ok(manifest)
    };
    progress("writing Parquet");
    let inputs = DemoInputs {
        platform_run_id: PLATFORM_RUN.to_owned(),
        manifest: dataset("cards", false)?,
        leaky_manifest: dataset("cards_leaky", true)?,
        training_profile: "profiles/training.yaml".to_owned(),
        governance_profile: "profiles/governance.yaml".to_owned(),
        strict_governance_profile: "profiles/governance_strict.yaml".to_owned(),
        payments: payments.len(),
    };
    fs::write(folder.join(&inputs.training_profile), training_profile(spec))?;
    let gate = "min_auc_roc: 0.80\n  max_auc_roc: 0.99\n  min_average_precision: 0.30\n  max_brier_score: 0.05";
    fs::write(folder.join(&inputs.governance_profile), governance_profile("cards-gate", gate))?;
    fs::write(
        folder.join(&inputs.strict_governance_profile),
        governance_profile("cards-gate-strict", "min_auc_roc: 0.9999"),
    )?;
    Ok(inputs)
}

fn parquet_bytes(
    spec: &TransactionSpec,
    payments: &[Payment],
    columns: &[Vec<f32>],
    leak: bool,
) -> anyhow::Result<Vec<u8>> {
    const MICROS: i64 = 1_000_000;
    let start = spec.start.timestamp();
    let times = |offset: &dyn Fn(usize, &Payment) -> i64| -> ArrayRef {
        let values = payments.iter().enumerate().map(|(row, p)| (start + p.at + offset(row, p)) * MICROS);
        Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(values).with_timezone("UTC"))
    };
    // The leak: for every hundredth row, the features are computed an hour after the payment.
    let late = |row: usize, _: &Payment| if leak && row.is_multiple_of(100) { 3_600 } else { 0 };
    let mut fields: Vec<(&str, ArrayRef)> = vec![
        ("transaction_id", Arc::new(Int64Array::from_iter_values(0..payments.len() as i64))),
        ("event_time", times(&|_, _| 0)),
        ("customer_id", Arc::new(Int64Array::from_iter_values(payments.iter().map(|p| i64::from(p.customer))))),
        ("terminal_id", Arc::new(Int64Array::from_iter_values(payments.iter().map(|p| i64::from(p.terminal))))),
        ("feature_time", times(&late)),
        ("label_observed_time", times(&|_, _| LABEL_DELAY_DAYS * 86_400)),
        ("fraud", Arc::new(payments.iter().map(|p| Some(p.is_fraud())).collect::<BooleanArray>())),
        (
            "merchant_category",
            Arc::new(payments.iter().map(|p| merchant_category(p.terminal)).collect::<StringArray>()),
        ),
        ("fraud_scenario", Arc::new(UInt8Array::from_iter_values(payments.iter().map(|p| p.scenario)))),
    ];
    for (name, column) in FEATURES.iter().zip(columns) {
        fields.push((name, Arc::new(Float32Array::from(column.clone()))));
    }
    let batch = RecordBatch::try_from_iter(fields)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by("model-factory transactions".to_owned())
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties))?;
    writer.write(&batch)?;
    Ok(writer.into_inner()?)
}

/// Returns the category of a terminal, which does not depend on fraud. `None` for every tenth terminal.
fn merchant_category(terminal: u32) -> Option<&'static str> {
    const CATEGORIES: [&str; 9] =
        ["grocery", "fuel", "café", "travel", "electronics", "fashion", "pharmacy", "games", "jewellery"];
    CATEGORIES.get(terminal as usize % 10).copied()
}

fn manifest_of(
    spec: &TransactionSpec,
    name: &str,
    data: &str,
    bytes: &[u8],
    rows: usize,
) -> serde_json::Result<DatasetManifest> {
    let digest = Digest::of(bytes);
    let end = spec.start + TimeDelta::days(i64::from(spec.days) + LABEL_DELAY_DAYS);
    serde_json::from_value(json!({
        "schema_version": DatasetManifest::SCHEMA_VERSION,
        "dataset_manifest_id": format!("dm_{name}"),
        "dataset_fingerprint": format!("sha256:{digest}"),
        "platform_run_id": PLATFORM_RUN,
        "replay_basis": [{
            "topic": "card-payments", "partition": 0, "offset_kind": "kafka_offset",
            "start_offset": "0", "end_offset": (rows - 1).to_string(),
        }],
        "label_basis": {
            "label_asof_utc": end, "resolution_rule": "reported_within_7_days", "maturity_days": LABEL_DELAY_DAYS,
        },
        "feature_definition_set": {"feature_set_id": "synthetic-cards", "feature_set_version": "v1"},
        "provenance": {
            "ofs_code_release_id": concat!("model-factory ", env!("CARGO_PKG_VERSION")),
            "config_revision": format!("seed-{}", spec.seed),
        },
        "materializations": [{
            "ref": data, "format": "parquet", "sha256": digest, "bytes": bytes.len(), "rows": rows,
            "columns": {
                "event_time": "event_time", "label": "fraud", "row_id": "transaction_id",
                "label_observed_time": "label_observed_time", "feature_time": "feature_time",
                "entities": ["customer_id", "terminal_id"], "amount": {"column": "amount", "unit": "EUR"},
            },
        }],
    }))
}

/// Builds the training profile. Its weeks: two to fill the features' windows, five to train, one for early stopping,
/// one of delay, one to test.
fn training_profile(spec: &TransactionSpec) -> String {
    let day = |n: i64| -> String {
        let at: DateTime<Utc> = spec.start + TimeDelta::days(n);
        at.to_rfc3339_opts(SecondsFormat::Secs, true)
    };
    let features = FEATURES.map(|name| format!("  - {{name: {name}, type: numeric}}\n")).concat();
    let end = i64::from(spec.days);
    format!(
        "policy_id: cards-baseline
revision: r1
feature_definition_set: {{feature_set_id: synthetic-cards, feature_set_version: v1}}
expected_manifest_schema_version: learning.dataset_manifest.v0
features:
{features}algorithm:
  id: hessboost
  parameters: {{rounds: 200, max_depth: 5, eta: 0.1, subsample: 0.8, early_stopping_rounds: 20}}
split:
  strategy: time_based
  train: {{start: '{}', end: '{}'}}
  validation: {{start: '{}', end: '{}'}}
  test: {{start: '{}', end: '{}'}}
  delay_days: 7
seed_policy: {{recipe: per_run, base_seed: 42}}
evaluation:
  k: [50, 100]
  fpr: [0.001, 0.01]
  thresholds: [0.1, 0.5]
  intervals: {{cluster: customer_id}}
  slices:
  - {{column: amount, cuts: [10, 50, 100]}}
  - {{column: during_night}}
  - {{column: terminal_id, max_values: 5}}
  operating_points:
  - {{name: review, target: {{alerts_per_day: 25}}}}
  - {{name: block, target: {{precision: 0.9}}}}
  cost: {{review: 4, loss_share: 0.9, friction: 2}}
  min_rows_per_class: 10
limits: {{wall_seconds: 600, memory_mib: 4096, max_rows: 1000000}}
",
        day(end - 56),
        day(end - 21),
        day(end - 21),
        day(end - 14),
        day(end - 7),
        day(end),
    )
}

fn governance_profile(policy_id: &str, thresholds: &str) -> String {
    format!(
        "policy_id: {policy_id}
revision: r1
controls: {{require_pass_gate: true}}
eval_thresholds:
  {thresholds}
min_positives: 30
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_specification_gives_the_same_bytes() {
        let spec = TransactionSpec { customers: 40, terminals: 200, days: 60, ..TransactionSpec::demo() };
        let make = || {
            let folder = tempfile::tempdir().unwrap();
            let inputs = write(&spec, folder.path(), |_| {}).unwrap();
            fs::read(folder.path().join(inputs.manifest)).unwrap()
        };
        let manifest = make();
        assert_eq!(manifest, make());
        let pinned = "e18469f5777c74fdbf174cebd65464bdc6da4fd1d7d54f919a6fc8d96143a4ac";
        let document: DatasetManifest = serde_json::from_slice(&manifest).unwrap();
        assert_eq!(document.materializations[0].sha256.to_string(), pinned);
    }
}
