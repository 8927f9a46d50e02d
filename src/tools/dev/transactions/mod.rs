//! Synthetic card transactions with point-in-time features, for trying the whole path without real data.
//!
//! The model is that of the Fraud Detection Handbook's simulator (Le Borgne, Siblini, Lebichot, Bontempi, 2022, chapter
//! 3): customers and terminals on a grid, spending habits per customer, three kinds of fraud. The generator is seeded:
//! the same specification gives the same bytes.

mod features;
mod files;
mod payments;

pub use files::{DemoInputs, write};

use chrono::{DateTime, Utc};

#[derive(Debug, Clone)]
pub struct TransactionSpec {
    pub seed: u64,
    /// Number of customers. Each customer has one card.
    pub customers: u32,
    pub terminals: u32,
    pub days: u32,
    /// Midnight of the first day.
    pub start: DateTime<Utc>,
    /// Greatest distance between a customer and a terminal where the customer pays, on a grid of 100 by 100.
    pub radius: f64,
    pub terminals_compromised_per_day: u32,
    pub cards_compromised_per_day: u32,
}

impl TransactionSpec {
    /// Returns ten weeks with about 100,000 payments, of which 1 to 2 % are frauds.
    pub fn demo() -> Self {
        Self {
            seed: 20_260_105,
            customers: 730,
            terminals: 2_500,
            days: 70,
            start: DateTime::from_timestamp(1_767_571_200, 0).expect("2026-01-05 is a date"),
            radius: 6.0,
            terminals_compromised_per_day: 1,
            cards_compromised_per_day: 1,
        }
    }
}
