//! Queries of the console.
//!
//! Guarantees: every statement is bounded in rows and time, and uses an index. Never: writes (the server refuses writes
//! on these connections); takes a connection that a worker's loops need.

mod backlog;
mod runs;

pub use backlog::{Backlog, Depth, LeaseRow, Leases, ShardOwner};
pub use runs::{PagePart, RunCursor, RunPage, RunQuery, RunRow, SearchBy};

use crate::adapters::ledger::session::Connections;
use crate::adapters::ledger::{Error, Ledger};
use sqlx::postgres::PgPoolOptions;
use std::time::Duration;

/// Number of connections for all console requests. The worker's loops use other connections.
const CONNECTIONS: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(3);
const STATEMENT_TIMEOUT_MS: u32 = 3_000;

impl Ledger {
    /// Returns a handle with a few separate read-only connections, which are opened at first use.
    pub fn for_the_console(&self) -> Result<Self, Error> {
        let options = Self::options(&self.settings)?.application_name("model-factory-console").options([
            ("statement_timeout", STATEMENT_TIMEOUT_MS.to_string()),
            ("default_transaction_read_only", "on".to_owned()),
        ]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        Ok(Self { pool: Connections::new(pool, options, Self::bound(STATEMENT_TIMEOUT_MS)), ..self.clone() })
    }
}
