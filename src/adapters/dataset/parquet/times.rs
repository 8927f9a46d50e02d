//! Decodes times to microseconds since 1970-01-01T00:00:00Z. A timestamp without a zone is read as UTC.

use super::numbers::value_indexes;
use crate::modelling::Table;
use arrow_array::Array;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Date32Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow_schema::{DataType, TimeUnit};

/// Decodes a column of times. Null and times out of range are errors.
pub(super) fn times(array: &dyn Array, into: &mut Vec<i64>) -> Result<(), String> {
    let first = into.len();
    for (row, micros) in instants(array)?.into_iter().enumerate() {
        into.push(micros.ok_or_else(|| format!("the time in row {} is null or out of range", first + row))?);
    }
    Ok(())
}

/// Decodes the times at which labels became known. May be null for a legitimate payment. Null for a fraud is an error.
pub(super) fn observed_times(array: &dyn Array, labels: &[bool], into: &mut Vec<i64>) -> Result<(), String> {
    let first = into.len();
    for (row, (micros, fraud)) in instants(array)?.into_iter().zip(labels).enumerate() {
        into.push(match micros {
            Some(micros) => micros,
            None if !fraud && array.is_null(row) => Table::NEVER,
            None => return Err(format!("row {} is a fraud that was never observed, or out of range", first + row)),
        });
    }
    Ok(())
}

fn instants(array: &dyn Array) -> Result<Vec<Option<i64>>, String> {
    const DAY: i64 = 86_400_000_000;
    Ok(match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            let values = array.as_primitive::<TimestampSecondType>().iter();
            values.map(|value| value.and_then(|v| v.checked_mul(1_000_000))).collect()
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            let values = array.as_primitive::<TimestampMillisecondType>().iter();
            values.map(|value| value.and_then(|v| v.checked_mul(1_000))).collect()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            array.as_primitive::<TimestampMicrosecondType>().iter().collect()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            let values = array.as_primitive::<TimestampNanosecondType>().iter();
            values.map(|value| value.map(|v| v.div_euclid(1_000))).collect()
        }
        DataType::Date32 => {
            array.as_primitive::<Date32Type>().iter().map(|value| value.map(|v| i64::from(v) * DAY)).collect()
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = instants(dictionary.values().as_ref())?;
            value_indexes(dictionary).map(|index| index.and_then(|index| values[index])).collect()
        }
        other => return Err(format!("a time is a timestamp or a date, not {other}")),
    })
}
