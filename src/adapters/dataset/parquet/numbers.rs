//! Decodes numeric features, amounts and labels.

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{AnyDictionaryArray, Array};
use arrow_schema::DataType;

/// Where the values of one feature are written: one value in every row.
pub(super) struct Slots<'a> {
    values: &'a mut [f32],
    width: usize,
    first_row: usize,
}

impl<'a> Slots<'a> {
    /// Takes whole rows of `width` values each. The first of these rows is row `first_row` of the table.
    pub(super) fn new(rows: &'a mut [f32], width: usize, feature: usize, first_row: usize) -> Self {
        Self { values: &mut rows[feature..], width, first_row }
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut f32> {
        self.values.iter_mut().step_by(self.width)
    }

    fn fill(&mut self, from: impl Iterator<Item = Option<f32>>) -> Result<(), String> {
        let mut infinite = false;
        for (slot, value) in self.iter_mut().zip(from) {
            *slot = value.unwrap_or(f32::NAN);
            infinite |= slot.is_infinite();
        }
        if !infinite {
            return Ok(());
        }
        let first_row = self.first_row;
        let row = self.iter_mut().position(|value| value.is_infinite()).unwrap_or(0);
        Err(format!("the value in row {} is infinite as a 32-bit float", first_row + row))
    }

    fn fill_from<T: ArrowPrimitiveType>(
        &mut self,
        array: &dyn Array,
        as_f32: impl Fn(T::Native) -> f32,
    ) -> Result<(), String> {
        let array = array.as_primitive::<T>();
        if array.null_count() == 0 {
            self.fill(array.values().iter().map(|&value| Some(as_f32(value))))
        } else {
            self.fill(array.iter().map(|value| value.map(&as_f32)))
        }
    }
}

/// Decodes a numeric feature to 32-bit floats. Null and NaN mean missing.
pub(super) fn numbers(array: &dyn Array, mut into: Slots<'_>) -> Result<(), String> {
    match array.data_type() {
        DataType::Float16 => into.fill_from::<Float16Type>(array, f32::from),
        DataType::Float32 => into.fill_from::<Float32Type>(array, |value| value),
        DataType::Float64 => into.fill_from::<Float64Type>(array, |value| value as f32),
        DataType::Int8 => into.fill_from::<Int8Type>(array, f32::from),
        DataType::Int16 => into.fill_from::<Int16Type>(array, f32::from),
        DataType::Int32 => into.fill_from::<Int32Type>(array, |value| value as f32),
        DataType::Int64 => into.fill_from::<Int64Type>(array, |value| value as f32),
        DataType::UInt8 => into.fill_from::<UInt8Type>(array, f32::from),
        DataType::UInt16 => into.fill_from::<UInt16Type>(array, f32::from),
        DataType::UInt32 => into.fill_from::<UInt32Type>(array, |value| value as f32),
        DataType::UInt64 => into.fill_from::<UInt64Type>(array, |value| value as f32),
        DataType::Decimal128(_, scale) => {
            let unit = 10_f64.powi(i32::from(*scale));
            into.fill_from::<Decimal128Type>(array, |value| (value as f64 / unit) as f32)
        }
        DataType::Boolean => {
            into.fill(array.as_boolean().iter().map(|value| value.map(|value| f32::from(u8::from(value)))))
        }
        DataType::Null => Ok(()),
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            let mut plain = vec![f32::NAN; values.len()];
            numbers(values.as_ref(), Slots::new(&mut plain, 1, 0, 0))?;
            into.fill(value_indexes(dictionary).map(|index| index.map(|index| plain[index])))
        }
        other => Err(format!("a numeric feature cannot be read from {other}")),
    }
}

/// Counts the whole numbers of a numeric feature that are not the same number as a 32-bit float, which holds each whole
/// number only up to 2^24. Fractions do not count: floats round them by nature.
pub(super) fn rounded(array: &dyn Array) -> u64 {
    fn count<T: ArrowPrimitiveType>(array: &dyn Array, is_rounded: impl Fn(T::Native) -> bool) -> u64 {
        let array = array.as_primitive::<T>();
        // Nearly always there are none. What stands in place of a null is looked at only if there are some.
        if !array.values().iter().any(|&value| is_rounded(value)) {
            return 0;
        }
        array.iter().flatten().filter(|&value| is_rounded(value)).count() as u64
    }
    const EXACT: f64 = (1 << f32::MANTISSA_DIGITS) as f64;
    let differs = |value: f64| value.abs() > EXACT && value.fract() == 0.0 && f64::from(value as f32) - value != 0.0;
    match array.data_type() {
        DataType::Float64 => count::<Float64Type>(array, differs),
        DataType::Int32 => count::<Int32Type>(array, |value| differs(f64::from(value))),
        DataType::UInt32 => count::<UInt32Type>(array, |value| differs(f64::from(value))),
        DataType::Int64 => count::<Int64Type>(array, |value| {
            value.unsigned_abs() > EXACT as u64 && (value as f32) as i128 != i128::from(value)
        }),
        DataType::UInt64 => {
            count::<UInt64Type>(array, |value| value > EXACT as u64 && (value as f32) as u128 != u128::from(value))
        }
        DataType::Decimal128(_, scale) => {
            let unit = 10_f64.powi(i32::from(*scale));
            count::<Decimal128Type>(array, |value| differs(value as f64 / unit))
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            let values = dictionary.values();
            if rounded(values.as_ref()) == 0 {
                return 0;
            }
            let of_value: Vec<u64> = (0..values.len()).map(|index| rounded(values.slice(index, 1).as_ref())).collect();
            value_indexes(dictionary).flatten().map(|index| of_value[index]).sum()
        }
        _ => 0,
    }
}

