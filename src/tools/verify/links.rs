//! What is checked, and what was found.

use crate::domain::identity::{Digest, RunId};
use serde::Serialize;
use std::fmt;

/// A link of the chain from the request to the signature, in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// `bundle.json` itself, and the bundle's id.
    Bundle,
    /// Every file that it lists and no other, byte for byte.
    Files,
    /// What was asked for gives the run's key and id.
    Request,
    /// The plan is the one that the bundle names.
    Plan,
    /// Manifests, profiles and data files are those of the plan.
    Data,
    /// The model is what it is said to be.
    Model,
    /// The evaluation report is about this plan and this model.
    Report,
    /// The gate passed this report.
    Gate,
    /// The statement of provenance says the same as all of these.
    Provenance,
    /// Bill of materials and MLflow's description are about this model.
    Descriptions,
    /// The model gives the scores that the parity vectors say.
    Parity,
    /// The signature is about these files, by the given key.
    Signature,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Bundle => "bundle",
            Self::Files => "files",
            Self::Request => "request",
            Self::Plan => "plan",
            Self::Data => "data",
            Self::Model => "model",
            Self::Report => "report",
            Self::Gate => "gate",
            Self::Provenance => "provenance",
            Self::Descriptions => "descriptions",
            Self::Parity => "parity",
            Self::Signature => "signature",
        })
    }
}

/// A link that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedLink {
    /// Which.
    pub link: Link,
    /// What was checked, and what was not.
    pub checked: String,
}

/// The first link that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLink {
    /// Which.
    pub link: Link,
    /// Why.
    pub why: String,
}

/// What an auditor gets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Whether every link holds.
    pub intact: bool,
    /// The bundle's id, as its files give it.
    pub bundle_id: Option<Digest>,
    /// Its version.
    pub bundle_version: Option<String>,
    /// The run that built it, as it says.
    pub run_id: Option<RunId>,
    /// Links that hold.
    pub checked: Vec<CheckedLink>,
    /// The first one that does not.
    pub broken: Option<BrokenLink>,
}

impl Link {
    /// Breaks here unless `holds`.
    pub(super) fn must(self, holds: bool, why: impl FnOnce() -> String) -> Result<(), BrokenLink> {
        if holds { Ok(()) } else { Err(self.broken(why())) }
    }

    pub(super) fn broken(self, why: impl fmt::Display) -> BrokenLink {
        BrokenLink { link: self, why: why.to_string() }
    }
}
