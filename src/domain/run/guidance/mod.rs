//! What each failure code means for people: what happened, what is left, and who does what next.
//!
//! Guarantees: every code has its text; the compiler asks for that of a new one. Never: decides anything; what
//! a code brings about is decided where it is handled.

mod evidence;
mod inputs;
mod requests;
mod training;
mod verdict;

use super::FailureCode;
use Aftermath::{Command, Contradiction, Deferred, Ended, NotStarted, Parked, Refused, RefusedForNow, Reopenable};
use Aftermath::{Requeued, Stands};

/// A code in sentences.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guidance {
    /// In which stage, and what the worker saw.
    pub happened: &'static str,
    /// What it may leave, the usual first.
    pub leaves: &'static [Aftermath],
    /// What whoever sent the request does.
    pub requester: &'static str,
    /// What whoever runs the workers does.
    pub operator: &'static str,
}

/// What a code leaves, and whether asking again with the same request helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// A dead letter; the record itself is at fault.
    Refused,
    /// A dead letter; something around the record is at fault, and may change.
    RefusedForNow,
    /// A dead letter beside the run of an earlier request.
    Contradiction,
    /// A dead letter of a command.
    Command,
    /// No process works.
    NotStarted,
    /// Back to the queue.
    Requeued,
    /// The publication is tried again.
    Deferred,
    /// FAIL for good.
    Ended,
    /// FAIL until an operator opens the run again.
    Reopenable,
    /// The publication waits for a word.
    Parked,
    /// PUBLISHED all the same.
    Stands,
}

impl Aftermath {
    /// In a sentence or two.
    pub fn sentence(self) -> &'static str {
        match self {
            Refused => {
                "A dead letter, and no run. The same bytes would be refused again; a mended request may keep its \
                 `request_id`."
            }
            RefusedForNow => {
                "A dead letter; no run is made or changed. The same bytes may be sent again once what stands in \
                 their way is gone; until then they are refused again."
            }
            Contradiction => {
                "A dead letter; the first request and its run stand. The same request would be refused again."
            }
            Command => {
                "The command changes nothing; where it came by the topic, it is a dead letter. It may be given again \
                 when the run stands where it applies."
            }
            NotStarted => {
                "Nothing starts, and no record is consumed or refused: requests on the topic wait, and need not be \
                 sent again; what `submit` did not send does."
            }
            Requeued => {
                "The run goes back to `QUEUED` and is tried again, after a while or, where a worker was lost, at once; \
                 the bound on attempts ends it with `ATTEMPTS_EXHAUSTED`. Asking again changes nothing: the same \
                 request joins the run."
            }
            Deferred => {
                "At publication: the run waits at `PUBLISH_PENDING` and is announced again with backoff, never \
                 trained again, until `PUBLISH_RETRY_EXHAUSTED`. Asking again changes nothing."
            }
            Ended => {
                "The run ends at `FAIL` for good: `runs requeue` refuses it, and the same request only joins it. \
                 What is asked next needs another run key: other references, or another `config_revision`."
            }
            Reopenable => {
                "The run ends at `FAIL`. The same request only joins it; `runs requeue` opens it again, with its \
                 attempts counted anew."
            }
            Parked => {
                "At publication: the run is parked at `PUBLISH_PENDING`, and no worker takes it up by itself. \
                 Asking again changes nothing; a `PublishRetryRequest` or `runs retry-publish` has it tried \
                 again, without training and with its attempts counted anew."
            }
            Stands => {
                "The run stays `PUBLISHED`; the code stands in its row alone, and nobody tries again. Asking again \
                 changes nothing."
            }
        }
    }
}

impl FailureCode {
    /// What it means for people.
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
            Self::RequestIdPayloadMismatch => requests::REQUEST_ID_PAYLOAD_MISMATCH,
            Self::CommandNotApplicable => requests::COMMAND_NOT_APPLICABLE,
            Self::ManifestUnresolved => inputs::MANIFEST_UNRESOLVED,
            Self::ManifestInvalid => inputs::MANIFEST_INVALID,
            Self::MaterializationUnresolved => inputs::MATERIALIZATION_UNRESOLVED,
            Self::DigestMismatch => inputs::DIGEST_MISMATCH,
            Self::TrainingProfileUnresolved => inputs::TRAINING_PROFILE_UNRESOLVED,
            Self::TrainingProfileInvalid => inputs::TRAINING_PROFILE_INVALID,
            Self::GovernanceProfileUnresolved => inputs::GOVERNANCE_PROFILE_UNRESOLVED,
            Self::GovernanceProfileInvalid => inputs::GOVERNANCE_PROFILE_INVALID,
            Self::FeatureSchemaIncompatible => inputs::FEATURE_SCHEMA_INCOMPATIBLE,
            Self::DatasetInvalid => inputs::DATASET_INVALID,
            Self::LeakageGuardViolation => inputs::LEAKAGE_GUARD_VIOLATION,
            Self::LabelsInsufficient => inputs::LABELS_INSUFFICIENT,
            Self::TrainerFailed => training::TRAINER_FAILED,
            Self::TrainerTimeout => training::TRAINER_TIMEOUT,
            Self::TrainerOutOfMemory => training::TRAINER_OUT_OF_MEMORY,
            Self::NondeterminismDetected => training::NONDETERMINISM_DETECTED,
            Self::Cancelled => training::CANCELLED,
            Self::AttemptsExhausted => training::ATTEMPTS_EXHAUSTED,
            Self::LeaseExpired => training::LEASE_EXPIRED,
            Self::EvidenceRefMissing => evidence::EVIDENCE_REF_MISSING,
            Self::EvidenceUnresolved => evidence::EVIDENCE_UNRESOLVED,
            Self::EvalReportInvalid => evidence::EVAL_REPORT_INVALID,
            Self::EvalReportMismatch => evidence::EVAL_REPORT_MISMATCH,
            Self::GateDecisionMismatch => evidence::GATE_DECISION_MISMATCH,
            Self::ManifestImmutabilityViolation => evidence::MANIFEST_IMMUTABILITY,
            Self::ResolvedTrainPlanImmutabilityViolation => evidence::RESOLVED_TRAIN_PLAN_IMMUTABILITY,
            Self::ExecutionRecordImmutabilityViolation => evidence::EXECUTION_RECORD_IMMUTABILITY,
            Self::TrainArtifactImmutabilityViolation => evidence::TRAIN_ARTIFACT_IMMUTABILITY,
            Self::EvalReportImmutabilityViolation => evidence::EVAL_REPORT_IMMUTABILITY,
            Self::EvidencePackImmutabilityViolation => evidence::EVIDENCE_PACK_IMMUTABILITY,
            Self::GateReceiptImmutabilityViolation => evidence::GATE_RECEIPT_IMMUTABILITY,
            Self::PublishEligibilityImmutabilityViolation => evidence::PUBLISH_ELIGIBILITY_IMMUTABILITY,
            Self::BundlePackageImmutabilityViolation => evidence::BUNDLE_PACKAGE_IMMUTABILITY,
            Self::PublishReceiptImmutabilityViolation => evidence::PUBLISH_RECEIPT_IMMUTABILITY,
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
            let again = code.guidance().leaves.iter().any(|left| matches!(left, Requeued | Deferred));
            assert_eq!(again, code.is_retryable(), "{code}");
        }
    }
}
