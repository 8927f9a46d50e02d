//! Who may ask for what: the operator's policy, and its decision on one message.
//!
//! Guarantees: under a policy, everything is refused that it does not allow; a refusal names the broken rule and
//! nothing else of the policy; no decision rests on a header. Never: opens a file, reads a clock, counts runs (the
//! ledger does that within the admission).

mod decision;
mod document;
mod policy;

pub use document::InvalidPolicy;
pub use policy::Policy;

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthoritySettings {
    /// File with the policy; without it, everybody may ask for everything.
    pub policy: Option<PathBuf>,
}
