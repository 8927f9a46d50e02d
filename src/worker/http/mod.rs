//! HTTP for whoever operates a worker: health checks, metrics, and the console's pages.
//!
//! Never: changes anything; listens beyond loopback unless configured.

pub mod console;

mod health;
mod metrics;
mod process;
mod readiness;
mod scrapers;
mod server;

pub use health::Health;
pub use readiness::Readiness;
pub use scrapers::Scrapers;
pub use server::{Server, serve};
