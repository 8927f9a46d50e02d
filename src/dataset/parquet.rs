//! Parquet in, columns out. Runs only in the trainer's child process: a hostile file may make a decoder
//! panic or ask for memory, and must not take the worker with it.

use crate::contract::{ColumnRoles, Feature};
use crate::pipeline::{EntityColumn, RowIds, Table};
use crate::run::{Failure, FailureCode};
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::path::PathBuf;

const BATCH_ROWS: usize = 64 * 1024;

/// Reads the named columns of these files. `rows` are the counts that the manifest pins, one per file;
/// `max_rows` bounds their sum.
pub fn read_table(
    files: &[(PathBuf, u64)],
    roles: &ColumnRoles,
    features: &[Feature],
    max_rows: u64,
) -> Result<Table, Failure> {
    let total: u64 = files.iter().map(|(_, rows)| rows).sum();
    if total > max_rows {
        return Err(invalid(format!("{total} rows are more than the {max_rows} that the profile allows")));
    }
    let mut reading = Reading::new(roles, features, total as usize);
    for (index, (path, rows)) in files.iter().enumerate() {
        reading.read(index, path, *rows).map_err(|why| invalid(format!("file {index}: {why}")))?;
    }
    Ok(reading.finish())
}

fn invalid(why: String) -> Failure {
    Failure::new(FailureCode::DatasetInvalid, why)
}

/// Numbers for entities: equal values, equal numbers, over all files.
#[derive(Default)]
struct Interner {
    numbers: HashMap<i64, u32>,
    texts: HashMap<String, u32>,
}

impl Interner {
    fn next(&self) -> u32 {
        (self.numbers.len() + self.texts.len()) as u32
    }

    fn number(&mut self, value: i64) -> u32 {
        let next = self.next();
        *self.numbers.entry(value).or_insert(next)
    }

    fn text(&mut self, value: &str) -> u32 {
        let next = self.next();
        *self.texts.entry(value.to_owned()).or_insert(next)
    }
}

struct Reading<'a> {
    roles: &'a ColumnRoles,
    features: &'a [Feature],
    table: Table,
    interners: Vec<Interner>,
}

impl<'a> Reading<'a> {
    fn new(roles: &'a ColumnRoles, features: &'a [Feature], rows: usize) -> Self {
        // The counts were checked against the profile's bound, so they may size the columns.
        let column = || Vec::with_capacity(rows);
        let table = Table {
            event_time: column(),
            label: Vec::with_capacity(rows),
            row_id: RowIds::Numbers(Vec::new()),
            label_observed_time: roles.label_observed_time.as_ref().map(|_| column()),
            feature_time: roles.feature_time.as_ref().map(|_| column()),
            entities: roles
                .entities
                .iter()
                .map(|name| EntityColumn { name: name.clone(), ids: Vec::with_capacity(rows) })
                .collect(),
            features: features.iter().map(|_| Vec::with_capacity(rows)).collect(),
        };
        Self { roles, features, table, interners: roles.entities.iter().map(|_| Interner::default()).collect() }
    }

