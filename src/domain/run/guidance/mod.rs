//! What each failure code means for people: what happened, in which state the run is left, who does what next.
//!
//! Guarantees: a code without text does not compile. Never: decides anything. The code that handles a failure decides.

mod aftermath;
mod attempt;
mod requests;
mod verdict;

pub use aftermath::{Aftermath, Guidance};

use super::FailureCode;

impl FailureCode {
    pub fn guidance(self) -> Guidance {
        match self {
            Self::SchemaInvalid => requests::SCHEMA_INVALID,
            Self::RequestIdInvalid => requests::REQUEST_ID_INVALID,
            Self::IntentKindUnsupported => requests::INTENT_KIND_UNSUPPORTED,
            Self::RunScopeInvalid => requests::RUN_SCOPE_INVALID,
            Self::ManifestRefMissing => requests::MANIFEST_REF_MISSING,
            Self::TrainConfigMissing => requests::TRAIN_CONFIG_MISSING,
            Self::GovernanceProfileMissing => requests::GOVERNANCE_PROFILE_MISSING,
            Self::RequesterMissing => requests::REQUESTER_MISSING,
            Self::TargetScopeInvalid => requests::TARGET_SCOPE_INVALID,
            Self::PolicyRevisionMissing => requests::POLICY_REVISION_MISSING,
            Self::ConfigRevisionMissing => requests::CONFIG_REVISION_MISSING,
            Self::CodeReleaseMissing => requests::CODE_RELEASE_MISSING,
            Self::MessageEmpty => requests::MESSAGE_EMPTY,
            Self::MessageTooLarge => requests::MESSAGE_TOO_LARGE,
            Self::MessageNotJson => requests::MESSAGE_NOT_JSON,
            Self::SchemaVersionUnsupported => requests::SCHEMA_VERSION_UNSUPPORTED,
            Self::RefNotAllowed => requests::REF_NOT_ALLOWED,
            Self::RequesterNotAllowed => requests::REQUESTER_NOT_ALLOWED,
            Self::SignatureInvalid => requests::SIGNATURE_INVALID,
            Self::QuotaExceeded => requests::QUOTA_EXCEEDED,
            Self::RunUnknown => requests::RUN_UNKNOWN,
            Self::OwnershipBoundaryViolation => requests::OWNERSHIP_BOUNDARY_VIOLATION,
            Self::MessageUnreadable => requests::MESSAGE_UNREADABLE,
            Self::RequestIdPayloadMismatch => requests::REQUEST_ID_PAYLOAD_MISMATCH,
            Self::CommandNotApplicable => requests::COMMAND_NOT_APPLICABLE,
            Self::ManifestUnresolved => attempt::MANIFEST_UNRESOLVED,
            Self::ManifestInvalid => attempt::MANIFEST_INVALID,
            Self::MaterializationUnresolved => attempt::MATERIALIZATION_UNRESOLVED,
            Self::DigestMismatch => attempt::DIGEST_MISMATCH,
            Self::TrainingProfileUnresolved => attempt::TRAINING_PROFILE_UNRESOLVED,
            Self::TrainingProfileInvalid => attempt::TRAINING_PROFILE_INVALID,
            Self::GovernanceProfileUnresolved => attempt::GOVERNANCE_PROFILE_UNRESOLVED,
            Self::GovernanceProfileInvalid => attempt::GOVERNANCE_PROFILE_INVALID,
            Self::FeatureSchemaIncompatible => attempt::FEATURE_SCHEMA_INCOMPATIBLE,
            Self::DatasetInvalid => attempt::DATASET_INVALID,
            Self::LeakageGuardViolation => attempt::LEAKAGE_GUARD_VIOLATION,
            Self::LabelsInsufficient => attempt::LABELS_INSUFFICIENT,
            Self::DataExpectationViolated => attempt::DATA_EXPECTATION_VIOLATED,
            Self::TrainerFailed => attempt::TRAINER_FAILED,
            Self::TrainerTimeout => attempt::TRAINER_TIMEOUT,
            Self::TrainerOutOfMemory => attempt::TRAINER_OUT_OF_MEMORY,
            Self::NondeterminismDetected => attempt::NONDETERMINISM_DETECTED,
            Self::Cancelled => attempt::CANCELLED,
            Self::AttemptsExhausted => attempt::ATTEMPTS_EXHAUSTED,
            Self::LeaseExpired => attempt::LEASE_EXPIRED,
            Self::WorkerUnable => attempt::WORKER_UNABLE,
            Self::EvidenceRefMissing => verdict::EVIDENCE_REF_MISSING,
            Self::EvidenceUnresolved => verdict::EVIDENCE_UNRESOLVED,
            Self::EvalReportInvalid => verdict::EVAL_REPORT_INVALID,
            Self::EvalReportMismatch => verdict::EVAL_REPORT_MISMATCH,
            Self::GateDecisionMismatch => verdict::GATE_DECISION_MISMATCH,
            Self::ManifestImmutabilityViolation => verdict::MANIFEST_IMMUTABILITY,
            Self::ResolvedTrainPlanImmutabilityViolation => verdict::RESOLVED_TRAIN_PLAN_IMMUTABILITY,
            Self::ExecutionRecordImmutabilityViolation => verdict::EXECUTION_RECORD_IMMUTABILITY,
            Self::TrainArtifactImmutabilityViolation => verdict::TRAIN_ARTIFACT_IMMUTABILITY,
            Self::EvalReportImmutabilityViolation => verdict::EVAL_REPORT_IMMUTABILITY,
            Self::EvidencePackImmutabilityViolation => verdict::EVIDENCE_PACK_IMMUTABILITY,
            Self::GateReceiptImmutabilityViolation => verdict::GATE_RECEIPT_IMMUTABILITY,
            Self::PublishEligibilityImmutabilityViolation => verdict::PUBLISH_ELIGIBILITY_IMMUTABILITY,
            Self::BundlePackageImmutabilityViolation => verdict::BUNDLE_PACKAGE_IMMUTABILITY,
            Self::PublishReceiptImmutabilityViolation => verdict::PUBLISH_RECEIPT_IMMUTABILITY,
            Self::GateFail => verdict::GATE_FAIL,
            Self::PublishNotEligible => verdict::PUBLISH_NOT_ELIGIBLE,
            Self::BundlePublicationInvalid => verdict::BUNDLE_PUBLICATION_INVALID,
            Self::PublishConflict => verdict::PUBLISH_CONFLICT,
            Self::PublishUnavailable => verdict::PUBLISH_UNAVAILABLE,
            Self::PublishRejected => verdict::PUBLISH_REJECTED,
            Self::PublishRetryExhausted => verdict::PUBLISH_RETRY_EXHAUSTED,
            Self::PublishNotPending => verdict::PUBLISH_NOT_PENDING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::run::State;

    fn texts(code: FailureCode) -> Vec<&'static str> {
        let Guidance { happened, leaves, requester, operator } = code.guidance();
        leaves.iter().map(|left| left.sentence()).chain([happened, requester, operator]).collect()
    }

    #[test]
    fn every_text_is_of_whole_sentences() {
        for &code in FailureCode::ALL {
            assert!(!code.guidance().leaves.is_empty(), "{code} leaves nothing");
            for text in texts(code) {
                assert!(text.ends_with('.') && text.trim() == text && !text.contains("  "), "{code}: {text:?}");
                assert!(text.starts_with(|first: char| first.is_uppercase() || first == '`'), "{code}: {text:?}");
            }
        }
    }

    #[test]
    fn no_two_codes_say_that_the_same_happened() {
        let mut happened: Vec<&str> = FailureCode::ALL.iter().map(|code| code.guidance().happened).collect();
        happened.sort_unstable();
        happened.dedup();
        assert_eq!(happened.len(), FailureCode::ALL.len());
    }

    #[test]
    fn texts_name_only_codes_and_states_that_exist() {
        let part_of_a_name = |c: char| c.is_ascii_uppercase() || c == '_';
        for &code in FailureCode::ALL {
            for text in texts(code) {
                for (index, quoted) in text.split('`').enumerate() {
                    let is_known = quoted.parse::<FailureCode>().is_ok() || quoted.parse::<State>().is_ok();
                    if index % 2 == 1 && quoted.len() > 1 && quoted.chars().all(part_of_a_name) {
                        assert!(is_known, "{code} speaks of {quoted}");
                    }
                    if index % 2 == 0 {
                        let mut words = quoted.split(|c: char| !part_of_a_name(c) && !c.is_ascii_alphanumeric());
                        assert!(words.all(|word| !word.contains('_')), "{code}: a name without quotes in {quoted:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn only_retryable_codes_are_tried_again() {
        for &code in FailureCode::ALL {
            let again =
                code.guidance().leaves.iter().any(|left| matches!(left, Aftermath::Requeued | Aftermath::Deferred));
            assert_eq!(again, code.is_retryable(), "{code}");
        }
    }
}
