//! The closed list of failures of requests and runs.

use crate::domain::harmless::lines;
use crate::domain::named::named;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumMessage, IntoStaticStr, VariantArray};

/// Part of the work in which a failure occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum FailureCategory {
    Request,
    /// A message contradicts an earlier one.
    Conflict,
    /// A document that the request refers to cannot be used.
    Resolution,
    /// The rows of the data cannot be used.
    Data,
    /// The trainer or its worker failed, somebody cancelled the run, or its attempts are used up.
    Execution,
    Evidence,
    /// A document exists already with other bytes.
    Immutability,
    Gate,
    Publish,
}

/// Whether a worker tries a failed run again without being asked.
enum Retry {
    /// A worker never tries again, because the same work would end with the same error.
    Never,
    /// A worker tries a bounded number of times, with back-off.
    Bounded,
}

macro_rules! failure_codes {
    ($($variant:ident => $category:ident, $retry:ident, $meaning:literal;)+) => {
        /// Why a message is refused, an attempt fails, or a run ends without PASS. Names are part of the contract. The
        /// order is that of the categories.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumMessage, IntoStaticStr, VariantArray, Serialize,
            Deserialize,
        )]
        #[serde(into = "&'static str", try_from = "String")]
        #[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
        pub enum FailureCode {
            $(#[strum(message = $meaning)] $variant,)+
        }

        impl FailureCode {
            pub fn category(self) -> FailureCategory {
                match self {
                    $(Self::$variant => FailureCategory::$category),+
                }
            }

            fn retry(self) -> Retry {
                match self {
                    $(Self::$variant => Retry::$retry),+
                }
            }
        }
    };
}

failure_codes! {
    SchemaInvalid => Request, Never, "The message does not match its schema; pointer and rule say where.";
    RequestIdInvalid => Request, Never, "`request_id` is missing or not 8 to 128 of the allowed characters.";
    IntentKindUnsupported => Request, Never, "`intent_kind` is not one that this release knows.";
    RunScopeInvalid => Request, Never, "`platform_run_id` is not a token, or a manifest belongs to another platform run.";
    ManifestRefMissing => Request, Never, "No dataset manifest is named.";
    TrainConfigMissing => Request, Never, "No training profile is named.";
    GovernanceProfileMissing => Request, Never, "No governance profile is named.";
    RequesterMissing => Request, Never, "Nobody is named as requester.";
    TargetScopeInvalid => Request, Never, "The target scope misses a part, or a part is not a token.";
    PolicyRevisionMissing => Request, Never, "No policy revision is pinned.";
    ConfigRevisionMissing => Request, Never, "No configuration revision is pinned.";
    CodeReleaseMissing => Request, Never, "No code release is pinned.";
    MessageEmpty => Request, Never, "The record has no value.";
    MessageTooLarge => Request, Never, "The record is over a bound: a value of 256 KiB, a key of 1 KiB, 64 headers with names and values of 4 KiB.";
    MessageNotJson => Request, Never, "The value is not one JSON object in UTF-8 without repeated keys, within the depth limit.";
    SchemaVersionUnsupported => Request, Never, "`schema_version` is missing or unknown to this release.";
    RefNotAllowed => Request, Never, "A reference is outside the allow-list, or does not name one pinned object.";
    RequesterNotAllowed => Request, Never, "The operator's policy does not let this requester ask for this.";
    SignatureInvalid => Request, Never, "The policy wants the request signed and it is not, or a signature on it does not hold.";
    QuotaExceeded => Request, Never, "The requester has as many runs, or as many requests that joined a run, as the policy gives it for now; the request may be sent again later.";
    RunUnknown => Request, Never, "A command names a run that the ledger does not hold, or that its requester may not change.";
    OwnershipBoundaryViolation => Request, Never, "The boundaries document does not give this output to Model Factory.";
    MessageUnreadable => Request, Never, "The record cannot be read, judged or stored; its bytes stand on the request topic alone.";
    RequestIdPayloadMismatch => Conflict, Never, "The same `request_id` came with other content; the first one stands.";
    CommandNotApplicable => Conflict, Never, "The run stands where the command cannot be carried out any more, or not yet.";
    ManifestUnresolved => Resolution, Bounded, "A manifest could not be read.";
    ManifestInvalid => Resolution, Never, "A manifest does not match its schema, or contradicts another or the request.";
    MaterializationUnresolved => Resolution, Bounded, "A data file could not be read, or the manifest names none.";
    DigestMismatch => Resolution, Never, "Bytes differ from the digest or the size that pins them.";
    TrainingProfileUnresolved => Resolution, Bounded, "The training profile could not be read.";
    TrainingProfileInvalid => Resolution, Never, "The training profile does not match its schema or contradicts itself.";
    GovernanceProfileUnresolved => Resolution, Bounded, "The governance profile could not be read.";
    GovernanceProfileInvalid => Resolution, Never, "The governance profile does not match its schema.";
    FeatureSchemaIncompatible => Resolution, Never, "Manifest and training profile disagree about feature set or schema version.";
    DatasetInvalid => Data, Never, "A data file is not what the manifest describes: columns, types, values, number of rows or bounds.";
    LeakageGuardViolation => Data, Never, "Rows know something that they could not have known; the leakage report names them.";
    LabelsInsufficient => Data, Never, "A window holds too few rows of one class to train or to measure.";
    DataExpectationViolated => Data, Never, "Rows are not as the training profile's `data_expectations` say; the message has what was expected, found and where.";
    TrainerFailed => Execution, Never, "The trainer ended with an error, or left no valid result.";
    TrainerTimeout => Execution, Bounded, "The trainer ran into its time limit and was killed.";
    TrainerOutOfMemory => Execution, Bounded, "The trainer ran into its memory limit.";
    NondeterminismDetected => Execution, Never, "An earlier attempt under the same plan left other bytes, and no training record that pins them.";
    Cancelled => Execution, Never, "A requester or operator cancelled the run.";
    AttemptsExhausted => Execution, Never, "The bound on attempts is reached, after all patience where something was away; the message names the last cause.";
    LeaseExpired => Execution, Bounded, "The worker was lost; another one goes on.";
    WorkerUnable => Execution, Bounded, "The worker's machine had no disk, memory, descriptors or processes left, or no scratch folder; the attempt does not count.";
    EvidenceRefMissing => Evidence, Never, "A document misses a reference that it must hold.";
    EvidenceUnresolved => Evidence, Bounded, "Evidence could not be read back.";
    EvalReportInvalid => Evidence, Never, "A stored evaluation report does not match its schema.";
    EvalReportMismatch => Evidence, Never, "The evaluation report belongs to other inputs.";
    GateDecisionMismatch => Evidence, Never, "Receipt and evaluation report disagree.";
    ManifestImmutabilityViolation => Immutability, Never, "A manifest or profile reads otherwise than an earlier attempt kept it.";
    ResolvedTrainPlanImmutabilityViolation => Immutability, Never, "The resolved train plan exists already with other bytes.";
    ExecutionRecordImmutabilityViolation => Immutability, Never, "The execution record exists already with other bytes.";
    TrainArtifactImmutabilityViolation => Immutability, Never, "The training record, or an artifact that it pins, is not what was written.";
    EvalReportImmutabilityViolation => Immutability, Never, "The eval report exists already with other bytes.";
    EvidencePackImmutabilityViolation => Immutability, Never, "The evidence pack exists already with other bytes.";
    GateReceiptImmutabilityViolation => Immutability, Never, "The gate receipt exists already with other bytes.";
    PublishEligibilityImmutabilityViolation => Immutability, Never, "The publish eligibility exists already with other bytes.";
    BundlePackageImmutabilityViolation => Immutability, Never, "The bundle package exists already with other bytes.";
    PublishReceiptImmutabilityViolation => Immutability, Never, "Other bytes stand where the receipt of a publication belongs; the publication stands.";
    GateFail => Gate, Never, "At least one threshold of the governance profile does not hold.";
    PublishNotEligible => Publish, Never, "The receipt or the intent of the run does not allow publication.";
    BundlePublicationInvalid => Publish, Never, "The announcement of a bundle does not match its schema; it never enters the outbox.";
    PublishConflict => Publish, Never, "The run's bundle was announced before with other content.";
    PublishUnavailable => Publish, Bounded, "The broker did not acknowledge the publication in time, or the registry did not answer it.";
    PublishRejected => Publish, Never, "The registry does not take the bundle; an operator decides.";
    PublishRetryExhausted => Publish, Never, "The bound on publish retries is reached; an operator decides.";
    PublishNotPending => Publish, Never, "A publish retry was asked for a run that is not waiting for publication.";
}

