//! Exchanges Parquet files with a registered trainer command: rows out, scores in.
//!
//! The scores come from code that Model Factory does not trust, so that only the trainer's child process decodes them.

use crate::domain::contract::Feature;
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{RowIds, Table};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float32Type, Float64Type, Int32Type, Int64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

const BATCH_ROWS: usize = 64 * 1024;
/// Rows per row group. Small enough that a distributed trainer can read one row group at a time.
const ROW_GROUP: usize = 4 * BATCH_ROWS;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelColumn {
    /// The label is written, and the weight, for rows to train on.
    Given,
    /// The label is left out, for rows to score. So is the weight, which may give the label away.
    Withheld,
}

/// Writes the given rows of the table, in the given order. Columns: `row_id`; `event_time` (microseconds, UTC) if the
/// table has it; `label` if wanted, and with it `weight` if the table has it; then the features as 32-bit floats. Null
/// means missing. A category is written as its code.
pub fn write_rows(
    path: &Path,
    table: &Table,
    rows: &[usize],
    features: &[Feature],
    labels: LabelColumn,
) -> Result<(), ParquetError> {
    let mut writer = None;
    // Writes an empty batch, so that a file without rows still has its columns.
    let empty: [&[usize]; 1] = [&[]];
    let batches: Vec<&[usize]> = if rows.is_empty() { empty.to_vec() } else { rows.chunks(BATCH_ROWS).collect() };
    for rows in batches {
        let batch = batch(table, rows, features, labels)?;
        let writer = match &mut writer {
            Some(writer) => writer,
            None => writer.insert(ArrowWriter::try_new(File::create(path)?, batch.schema(), None)?),
        };
        writer.write(&batch)?;
        if writer.in_progress_rows() >= ROW_GROUP {
            writer.flush()?;
        }
    }
    writer.map_or(Ok(()), |writer| writer.close().map(|_| ()))
}

fn batch(
    table: &Table,
    rows: &[usize],
    features: &[Feature],
    labels: LabelColumn,
) -> Result<RecordBatch, ParquetError> {
    let row_id: ArrayRef = match &table.row_id {
        RowIds::Numbers(ids) => Arc::new(rows.iter().map(|&row| ids[row]).collect::<Int64Array>()),
        RowIds::Texts(ids) => Arc::new(StringArray::from_iter_values(rows.iter().map(|&row| &ids[row]))),
    };
    let mut columns: Vec<(&str, ArrayRef)> = vec![("row_id", row_id)];
    if let Some(at) = &table.event_time {
        let times = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|&row| at[row]));
        columns.push(("event_time", Arc::new(times.with_timezone("UTC"))));
    }
    if labels == LabelColumn::Given {
        let labels: BooleanArray = rows.iter().map(|&row| Some(table.label[row])).collect();
        columns.push(("label", Arc::new(labels)));
        if let Some(weights) = &table.weight {
            let weights = Float32Array::from_iter_values(rows.iter().map(|&row| weights[row]));
            columns.push(("weight", Arc::new(weights)));
        }
    }
    for (index, feature) in features.iter().enumerate() {
        let value = |&row: &usize| Some(table.features.value(row, index)).filter(|value| !value.is_nan());
        let values: Float32Array = rows.iter().map(value).collect();
        columns.push((&feature.name, Arc::new(values)));
    }
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let schema = Schema::new(columns.iter().map(field).collect::<Vec<_>>());
    Ok(RecordBatch::try_new(Arc::new(schema), columns.into_iter().map(|(_, column)| column).collect())?)
}

/// Reads `row_id` and `score` from the file that a command wrote. Returns an error if the file does not have `expected`
/// rows, or if a score, as a 32-bit float, is not a number from 0 to 1.
pub fn read_scores(path: &Path, expected: usize) -> Result<(RowIds, Vec<f32>), Failure> {
    read(path, expected)
        .map_err(|why| Failure::new(FailureCode::TrainerFailed, format!("the command's scores.parquet: {why}")))
}

fn read(path: &Path, expected: usize) -> Result<(RowIds, Vec<f32>), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
    let found = builder.metadata().file_metadata().num_rows();
    if found != expected as i64 {
        return Err(format!("it holds {found} rows, {expected} were to be scored"));
    }
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(|error| error.to_string())?;
    let mut ids = None;
    let mut scores = Vec::with_capacity(expected);
    for batch in reader {
        let batch = batch.map_err(|error| error.to_string())?;
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| format!("there is no column {name:?}"));
        append_ids(column("row_id")?, &mut ids)?;
        append_scores(column("score")?, &mut scores)?;
    }
    Ok((ids.unwrap_or(RowIds::Numbers(Vec::new())), scores))
}

