//! Log lines and metrics of real workers.

mod logs;
mod metrics;
