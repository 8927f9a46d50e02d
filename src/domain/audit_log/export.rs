//! An export: a line of JSON for each block, and a last line with the head of the chain.

use super::chain::intact;
use super::{Block, BrokenBlock};
use crate::domain::contract::{AuditActs, Head};
use crate::domain::identity::RunId;
use serde::{Deserialize, Serialize};

/// The last line of an export, to be kept elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    pub head: Head,
    /// Number of the first requested block.
    pub from: i64,
    /// Number of blocks in this export.
    pub blocks: u64,
    /// Where only the blocks of one run were exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<RunId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    Block(Block),
    Ending(Ending),
}

impl Line {
    /// Reads a block of an export that leaves others out: only its own digest can be checked.
    pub fn alone(block: &Block) -> Result<AuditActs, BrokenBlock> {
        intact(block)
    }
}

pub fn read_line(line: &str) -> Result<Line, serde_json::Error> {
    serde_json::from_str(line)
}
