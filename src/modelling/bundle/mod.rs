//! Builds the deployable bundle and its announcement. The bundle is a folder that XGBoost, MLflow and supply-chain
//! tools open.
//!
//! Guarantees: the same evidence gives the same bytes and the same bundle id on any machine.

mod bom;
mod edge_rows;
mod mlmodel;
mod model_card;
mod model_format;
mod pack;
mod parity;
mod provenance;
mod python_environment;

pub use edge_rows::{ParityRow, edge_rows};
pub use pack::{
    AnnouncedDocuments, Bundle, BundleEvidence, BundleFile, SIGNATURE_FILE, bundle, bundle_id, bundle_version,
    publication,
};
pub use parity::inputs as parity_inputs;
pub use provenance::PROVENANCE_FILE;