    fn read(&mut self, index: usize, path: &PathBuf, rows: u64) -> Result<(), String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| error.to_string())?;
        let found = builder.metadata().file_metadata().num_rows();
        if found != rows as i64 {
            return Err(format!("it holds {found} rows, the manifest says {rows}"));
        }
        let mut wanted: BTreeSet<&str> = self.features.iter().map(|feature| feature.name.as_str()).collect();
        wanted.extend([self.roles.event_time.as_str(), &self.roles.label, &self.roles.row_id]);
        wanted.extend(self.roles.label_observed_time.as_deref());
        wanted.extend(self.roles.feature_time.as_deref());
        wanted.extend(self.roles.entities.iter().map(String::as_str));
        let mut roots = Vec::with_capacity(wanted.len());
        for name in wanted {
            let position = builder.schema().fields().iter().position(|field| field.name() == name);
            roots.push(position.ok_or_else(|| format!("there is no column {name:?}"))?);
        }
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader =
            builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|error| error.to_string())?;
        let before = self.table.rows();
        for batch in reader {
            let batch = batch.map_err(|error| error.to_string())?;
            self.append(index, &batch)?;
        }
        let read = self.table.rows() - before;
        if read as u64 == rows { Ok(()) } else { Err(format!("{read} rows came out, the manifest says {rows}")) }
    }

    fn append(&mut self, file: usize, batch: &RecordBatch) -> Result<(), String> {
        let column = |name: &str| {
            batch.column_by_name(name).ok_or_else(|| format!("there is no column {name:?}")).map(AsRef::as_ref)
        };
        let named = |name: &str| {
            let name = name.to_owned();
            move |why: String| format!("column {name:?}: {why}")
        };
        let (roles, table) = (self.roles, &mut self.table);
        times(column(&roles.event_time)?, &mut table.event_time).map_err(named(&roles.event_time))?;
        labels(column(&roles.label)?, &mut table.label).map_err(named(&roles.label))?;
        row_ids(file, column(&roles.row_id)?, &mut table.row_id).map_err(named(&roles.row_id))?;
        for (name, into) in [
            (&roles.label_observed_time, &mut table.label_observed_time),
            (&roles.feature_time, &mut table.feature_time),
        ] {
            if let (Some(name), Some(into)) = (name, into) {
                times(column(name)?, into).map_err(named(name))?;
            }
        }
        for (entity, interner) in table.entities.iter_mut().zip(&mut self.interners) {
            let name = entity.name.clone();
            entities(column(&name)?, interner, &mut entity.ids).map_err(named(&name))?;
        }
        for (feature, into) in self.features.iter().zip(&mut table.features) {
            numbers(column(&feature.name)?, into).map_err(named(&feature.name))?;
        }
        Ok(())
    }

    fn finish(self) -> Table {
        self.table
    }
}

macro_rules! push_as_f32 {
    ($array:expr, $into:expr, $type:ty) => {
        $into.extend($array.as_primitive::<$type>().iter().map(|value| value.map_or(f32::NAN, |value| value as f32)))
    };
}

/// A numeric feature as f32; null is missing.
fn numbers(array: &dyn Array, into: &mut Vec<f32>) -> Result<(), String> {
    let start = into.len();
    match array.data_type() {
        DataType::Float32 => push_as_f32!(array, into, Float32Type),
        DataType::Float64 => push_as_f32!(array, into, Float64Type),
        DataType::Int8 => push_as_f32!(array, into, Int8Type),
        DataType::Int16 => push_as_f32!(array, into, Int16Type),
        DataType::Int32 => push_as_f32!(array, into, Int32Type),
        DataType::Int64 => push_as_f32!(array, into, Int64Type),
        DataType::UInt8 => push_as_f32!(array, into, UInt8Type),
        DataType::UInt16 => push_as_f32!(array, into, UInt16Type),
        DataType::UInt32 => push_as_f32!(array, into, UInt32Type),
        DataType::UInt64 => push_as_f32!(array, into, UInt64Type),
        DataType::Boolean => into
            .extend(array.as_boolean().iter().map(|value| value.map_or(f32::NAN, |value| f32::from(u8::from(value))))),
        other => return Err(format!("a numeric feature cannot be read from {other}")),
    }
    match into[start..].iter().position(|value| value.is_infinite()) {
        Some(row) => Err(format!("the value in row {} is infinite as a 32-bit float", start + row)),
        None => Ok(()),
    }
}

macro_rules! integers {
    ($array:expr, $type:ty) => {
        $array.as_primitive::<$type>().iter().map(|value| value.map(|value| i64::from(value))).collect()
    };
}

/// Integers of any width; none where the type is another one.
fn whole_numbers(array: &dyn Array) -> Option<Vec<Option<i64>>> {
    Some(match array.data_type() {
        DataType::Int8 => integers!(array, Int8Type),
        DataType::Int16 => integers!(array, Int16Type),
        DataType::Int32 => integers!(array, Int32Type),
        DataType::Int64 => integers!(array, Int64Type),
        DataType::UInt8 => integers!(array, UInt8Type),
        DataType::UInt16 => integers!(array, UInt16Type),
        DataType::UInt32 => integers!(array, UInt32Type),
        _ => return None,
    })
}

