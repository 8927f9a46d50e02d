//! `DatasetManifest`: the immutable description of a data set. The Offline Feature Plane writes the manifest. Model
//! Factory reads it.

use crate::domain::identity::Digest;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetManifest {
    pub schema_version: String,
    /// Id of the manifest. Its writer must give manifests with different fingerprints different ids. A run refuses
    /// manifests that do not.
    pub dataset_manifest_id: String,
    /// Fingerprint of the data, computed by the manifest's writer. At least 8 characters.
    pub dataset_fingerprint: String,
    pub platform_run_id: String,
    /// Ranges of the streams from which the data was replayed.
    pub replay_basis: Vec<ReplayBasis>,
    pub label_basis: LabelBasis,
    pub feature_definition_set: FeatureSet,
    pub provenance: ManifestProvenance,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scenario_run_ids: Vec<String>,
    /// The data files. A manifest without files cannot be used for training.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub materializations: Vec<Materialization>,
}

impl DatasetManifest {
    pub const SCHEMA_VERSION: &'static str = "learning.dataset_manifest.v0";
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayBasis {
    pub topic: String,
    pub partition: u32,
    /// What the offsets are, for example `kafka_offset`.
    pub offset_kind: String,
    pub start_offset: String,
    pub end_offset: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelBasis {
    /// Time up to which fraud reports are counted. Later reports are not in the labels.
    pub label_asof_utc: DateTime<Utc>,
    /// Name of the rule that turns fraud reports into labels.
    pub resolution_rule: String,
    /// Days after a payment until its label is taken as final. `None` counts as 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maturity_days: Option<u32>,
}

/// What a training profile requires of the labels. A field that is `None` accepts any value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedLabels {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_asof_utc: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution_rule: Option<String>,
    /// Days after a payment until its label is taken as final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maturity_days: Option<u32>,
}

impl ExpectedLabels {
    /// Returns the first field that differs from the profile: its name, the found value, the expected value. `None` if
    /// all agree.
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

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureSet {
    pub feature_set_id: String,
    pub feature_set_version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestProvenance {
    pub ofs_code_release_id: String,
    pub config_revision: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_config_digest: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Materialization {
    #[serde(rename = "ref")]
    pub reference: String,
    /// Always `parquet`.
    pub format: String,
    pub sha256: Digest,
    pub bytes: u64,
    pub rows: u64,
    pub columns: ColumnRoles,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRoles {
    /// Column with the time of the payment. `None` allows only a random split.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time: Option<String>,
    pub label: String,
    pub row_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_observed_time: Option<String>,
    /// Column with the time as of which the features were computed. `None` if the data has no such column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature_time: Option<String>,
    /// Column with the number of payments that a row stands for, such as 10 for a good payment of which a tenth was kept.
    /// `None` if each row is one payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Columns that identify a customer, card, terminal…
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<String>,
    /// Column with the amount of the payment. `None` leaves out all metrics of money.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<AmountColumn>,
}

/// The column of amounts. Each row has a number from 0 up. The column may be a feature, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmountColumn {
    pub column: String,
    /// Unit of the amounts as text for people, such as `EUR`.
    pub unit: String,
}
