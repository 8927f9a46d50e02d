//! What `dev`, `demo` and tests need around a worker: a private Postgres, synthetic card transactions,
//! the demo's requests.
//!
//! Never: used by a worker in production.

mod environment;
mod postgres;
pub mod requests;
pub mod transactions;

pub use environment::Environment;
pub use postgres::{PostgresError, PrivatePostgres, binaries};
