//! Settings of OpenLineage events.

use serde::{Deserialize, Serialize};

/// Whether runs emit OpenLineage events, and the namespace of their jobs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LineageSettings {
    /// Must be the same for every worker on a ledger. Where it is on, the lineage topic must exist.
    pub enabled: bool,
    /// Namespace of the jobs: who schedules them.
    pub namespace: String,
}

impl Default for LineageSettings {
    fn default() -> Self {
        Self { enabled: false, namespace: "model-factory".to_owned() }
    }
}
