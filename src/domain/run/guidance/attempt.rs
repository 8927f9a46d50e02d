//! Guidance for the failure codes of an attempt: references of the request, rows, the trainer, the bound on attempts.

use super::Aftermath::{Deferred, Ended, Reopenable, Requeued};
use super::Guidance;

const READABLE: &str = "Nothing within the run's patience (`[ledger] outage_patience_seconds`), if the store or the input \
                        comes back: attempts until then do not count. Otherwise look whether the store answers and \
                        the worker's key may read there. After the bound: mend it, then `runs requeue`.";

/// Builds the guidance for something that a worker could not read when it resolved the run or prepared its job.
const fn unresolved(happened: &'static str, requester: &'static str) -> Guidance {
    Guidance { happened, leaves: &[Requeued], requester, operator: READABLE }
}

/// Builds the guidance for something that a worker read but cannot use.
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
    "Nothing, unless a sound manifest is larger than `[inputs] max_document_bytes`, or the documents of one sound run \
     are larger together than `max_documents_bytes`.",
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
    "Rows or features know something that they could not have known when the payment was made, or rows come again. No \
     model was kept; the leakage report, in the run's evidence, names what was found.",
    "Read the leakage report, and ask with data or a profile without the leak.",
    "Nothing: the report is for the requester and the owner of the data.",
);
pub(super) const LABELS_INSUFFICIENT: Guidance = invalid(
    "The train, validation or test window holds fewer rows of a class than the profile's `min_rows_per_class`; nothing \
     was fitted.",
    "Ask with more data or wider windows; the message names each window with its numbers.",
    "Nothing: the data has too few of them.",
);
pub(super) const DATA_EXPECTATION_VIOLATED: Guidance = invalid(
    "The rows of a window are not as the training profile's `data_expectations` say: too many without a value, values \
     out of range or not allowed, days with too few or too many rows or frauds, or a column that moved away from the \
     train window. Nothing was fitted.",
    "Read the message, which has each violation with rows, days or values. Have the data mended, or ask with a profile \
     that expects what is right.",
    "Nothing: the data or the profile is at fault.",
);
pub(super) const TRAINER_FAILED: Guidance = Guidance {
    happened: "The trainer ended with an error, died of a signal, broke a limit on files or processes, left no valid \
               result, or could not be started for want of a scratch folder.",
    leaves: &[Reopenable],
    requester: "Tell the operator, with the run id; where a parameter is at fault, ask with another profile.",
    operator: "Read the message, which ends with what the trainer said last. Mend scratch, limits or command, then \
               `runs requeue`.",
};
pub(super) const TRAINER_TIMEOUT: Guidance = Guidance {
    happened: "The trainer ran into its limit on wall or processor time, and was killed.",
    leaves: &[Requeued],
    requester: "Nothing, within the bound. If it stays so, ask with a smaller task or a higher limit in the profile.",
    operator: "`runs show` tells what the trainer was given and what the profile asked for. Give it more, then \
               `runs requeue` what was exhausted.",
};
pub(super) const TRAINER_OUT_OF_MEMORY: Guidance = Guidance {
    happened: "The trainer ran into its memory limit, was killed from outside as the kernel does, or there is too \
               little memory for the rows.",
    leaves: &[Requeued],
    requester: "Nothing, within the bound. If it stays so, ask with less data or a higher limit in the profile.",
    operator: "Raise the worker's memory limit, or run fewer `slots` beside each other; then `runs requeue` what was \
               exhausted.",
};
pub(super) const NONDETERMINISM_DETECTED: Guidance = Guidance {
    happened: "After the fit, another model, other scores or another report stood where this attempt's belong: left \
               under the same plan by an attempt that died before its training record.",
    leaves: &[Ended],
    requester: "Tell the operator; the question can be asked anew under another `config_revision`.",
    operator: "The same plan must give the same bytes. Compare builds and machines of the two attempts, and see who \
               else may write to the store; a registered command must not depend on time or chance.",
};
pub(super) const CANCELLED: Guidance = Guidance {
    happened: "A requester's `CancelRequest` or `runs cancel` stopped the run, queued or at work; the trainer was \
               killed.",
    leaves: &[Reopenable],
    requester: "Nothing. To have it after all, ask the operator, or ask under another `config_revision`.",
    operator: "Nothing; `runs requeue` opens it again where it was a mistake.",
};
pub(super) const ATTEMPTS_EXHAUSTED: Guidance = Guidance {
    happened: "As many attempts as `[ledger] max_full_attempts` allows ended with codes that are tried again, or with \
               a lost worker. Attempts for which a store, an input or the machine was away count only once \
               `[ledger] outage_patience_seconds` are over. The message names the last cause.",
    leaves: &[Reopenable],
    requester: "See to what the last cause asks for, such as a file that is missing; then ask the operator to open \
                the run again.",
    operator: "Mend the last cause, then `runs requeue`. Where workers were lost, look first for why they died with \
               this run.",
};
pub(super) const LEASE_EXPIRED: Guidance = Guidance {
    happened: "The worker that held the run was lost, or could not renew its lease; or an operator took the run from \
               it with `runs requeue`. Another worker goes on from what is stored.",
    leaves: &[Requeued, Deferred],
    requester: "Nothing.",
    operator: "Once is nothing. Often: look for workers that are killed, or that are too busy or too far from \
               Postgres to renew in time.",
};
pub(super) const WORKER_UNABLE: Guidance = Guidance {
    happened: "The worker that held the run could not go on for want of disk, memory, file descriptors or processes, or \
               its scratch folder is not usable. The attempt does not count, and the worker claims less often meanwhile.",
    leaves: &[Requeued, Deferred],
    requester: "Nothing: the run waits, or another worker takes it.",
    operator: "Give the machine room, or raise its limits (`ulimit -n`); the message names the folder or the error.",
};
