//! The ledger on a real Postgres.

mod admission;
mod audit_log;
mod broken_rows;
mod control;
mod lineage;
mod outbox;
mod prune;
mod rows;
mod runs;
mod schema;
mod upgrade;