named!(FailureCode, "{:?} is not a failure code");
named!(FailureCategory, "{:?} is not a failure category");

impl FailureCode {
    /// Returns what the code means, as one sentence.
    pub fn meaning(self) -> &'static str {
        self.get_message().expect("every code has its sentence")
    }

    /// Returns whether a worker may try the run again without being asked.
    pub fn is_retryable(self) -> bool {
        matches!(self.retry(), Retry::Bounded)
    }
}

/// Why an attempt of a run ended: a code, and what happened in this case. A failure never ends the worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    pub code: FailureCode,
    /// Says for people where it happened, what was found, and what was expected. At most [`Self::MESSAGE_CAP`] bytes.
    pub message: String,
    /// What the attempt did not find. `None` if the failure has another cause. An attempt that meets an outage does not
    /// count while the run's patience lasts.
    pub outage: Option<Outage>,
}

/// What an attempt needs and does not find, although the run is not at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// A document or file that the request names is not there yet, or its store is away. Only this run waits.
    Input,
    /// The evidence store is away, or the worker's machine has no disk, memory or descriptors left. Any other run would
    /// fail the same way on this worker.
    Worker,
}

impl Failure {
    pub const MESSAGE_CAP: usize = 8 * 1024;

    /// Escapes and cuts the message, because it may quote data, documents or a trainer.
    pub fn new(code: FailureCode, message: impl AsRef<str>) -> Self {
        Self { code, message: lines(message.as_ref(), Self::MESSAGE_CAP), outage: None }
    }

    /// Builds the failure of an attempt that does not find what it needs.
    pub fn outage(of: Outage, code: FailureCode, message: impl AsRef<str>) -> Self {
        Self { outage: Some(of), ..Self::new(code, message) }
    }

    /// Builds the failure of an attempt for which the worker's machine lacks something.
    pub fn of_worker(message: impl AsRef<str>) -> Self {
        Self::outage(Outage::Worker, FailureCode::WorkerUnable, message)
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
