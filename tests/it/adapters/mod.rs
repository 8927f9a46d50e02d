//! Each adapter against the real thing: brokers, databases, object stores, Parquet files.

mod dataset;
mod evidence;
mod ledger;
mod rebalance;
mod references;
mod transport;
