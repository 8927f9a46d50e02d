//! A run's lease: how a worker keeps it, and how it knows in time that it has lost it.
//!
//! Two clocks measure one lease. The database's clock says when another worker may claim the run; the worker's own
//! monotonic clock says when work on it must stop. The worker reads its clock *before* it sends the claim or the
//! renewal, and the database reads its own while it executes the statement. Both add `lease_seconds`, so the worker's
//! window always closes first, whatever the two clocks show and however slow the network is:
//!
//! ```text
//!                 reads its clock                               stop_at: work stops
//!  worker    ────────┬─────────────── trust window ─────────────────┬────────────────────▶
//!                    │ claim or renewal                             ┊
//!                    └──────────┐                                   ┊
//!  database  ───────────────────┴──────────── lease_seconds ────────┊──────────┬─────────▶
//!                        executes the statement                        lease_expires_at:
//!                                                                      others may claim
//! ```
//!
//! - A renewal that succeeds moves both ends. One statement renews every lease of the worker each third of
//!   `lease_seconds`, so two renewals may fail before a lease ends. A failed one is tried again after a twelfth.
//! - While the database does not answer, the window closes by the worker's clock alone: the trainer is killed and
//!   nothing more is written. No answer is needed to know that the lease is over.
//! - A process that stood still (a paused machine) wakes up behind its window. It asks the ledger first, which reports
//!   the lease as lost. A write that it still sends is refused, since every write names the fence and each claim raises
//!   it.
//! - The two clocks may show different times. They must only run at the same speed for the length of a lease.
//!
//! The [`Renewer`] is a thread with a runtime and a database connection of its own, so that neither training nor a
//! blocked stage can delay it. The [`Guard`] is what an attempt asks between its steps.

mod guard;
mod renewer;

pub(super) use guard::Guard;
pub use renewer::Renewer;
