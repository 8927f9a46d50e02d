//! The run ledger: Postgres. All SQL of runs, requests, transitions and the outbox is in this room.
//!
//! Guarantees: one outcome per record, one run per key, one event per transition, no write without
//! the fence. Never: keeps a transaction open while work runs; cancels a database future (that
//! poisons its connection): time limits are the server's.

mod admit;
mod advance;
mod agreement;
mod answer;
mod audit_log;
mod claim;
mod console;
mod control;
mod counting;
mod error;
mod events;
mod find;
mod gauges;
mod lease;
mod lineage;
mod overdue;
mod place;
mod progress;
mod prune;
mod quota;
mod receipts;
mod reconcile;
mod relay;
mod rescue;
mod rows;
mod schema;
mod survey;
mod transport;
mod types;

pub use self::console::{
    Backlog, Depth, LeaseRow, Leases, LetterPage, LetterRow, LetterText, Part, Place, RunPage, RunRow, RunsAsked,
    SearchBy, ShardOwner, ToldEvent,
};
pub use agreement::{Agreeing, AuditVerdict};
pub use control::{Act, ActRefused, Order};
pub use error::Error;
pub use find::{ActRecord, Counts, DeadLetterRecord, Original, RequestRecord, RunRecord, TransitionRecord};
pub use gauges::{EndedRuns, Standing};
pub use lineage::Known;
pub use prune::{Pruned, Pruning};
pub use receipts::Announced;
pub use survey::{SchemaState, ServerState};
pub use transport::Denial;
pub use types::{Arrival, Coordinates, Guarded, Lease, OutboxRow, Renewal, Sent, Shard, SourceRecord, Step};

use crate::domain::contract::TrainBuildRequest;
use crate::modelling::lineage::EventWriter;
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Settings of the ledger.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerSettings {
    /// Connection URL; may hold a password, so it is never printed. A host that is not this one is spoken to
    /// over TLS and verified, unless `sslmode` is said here.
    pub url: String,
    /// File that holds the password and nothing else; it wins over the URL.
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) of authorities that the server is trusted by, beside the public ones.
    pub ca_file: Option<PathBuf>,
    /// Connections of this process at the most.
    pub max_connections: u32,
    /// Length of a lease.
    pub lease_seconds: u32,
    /// Full attempts of a run at the most, crashes included.
    pub max_full_attempts: u32,
    /// Automatic publish-only attempts of a run at the most.
    pub max_publish_attempts: u32,
    /// How long a publication may stand in the outbox before it counts as failed and is tried again.
    pub publish_patience_seconds: u32,
    /// Runs that are worked on at once, over all workers; 0 is no limit.
    pub max_running: u32,
    /// The same for the runs of one tenant.
    pub max_running_per_tenant: u32,
    /// Who goes first; the first rule that fits counts, and 0 where none does.
    pub priorities: Vec<PriorityRule>,
    /// Longest statement; the server ends it.
    pub statement_timeout_ms: u32,
    /// Longest wait for a row lock; the server ends it.
    pub lock_timeout_ms: u32,
}

/// Runs of this principal, of this scope, or both, go before runs of a lower priority.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityRule {
    /// `requester_principal`; any where it is not set.
    #[serde(default)]
    pub principal: Option<String>,
    /// Beginning of the scope key `environment/mode/bundle_slot[/tenant_id]`; any where it is not set.
    #[serde(default)]
    pub scope: Option<String>,
    /// Higher goes first.
    pub priority: i16,
}

impl fmt::Debug for LedgerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerSettings").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}

impl LedgerSettings {
    fn priority_of(&self, request: &TrainBuildRequest) -> i16 {
        let fits = |rule: &&PriorityRule| {
            rule.principal.as_ref().is_none_or(|principal| *principal == request.requester_principal)
                && rule.scope.as_ref().is_none_or(|scope| request.target_scope.scope_key().starts_with(scope.as_str()))
        };
        self.priorities.iter().find(fits).map_or(0, |rule| rule.priority)
    }
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self {
            url: "postgres://localhost/model_factory".to_owned(),
            password_file: None,
            ca_file: None,
            max_connections: 8,
            lease_seconds: 30,
            max_full_attempts: 3,
            max_publish_attempts: 10,
            publish_patience_seconds: 120,
            max_running: 0,
            max_running_per_tenant: 0,
            priorities: Vec::new(),
            statement_timeout_ms: 15_000,
            lock_timeout_ms: 5_000,
        }
    }
}

/// When a run is PUBLISHED.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishSettings {
    /// Whose word makes a run PUBLISHED. The same for every worker on a ledger.
    pub confirm: ConfirmedBy,
    /// How long the registry may take to answer, before the bundle is verified and announced again.
    pub registry_patience_seconds: u32,
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self { confirm: ConfirmedBy::Broker, registry_patience_seconds: 900 }
    }
}

/// Whose word makes a run PUBLISHED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmedBy {
    /// The broker's: the publication is on its topic.
    Broker,
    /// The registry's: it holds the bundle.
    Registry,
}

/// A handle on the ledger; cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    pool: PgPool,
    settings: LedgerSettings,
    publish: PublishSettings,
    teller: Option<Arc<EventWriter>>,
}

impl Ledger {
    /// Connects. The server ends what takes too long: a statement, a lock, an idle transaction.
    pub async fn connect(settings: &LedgerSettings) -> Result<Self, Error> {
        let options = Self::options(settings)?;
        let place = format!("{}:{}", options.get_host(), options.get_port());
        let pool = Self::pool(settings.max_connections).connect_with(options).await.map_err(|error| {
            let is_silent = matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::Io(_));
            match Error::from(error) {
                Error::Unavailable(why) if is_silent => Error::Unavailable(format!(
                    "no Postgres answers at {place} ({why}); is it running, and is [ledger] url right?"
                )),
                other => other,
            }
        })?;
        Ok(Self { pool, settings: settings.clone(), publish: PublishSettings::default(), teller: None })
    }

    /// The same ledger, where runs are PUBLISHED by these rules.
    #[must_use]
    pub fn publishing(self, publish: &PublishSettings) -> Self {
        Self { publish: publish.clone(), ..self }
    }

    /// The same ledger on one connection of its own, made when it is first used, for a thread with its own
    /// runtime.
    pub fn on_one_connection(&self) -> Result<Self, Error> {
        let pool = Self::pool(1).connect_lazy_with(Self::options(&self.settings)?);
        Ok(Self { pool, ..self.clone() })
    }

    fn pool(connections: u32) -> PgPoolOptions {
        PgPoolOptions::new().max_connections(connections).acquire_timeout(Duration::from_secs(10))
    }

    fn options(settings: &LedgerSettings) -> Result<PgConnectOptions, Error> {
        let options = transport::options(settings)?.application_name("model-factory").options([
            ("statement_timeout", settings.statement_timeout_ms.to_string()),
            ("lock_timeout", settings.lock_timeout_ms.to_string()),
            ("idle_in_transaction_session_timeout", "30000".to_owned()),
            ("timezone", "UTC".to_owned()),
        ]);
        Ok(options)
    }

    /// How long a lease holds from its last renewal.
    pub fn lease_length(&self) -> Duration {
        Duration::from_secs(u64::from(self.settings.lease_seconds))
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
