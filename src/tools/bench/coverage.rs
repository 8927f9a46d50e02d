//! Measures how often an interval holds the true value, on simulated windows of which the true value is known.
//!
//! A window has cards with payments. Some cards are compromised and have one or several frauds. Scores are a logistic
//! function of a normal variable whose mean is higher for frauds; payments of one card share half of its variance. A
//! share of the compromised cards may be invisible: the model scores their frauds like good payments.

use crate::domain::contract::EvaluationSpec;
use crate::modelling::metrics::{IntervalBasis, ScoredRows, differences, measure};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Geometric, Poisson, StandardNormal};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy)]
pub struct CoverageSpec {
    /// The number of windows of each scene.
    pub windows: usize,
    pub seed: u64,
    /// The payments of the large window that gives the true values.
    pub large: usize,
}

/// What kind of windows is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Scene {
    /// The mean number of compromised cards.
    pub cards: u32,
    /// The mean number of frauds of a compromised card.
    pub frauds_each: f64,
    /// The share of frauds among all payments.
    pub fraud_rate: f64,
    /// By how many standard deviations frauds score higher than good payments.
    pub distance: f64,
    /// The share of compromised cards whose frauds score like good payments.
    pub invisible: f64,
    /// Whether scores are rounded, so that many are equal.
    pub ties: bool,
    /// The share of good payments that is drawn into the window, each with a weight of one over this share. At 1 rows have
    /// no weights.
    pub kept: f64,
}

/// How often the intervals of one metric hold its true value in one scene.
#[derive(Debug, Clone, Serialize)]
pub struct Coverage {
    pub scene: Scene,
    /// The metric, or `difference of` a metric.
    pub metric: String,
    pub truth: f64,
    /// The share of windows that have an interval.
    pub given: f64,
    pub shares: Option<CoverageShares>,
}

/// Shares of the intervals that are given. They are not counted if fewer than 100 windows have an interval.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct CoverageShares {
    /// The interval holds the true value.
    pub covered: f64,
    /// The interval lies above the true value.
    pub above: f64,
    /// The interval lies below the true value.
    pub below: f64,
    pub mean_low: f64,
    pub mean_width: f64,
}

#[derive(Default)]
struct Tally {
    values: Vec<f64>,
    intervals: Vec<(f64, f64)>,
}

#[derive(Default)]
struct SimulatedWindow {
    scores: Vec<f64>,
    champion: Vec<f64>,
    labels: Vec<bool>,
    days: Vec<i64>,
    cards: Vec<u32>,
    /// Empty if rows have no weights.
    weights: Vec<f32>,
}

const DAYS: i64 = 7;
/// Mean number of good payments of a card.
const PAYMENTS: f64 = 10.0;

impl Scene {
    /// The mean numbers of compromised cards of [`Self::all`].
    pub const CARDS: [u32; 5] = [20, 30, 50, 100, 300];

    /// The scenes of the table in docs/intervals.md.
    pub fn all() -> Vec<Self> {
        let base = Self {
            cards: 30,
            frauds_each: 1.0,
            fraud_rate: 0.01,
            distance: 1.8,
            invisible: 0.0,
            ties: false,
            kept: 1.0,
        };
        let mut scenes = Vec::new();
        for cards in Self::CARDS {
            // ROC areas of .70, .90, .98, and .97 with invisible frauds.
            for (distance, invisible) in [(0.742, 0.0), (1.812, 0.0), (2.904, 0.0), (3.290, 0.04)] {
                for frauds_each in [1.0, 3.0] {
                    scenes.push(Self { cards, frauds_each, distance, invisible, ..base });
                }
            }
        }
        scenes.push(Self { cards: 50, fraud_rate: 0.005, frauds_each: 2.0, ..base });
        scenes.push(Self { cards: 50, frauds_each: 2.0, ties: true, ..base });
        // One good payment in ten and in fifty.
        scenes.push(Self { cards: 50, frauds_each: 2.0, kept: 0.1, ..base });
        scenes.push(Self { cards: 100, frauds_each: 1.0, kept: 0.02, ..base });
        scenes
    }

    fn rows(&self) -> f64 {
        f64::from(self.cards) * self.frauds_each / self.fraud_rate
    }

    /// The same scene with `times` as many payments, all of them kept.
    fn enlarged(self, times: f64) -> Self {
        Self { cards: (f64::from(self.cards) * times) as u32, kept: 1.0, ..self }
    }

    fn draw(&self, random: &mut ChaCha8Rng) -> SimulatedWindow {
        let mut window = SimulatedWindow::default();
        let cards = (self.rows() * (1.0 - self.fraud_rate) / PAYMENTS) as u32;
        let compromised = f64::from(self.cards) / f64::from(cards);
        let more = Geometric::new(1.0 / self.frauds_each).ok();
        let payments = Poisson::new(PAYMENTS).ok();
        for card in 0..cards {
            let count = payments.map_or(0, |payments: Poisson<f64>| payments.sample(random) as u32);
            self.pay(&mut window, card, false, 0.0, count, random);
            if random.random_bool(compromised) {
                let count = 1 + more.map_or(0, |more| more.sample(random)) as u32;
                let distance = if random.random_bool(self.invisible) { 0.0 } else { self.distance };
                self.pay(&mut window, card, true, distance, count, random);
            }
        }
        window
    }

