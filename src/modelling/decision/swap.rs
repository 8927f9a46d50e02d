//! Compares the decisions of a candidate and of the champion on the same rows, at the same number of alerts.

use super::rows::DecisionRows;
use crate::domain::contract::{SwapPart, SwapSet};

/// Returns who flags which payments of the test window: the candidate from `threshold` on, the champion from the lowest of
/// its scores that flags no more payments. If even its highest score flags more, the champion flags nothing.
pub(super) fn swap_set(name: &str, test: &DecisionRows<'_>, champion: &[f64], threshold: f64) -> SwapSet {
    let alerts = test.scores.iter().filter(|score| **score >= threshold).count();
    let champion_threshold = lowest_within(champion, alerts);
    let flags =
        |row: usize| (test.scores[row] >= threshold, champion_threshold.is_some_and(|from| champion[row] >= from));
    let part = |wanted: (bool, bool)| {
        let is_chosen = |row: usize| flags(row) == wanted;
        let rows: Vec<usize> = (0..champion.len()).filter(|&row| is_chosen(row)).collect();
        let has_amount = |amount: f64| test.amounts.map(|_| amount);
        SwapPart {
            rows: rows.len() as u64,
            positives: rows.iter().filter(|&&row| test.labels[row]).count() as u64,
            amount: has_amount(test.amount_of(is_chosen)),
            fraud_amount: has_amount(test.amount_of(|row| is_chosen(row) && test.labels[row])),
        }
    };
    SwapSet {
        name: name.to_owned(),
        champion_threshold,
        both: part((true, true)),
        swapped_in: part((true, false)),
        swapped_out: part((false, true)),
    }
}

/// Returns the lowest score from which at most `alerts` scores are flagged.
pub(super) fn lowest_within(scores: &[f64], alerts: usize) -> Option<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    // The highest score that may not be flagged.
    let Some(&beyond) = sorted.get(alerts) else { return sorted.last().copied() };
    sorted[..alerts].iter().rev().copied().find(|score| *score > beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_champion_flags_as_many_payments_and_ties_that_would_be_too_many_stay_out() {
        let scores = [0.9, 0.8, 0.7, 0.2, 0.1];
        let champion = [0.6, 0.1, 0.5, 0.5, 0.2];
        let (labels, amounts) = ([true, true, false, true, false], [10.0, 20.0, 1.0, 40.0, 1.0]);
        let test =
            DecisionRows { scores: &scores, labels: &labels, amounts: Some(&amounts), times: None, clusters: None };
        let part = |rows, positives, amount, fraud_amount| SwapPart {
            rows,
            positives,
            amount: Some(amount),
            fraud_amount: Some(fraud_amount),
        };
        let three = swap_set("review", &test, &champion, 0.7);
        assert_eq!(three.champion_threshold, Some(0.5));
        assert_eq!(three.both, part(2, 1, 11.0, 10.0));
        assert_eq!((three.swapped_in, three.swapped_out), (part(1, 1, 20.0, 20.0), part(1, 1, 40.0, 40.0)));
        let two = swap_set("block", &test, &champion, 0.8);
        assert_eq!((two.champion_threshold, two.both.rows, two.swapped_out.rows), (Some(0.6), 1, 0), "a tie at 0.5");
        assert_eq!(lowest_within(&[0.5, 0.5], 1), None);
        assert_eq!(lowest_within(&[0.5, 0.3], 2), Some(0.3));
    }
}
