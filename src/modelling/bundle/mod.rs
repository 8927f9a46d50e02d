//! The deployable bundle: a folder that XGBoost, MLflow and supply-chain tools open, and its announcement.
//!
//! Guarantees: the same evidence gives the same bytes and the same id on any machine.

mod bom;
mod edge_rows;
mod files;
mod input_example;
mod mlmodel;
mod model_card;
mod model_format;
mod pack;
mod parity;
mod provenance;
mod publication;

pub use bom::BOM_FILE;
pub use edge_rows::{ParityRow, edge_rows};
pub use files::{BundleFile, SIGNATURE_FILE, bundle_id, bundle_version};
pub use pack::{Bundle, BundleEvidence, bundle};
pub use parity::inputs as parity_inputs;
pub use provenance::{
    BUILD_TYPE, BUILDER, PREDICATE as PROVENANCE_PREDICATE, PROVENANCE_FILE, STATEMENT as PROVENANCE_STATEMENT,
    dependencies, external_parameters,
};
pub use publication::publication;
