//! What a check found, and what to do about it.

use serde::Serialize;

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

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The subject, for example `topic mf.dead-letters.v0`.
    pub check: String,
    pub light: Light,
    pub found: String,
    /// Commands or sentences that say what to do; empty where all is well.
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

/// The worst light; green if there is no finding.
pub fn worst(findings: &[Finding]) -> Light {
    findings.iter().map(|finding| finding.light).max().unwrap_or(Light::Green)
}

/// Runs a blocking check on a thread of its own: a disk that hangs must not hold up the other checks.
pub(super) async fn off_thread<C: Clone + Send + 'static>(of: &C, look: fn(&C) -> Vec<Finding>) -> Vec<Finding> {
    let of = of.clone();
    let looking = tokio::task::spawn_blocking(move || look(&of));
    looking.await.unwrap_or_else(|error| vec![Finding::red("doctor", error.to_string(), "this is a defect; tell it")])
}
