//! Integration tests: real Postgres, real Kafka, real training. Loops are driven by hand.

mod bundle;
mod evidence;
mod ledger;
mod path;
mod support;
mod trainer;
mod worker;
