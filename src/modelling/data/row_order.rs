//! Sorts the rows of a table. A fit, a draw by chance and a resampling depend on the order of rows. Files, row groups
//! and queries order the same rows differently, so each run first gives them one order.
//!
//! Guarantees: needs 4 to 8 bytes a row besides the table, and nothing if the rows are in order already.

use super::table::{Features, RowIds, Table};
use std::cmp::Ordering;

/// Sorts the rows by event time and row id, or by row id alone for data without event times. Rows that agree in both
/// are ordered by label, by the other times, by weight, by features and by amount. Then numbers each entity column anew, from 0 in the order
/// of first appearance.
pub fn sort_rows(table: &mut Table) {
    if !(1..table.rows()).all(|row| compare(table, row - 1, row).is_le()) {
        let mut order: Vec<u32> = (0..table.rows() as u32).collect();
        order.sort_by(|&a, &b| compare(table, a as usize, b as usize));
        apply(table, &mut order);
    }
    for column in &mut table.entities {
        renumber(&mut column.ids);
    }
}

fn compare(table: &Table, a: usize, b: usize) -> Ordering {
    let time = |times: &Option<Vec<i64>>| times.as_deref().map_or(Ordering::Equal, |times| times[a].cmp(&times[b]));
    time(&table.event_time)
        .then_with(|| table.row_id.show(a).cmp(&table.row_id.show(b)))
        .then_with(|| table.label[a].cmp(&table.label[b]))
        .then_with(|| time(&table.label_observed_time))
        .then_with(|| time(&table.feature_time))
        .then_with(|| table.weight.as_ref().map_or(Ordering::Equal, |of| of[a].total_cmp(&of[b])))
        .then_with(|| compare_features(&table.features, a, b))
        .then_with(|| table.amount.as_deref().map_or(Ordering::Equal, |of| of[a].total_cmp(&of[b])))
}

