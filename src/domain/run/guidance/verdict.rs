//! Guidance for the failure codes of write-once documents, of the gate and of publication.

use super::Aftermath::{Command, Deferred, Ended, Parked, Requeued, Stands};
use super::Guidance;

const BY_HAND: &str = "Somebody changed evidence, ledger or an earlier bundle by hand: find out who. Restore them, \
                       then `runs retry-publish` where the run is parked.";
const OTHER_BYTES: &str = "Find out who wrote into the store, or whether the ledger was restored without its evidence. \
                           What is there is never overwritten.";
const RESTORE: &str = "Find out who wrote into the store. Where the run is parked at publication: restore the bytes \
                       that the ledger pins, then `runs retry-publish`.";
const ANOTHER_REVISION: &str = "Tell the operator; where the run has failed, ask under another `config_revision`.";

/// Builds the guidance for stored evidence that differs from what an attempt computes. Only for differences that can
/// appear before the verdict, but not after it.
const fn before_the_verdict(happened: &'static str) -> Guidance {
    Guidance { happened, leaves: &[Ended], requester: ANOTHER_REVISION, operator: OTHER_BYTES }
}

/// Builds the guidance for stored evidence that differs from what an attempt computes. For differences that a
/// publication may also find, long after the verdict.
const fn before_or_after(happened: &'static str) -> Guidance {
    Guidance { happened, leaves: &[Ended, Parked], requester: ANOTHER_REVISION, operator: RESTORE }
}

pub(super) const EVIDENCE_REF_MISSING: Guidance = Guidance {
    happened: "The run's references miss a document that its bundle or the announcement needs; or the bundle was \
               built without a signature, and the worker that announces it wants one.",
    leaves: &[Parked, Ended],
    requester: "Tell the operator. A bundle that no key signed can be built and signed under another \
                `config_revision`.",
    operator: "Restore the ledger's row, or let unsigned bundles be announced with `[signing] allow_unsigned`; then \
               `runs retry-publish`.",
};
pub(super) const EVIDENCE_UNRESOLVED: Guidance = Guidance {
    happened: "The evidence store did not take or give back a document, a stored one is gone, or an earlier bundle \
               that is to be measured or compared with could not be read.",
    leaves: &[Requeued, Deferred],
    requester: "Nothing, within the bound. Where an earlier bundle is missing, have it put back or ask with another.",
    operator: "Mend the store, or restore the file. While the store is away, attempts do not count for \
               `[ledger] outage_patience_seconds`. After the bound: `runs requeue`, or `runs retry-publish` for a \
               publication.",
};
pub(super) const EVAL_REPORT_INVALID: Guidance = Guidance {
    happened: "A stored evaluation report does not match its schema, though its digest is the expected one: the \
               run's own, before its bundle is announced again, or that of an earlier bundle.",
    leaves: &[Parked, Ended],
    requester: "Tell the operator. Where the report of an earlier bundle is at fault, ask with another bundle.",
    operator: BY_HAND,
};
pub(super) const EVAL_REPORT_MISMATCH: Guidance = Guidance {
    happened: "An evaluation report is about another run, plan or model than the one at hand, or that of an earlier \
               bundle is not about its model.",
    leaves: &[Parked, Ended],
    requester: "Tell the operator. Where an earlier bundle is at fault, ask with another bundle.",
    operator: BY_HAND,
};
pub(super) const GATE_DECISION_MISMATCH: Guidance = Guidance {
    happened: "Gate receipt and evaluation report disagree about the verdict, the receipt is about another report, or \
               a report says another verdict than its metrics give.",
    leaves: &[Parked, Ended],
    requester: "Tell the operator: the bundle is not announced.",
    operator: BY_HAND,
};
pub(super) const MANIFEST_IMMUTABILITY: Guidance = Guidance {
    happened: "A manifest, a profile or an earlier bundle's document reads otherwise than an earlier attempt of the \
               same run kept it.",
    leaves: &[Ended],
    requester: "Pin what is meant under a name of its own and ask with that; or ask under another `config_revision` \
                for what is there now.",
    operator: "Find out who rewrites pinned inputs; the copy of the first attempt is in the run's evidence.",
};
pub(super) const RESOLVED_TRAIN_PLAN_IMMUTABILITY: Guidance = Guidance {
    happened: "The run resolves to another plan than an earlier attempt stored, or the stored plan is not the one \
               that the ledger pins.",
    leaves: &[Ended, Parked],
    requester: ANOTHER_REVISION,
    operator: "Look for workers under another boundaries document, trainer command or release; have all alike. Where \
               the run is parked: restore the plan, then `runs retry-publish`.",
};
pub(super) const EXECUTION_RECORD_IMMUTABILITY: Guidance = Guidance {
    happened: "When the run came to its verdict, the record of another attempt stood under this attempt's fence, as \
               after a ledger restored from an old backup.",
    leaves: &[Ended],
    requester: ANOTHER_REVISION,
    operator: "Follow the restore procedure in `deploy/README.md` to the end: the evidence store is ahead of the \
               ledger.",
};
pub(super) const TRAIN_ARTIFACT_IMMUTABILITY: Guidance = before_or_after(
    "The training record, the model, or another artifact that it pins is not what was written by the attempt that \
     trained.",
);
pub(super) const EVAL_REPORT_IMMUTABILITY: Guidance =
    before_or_after("Other bytes stand where the evaluation report, or its page for people, belongs.");
