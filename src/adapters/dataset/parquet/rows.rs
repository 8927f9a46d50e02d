//! Decodes batches of rows. For training, all files of a data set become one table. For scoring, one file is decoded
//! batch by batch, so that a file of any length needs the same memory. Both decode features in the same way.

use super::declared::{Batches, Declared, check_rows, invalid};
use super::numbers::Slots;
use super::symbols::Interner;
use super::{numbers, symbols, times};
use crate::domain::contract::{ColumnRoles, Feature, FeatureKind, Limits};
use crate::domain::run::Failure;
use crate::modelling::{EntityColumn, Features, IdColumn, RowIds, Table, sort_rows};
use arrow_array::{Array, RecordBatch};
use std::path::{Path, PathBuf};

/// Reads the columns that a role or a feature names, and sorts the rows. Each file comes with the number of rows that the
/// manifest pins. `limits` bounds rows and memory.
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
            .and_then(|file| file.open(*rows, &named_columns(roles, features), limits).map_err(invalid))
            .and_then(|batches| reader.read(index, batches, *rows).map_err(invalid))
            .map_err(|failure| Failure { message: format!("file {index}: {}", failure.message), ..failure })?;
    }
    let mut table = reader.finish().map_err(invalid)?;
    sort_rows(&mut table);
    Ok(table)
}

fn named_columns<'a>(roles: &'a ColumnRoles, features: &'a [Feature]) -> Vec<&'a str> {
    let mut names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
    names.extend([roles.label.as_str(), &roles.row_id]);
    names.extend(roles.event_time.as_deref());
    names.extend(roles.label_observed_time.as_deref());
    names.extend(roles.feature_time.as_deref());
    names.extend(roles.weight.as_deref());
    names.extend(roles.entities.iter().map(String::as_str));
    names.extend(roles.amount.as_ref().map(|amount| amount.column.as_str()));
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
    weight: Option<Vec<f32>>,
    entities: Vec<(Interner, Vec<u32>)>,
    amount: Option<Vec<f64>>,
    features: FeatureRows<'a>,
}

impl<'a> TableReader<'a> {
    fn new(roles: &'a ColumnRoles, features: &'a [Feature], rows: usize) -> Self {
        // Allocates by the row count, which `check_rows` has bounded.
        let column = |role: &Option<String>| role.as_ref().map(|_| Vec::with_capacity(rows));
        Self {
            roles,
            event_time: column(&roles.event_time),
            label: Vec::with_capacity(rows),
            row_id: RowIds::Numbers(Vec::with_capacity(rows)),
            label_observed_time: column(&roles.label_observed_time),
            feature_time: column(&roles.feature_time),
            weight: roles.weight.as_ref().map(|_| Vec::with_capacity(rows)),
            entities: roles.entities.iter().map(|_| (Interner::default(), Vec::with_capacity(rows))).collect(),
            amount: roles.amount.as_ref().map(|_| Vec::with_capacity(rows)),
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
        if let (Some(name), Some(into)) = (&roles.weight, &mut self.weight) {
            numbers::weights(column(name)?, into).map_err(named(name))?;
        }
        for (name, (interner, ids)) in roles.entities.iter().zip(&mut self.entities) {
            symbols::entities(column(name)?, interner, ids).map_err(named(name))?;
        }
        if let (Some(amount), Some(into)) = (&roles.amount, &mut self.amount) {
            numbers::amounts(column(&amount.column)?, into).map_err(named(&amount.column))?;
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
            weight: self.weight,
            entities: entities.map(|(name, (_, ids))| EntityColumn { name: name.clone(), ids }).collect(),
            amount: self.amount,
            features: self.features.finish()?,
        })
    }
}

/// The rows of one file, in order. Only features and ids are decoded.
pub struct RowsToScore<'a> {
    batches: Batches,
    features: &'a [Feature],
    id_column: Option<String>,
    rows: u64,
    read: u64,
}

pub struct RowBatch {
    /// Ids of the rows. If the file has no ids, row numbers counted from 0.
    pub row_ids: RowIds,
    /// Features of this batch. A category's code is valid only within this batch, because each batch numbers its
    /// categories anew.
    pub features: Features,
    pub rows: usize,
}

