//! What the product speaks of: messages and documents, identity, the life of a run, the audit log.
//!
//! Guarantees: values only. The same input gives the same output on every machine. Never: opens a socket or a file,
//! reads a clock or the environment, uses random numbers.

pub mod audit_log;
pub mod contract;
pub mod grant;
pub mod harmless;
pub mod identity;
mod named;
pub mod rules_left;
pub mod run;
pub mod trace_context;
