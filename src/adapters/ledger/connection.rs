//! The handle on the ledger: connection pools. The server ends statements, waits for locks and idle transactions that
//! take too long; if the server falls silent, [`session`](super::session) ends them.

use super::error::Error;
use super::session::{Connections, Session};
use super::settings::{LedgerSettings, PublishSettings};
use super::setup::connect_options;
use crate::modelling::lineage::{EventWriter, LineageSettings};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;

/// Clones share the same connections.
#[derive(Clone)]
pub struct Ledger {
    pub(super) pool: Connections,
    pub(super) settings: LedgerSettings,
    pub(super) publish: PublishSettings,
    /// Writes OpenLineage events; `None` if lineage is off.
    pub(super) lineage: Option<Arc<EventWriter>>,
}

/// Upper bound that a CHECK constraint sets on `lineage_outbox.value`.
const MAX_LINEAGE_BYTES: u32 = 900_000;

impl Ledger {
    /// Opens the first connection, so that a wrong URL fails at the start.
    pub async fn connect(settings: &LedgerSettings) -> Result<Self, Error> {
        let options = Self::options(settings)?;
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let pool = Self::pool(settings.max_connections, options, settings.statement_timeout_ms);
        pool.acquire().await.map_err(|error| {
            let is_silent = matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_));
            match Error::from(error) {
                Error::Unavailable(why) if is_silent => Error::Unavailable(format!(
                    "no Postgres answers at {server} ({why}); is it running, and is [ledger] url right?"
                )),
                other => other,
            }
        })?;
        Ok(Self { pool, settings: settings.clone(), publish: PublishSettings::default(), lineage: None })
    }

    /// Sets the rules by which runs become PUBLISHED.
    #[must_use]
    pub fn publishing(self, publish: &PublishSettings) -> Self {
        Self { publish: publish.clone(), ..self }
    }

    /// Turns lineage on if the settings enable it; an event has at most `max_value_bytes` bytes.
    #[must_use]
    pub fn emitting_lineage(self, settings: &LineageSettings, max_value_bytes: u32) -> Self {
        let max_bytes = max_value_bytes.min(MAX_LINEAGE_BYTES);
        Self { lineage: settings.enabled.then(|| Arc::new(EventWriter::new(settings, max_bytes))), ..self }
    }

    /// Returns a handle with one connection of its own, opened at first use: for a thread with a runtime of its own.
    pub fn on_one_connection(&self) -> Result<Self, Error> {
        let pool = Self::pool(1, Self::options(&self.settings)?, self.settings.statement_timeout_ms);
        Ok(Self { pool, ..self.clone() })
    }

    fn pool(connections: u32, options: PgConnectOptions, statement_timeout_ms: u32) -> Connections {
        let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(10));
        Connections::new(pool, options, Self::bound(statement_timeout_ms))
    }

    /// The longest wait for the server's answer to a statement or for its next row: a little longer than the server may
    /// take.
    pub(super) fn bound(statement_timeout_ms: u32) -> Duration {
        Duration::from_millis(u64::from(statement_timeout_ms)) + Duration::from_secs(5)
    }

    pub(super) fn options(settings: &LedgerSettings) -> Result<PgConnectOptions, Error> {
        let options = connect_options(settings)?.application_name("model-factory").options([
            ("statement_timeout", settings.statement_timeout_ms.to_string()),
            ("lock_timeout", settings.lock_timeout_ms.to_string()),
            ("idle_in_transaction_session_timeout", "5000".to_owned()),
            // With these the server, too, finds out that this process is gone, and frees its locks.
            ("tcp_keepalives_idle", "10".to_owned()),
            ("tcp_keepalives_interval", "5".to_owned()),
            ("tcp_keepalives_count", "3".to_owned()),
            ("tcp_user_timeout", "25000".to_owned()),
            ("timezone", "UTC".to_owned()),
        ]);
        Ok(options)
    }

    /// How long a lease lasts, counted from the moment at which its claim or renewal was sent.
    pub fn lease_length(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.lease_seconds))
    }

    /// Time between the renewals of a lease: a third of its length, so that two may fail.
    pub fn renewal_interval(&self) -> Duration {
        self.lease_length() / 3
    }

    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Begins a read-only transaction in which all statements see the same state, and which no statement timeout ends.
    pub(super) async fn snapshot(&self) -> Result<Session, Error> {
        /// The longest wait for an answer or for the next row, in place of the statement timeout that is switched off.
        const BOUND: Duration = Duration::from_hours(1);
        let mut transaction = self.pool.begin().await?.bounded_by(BOUND);
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut transaction).await?;
        // The transaction holds no lock that others need, and its caller may work on what it read for a while.
        sqlx::query("SET LOCAL idle_in_transaction_session_timeout = '1min'").execute(&mut transaction).await?;
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut transaction).await?;
        Ok(transaction)
    }
}
