//! The closed list of what can go wrong with a request or a run.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::str::FromStr;

/// Which part of the work a code belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// The message itself.
    Request,
    /// Two messages contradict each other.
    Conflict,
    /// What the request refers to.
    Resolution,
    /// The rows.
    Data,
    /// The trainer and its worker.
    Execution,
    /// Documents of the run.
    Evidence,
    /// Write-once names.
    Immutability,
    /// The verdict.
    Gate,
    /// The announcement.
    Publish,
}

/// Whether the same work may succeed when it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request would fail again.
    Never,
    /// Worth a bounded number of automatic retries with backoff.
    Bounded,
}

macro_rules! failure_codes {
    ($($variant:ident => $name:literal, $category:ident, $retry:ident, $meaning:literal;)+) => {
        /// Why a request was refused or a run failed. The names are part of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum FailureCode {
            $(#[doc = $meaning] $variant,)+
        }

        impl FailureCode {
            /// Every code, by category.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }

            /// The part of the work that it belongs to.
            pub fn category(self) -> Category {
                match self {
                    $(Self::$variant => Category::$category),+
                }
            }

            /// Whether to try again.
            pub fn retry(self) -> Retry {
                match self {
                    $(Self::$variant => Retry::$retry),+
                }
            }

            /// What happened, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning),+
                }
            }
        }
    };
}