    fn pay(
        &self,
        window: &mut SimulatedWindow,
        card: u32,
        fraud: bool,
        distance: f64,
        count: u32,
        random: &mut ChaCha8Rng,
    ) {
        let mut normal = || -> f64 { StandardNormal.sample(random) };
        let half = 0.5_f64.sqrt();
        let shared = normal();
        let kept = if fraud { 1.0 } else { self.kept };
        for _ in 0..count {
            let at = distance + half * shared + half * normal();
            // The log-odds of fraud at this place, so that the scores are calibrated.
            let odds =
                self.distance * at - self.distance.powi(2) / 2.0 + (self.fraud_rate / (1.0 - self.fraud_rate)).ln();
            let score = |odds: f64| {
                let odds = if self.ties { odds.round() } else { odds };
                1.0 / (1.0 + (-odds).exp())
            };
            window.scores.push(score(odds));
            window.champion.push(score(odds + normal()));
            window.labels.push(fraud);
            window.cards.push(card);
        }
        for _ in 0..count {
            window.days.push(random.random_range(0..DAYS));
        }
        if self.kept < 1.0 {
            window.weights.resize(window.scores.len(), (1.0 / kept) as f32);
            let kept: Vec<bool> = (0..count).map(|_| random.random_bool(kept)).collect();
            window.drop_last(&kept);
        }
    }
}

impl SimulatedWindow {
    fn scored(&self) -> ScoredRows<'_> {
        let weights = (!self.weights.is_empty()).then_some(self.weights.as_slice());
        let cards = Some(self.cards.as_slice());
        ScoredRows { scores: &self.scores, labels: &self.labels, days: &self.days, cards, weights, amounts: None }
    }

    /// Leaves out those of the last payments that are not kept.
    fn drop_last(&mut self, kept: &[bool]) {
        fn retain<T>(all: &mut Vec<T>, kept: &[bool]) {
            let mut last = all.split_off(all.len() - kept.len()).into_iter();
            all.extend(kept.iter().filter_map(|&kept| last.next().filter(|_| kept)));
        }
        retain(&mut self.scores, kept);
        retain(&mut self.champion, kept);
        retain(&mut self.labels, kept);
        retain(&mut self.cards, kept);
        retain(&mut self.days, kept);
        retain(&mut self.weights, kept);
    }
}

fn evaluation(k: &[u32]) -> EvaluationSpec {
    EvaluationSpec { k: k.to_vec(), fpr: vec![0.01], thresholds: vec![0.1], ..EvaluationSpec::default() }
}

/// Draws windows of every scene, and counts how often the intervals hold the true values.
pub fn coverage(scenes: &[Scene], spec: &CoverageSpec, doing: impl Fn(&str)) -> Vec<Coverage> {
    let mut found = Vec::new();
    for (index, scene) in scenes.iter().enumerate() {
        doing(&format!("scene {} of {}", index + 1, scenes.len()));
        let mut random = ChaCha8Rng::seed_from_u64(spec.seed);
        random.set_stream(index as u64);
        found.extend(coverage_of(scene, spec, &mut random));
    }
    found
}

fn coverage_of(scene: &Scene, spec: &CoverageSpec, random: &mut ChaCha8Rng) -> Vec<Coverage> {
    /// The payments that a team may look at in a week, and the cards that it may look at in a day.
    const AT: [u32; 2] = [100, 20];
    let asked = evaluation(&AT);
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    for _ in 0..spec.windows {
        let window = scene.draw(random);
        let scored = window.scored();
        let basis = IntervalBasis { confidence: 0.95, clusters: Some(&window.cards) };
        let measured = measure(&scored, &asked, Some(&basis), &[]).scores;
        let names: Vec<String> = measured.keys().cloned().collect();
        for (name, found) in differences(&scored, &window.champion, &names, &asked, &basis) {
            let interval = found.interval.map(|interval| (interval.low, interval.high));
            tallies.entry(format!("difference of {name}")).or_default().add(found.difference, interval);
        }
        for (name, found) in measured {
            let interval = found.interval.map(|interval| (interval.low, interval.high));
            tallies.entry(name).or_default().add(found.value, interval);
        }
    }
    let truths = truths(scene, spec, &AT, random);
    let row = |(metric, tally): (String, Tally)| {
        // Only the mean over windows says what a metric per day should be, since found cards leave later days.
        let truth = truths.get(&metric).copied().unwrap_or_else(|| mean(&tally.values));
        tally.coverage(*scene, metric, truth, spec.windows)
    };
    tallies.into_iter().map(row).collect()
}

