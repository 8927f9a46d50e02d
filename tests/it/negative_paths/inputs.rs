//! Manifests, profiles and data files that differ from the good ones in one thing.

use crate::support::data;
use arrow_array::{ArrayRef, RecordBatch};
use model_factory::domain::identity::Digest;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use std::sync::LazyLock;

/// Writes a file below the root of the inputs; returns its reference.
pub fn file(name: &str, bytes: &[u8]) -> String {
    let reference = format!("negative/{name}");
    let path = data().folder.join(&reference);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    reference
}

/// A link below the root of the inputs to a file outside it.
pub fn link_out(name: &str) -> String {
    let placeholder = file(&format!("beside-{name}"), b"");
    let link = data().folder.join(placeholder).with_file_name(name);
    let _ = std::os::unix::fs::symlink("/etc/hostname", link);
    format!("negative/{name}")
}

/// A manifest like the good one, changed.
pub fn manifest(name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value: Value = serde_json::from_slice(&good(&data().inputs.manifest)).unwrap();
    value["dataset_manifest_id"] = json!(name);
    change(&mut value);
    file(&format!("{name}.json"), value.to_string().as_bytes())
}

/// A training profile that is quick to fit.
pub fn quick() -> String {
    static QUICK: LazyLock<String> = LazyLock::new(|| {
        let text = String::from_utf8(good(&data().inputs.training_profile)).unwrap();
        let quick = replaced(&text, "rounds: 200, max_depth: 5", "rounds: 10, max_depth: 4");
        file("quick.yaml", quick.as_bytes())
    });
    QUICK.clone()
}

/// The quick training profile with one part replaced.
pub fn training(name: &str, from: &str, to: &str) -> String {
    let text = String::from_utf8(good(&quick())).unwrap();
    file(&format!("{name}.yaml"), replaced(&text, from, to).as_bytes())
}

/// A training profile whose fit does not end by itself.
pub fn endless(name: &str, limits: &str) -> String {
    let text = String::from_utf8(good("profiles/long_training.yaml")).unwrap();
    let limited = replaced(&text, "limits: {wall_seconds: 600, memory_mib: 4096, max_rows: 1000000}", limits);
    file(&format!("{name}.yaml"), limited.as_bytes())
}

/// A governance profile with these controls and thresholds.
pub fn governance(name: &str, pass_gate: bool, rest: &str) -> String {
    let text = format!("policy_id: {name}\nrevision: r1\ncontrols: {{require_pass_gate: {pass_gate}}}\n{rest}\n");
    file(&format!("{name}.yaml"), text.as_bytes())
}

/// A data file made of the good one's rows, and a manifest that pins it.
pub fn dataset(name: &str, change: impl FnOnce(RecordBatch) -> RecordBatch) -> String {
    let batch = change(rows());
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    let bytes = writer.into_inner().unwrap();
    let rows = batch.num_rows();
    pinned(name, &bytes, rows)
}

/// A manifest that pins these bytes as its only data file.
pub fn pinned(name: &str, bytes: &[u8], rows: usize) -> String {
    let reference = file(&format!("{name}.parquet"), bytes);
    manifest(name, |manifest| {
        let pinned = &mut manifest["materializations"][0];
        pinned["ref"] = json!(reference);
        pinned["sha256"] = json!(Digest::of(bytes));
        pinned["bytes"] = json!(bytes.len());
        pinned["rows"] = json!(rows);
    })
}

/// The rows with one column replaced, or left out.
pub fn with_column(batch: &RecordBatch, name: &str, column: Option<&ArrayRef>) -> RecordBatch {
    let schema = batch.schema();
    let columns = schema.fields().iter().zip(batch.columns()).filter_map(|(field, old)| {
        let new = if field.name() == name { column } else { Some(old) };
        Some((field.name().clone(), new?.clone()))
    });
    RecordBatch::try_from_iter(columns).unwrap()
}

fn rows() -> RecordBatch {
    let file = std::fs::File::open(data().folder.join("ofs/data/cards.parquet")).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let all = builder.metadata().file_metadata().num_rows() as usize;
    let mut batches = builder.with_batch_size(all).build().unwrap();
    batches.next().unwrap().unwrap()
}

fn good(reference: &str) -> Vec<u8> {
    std::fs::read(data().folder.join(reference)).unwrap()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in the profile");
    text.replace(from, to)
}
