//! Writes a step of a run as an OpenLineage event. Shortens an event that is too large, and counts what is left out.

use super::dataset_io::DatasetIo;
use super::event::{EventJob, EventRun, JobFacets, RunEvent, RunFacets, RunState, SCHEMA_URL};
use super::facets::{
    EmissionPattern, ErrorMessage, JobName, JobType, Omitted, OurRun, PRODUCER, Parent, ParentRun, ProcessingEngine,
};
use crate::domain::contract::{EventReason, TrainBuildRequest};
use crate::domain::identity::{RunId, RunKey, lineage_platform_run_id, lineage_run_id};
use crate::domain::run::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Says whether runs emit OpenLineage events, and gives the namespace of their jobs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LineageSettings {
    /// If true, runs emit events, and the lineage topic must exist. Must be the same for all workers of a ledger.
    pub enabled: bool,
    /// The OpenLineage namespace of all jobs. It names the system that schedules them.
    pub namespace: String,
}

impl Default for LineageSettings {
    fn default() -> Self {
        Self { enabled: false, namespace: "model-factory".to_owned() }
    }
}

#[derive(Debug, Clone)]
pub struct EventWriter {
    namespace: String,
    max_bytes: usize,
}

/// The state of a run at the step that an event describes.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    pub run_id: &'a RunId,
    pub run_key: RunKey,
    pub request: &'a TrainBuildRequest,
    /// The run's state in the ledger when the event is written.
    pub state: State,
    /// The number of attempts that have begun, including this one.
    pub attempt: u32,
    /// Why the step was taken: a failure code or another reason. `None` if the step needs no reason.
    pub reason: Option<&'a EventReason>,
    pub at: DateTime<Utc>,
}

impl Moment<'_> {
    /// Returns the run's UUID in OpenLineage, derived from the run key. It is also the Kafka key of the run's
    /// OpenLineage events.
    pub fn run_uuid(&self) -> Uuid {
        lineage_run_id(&self.run_key)
    }

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

impl EventWriter {
    /// Builds a writer that shortens events whose JSON is larger than `max_bytes`.
    pub fn new(settings: &LineageSettings, max_bytes: u32) -> Self {
        Self { namespace: settings.namespace.clone(), max_bytes: max_bytes as usize }
    }

    pub fn event(&self, state: RunState, moment: &Moment<'_>, io: DatasetIo) -> Vec<u8> {
        let DatasetIo { inputs, outputs, manifests, omitted } = io;
        let facets = RunFacets {
            parent: self.parent(&moment.request.platform_run_id).into(),
            processing_engine: ProcessingEngine {
                version: env!("CARGO_PKG_VERSION"),
                name: "Model Factory",
                openlineage_adapter_version: env!("CARGO_PKG_VERSION"),
            }
            .into(),
            ours: OurRun { manifests, omitted, ..moment.ours() }.into(),
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

    /// Builds the job. In OpenLineage a job is what repeats. Model Factory's jobs are all runs of one intent for one
    /// scope.
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

/// Writes the event as JSON of at most `max_bytes`. If the event is larger, first drops the columns of all inputs. Then
/// drops half of the inputs and manifests at a time. The last input, which holds the gate's verdicts, always stays. If
/// nothing is left to drop, the JSON stays larger than `max_bytes`.
pub(super) fn fit(mut event: RunEvent, max_bytes: usize) -> Vec<u8> {
    loop {
        let bytes = serde_json::to_vec(&event).expect("events have string keys and finite numbers");
        if bytes.len() <= max_bytes || !shorten(&mut event) {
            return bytes;
        }
    }
}

/// Drops a part of the event. Returns false if nothing is left to drop.
fn shorten(event: &mut RunEvent) -> bool {
    let ours = &mut event.run.facets.ours.body;
    let omitted = ours.omitted.get_or_insert_with(Omitted::default);
    let schemas = event.inputs.iter_mut().filter_map(|input| input.facets.schema.take()).count();
    if schemas > 0 {
        omitted.schemas += schemas as u64;
        return true;
    }
    let manifests = ours.manifests.len().div_ceil(2);
    let inputs = event.inputs.len() / 2;
    ours.manifests.truncate(ours.manifests.len() - manifests);
    event.inputs.drain(..inputs);
    omitted.manifests += manifests as u64;
    omitted.inputs += inputs as u64;
    manifests + inputs > 0
}
