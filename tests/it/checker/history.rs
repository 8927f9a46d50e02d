//! Everything that can be seen from outside, as plain values.

use serde_json::Value;
use std::collections::BTreeMap;

/// A record of a topic.
#[derive(Debug, Clone)]
pub struct Seen {
    pub partition: i32,
    pub offset: i64,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.value).unwrap_or_default()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

impl History {
    /// How many records the group has committed, over all partitions.
    pub fn settled(&self) -> i64 {
        self.committed.values().sum()
    }

    /// How many records have each outcome.
    pub fn outcomes(&self) -> BTreeMap<&str, usize> {
        let mut outcomes = BTreeMap::new();
        for decided in &self.decided {
            *outcomes.entry(decided.outcome.as_str()).or_default() += 1;
        }
        outcomes
    }
}

/// A record's outcome in the ledger.
#[derive(Debug, Clone)]
pub struct Decided {
    pub partition: i32,
    pub offset: i64,
    pub outcome: String,
    pub run_id: Option<String>,
}

#[derive(Debug, Clone)]
#[expect(clippy::struct_field_names, reason = "the columns' names")]
pub struct Run {
    pub run_id: String,
    pub run_key: String,
    pub state: String,
    pub leased: bool,
    pub full_attempts: i32,
    /// Attempts since the last command that opened the run again.
    pub full_attempts_counted: i32,
    pub refs: BTreeMap<String, (String, String)>,
}

#[derive(Debug, Clone)]
pub struct Stepped {
    pub run_id: String,
    pub seq: i64,
    pub step: String,
    pub from: String,
    pub to: String,
    pub fence: i64,
}

#[derive(Debug, Clone, Default)]
pub struct History {
    pub requests: Vec<Seen>,
    /// The offset that the group reads next, by partition.
    pub committed: BTreeMap<i32, i64>,
    pub decided: Vec<Decided>,
    pub runs: Vec<Run>,
    pub steps: Vec<Stepped>,
    pub unsent: i64,
    pub lifecycle: Vec<Seen>,
    pub publications: Vec<Seen>,
    pub dead_letters: Vec<Seen>,
    pub lineage: Vec<Seen>,
    /// SHA-256 by path.
    pub evidence: BTreeMap<String, String>,
    pub max_full_attempts: i32,
}
