//! Opens the models of earlier bundles, and encodes the test window as each model expects.

use super::job::{broken, decode, unread};
use crate::domain::contract::{Feature, FeatureEffect, PinnedBundle};
use crate::domain::identity::Digest;
use crate::domain::run::Failure;
use crate::modelling::{EarlierRole, Encoding, Table};
use crate::training::booster::{LoadedModel, Matrix};
use crate::training::protocol::ChildJob;
use std::fs;
use std::path::Path;

pub(super) struct Earlier {
    role: EarlierRole,
    /// The bytes of the model's file, as the earlier bundle holds them.
    pub(super) bytes: Vec<u8>,
    model: LoadedModel,
    rows: Matrix,
    count: usize,
}

impl Earlier {
    /// Reads the model of a bundle and encodes `rows` for this model. The table's categories must not be encoded yet,
    /// since this run's codes lack values that only the earlier model knows.
    pub(super) fn open(
        job_dir: &Path,
        role: EarlierRole,
        pinned: &PinnedBundle,
        table: &Table,
        run_features: &[Feature],
        rows: &[usize],
    ) -> Result<Self, Failure> {
        let bytes = fs::read(ChildJob::earlier_model(job_dir, role)).map_err(|error| unread(&error))?;
        let found = Digest::of(&bytes);
        if found != pinned.model.sha256 {
            return Err(broken(format!("the {role}'s model was changed in the job: its digest is {found} now")));
        }
        let unusable = |why: String| {
            let message = format!("the model {} of the {role} cannot be scored: {why}", pinned.model.reference);
            Failure::new(role.unusable(), message)
        };
        let opening = || LoadedModel::open(&bytes, &pinned.features).map_err(unusable);
        let (model, codes) = decode(&format!("the {role}'s model"), role.unusable(), opening)?;
        let encoding = Encoding::new(run_features, &pinned.features, &codes).map_err(unusable)?;
        let values = encoding.encode(&table.features, rows.iter().copied());
        let rows_as_read = Matrix::unlabelled(&values, rows.len(), &pinned.features)?;
        Ok(Self { role, bytes, model, rows: rows_as_read, count: rows.len() })
    }

    pub(super) fn rounds(&self) -> u32 {
        self.model.rounds()
    }

    /// Scores the test window. The scores are in the order of the window's rows.
    pub(super) fn scores(&self) -> Result<Vec<f32>, Failure> {
        let rows: Vec<usize> = (0..self.count).collect();
        let what = format!("the {}'s model", self.role);
        let unusable = |failure: Failure| Failure::new(self.role.unusable(), format!("{what}: {}", failure.message));
        decode(&what, self.role.unusable(), || self.model.score(&self.rows, &rows).map_err(unusable))
    }

    pub(super) fn effects(&self) -> Result<Vec<FeatureEffect>, Failure> {
        self.model.effects(&self.rows, &(0..self.count).collect::<Vec<_>>())
    }
}
