//! Point-in-time features: what was known strictly before each payment.

use super::payments::Payment;
use std::collections::HashMap;

const DAY: i64 = 86_400;
/// Seconds until a label is known. The risk of a terminal counts only payments that are older than this.
const LABEL_DELAY: i64 = 7 * DAY;
const WINDOWS: [i64; 3] = [1, 7, 30];

/// Names of the features, in column order.
pub const FEATURES: [&str; 15] = [
    "amount",
    "during_weekend",
    "during_night",
    "customer_tx_count_1d",
    "customer_avg_amount_1d",
    "customer_tx_count_7d",
    "customer_avg_amount_7d",
    "customer_tx_count_30d",
    "customer_avg_amount_30d",
    "terminal_tx_count_1d",
    "terminal_risk_1d",
    "terminal_tx_count_7d",
    "terminal_risk_7d",
    "terminal_tx_count_30d",
    "terminal_risk_30d",
];

/// Computes one column per name in [`FEATURES`], with one value per payment. `first_weekday` is the weekday of day 0,
/// where Monday is 0.
pub fn features(payments: &[Payment], first_weekday: i64) -> Vec<Vec<f32>> {
    let mut columns = vec![vec![0.0; payments.len()]; FEATURES.len()];
    for (row, payment) in payments.iter().enumerate() {
        let weekday = (first_weekday + payment.at / DAY) % 7;
        columns[0][row] = payment.cents as f32 / 100.0;
        columns[1][row] = f32::from(u8::from(weekday >= 5));
        columns[2][row] = f32::from(u8::from(payment.at % DAY < 6 * 3_600));
    }
    let customers = groups(payments, |payment| payment.customer);
    let terminals = groups(payments, |payment| payment.terminal);
    let cents: fn(&Payment) -> i64 = |payment| payment.cents;
    let frauds: fn(&Payment) -> i64 = |payment| i64::from(payment.is_fraud());
    // Each kind: groups, first column, delay, summed value, unit that the mean is divided by.
    let kinds = [(customers, 3, 0, cents, 100.0), (terminals, 9, LABEL_DELAY, frauds, 1.0)];
    for (groups, first, delay, value, unit) in kinds {
        for (index, days) in WINDOWS.into_iter().enumerate() {
            let (count, mean) = (first + 2 * index, first + 2 * index + 1);
            for rows in groups.values() {
                window(payments, rows, days * DAY, delay, value, |row, found, sum| {
                    columns[count][row] = found as f32;
                    columns[mean][row] = if found == 0 { 0.0 } else { (sum as f64 / found as f64 / unit) as f32 };
                });
            }
        }
    }
    columns
}

fn groups(payments: &[Payment], key: fn(&Payment) -> u32) -> HashMap<u32, Vec<usize>> {
    let mut groups: HashMap<u32, Vec<usize>> = HashMap::new();
    for (row, payment) in payments.iter().enumerate() {
        groups.entry(key(payment)).or_default().push(row);
    }
    groups
}

/// Calls `each(row, number, sum)` for each row of a group. Number and sum are over the group's payments in
/// `[at - delay - length, at - delay)`. Both ends of the window only move forward.
fn window(
    payments: &[Payment],
    rows: &[usize],
    length: i64,
    delay: i64,
    value: fn(&Payment) -> i64,
    mut each: impl FnMut(usize, usize, i64),
) {
    let (mut first, mut end, mut sum) = (0, 0, 0);
    for &row in rows {
        let until = payments[row].at - delay;
        while end < rows.len() && payments[rows[end]].at < until {
            sum += value(&payments[rows[end]]);
            end += 1;
        }
        while first < end && payments[rows[first]].at < until - length {
            sum -= value(&payments[rows[first]]);
            first += 1;
        }
        each(row, end - first, sum);
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, clippy::needless_range_loop, reason = "both sides do the same arithmetic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(
        payments: &[Payment],
        row: usize,
        days: i64,
        delay: i64,
        same: fn(&Payment, &Payment) -> bool,
    ) -> Vec<Payment> {
        let until = payments[row].at - delay;
        let inside = |p: &&Payment| same(p, &payments[row]) && p.at < until && p.at >= until - days * DAY;
        payments.iter().filter(inside).cloned().collect()
    }

    proptest! {
        #[test]
        fn sliding_windows_equal_the_definition(
            mut payments in proptest::collection::vec(
                (0..40 * DAY, 0..3_u32, 0..3_u32, 1..50_000_i64, 0..4_u8).prop_map(
                    |(at, customer, terminal, cents, scenario)| Payment { at, customer, terminal, cents, scenario }),
                1..60)
        ) {
            payments.sort_by_key(|p| p.at);
            let found = features(&payments, 0);
            for row in 0..payments.len() {
                for (index, days) in WINDOWS.into_iter().enumerate() {
                    let mine = naive(&payments, row, days, 0, |a, b| a.customer == b.customer);
                    prop_assert_eq!(found[3 + 2 * index][row], mine.len() as f32);
                    let old = naive(&payments, row, days, LABEL_DELAY, |a, b| a.terminal == b.terminal);
                    prop_assert_eq!(found[9 + 2 * index][row], old.len() as f32);
                    let frauds = old.iter().filter(|p| p.is_fraud()).count();
                    let risk = if old.is_empty() { 0.0 } else { (frauds as f64 / old.len() as f64) as f32 };
                    prop_assert_eq!(found[10 + 2 * index][row], risk);
                }
            }
        }
    }
}