/// Compares categories by their values, since their numbers depend on the order in which files were read.
fn compare_features(features: &Features, a: usize, b: usize) -> Ordering {
    let compare = |(feature, (a, b)): (usize, (&f32, &f32))| match features.vocabulary(feature) {
        Some(known) if !a.is_nan() && !b.is_nan() => known[*a as usize].cmp(&known[*b as usize]),
        Some(_) | None => a.total_cmp(b),
    };
    features
        .row(a)
        .iter()
        .zip(features.row(b))
        .enumerate()
        .map(compare)
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Moves row `order[i]` to place `i`, for every `i`. Follows the cycles of this permutation and swaps rows in place.
/// Leaves in `order` that every row is at its place.
fn apply(table: &mut Table, order: &mut [u32]) {
    for start in 0..order.len() {
        let mut place = start;
        loop {
            let from = std::mem::replace(&mut order[place], place as u32) as usize;
            if from == start {
                break;
            }
            swap(table, place, from);
            place = from;
        }
    }
}

fn swap(table: &mut Table, a: usize, b: usize) {
    let Table { event_time, label, row_id, label_observed_time, feature_time, weight, entities, amount, features } =
        table;
    for times in [event_time, label_observed_time, feature_time].into_iter().flatten() {
        times.swap(a, b);
    }
    label.swap(a, b);
    if let Some(weight) = weight {
        weight.swap(a, b);
    }
    match row_id {
        RowIds::Numbers(ids) => ids.swap(a, b),
        RowIds::Texts(ids) => ids.swap(a, b),
    }
    for column in entities {
        column.ids.swap(a, b);
    }
    if let Some(amounts) = amount {
        amounts.swap(a, b);
    }
    features.swap_rows(a, b);
}

fn renumber(ids: &mut [u32]) {
    const UNSEEN: u32 = u32::MAX;
    let mut numbers = vec![UNSEEN; ids.iter().max().map_or(0, |&last| last as usize + 1)];
    let mut next = 0;
    for id in ids {
        let number = &mut numbers[*id as usize];
        if *number == UNSEEN {
            *number = next;
            next += 1;
        }
        *id = *number;
    }
}

#[cfg(test)]
mod tests {
    use super::super::table::EntityColumn;
    use super::*;
    use crate::domain::contract::CategoryValue;
    use proptest::prelude::*;

    /// A payment: event time, row id, label, card, amount, shop.
    type Payment = (i64, i64, bool, u32, i8, u8);

    /// Builds a table as if files with these payments had been read: numbers follow the order of first appearance.
    fn read(payments: &[Payment]) -> Table {
        fn interned<T: PartialEq>(values: impl Iterator<Item = T>) -> (Vec<u32>, Vec<T>) {
            let mut known: Vec<T> = Vec::new();
            let numbers = values.map(|value| {
                let found = known.iter().position(|one| *one == value);
                found.unwrap_or_else(|| {
                    known.push(value);
                    known.len() - 1
                }) as u32
            });
            (numbers.collect(), known)
        }
        let (cards, _) = interned(payments.iter().map(|payment| payment.3));
        let (shops, names) = interned(payments.iter().map(|payment| payment.5));
        let values = payments
            .iter()
            .zip(shops)
            .flat_map(|(payment, shop)| [if payment.4 == 0 { f32::NAN } else { f32::from(payment.4) }, shop as f32]);
        let vocabulary = names.into_iter().map(|name| CategoryValue::Text(name.to_string())).collect();
        Table {
            event_time: Some(payments.iter().map(|payment| payment.0).collect()),
            row_id: RowIds::Texts(payments.iter().map(|payment| payment.1.to_string()).collect()),
            label: payments.iter().map(|payment| payment.2).collect(),
            label_observed_time: Some(payments.iter().map(|payment| payment.0 + 1).collect()),
            feature_time: Some(payments.iter().map(|payment| payment.0 - 1).collect()),
            weight: Some(payments.iter().map(|payment| f32::from(payment.4) + 10.0).collect()),
            entities: vec![EntityColumn { name: "card".to_owned(), ids: cards }],
            amount: Some(payments.iter().map(|payment| f64::from(payment.4) + 128.0).collect()),
            features: Features::new(2, values.collect(), vec![None, Some(vocabulary)]),
        }
    }

    /// All that stands in a row, with the category's value in place of its number.
    fn rows(table: &Table) -> Vec<String> {
        let shown = |row: usize| {
            let (features, times) =
                (&table.features, [&table.event_time, &table.label_observed_time, &table.feature_time]);
            let times: Vec<i64> = times.into_iter().flatten().map(|times| times[row]).collect();
            let shop = &features.vocabulary(1).unwrap()[features.value(row, 1) as usize];
            let (id, card) = (table.row_id.show(row), table.entities[0].ids[row]);
            let (label, weight) = (table.label[row], table.weight.as_ref().unwrap()[row]);
            let amount = table.amount.as_ref().unwrap()[row];
            format!("{times:?} {id} {label} {weight} {card} {} {shop:?} {amount}", features.value(row, 0))
        };
        (0..table.rows()).map(shown).collect()
    }

    proptest! {
        #[test]
        fn the_same_rows_in_any_order_become_one_table(
            (payments, shuffled) in proptest::collection::vec(
                (0..5_i64, 0..9_i64, any::<bool>(), 0..4_u32, -2..3_i8, 0..3_u8), 1..40,
            )
            // Rows that agree in all but their card keep the order in which they were read.
            .prop_map(|payments| payments.into_iter().map(|(at, id, label, _, amount, shop)| {
                (at, id, label, (id % 4) as u32, amount, shop)
            }).collect::<Vec<Payment>>())
            .prop_flat_map(|payments| (Just(payments.clone()), Just(payments).prop_shuffle())),
        ) {
            let (mut one, mut other) = (read(&payments), read(&shuffled));
            sort_rows(&mut one);
            sort_rows(&mut other);
            prop_assert_eq!(rows(&one), rows(&other));
            let mut sorted: Vec<(i64, String)> = payments.iter().map(|payment| (payment.0, payment.1.to_string())).collect();
            sorted.sort();
            let found: Vec<(i64, String)> = (0..one.rows())
                .map(|row| (one.event_time.as_ref().unwrap()[row], one.row_id.show(row).to_string()))
                .collect();
            prop_assert_eq!(found, sorted);
        }
    }

    #[test]
    fn rows_without_event_times_are_in_the_order_of_their_ids() {
        let mut table = Table {
            event_time: None,
            label_observed_time: None,
            feature_time: None,
            ..read(&[(1, 3, true, 7, 1, 0), (2, 1, false, 8, 2, 0), (3, 2, false, 7, 3, 1)])
        };
        sort_rows(&mut table);
        assert_eq!(table.features.column(0).collect::<Vec<_>>(), [2.0, 3.0, 1.0]);
        assert_eq!((table.label, table.entities[0].ids.as_slice()), (vec![false, false, true], [0, 1, 1].as_slice()));
    }
}