/// Returns, for every row of a dictionary-encoded column, the index of its value in the dictionary. `None` for null.
pub(super) fn value_indexes(dictionary: &dyn AnyDictionaryArray) -> impl Iterator<Item = Option<usize>> {
    let keys = dictionary.keys();
    let values = dictionary.values();
    // If the dictionary is empty, every row is null, and `normalized_keys` would panic.
    let indexes = if values.is_empty() { vec![0; keys.len()] } else { dictionary.normalized_keys() };
    indexes
        .into_iter()
        .enumerate()
        .map(move |(row, index)| (keys.is_valid(row) && values.is_valid(index)).then_some(index))
}

/// Decodes integers of up to 64 bits, and booleans as 0 and 1. `None` if the column has another type.
pub(super) fn whole_numbers(array: &dyn Array) -> Option<Vec<Option<i64>>> {
    fn widened<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &dyn Array) -> Vec<Option<i64>> {
        array.as_primitive::<T>().iter().map(|value| value.map(Into::into)).collect()
    }
    Some(match array.data_type() {
        DataType::Int8 => widened::<Int8Type>(array),
        DataType::Int16 => widened::<Int16Type>(array),
        DataType::Int32 => widened::<Int32Type>(array),
        DataType::Int64 => widened::<Int64Type>(array),
        DataType::UInt8 => widened::<UInt8Type>(array),
        DataType::UInt16 => widened::<UInt16Type>(array),
        DataType::UInt32 => widened::<UInt32Type>(array),
        DataType::Boolean => array.as_boolean().iter().map(|value| value.map(i64::from)).collect(),
        _ => return None,
    })
}

/// Decodes labels: 0, 1 or a boolean. Null is an error, because a row without a label cannot be used.
pub(super) fn labels(array: &dyn Array, into: &mut Vec<bool>) -> Result<(), String> {
    let first = into.len();
    let Some(values) = whole_numbers(array) else {
        return Err(format!("a label is a boolean or an integer, not {}", array.data_type()));
    };
    for (row, value) in values.into_iter().enumerate() {
        match value {
            Some(0) => into.push(false),
            Some(1) => into.push(true),
            Some(other) => return Err(format!("the label in row {} is {other}, not 0 or 1", first + row)),
            None => return Err(format!("the label in row {} is null", first + row)),
        }
    }
    Ok(())
}

/// Decodes weights: how many payments a row stands for. Returns an error for a row without a weight, or whose weight is not
/// above 0 or beyond `MOST`, up to which sums of weights are good 64-bit floats.
pub(super) fn weights(array: &dyn Array, into: &mut Vec<f32>) -> Result<(), String> {
    const MOST: f32 = 1e9;
    let first = into.len();
    into.resize(first + array.len(), f32::NAN);
    numbers(array, Slots::new(&mut into[first..], 1, 0, first))?;
    let is_weight = |weight: f32| weight > 0.0 && weight <= MOST;
    match into[first..].iter().position(|weight| !is_weight(*weight)) {
        None => Ok(()),
        Some(row) if into[first + row].is_nan() => Err(format!("the weight in row {} is null", first + row)),
        Some(row) => {
            let weight = into[first + row];
            Err(format!("the weight in row {} is {weight}, not above 0 and at most {MOST:e}", first + row))
        }
    }
}

