//! Looks at everything that a worker stands on, and says what to do about what is not as it should be.
//!
//! Guarantees: checks run side by side, each within a time limit; one that fails hides no other. Never: changes
//! a topic, a group or the ledger; prints a secret. The store's self-test leaves its one probe object, as a
//! worker's start does.

mod brokers;
mod database;
mod documents;
mod machine;
mod places;

use crate::config::Config;
use futures::future::{BoxFuture, join_all};
use serde::Serialize;
use std::time::Duration;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// As it should be.
    Green,
    /// Works, with something that somebody should know.
    Yellow,
    /// A worker would not start, or would not keep its guarantees.
    Red,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, `topic mf.dead-letters.v0` for example.
    pub check: String,
    /// How it came out.
    pub light: Light,
    /// What was found.
    pub found: String,
    /// What to do; a command or a sentence each. Nothing where all is well.
    pub advice: Vec<String>,
}

impl Finding {
    fn green(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), light: Light::Green, found: found.into(), advice: Vec::new() }
    }

    fn yellow(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = vec![advice.into()];
        Self { check: check.into(), light: Light::Yellow, found: found.into(), advice }
    }

    fn red(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        let advice = vec![advice.into()];
        Self { check: check.into(), light: Light::Red, found: found.into(), advice }
    }
}

/// Longer than every limit inside a check: what reaches it hangs.
const LIMIT: Duration = Duration::from_secs(45);

/// Everything, in the order in which a worker meets it.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let checks: [(&str, BoxFuture<'_, Vec<Finding>>); 8] = [
        ("brokers", Box::pin(brokers::topics(config))),
        ("group", Box::pin(brokers::group(config))),
        ("database", Box::pin(database::check(config))),
        ("evidence store", Box::pin(places::store(config))),
        ("inputs", Box::pin(places::inputs(config))),
        ("documents", Box::pin(aside(config, documents::check))),
        ("traces", Box::pin(aside(&config.telemetry, places::traces))),
        ("machine", Box::pin(aside(config, machine::check))),
    ];
    let limited = checks.map(|(name, check)| async move {
        tokio::time::timeout(LIMIT, check).await.unwrap_or_else(|_| {
            let advice = "find out what it waits for; the other checks did not wait for it";
            vec![Finding::red(name, format!("no answer within {} seconds", LIMIT.as_secs()), advice)]
        })
    });
    join_all(limited).await.into_iter().flatten().collect()
}

/// Looks at files on a thread of its own: a disk that hangs must not hold up the other checks.
async fn aside<C: Clone + Send + 'static>(of: &C, look: fn(&C) -> Vec<Finding>) -> Vec<Finding> {
    let of = of.clone();
    let looking = tokio::task::spawn_blocking(move || look(&of));
    looking.await.unwrap_or_else(|error| vec![Finding::red("doctor", error.to_string(), "this is a defect; tell it")])
}

/// The worst of all lights.
pub fn worst(findings: &[Finding]) -> Light {
    findings.iter().map(|finding| finding.light).max().unwrap_or(Light::Green)
}
