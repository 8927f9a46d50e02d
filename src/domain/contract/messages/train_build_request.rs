//! `TrainBuildRequest`, which asks to build a bundle. Also explains why two requests share a run, or why two that look
//! alike do not. `runs explain` and the console show the explanation.

use crate::domain::contract::Reference;
use crate::domain::identity::{Digest, Likeness, RunKey, RunMeaning, likeness, payload_digest};
use crate::domain::named::named;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use strum::{IntoStaticStr, VariantArray};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum IntentKind {
    /// Trains, evaluates and runs the gate. Publishes if the gate passes and publication is allowed.
    BaselineTrain,
    /// Works like `BaselineTrain`. The name says that the data is of the past.
    BackfillRetrain,
    /// Trains, evaluates and runs the gate. Never publishes.
    CandidateEval,
    /// Evaluates an earlier bundle on the request's data sets. Never trains or publishes.
    RegressionCheck,
}

named!(IntentKind, "{:?} is not an intent kind");

impl IntentKind {
    /// Returns whether a run fits a model and, if the gate passes, builds a bundle of the model.
    pub fn trains(self) -> bool {
        match self {
            Self::BaselineTrain | Self::BackfillRetrain | Self::CandidateEval => true,
            Self::RegressionCheck => false,
        }
    }

