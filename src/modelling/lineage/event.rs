//! Defines OpenLineage's `RunEvent`, version 2-0-2, as Rust types.

use super::facets::{
    ContentFacet, DataQualityAssertions, DatasetType, ErrorMessage, Facet, InputStatistics, JobName, JobType, OurRun,
    OutputStatistics, Parent, ProcessingEngine, Schema, Version,
};
use super::naming::DatasetName;
use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

pub(super) const SCHEMA_URL: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// A run's state in OpenLineage's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "UPPERCASE")]
#[strum(serialize_all = "UPPERCASE")]
pub enum RunState {
    /// A worker claimed the run for the first time.
    Start,
    /// A run that has started took another step, or another attempt began.
    Running,
    /// The gate gave its verdict, PASS or FAIL.
    Complete,
    /// The run failed before its verdict.
    Fail,
    /// Somebody cancelled the run.
    Abort,
}

impl RunState {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Returns true if this state ends a run, so that no further event may follow.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Complete | Self::Fail | Self::Abort)
    }
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunEvent {
    pub(super) event_time: DateTime<Utc>,
    pub(super) event_type: RunState,
    pub(super) run: EventRun,
    pub(super) job: EventJob,
    pub(super) inputs: Vec<InputDataset>,
    pub(super) outputs: Vec<OutputDataset>,
    pub(super) producer: &'static str,
    #[serde(rename = "schemaURL")]
    pub(super) schema_url: &'static str,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventRun {
    pub(super) run_id: Uuid,
    pub(super) facets: RunFacets,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RunFacets {
    pub(super) parent: Facet<Parent>,
    #[serde(rename = "processing_engine")]
    pub(super) processing_engine: Facet<ProcessingEngine>,
    #[serde(rename = "modelFactory_run")]
    pub(super) ours: Facet<OurRun>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<Facet<ErrorMessage>>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct EventJob {
    #[serde(flatten)]
    pub(super) name: JobName,
    pub(super) facets: JobFacets,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobFacets {
    pub(super) job_type: Facet<JobType>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputDataset {
    #[serde(flatten)]
    pub(super) name: DatasetName,
    pub(super) facets: DatasetFacets,
    pub(super) input_facets: InputFacets,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputDataset {
    #[serde(flatten)]
    pub(super) name: DatasetName,
    pub(super) facets: DatasetFacets,
    pub(super) output_facets: OutputFacets,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DatasetFacets {
    pub(super) version: Facet<Version>,
    pub(super) dataset_type: Facet<DatasetType>,
    #[serde(rename = "modelFactory_content")]
    pub(super) content: Facet<ContentFacet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<Facet<Schema>>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InputFacets {
    pub(super) input_statistics: Facet<InputStatistics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data_quality_assertions: Option<Facet<DataQualityAssertions>>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputFacets {
    pub(super) output_statistics: Facet<OutputStatistics>,
}
