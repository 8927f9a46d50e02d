//! Writes scores: those that the evaluation used, row by row, so that anybody can check the metrics. Also those of the
//! command `score`.

use crate::modelling::{RowIds, Table};
use arrow_array::{ArrayRef, BooleanArray, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Writes `row_id`, `label` and `score` (probability of fraud) of the given rows of the table, in the given order.
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

/// Largest number of rows that are kept in memory before they are written.
const ROW_GROUP: usize = 128 * 1024;

/// What is written of each row beside its id. All columns of one file are the same.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreColumns {
    /// Probabilities of fraud: the column `score`.
    pub scores: Vec<f32>,
    /// The column `decision`.
    pub decisions: Option<Vec<bool>>,
    /// The column `champion_score`.
    pub champion_scores: Option<Vec<f64>>,
}

/// Writes the column `row_id` and [`ScoreColumns`] batch by batch.
pub struct ScoreWriter {
    path: PathBuf,
    about: BTreeMap<String, String>,
    writer: Option<ArrowWriter<File>>,
}

impl ScoreWriter {
    /// Writes `about` into the file's key-value metadata.
    pub fn new(path: PathBuf, about: BTreeMap<String, String>) -> Self {
        Self { path, about, writer: None }
    }

    /// Appends rows. The ids of one file must be all numbers or all text.
    pub fn write(&mut self, row_ids: RowIds, of_rows: ScoreColumns) -> Result<(), ParquetError> {
        let row_id: ArrayRef = match row_ids {
            RowIds::Numbers(ids) => Arc::new(Int64Array::from(ids)),
            RowIds::Texts(ids) => Arc::new(StringArray::from(ids)),
        };
        let score: ArrayRef = Arc::new(Float32Array::from(of_rows.scores));
        let mut columns = vec![("row_id", row_id), ("score", score)];
        if let Some(decisions) = of_rows.decisions {
            columns.push(("decision", Arc::new(BooleanArray::from(decisions))));
        }
        if let Some(scores) = of_rows.champion_scores {
            columns.push(("champion_score", Arc::new(Float64Array::from(scores))));
        }
        let batch = RecordBatch::try_from_iter(columns)?;
        let writer = if let Some(writer) = &mut self.writer {
            writer
        } else {
            let about = self.about.iter().map(|(key, value)| KeyValue::new(key.clone(), value.clone())).collect();
            let properties = WriterProperties::builder()
                .set_key_value_metadata(Some(about))
                .set_max_row_group_row_count(Some(ROW_GROUP))
                .build();
            self.writer.insert(ArrowWriter::try_new(File::create(&self.path)?, batch.schema(), Some(properties))?)
        };
        writer.write(&batch)
    }

    /// Ends the file and syncs it to disk. `none` are the columns of no rows.
    pub fn finish(mut self, none: ScoreColumns) -> Result<(), ParquetError> {
        if self.writer.is_none() {
            // Writes an empty batch, so that a file without rows still has its columns.
            self.write(RowIds::Numbers(Vec::new()), none)?;
        }
        if let Some(writer) = self.writer {
            writer.into_inner()?.sync_all()?;
        }
        Ok(())
    }
}
