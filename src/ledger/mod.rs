//! The run ledger: Postgres. All SQL of runs, requests, transitions and the outbox is in this room.
//!
//! Guarantees: one outcome per record, one run per key, one event per transition, no write without
//! the fence. Never: keeps a transaction open while work runs.

mod types;

pub use types::*;
