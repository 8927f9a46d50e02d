//! Turns a request and its documents into the resolved train plan.
//!
//! Guarantees: everything that decides what the model will be is in the plan. If the documents do not fit together, the
//! run ends before a row is read.

mod choice;
mod compatible;
mod documents;
mod earlier;
mod expected;
mod measurable;
mod planned_split;
mod resolve;

pub use documents::{
    EarlierDocuments, Fetched, Parsed, Sources, parse_governance_profile, parse_manifest, parse_training_profile,
};
pub use earlier::{EarlierRole, eval_report_of, named_bundles, parse_bundle_manifest, parse_eval_report};
pub use resolve::resolve;
