//! `model-factory measure`: computes the metrics of scores that another program made.

use crate::domain::contract::{Differences, EvaluationSpec};
use crate::modelling::metrics::{IntervalBasis, Measured, ScoredRows, differences, measure};
use anyhow::{Context as _, ensure};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Measure scores that another program made, with the code that measures runs. Reads and writes JSON Lines, one window
/// per line.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A window holds scores (0 to 1) and labels. It may hold days and cards (integers, for card precision),
clusters (integers; the entity of each row, for intervals), weights (how many payments each row stands for),
evaluation (as in a training profile; slices are left out), and champion (another model's scores of the same
rows; the answer then has the difference of every metric).

Example:
  echo '{\"scores\": [0.9, 0.2], \"labels\": [true, false]}' | model-factory measure")]
pub(super) struct Args {
    /// File with the windows. By default standard input.
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScoredWindow {
    scores: Vec<f64>,
    labels: Vec<bool>,
    days: Option<Vec<i64>>,
    cards: Option<Vec<u32>>,
    clusters: Option<Vec<u32>>,
    weights: Option<Vec<f32>>,
    champion: Option<Vec<f64>>,
    #[serde(default)]
    evaluation: EvaluationSpec,
}

/// The window's metrics. `champion` holds their differences from the champion's metrics. `None` if the window has no
/// scores of a champion.
#[derive(Serialize)]
struct WindowMetrics {
    #[serde(flatten)]
    measured: Measured,
    #[serde(skip_serializing_if = "Option::is_none")]
    champion: Option<Differences>,
}

impl Args {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let mut out = std::io::stdout().lock();
        for (index, line) in lines(self.file.as_deref())?.lines().enumerate() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let window: ScoredWindow = serde_json::from_str(&line).with_context(|| format!("line {}", index + 1))?;
            let measured = window.measure().with_context(|| format!("line {}", index + 1))?;
            serde_json::to_writer(&mut out, &measured)?;
            writeln!(out)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn lines(file: Option<&Path>) -> anyhow::Result<Box<dyn BufRead>> {
    Ok(match file {
        Some(path) => Box::new(BufReader::new(File::open(path).with_context(|| path.display().to_string())?)),
        None => Box::new(std::io::stdin().lock()),
    })
}

impl ScoredWindow {
    fn measure(&self) -> anyhow::Result<WindowMetrics> {
        /// Upper bound on numbers of cards and clusters. They index a table, so that a larger number would allocate too
        /// much.
        const MAX_NUMBER: u32 = 100_000_000;
        let rows = self.scores.len();
        let same = |found: Option<usize>| found.is_none_or(|found| found == rows);
        ensure!(self.labels.len() == rows, "there are {rows} scores and {} labels", self.labels.len());
        ensure!(same(self.days.as_ref().map(Vec::len)), "days must be as many as scores");
        for (name, numbers) in [("cards", &self.cards), ("clusters", &self.clusters)] {
            ensure!(same(numbers.as_ref().map(Vec::len)), "{name} must be as many as scores");
            let largest = numbers.iter().flatten().max();
            ensure!(largest.is_none_or(|&number| number <= MAX_NUMBER), "{name} must be at most {MAX_NUMBER}");
        }
        ensure!(same(self.champion.as_ref().map(Vec::len)), "the champion's scores must be as many as scores");
        let mut all = self.scores.iter().chain(self.champion.iter().flatten());
        ensure!(all.all(|score| (0.0..=1.0).contains(score)), "a score is not between 0 and 1");
        ensure!(same(self.weights.as_ref().map(Vec::len)), "weights must be as many as scores");
        let is_weight = |weight: &f32| *weight > 0.0 && *weight <= 1e9;
        ensure!(self.weights.iter().flatten().all(is_weight), "a weight is not above 0 and at most 1e9");
        let spec = &self.evaluation;
        let counted = spec.calibration_bins > 0 && spec.histogram_bins > 0 && spec.k.iter().all(|&k| k > 0);
        ensure!(counted, "k and numbers of bins must be at least 1");
        let one_day = vec![0; rows];
        let scored = ScoredRows {
            scores: &self.scores,
            labels: &self.labels,
            days: self.days.as_deref().unwrap_or(&one_day),
            cards: self.cards.as_deref(),
            weights: self.weights.as_deref(),
            amounts: None,
        };
        let basis = IntervalBasis { confidence: spec.intervals.confidence, clusters: self.clusters.as_deref() };
        let measured = measure(&scored, spec, Some(&basis), &[]);
        let champion = self.champion.as_ref().map(|champion| {
            let names: Vec<String> = measured.scores.keys().cloned().collect();
            differences(&scored, champion, &names, spec, &basis)
        });
        Ok(WindowMetrics { measured, champion })
    }
}
