//! The handle on the ledger: pools of connections whose statements, locks and idle transactions the server ends.

use super::error::Error;
use super::settings::{LedgerSettings, PublishSettings};
use super::setup::connect_options;
use crate::modelling::lineage::{EventWriter, LineageSettings};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::sync::Arc;
use std::time::Duration;

/// Cheap to clone: clones share their connections.
#[derive(Clone)]
pub struct Ledger {
    pub(super) pool: PgPool,
    pub(super) settings: LedgerSettings,
    pub(super) publish: PublishSettings,
    /// Writes OpenLineage events; none where lineage is off.
    pub(super) lineage: Option<Arc<EventWriter>>,
}

/// What the check on `lineage_outbox.value` allows.
const MAX_LINEAGE_BYTES: u32 = 900_000;

impl Ledger {
    /// Opens the first connection, so that a wrong URL shows here.
    pub async fn connect(settings: &LedgerSettings) -> Result<Self, Error> {
        let options = Self::options(settings)?;
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let pool = Self::pool(settings.max_connections).connect_with(options).await.map_err(|error| {
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

    /// The same ledger, where runs become PUBLISHED by these rules.
    #[must_use]
    pub fn publishing(self, publish: &PublishSettings) -> Self {
        Self { publish: publish.clone(), ..self }
    }

    /// The same ledger, which emits lineage where that is turned on, in events of at most `max_value_bytes`.
    #[must_use]
    pub fn emitting_lineage(self, settings: &LineageSettings, max_value_bytes: u32) -> Self {
        let max_bytes = max_value_bytes.min(MAX_LINEAGE_BYTES);
        Self { lineage: settings.enabled.then(|| Arc::new(EventWriter::new(settings, max_bytes))), ..self }
    }

    /// The same ledger on one connection of its own, opened by its first use: for a thread with its own runtime.
    pub fn on_one_connection(&self) -> Result<Self, Error> {
        let pool = Self::pool(1).connect_lazy_with(Self::options(&self.settings)?);
        Ok(Self { pool, ..self.clone() })
    }

    fn pool(connections: u32) -> PgPoolOptions {
        PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(10))
    }

    pub(super) fn options(settings: &LedgerSettings) -> Result<PgConnectOptions, Error> {
        let options = connect_options(settings)?.application_name("model-factory").options([
            ("statement_timeout", settings.statement_timeout_ms.to_string()),
            ("lock_timeout", settings.lock_timeout_ms.to_string()),
            ("idle_in_transaction_session_timeout", "30000".to_owned()),
            ("timezone", "UTC".to_owned()),
        ]);
        Ok(options)
    }

    /// How long a lease holds from the moment its claim or renewal was sent.
    pub fn lease_length(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.lease_seconds))
    }

    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// A read-only transaction that sees one state of everything, and that no statement timeout ends.
    pub(super) async fn snapshot(&self) -> Result<sqlx::Transaction<'static, sqlx::Postgres>, Error> {
        let mut transaction = self.pool.begin().await?;
        sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *transaction).await?;
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut *transaction).await?;
        Ok(transaction)
    }
}
