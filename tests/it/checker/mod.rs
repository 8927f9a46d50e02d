//! What must hold after whatever happened, judged from outside by topics, ledger and evidence store as anybody can read
//! them. Shares no code with the worker but digests.

mod collect;
mod history;
mod lineage;
mod rules;
mod rules_test;
mod violation;

pub use collect::collect;
pub use history::{History, Seen};
pub use rules::{check, drained};