failure_codes! {
    SchemaInvalid => "SCHEMA_INVALID", Request, Never, "The message does not match its schema; pointer and rule say where.";
    RequestIdInvalid => "REQUEST_ID_INVALID", Request, Never, "`request_id` is missing or not 8 to 128 of the allowed characters.";
    IntentKindUnsupported => "INTENT_KIND_UNSUPPORTED", Request, Never, "`intent_kind` is not one that this release knows.";
    RunScopeInvalid => "RUN_SCOPE_INVALID", Request, Never, "`platform_run_id` is not a token, or a manifest belongs to another platform run.";
    ManifestRefMissing => "MANIFEST_REF_MISSING", Request, Never, "No dataset manifest is named.";
    TrainConfigMissing => "TRAIN_CONFIG_MISSING", Request, Never, "No training profile is named.";
    GovernanceProfileMissing => "GOVERNANCE_PROFILE_MISSING", Request, Never, "No governance profile is named.";
    RequesterMissing => "REQUESTER_MISSING", Request, Never, "Nobody is named as requester.";
    TargetScopeInvalid => "TARGET_SCOPE_INVALID", Request, Never, "The target scope misses a part, or a part is not a token.";
    PolicyRevisionMissing => "POLICY_REVISION_MISSING", Request, Never, "No policy revision is pinned.";
    ConfigRevisionMissing => "CONFIG_REVISION_MISSING", Request, Never, "No configuration revision is pinned.";
    CodeReleaseMissing => "CODE_RELEASE_MISSING", Request, Never, "No code release is pinned.";
    MessageEmpty => "MESSAGE_EMPTY", Request, Never, "The record has no value.";
    MessageTooLarge => "MESSAGE_TOO_LARGE", Request, Never, "The record is larger than 256 KiB.";
    MessageNotJson => "MESSAGE_NOT_JSON", Request, Never, "The value is not one JSON object in UTF-8 without repeated keys, within the depth limit.";
    SchemaVersionUnsupported => "SCHEMA_VERSION_UNSUPPORTED", Request, Never, "`schema_version` is missing or unknown to this release.";
    RefNotAllowed => "REF_NOT_ALLOWED", Request, Never, "A reference is outside the allow-list, or does not name one pinned object.";
    RequesterNotAllowed => "REQUESTER_NOT_ALLOWED", Request, Never, "The operator's policy does not let this requester ask for this.";
    SignatureInvalid => "SIGNATURE_INVALID", Request, Never, "The policy wants the request signed and it is not, or a signature on it does not hold.";
    QuotaExceeded => "QUOTA_EXCEEDED", Request, Never, "The requester has as many runs as the policy gives it for now; the request may be sent again later.";
    RunUnknown => "RUN_UNKNOWN", Request, Never, "A command names a run that the ledger does not hold.";
    OwnershipBoundaryViolation => "OWNERSHIP_BOUNDARY_VIOLATION", Request, Never, "The boundaries document does not give this output to Model Factory.";
    RequestIdPayloadMismatch => "REQUEST_ID_PAYLOAD_MISMATCH", Conflict, Never, "The same `request_id` came with other content; the first one stands.";
    CommandNotApplicable => "COMMAND_NOT_APPLICABLE", Conflict, Never, "The run stands where the command cannot be carried out any more, or not yet.";
    ManifestUnresolved => "MANIFEST_UNRESOLVED", Resolution, Bounded, "A manifest could not be read.";
    ManifestInvalid => "MANIFEST_INVALID", Resolution, Never, "A manifest does not match its schema, or contradicts another or the request.";
    MaterializationUnresolved => "MATERIALIZATION_UNRESOLVED", Resolution, Bounded, "A data file could not be read, or the manifest names none.";
    DigestMismatch => "DIGEST_MISMATCH", Resolution, Never, "Bytes differ from the digest or the size that pins them.";
    TrainingProfileUnresolved => "TRAINING_PROFILE_UNRESOLVED", Resolution, Bounded, "The training profile could not be read.";
    TrainingProfileInvalid => "TRAINING_PROFILE_INVALID", Resolution, Never, "The training profile does not match its schema or contradicts itself.";
    GovernanceProfileUnresolved => "GOVERNANCE_PROFILE_UNRESOLVED", Resolution, Bounded, "The governance profile could not be read.";
    GovernanceProfileInvalid => "GOVERNANCE_PROFILE_INVALID", Resolution, Never, "The governance profile does not match its schema.";
    FeatureSchemaIncompatible => "FEATURE_SCHEMA_INCOMPATIBLE", Resolution, Never, "Manifest and training profile disagree about feature set or schema version.";
    DatasetInvalid => "DATASET_INVALID", Data, Never, "A data file is not what the manifest describes: columns, types, values, number of rows or bounds.";
    LeakageGuardViolation => "LEAKAGE_GUARD_VIOLATION", Data, Never, "Rows know something that they could not have known; the leakage report names them.";
    LabelsInsufficient => "LABELS_INSUFFICIENT", Data, Never, "A window holds too few rows of one class to train or to measure.";
    TrainerFailed => "TRAINER_FAILED", Execution, Never, "The trainer ended with an error, or left no valid result.";
    TrainerTimeout => "TRAINER_TIMEOUT", Execution, Bounded, "The trainer ran into its time limit and was killed.";
    TrainerOutOfMemory => "TRAINER_OUT_OF_MEMORY", Execution, Bounded, "The trainer ran into its memory limit.";
    NondeterminismDetected => "NONDETERMINISM_DETECTED", Execution, Never, "An earlier attempt under the same plan left other bytes, and no training record that pins them.";
    Cancelled => "CANCELLED", Execution, Never, "A requester or operator cancelled the run.";
    AttemptsExhausted => "ATTEMPTS_EXHAUSTED", Execution, Never, "The bound on attempts is reached; the message names the last cause.";
    LeaseExpired => "LEASE_EXPIRED", Execution, Bounded, "The worker was lost; another one goes on.";
    EvidenceRefMissing => "EVIDENCE_REF_MISSING", Evidence, Never, "A document misses a reference that it must hold.";
    EvidenceUnresolved => "EVIDENCE_UNRESOLVED", Evidence, Bounded, "Evidence could not be read back.";
    EvalReportInvalid => "EVAL_REPORT_INVALID", Evidence, Never, "A stored evaluation report does not match its schema.";
    EvalReportMismatch => "EVAL_REPORT_MISMATCH", Evidence, Never, "The evaluation report belongs to other inputs.";
    GateDecisionMismatch => "GATE_DECISION_MISMATCH", Evidence, Never, "Receipt and evaluation report disagree.";
    ManifestImmutabilityViolation => "MANIFEST_IMMUTABILITY_VIOLATION", Immutability, Never, "A manifest or profile reads otherwise than an earlier attempt kept it.";
    ResolvedTrainPlanImmutabilityViolation => "RESOLVED_TRAIN_PLAN_IMMUTABILITY_VIOLATION", Immutability, Never, "The resolved train plan exists already with other bytes.";
    ExecutionRecordImmutabilityViolation => "EXECUTION_RECORD_IMMUTABILITY_VIOLATION", Immutability, Never, "The execution record exists already with other bytes.";
    TrainArtifactImmutabilityViolation => "TRAIN_ARTIFACT_IMMUTABILITY_VIOLATION", Immutability, Never, "The training record, or an artifact that it pins, is not what was written.";
    EvalReportImmutabilityViolation => "EVAL_REPORT_IMMUTABILITY_VIOLATION", Immutability, Never, "The eval report exists already with other bytes.";
    EvidencePackImmutabilityViolation => "EVIDENCE_PACK_IMMUTABILITY_VIOLATION", Immutability, Never, "The evidence pack exists already with other bytes.";
    GateReceiptImmutabilityViolation => "GATE_RECEIPT_IMMUTABILITY_VIOLATION", Immutability, Never, "The gate receipt exists already with other bytes.";
    PublishEligibilityImmutabilityViolation => "PUBLISH_ELIGIBILITY_IMMUTABILITY_VIOLATION", Immutability, Never, "The publish eligibility exists already with other bytes.";
    BundlePackageImmutabilityViolation => "BUNDLE_PACKAGE_IMMUTABILITY_VIOLATION", Immutability, Never, "The bundle package exists already with other bytes.";
    PublishReceiptImmutabilityViolation => "PUBLISH_RECEIPT_IMMUTABILITY_VIOLATION", Immutability, Never, "Other bytes stand where the receipt of a publication belongs; the publication stands.";
    GateFail => "GATE_FAIL", Gate, Never, "At least one threshold of the governance profile does not hold.";
    PublishNotEligible => "PUBLISH_NOT_ELIGIBLE", Publish, Never, "The receipt or the intent of the run does not allow publication.";
    BundlePublicationInvalid => "BUNDLE_PUBLICATION_INVALID", Publish, Never, "The announcement of a bundle does not match its schema; it never enters the outbox.";
    PublishConflict => "PUBLISH_CONFLICT", Publish, Never, "The run's bundle was announced before with other content.";
    PublishUnavailable => "PUBLISH_UNAVAILABLE", Publish, Bounded, "The broker did not acknowledge the publication in time, or the registry did not answer it.";
    PublishRejected => "PUBLISH_REJECTED", Publish, Never, "The registry does not take the bundle; an operator decides.";
    PublishRetryExhausted => "PUBLISH_RETRY_EXHAUSTED", Publish, Never, "The bound on publish retries is reached; an operator decides.";
    PublishNotPending => "PUBLISH_NOT_PENDING", Publish, Never, "A publish retry was asked for a run that is not waiting for publication.";
}