pub(super) const EVIDENCE_PACK_IMMUTABILITY: Guidance =
    before_the_verdict("Other bytes stand where the evidence pack or its mark of completion belongs.");
pub(super) const GATE_RECEIPT_IMMUTABILITY: Guidance =
    before_or_after("Other bytes stand where the gate's receipt belongs.");
pub(super) const PUBLISH_ELIGIBILITY_IMMUTABILITY: Guidance =
    before_the_verdict("Other bytes stand where the publish eligibility belongs, which is written after the receipt.");
pub(super) const BUNDLE_PACKAGE_IMMUTABILITY: Guidance = before_or_after(
    "Other bytes stand where a file of the bundle belongs; its signature too, where the signing key was changed \
     between two attempts.",
);
pub(super) const PUBLISH_RECEIPT_IMMUTABILITY: Guidance = Guidance {
    happened: "After the publication, other bytes stood where its receipt belongs.",
    leaves: &[Stands],
    requester: "Nothing: the publication stands, as the registry has it.",
    operator: "Find out who wrote into the store. The ledger holds topic, partition and offset of the publication.",
};
pub(super) const GATE_FAIL: Guidance = Guidance {
    happened: "The model was measured, and at least one threshold of the governance profile does not hold, or \
               there are too few frauds to tell; the receipt lists which. It is a verdict, and no fault.",
    leaves: &[Ended],
    requester: "Read the evaluation report, and ask with other data, features or parameters.",
    operator: "Nothing: thresholds belong to whoever owns the governance profile.",
};
pub(super) const PUBLISH_NOT_ELIGIBLE: Guidance = Guidance {
    happened: "A run came to its publication though its receipt is no PASS or its intent does not publish; only a \
               ledger changed by hand leads there.",
    leaves: &[Parked],
    requester: "Nothing: this bundle may not be announced.",
    operator: "Find out who changed the ledger, and leave the run parked: every retry ends the same way.",
};
pub(super) const BUNDLE_PUBLICATION_INVALID: Guidance = Guidance {
    happened: "The announcement that was made from plan, report and receipt does not match its schema; it never \
               entered the outbox.",
    leaves: &[Parked, Ended],
    requester: "Tell the operator: the bundle is not announced.",
    operator: "Compare plan, report and receipt with what the ledger pins: they were changed by hand, or there is a \
               defect to report. A retry ends the same way until that is mended.",
};
pub(super) const PUBLISH_CONFLICT: Guidance = Guidance {
    happened: "Before the bundle was announced again, the ledger showed an earlier announcement of the same run with \
               other content; that one may have been withdrawn, or may have reached the topic.",
    leaves: &[Parked],
    requester: "Tell the operator; for a bundle that can be announced, ask under another `config_revision`.",
    operator: "See what the registry holds under the run's bundle id. A retry ends the same way while the contents \
               differ.",
};
pub(super) const PUBLISH_UNAVAILABLE: Guidance = Guidance {
    happened: "The broker did not acknowledge the publication within `[ledger] publish_patience_seconds`, or the \
               registry, where its word is asked for, did not answer within `[publish] registry_patience_seconds`.",
    leaves: &[Deferred],
    requester: "Nothing: it is announced again without training, and a late answer of the registry counts.",
    operator: "Mend Kafka, or have the registry's owner look; after the bound, `runs retry-publish`.",
};
pub(super) const PUBLISH_REJECTED: Guidance = Guidance {
    happened: "The registry, where its word is asked for, answered that it does not take the bundle; the message \
               gives its reason.",
    leaves: &[Parked],
    requester: "Have the registry's reason mended, then send a `PublishRetryRequest`; or ask for another bundle.",
    operator: "Once the registry would take it, `runs retry-publish`.",
};
pub(super) const PUBLISH_RETRY_EXHAUSTED: Guidance = Guidance {
    happened: "As many publish attempts as `[ledger] max_publish_attempts` allows came to nothing; the message names \
               the last cause.",
    leaves: &[Parked],
    requester: "Tell the operator, or send a `PublishRetryRequest` once the cause is mended.",
    operator: "Mend the last cause, then `runs retry-publish`.",
};
pub(super) const PUBLISH_NOT_PENDING: Guidance = Guidance {
    happened: "A publish retry named a run that does not stand at `PUBLISH_PENDING`: it has no bundle to announce, \
               waits for its verdict, is being announced, or is published.",
    leaves: &[Command],
    requester: "Look at the run's events. A run at `PASS` whose intent publishes is announced by a request of \
                the same meaning that allows it.",
    operator: "Nothing: `runs show` tells where the run stands.",
};
