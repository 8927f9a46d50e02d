//! The outside worlds, one room each: Kafka, Postgres, object stores, data files, keys, the operator's policy.
//!
//! Guarantees: what a room gives back is a typed value or its own error. Never: imports the worker that uses it.

pub mod authority;
pub mod dataset;
pub mod evidence;
pub mod kafka;
pub mod ledger;
pub mod objects;
pub mod signing;
