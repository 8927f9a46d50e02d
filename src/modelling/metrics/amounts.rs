//! Computes metrics of money: which part of the money of frauds is found, and which part of the money that is flagged is of
//! frauds. A tie at rank `k` is shared out, as in `precision_at_<k>`.

use super::order::{ONE_CLASS, RankedScores, defined, undefined};
use crate::domain::contract::MetricValue;

/// The payments with one score.
#[derive(Debug, Clone, Copy, Default)]
struct MoneyLevel {
    rows: u64,
    good: u64,
    amount: f64,
    fraud_amount: f64,
}

/// The money at each distinct score, from the highest score down.
pub(super) struct AmountLevels {
    levels: Vec<MoneyLevel>,
    fraud_amount: f64,
}

impl AmountLevels {
    pub(super) fn new(order: &RankedScores, amounts: &[f64]) -> Self {
        let mut levels: Vec<MoneyLevel> = Vec::new();
        order.each_row(|of| {
            if levels.len() == of.level {
                levels.push(MoneyLevel::default());
            }
            let (level, amount) = (&mut levels[of.level], amounts[of.row as usize]);
            level.rows += 1;
            level.good += u64::from(!of.fraud);
            level.amount += amount;
            level.fraud_amount += if of.fraud { amount } else { 0.0 };
        });
        let fraud_amount = levels.iter().map(|level| level.fraud_amount).sum();
        Self { levels, fraud_amount }
    }

    /// Returns the money of the frauds among the `k` highest scores / the money of all frauds.
    pub(super) fn recall_at(&self, k: u32) -> MetricValue {
        self.top(k).map_or_else(undefined, |(_, found)| share(found, self.fraud_amount, "the frauds have no amount"))
    }

    /// Returns the money of the frauds among the `k` highest scores / the money of these `k` payments.
    pub(super) fn precision_at(&self, k: u32) -> MetricValue {
        self.top(k).map_or_else(undefined, |(all, found)| share(found, all, "these payments have no amount"))
    }

    /// Returns the money of flagged frauds / the money of all frauds, at the lowest score that flags at most the share
    /// `rate` of the good payments. 0 if no score does.
    pub(super) fn detected_at_fpr(&self, rate: f64) -> MetricValue {
        let good: u64 = self.levels.iter().map(|level| level.good).sum();
        let rows: u64 = self.levels.iter().map(|level| level.rows).sum();
        if good == 0 || good == rows {
            return undefined(ONE_CLASS);
        }
        let mut alarms = 0;
        let within = self.levels.iter().take_while(|level| {
            alarms += level.good;
            alarms as f64 / good as f64 <= rate
        });
        share(within.map(|level| level.fraud_amount).sum(), self.fraud_amount, "the frauds have no amount")
    }

    /// Returns the money of all and of the fraudulent payments among the `k` highest scores.
    fn top(&self, k: u32) -> Result<(f64, f64), String> {
        let mut left = u64::from(k);
        let (mut all, mut found) = (0.0, 0.0);
        for level in &self.levels {
            let part = (left as f64 / level.rows as f64).min(1.0);
            all += part * level.amount;
            found += part * level.fraud_amount;
            if level.rows >= left {
                return Ok((all, found));
            }
            left -= level.rows;
        }
        Err(format!("there are fewer than {k} rows"))
    }
}

fn share(part: f64, whole: f64, otherwise: &str) -> MetricValue {
    if whole > 0.0 { defined((part / whole).min(1.0)) } else { undefined(otherwise) }
}

#[cfg(test)]
mod tests {
    use super::super::order::ScoredRows;
    use super::*;

    #[test]
    fn money_is_counted_by_rank_and_rate_and_a_tie_is_shared_out() {
        let scores = [0.9, 0.5, 0.5, 0.1, 0.05];
        let labels = [true, true, false, true, false];
        let order = RankedScores::new(&ScoredRows {
            scores: &scores,
            labels: &labels,
            days: &[0; 5],
            cards: None,
            weights: None,
            amounts: None,
        });
        let levels = AmountLevels::new(&order, &[10.0, 40.0, 20.0, 50.0, 5.0]);
        assert_eq!(levels.recall_at(1).value, Some(0.1));
        assert_eq!(levels.recall_at(2).value, Some(0.3), "half of the tie's 40");
        assert_eq!(levels.precision_at(2).value, Some(0.75), "30 of 10 and half of 60");
        assert_eq!(levels.recall_at(6).undefined_because.as_deref(), Some("there are fewer than 6 rows"));
        assert_eq!(levels.detected_at_fpr(0.4).value, Some(0.1), "the tie has half of the good payments");
        assert_eq!(levels.detected_at_fpr(0.5).value, Some(1.0));
        let free = AmountLevels::new(&order, &[0.0; 5]);
        assert!(free.recall_at(1).value.is_none() && free.precision_at(1).value.is_none());
    }
}
