//! Decodes values that are only compared for equality: row ids, entities, categories.

use super::numbers::{Slots, value_indexes, whole_numbers};
use crate::domain::contract::CategoryValue;
use crate::modelling::{MAX_VALUES_READ, RowIds};
use arrow_array::Array;
use arrow_array::cast::AsArray as _;
use arrow_schema::DataType;
use std::collections::HashMap;

/// Gives each distinct value a number, from 0 in order of first appearance. Equal values in different files get the
/// same number.
#[derive(Default)]
pub(super) struct Interner {
    numbers: HashMap<i64, u32>,
    texts: HashMap<String, u32>,
}

impl Interner {
    fn len(&self) -> usize {
        self.numbers.len() + self.texts.len()
    }

    fn number(&mut self, value: i64) -> u32 {
        let next = self.len() as u32;
        *self.numbers.entry(value).or_insert(next)
    }

    fn text(&mut self, value: &str) -> u32 {
        if let Some(&known) = self.texts.get(value) {
            return known;
        }
        let next = self.len() as u32;
        self.texts.insert(value.to_owned(), next);
        next
    }

    /// Returns the values, ordered by their numbers. Returns an error if the column holds numbers and text, which have
    /// no common order.
    pub(super) fn into_values(self) -> Result<Vec<CategoryValue>, String> {
        if !self.numbers.is_empty() && !self.texts.is_empty() {
            return Err("it holds numbers in some files and text in others".to_owned());
        }
        let numbers = self.numbers.into_iter().map(|(value, number)| (number, CategoryValue::Number(value)));
        let texts = self.texts.into_iter().map(|(value, number)| (number, CategoryValue::Text(value)));
        let mut values: Vec<(u32, CategoryValue)> = numbers.chain(texts).collect();
        values.sort_unstable_by_key(|(number, _)| *number);
        Ok(values.into_iter().map(|(_, value)| value).collect())
    }
}

type Texts<'a> = Box<dyn Iterator<Item = Option<&'a str>> + 'a>;

fn texts(array: &dyn Array) -> Option<Texts<'_>> {
    Some(match array.data_type() {
        DataType::Utf8 => Box::new(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => Box::new(array.as_string::<i64>().iter()),
        DataType::Utf8View => Box::new(array.as_string_view().iter()),
        _ => return None,
    })
}

/// Returns the number of each row's value. `None` for null. Errors use `what` as the name for a value.
fn interned(array: &dyn Array, interner: &mut Interner, what: &str) -> Result<Vec<Option<u32>>, String> {
    if let Some(values) = whole_numbers(array) {
        return Ok(values.into_iter().map(|value| value.map(|value| interner.number(value))).collect());
    }
    if let Some(values) = texts(array) {
        return Ok(values.map(|value| value.map(|value| interner.text(value))).collect());
    }
    if let Some(dictionary) = array.as_any_dictionary_opt() {
        // Looks up each value of the dictionary once instead of each row. Values that no row uses get a number too.
        let numbers = interned(dictionary.values().as_ref(), interner, what)?;
        return Ok(value_indexes(dictionary).map(|index| index.and_then(|index| numbers[index])).collect());
    }
    match array.data_type() {
        DataType::Null => Ok(vec![None; array.len()]),
        other => Err(format!("{what} is an integer or text, not {other}")),
    }
}

/// Decodes entities. Null is an error.
pub(super) fn entities(array: &dyn Array, interner: &mut Interner, into: &mut Vec<u32>) -> Result<(), String> {
    let first = into.len();
    for (row, number) in interned(array, interner, "an entity")?.into_iter().enumerate() {
        into.push(number.ok_or_else(|| format!("the entity in row {} is null", first + row))?);
    }
    Ok(())
}

/// Decodes a categorical feature to the numbers of its values. Null means missing.
pub(super) fn categories(array: &dyn Array, interner: &mut Interner, mut into: Slots<'_>) -> Result<(), String> {
    let numbers = interned(array, interner, "a categorical feature")?;
    if interner.len() > MAX_VALUES_READ {
        return Err(format!("it holds more than {MAX_VALUES_READ} different values; that is no category"));
    }
    for (slot, number) in into.iter_mut().zip(numbers) {
        *slot = number.map_or(f32::NAN, |number| number as f32);
    }
    Ok(())
}

/// Decodes row ids. All files must have integers, or all must have text. Null is an error.
pub(super) fn row_ids(file: usize, array: &dyn Array, into: &mut RowIds) -> Result<(), String> {
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
    if matches!(into, RowIds::Numbers(ids) if ids.is_empty()) {
        *into = RowIds::Texts(Vec::new());
    }
    let RowIds::Texts(ids) = into else {
        return Err(format!("row ids of file {file} are text, those before are numbers"));
    };
    if let Some(values) = texts(array) {
        for value in values {
            ids.push(value.ok_or_else(missing)?.to_owned());
        }
        return Ok(());
    }
    match array.as_any_dictionary_opt() {
        Some(dictionary) if let Some(values) = texts(dictionary.values().as_ref()) => {
            let values: Vec<Option<&str>> = values.collect();
            for index in value_indexes(dictionary) {
                ids.push(index.and_then(|index| values[index]).ok_or_else(missing)?.to_owned());
            }
            Ok(())
        }
        _ => Err(format!("a row id is an integer or text, not {}", array.data_type())),
    }
}
