//! Measures the time to compute the metrics of a window of scores.

use super::measure::{Figures, Laps};
use crate::clock::Stopwatch;
use crate::domain::contract::EvaluationSpec;
use crate::modelling::metrics::{IntervalBasis, ScoredRows, Slicing, measure};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::hint::black_box;

#[derive(Debug, Clone, Copy)]
pub struct MetricsSpec {
    pub rows: usize,
    /// How often each part is timed.
    pub laps: usize,
}

struct RandomWindow {
    scores: Vec<f64>,
    labels: Vec<bool>,
    days: Vec<i64>,
    cards: Vec<u32>,
}

impl RandomWindow {
    /// Draws a window. Scores have 32-bit precision, like a model's. One payment in a hundred is a fraud. The window
    /// has seven days and ten payments per card.
    fn random(rows: usize) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let mut window = Self { scores: Vec::new(), labels: Vec::new(), days: Vec::new(), cards: Vec::new() };
        for row in 0..rows {
            let fraud = random.random_bool(0.01);
            let score: f32 = random.random();
            window.scores.push(f64::from(if fraud { score.sqrt() } else { score.powi(3) }));
            window.labels.push(fraud);
            window.days.push((row * 7 / rows) as i64);
            window.cards.push(random.random_range(0..rows.div_ceil(10) as u32));
        }
        window
    }

    fn scored(&self, with_cards: bool) -> ScoredRows<'_> {
        let cards = with_cards.then_some(self.cards.as_slice());
        ScoredRows { scores: &self.scores, labels: &self.labels, days: &self.days, cards, weights: None, amounts: None }
    }
}

/// Times every part over the same window. The first figure is the ceiling: sorting the scores alone.
pub fn metrics(spec: &MetricsSpec, doing: impl Fn(&str)) -> Vec<Figures> {
    doing("drawing scores");
    let window = RandomWindow::random(spec.rows.max(1));
    let evaluation = EvaluationSpec { k: vec![100, 1_000], thresholds: vec![0.1, 0.5], ..EvaluationSpec::default() };
    let slicing = Slicing {
        column: "card".to_owned(),
        names: (0..10).map(|slice| slice.to_string()).collect(),
        slice_of: window.cards.iter().map(|card| card % 10).collect(),
    };
    let mut figures = Vec::new();
    let mut time = |name: &str, laps: usize, work: &dyn Fn()| {
        doing(name);
        let mut times = Laps::default();
        for _ in 0..laps.max(1) {
            let since = Stopwatch::start();
            work();
            times.push(since.elapsed());
        }
        let count = (spec.rows * laps.max(1)) as u64;
        figures.push(times.figures(name, "scores", count, "the whole window"));
    };
    time("ceiling: sort the scores", spec.laps, &|| {
        let mut scores = window.scores.clone();
        scores.sort_unstable_by(f64::total_cmp);
        black_box(scores);
    });
    time("metrics and curves", spec.laps, &|| {
        black_box(measure(&window.scored(false), &evaluation, None, &[]));
    });
    time("with card precision", spec.laps, &|| {
        black_box(measure(&window.scored(true), &evaluation, None, &[]));
    });
    time("with card precision and ten slices", spec.laps, &|| {
        black_box(measure(&window.scored(true), &evaluation, None, std::slice::from_ref(&slicing)));
    });
    for (name, clusters) in [("by row", None), ("by card", Some(window.cards.as_slice()))] {
        let basis = IntervalBasis { confidence: 0.95, clusters };
        time(&format!("metrics, curves and intervals {name}"), spec.laps, &|| {
            black_box(measure(&window.scored(false), &evaluation, Some(&basis), &[]));
        });
    }
    figures
}
