//! Facets: the official ones with the version of their schema, and two of our own.
#![expect(clippy::struct_field_names, reason = "facets have the fields of their schemas")]

use crate::domain::contract::{EvidenceRef, PinnedManifest};
use crate::domain::identity::{Digest, RunId, RunKey};
use crate::domain::run::State;
use crate::modelling::FileColumn;
use serde::Serialize;

/// Who tells: this release of Model Factory.
pub const PRODUCER: &str = concat!("https://modelfactory.dev/model-factory/", env!("CARGO_PKG_VERSION"));

/// A kind of facet, by the schema that it is written to.
pub trait Body {
    /// Where its schema is.
    const SCHEMA_URL: &'static str;
}

/// A facet as it is written: the body with its schema and who says so.
#[derive(Debug, Clone, Serialize)]
pub struct Facet<B> {
    #[serde(rename = "_producer")]
    producer: &'static str,
    #[serde(rename = "_schemaURL")]
    schema_url: &'static str,
    /// What it says.
    #[serde(flatten)]
    pub body: B,
}

impl<B: Body> From<B> for Facet<B> {
    fn from(body: B) -> Self {
        Self { producer: PRODUCER, schema_url: B::SCHEMA_URL, body }
    }
}

macro_rules! facets {
    ($($name:ident => $version:literal $file:literal, $meaning:literal {
        $($(#[$option:meta])* $field:ident: $type:ty),* $(,)?
    })+) => {
        $(
            #[doc = $meaning]
            #[derive(Debug, Clone, PartialEq, Serialize)]
            #[serde(rename_all = "camelCase")]
            pub struct $name { $($(#[$option])* pub $field: $type),* }

            impl Body for $name {
                const SCHEMA_URL: &'static str = concat!(
                    "https://openlineage.io/spec/facets/", $version, "/", $file, ".json#/$defs/", $file
                );
            }
        )+
    };
}

facets! {
    ProcessingEngine => "1-1-1" "ProcessingEngineRunFacet", "What carried the run." {
        version: &'static str,
        name: &'static str,
        openlineage_adapter_version: &'static str,
    }
    Parent => "1-2-0" "ParentRunFacet", "The platform run that this run belongs to." {
        run: ParentRun,
        job: JobName,
    }
    ErrorMessage => "1-0-1" "ErrorMessageRunFacet", "Why the run failed." {
        message: String,
        programming_language: &'static str,
    }
    JobType => "2-0-4" "JobTypeJobFacet", "What kind of job." {
        processing_type: &'static str,
        integration: &'static str,
        job_type: &'static str,
        emission_pattern: EmissionPattern,
    }
    Schema => "1-2-0" "SchemaDatasetFacet", "The columns of a file, used or not." {
        fields: Vec<Column>,
    }
    Version => "1-0-1" "DatasetVersionDatasetFacet", "Which content is meant." {
        dataset_version: String,
    }
    DatasetType => "1-0-1" "DatasetTypeDatasetFacet", "What kind of dataset." {
        dataset_type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        sub_type: Option<&'static str>,
    }
    InputStatistics => "1-0-0" "InputStatisticsInputDatasetFacet", "How much was read." {
        #[serde(skip_serializing_if = "Option::is_none")]
        row_count: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        file_count: u64,
    }
    OutputStatistics => "1-0-2" "OutputStatisticsOutputDatasetFacet", "How much was written." {
        #[serde(skip_serializing_if = "Option::is_none")]
        row_count: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        file_count: u64,
    }
    DataQualityAssertions => "1-1-0" "DataQualityAssertionsDatasetFacet", "What the gate found." {
        assertions: Vec<Assertion>,
    }
}

/// A column of a dataset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds; left out where that is not known.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl From<&FileColumn> for Column {
    fn from(column: &FileColumn) -> Self {
        Self { name: column.name.clone(), kind: Some(column.kind.clone()) }
    }
}

impl Schema {
    /// The columns that a file declares.
    pub fn of(columns: &[FileColumn]) -> Self {
        Self { fields: columns.iter().map(Column::from).collect() }
    }

    /// The columns of scores. Ids are numbers or text, as they are in the data.
    pub fn of_scores() -> Self {
        let columns = [("row_id", None), ("label", Some("boolean")), ("score", Some("float"))];
        let column =
            |(name, kind): (&str, Option<&str>)| Column { name: name.to_owned(), kind: kind.map(str::to_owned) };
        Self { fields: columns.into_iter().map(column).collect() }
    }
}

/// The platform run's id.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRun {
    /// A UUID.
    pub run_id: uuid::Uuid,
}

/// A job of a namespace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobName {
    /// The namespace.
    pub namespace: String,
    /// Unique in it.
    pub name: String,
}

/// When and how a job is told of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EmissionPattern {
    /// At its steps.
    pub event_trigger: &'static str,
    /// Its events add up.
    pub event_content_mode: &'static str,
}

/// One condition of the gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Assertion {
    /// What kind of condition.
    pub assertion: String,
    /// Whether it holds.
    pub success: bool,
    /// The column that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<&'static str>,
    /// A condition that does not hold stops the bundle.
    pub severity: &'static str,
    /// Its name, as in the gate's receipt.
    pub name: String,
    /// What was found, for people.
    pub description: String,
    /// The bound.
    pub expected: String,
    /// What was compared with it; left out where there is no number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
}

/// `modelFactory_run`: the run in our own terms.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OurRun {
    /// Our name for the run.
    pub run_id: RunId,
    /// Its identity.
    pub run_key: RunKey,
    /// The platform run.
    pub platform_run_id: String,
    /// Where it stands in the ledger.
    pub state: State,
    /// Attempts begun so far.
    pub attempt: u32,
    /// Its first request.
    pub request_id: String,
    /// Pinned policy.
    pub policy_revision: String,
    /// Pinned configuration.
    pub config_revision: String,
    /// Pinned code.
    pub code_release_id: String,
    /// Why it stands there, where there is a why: a failure code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// The same for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The manifests that the inputs come from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<PinnedManifest>,
    /// What did not fit into the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omitted: Option<Omitted>,
}

impl Body for OurRun {
    const SCHEMA_URL: &'static str = "https://modelfactory.dev/schemas/lineage/lineage_run_facet.v0.json";
}

/// How much did not fit into an event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Omitted {
    /// Inputs without their columns.
    pub schemas: u64,
    /// Inputs.
    pub inputs: u64,
    /// Manifests.
    pub manifests: u64,
}

/// `modelFactory_content`: the bytes that a dataset stands for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Content {
    /// Of a file its digest, of a bundle its id.
    pub sha256: Digest,
    /// What it is for the run: `data`, `baseline`, `champion`, `model`, `scores`, `eval_report`, `bundle`.
    pub role: &'static str,
}

impl Body for Content {
    const SCHEMA_URL: &'static str = "https://modelfactory.dev/schemas/lineage/lineage_content_facet.v0.json";
}

impl Content {
    /// Of a document or artifact of the run.
    pub fn of(at: &EvidenceRef, role: &'static str) -> Self {
        Self { sha256: at.sha256, role }
    }
}
