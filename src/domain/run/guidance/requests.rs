//! Guidance for intake's failure codes: malformed messages, senders who may not ask for this, contradictions with
//! earlier messages.

use super::Aftermath::{Command, Contradiction, Ended, NotStarted, Parked, Refused, RefusedForNow, Reopenable};
use super::Guidance;

const NO_ID: &str =
    "Look at the dead letter and tell whoever writes to the topic: no id could be read, so that no event tells them.";
const ID_KNOWN: &str =
    "Nothing: `request.rejected` tells the requester the pointer and the rule, wherever an id can be read.";

/// Builds the guidance for a field of a request that intake refuses.
const fn field(happened: &'static str, requester: &'static str) -> Guidance {
    Guidance { happened, leaves: &[Refused], requester, operator: ID_KNOWN }
}

pub(super) const SCHEMA_INVALID: Guidance = Guidance {
    happened: "Intake read a request, command or envelope that does not match its schema where no other code says it \
               better: an unknown field, a missing one, a wrong type.",
    leaves: &[Refused],
    requester: "Mend the field that the pointer names, by the rule in the message, and send it again.",
    operator: "Nothing where `request.rejected` tells the requester. Without a readable id only the dead letter does: \
               tell them.",
};
pub(super) const REQUEST_ID_INVALID: Guidance = Guidance {
    happened: "Intake found no `request_id`, or one that is not 8 to 128 letters, digits and `_.:-`.",
    leaves: &[Refused],
    requester: "Give the request an id of that form and send it again.",
    operator: NO_ID,
};
pub(super) const INTENT_KIND_UNSUPPORTED: Guidance = field(
    "Intake found no `intent_kind`, or one that this release does not know.",
    "Ask for `baseline_train`, `backfill_retrain`, `candidate_eval` or `regression_check`.",
);
pub(super) const RUN_SCOPE_INVALID: Guidance = Guidance {
    happened: "Intake found no `platform_run_id`, or one that is not a token. Or the run, when it was resolved, read a \
               manifest that belongs to another platform run.",
    leaves: &[Refused, Ended],
    requester: "Name the platform run that all of the manifests belong to, or manifests of the one that is named.",
    operator: "Nothing: the message names the field, or the manifest and both platform runs.",
};
pub(super) const MANIFEST_REF_MISSING: Guidance = field(
    "Intake found no dataset manifest in `dataset_manifest_refs`.",
    "Name at least one pinned manifest and send the request again.",
);
pub(super) const TRAIN_CONFIG_MISSING: Guidance = field(
    "Intake found no training profile in `training_config_ref`.",
    "Name a pinned training profile and send the request again.",
);
pub(super) const GOVERNANCE_PROFILE_MISSING: Guidance = field(
    "Intake found no governance profile in `governance_profile_ref`.",
    "Name a pinned governance profile and send the request again.",
);
pub(super) const REQUESTER_MISSING: Guidance =
    field("Intake found nobody in `requester_principal`.", "Say who asks and send the request again.");
pub(super) const TARGET_SCOPE_INVALID: Guidance = field(
    "Intake found a `target_scope` that misses environment, mode or bundle slot, or in which a part is not a token.",
    "Name every part as a token (letters, digits and `_.:-`, at most 128) and send the request again.",
);
pub(super) const POLICY_REVISION_MISSING: Guidance =
    field("Intake found no `policy_revision`.", "Pin the policy revision and send the request again.");
pub(super) const CONFIG_REVISION_MISSING: Guidance =
    field("Intake found no `config_revision`.", "Pin the configuration revision and send the request again.");
pub(super) const CODE_RELEASE_MISSING: Guidance =
    field("Intake found no `mf_code_release_id`.", "Pin the code release and send the request again.");