/// Measures a large window. Each `k` stands for the same share of the payments as in the small windows.
fn truths(scene: &Scene, spec: &CoverageSpec, at: &[u32], random: &mut ChaCha8Rng) -> BTreeMap<String, f64> {
    let times = (spec.large as f64 / scene.rows()).max(1.0);
    let window = scene.enlarged(times).draw(random);
    let scored = ScoredRows { cards: None, ..window.scored() };
    let larger = |k: u32| (f64::from(k) / scene.rows() * scored.scores.len() as f64).round() as u32;
    let asked = evaluation(&at.iter().map(|&k| larger(k)).collect::<Vec<u32>>());
    let own = measure(&scored, &asked, None, &[]).scores;
    let other = measure(&ScoredRows { scores: &window.champion, ..scored }, &asked, None, &[]).scores;
    let small = |name: &str| {
        let of = |k: &&u32| name.ends_with(&format!("_at_{}", larger(**k)));
        let small = |k: &u32| name.replace(&format!("_at_{}", larger(*k)), &format!("_at_{k}"));
        at.iter().find(of).map_or_else(|| name.to_owned(), small)
    };
    let mut truths = BTreeMap::new();
    for (name, metric) in &own {
        let (Some(own), Some(other)) = (metric.value, other[name].value) else { continue };
        truths.insert(format!("difference of {}", small(name)), own - other);
        truths.insert(small(name), own);
    }
    truths
}

impl Tally {
    fn add(&mut self, value: Option<f64>, interval: Option<(f64, f64)>) {
        self.values.extend(value);
        self.intervals.extend(interval);
    }

    fn coverage(self, scene: Scene, metric: String, truth: f64, windows: usize) -> Coverage {
        const ENOUGH: usize = 100;
        let count = self.intervals.len() as f64;
        let share = |of: &dyn Fn(&(f64, f64)) -> bool| self.intervals.iter().filter(|it| of(it)).count() as f64 / count;
        let mean = |of: fn(&(f64, f64)) -> f64| self.intervals.iter().map(of).sum::<f64>() / count;
        let shares = CoverageShares {
            covered: share(&|(low, high)| (*low..=*high).contains(&truth)),
            above: share(&|(low, _)| *low > truth),
            below: share(&|(_, high)| *high < truth),
            mean_low: mean(|(low, _)| *low),
            mean_width: mean(|(low, high)| high - low),
        };
        let shares = (self.intervals.len() >= ENOUGH).then_some(shares);
        Coverage { scene, metric, truth, given: count / windows as f64, shares }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small replication of the table in docs/intervals.md. Its bounds leave room for the noise of 150 windows.
    #[test]
    fn intervals_hold_the_true_value_about_as_often_as_they_say() {
        let spec = CoverageSpec { windows: 150, seed: 3, large: 400_000 };
        let base = Scene {
            cards: 40,
            frauds_each: 1.0,
            fraud_rate: 0.05,
            distance: 1.8,
            invisible: 0.0,
            ties: false,
            kept: 1.0,
        };
        let scenes = [
            base,
            Scene { frauds_each: 3.0, fraud_rate: 0.1, distance: 2.9, ..base },
            Scene { cards: 100, kept: 0.2, ..base },
        ];
        let found = coverage(&scenes, &spec, |_| {});
        let without = ["ks_statistic", "expected_calibration_error"];
        let always = ["auc_roc", "average_precision", "log_loss", "recall_at_100", "difference of auc_roc"];
        for row in &found {
            assert!(row.shares.is_none() || !without.iter().any(|metric| row.metric.ends_with(metric)), "{row:?}");
            let none = row.scene.kept < 1.0 && row.metric == "average_precision";
            assert!(none == row.shares.is_none() || !always.contains(&row.metric.as_str()), "{row:?}");
            let Some(shares) = row.shares else { continue };
            let noise = if always.contains(&row.metric.as_str()) { 0.07 } else { 0.15 };
            assert!(shares.covered >= 0.95 - noise && shares.above <= 0.025 + noise, "{row:?}");
        }
        let narrow = |metric: &str| found.iter().find(|row| row.metric == metric).unwrap().shares.unwrap().mean_width;
        assert!(narrow("auc_roc") < 0.2 && narrow("difference of auc_roc") < narrow("auc_roc"));
    }

    #[test]
    fn few_frauds_have_no_interval() {
        let few = Scene {
            cards: 10,
            frauds_each: 4.0,
            fraud_rate: 0.05,
            distance: 1.8,
            invisible: 0.0,
            ties: true,
            kept: 1.0,
        };
        let spec = CoverageSpec { windows: 20, seed: 3, large: 10_000 };
        for row in coverage(&[few], &spec, |_| {}) {
            assert!(row.given < 0.05 || row.metric.contains("card_precision"), "{row:?}");
        }
    }
}
