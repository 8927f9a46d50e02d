//! The stages as functions on values: resolve, evaluate, gate, bundle, publish; split and leakage
//! rules; metrics; the page that shows them.
//!
//! Guarantees: the same values in give the same documents out, to the byte. Never: does input or
//! output, reads a clock, draws a random number that its seed does not settle.

mod bom;
mod boundaries;
mod bundle;
mod categories;
mod champion;
mod earlier;
mod evaluate;
mod explanation;
mod features;
mod gate;
mod input_example;
mod leakage;
mod measurable;
mod mlmodel;
mod model_card;
mod model_format;
mod parity;
mod provenance;
mod publish;
mod report_page;
mod resolve;
mod slicing;
mod split;
mod table;
mod thresholds;

pub mod lineage;
pub mod metrics;

pub use bom::BOM_FILE;
pub use bundle::{
    Bundle, BundleContents, BundleDocuments, BundleFile, SIGNATURE_FILE, bundle, bundle_id, bundle_version,
};
pub use categories::{Encoding, MAX_VALUES_READ, encode_categories};
pub use earlier::{EarlierRole, FetchedBundle, eval_report_of, named_bundles};
pub use evaluate::{eval_report_id, report};
pub use explanation::{SHAP_ROWS, shap_rows};
pub use features::Features;
pub use gate::{Judged, Judgement, eligibility, gate, judge};
pub use leakage::{canary, leakage};
pub use parity::{ParityRow, edge_rows, inputs as parity_inputs};
pub use provenance::{
    BUILD_TYPE, BUILDER, PREDICATE as PROVENANCE_PREDICATE, PROVENANCE_FILE, STATEMENT as PROVENANCE_STATEMENT,
    dependencies, external_parameters,
};
pub use publish::{StoredVerdict, clear_announcement, clear_for_publication, publication};
pub use report_page::{REPORT_STYLE, ReportSources, curve_plots, gate_table, metrics_table, report_page, verdict_line};
pub use resolve::{Fetched, Sources, resolve};
pub use slicing::slicings;
pub use split::{Assignment, settle, split};
pub use table::{EntityColumn, FileColumn, IdColumn, RowId, RowIds, Table};
pub use thresholds::Threshold;