pub(super) const MESSAGE_EMPTY: Guidance = Guidance {
    happened: "Intake read a record without a value.",
    leaves: &[Refused],
    requester: "Send the request as the record's value.",
    operator: NO_ID,
};
pub(super) const MESSAGE_TOO_LARGE: Guidance = Guidance {
    happened: "Intake read a record with a value of more than 256 KiB, signature and envelope included, a key of more \
               than 1 KiB, more than 64 headers, or a header whose name or value is longer than 4 KiB. Of such a record \
               the ledger keeps its length, its digest and its first KiB.",
    leaves: &[Refused],
    requester: "Name fewer manifests, say things shorter or leave headers away, and send it again.",
    operator: "Look at the dead letter, which names the record's place on the request topic, and tell whoever writes \
               there: no id was read, so that no event tells them.",
};
pub(super) const MESSAGE_UNREADABLE: Guidance = Guidance {
    happened: "Intake met a record that the Kafka client cannot read, such as one with a header name that is not UTF-8, \
               that makes the worker's own code fail, or that the database refuses. Of such a record the ledger keeps \
               its length, its digest and its first KiB; records around it are admitted.",
    leaves: &[Refused],
    requester: "Send the request again without what the message names.",
    operator: "Look at the dead letter, which names the record's place on the request topic. Where the message quotes \
               the worker's own code or the database, report a defect with the record.",
};
pub(super) const MESSAGE_NOT_JSON: Guidance = Guidance {
    happened: "Intake read a value that is not one JSON object in UTF-8, says a key twice, or is nested too deep.",
    leaves: &[Refused],
    requester: "Send one JSON object in UTF-8 that says every key once.",
    operator: NO_ID,
};
pub(super) const SCHEMA_VERSION_UNSUPPORTED: Guidance = Guidance {
    happened: "Intake found no `schema_version`, or one that this release does not know.",
    leaves: &[Refused],
    requester: "Send a version that this release knows; `model-factory schema list` shows them.",
    operator: "Nothing, unless requesters are ahead of the workers: then deploy the release that knows the version, \
               and `dead-letters replay`.",
};
pub(super) const REF_NOT_ALLOWED: Guidance = Guidance {
    happened: "Intake, or the run when it was resolved, met a reference outside the operator's allow-list, one that \
               leads out of it through a link, or one that does not name a single pinned object.",
    leaves: &[RefusedForNow, Ended],
    requester: "Name a pinned object inside the allow-list. Where a manifest names the file, have the dataset's owner \
                write a new manifest.",
    operator: "Where the place should be allowed: add it to `[inputs] allow`, restart the workers, then \
               `dead-letters replay --code REF_NOT_ALLOWED`.",
};
pub(super) const REQUESTER_NOT_ALLOWED: Guidance = Guidance {
    happened: "The authority policy does not give this requester this topic, intent, scope, tenant, publication or \
               command. Or it lets nobody who asked for the run use an object that the request, a manifest or a profile \
               names; the answer is the same whether that object is there or not.",
    leaves: &[RefusedForNow, Reopenable, Parked],
    requester: "Ask for what is allowed, or ask the operator for the right; pointer or message says which one is missing.",
    operator: "Where the right should be there: change the policy, which the workers read again by themselves. Then \
               `dead-letters replay`, or `runs requeue` and `runs retry-publish` for a run.",
};
pub(super) const SIGNATURE_INVALID: Guidance = Guidance {
    happened: "Intake found no signature where the policy holds keys of the requester, one that none of them made \
               over these bytes, or one that it holds no key for.",
    leaves: &[RefusedForNow],
    requester: "Sign the very bytes that are sent with the key that the operator knows: `submit --sign-with`.",
    operator: "Where the policy lacks the requester's key: add it, then `dead-letters replay`. \
               Else find out who wrote in that name.",
};
pub(super) const QUOTA_EXCEEDED: Guidance = Guidance {
    happened: "Intake counted as many runs of this requester, in flight or in the last 24 hours, as the policy gives, or as \
               many of its requests that joined a run of an earlier request; the message says which.",
    leaves: &[RefusedForNow],
    requester: "Wait until a run ends or the day has passed, and send the same request again, under the same id.",
    operator: "Nothing, or raise the quota in the policy.",
};
pub(super) const RUN_UNKNOWN: Guidance = Guidance {
    happened: "Intake read a cancel or publish retry for a run that the ledger does not hold. Where there is a policy, a run \
               that the requester may not change gets the same answer.",
    leaves: &[Command],
    requester: "Take the `run_id` from the lifecycle events, and send the command with it under another `request_id`.",
    operator: "Nothing, unless the policy lacks a right, or the ledger was restored from a backup: then see to it that the \
               topic is read again.",
};
pub(super) const OWNERSHIP_BOUNDARY_VIOLATION: Guidance = Guidance {
    happened: "A worker or `submit` read, when it started, a boundaries document that does not give evaluation reports \
               and bundle publications to Model Factory; it says so on standard error.",
    leaves: &[NotStarted],
    requester: "Nothing, but to wait for the operator.",
    operator: "Configure the platform's own document, with an `mf` owner that lists both outputs, and start again.",
};
pub(super) const REQUEST_ID_PAYLOAD_MISMATCH: Guidance = Guidance {
    happened: "Intake met a `request_id` that the same principal used before, with other content; the message says where they \
               differ to whoever may see the run of the first one.",
    leaves: &[Contradiction],
    requester: "Send the other content under an id of its own.",
    operator: "Nothing: a producer that makes ids twice has to be mended by whoever owns it.",
};
pub(super) const COMMAND_NOT_APPLICABLE: Guidance = Guidance {
    happened: "A cancel came for a run that has nothing left to cancel: it has its verdict, or its bundle is being \
               published. Or the command names another attempt than the run is at. Or `runs requeue` named a run that \
               neither failed nor is worked on.",
    leaves: &[Command],
    requester: "Nothing: look at the run's events for where it stands.",
    operator: "Nothing: `runs show` tells where the run stands.",
};
