//! The links of the chain from request to signature, and the result of their check.

use crate::domain::identity::{Digest, RunId};
use serde::Serialize;
use std::fmt;

/// The links of the chain from the request to the signature, in the order of their check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Link {
    /// `bundle.json` fits its schema, and the bundle has the expected id.
    Bundle,
    /// The folder holds every file that `bundle.json` lists and no other, byte for byte.
    Files,
    /// The request's meaning hashes to the run's key and id.
    Request,
    /// The plan is the one that the bundle names.
    Plan,
    /// Manifests, profiles and data files are those of the plan.
    Data,
    /// The model has the format that its name and `bundle.json` state.
    Model,
    /// The evaluation report is about this plan and this model.
    Report,
    /// The gate passed this report.
    Gate,
    /// The SLSA statement agrees with the plan and the files.
    Provenance,
    /// Bill of materials and MLflow's description are about this model.
    Descriptions,
    /// The model scores the parity vectors' rows exactly as they say.
    Parity,
    /// The signature is about these files, by the given key.
    Signature,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedLink {
    pub link: Link,
    /// What was checked, and what was not.
    pub checked: String,
}

/// The first link that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLink {
    pub link: Link,
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Whether every link holds.
    pub intact: bool,
    /// The id as computed from the files, not as somebody states it; `None` if the files are broken.
    pub bundle_id: Option<Digest>,
    pub bundle_version: Option<String>,
    /// The run that built the bundle, as `bundle.json` says; `None` if that file cannot be read.
    pub run_id: Option<RunId>,
    /// Links that hold, in order.
    pub checked: Vec<CheckedLink>,
    /// The first link that does not hold; `None` if every link holds.
    pub broken: Option<BrokenLink>,
}

impl Link {
    /// Fails at this link unless `holds`.
    pub(super) fn must(self, holds: bool, why: impl FnOnce() -> String) -> Result<(), BrokenLink> {
        if holds { Ok(()) } else { Err(self.broken(why())) }
    }

    pub(super) fn broken(self, why: impl fmt::Display) -> BrokenLink {
        BrokenLink { link: self, why: why.to_string() }
    }
}
