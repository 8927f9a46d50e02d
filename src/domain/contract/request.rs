//! `TrainBuildRequest` and the two commands, as they are after parsing: trimmed, checked, typed.

use super::Reference;
use crate::domain::identity::{Digest, RunId, RunKey, RunMeaning, payload_digest};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What kind of build is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// Train, evaluate, gate; publish if allowed.
    BaselineTrain,
    /// The same over data of the past.
    BackfillRetrain,
    /// Train, evaluate and gate, never publish.
    CandidateEval,
    /// Evaluate an earlier bundle on these manifests; no training, never publish.
    RegressionCheck,
}

impl IntentKind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BaselineTrain => "baseline_train",
            Self::BackfillRetrain => "backfill_retrain",
            Self::CandidateEval => "candidate_eval",
            Self::RegressionCheck => "regression_check",
        }
    }

    /// Whether a model is fitted, and packed where the gate lets it through.
    pub fn trains(self) -> bool {
        match self {
            Self::BaselineTrain | Self::BackfillRetrain | Self::CandidateEval => true,
            Self::RegressionCheck => false,
        }
    }

    /// Whether a bundle of this kind of run may ever be published.
    pub fn is_publishable(self) -> bool {
        match self {
            Self::BaselineTrain | Self::BackfillRetrain => true,
            Self::CandidateEval | Self::RegressionCheck => false,
        }
    }
}

/// Where a bundle is meant to be used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetScope {
    /// For example `production`.
    pub environment: String,
    /// For example `fraud`.
    pub mode: String,
    /// For example `primary`.
    pub bundle_slot: String,
    /// Only where tenants have their own bundles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

impl TargetScope {
    /// `environment/mode/bundle_slot[/tenant_id]`: the key of publications.
    pub fn scope_key(&self) -> String {
        let mut key = format!("{}/{}/{}", self.environment, self.mode, self.bundle_slot);
        if let Some(tenant) = &self.tenant_id {
            key.push('/');
            key.push_str(tenant);
        }
        key
    }

    /// The keys that are present, as the run key takes them.
    pub fn parts(&self) -> BTreeMap<String, String> {
        let mut parts = BTreeMap::from([
            ("environment".to_owned(), self.environment.clone()),
            ("mode".to_owned(), self.mode.clone()),
            ("bundle_slot".to_owned(), self.bundle_slot.clone()),
        ]);
        if let Some(tenant) = &self.tenant_id {
            parts.insert("tenant_id".to_owned(), tenant.clone());
        }
        parts
    }
}

/// A request to build a bundle. Made by [`super::parse()`]; serialises to the normalised message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainBuildRequest {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// Chosen by the requester; the same id with other content is a conflict.
    pub request_id: String,
    /// What kind of build.
    pub intent_kind: IntentKind,
    /// The scope that every manifest must belong to.
    pub platform_run_id: String,
    /// As sent, at least one; order and repetition carry no meaning.
    pub dataset_manifest_refs: Vec<Reference>,
    /// The training profile.
    pub training_config_ref: Reference,
    /// The governance profile.
    pub governance_profile_ref: Reference,
    /// Who asks.
    pub requester_principal: String,
    /// Where the bundle is meant to be used.
    pub target_scope: TargetScope,
    /// Pinned policy.
    pub policy_revision: String,
    /// Pinned configuration.
    pub config_revision: String,
    /// Pinned code.
    pub mf_code_release_id: String,
    /// Whether a passing bundle may be announced.
    #[serde(default)]
    pub publish_allowed: bool,
}

impl TrainBuildRequest {
    /// The only version this release reads.
    pub const SCHEMA_VERSION: &'static str = "learning.mf_train_build_request.v0";

    /// Fields that make two requests the same run, as JSON pointers.
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

    /// Fields in which two normalised requests differ, as JSON pointers.
    pub fn differences(first: &Value, second: &Value) -> Vec<String> {
        let names = |value: &Value| -> BTreeSet<String> {
            value.as_object().map(|members| members.keys().cloned().collect()).unwrap_or_default()
        };
        names(first)
            .union(&names(second))
            .filter(|name| first.get(name.as_str()) != second.get(name.as_str()))
            .map(|name| format!("/{name}"))
            .collect()
    }

    /// The part that makes two requests the same run.
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

    /// Everything that it points at, with the JSON pointer to it.
    pub fn references(&self) -> impl Iterator<Item = (String, &Reference)> {
        let manifests = self.dataset_manifest_refs.iter().enumerate();
        let profiles = [
            ("/training_config_ref".to_owned(), &self.training_config_ref),
            ("/governance_profile_ref".to_owned(), &self.governance_profile_ref),
        ];
        manifests.map(|(index, manifest)| (format!("/dataset_manifest_refs/{index}"), manifest)).chain(profiles)
    }

    /// The key of the run that this request asks for.
    pub fn run_key(&self) -> RunKey {
        RunKey::of(&self.meaning())
    }

    /// The normalised message.
    pub fn normalised(&self) -> Value {
        serde_json::to_value(self).expect("a request serialises")
    }

    /// Digest over everything but `request_id`.
    pub fn payload_digest(&self) -> Digest {
        let mut value = self.normalised();
        value.as_object_mut().expect("a request is an object").remove("request_id");
        payload_digest(&value)
    }
}

/// Asks to announce the bundle of a run again; never trains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishRetryRequest {
    /// Always `learning.mf_publish_retry.v0`.
    pub schema_version: String,
    /// Chosen by the requester.
    pub request_id: String,
    /// The run.
    pub run_id: RunId,
    /// Who asks.
    pub requester_principal: String,
    /// Why.
    pub reason: String,
}

/// Asks to stop a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Always `learning.mf_cancel.v0`.
    pub schema_version: String,
    /// Chosen by the requester.
    pub request_id: String,
    /// The run.
    pub run_id: RunId,
    /// Who asks.
    pub requester_principal: String,
    /// Why.
    pub reason: String,
}
