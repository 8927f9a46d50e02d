//! The columns to train on, from all files of a data set.

use super::declared::{Batches, Declared, check_rows, invalid};
use super::feature_rows::{FeatureRows, column, named};
use super::symbols::Interner;
use super::{numbers, symbols, times};
use crate::domain::contract::{ColumnRoles, Feature, Limits};
use crate::domain::run::Failure;
use crate::modelling::{EntityColumn, RowIds, Table};
use arrow_array::RecordBatch;
use std::path::PathBuf;

/// Reads the columns of these files that a role or a feature names. Each file comes with the rows that the manifest
/// pins; `limits` bounds rows and memory.
pub fn read_table(
    files: &[(PathBuf, u64)],
    roles: &ColumnRoles,
    features: &[Feature],
    limits: &Limits,
) -> Result<Table, Failure> {
    let total = check_rows(files.iter().map(|(_, rows)| *rows), roles, features, limits).map_err(invalid)?;
    let mut reader = TableReader::new(roles, features, total);
    for (index, (path, rows)) in files.iter().enumerate() {
        Declared::read(path)
            .and_then(|file| file.open(*rows, &named_columns(roles, features), limits))
            .and_then(|batches| reader.read(index, batches, *rows))
            .map_err(|why| invalid(format!("file {index}: {why}")))?;
    }
    reader.finish().map_err(invalid)
}

/// Every column that a role or a feature names, once.
fn named_columns<'a>(roles: &'a ColumnRoles, features: &'a [Feature]) -> Vec<&'a str> {
    let mut names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    names.extend([roles.label.as_str(), &roles.row_id]);
    names.extend(roles.event_time.as_deref());
    names.extend(roles.label_observed_time.as_deref());
    names.extend(roles.feature_time.as_deref());
    names.extend(roles.entities.iter().map(String::as_str));
    names.sort_unstable();
    names.dedup();
    names
}

struct TableReader<'a> {
    roles: &'a ColumnRoles,
    event_time: Option<Vec<i64>>,
    label: Vec<bool>,
    row_id: RowIds,
    label_observed_time: Option<Vec<i64>>,
    feature_time: Option<Vec<i64>>,
    entities: Vec<(Interner, Vec<u32>)>,
    features: FeatureRows<'a>,
}

impl<'a> TableReader<'a> {
    fn new(roles: &'a ColumnRoles, features: &'a [Feature], rows: usize) -> Self {
        // The count is within the profile's bounds, so that it may size the columns.
        let column = |role: &Option<String>| role.as_ref().map(|_| Vec::with_capacity(rows));
        Self {
            roles,
            event_time: column(&roles.event_time),
            label: Vec::with_capacity(rows),
            row_id: RowIds::Numbers(Vec::with_capacity(rows)),
            label_observed_time: column(&roles.label_observed_time),
            feature_time: column(&roles.feature_time),
            entities: roles.entities.iter().map(|_| (Interner::default(), Vec::with_capacity(rows))).collect(),
            features: FeatureRows::new(features, rows),
        }
    }

    fn read(&mut self, file: usize, batches: Batches, rows: u64) -> Result<(), String> {
        let before = self.label.len();
        for batch in batches {
            self.append(file, &batch.map_err(|error| error.to_string())?)?;
            // A file may hold more rows than its footer declares.
            if (self.label.len() - before) as u64 > rows {
                return Err(format!("more rows came out than the {rows} that the manifest says"));
            }
        }
        let read = (self.label.len() - before) as u64;
        if read == rows { Ok(()) } else { Err(format!("{read} rows came out, the manifest says {rows}")) }
    }

    fn append(&mut self, file: usize, batch: &RecordBatch) -> Result<(), String> {
        let column = |name: &str| column(batch, name);
        let (roles, first) = (self.roles, self.label.len());
        numbers::labels(column(&roles.label)?, &mut self.label).map_err(named(&roles.label))?;
        symbols::row_ids(file, column(&roles.row_id)?, &mut self.row_id).map_err(named(&roles.row_id))?;
        for (name, into) in [(&roles.event_time, &mut self.event_time), (&roles.feature_time, &mut self.feature_time)] {
            if let (Some(name), Some(into)) = (name, into) {
                times::times(column(name)?, into).map_err(named(name))?;
            }
        }
        if let (Some(name), Some(into)) = (&roles.label_observed_time, &mut self.label_observed_time) {
            times::observed_times(column(name)?, &self.label[first..], into).map_err(named(name))?;
        }
        for (name, (interner, ids)) in roles.entities.iter().zip(&mut self.entities) {
            symbols::entities(column(name)?, interner, ids).map_err(named(name))?;
        }
        self.features.append(batch, first)
    }

    fn finish(self) -> Result<Table, String> {
        let entities = self.roles.entities.iter().zip(self.entities);
        Ok(Table {
            event_time: self.event_time,
            label: self.label,
            row_id: self.row_id,
            label_observed_time: self.label_observed_time,
            feature_time: self.feature_time,
            entities: entities.map(|(name, (_, ids))| EntityColumn { name: name.clone(), ids }).collect(),
            features: self.features.finish()?,
        })
    }
}
