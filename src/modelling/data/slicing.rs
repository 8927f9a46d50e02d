//! Cuts the rows of a window into slices, by the values of a column.

use super::table::{EntityColumn, Table};
use crate::domain::contract::{CategoryValue, Feature, SliceSpec};
use crate::modelling::metrics::Slicing;
use std::collections::HashMap;
use std::hash::Hash;

const MISSING: &str = "missing";
const OTHER: &str = "other";

/// Builds one slicing for each spec, in order. Skips a spec whose column the table lacks, which cannot occur in a
/// resolved plan.
pub fn slicings(table: &Table, features: &[Feature], rows: &[usize], specs: &[SliceSpec]) -> Vec<Slicing> {
    let cut = |spec: &SliceSpec| {
        let (names, slice_of) = if let Some(entity) = table.entities.iter().find(|entity| entity.name == spec.column) {
            by_entity(table, entity, rows, spec.max_values)
        } else {
            let index = features.iter().position(|feature| feature.name == spec.column)?;
            let values = rows.iter().map(|&row| table.features.value(row, index));
            match table.features.vocabulary(index) {
                Some(vocabulary) => by_category(values, vocabulary, spec.max_values),
                None if spec.cuts.is_empty() => by_number(values, spec.max_values),
                None => by_range(values, &spec.cuts),
            }
        };
        Some(Slicing { column: spec.column.clone(), names, slice_of })
    };
    specs.iter().filter_map(cut).collect()
}

/// The names of the slices, and the slice of each row as an index into the names.
type Cut = (Vec<String>, Vec<u32>);

/// Cuts by an entity column. A table keeps no entity values, so the name of a slice gives the id of the window's first
/// row with that entity.
fn by_entity(table: &Table, entity: &EntityColumn, rows: &[usize], max_values: u32) -> Cut {
    let mut first: HashMap<u32, usize> = HashMap::new();
    for &row in rows {
        first.entry(entity.ids[row]).or_insert(row);
    }
    let name = |id: u32| match first.get(&id) {
        Some(&row) => format!("as in row {}", table.row_id.show(row)),
        None => format!("number {id}"),
    };
    by_value(rows.iter().map(|&row| Some(entity.ids[row])), name, max_values)
}

fn by_number(values: impl Iterator<Item = f32>, max_values: u32) -> Cut {
    let key = |value: f32| if value.is_nan() { None } else { Some(sortable(if value == 0.0 { 0.0 } else { value })) };
    by_value(values.map(key), |key| from_sortable(key).to_string(), max_values)
}

fn by_category(values: impl Iterator<Item = f32>, vocabulary: &[CategoryValue], max_values: u32) -> Cut {
    let key = |value: f32| if value.is_nan() { None } else { Some(value as usize) };
    let name = |key: usize| vocabulary.get(key).map_or_else(|| format!("number {key}"), CategoryValue::to_string);
    by_value(values.map(key), name, max_values)
}

/// Maps a float to an integer, so that integers sort as the floats do by [`f32::total_cmp`].
fn sortable(value: f32) -> i32 {
    let bits = value.to_bits() as i32;
    bits ^ (((bits >> 31) as u32) >> 1) as i32
}

fn from_sortable(key: i32) -> f32 {
    f32::from_bits((key ^ (((key >> 31) as u32) >> 1) as i32) as u32)
}

