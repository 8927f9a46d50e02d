//! What a request refers to, and the rows.

use super::Aftermath::{Ended, Requeued};
use super::Guidance;

const READABLE: &str = "Look whether the store answers and the worker's key may read there. After the bound: mend it, \
                        then `runs requeue`.";

/// Something that could not be read when the run was resolved or its job prepared.
const fn unresolved(happened: &'static str, requester: &'static str) -> Guidance {
    Guidance { happened, leaves: &[Requeued], requester, operator: READABLE }
}

/// Something that was read, and does not do.
const fn invalid(happened: &'static str, requester: &'static str, operator: &'static str) -> Guidance {
    Guidance { happened, leaves: &[Ended], requester, operator }
}

pub(super) const MANIFEST_UNRESOLVED: Guidance = unresolved(
    "A manifest could not be read when the run was resolved: it is not there, or its store does not answer.",
    "Have the manifest put under the name that the request says, or ask with one that is there.",
);
pub(super) const MANIFEST_INVALID: Guidance = invalid(
    "A manifest that the run resolved is too large, does not match its schema, contradicts another manifest, or has \
     labels from after the start of the run.",
    "Have the dataset's owner write a new manifest, and ask with that.",
    "Nothing, unless a sound manifest is larger than `[inputs] max_document_bytes`.",
);
pub(super) const MATERIALIZATION_UNRESOLVED: Guidance = unresolved(
    "A data file could not be read when the job was prepared: it is not there, or its store does not answer. Or the \
     manifest names no file at all.",
    "Have the file put where the manifest says. Where the manifest names none, ask with one that does.",
);
pub(super) const DIGEST_MISMATCH: Guidance = invalid(
    "The bytes of a data file, or of an earlier bundle's file, differ from the digest or the size that pins them.",
    "Have a new manifest or profile written that pins what is there, and ask with that.",
    "Find out who rewrote a pinned object; inputs are meant to be written once.",
);
pub(super) const TRAINING_PROFILE_UNRESOLVED: Guidance = unresolved(
    "The training profile could not be read when the run was resolved: it is not there, or its store does not answer.",
    "Have the profile put under the name that the request says, or ask with one that is there.",
);
pub(super) const TRAINING_PROFILE_INVALID: Guidance = invalid(
    "The training profile is too large, does not match its schema, contradicts itself, or asks for what this worker \
     cannot do: an unknown parameter, a command that is not registered, an earlier bundle that it cannot measure.",
    "Pin a mended profile under a new name, and ask with that.",
    "Where it names a trainer command that should be there: register it under `[trainer.commands]` and restart the \
     workers; the request then needs another `config_revision`.",
);
pub(super) const GOVERNANCE_PROFILE_UNRESOLVED: Guidance = unresolved(
    "The governance profile could not be read when the run was resolved: it is not there, or its store does not \
     answer.",
    "Have the governance profile put under the name that the request says, or ask with one that is there.",
);
pub(super) const GOVERNANCE_PROFILE_INVALID: Guidance = invalid(
    "The governance profile is too large, does not match its schema, has a threshold that is none, allows publication \
     without a PASS, or names a champion that is no bundle.",
    "Have its owner pin a mended profile under a new name, and ask with that.",
    "Nothing, unless the profile is yours.",
);
pub(super) const FEATURE_SCHEMA_INCOMPATIBLE: Guidance = invalid(
    "Manifest, training profile or earlier bundle disagree, when the run is resolved, about the feature set, the \
     version of manifests, the labels' basis, or the columns that split and leakage rules need.",
    "Ask with a manifest, a profile and bundles of the same feature set; the message names both sides.",
    "Nothing: nothing was trained.",
);
pub(super) const DATASET_INVALID: Guidance = invalid(
    "The trainer's process read data files that are not what manifest and profile say: format, columns, types, \
     values, number of rows, too much for the profile's limits, or nothing for a window.",
    "Have the dataset's owner write it anew and ask with the new manifest; or with a profile whose limits fit.",
    "Nothing: the message names the file, the column or the limit.",
);
pub(super) const LEAKAGE_GUARD_VIOLATION: Guidance = invalid(
    "Rows or features know something that they could not have known when the payment was made. No model was kept; \
     the leakage report, in the run's evidence, names what was found.",
    "Read the leakage report, and ask with data or a profile without the leak.",
    "Nothing: the report is for the requester and the owner of the data.",
);
pub(super) const LABELS_INSUFFICIENT: Guidance = invalid(
    "The train or the test window holds fewer rows of a class than the profile's `min_rows_per_class`; nothing was \
     fitted.",
    "Ask with more data or wider windows; the message gives the numbers.",
    "Nothing: the data has too few of them.",
);
