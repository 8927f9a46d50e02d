//! Checks everything that a worker depends on, and says how to mend what is wrong.
//!
//! Guarantees: checks run side by side, each with a timeout. If one check ends with an error, the others still report.
//! Never: changes a topic, a group or the ledger; prints a secret. The evidence store's self-test leaves its one probe
//! object, as a worker's start does.

mod brokers;
mod database;
mod documents;
mod finding;
mod group;
mod machine;
mod positions;
mod stores;

pub use documents::check_documents;
pub use finding::{Finding, Light, worst};

use crate::config::Config;
use finding::off_thread;
use futures::future::{BoxFuture, join_all};
use std::time::Duration;

/// Timeout of a check. Longer than each timeout inside a check, so that a check which hangs reaches it.
const LIMIT: Duration = Duration::from_secs(45);

/// Runs all checks. Returns the findings in the order in which a starting worker needs their subjects.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let checks: [(&str, BoxFuture<'_, Vec<Finding>>); 9] = [
        ("brokers", Box::pin(brokers::check(config))),
        ("group", Box::pin(group::check(config))),
        ("positions", Box::pin(positions::check(config))),
        ("database", Box::pin(database::check(config))),
        ("evidence store", Box::pin(stores::evidence(config))),
        ("inputs", Box::pin(stores::inputs(config))),
        ("documents", Box::pin(off_thread(config, check_documents))),
        ("traces", Box::pin(off_thread(&config.telemetry, documents::traces))),
        ("machine", Box::pin(off_thread(config, machine::check))),
    ];
    let limited = checks.map(|(name, check)| async move {
        tokio::time::timeout(LIMIT, check).await.unwrap_or_else(|_| {
            let advice = "find out what it waits for; the other checks did not wait for it";
            vec![Finding::red(name, format!("no answer within {} seconds", LIMIT.as_secs()), advice)]
        })
    });
    join_all(limited).await.into_iter().flatten().collect()
}
