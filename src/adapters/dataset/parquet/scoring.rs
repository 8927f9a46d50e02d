//! Rows that are only scored: ids, and features by name. They come a batch at a time, so that a file of any length
//! takes the same memory.

use super::declared::{Batches, Declared, invalid};
use super::feature_rows::{FeatureRows, column, named};
use super::symbols;
use crate::domain::contract::{Feature, Limits};
use crate::domain::run::Failure;
use crate::modelling::{Features, IdColumn, RowIds};
use std::path::Path;

/// The rows of a file, in its order. Only the features and the ids are decoded.
pub struct RowsToScore<'a> {
    batches: Batches,
    features: &'a [Feature],
    id_column: Option<String>,
    rows: u64,
    read: u64,
}

pub struct RowBatch {
    /// Where the file has no ids, the rows' numbers from 0.
    pub row_ids: RowIds,
    /// Every batch numbers its categories anew.
    pub features: Features,
    pub rows: usize,
}

impl<'a> RowsToScore<'a> {
    /// Opens a file that has all of these features. Of `limits`, only the memory counts.
    pub fn open(path: &Path, features: &'a [Feature], ids: &IdColumn, limits: &Limits) -> Result<Self, Failure> {
        let file = Declared::read(path).map_err(invalid)?;
        let id_column = (ids.required || file.has(&ids.name)).then(|| ids.name.clone());
        let mut names: Vec<&str> = features.iter().map(|feature| feature.name.as_str()).collect();
        names.extend(id_column.as_deref().filter(|name| features.iter().all(|feature| feature.name != *name)));
        let rows = file.rows().map_err(invalid)?;
        let batches = file.open(rows, &names, limits).map_err(invalid)?;
        Ok(Self { batches, features, id_column, rows, read: 0 })
    }

    /// Rows that the file declares.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The column with the ids; none where rows go by their numbers.
    pub fn id_column(&self) -> Option<&str> {
        self.id_column.as_deref()
    }

    /// The next rows; none after the last.
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
