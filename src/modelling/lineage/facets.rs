//! Defines the facets of OpenLineage events: OpenLineage's own, each with the version of its schema, and two of Model
//! Factory.
#![expect(clippy::struct_field_names, reason = "facets have the fields of their schemas")]

use crate::domain::contract::PinnedManifest;
use crate::domain::identity::{Digest, RunId, RunKey};
use crate::domain::run::State;
use crate::modelling::data::FileColumn;
use serde::Serialize;

/// The URL that names this release of Model Factory as the producer of the events.
pub const PRODUCER: &str = concat!("https://modelfactory.dev/model-factory/", env!("CARGO_PKG_VERSION"));

/// The content of a facet, with the URL of the schema that the content follows.
pub trait FacetBody {
    const SCHEMA_URL: &'static str;
}

/// A facet as it is serialized: the fields of `body`, with `_producer` and `_schemaURL` beside them.
#[derive(Debug, Clone, Serialize)]
pub struct Facet<B> {
    #[serde(rename = "_producer")]
    producer: &'static str,
    #[serde(rename = "_schemaURL")]
    schema_url: &'static str,
    #[serde(flatten)]
    pub body: B,
}

impl<B: FacetBody> From<B> for Facet<B> {
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

            impl FacetBody for $name {
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

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Column {
    pub name: String,
    /// The column's type in Parquet's words. `None` if the type is not known. The JSON then has no such field.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl Schema {
    pub fn of(columns: &[FileColumn]) -> Self {
        let column = |of: &FileColumn| Column { name: of.name.clone(), kind: Some(of.kind.clone()) };
        Self { fields: columns.iter().map(column).collect() }
    }

    /// Returns the columns of `scores.parquet`. The type of `row_id` is left out, since ids are numbers or text, as in
    /// the data.
    pub fn of_scores() -> Self {
        let columns = [("row_id", None), ("label", Some("boolean")), ("score", Some("float"))];
        let column =
            |(name, kind): (&str, Option<&str>)| Column { name: name.to_owned(), kind: kind.map(str::to_owned) };
        Self { fields: columns.into_iter().map(column).collect() }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentRun {
    pub run_id: uuid::Uuid,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobName {
    pub namespace: String,
    /// The job's name, unique within the namespace.
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EmissionPattern {
    /// Always `EVENT_BASED`: every step of a run emits an event.
    pub event_trigger: &'static str,
    /// Always `ACCUMULATIVE`: a reader must merge the events of a run to see the whole run.
    pub event_content_mode: &'static str,
}

/// One condition of the gate, and whether it holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Assertion {
    /// The kind of condition, for example `<metric>_min`.
    pub assertion: String,
    pub success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<&'static str>,
    pub severity: &'static str,
    /// The condition's name in the gate's receipt.
    pub name: String,
    pub description: String,
    pub expected: String,
    /// The value that was compared with the bound. `None` if there is no such value. The JSON then has no such field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actual: Option<String>,
}

/// The facet `modelFactory_run`, which describes the run in Model Factory's own words.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OurRun {
    pub run_id: RunId,
    pub run_key: RunKey,
    pub platform_run_id: String,
    pub state: State,
    pub attempt: u32,
    pub request_id: String,
    pub policy_revision: String,
    pub config_revision: String,
    pub code_release_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<PinnedManifest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub omitted: Option<Omitted>,
}

impl FacetBody for OurRun {
    const SCHEMA_URL: &'static str = "https://modelfactory.dev/schemas/lineage/lineage_run_facet.v0.json";
}

/// Counts what was left out of an event because the event would have been too large.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Omitted {
    /// The number of inputs whose columns were left out.
    pub schemas: u64,
    pub inputs: u64,
    pub manifests: u64,
}

/// The facet `modelFactory_content`: the digest of a dataset's bytes, and the dataset's role in the run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ContentFacet {
    /// SHA-256 of the file. For a bundle, this is the bundle's id.
    pub sha256: Digest,
    /// The dataset's role: `data`, `baseline`, `champion`, `model`, `scores`, `eval_report` or `bundle`.
    pub role: &'static str,
}

impl FacetBody for ContentFacet {
    const SCHEMA_URL: &'static str = "https://modelfactory.dev/schemas/lineage/lineage_content_facet.v0.json";
}
