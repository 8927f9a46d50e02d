//! Payments of customers at terminals, some of them frauds.

use super::TransactionSpec;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution as _, Normal, Poisson};
use std::collections::BTreeSet;

const DAY_SECONDS: i64 = 86_400;

/// A card payment. Times are whole seconds and amounts whole cents, so that results do not depend on rounding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payment {
    /// Seconds since midnight of the first day.
    pub at: i64,
    pub customer: u32,
    pub terminal: u32,
    pub cents: i64,
    /// 0 is legitimate, 1 a large amount, 2 a compromised terminal, 3 a compromised card.
    pub scenario: u8,
}

impl Payment {
    pub fn is_fraud(&self) -> bool {
        self.scenario > 0
    }
}

struct Customer {
    mean_cents: f64,
    payments_per_day: f64,
    terminals: Vec<u32>,
}

/// Generates all payments, sorted by time.
pub fn payments(spec: &TransactionSpec) -> Vec<Payment> {
    let mut rng = ChaCha8Rng::seed_from_u64(spec.seed);
    let customers = population(spec, &mut rng);
    let mut payments = Vec::new();
    for (customer, habits) in customers.iter().enumerate().filter(|(_, habits)| !habits.terminals.is_empty()) {
        for day in 0..i64::from(spec.days) {
            // The Poisson distribution refuses a rate of exactly zero: this customer pays nothing.
            let count = Poisson::new(habits.payments_per_day).map_or(0, |count| count.sample(&mut rng) as u32);
            for _ in 0..count {
                payments.push(Payment {
                    at: day * DAY_SECONDS + second_of_day(&mut rng),
                    customer: customer as u32,
                    terminal: habits.terminals[rng.random_range(0..habits.terminals.len())],
                    cents: amount(habits, &mut rng),
                    scenario: 0,
                });
            }
        }
    }
    payments.sort_by_key(|payment| (payment.at, payment.customer, payment.terminal, payment.cents));
    add_frauds(spec, &mut payments, &mut rng);
    payments
}

fn population(spec: &TransactionSpec, rng: &mut ChaCha8Rng) -> Vec<Customer> {
    const SIDE: f64 = 100.0;
    let point = |rng: &mut ChaCha8Rng| (rng.random::<f64>() * SIDE, rng.random::<f64>() * SIDE);
    let terminals: Vec<(f64, f64)> = (0..spec.terminals).map(|_| point(rng)).collect();
    let within = spec.radius * spec.radius;
    (0..spec.customers)
        .map(|_| {
            let (x, y) = point(rng);
            let near = |at: &(f64, f64)| (at.0 - x) * (at.0 - x) + (at.1 - y) * (at.1 - y) < within;
            Customer {
                mean_cents: 500.0 + rng.random::<f64>() * 9_500.0,
                payments_per_day: rng.random::<f64>() * 4.0,
                terminals: (0..spec.terminals).filter(|&t| near(&terminals[t as usize])).collect(),
            }
        })
        .collect()
}

/// Draws the second of the day of a payment, normally distributed around noon. Repeats draws outside the day.
fn second_of_day(rng: &mut ChaCha8Rng) -> i64 {
    let noon: Normal<f64> = Normal::new(43_200.0, 20_000.0).expect("a positive deviation");
    loop {
        let second = noon.sample(rng).round() as i64;
        if (0..DAY_SECONDS).contains(&second) {
            return second;
        }
    }
}

/// Draws an amount in cents, normally distributed around the customer's mean, with half the mean as deviation. Replaces
/// a negative draw by a uniform draw up to twice the mean.
fn amount(habits: &Customer, rng: &mut ChaCha8Rng) -> i64 {
    let usual: Normal<f64> = Normal::new(habits.mean_cents, habits.mean_cents / 2.0).expect("a positive deviation");
    let cents = usual.sample(rng);
    let cents = if cents < 0.0 { rng.random::<f64>() * 2.0 * habits.mean_cents } else { cents };
    (cents.round() as i64).max(1)
}

/// Marks frauds of three kinds: amounts above 220; all payments at a compromised terminal for four weeks; every third
/// payment of a compromised card for two weeks, with five times the amount.
fn add_frauds(spec: &TransactionSpec, payments: &mut [Payment], rng: &mut ChaCha8Rng) {
    const LARGE_CENTS: i64 = 22_000;
    const TERMINAL_DAYS: i64 = 28;
    const CARD_DAYS: i64 = 14;
    const CARD_FACTOR: i64 = 5;
    let draw = |of: u32, count: u32, rng: &mut ChaCha8Rng| -> BTreeSet<u32> {
        (0..count).map(|_| rng.random_range(0..of.max(1))).collect()
    };
    let days = i64::from(spec.days);
    let (mut terminals_from, mut cards_from) = (Vec::new(), Vec::new());
    for _ in 0..days {
        terminals_from.push(draw(spec.terminals, spec.terminals_compromised_per_day, rng));
        cards_from.push(draw(spec.customers, spec.cards_compromised_per_day, rng));
    }
    let compromised = |from: &[BTreeSet<u32>], day: i64, length: i64, who: u32| {
        let first = (day - length + 1).max(0);
        (first..=day).any(|since| from[since as usize].contains(&who))
    };
    for payment in payments {
        let day = payment.at / DAY_SECONDS;
        if payment.cents > LARGE_CENTS {
            payment.scenario = 1;
        }
        if compromised(&terminals_from, day, TERMINAL_DAYS, payment.terminal) {
            payment.scenario = 2;
        }
        if compromised(&cards_from, day, CARD_DAYS, payment.customer) && rng.random_range(0..3) == 0 {
            payment.cents *= CARD_FACTOR;
            payment.scenario = 3;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_has_about_100_000_payments_of_three_kinds_of_fraud() {
        let spec = TransactionSpec::demo();
        let all = payments(&spec);
        assert!((90_000..115_000).contains(&all.len()), "{}", all.len());
        for scenario in 1..=3 {
            assert!(all.iter().filter(|p| p.scenario == scenario).count() > 20, "scenario {scenario}");
        }
        let frauds = all.iter().filter(|p| p.is_fraud()).count();
        assert!((0.005..0.04).contains(&(frauds as f64 / all.len() as f64)), "{frauds} frauds");
        assert!(all.is_sorted_by_key(|p| p.at));
    }
}