fn append_ids(array: &dyn Array, into: &mut Option<RowIds>) -> Result<(), String> {
    if array.null_count() > 0 {
        return Err("a row_id is null".to_owned());
    }
    let batch = match array.data_type() {
        DataType::Int64 => RowIds::Numbers(array.as_primitive::<Int64Type>().values().to_vec()),
        DataType::Int32 => {
            RowIds::Numbers(array.as_primitive::<Int32Type>().values().iter().map(|&id| id.into()).collect())
        }
        DataType::UInt32 => {
            RowIds::Numbers(array.as_primitive::<UInt32Type>().values().iter().map(|&id| id.into()).collect())
        }
        DataType::Utf8 => RowIds::Texts(array.as_string::<i32>().iter().flatten().map(str::to_owned).collect()),
        DataType::LargeUtf8 => RowIds::Texts(array.as_string::<i64>().iter().flatten().map(str::to_owned).collect()),
        other => return Err(format!("a row_id is an integer or text, not {other}")),
    };
    match (into.as_mut(), batch) {
        (None, batch) => *into = Some(batch),
        (Some(RowIds::Numbers(ids)), RowIds::Numbers(more)) => ids.extend(more),
        (Some(RowIds::Texts(ids)), RowIds::Texts(more)) => ids.extend(more),
        (Some(RowIds::Numbers(_)), RowIds::Texts(_)) | (Some(RowIds::Texts(_)), RowIds::Numbers(_)) => {
            return Err("row ids are numbers here and text there".to_owned());
        }
    }
    Ok(())
}

fn append_scores(array: &dyn Array, into: &mut Vec<f32>) -> Result<(), String> {
    let start = into.len();
    match array.data_type() {
        DataType::Float32 => into.extend(array.as_primitive::<Float32Type>().iter().map(|v| v.unwrap_or(f32::NAN))),
        DataType::Float64 => {
            into.extend(array.as_primitive::<Float64Type>().iter().map(|v| v.map_or(f32::NAN, |v| v as f32)));
        }
        other => return Err(format!("a score is a float, not {other}")),
    }
    match into[start..].iter().position(|score| !(0.0..=1.0).contains(score)) {
        Some(row) => Err(format!("the score in row {} is {}, not from 0 to 1", start + row, into[start + row])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::contract::FeatureKind;
    use crate::modelling::Features;

    fn table() -> Table {
        Table {
            event_time: Some(vec![1, 2, 3]),
            label: vec![false, true, false],
            row_id: RowIds::Texts(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]),
            label_observed_time: None,
            feature_time: None,
            weight: None,
            entities: vec![],
            amount: None,
            features: Features::new(1, vec![1.5, f32::NAN, 2.5], vec![None]),
        }
    }

    #[test]
    fn rows_to_be_scored_have_no_label() {
        let folder = tempfile::tempdir().unwrap();
        let feature = Feature { name: "amount".to_owned(), kind: FeatureKind::Numeric, monotone: None };
        for (labels, expected) in [
            (LabelColumn::Given, vec!["row_id", "event_time", "label", "amount"]),
            (LabelColumn::Withheld, vec!["row_id", "event_time", "amount"]),
        ] {
            let path = folder.path().join("rows.parquet");
            write_rows(&path, &table(), &[2, 1], std::slice::from_ref(&feature), labels).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            let names: Vec<String> = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
            assert_eq!(names, expected);
            let batch = reader.build().unwrap().next().unwrap().unwrap();
            let ids: Vec<_> = batch.column(0).as_string::<i32>().iter().flatten().collect();
            assert_eq!(ids, ["c", "b"]);
            assert!(batch.column_by_name("amount").unwrap().is_null(1), "what is missing is null");
        }
        let path = folder.path().join("weighted.parquet");
        let weighted = Table { weight: Some(vec![10.0, 1.0, 2.5]), ..table() };
        for (labels, is_written) in [(LabelColumn::Given, true), (LabelColumn::Withheld, false)] {
            write_rows(&path, &weighted, &[2, 1], std::slice::from_ref(&feature), labels).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
            let batch = reader.build().unwrap().next().unwrap().unwrap();
            let weights = batch.column_by_name("weight").map(|column| column.as_primitive::<Float32Type>().values());
            assert_eq!(weights.map(|values| values.to_vec()), is_written.then(|| vec![2.5, 1.0]));
        }
        let timeless = Table { event_time: None, ..table() };
        let path = folder.path().join("timeless.parquet");
        write_rows(&path, &timeless, &[0], std::slice::from_ref(&feature), LabelColumn::Withheld).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        assert!(reader.schema().field_with_name("event_time").is_err(), "no time where the data has none");
    }

    #[test]
    fn scores_must_be_numbers_from_0_to_1_one_for_each_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.parquet");
        let write = |scores: Vec<f64>| {
            let ids: ArrayRef = Arc::new((0..scores.len() as i64).collect::<Int64Array>());
            let scores: ArrayRef = Arc::new(arrow_array::Float64Array::from(scores));
            let batch = RecordBatch::try_from_iter([("row_id", ids), ("score", scores)]).unwrap();
            let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            writer.close().unwrap();
        };
        write(vec![0.0, 1.0]);
        assert_eq!(read_scores(&path, 2).unwrap(), (RowIds::Numbers(vec![0, 1]), vec![0.0, 1.0]));
        assert!(read_scores(&path, 3).unwrap_err().message.contains("holds 2 rows, 3 were"));
        for bad in [f64::NAN, f64::INFINITY, -0.1, 1.1] {
            write(vec![0.5, bad]);
            assert!(read_scores(&path, 2).unwrap_err().message.contains("score in row 1"), "{bad}");
        }
    }
}
