//! What `dev`, `demo`, `bench` and tests need around a worker: a private Postgres, synthetic card transactions, wide
//! rows, the demo's requests.
//!
//! Never: used by a worker in production.

mod environment;
mod postgres;
pub mod requests;
pub mod transactions;
pub mod wide;

pub use environment::{Environment, PUBLIC_KEY_FILE};
pub use postgres::{PostgresError, PrivatePostgres, binaries};
