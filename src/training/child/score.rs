//! A file of rows, scored with the model of a bundle, a batch at a time. Nothing is fitted or measured, and no
//! label is read.

use super::{broken, decoding, tell, told, write};
use crate::adapters::dataset::{RowBatch, RowsToScore, ScoreWriter};
use crate::domain::contract::FeatureKind;
use crate::domain::identity::{Digest, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{Category, Encoding, FeatureCategories, Features};
use crate::training::{self, Fitted, MODEL_FILE, Matrix, SCORES_FILE, Scored, ScoringJob};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Opens the model, holds it against the vectors of its bundle, and scores.
pub(super) fn score(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job: ScoringJob = told(job_dir)?;
    training::confine(&job.limits, worker).map_err(broken)?;
    tell("read", 0.0, "reading the model");
    let model = fs::read(job_dir.join(MODEL_FILE)).map_err(broken)?;
    let found = Digest::of(&model);
    if found != job.model_sha256 {
        return Err(broken(format!("the model was changed in the job: its digest is {found} now")));
    }
    let opened = decoding("the model", FailureCode::TrainerFailed, || Scorer::open(&model, &job))?;
    let into = ScoreWriter::new(job_dir.join(SCORES_FILE), job.about.clone());
    let scored = decoding("the file", FailureCode::DatasetInvalid, || opened.score_all(into))?;
    write(job_dir, Scored::FILE, &document_bytes(&scored))
}

/// A model that gives the scores that its bundle says.
struct Scorer<'a> {
    job: &'a ScoringJob,
    fitted: Fitted,
    codes: Vec<FeatureCategories>,
}

impl<'a> Scorer<'a> {
    fn open(model: &[u8], job: &'a ScoringJob) -> Result<Self, Failure> {
        let unusable = |why: String| broken(format!("the model cannot be scored: {why}"));
        let (fitted, mut codes) = Fitted::open(model, &job.features).map_err(unusable)?;
        training::must_agree(&fitted, &job.features, &job.parity)
            .map_err(|why| unusable(format!("its scores are not those of its parity vectors: {why}")))?;
        if codes.is_empty() {
            // A registered command's model need not hold them; the command was told them.
            codes.clone_from(&job.parity.categories);
        }
        Ok(Self { job, fitted, codes })
    }

    fn score_all(&self, mut into: ScoreWriter) -> Result<Scored, Failure> {
        let features = &self.job.features;
        let encoding = Encoding::new(features, features, &self.codes).map_err(broken)?;
        let mut rows = RowsToScore::open(&self.job.file, features, &self.job.ids, &self.job.limits)?;
        let (all, id_column) = (rows.rows(), rows.id_column().map(str::to_owned));
        let mut so_far = Scored { rows: 0, id_column, unknown_categories: BTreeMap::new() };
        let mut heard = 0;
        while let Some(RowBatch { row_ids, features: read, rows: count }) = rows.next_batch()? {
            self.check_kinds(&read)?;
            let inputs = encoding.encode(&read, 0..count);
            self.note_unknown(&read, &inputs, count, &mut so_far.unknown_categories);
            let places: Vec<usize> = (0..count).collect();
            let scores = self.fitted.score(&Matrix::unlabelled(&inputs, count, features)?, &places)?;
            into.write(row_ids, scores).map_err(broken)?;
            so_far.rows += count as u64;
            let percent = so_far.rows * 100 / all.max(1);
            if percent > heard {
                heard = percent;
                tell("score", so_far.rows as f64 / all.max(1) as f64, &format!("{} of {all} rows", so_far.rows));
            }
        }
        into.finish().map_err(broken)?;
        Ok(so_far)
    }

    fn categorical(&self) -> impl Iterator<Item = (usize, &str)> {
        let features = self.job.features.iter().enumerate();
        features.filter(|(_, of)| of.kind == FeatureKind::Categorical).map(|(place, of)| (place, of.name.as_str()))
    }

    /// A single value may be unknown; numbers where the model knows text are another column.
    fn check_kinds(&self, read: &Features) -> Result<(), Failure> {
        let kind = |value: &Category| match value {
            Category::Number(_) => "numbers",
            Category::Text(_) => "text",
        };
        for (place, name) in self.categorical() {
            let known = self.codes.iter().find(|of| of.feature == name).and_then(|of| of.values.first()).map(kind);
            let found = read.vocabulary(place).and_then(<[Category]>::first).map(kind);
            if let (Some(known), Some(found)) = (known, found)
                && known != found
            {
                let why = format!("column {name:?} holds {found}, and the model learned from {known}");
                return Err(Failure::new(FailureCode::DatasetInvalid, why));
            }
        }
        Ok(())
    }

    /// Counts the values that are missing to the model and were not in the file.
    fn note_unknown(&self, read: &Features, inputs: &Features, rows: usize, noted: &mut BTreeMap<String, u64>) {
        for (place, name) in self.categorical() {
            let lost = |&row: &usize| inputs.value(row, place).is_nan() && !read.value(row, place).is_nan();
            let count = (0..rows).filter(lost).count() as u64;
            if count > 0 {
                *noted.entry(name.to_owned()).or_default() += count;
            }
        }
    }
}