/// Decodes amounts to 64-bit floats. Null, NaN, infinity and a number below 0 are errors, because sums over them would be
/// wrong without a word.
pub(super) fn amounts(array: &dyn Array, into: &mut Vec<f64>) -> Result<(), String> {
    fn wide<T: ArrowPrimitiveType>(array: &dyn Array, as_f64: impl Fn(T::Native) -> f64) -> Vec<Option<f64>> {
        array.as_primitive::<T>().iter().map(|value| value.map(&as_f64)).collect()
    }
    let first = into.len();
    let values = match array.data_type() {
        DataType::Float32 => wide::<Float32Type>(array, f64::from),
        DataType::Float64 => wide::<Float64Type>(array, |value| value),
        DataType::Int8 => wide::<Int8Type>(array, f64::from),
        DataType::Int16 => wide::<Int16Type>(array, f64::from),
        DataType::Int32 => wide::<Int32Type>(array, f64::from),
        DataType::Int64 => wide::<Int64Type>(array, |value| value as f64),
        DataType::UInt8 => wide::<UInt8Type>(array, f64::from),
        DataType::UInt16 => wide::<UInt16Type>(array, f64::from),
        DataType::UInt32 => wide::<UInt32Type>(array, f64::from),
        DataType::UInt64 => wide::<UInt64Type>(array, |value| value as f64),
        DataType::Decimal128(_, scale) => {
            let unit = 10_f64.powi(i32::from(*scale));
            wide::<Decimal128Type>(array, |value| value as f64 / unit)
        }
        other => return Err(format!("an amount cannot be read from {other}")),
    };
    for (row, value) in values.into_iter().enumerate() {
        match value {
            Some(amount) if amount.is_finite() && amount >= 0.0 => into.push(amount),
            Some(amount) => {
                return Err(format!("the amount in row {} is {amount}, not a number from 0 up", first + row));
            }
            None => return Err(format!("the amount in row {} is null", first + row)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{
        BooleanArray, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array, UInt64Array,
    };
    use std::sync::Arc;

    #[test]
    fn a_weight_is_a_number_above_0() {
        let of = |values: Vec<Option<f64>>| {
            let mut weights = vec![7.0];
            super::weights(&Float64Array::from(values), &mut weights).map(|()| weights)
        };
        assert_eq!(of(vec![Some(1.0), Some(33.25)]).unwrap(), [7.0, 1.0, 33.25]);
        for (value, says) in [
            (None, "the weight in row 2 is null"),
            (Some(0.0), "the weight in row 2 is 0, not above 0 and at most 1e9"),
            (Some(-1.0), "the weight in row 2 is -1,"),
            (Some(2e9), "the weight in row 2 is 2000000000,"),
            (Some(f64::INFINITY), "the value in row 2 is infinite"),
        ] {
            let why = of(vec![Some(1.0), value]).unwrap_err();
            assert!(why.starts_with(says), "{why}");
        }
    }

    #[test]
    fn whole_numbers_that_a_32_bit_float_does_not_hold_are_counted() {
        const EDGE: i64 = 1 << 24;
        let whole =
            Int64Array::from(vec![Some(EDGE), Some(EDGE + 1), None, Some(-EDGE - 1), Some(EDGE + 2), Some(i64::MAX)]);
        assert_eq!(rounded(&whole), 3);
        assert_eq!(rounded(&Int32Array::from(vec![EDGE as i32, EDGE as i32 + 1])), 1);
        assert_eq!(rounded(&UInt64Array::from(vec![1, u64::MAX])), 1);
        // Nullable columns of whole numbers are often written as doubles.
        let doubles = vec![16_777_217.0, 16_777_216.0, 0.1, 20_000_000.5, f64::NAN, 1e300];
        assert_eq!(rounded(&Float64Array::from(doubles)), 2, "1e300 is whole, and refused when it is read");
        let keys = Int32Array::from(vec![Some(1), Some(0), None, Some(1)]);
        let values = Arc::new(Int64Array::from(vec![5, EDGE + 1]));
        assert_eq!(rounded(&DictionaryArray::new(keys, values)), 2);
    }

    #[test]
    fn an_amount_that_is_no_number_from_0_up_is_refused_with_its_row() {
        let mut read = vec![7.0];
        amounts(&Float64Array::from(vec![0.0, 0.1, 1e12]), &mut read).unwrap();
        amounts(&Int64Array::from(vec![3]), &mut read).unwrap();
        let cents = Decimal128Array::from(vec![1_234]).with_precision_and_scale(9, 2).unwrap();
        amounts(&cents, &mut read).unwrap();
        assert_eq!(read, [7.0, 0.0, 0.1, 1e12, 3.0, 12.34]);
        for wrong in [Some(-0.01), Some(f64::NAN), Some(f64::INFINITY), None] {
            let why = amounts(&Float64Array::from(vec![Some(1.0), wrong]), &mut vec![5.0]).unwrap_err();
            assert!(why.contains("row 2 "), "{why}");
        }
        let why = amounts(&BooleanArray::from(vec![true]), &mut Vec::new()).unwrap_err();
        assert!(why.contains("Boolean"), "{why}");
    }
}