    /// Returns whether a bundle of such a run may ever be published.
    pub fn is_publishable(self) -> bool {
        match self {
            Self::BaselineTrain | Self::BackfillRetrain => true,
            Self::CandidateEval | Self::RegressionCheck => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetScope {
    /// For example `production`.
    pub environment: String,
    /// For example `fraud`.
    pub mode: String,
    /// For example `primary`.
    pub bundle_slot: String,
    /// Set only if each tenant has its own bundles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

impl TargetScope {
    /// Returns `environment/mode/bundle_slot[/tenant_id]`, the Kafka key of publications.
    pub fn scope_key(&self) -> String {
        let parts = [&self.environment, &self.mode, &self.bundle_slot].into_iter().chain(&self.tenant_id);
        parts.map(String::as_str).collect::<Vec<_>>().join("/")
    }

    /// Returns the parts that are set, in the form that the run key contains. Each part is listed under its field name, for
    /// example `environment`.
    pub fn parts(&self) -> BTreeMap<String, String> {
        let three = [("environment", &self.environment), ("mode", &self.mode), ("bundle_slot", &self.bundle_slot)];
        let tenant = self.tenant_id.as_ref().map(|tenant| ("tenant_id", tenant));
        three.into_iter().chain(tenant).map(|(key, part)| (key.to_owned(), part.clone())).collect()
    }
}

/// Revisions that a request pins, besides its data sets and profiles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revisions {
    pub policy_revision: String,
    pub config_revision: String,
    pub mf_code_release_id: String,
}

/// Built by [`crate::domain::contract::parse()`], which trims and checks the fields. Serialises to the normalised
/// message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainBuildRequest {
    pub schema_version: String,
    /// Chosen by the requester. A second request with the same id and other content is a conflict.
    pub request_id: String,
    pub intent_kind: IntentKind,
    pub platform_run_id: String,
    /// At least one reference, as sent. Order and repetition make no difference to the run.
    pub dataset_manifest_refs: Vec<Reference>,
    pub training_config_ref: Reference,
    pub governance_profile_ref: Reference,
    /// The requester that the message names. Only a signature proves that the requester sent it.
    pub requester_principal: String,
    pub target_scope: TargetScope,
    pub policy_revision: String,
    pub config_revision: String,
    pub mf_code_release_id: String,
    #[serde(default)]
    pub publish_allowed: bool,
}

impl TrainBuildRequest {
    pub const SCHEMA_VERSION: &'static str = "learning.mf_train_build_request.v0";

    /// JSON pointers to the fields that identify a run. Requests with equal values in all of them share one run.
    pub const IDENTITY: [&'static str; 9] = [
        "/config_revision",
        "/dataset_manifest_refs",
        "/governance_profile_ref",
        "/intent_kind",
        "/mf_code_release_id",
        "/platform_run_id",
        "/policy_revision",
        "/target_scope",
        "/training_config_ref",
    ];

    /// Returns JSON pointers to the top-level fields in which two normalised requests differ.
    pub fn differences(first: &Value, second: &Value) -> Vec<String> {
        let names: BTreeSet<&String> =
            [first, second].into_iter().filter_map(Value::as_object).flat_map(Map::keys).collect();
        let differs = |name: &&String| first.get(name.as_str()) != second.get(name.as_str());
        names.into_iter().filter(differs).map(|name| format!("/{name}")).collect()
    }

    /// Returns the part of the request from which the run key is computed.
    pub fn meaning(&self) -> RunMeaning {
        RunMeaning {
            intent_kind: self.intent_kind.as_str().to_owned(),
            platform_run_id: self.platform_run_id.clone(),
            dataset_manifest_refs: self.dataset_manifest_refs.iter().map(|r| r.as_str().to_owned()).collect(),
            training_config_ref: self.training_config_ref.as_str().to_owned(),
            governance_profile_ref: self.governance_profile_ref.as_str().to_owned(),
            target_scope: self.target_scope.parts(),
            policy_revision: self.policy_revision.clone(),
            config_revision: self.config_revision.clone(),
            mf_code_release_id: self.mf_code_release_id.clone(),
        }
    }

    pub fn revisions(&self) -> Revisions {
        Revisions {
            policy_revision: self.policy_revision.clone(),
            config_revision: self.config_revision.clone(),
            mf_code_release_id: self.mf_code_release_id.clone(),
        }
    }

    /// Returns every reference in the request, with its JSON pointer.
    pub fn references(&self) -> impl Iterator<Item = (String, &Reference)> {
        let manifests = self.dataset_manifest_refs.iter().enumerate();
        let profiles = [
            ("/training_config_ref".to_owned(), &self.training_config_ref),
            ("/governance_profile_ref".to_owned(), &self.governance_profile_ref),
        ];
        manifests.map(|(index, manifest)| (format!("/dataset_manifest_refs/{index}"), manifest)).chain(profiles)
    }

    pub fn run_key(&self) -> RunKey {
        RunKey::of(&self.meaning())
    }

    pub fn normalised(&self) -> Value {
        serde_json::to_value(self).expect("a request serialises")
    }

    /// Returns the request without its id, with its manifests sorted and each named once. Two requests with the same id
    /// have the same content exactly if these values are equal.
    pub fn content(&self) -> Value {
        let mut value = self.normalised();
        let members = value.as_object_mut().expect("a request is an object");
        members.remove("request_id");
        members.insert("dataset_manifest_refs".to_owned(), json!(self.meaning().dataset_manifest_refs));
        value
    }

    /// Computes a digest over everything but `request_id`. An unchanged repetition has the same digest. If the digests
    /// differ, compare [`Self::content`]: only the order of manifests may differ. The digest cannot ignore that order,
    /// because the ledger holds digests of earlier releases.
    pub fn payload_digest(&self) -> Digest {
        let mut value = self.normalised();
        value.as_object_mut().expect("a request is an object").remove("request_id");
        payload_digest(&value)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Joined {
    pub request_id: String,
    pub because: &'static str,
    /// JSON pointers to fields in which this request differs from the run's first request, without effect on the run.
    pub ignored_differences: Vec<String>,
}

/// A field in which two requests differ that look alike. `here` is the value in the run that is explained. `there` is
/// the value in the other run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Apart {
    /// JSON pointer to the field.
    pub pointer: String,
    /// The only ways in which the two values differ (white space, case, Unicode form). `None` if they differ in other
    /// ways too.
    pub only_in: Option<Vec<Likeness>>,
    pub here: Value,
    pub there: Value,
}

impl Joined {
    /// Explains why `request` belongs to the run that was created for `first`.
    pub fn to(first: &TrainBuildRequest, request: &TrainBuildRequest) -> Self {
        let is_first = request.request_id == first.request_id;
        Self {
            request_id: request.request_id.clone(),
            because: if is_first { "the run was made for it" } else { "same meaning" },
            ignored_differences: TrainBuildRequest::differences(&json!(first), &json!(request)),
        }
    }
}

impl Apart {
    /// Returns every field of the run key's input in which two requests differ.
    pub fn between(here: &TrainBuildRequest, there: &TrainBuildRequest) -> Vec<Self> {
        let (here, there) = (json!(here.meaning()), json!(there.meaning()));
        let at = |value: &Value, pointer: &str| value.pointer(pointer).cloned().unwrap_or_default();
        TrainBuildRequest::differences(&here, &there)
            .into_iter()
            .map(|pointer| {
                let (here, there) = (at(&here, &pointer), at(&there, &pointer));
                Self { only_in: likeness(&here, &there), pointer, here, there }
            })
            .collect()
    }
}
