//! OpenLineage: what a run reads and writes, for tools that draw graphs of it.
//!
//! Guarantees: the same step gives the same bytes; every attempt at a run has the same UUID; an event is never larger
//! than it may be, and says what it leaves out. Never: decides anything, asks a clock, opens a file; is an output that
//! the ownership boundaries give to somebody: it tells of the work, and carries none of it.

mod account;
mod event;
mod facets;
mod fit;
mod gate;
mod naming;
mod tell;
#[cfg(test)]
mod tests;

pub use account::{Account, Written};
pub use event::RunState;
pub use facets::PRODUCER;
pub use naming::{DatasetName, Places};
pub use tell::{Moment, Teller};

use serde::{Deserialize, Serialize};

/// Whether runs are told of, and under which name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LineageSettings {
    /// Whether OpenLineage events are written, and their topic is needed. The same for every worker on a ledger.
    pub enabled: bool,
    /// Namespace of the jobs: who schedules them.
    pub namespace: String,
}

impl Default for LineageSettings {
    fn default() -> Self {
        Self { enabled: false, namespace: "model-factory".to_owned() }
    }
}
