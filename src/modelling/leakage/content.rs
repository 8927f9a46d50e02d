//! Reads the content of rows: label, entities and features, without the id.
//!
//! Each row gets two hashes, each of half of its columns. Rows with the same content agree in both. Rows that differ in
//! one value agree in the half without it, so that the rows with one equal half are all the candidates there are.
//! Hashes only find candidates: values decide.

use super::rows::used;
use crate::modelling::data::{Assignment, Table};
use std::collections::HashSet;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Window {
    Train,
    Validation,
    Test,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct HashedRow {
    pub(super) halves: [u32; 2],
    pub(super) row: u32,
    pub(super) window: Window,
}

/// Reads the columns of a row: the features, then the entities.
pub(super) struct Content<'a> {
    pub(super) table: &'a Table,
    /// The half that each column belongs to.
    half_of: Vec<usize>,
}

impl<'a> Content<'a> {
    /// The number of rows by which columns are divided into halves.
    const LOOKED_AT: usize = 1_000;

    /// Deals the columns to the halves by the number of their values, so that each half tells most rows apart.
    pub(super) fn new(table: &'a Table, assignment: &Assignment) -> Self {
        let columns = table.features.width() + table.entities.len();
        let mut content = Self { table, half_of: vec![0; columns] };
        let step = used(assignment).count().div_ceil(Self::LOOKED_AT).max(1);
        let rows: Vec<usize> = used(assignment).step_by(step).collect();
        let distinct = |column: usize| rows.iter().map(|&row| content.bits(row, column)).collect::<HashSet<_>>().len();
        let mut order: Vec<(usize, usize)> = (0..columns).map(|column| (distinct(column), column)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for (place, (_, column)) in order.into_iter().enumerate() {
            content.half_of[column] = place.div_ceil(2) % 2;
        }
        content
    }

    pub(super) fn bits(&self, row: usize, column: usize) -> u32 {
        match column.checked_sub(self.table.features.width()) {
            None => self.table.features.value(row, column).to_bits(),
            Some(entity) => self.table.entities[entity].ids[row],
        }
    }

    /// Hashes a value of a column. A row's hash is a sum of these, so that a column can be taken out of it.
    pub(super) fn mixed(column: usize, bits: u32) -> u64 {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let mixed = (u64::from(bits) | ((column as u64 + 1) << 32)).wrapping_mul(ODD);
        (mixed ^ (mixed >> 29)).wrapping_mul(ODD)
    }

    pub(super) fn hashed(&self, row: usize, window: Window) -> HashedRow {
        let mut halves = [u64::from(self.table.label[row]) << 32; 2];
        let mut add = |column: usize, bits: u32| {
            let half = &mut halves[self.half_of[column]];
            *half = half.wrapping_add(Self::mixed(column, bits));
        };
        let features = self.table.features.row(row);
        features.iter().enumerate().for_each(|(column, value)| add(column, value.to_bits()));
        (features.len()..self.half_of.len()).for_each(|column| add(column, self.bits(row, column)));
        HashedRow { halves: halves.map(|half| (half >> 32) as u32), row: row as u32, window }
    }

    /// Tells whether two rows have the same content, but for one column if that is given.
    pub(super) fn equal(&self, a: u32, b: u32, but: Option<usize>) -> bool {
        let (a, b) = (a as usize, b as usize);
        let mut columns = (0..self.half_of.len()).filter(|&column| Some(column) != but);
        self.table.label[a] == self.table.label[b] && columns.all(|column| self.bits(a, column) == self.bits(b, column))
    }

    /// The columns of a half, in ascending order.
    pub(super) fn columns_of(&self, half: usize) -> Vec<usize> {
        (0..self.half_of.len()).filter(|&column| self.half_of[column] == half).collect()
    }
}
