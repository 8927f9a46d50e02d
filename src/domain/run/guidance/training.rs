//! The trainer, its worker, and the attempts of a run.

use super::Aftermath::{Deferred, Ended, Reopenable, Requeued};
use super::Guidance;

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
               a lost worker. The message names the last cause.",
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
