//! Checks the rule that no feature is a role column under another name. A witness names the feature and the column.
//!
//! A feature copies
//! - the label, if all frauds have one value of it and all good payments another one. Missing counts as a value.
//! - a time, if it only ever rises or only ever falls as the time goes on. So it is found in any unit, rounded or not.
//! - the row id, if it strictly rises or strictly falls with the id, or is the id as a 32-bit float.
//! - a weight, if it is the weight as a 32-bit float in every row, and rows have several weights.
//! - an entity, if it is a category or a whole number, and entities and values belong together one to one.
//!
//! Most features fail each of these within a few rows, so the rule costs little.

use super::rows::{rule, used};
use crate::domain::contract::{LeakageRule, TrainPlan};
use crate::modelling::data::{Assignment, RowIds, Table};
use std::collections::HashMap;

/// How often a feature must rise with a time, or an entity come again, before a copy is no chance: one order in
/// three million is the rising one.
const LEAST_STEPS: usize = 10;

/// The number of rows on which a copy of an ordered column is tried before all rows are sorted.
const TRIED: usize = 1_000;

pub(super) fn feature_copies_role_column(table: &Table, assignment: &Assignment, plan: &TrainPlan) -> LeakageRule {
    let roles = &plan.columns;
    let rows: Vec<usize> = used(assignment).collect();
    let mut copies: Vec<(usize, String)> = Vec::new();
    let mut add = |found: Vec<usize>, role: Option<&'_ String>| {
        copies.extend(found.into_iter().filter_map(|index| Some((index, role?.clone()))));
    };
    let features = plan.features.len();
    add((0..features).filter(|&index| is_label(table, &rows, index)).collect(), Some(&roles.label));
    add(row_id_copies(table, &rows, features), Some(&roles.row_id));
    let times = [
        (&table.event_time, &roles.event_time),
        (&table.feature_time, &roles.feature_time),
        (&table.label_observed_time, &roles.label_observed_time),
    ];
    for (at, role) in times {
        if let Some(at) = at {
            add(time_copies(table, &rows, at, features), role.as_ref());
        }
    }
    if let Some(weights) = &table.weight {
        let is_weight = |&index: &usize| is_weight(table, &rows, index, weights);
        add((0..features).filter(is_weight).collect(), roles.weight.as_ref());
    }
    for column in &table.entities {
        let is_entity = |&index: &usize| is_entity(table, &rows, index, &column.ids);
        add((0..features).filter(is_entity).collect(), Some(&column.name));
    }
    copies.sort_unstable();
    copies.dedup();
    let named = copies.into_iter().map(|(index, role)| (&plan.features[index].name, role));
    // By its own name, the column is a matter of the rule `role_column_among_features`.
    let others = named.filter(|(feature, role)| *feature != role);
    rule("feature_copies_role_column", features, others.map(|(feature, role)| format!("{feature} copies {role}")))
}

/// Tells whether all frauds have one value and all good payments another one.
fn is_label(table: &Table, rows: &[usize], index: usize) -> bool {
    let mut of_class: [Option<u32>; 2] = [None, None];
    for &row in rows {
        let value = table.features.value(row, index);
        let bits = if value.is_nan() { f32::NAN.to_bits() } else { value.to_bits() };
        let one_each = *of_class[usize::from(table.label[row])].get_or_insert(bits) == bits;
        if !one_each || of_class[0] == of_class[1] {
            return false;
        }
    }
    of_class.iter().all(Option::is_some)
}

/// Returns the features that rise or fall with a time. Rows whose time is [`Table::NEVER`] do not count.
fn time_copies(table: &Table, rows: &[usize], at: &[i64], features: usize) -> Vec<usize> {
    let known: Vec<usize> = rows.iter().copied().filter(|&row| at[row] != Table::NEVER).collect();
    let steps = |order: &[usize], index: usize| {
        let groups = order.chunk_by(|&a, &b| at[a] == at[b]);
        steps(groups.map(|rows| rows.iter().map(|&row| table.features.value(row, index))))
    };
    survivors(&known, features, |row| at[row], steps)
}

fn row_id_copies(table: &Table, rows: &[usize], features: usize) -> Vec<usize> {
    let value = |row: usize, index: usize| table.features.value(row, index);
    let strict_steps = |order: &[usize], index: usize| {
        let rises = |pair: &[usize]| value(pair[0], index) < value(pair[1], index);
        let falls = |pair: &[usize]| value(pair[0], index) > value(pair[1], index);
        (order.windows(2).all(rises) || order.windows(2).all(falls)).then(|| order.len().saturating_sub(1))
    };
    let mut copies = survivors(rows, features, |row| table.row_id.show(row), strict_steps);
    // Ids beyond 2^24 come together as 32-bit floats, so that a copy of them does not rise strictly.
    if let RowIds::Numbers(ids) = &table.row_id {
        let is_id = |index: &usize| rows.iter().all(|&row| value(row, *index).to_bits() == (ids[row] as f32).to_bits());
        copies.extend((0..features).filter(|_| rows.len() > LEAST_STEPS).filter(is_id));
    }
    copies
}

