//! `DatasetManifest`: the immutable description of a dataset, made by the Offline Feature Plane.

use crate::domain::identity::Digest;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// A manifest as it came through its schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// The same id never comes with two fingerprints.
    pub dataset_manifest_id: String,
    /// Content fingerprint by the maker, at least 8 characters.
    pub dataset_fingerprint: String,
    /// The platform run that it belongs to.
    pub platform_run_id: String,
    /// The stream positions that the data was replayed from.
    pub replay_basis: Vec<ReplayBasis>,
    /// How labels were resolved, as of when.
    pub label_basis: LabelBasis,
    /// The features that the columns hold.
    pub feature_definition_set: FeatureSet,
    /// Who made it, with what.
    pub provenance: ManifestProvenance,
    /// Scenario runs behind the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scenario_run_ids: Vec<String>,
    /// The files; without them the manifest cannot be trained on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub materializations: Vec<Materialization>,
}

impl DatasetManifest {
    /// The only version this release reads.
    pub const SCHEMA_VERSION: &'static str = "learning.dataset_manifest.v0";
}

/// A range of stream positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayBasis {
    /// Stream.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// For example `kafka_offset`.
    pub offset_kind: String,
    /// First position.
    pub start_offset: String,
    /// Last position.
    pub end_offset: String,
}

/// How labels were resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelBasis {
    /// Nothing known later is in the labels.
    pub label_asof_utc: DateTime<Utc>,
    /// Name of the rule that turns reports into labels.
    pub resolution_rule: String,
    /// Days after an event before its label counts as settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maturity_days: Option<u32>,
}

/// What a training profile expects of the labels; what it leaves out may be anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedLabels {
    /// The instant that the labels are as of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_asof_utc: Option<DateTime<Utc>>,
    /// Name of the rule that turned reports into labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution_rule: Option<String>,
    /// Days after an event before its label counts as settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maturity_days: Option<u32>,
}

impl ExpectedLabels {
    /// What these labels have other than expected: the field, what was found, what was expected.
    pub fn disagreement(&self, found: &LabelBasis) -> Option<(&'static str, String, String)> {
        let differs = |name, found: Option<String>, expected: Option<String>| {
            let expected = expected.filter(|expected| found.as_ref() != Some(expected))?;
            Some((name, found.unwrap_or_else(|| "nothing".to_owned()), expected))
        };
        let text = |days: Option<u32>| days.map(|days| days.to_string());
        let instant = |at: DateTime<Utc>| at.to_rfc3339();
        differs("label_asof_utc", Some(instant(found.label_asof_utc)), self.label_asof_utc.map(instant))
            .or_else(|| differs("resolution_rule", Some(found.resolution_rule.clone()), self.resolution_rule.clone()))
            .or_else(|| differs("maturity_days", text(found.maturity_days), text(self.maturity_days)))
    }
}

/// A versioned set of features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSet {
    /// Name.
    pub feature_set_id: String,
    /// Version.
    pub feature_set_version: String,
}

/// Who made the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestProvenance {
    /// Code.
    pub ofs_code_release_id: String,
    /// Configuration.
    pub config_revision: String,
    /// Digest of the maker's own configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_config_digest: Option<String>,
}

/// A data file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Materialization {
    /// Where it is.
    #[serde(rename = "ref")]
    pub reference: String,
    /// Always `parquet`.
    pub format: String,
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Its size.
    pub bytes: u64,
    /// Its rows.
    pub rows: u64,
    /// Which column is what.
    pub columns: ColumnRoles,
}

/// Which column plays which role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRoles {
    /// When the payment happened. Only data without time may leave it out, and then only a random split
    /// is possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    /// Fraud or not.
    pub label: String,
    /// Unique per row.
    pub row_id: String,
    /// When the label became known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_observed_time: Option<String>,
    /// As of when the features were computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_time: Option<String>,
    /// Customer, card, terminal…
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<String>,
}
