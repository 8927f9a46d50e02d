//! Who may ask for what: the operator's policy, and what it says of one message.
//!
//! Guarantees: under a policy everything is refused that it does not allow; a refusal names the rule that is
//! broken and nothing else of the policy; no decision rests on a header. Never: opens a file, asks a clock,
//! counts runs (that is the ledger's, within the admission).

mod decision;
mod document;
mod grant;

pub use document::PolicyFaults;
pub use grant::{Grant, Quota};

use crate::adapters::signing::RequesterKey;
use crate::domain::identity::Digest;
use document::Command;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// Where the policy stands.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthoritySettings {
    /// File with the policy; without one everybody may ask for everything.
    pub policy: Option<PathBuf>,
}

/// A policy that was checked as a whole.
#[derive(Debug, Clone)]
pub struct Policy {
    principals: BTreeMap<String, Arc<Principal>>,
    digest: Digest,
}

/// What requesters with the same rights may do.
#[derive(Debug)]
struct Principal {
    /// Any where it is none.
    topics: Option<BTreeSet<String>>,
    /// Requests are signed by one of them, where there are any.
    keys: Vec<RequesterKey>,
    commands: BTreeSet<Command>,
    grant: Grant,
}

impl Policy {
    /// Digest of the bytes that were read.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many names it knows.
    pub fn names(&self) -> usize {
        self.principals.len()
    }
}