/// Returns the features that follow the rows in the order of `key` with at least [`LEAST_STEPS`] steps. `steps` counts
/// the steps of a feature over rows, and is `None` if it does not follow them. Tries every feature on a few rows first.
fn survivors<K: Ord>(
    rows: &[usize],
    features: usize,
    key: impl Fn(usize) -> K,
    steps: impl Fn(&[usize], usize) -> Option<usize>,
) -> Vec<usize> {
    let mut left: Vec<usize> = (0..features).collect();
    for (step, least) in [(rows.len().div_ceil(TRIED).max(1), 0), (1, LEAST_STEPS)] {
        if !left.is_empty() {
            let mut order: Vec<usize> = rows.iter().copied().step_by(step).collect();
            order.sort_unstable_by_key(|&row| key(row));
            left.retain(|&index| steps(&order, index) >= Some(least));
        }
    }
    left
}

/// Counts how often the values of a group lie above those of all groups before it, or below. `None` unless the values of
/// each group lie at or above those of all groups before it, or at or below. Missing values do not count.
fn steps(groups: impl Iterator<Item = impl Iterator<Item = f32>>) -> Option<usize> {
    let (mut least, mut greatest) = (f32::INFINITY, f32::NEG_INFINITY);
    let (mut rises, mut falls) = (Some(0), Some(0));
    for group in groups {
        // `min` and `max` pass over NaN.
        let (low, high) =
            group.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let is_missing = low > high;
        let is_first = least > greatest;
        if !is_missing && !is_first {
            rises = rises.filter(|_| low >= greatest).map(|steps| steps + usize::from(low > greatest));
            falls = falls.filter(|_| high <= least).map(|steps| steps + usize::from(high < least));
            rises.or(falls)?;
        }
        (least, greatest) = (least.min(low), greatest.max(high));
    }
    rises.max(falls)
}

/// Tells whether a feature has the value of the weight in every row, of which there are several.
fn is_weight(table: &Table, rows: &[usize], index: usize, weights: &[f32]) -> bool {
    let same = |&row: &usize| table.features.value(row, index).to_bits() == weights[row].to_bits();
    let several =
        rows.first().is_some_and(|&first| rows.iter().any(|&row| weights[row].to_bits() != weights[first].to_bits()));
    rows.iter().all(same) && several
}

/// Tells whether each entity has one value and each value one entity. Values that are no whole numbers, such as places
/// on a map, are measurements and no ids.
fn is_entity(table: &Table, rows: &[usize], index: usize, ids: &[u32]) -> bool {
    let is_category = table.features.vocabulary(index).is_some();
    let (mut value_of, mut entity_of) = (HashMap::new(), HashMap::new());
    let mut repeats = 0;
    for &row in rows {
        let (value, entity) = (table.features.value(row, index), ids[row]);
        if value.is_nan() {
            continue;
        }
        let known = entity_of.len();
        if !is_category && value.fract() != 0.0
            || *value_of.entry(entity).or_insert(value.to_bits()) != value.to_bits()
            || *entity_of.entry(value.to_bits()).or_insert(entity) != entity
        {
            return false;
        }
        repeats += usize::from(entity_of.len() == known);
    }
    entity_of.len() >= LEAST_STEPS && repeats >= LEAST_STEPS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modelling::data::Features;

    fn follow(groups: &[&[f32]]) -> bool {
        steps(groups.iter().map(|group| group.iter().copied())) >= Some(LEAST_STEPS)
    }

    #[test]
    fn a_feature_with_the_weight_of_every_row_is_its_copy() {
        let features = Features::new(2, vec![10.0, 10.0, 1.0, 1.0, 10.0, 2.0], vec![None, None]);
        let (table, weights) = (Table::of_good(3, features), [10.0, 1.0, 10.0]);
        assert!(is_weight(&table, &[0, 1, 2], 0, &weights) && !is_weight(&table, &[0, 1, 2], 1, &weights));
        assert!(!is_weight(&table, &[0, 2], 0, &weights), "a constant");
    }

    #[test]
    fn a_time_is_followed_up_or_down_with_ties_and_gaps_and_not_by_chance() {
        let steps: Vec<[f32; 2]> = (0..11_u8).map(|day| [f32::from(day), f32::from(day)]).collect();
        let mut groups: Vec<&[f32]> = steps.iter().map(|day| &day[..]).collect();
        assert!(follow(&groups));
        assert!(!follow(&groups[1..]), "nine steps may be chance");
        groups.insert(3, &[f32::NAN]);
        groups.insert(5, &[]);
        assert!(follow(&groups));
        groups.reverse();
        assert!(follow(&groups));
        groups.push(&[5.0]);
        assert!(!follow(&groups));
        assert!(!follow(&[&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0][..]]), "one instant");
        assert!(!follow(&[&[1.0_f32][..]; 50]), "a constant");
    }
}