fn texts(array: &dyn Array) -> Option<Vec<Option<&str>>> {
    match array.data_type() {
        DataType::Utf8 => Some(array.as_string::<i32>().iter().collect()),
        DataType::LargeUtf8 => Some(array.as_string::<i64>().iter().collect()),
        _ => None,
    }
}

/// 0 or 1, or a boolean; a row without label is no row to learn from.
fn labels(array: &dyn Array, into: &mut Vec<bool>) -> Result<(), String> {
    let start = into.len();
    let missing = |row: usize| format!("the label in row {} is null", start + row);
    if let DataType::Boolean = array.data_type() {
        for (row, value) in array.as_boolean().iter().enumerate() {
            into.push(value.ok_or_else(|| missing(row))?);
        }
        return Ok(());
    }
    let Some(values) = whole_numbers(array) else {
        return Err(format!("a label is a boolean or an integer, not {}", array.data_type()));
    };
    for (row, value) in values.into_iter().enumerate() {
        match value {
            Some(0) => into.push(false),
            Some(1) => into.push(true),
            Some(other) => return Err(format!("the label in row {} is {other}, not 0 or 1", start + row)),
            None => return Err(missing(row)),
        }
    }
    Ok(())
}

/// Timestamps of any unit as microseconds.
fn times(array: &dyn Array, into: &mut Vec<i64>) -> Result<(), String> {
    let start = into.len();
    let DataType::Timestamp(unit, _) = array.data_type() else {
        return Err(format!("a time is a timestamp, not {}", array.data_type()));
    };
    let mut push = |row: usize, micros: Option<i64>| match micros {
        Some(micros) => {
            into.push(micros);
            Ok(())
        }
        None => Err(format!("the time in row {} is null or out of range", start + row)),
    };
    match unit {
        TimeUnit::Second => {
            for (row, value) in array.as_primitive::<TimestampSecondType>().iter().enumerate() {
                push(row, value.and_then(|v| v.checked_mul(1_000_000)))?;
            }
        }
        TimeUnit::Millisecond => {
            for (row, value) in array.as_primitive::<TimestampMillisecondType>().iter().enumerate() {
                push(row, value.and_then(|v| v.checked_mul(1_000)))?;
            }
        }
        TimeUnit::Microsecond => {
            for (row, value) in array.as_primitive::<TimestampMicrosecondType>().iter().enumerate() {
                push(row, value)?;
            }
        }
        TimeUnit::Nanosecond => {
            for (row, value) in array.as_primitive::<TimestampNanosecondType>().iter().enumerate() {
                push(row, value.map(|v| v.div_euclid(1_000)))?;
            }
        }
    }
    Ok(())
}

fn row_ids(file: usize, array: &dyn Array, into: &mut RowIds) -> Result<(), String> {
    let missing = || "a row id is null".to_owned();
    if let Some(values) = whole_numbers(array) {
        let RowIds::Numbers(ids) = into else {
            return Err(format!("row ids of file {file} are numbers, those before are text"));
        };
        for value in values {
            ids.push(value.ok_or_else(missing)?);
        }
        return Ok(());
    }
    let Some(values) = texts(array) else {
        return Err(format!("a row id is an integer or text, not {}", array.data_type()));
    };
    if matches!(into, RowIds::Numbers(ids) if ids.is_empty()) {
        *into = RowIds::Texts(Vec::new());
    }
    let RowIds::Texts(ids) = into else {
        return Err(format!("row ids of file {file} are text, those before are numbers"));
    };
    for value in values {
        ids.push(value.ok_or_else(missing)?.to_owned());
    }
    Ok(())
}

fn entities(array: &dyn Array, interner: &mut Interner, into: &mut Vec<u32>) -> Result<(), String> {
    let missing = || "an entity is null".to_owned();
    if let Some(values) = whole_numbers(array) {
        for value in values {
            into.push(interner.number(value.ok_or_else(missing)?));
        }
        return Ok(());
    }
    let Some(values) = texts(array) else {
        return Err(format!("an entity is an integer or text, not {}", array.data_type()));
    };
    for value in values {
        into.push(interner.text(value.ok_or_else(missing)?));
    }
    Ok(())
}
