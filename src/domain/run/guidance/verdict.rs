//! The gate, and what follows it.

use super::Aftermath::{Command, Deferred, Ended, Parked};
use super::Guidance;

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
