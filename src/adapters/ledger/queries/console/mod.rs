//! What the console shows.
//!
//! Guarantees: every statement is bounded in rows and in time, and finds its way by an index. Never: writes, which the
//! server itself refuses on these connections; takes a connection that the loops need.

mod backlog;
mod runs;

pub use backlog::{Backlog, Depth, LeaseRow, Leases, ShardOwner};
pub use runs::{PagePart, RunCursor, RunPage, RunQuery, RunRow, SearchBy};

use crate::adapters::ledger::{Error, Ledger};
use sqlx::postgres::PgPoolOptions;
use std::time::Duration;

/// Readers wait for each other, never the loops for them.
const CONNECTIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(3);
const STATEMENT_TIMEOUT_MS: u32 = 3_000;

impl Ledger {
    /// The same ledger on a few read-only connections of its own, opened by their first use.
    pub fn for_the_console(&self) -> Result<Self, Error> {
        let options = Self::options(&self.settings)?.application_name("model-factory-console").options([
            ("statement_timeout", STATEMENT_TIMEOUT_MS.to_string()),
            ("default_transaction_read_only", "on".to_owned()),
        ]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        Ok(Self { pool: pool.connect_lazy_with(options), ..self.clone() })
    }
}
