//! Scores out: what the evaluation used, row by row, for whoever wants to check it.

use crate::pipeline::{RowIds, Table};
use arrow_array::{ArrayRef, BooleanArray, Float32Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Writes the columns `row_id`, `label` and `score` (probability of fraud) for these rows of the table,
/// in this order.
pub fn write_scores(path: &Path, table: &Table, rows: &[usize], scores: &[f32]) -> Result<(), ParquetError> {
    let row_id: ArrayRef = match &table.row_id {
        RowIds::Numbers(ids) => Arc::new(rows.iter().map(|&row| ids[row]).collect::<Int64Array>()),
        RowIds::Texts(ids) => Arc::new(StringArray::from_iter_values(rows.iter().map(|&row| &ids[row]))),
    };
    let label: ArrayRef = Arc::new(rows.iter().map(|&row| Some(table.label[row])).collect::<BooleanArray>());
    let score: ArrayRef = Arc::new(Float32Array::from(scores.to_vec()));
    let batch = RecordBatch::try_from_iter([("row_id", row_id), ("label", label), ("score", score)])?;
    let mut writer = ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(())
}
