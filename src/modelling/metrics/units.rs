//! Sums what moves a metric over units: over the payments of one entity, or over single payments. Units are taken as
//! independent of each other.
//!
//! The variance is that of Obuchowski, "Nonparametric Analysis of Clustered ROC Curve Data", Biometrics 1997. If every
//! payment is a unit of its own, it is that of DeLong, DeLong and Clarke-Pearson, Biometrics 1988. A row with a weight moves
//! the metric by its weight times the derivative, so that the variance also holds the chance by which rows were drawn
//! (Binder, "On the Variances of Asymptotically Normal Estimators from Complex Surveys", International Statistical Review
//! 1983).

use super::influence::Influence;
use super::order::RankedScores;

pub(super) struct Units {
    /// The unit of each row.
    unit_of: Vec<u32>,
    /// The frauds and the good payments of each unit, by weight.
    frauds: Vec<f64>,
    good: Vec<f64>,
    pub(super) heaviest_fraud: f64,
    pub(super) heaviest_good: f64,
}

/// How much each unit moves a metric, by its frauds and by its good payments.
pub(super) struct Moves {
    fraud: Vec<f64>,
    good: Vec<f64>,
}

/// How many units share something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) units: u64,
    pub(super) payments: f64,
    /// The number of units with equal shares that would give a mean of the same variance (Kish, "Survey Sampling",
    /// 1965). At most `units`.
    pub(super) effective: f64,
}

impl Units {
    /// `clusters` holds the entity of each row. `None` makes each row a unit.
    pub(super) fn new(order: &RankedScores, clusters: Option<&[u32]>) -> Self {
        let rows = order.rows().len();
        let unit_of = match clusters {
            None => (0..rows as u32).collect(),
            Some(clusters) => dense(clusters),
        };
        let count = unit_of.iter().max().map_or(0, |&last| last as usize + 1);
        let (mut frauds, mut good) = (vec![0.0; count], vec![0.0; count]);
        let (mut heaviest_fraud, mut heaviest_good) = (0.0_f64, 0.0_f64);
        order.each_row(|row| {
            let (counts, heaviest) =
                if row.fraud { (&mut frauds, &mut heaviest_fraud) } else { (&mut good, &mut heaviest_good) };
            counts[unit_of[row.row as usize] as usize] += row.weight;
            *heaviest = heaviest.max(row.weight);
        });
        Self { unit_of, frauds, good, heaviest_fraud, heaviest_good }
    }

    pub(super) fn of_frauds(&self) -> Spread {
        spread(self.frauds.iter().copied())
    }

    pub(super) fn of_good(&self) -> Spread {
        spread(self.good.iter().copied())
    }

    /// Returns over how many units the flagged payments spread. `part` is the flagged part of each level.
    pub(super) fn of_flagged(&self, order: &RankedScores, part: &[f64]) -> Spread {
        let mut flagged = vec![0.0; self.frauds.len()];
        order.each_row(|row| flagged[self.unit_of[row.row as usize] as usize] += row.weight * part[row.level]);
        spread(flagged.into_iter())
    }

    pub(super) fn moves(&self, order: &RankedScores, influence: &Influence) -> Moves {
        let (mut fraud, mut good) = (vec![0.0; self.frauds.len()], vec![0.0; self.frauds.len()]);
        order.each_row(|row| {
            let unit = self.unit_of[row.row as usize] as usize;
            if row.fraud {
                fraud[unit] += row.weight * influence.fraud[row.level];
            } else {
                good[unit] += row.weight * influence.good[row.level];
            }
        });
        Moves { fraud, good }
    }

    /// Returns the variance of the metric.
    pub(super) fn variance(&self, moves: &Moves) -> f64 {
        let sum = |of: &dyn Fn(usize) -> f64| (0..self.frauds.len()).map(of).sum::<f64>();
        let have = |counts: &[f64]| counts.iter().filter(|&&count| count > 0.0).count();
        let of_frauds = sum(&|unit| moves.fraud[unit] * moves.fraud[unit]);
        let of_good = sum(&|unit| moves.good[unit] * moves.good[unit]);
        let of_both = sum(&|unit| moves.fraud[unit] * moves.good[unit]);
        unbiased(have(&self.frauds)) * of_frauds
            + unbiased(have(&self.good)) * of_good
            + 2.0 * unbiased(self.frauds.len()) * of_both
    }
}

impl Moves {
    /// Returns over how many units the good payments spread, each by how far it moves the metric.
    pub(super) fn of_good(&self) -> Spread {
        spread(self.good.iter().map(|moved| moved.abs()))
    }

    /// Returns how much each unit moves the difference of two metrics.
    pub(super) fn less(mut self, other: &Self) -> Self {
        for (own, other) in [(&mut self.fraud, &other.fraud), (&mut self.good, &other.good)] {
            for (own, other) in own.iter_mut().zip(other) {
                *own -= other;
            }
        }
        self
    }
}

pub(super) fn unbiased(count: usize) -> f64 {
    if count > 1 { count as f64 / (count - 1) as f64 } else { 1.0 }
}

pub(super) fn spread(shares: impl Iterator<Item = f64>) -> Spread {
    let (mut units, mut sum, mut squares) = (0, 0.0, 0.0);
    for share in shares.filter(|&share| share > 0.0) {
        units += 1;
        sum += share;
        squares += share * share;
    }
    Spread { units, payments: sum, effective: if units == 0 { 0.0 } else { sum * sum / squares } }
}

/// Numbers the entities that have rows, in the order of the data.
pub(super) fn dense(clusters: &[u32]) -> Vec<u32> {
    let mut number: Vec<Option<u32>> = vec![None; clusters.iter().max().map_or(0, |&max| max as usize + 1)];
    let mut next = 0;
    let number = |&cluster: &u32| {
        *number[cluster as usize].get_or_insert_with(|| {
            next += 1;
            next - 1
        })
    };
    clusters.iter().map(number).collect()
}
