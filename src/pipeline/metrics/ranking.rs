//! Metrics of the order of scores.

use super::Metric;

/// Rows with equal scores, from the highest score down.
struct Tie {
    positives: u64,
    negatives: u64,
}

/// Scores in descending order, equal ones taken together: the order within a tie must not matter.
pub(super) struct Ranked {
    ties: Vec<Tie>,
    positives: u64,
    negatives: u64,
}

const ONE_CLASS: &str = "the test window holds only one class";
const NO_POSITIVES: &str = "the test window holds no frauds";

impl Ranked {
    pub(super) fn new(scores: &[f64], labels: &[bool]) -> Self {
        let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
        order.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut ties: Vec<Tie> = Vec::new();
        let mut last = f64::NAN;
        for (score, label) in order {
            #[expect(clippy::float_cmp, reason = "a tie is equality to the bit")]
            if score != last || ties.is_empty() {
                ties.push(Tie { positives: 0, negatives: 0 });
                last = score;
            }
            if let Some(tie) = ties.last_mut() {
                if label {
                    tie.positives += 1;
                } else {
                    tie.negatives += 1;
                }
            }
        }
        let positives = ties.iter().map(|tie| tie.positives).sum();
        let negatives = ties.iter().map(|tie| tie.negatives).sum();
        Self { ties, positives, negatives }
    }

    /// Area under the ROC curve: the chance that a fraud scores above a good payment, ties half.
    pub(super) fn auc_roc(&self) -> Metric {
        if self.positives == 0 || self.negatives == 0 {
            return Metric::undefined(ONE_CLASS);
        }
        let mut above = 0_u64;
        // Twice the area, in whole pairs: exact.
        let mut doubled: u128 = 0;
        for tie in &self.ties {
            doubled += u128::from(tie.negatives) * (2 * u128::from(above) + u128::from(tie.positives));
            above += tie.positives;
        }
        Metric::defined(doubled as f64 / (2.0 * self.positives as f64 * self.negatives as f64))
    }

    /// Sum over thresholds of precision times the step in recall.
    pub(super) fn average_precision(&self) -> Metric {
        if self.positives == 0 {
            return Metric::undefined(NO_POSITIVES);
        }
        let (mut hits, mut rows, mut sum) = (0_u64, 0_u64, 0.0);
        for tie in &self.ties {
            hits += tie.positives;
            rows += tie.positives + tie.negatives;
            sum += (tie.positives as f64 / self.positives as f64) * (hits as f64 / rows as f64);
        }
        Metric::defined(sum)
    }

    /// Share of frauds among the `k` highest scores; a tie at the border counts by its share of frauds.
    pub(super) fn precision_at(&self, k: u32) -> Metric {
        self.hits_at(k).map_or_else(Metric::undefined_owned, |hits| Metric::defined(hits / f64::from(k)))
    }

    /// Share of all frauds that are among the `k` highest scores.
    pub(super) fn recall_at(&self, k: u32) -> Metric {
        if self.positives == 0 {
            return Metric::undefined(NO_POSITIVES);
        }
        self.hits_at(k).map_or_else(Metric::undefined_owned, |hits| Metric::defined(hits / self.positives as f64))
    }

    fn hits_at(&self, k: u32) -> Result<f64, String> {
        let mut left = u64::from(k);
        let mut hits = 0.0;
        for tie in &self.ties {
            let rows = tie.positives + tie.negatives;
            if rows >= left {
                return Ok(hits + tie.positives as f64 * left as f64 / rows as f64);
            }
            hits += tie.positives as f64;
            left -= rows;
        }
        Err(format!("the test window holds fewer than {k} rows"))
    }
}

impl Metric {
    fn undefined_owned(why: String) -> Self {
        Self { value: None, undefined_because: Some(why) }
    }
}
