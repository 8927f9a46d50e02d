//! The operator's policy: who may ask for what, and which objects a request may point at. Decides on each message, and
//! on each run.
//!
//! Guarantees: if there is a policy, everything that it does not allow is refused. A refusal names the broken rule and
//! nothing else of the policy. Never: decides by a header; opens a file but the policy and its keys, reads a clock,
//! counts runs (the ledger counts within the admission).

mod current;
mod decision;
mod document;
mod openings;

pub use current::{CurrentPolicy, PolicyFile, PolicyFileError, Stamps};
pub use document::InvalidPolicy;

use crate::adapters::signing::RequesterKey;
use crate::domain::grant::Grant;
use crate::domain::identity::Digest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthoritySettings {
    /// File with the policy. `None` allows everything to everybody.
    pub policy: Option<PathBuf>,
}

/// A policy that was read and found valid.
#[derive(Debug, Clone)]
pub struct Policy {
    principals: BTreeMap<String, Arc<Principal>>,
    digest: Digest,
    /// Digest of the policy's file and of its keys. Two policies with the same one decide alike.
    fingerprint: Digest,
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

/// What one principal may do.
#[derive(Debug)]
struct Principal {
    /// Topics on which the principal may send. `None` allows any topic.
    topics: Option<BTreeSet<String>>,
    /// If not empty, one of these keys must sign each request.
    keys: Vec<RequesterKey>,
    commands: BTreeSet<RequesterCommand>,
    grant: Grant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RequesterCommand {
    Cancel,
    PublishRetry,
}

impl Policy {
    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn names(&self) -> usize {
        self.principals.len()
    }
}
