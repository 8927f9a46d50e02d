//! The links of the chain from request to signature, and the result of checking them.

use crate::domain::identity::{Digest, RunId};
use serde::Serialize;
use std::fmt;

/// The links of the chain from request to signature, in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Link {
    /// `bundle.json` fits its schema, and the bundle has the expected id.
    Bundle,
    /// The folder holds every file that `bundle.json` lists, with the listed bytes, and no other file.
    Files,
    /// The digest of the request's meaning gives the run's key and id.
    Request,
    /// The plan is the one that the bundle names.
    Plan,
    /// Manifests, profiles and data files are those that the plan pins.
    Data,
    /// The model has the format that its name and `bundle.json` state.
    Model,
    /// The evaluation report is about this plan and this model.
    Report,
    /// The gate receipt says PASS, and is about this report.
    Gate,
    /// The SLSA statement agrees with the plan and the files.
    Provenance,
    /// The bill of materials and the MLflow description are about this model.
    Descriptions,
    /// The model gives the rows of the parity vectors exactly the scores in them.
    Parity,
    /// The signature names exactly these files and, if a key is given, was made by that key.
    Signature,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedLink {
    pub link: Link,
    /// What was checked, and what was not.
    pub checked: String,
}

/// The first link whose check found an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLink {
    pub link: Link,
    pub why: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// Whether every link holds.
    pub intact: bool,
    /// The bundle's id, computed from the files. `None` if the files are broken.
    pub bundle_id: Option<Digest>,
    pub bundle_version: Option<String>,
    /// The run that built the bundle, as `bundle.json` says. `None` if that file cannot be read.
    pub run_id: Option<RunId>,
    /// The links that hold, in the order in which they were checked.
    pub checked: Vec<CheckedLink>,
    /// The first link that does not hold. `None` if every link holds.
    pub broken: Option<BrokenLink>,
}

impl Link {
    /// Returns an error at this link if `holds` is false.
    pub(super) fn must(self, holds: bool, why: impl FnOnce() -> String) -> Result<(), BrokenLink> {
        if holds { Ok(()) } else { Err(self.broken(why())) }
    }

    pub(super) fn broken(self, why: impl fmt::Display) -> BrokenLink {
        BrokenLink { link: self, why: why.to_string() }
    }
}