impl<'a> RowsToScore<'a> {
    /// Opens a file. Returns an error if a feature is missing. Of `limits`, only the memory limit applies.
    pub fn open(path: &Path, features: &'a [Feature], ids: &IdColumn, limits: &Limits) -> Result<Self, Failure> {
        let file = Declared::read(path)?;
        let id_column = (ids.required || file.has(&ids.name)).then(|| ids.name.clone());
        let mut names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
        names.extend(id_column.as_deref().filter(|name| features.iter().all(|feature| feature.name != *name)));
        let rows = file.rows().map_err(invalid)?;
        let batches = file.open(rows, &names, limits).map_err(invalid)?;
        Ok(Self { batches, features, id_column, rows, read: 0 })
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the name of the column with the ids. `None` if row numbers are used.
    pub fn id_column(&self) -> Option<&str> {
        self.id_column.as_deref()
    }

    pub fn next_batch(&mut self) -> Result<Option<RowBatch>, Failure> {
        self.decode().map_err(invalid)
    }

    fn decode(&mut self) -> Result<Option<RowBatch>, String> {
        let Some(batch) = self.batches.next().transpose().map_err(|error| error.to_string())? else {
            let (read, rows) = (self.read, self.rows);
            return if read == rows { Ok(None) } else { Err(format!("{read} rows came out, it says {rows}")) };
        };
        let (first, rows) = (self.read, batch.num_rows());
        self.read += rows as u64;
        // A file may hold more rows than its footer declares.
        if self.read > self.rows {
            return Err(format!("more rows came out than the {} that it says", self.rows));
        }
        let row_ids = match &self.id_column {
            Some(name) => {
                let mut ids = RowIds::Numbers(Vec::new());
                symbols::row_ids(0, column(&batch, name)?, &mut ids).map_err(named(name))?;
                ids
            }
            None => RowIds::Numbers((first.cast_signed()..).take(rows).collect()),
        };
        let mut features = FeatureRows::new(self.features, rows);
        features.append(&batch, first as usize)?;
        Ok(Some(RowBatch { row_ids, features: features.finish()?, rows }))
    }
}

/// Collects the features of the rows that are appended.
pub(super) struct FeatureRows<'a> {
    features: &'a [Feature],
    values: Vec<f32>,
    categories: Vec<Option<Interner>>,
    /// For each feature, the number of whole numbers that 32-bit floats do not hold.
    rounded: Vec<u64>,
}

impl<'a> FeatureRows<'a> {
    pub(super) fn new(features: &'a [Feature], rows: usize) -> Self {
        let categories =
            features.iter().map(|feature| (feature.kind == FeatureKind::Categorical).then(Interner::default)).collect();
        let rounded = vec![0; features.len()];
        Self { features, values: Vec::with_capacity(rows * features.len()), categories, rounded }
    }

    /// Appends a batch. `first` is the table's row number of the batch's first row. Errors name rows by this number.
    pub(super) fn append(&mut self, batch: &RecordBatch, first: usize) -> Result<(), String> {
        let (width, start) = (self.features.len(), self.values.len());
        self.values.resize(start + batch.num_rows() * width, f32::NAN);
        for (index, (feature, categories)) in self.features.iter().zip(&mut self.categories).enumerate() {
            let slots = Slots::new(&mut self.values[start..], width, index, first);
            let array = column(batch, &feature.name)?;
            match categories {
                None => {
                    self.rounded[index] += numbers::rounded(array);
                    numbers::numbers(array, slots)
                }
                Some(interner) => symbols::categories(array, interner, slots),
            }
            .map_err(named(&feature.name))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Features, String> {
        let mut vocabularies = Vec::with_capacity(self.categories.len());
        for (feature, interner) in self.features.iter().zip(self.categories) {
            let vocabulary = interner.map(Interner::into_values).transpose();
            vocabularies.push(vocabulary.map_err(named(&feature.name))?);
        }
        Ok(Features::new(self.features.len(), self.values, vocabularies).with_rounded(self.rounded))
    }
}

pub(super) fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b dyn Array, String> {
    batch.column_by_name(name).ok_or_else(|| format!("there is no column {name:?}")).map(AsRef::as_ref)
}

/// Prefixes an error with the column's name.
pub(super) fn named(name: &str) -> impl FnOnce(String) -> String + use<> {
    let name = name.to_owned();
    move |why| format!("column {name:?}: {why}")
}
