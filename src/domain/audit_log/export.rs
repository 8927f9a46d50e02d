//! An export: a line of JSON a block, and one at the end that says where the chain stood.

use super::chain::intact;
use super::{Block, Body, Broken, Head};
use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};

/// The last line of an export, to be kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// Where the chain stood.
    pub head: Head,
    /// Number of the first block that was asked for.
    pub from: i64,
    /// Blocks in this export.
    pub blocks: u64,
    /// The run that they were picked for; the others are left out then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
}

/// A line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// A block.
    Block(Block),
    /// The last line.
    Ending(Ending),
}

impl Line {
    /// A block of an export that leaves others out: only its own digest can be checked.
    pub fn alone(block: &Block) -> Result<Body, Broken> {
        intact(block)
    }
}

/// Reads a line.
pub fn read_line(line: &str) -> Result<Line, serde_json::Error> {
    serde_json::from_str(line)
}
