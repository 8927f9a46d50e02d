//! Computes what the stages of a run need, as functions on values. The modules follow the order of a run: plan, data,
//! stability, leakage, metrics, decision, gate, bundle. The report page and the lineage events then describe the results.
//!
//! Guarantees: the same input values give the same documents, to the byte. Never: does input or output, reads a clock,
//! or draws a random number without a seed.

mod bundle;
mod data;
mod decision;
mod gate;
mod leakage;
mod plan;
mod report_page;
mod stability;

pub mod lineage;
pub mod metrics;

pub use bundle::{
    AnnouncedDocuments, Bundle, BundleEvidence, BundleFile, PROVENANCE_FILE, ParityRow, SIGNATURE_FILE, bundle,
    bundle_id, bundle_version, edge_rows, parity_inputs, publication,
};
pub use data::{
    Assignment, Encoding, EntityColumn, Features, FileColumn, IdColumn, MAX_VALUES_READ, RowId, RowIds, Table,
    encode_categories, feature_findings, settle, slicings, sort_rows, split, without_known_entities,
};
pub use decision::{ChampionScores, DecisionBasis, DecisionRows, against_champion, mapped, operating_points};
pub use gate::{
    StoredVerdict, clear_announcement, clear_for_publication, eligibility, eval_report_id, evaluation_of, gate, report,
    stated_profile,
};
pub use leakage::{canary, leakage, unasked_rules};
pub use plan::{
    EarlierDocuments, EarlierRole, Fetched, Parsed, Sources, eval_report_of, named_bundles, parse_bundle_manifest,
    parse_eval_report, parse_governance_profile, parse_manifest, parse_training_profile, resolve,
};
pub use report_page::{
    PageVerdict, REPORT_STYLE, ReportSources, StatementFinding, TableHeading, VerificationPage, curve_plots,
    decision_table, findings_table, gate_table, html_table, metrics_table, report_page, thousands, verdict_line,
    verification_page,
};
pub use stability::{check_expectations, feature_histograms};
