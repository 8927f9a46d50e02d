//! Computes how much each payment moves a metric: the derivative of the metric by the weight of the payment.
//!
//! The derivative is the influence function of the metric at the window (Hampel, "The Influence Curve and Its Role in
//! Robust Estimation", JASA 1974). For the ROC area it is the placement value of DeLong, DeLong and Clarke-Pearson,
//! "Comparing the Areas under Two or More Correlated Receiver Operating Characteristic Curves", Biometrics 1988. All
//! frauds with one score have one derivative, and so have all good payments.

use super::kind::MetricKind;
use super::order::{Level, ScoreCounts};

/// A metric's derivatives, and the scale on which its interval is symmetric.
pub(super) struct Influence {
    /// For each level, the derivative by the weight of one fraud of this level.
    pub(super) fraud: Vec<f64>,
    /// For each level, the derivative by the weight of one good payment of this level.
    pub(super) good: Vec<f64>,
    pub(super) scale: Scale,
}

pub(super) enum Scale {
    /// The log-odds of an area. `center` is the area without its bias in small windows.
    LogOdds { center: f64, blind: Blind },
    /// The logarithm of a mean loss.
    Log { blind: Blind },
    /// A share of payments, by the interval of Wilson.
    Share { of: Denominator },
}

/// What the metric would be over frauds that the model cannot tell from good payments.
pub(super) struct Blind {
    pub(super) metric: f64,
    /// The number of payments over which the metric is a mean: the frauds, or all payments.
    pub(super) payments: f64,
}

/// The payments of which the metric is a share.
pub(super) enum Denominator {
    Frauds,
    /// The part of each level's payments that is flagged, 0 to 1.
    Flagged(Vec<f64>),
    FraudsAndFlagged(Vec<f64>),
}

/// The counts of a window at each level, and their sums from the highest score down.
pub(super) struct Ranking<'a> {
    counts: &'a ScoreCounts<'a>,
    frauds: Vec<f64>,
    good: Vec<f64>,
    /// The sums of the squared weights. `None` if each row is one payment.
    squares: Option<(Vec<f64>, Vec<f64>)>,
    hits: Vec<f64>,
    alarms: Vec<f64>,
    total_frauds: f64,
    total_good: f64,
}

impl<'a> Ranking<'a> {
    pub(super) fn new(counts: &'a ScoreCounts<'a>, squares: Option<(Vec<f64>, Vec<f64>)>) -> Self {
        let frauds: Vec<f64> = counts.steps().map(|step| step.frauds).collect();
        let good: Vec<f64> = counts.steps().map(|step| step.good).collect();
        let (hits, alarms) = (running(&frauds), running(&good));
        let (total_frauds, total_good) = (counts.frauds(), counts.good());
        Self { counts, frauds, good, squares, hits, alarms, total_frauds, total_good }
    }

    /// Returns how many rows of equal weights would say as much about a share of these payments (Kish, "Survey Sampling",
    /// 1965). Without weights, their number.
    pub(super) fn independent(&self, of: &Denominator) -> f64 {
        let sum = |frauds: &[f64], good: &[f64]| {
            let flagged = |part: &[f64]| -> f64 {
                part.iter().enumerate().map(|(at, part)| part * (frauds[at] + good[at])).sum()
            };
            match of {
                Denominator::Frauds => frauds.iter().sum(),
                Denominator::Flagged(part) => flagged(part),
                Denominator::FraudsAndFlagged(part) => frauds.iter().sum::<f64>() + flagged(part),
            }
        };
        let payments: f64 = sum(&self.frauds, &self.good);
        match &self.squares {
            None => payments,
            Some((frauds, good)) => payments * payments / sum(frauds, good),
        }
    }

