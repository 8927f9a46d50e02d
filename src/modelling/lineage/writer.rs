//! Writes a step of a run as an OpenLineage event.

use super::dataset_io::DatasetIo;
use super::event::{EventJob, EventRun, JobFacets, RunEvent, RunFacets, RunState, SCHEMA_URL};
use super::facets::{
    EmissionPattern, ErrorMessage, JobName, JobType, OurRun, PRODUCER, Parent, ParentRun, ProcessingEngine,
};
use super::fit::fit;
use super::settings::LineageSettings;
use crate::domain::contract::{EventReason, TrainBuildRequest};
use crate::domain::identity::{RunId, RunKey, lineage_platform_run_id, lineage_run_id};
use crate::domain::run::State;
use chrono::{DateTime, Utc};
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct EventWriter {
    namespace: String,
    max_bytes: usize,
}

/// A run at the step that an event describes.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    pub run_id: &'a RunId,
    pub run_key: RunKey,
    /// The request that created the run.
    pub request: &'a TrainBuildRequest,
    /// The ledger's state when the event is written.
    pub state: State,
    /// Attempts begun so far, this one included.
    pub attempt: u32,
    /// The failure or cause, where the step has one.
    pub reason: Option<&'a EventReason>,
    pub at: DateTime<Utc>,
}

impl Moment<'_> {
    /// The run's UUID and the key of its events; derived from the run key.
    pub fn run_uuid(&self) -> Uuid {
        lineage_run_id(&self.run_key)
    }
}

impl EventWriter {
    /// `max_bytes` bounds every event.
    pub fn new(settings: &LineageSettings, max_bytes: u32) -> Self {
        Self { namespace: settings.namespace.clone(), max_bytes: max_bytes as usize }
    }

    /// The event as JSON.
    pub fn event(&self, state: RunState, moment: &Moment<'_>, io: DatasetIo) -> Vec<u8> {
        let DatasetIo { inputs, outputs, manifests, omitted } = io;
        let mut ours = moment.ours();
        (ours.manifests, ours.omitted) = (manifests, omitted);
        let facets = RunFacets {
            parent: self.parent(&moment.request.platform_run_id).into(),
            processing_engine: ProcessingEngine {
                version: env!("CARGO_PKG_VERSION"),
                name: "Model Factory",
                openlineage_adapter_version: env!("CARGO_PKG_VERSION"),
            }
            .into(),
            ours: ours.into(),
            error_message: moment.reason.filter(|_| state == RunState::Fail).map(|reason| {
                let message = format!("{}: {}", reason.code, reason.message);
                ErrorMessage { message, programming_language: "RUST" }.into()
            }),
        };
        let event = RunEvent {
            event_time: moment.at,
            event_type: state,
            run: EventRun { run_id: moment.run_uuid(), facets },
            job: self.job(moment.request),
            inputs,
            outputs,
            producer: PRODUCER,
            schema_url: SCHEMA_URL,
        };
        fit(event, self.max_bytes)
    }

    /// OpenLineage's job is what repeats: here a kind of build for a scope.
    fn job(&self, request: &TrainBuildRequest) -> EventJob {
        let name = format!("{}.{}", request.target_scope.scope_key(), request.intent_kind.as_str());
        let job_type = JobType {
            processing_type: "BATCH",
            integration: "MODEL_FACTORY",
            job_type: if request.intent_kind.trains() { "TRAINING" } else { "EVALUATION" },
            emission_pattern: EmissionPattern { event_trigger: "EVENT_BASED", event_content_mode: "ACCUMULATIVE" },
        };
        EventJob {
            name: JobName { namespace: self.namespace.clone(), name },
            facets: JobFacets { job_type: job_type.into() },
        }
    }

    fn parent(&self, platform_run_id: &str) -> Parent {
        Parent {
            run: ParentRun { run_id: lineage_platform_run_id(platform_run_id) },
            job: JobName { namespace: self.namespace.clone(), name: "platform_run".to_owned() },
        }
    }
}

impl Moment<'_> {
    fn ours(&self) -> OurRun {
        let request = self.request;
        OurRun {
            run_id: self.run_id.clone(),
            run_key: self.run_key,
            platform_run_id: request.platform_run_id.clone(),
            state: self.state,
            attempt: self.attempt,
            request_id: request.request_id.clone(),
            policy_revision: request.policy_revision.clone(),
            config_revision: request.config_revision.clone(),
            code_release_id: request.mf_code_release_id.clone(),
            code: self.reason.map(|reason| reason.code.as_str()),
            message: self.reason.map(|reason| reason.message.clone()),
            manifests: Vec::new(),
            omitted: None,
        }
    }
}
