//! Wide synthetic rows for benchmarks, with any number of rows and features. They are written in batches, so that
//! memory does not grow with the number of rows.

use crate::domain::contract::DatasetManifest;
use crate::domain::identity::{Digest, document_bytes};
use anyhow::{Context as _, ensure};
use arrow_array::types::TimestampMicrosecondType;
use arrow_array::{ArrayRef, BooleanArray, Float32Array, Int64Array, PrimitiveArray, RecordBatch};
use chrono::DateTime;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct WideSpec {
    pub rows: usize,
    /// Number of features. The label depends on the first eight.
    pub features: usize,
    /// Number of trees that the training profile asks for.
    pub trees: u32,
    /// Depth of each tree.
    pub depth: u32,
}

pub const PLATFORM_RUN: &str = "platform_wide";
pub const MANIFEST: &str = "manifest.json";
pub const TRAINING_PROFILE: &str = "training.yaml";
pub const GOVERNANCE_PROFILE: &str = "governance.yaml";
const DATA: &str = "wide.parquet";
/// 2026-01-05 in seconds since 1970. From this time on there is one payment per second.
const START: i64 = 1_767_571_200;

/// Writes data, manifest and profiles into `folder`. The same specification gives the same bytes.
pub fn write(spec: &WideSpec, folder: &Path) -> anyhow::Result<()> {
    const BATCH: usize = 64 * 1024;
    let names: Vec<String> = (0..spec.features).map(|index| format!("f{index:02}")).collect();
    ensure!(spec.rows > 0, "no rows were asked for");
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    let properties = properties.set_max_row_group_row_count(Some(2 * BATCH)).build();
    // A batch without rows draws nothing from `rng`. It is built only to get its schema.
    let schema = batch(0, 0, &names, &mut rng)?.schema();
    let mut writer = ArrowWriter::try_new(File::create(folder.join(DATA))?, schema, Some(properties))?;
    for first in (0..spec.rows).step_by(BATCH) {
        writer.write(&batch(first, BATCH.min(spec.rows - first), &names, &mut rng)?)?;
    }
    writer.close()?;
    fs::write(folder.join(MANIFEST), document_bytes(&manifest(spec, folder)?))?;
    fs::write(folder.join(TRAINING_PROFILE), training_profile(spec, &names))?;
    let gate =
        "policy_id: wide\nrevision: r1\ncontrols: {require_pass_gate: true}\neval_thresholds: {min_auc_roc: 0.5}\n";
    fs::write(folder.join(GOVERNANCE_PROFILE), gate)?;
    Ok(())
}

fn batch(first: usize, rows: usize, names: &[String], rng: &mut ChaCha8Rng) -> anyhow::Result<RecordBatch> {
    let mut risk = vec![-5.5_f32; rows];
    let mut columns = Vec::with_capacity(names.len());
    for index in 0..names.len() {
        let column: Vec<f32> = (0..rows)
            .map(|_| {
                let x = rng.random::<f32>();
                match index % 4 {
                    // Kinds of features: an amount in cents, a count, a share, a value that is sometimes missing.
                    0 => (x * x * 20_000.0).round() / 100.0,
                    1 => (x * 12.0).floor(),
                    2 => x,
                    _ if x < 0.05 => f32::NAN,
                    _ => (x - 0.5) * 8.0,
                }
            })
            .collect();
        if index < 8 {
            let scale = [0.01, 0.12, 1.5, 0.3][index % 4];
            for (risk, value) in risk.iter_mut().zip(&column) {
                *risk += if value.is_nan() { 0.5 } else { scale * value * if index < 4 { 1.0 } else { -0.4 } };
            }
        }
        columns.push(column);
    }
    let labels: BooleanArray =
        risk.iter().map(|risk| Some(rng.random::<f32>() < 1.0 / (1.0 + (-risk).exp()))).collect();
    let at = (first..first + rows).map(|row| (START + row as i64) * 1_000_000);
    let mut fields: Vec<(&str, ArrayRef)> = vec![
        ("row_id", Arc::new(Int64Array::from_iter_values((first..first + rows).map(|row| row as i64)))),
        ("event_time", Arc::new(PrimitiveArray::<TimestampMicrosecondType>::from_iter_values(at).with_timezone("UTC"))),
        ("card", Arc::new(Int64Array::from_iter_values((0..rows).map(|_| rng.random_range(0..50_000))))),
        ("fraud", Arc::new(labels)),
    ];
    for (name, column) in names.iter().zip(columns) {
        fields.push((name, Arc::new(Float32Array::from(column))));
    }
    Ok(RecordBatch::try_from_iter(fields)?)
}

fn manifest(spec: &WideSpec, folder: &Path) -> anyhow::Result<DatasetManifest> {
    let data = fs::read(folder.join(DATA))?;
    let sha256 = Digest::of(&data);
    let asof = DateTime::from_timestamp(START + spec.rows as i64, 0).context("too many rows for one a second")?;
    Ok(serde_json::from_value(json!({
        "schema_version": DatasetManifest::SCHEMA_VERSION,
        "dataset_manifest_id": "dm_wide",
        "dataset_fingerprint": format!("sha256:{sha256}"),
        "platform_run_id": PLATFORM_RUN,
        "replay_basis": [{
            "topic": "card-payments", "partition": 0, "offset_kind": "kafka_offset",
            "start_offset": "0", "end_offset": spec.rows.to_string(),
        }],
        "label_basis": {"label_asof_utc": asof, "resolution_rule": "none"},
        "feature_definition_set": {"feature_set_id": "wide", "feature_set_version": "v1"},
        "provenance": {
            "ofs_code_release_id": concat!("model-factory ", env!("CARGO_PKG_VERSION")), "config_revision": "wide",
        },
        "materializations": [{
            "ref": DATA, "format": "parquet", "sha256": sha256, "bytes": data.len(), "rows": spec.rows,
            "columns": {"event_time": "event_time", "label": "fraud", "row_id": "row_id", "entities": ["card"]},
        }],
    }))?)
}

fn training_profile(spec: &WideSpec, names: &[String]) -> String {
    let features: Vec<String> = names.iter().map(|name| format!("  - {{name: {name}, type: numeric}}\n")).collect();
    let features = features.concat();
    let WideSpec { trees, depth, .. } = spec;
    format!(
        "policy_id: wide
revision: r1
feature_definition_set: {{feature_set_id: wide, feature_set_version: v1}}
expected_manifest_schema_version: learning.dataset_manifest.v0
features:
{features}algorithm: {{id: hessboost, parameters: {{rounds: {trees}, max_depth: {depth}, eta: 0.1, max_bin: 256}}}}
split: {{strategy: time_based, train: {{fraction: 0.8}}, test: {{fraction: 0.2}}, delay_days: 0}}
seed_policy: {{recipe: fixed, base_seed: 7}}
limits: {{max_rows: 1000000000, memory_mib: 65536}}
"
    )
}