/// Builds a slice for each of the `max_values` most frequent values. Among equally frequent values the smallest come
/// first. Missing values and all other values get a slice each, if there are any.
fn by_value<K: Copy + Eq + Hash + Ord>(
    keys: impl Iterator<Item = Option<K>>,
    name: impl Fn(K) -> String,
    max_values: u32,
) -> Cut {
    let keys: Vec<Option<K>> = keys.collect();
    let mut rows_of: HashMap<K, u64> = HashMap::new();
    for key in keys.iter().flatten() {
        *rows_of.entry(*key).or_insert(0) += 1;
    }
    let mut most: Vec<(K, u64)> = rows_of.into_iter().collect();
    most.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
    let has_rest = most.len() > max_values as usize;
    most.truncate(max_values as usize);
    let index_of: HashMap<K, u32> = most.iter().map(|(key, _)| *key).zip(0..).collect();
    let mut names: Vec<String> = most.iter().map(|(key, _)| name(*key)).collect();
    let missing = names.len() as u32;
    names.extend(keys.contains(&None).then(|| MISSING.to_owned()));
    let other = names.len() as u32;
    names.extend(has_rest.then(|| OTHER.to_owned()));
    let slice_of = keys.iter().map(|key| key.map_or(missing, |key| index_of.get(&key).copied().unwrap_or(other)));
    (names, slice_of.collect())
}

/// Cuts numbers into half-open ranges. A slice includes its lower bound. Missing values get a slice of their own.
fn by_range(values: impl Iterator<Item = f32>, cuts: &[f64]) -> Cut {
    let mut names = Vec::with_capacity(cuts.len() + 2);
    names.extend(cuts.first().map(|first| format!("< {first}")));
    names.extend(cuts.windows(2).map(|pair| format!("{} to < {}", pair[0], pair[1])));
    names.extend(cuts.last().map(|last| format!("≥ {last}")));
    let missing = names.len() as u32;
    let slice = |value: f32| {
        if value.is_nan() { missing } else { cuts.partition_point(|cut| *cut <= f64::from(value)) as u32 }
    };
    let slice_of: Vec<u32> = values.map(slice).collect();
    names.extend(slice_of.contains(&missing).then(|| MISSING.to_owned()));
    (names, slice_of)
}

#[cfg(test)]
mod tests {
    use super::super::table::{Features, RowIds};
    use super::*;
    use crate::domain::contract::FeatureKind;

    fn cut(values: &[f32], cuts: &[f64], max_values: u32) -> Slicing {
        let table = Table {
            row_id: RowIds::Numbers((100..100 + values.len() as i64).collect()),
            entities: vec![EntityColumn { name: "card".to_owned(), ids: values.iter().map(|v| *v as u32).collect() }],
            ..Table::of_good(values.len(), Features::new(1, values.to_vec(), vec![None]))
        };
        let features = [Feature { name: "amount".to_owned(), kind: FeatureKind::Numeric, monotone: None }];
        let column = if max_values == 0 { "card" } else { "amount" };
        let spec = SliceSpec { column: column.to_owned(), cuts: cuts.to_vec(), max_values: max_values.max(2) };
        let rows: Vec<usize> = (0..values.len()).collect();
        slicings(&table, &features, &rows, &[spec]).remove(0)
    }

    #[test]
    fn ranges_hold_their_lower_bound_and_missing_values_stand_by_themselves() {
        let found = cut(&[9.5, 10.0, 99.0, 100.0, f32::NAN], &[10.0, 100.0], 5);
        assert_eq!(found.names, ["< 10", "10 to < 100", "≥ 100", "missing"]);
        assert_eq!(found.slice_of, [0, 1, 1, 2, 3]);
    }

    #[test]
    fn the_values_with_the_most_rows_come_first_and_the_rest_is_one_slice() {
        let found = cut(&[7.0, -1.0, 7.0, 0.0, -0.0, f32::NAN, 3.0], &[], 2);
        assert_eq!(found.names, ["0", "7", "missing", "other"]);
        assert_eq!(found.slice_of, [1, 3, 1, 0, 0, 2, 3]);
        let all = cut(&[-1.0, 2.0, -3.0], &[], 3);
        assert_eq!(all.names, ["-3", "-1", "2"]);
    }

    #[test]
    fn an_entity_is_named_by_a_row_that_shows_it() {
        let found = cut(&[5.0, 6.0, 6.0, 8.0], &[], 0);
        assert_eq!(found.names, ["as in row 101", "as in row 100", "other"]);
        assert_eq!(found.slice_of, [1, 0, 0, 2]);
    }
}
