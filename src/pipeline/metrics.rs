//! placeholder until train lands
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Metrics by name.
pub type Metrics = BTreeMap<String, Metric>;

/// A measured value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Value, or null.
    pub value: Option<f64>,
    /// Why null.
    pub undefined_because: Option<String>,
}
