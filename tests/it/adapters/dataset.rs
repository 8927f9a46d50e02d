//! Parquet files: what is read, and what is refused for which reason.

use arrow_array::types::{Int32Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array,
    Int8Array, Int16Array, Int32Array, Int64Array, LargeStringArray, ListArray, NullArray, PrimitiveArray, RecordBatch,
    StringArray, TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray, UInt8Array, UInt16Array,
    UInt32Array, UInt64Array,
};
use model_factory::adapters::dataset::read_table;
use model_factory::domain::contract::{CategoryValue, ColumnRoles, Feature, FeatureKind, Limits};
use model_factory::domain::run::{Failure, FailureCode};
use model_factory::modelling::{RowIds, Table};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ROWS: u64 = 3;

fn roles() -> ColumnRoles {
    ColumnRoles {
        event_time: Some("at".to_owned()),
        label: "fraud".to_owned(),
        row_id: "id".to_owned(),
        label_observed_time: None,
        feature_time: None,
        weight: None,
        entities: vec!["card".to_owned()],
        amount: None,
    }
}

fn feature(name: &str, kind: FeatureKind) -> Feature {
    Feature { name: name.to_owned(), kind, monotone: None }
}

fn columns() -> Vec<(&'static str, ArrayRef)> {
    vec![
        ("at", Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3]))),
        ("fraud", Arc::new(Int8Array::from(vec![0, 1, 0]))),
        ("id", Arc::new(Int64Array::from(vec![10, 11, 12]))),
        ("card", Arc::new(StringArray::from(vec!["a", "b", "a"]))),
    ]
}

fn with(name: &'static str, array: impl Array + 'static) -> Vec<(&'static str, ArrayRef)> {
    let mut columns = columns();
    columns.retain(|(known, _)| *known != name);
    columns.push((name, Arc::new(array)));
    columns
}

