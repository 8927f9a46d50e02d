//! Connections of the console.

use crate::adapters::ledger::{Error, Ledger};
use sqlx::postgres::PgPoolOptions;
use std::time::Duration;

/// Readers wait for each other, never the loops for them.
const CONNECTIONS: u32 = 2;
/// How long a page waits for a connection.
const PATIENCE: Duration = Duration::from_secs(3);
/// The server ends a statement of the console after this.
const STATEMENT_TIMEOUT_MS: u32 = 3_000;

impl Ledger {
    /// The same ledger on a few connections of its own, opened by their first use, on which the server refuses to write
    /// and ends what takes long.
    pub fn for_the_console(&self) -> Result<Self, Error> {
        let options = Self::options(&self.settings)?.application_name("model-factory-console").options([
            ("statement_timeout", STATEMENT_TIMEOUT_MS.to_string()),
            ("default_transaction_read_only", "on".to_owned()),
        ]);
        let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(PATIENCE);
        Ok(Self { pool: pool.connect_lazy_with(options), ..self.clone() })
    }
}
