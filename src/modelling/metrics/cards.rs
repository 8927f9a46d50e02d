//! Computes card precision: the share of compromised cards among the `k` cards that a team checks a day.
//!
//! Definition: Fraud Detection Handbook (Le Borgne, Siblini, Lebichot, Bontempi, 2022), section "Top-k metrics" of
//! chapter 4, functions `card_precision_top_k_day` and `card_precision_top_k`. On each day a card's score is the
//! highest score of its payments. The card is compromised if one of its payments is a fraud. The team checks the `k`
//! cards with the highest scores. The day's precision is the number of compromised cards among these, divided by `k`. A
//! compromised card that was found is left out of later days. The metric is the mean over the days. The handbook's code
//! leaves the order of cards with equal scores open. Model Factory ranks them in the order in which they appear in the
//! data.

use super::order::{NO_ROWS, ScoredRows, defined, undefined};
use crate::domain::contract::MetricValue;
use std::collections::BTreeMap;

/// A card with payments on one day, which the team may check on that day.
struct Candidate {
    card: u32,
    score: f64,
    compromised: bool,
}

/// The cards of every day, highest score first. They are sorted once, and the order is used for every `k`.
pub(super) struct CardDays {
    days: Vec<Vec<Candidate>>,
    cards: usize,
}

impl CardDays {
    pub(super) fn new(scored: &ScoredRows<'_>, cards: &[u32]) -> Self {
        const NOT_SEEN: u32 = u32::MAX;
        let count = cards.iter().max().map_or(0, |&card| card as usize + 1);
        let mut rows_of_day: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, &day) in (0..).zip(scored.days) {
            rows_of_day.entry(day).or_default().push(row);
        }
        let mut index_of = vec![NOT_SEEN; count];
        let mut days = Vec::with_capacity(rows_of_day.len());
        for rows in rows_of_day.into_values() {
            let mut pool: Vec<Candidate> = Vec::new();
            for row in rows {
                let (card, row) = (cards[row as usize], row as usize);
                let at = &mut index_of[card as usize];
                if *at == NOT_SEEN {
                    *at = pool.len() as u32;
                    pool.push(Candidate { card, score: f64::NEG_INFINITY, compromised: false });
                }
                let candidate = &mut pool[*at as usize];
                candidate.score = candidate.score.max(scored.scores[row]);
                candidate.compromised |= scored.labels[row];
            }
            for candidate in &pool {
                index_of[candidate.card as usize] = NOT_SEEN;
            }
            // A stable sort keeps cards with equal scores in the order of their appearance.
            pool.sort_by(|a, b| b.score.total_cmp(&a.score));
            days.push(pool);
        }
        Self { days, cards: count }
    }

    /// Returns the mean over days of the day's precision at `k`. A card that was found on an earlier day is left out.
    /// Undefined without rows.
    pub(super) fn precision_at(&self, k: u32) -> MetricValue {
        if self.days.is_empty() {
            return undefined(NO_ROWS);
        }
        defined(self.precision_of_days(k).iter().sum::<f64>() / self.days.len() as f64)
    }

    /// Returns the precision at `k` of each day.
    pub(super) fn precision_of_days(&self, k: u32) -> Vec<f64> {
        let mut found = vec![false; self.cards];
        let of_day = |pool: &Vec<Candidate>| {
            let left = pool.iter().filter(|candidate| !found[candidate.card as usize]);
            let hits: Vec<u32> = left.take(k as usize).filter(|c| c.compromised).map(|c| c.card).collect();
            for &card in &hits {
                found[card as usize] = true;
            }
            hits.len() as f64 / f64::from(k)
        };
        self.days.iter().map(of_day).collect()
    }
}
