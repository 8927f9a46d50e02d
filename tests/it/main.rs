//! Integration tests: real Postgres, real Kafka, real training. Loops are driven by hand.
#![expect(clippy::unwrap_used, reason = "a test may fail with a panic")]
#![expect(clippy::disallowed_methods, reason = "tests read the environment for services, and bound their waits")]
#![expect(clippy::print_stderr, reason = "tests say which services they do without")]

mod audit;
mod audit_log;
mod authority;
mod broken_rows;
mod bundle;
mod ceiling;
mod checker;
mod cloud_events;
mod console;
mod control;
mod dataset;
mod dead_letters;
mod doctor;
mod earlier_bundles;
mod evidence;
mod failure_codes;
mod faults;
mod group;
mod leakage;
mod ledger;
mod lifecycle;
mod lineage;
mod logs;
mod metrics;
mod negative_paths;
mod next_steps;
mod outages;
mod path;
mod prune;
mod publishing;
mod rebalance;
mod receipts;
mod references;
mod registry;
mod relays;
mod resolving;
mod support;
mod trainer;
mod trainers;
mod transport;
mod upgrade;
mod worker;
