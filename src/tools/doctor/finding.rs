//! What a check found, and what to do about it.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// No problem was found.
    Green,
    /// A worker would work, but an operator should know something.
    Yellow,
    /// A worker would not start or would break a guarantee, or records that it sends are stuck.
    Red,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked, for example `topic mf.dead-letters.v0`.
    pub check: String,
    pub light: Light,
    pub found: String,
    /// Commands or sentences that say what to do. Empty if there is nothing to do.
    pub advice: Vec<String>,
}

impl Finding {
    pub(super) fn green(check: impl Into<String>, found: impl Into<String>) -> Self {
        Self { check: check.into(), light: Light::Green, found: found.into(), advice: Vec::new() }
    }

    pub(super) fn yellow(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { light: Light::Yellow, ..Self::red(check, found, advice) }
    }

    pub(super) fn red(check: impl Into<String>, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { light: Light::Red, advice: vec![advice.into()], ..Self::green(check, found) }
    }
}

/// Returns the worst light. Green if there is no finding.
pub fn worst(findings: &[Finding]) -> Light {
    findings.iter().map(|finding| finding.light).max().unwrap_or(Light::Green)
}

/// Runs a blocking check on a separate thread, so that a disk that hangs does not hold up the other checks.
pub(super) async fn off_thread<C: Clone + Send + 'static>(of: &C, look: fn(&C) -> Vec<Finding>) -> Vec<Finding> {
    let of = of.clone();
    let looking = tokio::task::spawn_blocking(move || look(&of));
    looking.await.unwrap_or_else(|error| vec![Finding::red("doctor", error.to_string(), "this is a defect; tell it")])
}