    /// Returns the derivatives of a metric that has this value. The error says why the metric has no interval.
    pub(super) fn influence(&self, kind: MetricKind, value: f64) -> Result<Influence, &'static str> {
        Ok(match kind {
            MetricKind::AucRoc => self.auc_roc(value),
            MetricKind::AveragePrecision => self.average_precision(value),
            MetricKind::LogLoss => self.mean_loss(value, |level| (level.loss_of_fraud, level.loss_of_good)),
            MetricKind::BrierScore => self.mean_loss(value, |level| {
                let (miss, alarm) = (1.0 - level.score, level.score);
                (miss * miss, alarm * alarm)
            }),
            MetricKind::PrecisionAt(k) => self.precision_at(value, f64::from(k)),
            MetricKind::RecallAt(k) => self.recall_at(value, f64::from(k)),
            MetricKind::RecallAtFpr(rate) => self.recall_at_fpr(value, rate),
            MetricKind::PrecisionAtThreshold(threshold) => self.precision(value, self.flagged(threshold)),
            MetricKind::RecallAtThreshold(threshold) => self.recall(value, &self.flagged(threshold)),
            MetricKind::F1AtThreshold(threshold) => self.f1(value, self.flagged(threshold)),
            MetricKind::ExpectedCalibrationError(_) | MetricKind::KsStatistic => {
                return Err(
                    "chance alone raises this metric, so that no known interval holds its true value often enough",
                );
            }
            MetricKind::FprAtThreshold(_) => {
                return Err("no interval of this metric has been shown to hold its true value often enough");
            }
            MetricKind::CardPrecisionAt(_) => return Err("the metric is measured per day"),
            MetricKind::AmountRecallAt(_)
            | MetricKind::AmountPrecisionAt(_)
            | MetricKind::ValueDetectionRateAtFpr(_) => {
                return Err("money at a rank or a rate has no known interval; that of an operating point may have one");
            }
        })
    }

    /// A fraud counts by the share of good payments below it. A good payment counts by the share of frauds above it.
    fn auc_roc(&self, value: f64) -> Influence {
        let fraud = |at: usize| {
            let below = self.total_good - self.alarms[at] + self.good[at] / 2.0;
            (below / self.total_good - value) / self.total_frauds
        };
        let good = |at: usize| {
            let above = self.hits[at] - self.frauds[at] / 2.0;
            (above / self.total_frauds - value) / self.total_good
        };
        let blind = Blind { metric: 0.5, payments: self.total_frauds };
        self.by_level(fraud, good, Scale::LogOdds { center: value, blind })
    }

    /// A fraud counts by the precision at its score. Every payment also moves the precision at all lower scores.
    fn average_precision(&self, value: f64) -> Influence {
        let total = self.total_frauds;
        let rows = |at: usize| self.hits[at] + self.alarms[at];
        // The derivatives by the weight of a payment of a level, of the summed precision of the frauds at and below it.
        let of_hit = self.sums_below(|at| self.frauds[at] * (1.0 - self.hits[at] / rows(at)) / rows(at));
        let of_alarm = self.sums_below(|at| -self.frauds[at] * self.hits[at] / rows(at).powi(2));
        let hit_twice =
            self.sums_below(|at| -2.0 * self.frauds[at] * (1.0 - self.hits[at] / rows(at)) / rows(at).powi(2));
        let alarm_twice = self.sums_below(|at| 2.0 * self.frauds[at] * self.hits[at] / rows(at).powi(3));
        let precision = |at: usize| self.hits[at] / rows(at);
        let of_fraud = |at: usize| (precision(at) + of_hit[at] - value) / total;
        let of_good = |at: usize| of_alarm[at] / total;
        // The bias is half the sum of the second derivatives (Efron, "The Jackknife, the Bootstrap and Other Resampling
        // Plans", 1982, chapter 6), each times the square of the row's weight.
        let (frauds, good) = self.squares.as_ref().map_or((&self.frauds, &self.good), |(frauds, good)| (frauds, good));
        let bend = |at: usize| {
            let own = 2.0 * (1.0 - precision(at)) / rows(at) + hit_twice[at];
            let of_fraud = own / total - 2.0 * (precision(at) + of_hit[at] - value) / total.powi(2);
            frauds[at] * of_fraud + good[at] * alarm_twice[at] / total
        };
        let bias = (0..self.frauds.len()).map(bend).sum::<f64>() / 2.0;
        let center = (value - bias).clamp(value / 2.0, f64::midpoint(value, 1.0));
        let blind = Blind { metric: 0.0, payments: total };
        self.by_level(of_fraud, of_good, Scale::LogOdds { center, blind })
    }

    /// `losses` returns the loss of a fraud and of a good payment at a level.
    fn mean_loss(&self, value: f64, losses: impl Fn(Level) -> (f64, f64)) -> Influence {
        let losses: Vec<(f64, f64)> = self.counts.steps().map(|step| losses(step.level)).collect();
        let payments = self.total_frauds + self.total_good;
        let blind: f64 = losses.iter().zip(&self.good).map(|((of_fraud, _), good)| of_fraud * good).sum();
        let blind = Blind { metric: blind / self.total_good, payments };
        let fraud = |at: usize| (losses[at].0 - value) / payments;
        let good = |at: usize| (losses[at].1 - value) / payments;
        self.by_level(fraud, good, Scale::Log { blind })
    }

    /// The `k` payments are a fixed share of the window, so that every payment moves the score from which they start.
    fn precision_at(&self, value: f64, k: f64) -> Influence {
        let (top, rate) = (self.top(k), self.rate_around(k).min(value));
        let share = k / (self.total_frauds + self.total_good);
        let moved = share * (value - rate);
        let fraud = |at: usize| (top[at] * (1.0 - rate) - moved) / k;
        let good = |at: usize| (-top[at] * rate - moved) / k;
        self.by_level(fraud, good, Scale::Share { of: Denominator::Flagged(top.clone()) })
    }

    fn recall_at(&self, value: f64, k: f64) -> Influence {
        let (top, precision) = (self.top(k), value * self.total_frauds / k);
        let rate = self.rate_around(k).min(precision);
        let moved = rate * k / (self.total_frauds + self.total_good);
        let fraud = |at: usize| (top[at] * (1.0 - rate) + moved - value) / self.total_frauds;
        let good = |at: usize| (moved - top[at] * rate) / self.total_frauds;
        self.by_level(fraud, good, Scale::Share { of: Denominator::Frauds })
    }

    /// A good payment moves the score from which the share `rate` of good payments is flagged.
    fn recall_at_fpr(&self, value: f64, rate: f64) -> Influence {
        let last = |rate: f64| self.alarms.partition_point(|alarms| alarms / self.total_good <= rate);
        let recall = |rate: f64| last(rate).checked_sub(1).map_or(0.0, |at| self.hits[at] / self.total_frauds);
        // The slope of the ROC curve, between half and twice the rate.
        let (low, high) = (rate / 2.0, (2.0 * rate).min(1.0));
        let slope = (recall(high) - recall(low)) / (high - low);
        let flagged = last(rate);
        let alarms = flagged.checked_sub(1).map_or(0.0, |at| self.alarms[at] / self.total_good);
        let is_flagged = |at: usize| f64::from(u8::from(at < flagged));
        let fraud = |at: usize| (is_flagged(at) - value) / self.total_frauds;
        let good = |at: usize| -slope * (is_flagged(at) - alarms) / self.total_good;
        self.by_level(fraud, good, Scale::Share { of: Denominator::Frauds })
    }

    fn precision(&self, value: f64, flagged: Vec<f64>) -> Influence {
        let count = self.count_of(&flagged);
        let fraud = |at: usize| flagged[at] * (1.0 - value) / count;
        let good = |at: usize| -flagged[at] * value / count;
        let (fraud, good) = (self.each(fraud), self.each(good));
        Influence { fraud, good, scale: Scale::Share { of: Denominator::Flagged(flagged) } }
    }

    fn recall(&self, value: f64, flagged: &[f64]) -> Influence {
        let fraud = |at: usize| (flagged[at] - value) / self.total_frauds;
        self.by_level(fraud, |_| 0.0, Scale::Share { of: Denominator::Frauds })
    }

    fn f1(&self, value: f64, flagged: Vec<f64>) -> Influence {
        let both = self.count_of(&flagged) + self.total_frauds;
        let fraud = |at: usize| (2.0 * flagged[at] - value * (1.0 + flagged[at])) / both;
        let good = |at: usize| -value * flagged[at] / both;
        let (fraud, good) = (self.each(fraud), self.each(good));
        Influence { fraud, good, scale: Scale::Share { of: Denominator::FraudsAndFlagged(flagged) } }
    }

    /// Returns the part of each level that is among the `k` highest scores. A tie at the border is shared out.
    fn top(&self, k: f64) -> Vec<f64> {
        self.each(|at| {
            let rows = self.frauds[at] + self.good[at];
            let before = self.hits[at] + self.alarms[at] - rows;
            ((k - before) / rows).clamp(0.0, 1.0)
        })
    }

    /// Returns the share of frauds around rank `k`: from rank `k / 2` to rank `3 k / 2`.
    fn rate_around(&self, k: f64) -> f64 {
        let (from, to) = (k / 2.0, (1.5 * k).min(self.total_frauds + self.total_good));
        let hits = |k: f64| self.top(k).iter().zip(&self.frauds).map(|(top, frauds)| top * frauds).sum::<f64>();
        (hits(to) - hits(from)) / (to - from)
    }

    fn flagged(&self, threshold: f64) -> Vec<f64> {
        self.counts.steps().map(|step| f64::from(u8::from(step.level.score >= threshold))).collect()
    }

    fn count_of(&self, part: &[f64]) -> f64 {
        part.iter().enumerate().map(|(at, part)| part * (self.frauds[at] + self.good[at])).sum()
    }

    fn each(&self, of: impl Fn(usize) -> f64) -> Vec<f64> {
        (0..self.frauds.len()).map(of).collect()
    }

    fn by_level(&self, fraud: impl Fn(usize) -> f64, good: impl Fn(usize) -> f64, scale: Scale) -> Influence {
        Influence { fraud: self.each(fraud), good: self.each(good), scale }
    }

    /// Returns for each level the sum over this level and all levels below it.
    fn sums_below(&self, of: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = self.each(of);
        for at in (1..sums.len()).rev() {
            sums[at - 1] += sums[at];
        }
        sums
    }
}

fn running(values: &[f64]) -> Vec<f64> {
    let sum = |sum: &mut f64, value: &f64| {
        *sum += value;
        Some(*sum)
    };
    values.iter().scan(0.0, sum).collect()
}
