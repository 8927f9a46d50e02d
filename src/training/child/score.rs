//! Runs the step `Score`, which scores a file of rows with the model of a bundle, one batch at a time. Never: fits,
//! measures, or reads a label.

use super::job::{broken, decode, read_job, report, unread, write};
use crate::adapters::dataset::{RowBatch, RowsToScore, ScoreColumns, ScoreWriter};
use crate::domain::contract::{CategoryValue, FeatureCategories, FeatureKind};
use crate::domain::identity::{Digest, document_bytes};
use crate::domain::run::{Failure, FailureCode};
use crate::modelling::{Encoding, Features, mapped};
use crate::training::booster::{LoadedModel, Matrix, compare_scores};
use crate::training::protocol::{MODEL_FILE, SCORES_FILE, ScoringJob, ScoringResult};
use crate::training::sandbox::limit_this_process;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub(super) fn score(job_dir: &Path, worker: i32) -> Result<(), Failure> {
    let job: ScoringJob = read_job(job_dir)?;
    limit_this_process(&job.limits, worker).map_err(broken)?;
    report("read", 0.0, "reading the model");
    let model = fs::read(job_dir.join(MODEL_FILE)).map_err(|error| unread(&error))?;
    let found = Digest::of(&model);
    if found != job.model_sha256 {
        return Err(broken(format!("the model was changed in the job: its digest is {found} now")));
    }
    let opened = decode("the model", FailureCode::TrainerFailed, || VerifiedModel::open(&model, &job))?;
    let into = ScoreWriter::new(job_dir.join(SCORES_FILE), job.about.clone());
    let scored = decode("the file", FailureCode::DatasetInvalid, || opened.score_all(into))?;
    write(job_dir, ScoringResult::FILE, &document_bytes(&scored))
}

/// A model that was checked to give the scores of its bundle's parity vectors.
struct VerifiedModel<'a> {
    job: &'a ScoringJob,
    model: LoadedModel,
    codes: Vec<FeatureCategories>,
}

impl<'a> VerifiedModel<'a> {
    fn open(model: &[u8], job: &'a ScoringJob) -> Result<Self, Failure> {
        let unusable = |why: String| broken(format!("the model cannot be scored: {why}"));
        let (loaded, mut codes) = LoadedModel::open(model, &job.features).map_err(unusable)?;
        compare_scores(&loaded, &job.features, &job.parity)
            .map_err(|why| unusable(format!("its scores are not those of its parity vectors: {why}")))?;
        if codes.is_empty() {
            // The model of a registered command may lack the codes, since the command got them with its job. Then use
            // the codes of the bundle's parity vectors.
            codes.clone_from(&job.parity.categories);
        }
        Ok(Self { job, model: loaded, codes })
    }

    fn score_all(&self, mut into: ScoreWriter) -> Result<ScoringResult, Failure> {
        let features = &self.job.features;
        let encoding = Encoding::new(features, features, &self.codes).map_err(broken)?;
        let mut rows = RowsToScore::open(&self.job.file, features, &self.job.ids, &self.job.limits)?;
        let (total, id_column) = (rows.rows(), rows.id_column().map(str::to_owned));
        let mut result = ScoringResult {
            rows: 0,
            flagged: self.job.threshold.map(|_| 0),
            id_column,
            unknown_categories: BTreeMap::new(),
        };
        let mut reported = 0;
        while let Some(RowBatch { row_ids, features: read, rows: count }) = rows.next_batch()? {
            self.check_kinds(&read)?;
            let inputs = encoding.encode(&read, 0..count);
            self.count_unknown(&read, &inputs, count, &mut result.unknown_categories);
            let all_rows: Vec<usize> = (0..count).collect();
            let scores = self.model.score(&Matrix::unlabelled(&inputs, count, features)?, &all_rows)?;
            let columns = self.columns(scores);
            if let (Some(flagged), Some(decisions)) = (&mut result.flagged, &columns.decisions) {
                *flagged += decisions.iter().filter(|flagged| **flagged).count() as u64;
            }
            into.write(row_ids, columns).map_err(broken)?;
            result.rows += count as u64;
            let percent = result.rows * 100 / total.max(1);
            if percent > reported {
                reported = percent;
                report("score", result.rows as f64 / total.max(1) as f64, &format!("{} of {total} rows", result.rows));
            }
        }
        into.finish(self.columns(Vec::new())).map_err(broken)?;
        Ok(result)
    }

    /// Adds what the job asks for beside the scores. A row is flagged if its score, as a 64-bit float, is at least the
    /// threshold; the decision report compares in the same way.
    fn columns(&self, scores: Vec<f32>) -> ScoreColumns {
        let wide = || scores.iter().map(|&score| f64::from(score));
        ScoreColumns {
            decisions: self.job.threshold.map(|threshold| wide().map(|score| score >= threshold).collect()),
            champion_scores: self.job.knots.as_ref().map(|knots| wide().map(|score| mapped(knots, score)).collect()),
            scores,
        }
    }

    fn categorical(&self) -> impl Iterator<Item = (usize, &str)> {
        let features = self.job.features.iter().enumerate();
        features.filter(|(_, of)| of.kind == FeatureKind::Categorical).map(|(index, of)| (index, of.name.as_str()))
    }

    /// Returns a failure if a column holds numbers where the model learned from texts, or texts where it learned from
    /// numbers. Such a column is the wrong one. A single unknown value is no failure, and counts as missing.
    fn check_kinds(&self, read: &Features) -> Result<(), Failure> {
        let kind = |value: &CategoryValue| match value {
            CategoryValue::Number(_) => "numbers",
            CategoryValue::Text(_) => "text",
        };
        for (index, name) in self.categorical() {
            let known = self.codes.iter().find(|of| of.feature == name).and_then(|of| of.values.first()).map(kind);
            let found = read.vocabulary(index).and_then(<[CategoryValue]>::first).map(kind);
            if let (Some(known), Some(found)) = (known, found)
                && known != found
            {
                let why = format!("column {name:?} holds {found}, and the model learned from {known}");
                return Err(Failure::new(FailureCode::DatasetInvalid, why));
            }
        }
        Ok(())
    }

    /// Adds to `counts`, by feature, the number of rows whose value the model does not know.
    fn count_unknown(&self, read: &Features, inputs: &Features, rows: usize, counts: &mut BTreeMap<String, u64>) {
        for (index, name) in self.categorical() {
            let lost = |&row: &usize| inputs.value(row, index).is_nan() && !read.value(row, index).is_nan();
            let count = (0..rows).filter(lost).count() as u64;
            if count > 0 {
                *counts.entry(name.to_owned()).or_default() += count;
            }
        }
    }
}
