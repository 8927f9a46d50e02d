//! The policy, read and checked as a whole.

use crate::adapters::signing::RequesterKey;
use crate::domain::grant::Grant;
use crate::domain::identity::Digest;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Policy {
    pub(super) principals: BTreeMap<String, Arc<Principal>>,
    /// Of the file's bytes.
    pub(super) digest: Digest,
}

/// What requesters with the same rights may do.
#[derive(Debug)]
pub(super) struct Principal {
    /// None is any.
    pub(super) topics: Option<BTreeSet<String>>,
    /// Where there are any, one of them must sign each request.
    pub(super) keys: Vec<RequesterKey>,
    pub(super) commands: BTreeSet<RequesterCommand>,
    pub(super) grant: Grant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RequesterCommand {
    Cancel,
    PublishRetry,
}

impl Policy {
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many names it knows.
    pub fn names(&self) -> usize {
        self.principals.len()
    }
}
