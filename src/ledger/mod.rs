//! The run ledger: Postgres. All SQL of runs, requests, transitions and the outbox is in this room.
//!
//! Guarantees: one outcome per record, one run per key, one event per transition, no write without
//! the fence. Never: keeps a transaction open while work runs; cancels a database future (that
//! poisons its connection): time limits are the server's.

mod admit;
mod advance;
mod claim;
mod events;
mod fault;
mod find;
mod lease;
mod relay;
mod rows;
mod schema;
mod types;

pub use fault::Fault;
pub use find::{Counts, DeadLetterRecord, RequestRecord, RunRecord, TransitionRecord};
pub use types::{Arrival, Coordinates, Guarded, Lease, OutboxKind, OutboxRow, Outcome, Renewal, Sent, Shard, Step};

use serde::Deserialize;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::str::FromStr;
use std::time::Duration;

/// Settings of the ledger.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub struct LedgerSettings {
    /// Connection URL; may hold a password, so it is never printed.
    pub url: String,
    /// Connections of this process at the most.
    pub max_connections: u32,
    /// Length of a lease.
    pub lease_seconds: u32,
    /// Full attempts of a run at the most, crashes included.
    pub max_full_attempts: u32,
    /// Automatic publish-only attempts of a run at the most.
    pub max_publish_attempts: u32,
    /// Longest statement; the server ends it.
    pub statement_timeout_ms: u32,
    /// Longest wait for a row lock; the server ends it.
    pub lock_timeout_ms: u32,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self {
            url: "postgres://localhost/model_factory".to_owned(),
            max_connections: 8,
            lease_seconds: 30,
            max_full_attempts: 3,
            max_publish_attempts: 5,
            statement_timeout_ms: 15_000,
            lock_timeout_ms: 5_000,
        }
    }
}

/// A handle on the ledger; cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    pool: PgPool,
    settings: LedgerSettings,
}

impl Ledger {
    /// Connects. The server ends what takes too long: a statement, a lock, an idle transaction.
    pub async fn connect(settings: &LedgerSettings) -> Result<Self, Fault> {
        let options = PgConnectOptions::from_str(&settings.url)
            .map_err(|error| Fault::Refused(format!("[ledger] url is not a Postgres URL: {error}")))?
            .application_name("model-factory")
            .options([
                ("statement_timeout", settings.statement_timeout_ms.to_string()),
                ("lock_timeout", settings.lock_timeout_ms.to_string()),
                ("idle_in_transaction_session_timeout", "30000".to_owned()),
                ("timezone", "UTC".to_owned()),
            ]);
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await?;
        Ok(Self { pool, settings: settings.clone() })
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Fault> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