impl Category {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Conflict => "conflict",
            Self::Resolution => "resolution",
            Self::Data => "data",
            Self::Execution => "execution",
            Self::Evidence => "evidence",
            Self::Immutability => "immutability",
            Self::Gate => "gate",
            Self::Publish => "publish",
        }
    }
}

impl FailureCode {
    /// Whether the run may be tried again by itself.
    pub fn is_retryable(self) -> bool {
        self.retry() == Retry::Bounded
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for FailureCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not a failure code"))
    }
}

impl Serialize for FailureCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for FailureCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A run that went wrong: the code, and what happened in this case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    /// The code.
    pub code: FailureCode,
    /// What happened, for people: where, what was found, what was expected.
    pub message: String,
}

impl Failure {
    /// A failure with this code.
    pub fn new(code: FailureCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    #[test]
    fn the_list_of_codes_is_the_released_one() {
        let mut listed = String::new();
        for code in FailureCode::ALL {
            let retry = if code.is_retryable() { "bounded" } else { "never" };
            writeln!(listed, "{code} {} {retry}", code.category().as_str()).unwrap();
        }
        let released = include_str!("../../../tests/golden/failure_codes.txt");
        assert_eq!(listed, released, "codes are part of the contract: change the golden file on purpose");
    }

    #[test]
    fn names_read_back() {
        for &code in FailureCode::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
        }
    }
}