fn write(
    folder: &Path,
    name: &str,
    columns: Vec<(&'static str, ArrayRef)>,
    compression: Compression,
) -> (PathBuf, u64) {
    let nullable = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(nullable).unwrap();
    let path = folder.join(name);
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer =
        ArrowWriter::try_new(std::fs::File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    (path, batch.num_rows() as u64)
}

fn read(columns: Vec<(&'static str, ArrayRef)>, features: &[Feature]) -> Result<Table, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let file = write(folder.path(), "x.parquet", columns, Compression::SNAPPY);
    read_table(&[file], &roles(), features, &Limits::default())
}

fn numbers(array: impl Array + 'static) -> Vec<String> {
    let table = read(with("x", array), &[feature("x", FeatureKind::Numeric)]).unwrap();
    table.features.column(0).map(|value| value.to_string()).collect()
}

fn refused(columns: Vec<(&'static str, ArrayRef)>, features: &[Feature], reason: &str) {
    let failure = read(columns, features).unwrap_err();
    assert_eq!(failure.code, FailureCode::DatasetInvalid);
    assert!(failure.message.contains(reason), "{:?} does not say {reason:?}", failure.message);
}

#[test]
fn numbers_of_every_width_become_floats_and_null_is_missing() {
    let expected = ["1", "NaN", "7"];
    let values = || [Some(1), None, Some(7)];
    assert_eq!(numbers(Int8Array::from(values().map(|v| v.map(|v: i32| v as i8)).to_vec())), expected);
    assert_eq!(numbers(Int16Array::from(values().map(|v| v.map(|v: i32| v as i16)).to_vec())), expected);
    assert_eq!(numbers(Int32Array::from(values().to_vec())), expected);
    assert_eq!(numbers(Int64Array::from(values().map(|v| v.map(i64::from)).to_vec())), expected);
    assert_eq!(numbers(UInt8Array::from(values().map(|v| v.map(|v: i32| v as u8)).to_vec())), expected);
    assert_eq!(numbers(UInt16Array::from(values().map(|v| v.map(|v: i32| v as u16)).to_vec())), expected);
    assert_eq!(numbers(UInt32Array::from(values().map(|v| v.map(|v: i32| v as u32)).to_vec())), expected);
    assert_eq!(numbers(UInt64Array::from(values().map(|v| v.map(|v: i32| v as u64)).to_vec())), expected);
    assert_eq!(numbers(Float32Array::from(vec![1.0, f32::NAN, 7.0])), expected);
    assert_eq!(numbers(Float64Array::from(vec![Some(1.0), None, Some(7.0)])), expected);
    assert_eq!(numbers(BooleanArray::from(vec![Some(true), None, Some(false)])), ["1", "NaN", "0"]);
    let decimal = Decimal128Array::from(vec![Some(150), None, Some(-25)]).with_precision_and_scale(10, 2).unwrap();
    assert_eq!(numbers(decimal), ["1.5", "NaN", "-0.25"]);
    assert_eq!(numbers(NullArray::new(3)), ["NaN"; 3]);
    let values: ArrayRef = Arc::new(Float32Array::from(vec![1.0, 7.0]));
    assert_eq!(
        numbers(DictionaryArray::<Int32Type>::new(Int32Array::from(vec![Some(0), None, Some(1)]), values)),
        expected
    );
}

#[test]
fn times_of_every_unit_become_microseconds() {
    let at = |array: ArrayRef| {
        let mut columns = columns();
        columns[0].1 = array;
        read(columns, &[]).unwrap().event_time.unwrap()
    };
    assert_eq!(at(Arc::new(TimestampSecondArray::from(vec![1, 2, -1]))), [-1_000_000, 1_000_000, 2_000_000]);
    assert_eq!(at(Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3]))), [1_000, 2_000, 3_000]);
    let zoned = PrimitiveArray::<TimestampMicrosecondType>::from(vec![1, 2, 3]).with_timezone("Europe/Berlin");
    assert_eq!(at(Arc::new(zoned)), [1, 2, 3]);
    assert_eq!(at(Arc::new(TimestampNanosecondArray::from(vec![1_500, 0, -1]))), [-1, 0, 1]);
    assert_eq!(at(Arc::new(Date32Array::from(vec![0, 1, 2]))), [0, 86_400_000_000, 172_800_000_000]);
}

#[test]
fn categories_are_numbered_alike_over_files_and_encodings() {
    let folder = tempfile::tempdir().unwrap();
    let words: DictionaryArray<Int32Type> = vec![Some("shop"), None, Some("fuel")].into_iter().collect();
    let plain = LargeStringArray::from(vec![Some("fuel"), Some("food"), None]);
    let files = [
        write(folder.path(), "a", with("kind", words), Compression::ZSTD(ZstdLevel::default())),
        write(folder.path(), "b", with("kind", plain), Compression::UNCOMPRESSED),
    ];
    let table = read_table(&files, &roles(), &[feature("kind", FeatureKind::Categorical)], &Limits::default()).unwrap();
    let vocabulary = table.features.vocabulary(0).unwrap();
    let values: Vec<Option<&CategoryValue>> =
        table.features.column(0).map(|number| (!number.is_nan()).then(|| &vocabulary[number as usize])).collect();
    let word = |text: &str| CategoryValue::Text(text.to_owned());
    let (shop, fuel, food) = (word("shop"), word("fuel"), word("food"));
    // Rows of both files by event time and row id; those that agree in both, by their category.
    assert_eq!(values, [Some(&fuel), Some(&shop), Some(&food), None, Some(&fuel), None]);
    assert_eq!(table.entities[0].ids, [0, 0, 1, 1, 0, 0]);
    assert_eq!(table.row_id, RowIds::Numbers(vec![10, 10, 11, 11, 12, 12]));
}

#[test]
fn what_cannot_be_read_is_refused_with_column_and_reason() {
    let numeric = [feature("x", FeatureKind::Numeric)];
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)]), None, Some(vec![])]);
    refused(with("x", list), &numeric, "column \"x\" is nested");
    refused(with("x", StringArray::from(vec!["1", "2", "3"])), &numeric, "cannot be read from Utf8");
    refused(columns(), &numeric, "no column \"x\"");
    refused(with("x", Float64Array::from(vec![0.0, 1e300, 0.0])), &numeric, "row 1 is infinite");
    refused(with("fraud", Int8Array::from(vec![0, 2, 0])), &[], "row 1 is 2, not 0 or 1");
    refused(with("fraud", BooleanArray::from(vec![Some(true), None, None])), &[], "row 1 is null");
    refused(with("id", Int64Array::from(vec![None, Some(1), Some(2)])), &[], "row id is null");
    refused(with("card", StringArray::from(vec![Some("a"), None, None])), &[], "entity in row 1 is null");
    refused(with("at", Int64Array::from(vec![1, 2, 3])), &[], "a time is a timestamp");
    let categorical = [feature("x", FeatureKind::Categorical)];
    refused(with("x", Float32Array::from(vec![1.0, 2.0, 3.0])), &categorical, "is an integer or text, not Float32");
}

#[test]
fn more_than_is_declared_or_allowed_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rows) = write(folder.path(), "x.parquet", columns(), Compression::SNAPPY);
    let failed = |rows: u64, limits: &Limits| {
        let failure = read_table(&[(path.clone(), rows)], &roles(), &[], limits).unwrap_err();
        assert_eq!(failure.code, FailureCode::DatasetInvalid);
        failure.message
    };
    assert_eq!(rows, ROWS);
    assert!(failed(4, &Limits::default()).contains("the manifest says 4"));
    assert!(failed(rows, &Limits { max_rows: 2, ..Limits::default() }).contains("more than the 2"));
    let huge = Limits { max_rows: u64::MAX, ..Limits::default() };
    assert!(failed(1 << 50, &huge).contains("limits.memory_mib"));
}

#[test]
fn a_good_payment_may_have_no_observed_label_and_a_fraud_may_not() {
    let observed = |values: Vec<Option<i64>>| {
        let folder = tempfile::tempdir().unwrap();
        let file =
            write(folder.path(), "x", with("seen", TimestampMillisecondArray::from(values)), Compression::SNAPPY);
        let roles = ColumnRoles { label_observed_time: Some("seen".to_owned()), ..roles() };
        read_table(&[file], &roles, &[], &Limits::default())
    };
    let table = observed(vec![None, Some(5), None]).unwrap();
    assert_eq!(table.label_observed_time.unwrap(), [Table::NEVER, 5_000, Table::NEVER]);
    assert!(observed(vec![None, None, None]).unwrap_err().message.contains("never observed"));
}
