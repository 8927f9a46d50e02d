//! `TrainBuildRequest`: asks to build a bundle.

use crate::domain::contract::Reference;
use crate::domain::identity::{Digest, RunKey, RunMeaning, payload_digest};
use crate::domain::named::named;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use strum::{IntoStaticStr, VariantArray};

/// What kind of build a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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

named!(IntentKind, "{:?} is not an intent kind");

impl IntentKind {
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

/// Made by [`crate::domain::contract::parse()`]: trimmed, checked, typed. Serialises to the normalised message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainBuildRequest {
    /// Always [`Self::SCHEMA_VERSION`].
    pub schema_version: String,
    /// Chosen by the requester; the same id with other content is a conflict.
    pub request_id: String,
    pub intent_kind: IntentKind,
    /// The scope that every manifest must belong to.
    pub platform_run_id: String,
    /// As sent, at least one. Order and repetition carry no meaning.
    pub dataset_manifest_refs: Vec<Reference>,
    pub training_config_ref: Reference,
    pub governance_profile_ref: Reference,
    /// As the message claims; a signature may prove it.
    pub requester_principal: String,
    /// Where the bundle is meant to be used.
    pub target_scope: TargetScope,
    pub policy_revision: String,
    pub config_revision: String,
    pub mf_code_release_id: String,
    /// Whether a passing bundle may be announced.
    #[serde(default)]
    pub publish_allowed: bool,
}

impl TrainBuildRequest {
    /// The only version that this release reads.
    pub const SCHEMA_VERSION: &'static str = "learning.mf_train_build_request.v0";

    /// JSON pointers to the fields that make two requests the same run.
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

    /// JSON pointers to the fields in which two normalised requests differ.
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

    /// The part that the run key is computed from.
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

    /// Every reference in it, with its JSON pointer.
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

    /// Covers everything but `request_id`: tells a redelivery from a conflict.
    pub fn payload_digest(&self) -> Digest {
        let mut value = self.normalised();
        value.as_object_mut().expect("a request is an object").remove("request_id");
        payload_digest(&value)
    }
}
