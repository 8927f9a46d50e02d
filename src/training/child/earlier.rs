//! Opens the models of earlier bundles, and encodes the rows that they score as each model expects.

use super::job::{broken, decode, unread};
use crate::domain::contract::{Feature, FeatureEffect, PinnedBundle};
use crate::domain::identity::Digest;
use crate::domain::run::Failure;
use crate::modelling::{EarlierRole, Encoding, Table};
use crate::training::booster::{LoadedModel, Matrix};
use crate::training::protocol::ChildJob;
use std::fs;
use std::ops::Range;
use std::path::Path;

pub(super) struct Earlier {
    role: EarlierRole,
    /// The bytes of the model's file, as the earlier bundle holds them.
    pub(super) bytes: Vec<u8>,
    model: LoadedModel,
    /// The test window, and then the rows that thresholds are chosen on.
    rows: Matrix,
    test: usize,
    count: usize,
}

impl Earlier {
    /// Reads the model of a bundle and encodes the test window and the rows that thresholds are chosen on for this model.
    /// The table's categories must not be encoded yet,
    /// since this run's codes lack values that only the earlier model knows.
    pub(super) fn open(
        job_dir: &Path,
        role: EarlierRole,
        pinned: &PinnedBundle,
        table: &Table,
        run_features: &[Feature],
        (test, chosen_on): (&[usize], &[usize]),
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
        let numbers = [test, chosen_on].concat();
        let values = encoding.encode(&table.features, numbers.iter().copied());
        let rows = Matrix::unlabelled(&values, numbers.len(), &pinned.features)?;
        Ok(Self { role, bytes, model, rows, test: test.len(), count: numbers.len() })
    }

    pub(super) fn rounds(&self) -> u32 {
        self.model.rounds()
    }

    /// Scores the test window. The scores are in the order of the window's rows.
    pub(super) fn scores(&self) -> Result<Vec<f32>, Failure> {
        self.scores_of(0..self.test)
    }

    /// Scores the rows that thresholds are chosen on, in their order.
    pub(super) fn scores_to_choose_on(&self) -> Result<Vec<f32>, Failure> {
        self.scores_of(self.test..self.count)
    }

    fn scores_of(&self, rows: Range<usize>) -> Result<Vec<f32>, Failure> {
        let rows: Vec<usize> = rows.collect();
        let what = format!("the {}'s model", self.role);
        let unusable = |failure: Failure| Failure::new(self.role.unusable(), format!("{what}: {}", failure.message));
        decode(&what, self.role.unusable(), || self.model.score(&self.rows, &rows).map_err(unusable))
    }

    pub(super) fn effects(&self) -> Result<Vec<FeatureEffect>, Failure> {
        self.model.effects(&self.rows, &(0..self.test).collect::<Vec<_>>())
    }
}
