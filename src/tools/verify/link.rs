//! The links of the chain from request to signature, each with the statement that it makes.

use serde::Serialize;
use std::fmt;

/// The links of the chain from request to signature, in the order in which they are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::Display, strum::VariantArray)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Link {
    Files,
    Bundle,
    /// Checked only if the caller gives the id.
    Id,
    Request,
    Plan,
    Data,
    Model,
    Report,
    Gate,
    Provenance,
    Descriptions,
    Parity,
    Signature,
    /// This and the links below are checked only if the caller gives the document.
    Publication,
    Requester,
    Approval,
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

impl fmt::Display for BrokenLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it is false that {}: {}", self.link.statement(), self.why)
    }
}

impl Link {
    /// Returns the statement that the link makes, as the rest of a sentence that begins with "It is true that".
    pub fn statement(self) -> &'static str {
        match self {
            Self::Files => {
                "the folder holds the files of a bundle, with the bytes that bundle.json lists, and no others"
            }
            Self::Bundle => "bundle.json follows from the other files",
            Self::Id => "the bundle has the id that was given to this check",
            Self::Request => "the run and the bundle are those of the request that the plan states",
            Self::Plan => "the bundle names this plan, its features and its revisions",
            Self::Data => "the bundle names the data and the profiles that the plan pins",
            Self::Model => "the model is a model of the stated format, as its writer leaves it",
            Self::Report => "the evaluation report is about this plan and this model",
            Self::Gate => "the gate passed this model, by the values of this report",
            Self::Provenance => "the provenance statement follows from the plan and the files",
            Self::Descriptions => {
                "what MLflow reads and runs, bill of materials and model card follow from plan, report and receipt"
            }
            Self::Parity => "the model gives the rows of parity_vectors.json exactly the scores that stand there",
            Self::Signature => "the given key signed exactly these files",
            Self::Publication => "the given publication receipt is about this bundle",
            Self::Requester => "the given request asked for this run",
            Self::Approval => "the registry's given event says that it holds this bundle",
        }
    }

    /// Returns an error that names this link of the chain if `holds` is false.
    pub(super) fn must(self, holds: bool, why: impl FnOnce() -> String) -> Result<(), BrokenLink> {
        if holds { Ok(()) } else { Err(self.broken(why())) }
    }

    pub(super) fn broken(self, why: impl fmt::Display) -> BrokenLink {
        BrokenLink { link: self, why: why.to_string() }
    }
}
