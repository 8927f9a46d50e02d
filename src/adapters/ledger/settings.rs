//! Settings of the ledger, and of what makes a run PUBLISHED.

use crate::domain::contract::TrainBuildRequest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerSettings {
    /// Connection URL. Never printed, since it may hold a password. A connection to another host must use TLS and
    /// verifies the server, unless the URL has an `sslmode`.
    pub url: String,
    /// File that holds only the password; it overrides a password in the URL. `None` if there is no such file.
    pub password_file: Option<PathBuf>,
    /// File of PEM certificates: authorities trusted for the server's certificate, in addition to the public ones.
    /// `None` trusts only the public ones.
    pub ca_file: Option<PathBuf>,
    /// Upper bound on the connections of this process.
    pub max_connections: u32,
    pub lease_seconds: u32,
    /// Upper bound on full attempts of a run; an attempt that crashed counts.
    pub max_full_attempts: u32,
    /// Upper bound on automatic publish-only attempts of a run.
    pub max_publish_attempts: u32,
    /// How many seconds the pauses of a run may last altogether while its attempts do not find what they need: a store,
    /// an input, or room on the worker's machine. After that, such an attempt counts as any other.
    pub outage_patience_seconds: u32,
    /// How many seconds the broker may take to acknowledge a publication that a relay has handed over, before the
    /// attempt counts as failed and is repeated.
    pub publish_patience_seconds: u32,
    /// Upper bound on the runs that all workers together train at one time; 0 means no bound.
    pub max_running: u32,
    /// Upper bound on the runs of one tenant that are trained at one time; 0 means no bound.
    pub max_running_per_tenant: u32,
    /// The first rule that matches a run sets its priority; 0 if none matches.
    pub priorities: Vec<PriorityRule>,
    /// After how many milliseconds the server ends a statement.
    pub statement_timeout_ms: u32,
    /// After how many milliseconds the server ends a wait for a lock.
    pub lock_timeout_ms: u32,
}

/// Gives a priority to runs of a principal, of a scope, or of a principal in a scope.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PriorityRule {
    /// `requester_principal` that the rule matches; `None` matches any.
    #[serde(default)]
    pub principal: Option<String>,
    /// Beginning of the scope key `environment/mode/bundle_slot[/tenant_id]` that the rule matches; `None` matches any.
    #[serde(default)]
    pub scope: Option<String>,
    /// Runs of a higher priority are claimed first.
    pub priority: i16,
}

impl fmt::Debug for LedgerSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerSettings").field("max_connections", &self.max_connections).finish_non_exhaustive()
    }
}

impl LedgerSettings {
    pub(super) fn priority_of(&self, request: &TrainBuildRequest) -> i16 {
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
            outage_patience_seconds: 3_600,
            publish_patience_seconds: 120,
            max_running: 0,
            max_running_per_tenant: 0,
            priorities: Vec::new(),
            statement_timeout_ms: 15_000,
            lock_timeout_ms: 5_000,
        }
    }
}

#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublishSettings {
    /// Whose acknowledgement makes a run PUBLISHED. Must be the same for every worker on a ledger.
    pub confirm: ConfirmedBy,
    /// How many seconds the registry may take to answer before the bundle is verified and announced again.
    pub registry_patience_seconds: u32,
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self { confirm: ConfirmedBy::Broker, registry_patience_seconds: 900 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmedBy {
    /// A run is PUBLISHED when the broker has acknowledged its publication.
    Broker,
    /// A run is PUBLISHED when the registry, too, has confirmed the bundle.
    Registry,
}
