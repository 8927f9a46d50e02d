//! Integration tests against real Postgres, real Kafka and real training, in folders that mirror the wings of `src`.
//!
//! Tests drive the loops by hand: `admit`, `run_until_idle`, `drain`. [`support`] gives a test its own database, topics
//! and worker processes; [`checker`] judges what a run of the whole leaves behind.
#![expect(clippy::unwrap_used, reason = "a test may fail with a panic")]
#![expect(clippy::disallowed_methods, reason = "tests read the environment for services, and bound their waits")]
#![expect(clippy::print_stderr, reason = "tests say which services they do without")]

mod adapters;
mod checker;
mod cli;
mod hostile;
mod modelling;
mod negative_paths;
mod support;
mod telemetry;
mod tools;
mod training;
mod worker;
