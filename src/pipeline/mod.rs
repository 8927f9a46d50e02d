//! The stages as functions on values: resolve, evaluate, gate, bundle, publish; split and leakage
//! rules; metrics.
//!
//! Guarantees: the same values in give the same documents out, to the byte. Never: does input or
//! output, reads a clock, draws a random number that its seed does not settle.

mod plan;

pub use plan::{
    BoostParameters, PinnedDocument, PinnedFile, PinnedManifest, PlannedSplit, ResolvedAlgorithm, Revisions, TrainPlan,
    Window,
};
