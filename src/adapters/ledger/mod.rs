//! The run ledger: Postgres. All SQL of runs, requests, transitions and the outbox is in this room.
//!
//! Guarantees: one outcome per record, one run per key, one event per transition, no write to an open run without its
//! fence. Never: keeps a transaction open while work runs; waits for the server without a bound, but for migrations.
//! # Tables
//!
//! | table | a row is | written by |
//! |---|---|---|
//! | `inbox` | a record of the request topic: its bytes and its outcome | admission; pruned where no run came of it |
//! | `positions` | where intake reads a partition on | admission, intake |
//! | `incarnations` | a topic that was made anew, since when and why | intake |
//! | `ledger_identity` | one row: which ledger this is | its migration |
//! | `requests` | a request, by its key (`request_key`), with the run that it belongs to | admission |
//! | `commands` | a command of a requester that was decided, by its key | admission |
//! | `runs` | a run as it stands: state, fence, lease, attempts, evidence | everything that takes a step |
//! | `tenants` | a tenant; its lock keeps the bound on its running runs | admission inserts, a claim locks |
//! | `turns` | whose turn it is: a tenant and priority, when it was served, whether it waits or sleeps | triggers of `runs` insert, claims update |
//! | `wake_ups` | a turn that slept when a run was queued | triggers of `runs` insert, the next claim deletes |
//! | `transitions` | a step of a run | the transaction that takes it |
//! | `acts` | a command of a requester or operator, carried out or refused; not an act of the audit log | admission, operators |
//! | `registry_events` | an event of the registry that was applied | the registry's replies |
//! | `outbox` | an event, publication or dead letter for its topic | the transaction that causes it; marked by the relay |
//! | `lineage_outbox` | an OpenLineage event of a run | the transaction that causes it; marked by the relay |
//! | `relay_shards` | which relay sends which sixteenth of the streams | relays |
//! | `relays` | a relay that lives | relays |
//! | `locks` | nothing: rows that are locked, so that transactions take turns | admission inserts those of requesters |
//! | `audit_log` | a block: the acts of one transaction, chained to the block before | every transaction that has acts |
//!
//! # Locks and their order
//!
//! Isolation is READ COMMITTED: a statement sees what was committed before it began, so a transaction first locks
//! everything that it decides about. It takes its locks in this order, and leaves out what it does not need:
//!
//! ```text
//!  1  partitions of the batch    ascending, `positions`   admission
//!  2  bounded requesters         ascending, `locks`       admission
//!  3  requests, then commands    new ones, then those that were there, each ascending      admission
//!  4  total of running runs      one of `locks`           claim, where it is bounded
//!  5  tenants                    one                      claim, where it is bounded
//!  6  records of the outbox      ascending of one run     registry's reply, withdrawal, relay's marks
//!  7  runs                       ascending                all; claim, rescue and progress skip locked rows
//!  8  turns                      ascending, shared        triggers of `runs`, for whoever queues a run
//!  9  head of the audit log      one of `locks`, trigger  all that have acts, right before COMMIT
//! ```
//!
//! Why this cannot deadlock: a deadlock needs a transaction that waits for a lower number while it holds a higher one.
//! Only pruning takes 6 after 7. It skips runs that are locked, and takes only rows of the outbox that were sent, which
//! no other transaction locks. Claims skip runs that are locked, and so never wait for 7.
//!
//! Within a number, locks are taken in ascending order, or there is only one, or no other transaction takes the same
//! (two relays mark records of different shards). An admission works in two passes. The first pass inserts new rows, and
//! the second locks rows that were there. If another admission is inserting the same row, this one waits in its first
//! pass. At that point it holds no lock of its second pass.
//!
//! A foreign key that is checked at COMMIT belongs to a row that the same transaction has locked or inserted. A
//! transaction that holds 9 takes no further lock: it inserts one row and commits.
//!
//! The functions `take_turn` and `rest_turn` are transactions of their own and end in the server. They skip runs,
//! tenants and turns that a worker has locked, so that they wait only for each other, for the time of one statement.
//! Whoever queues a run waits at 8 for them, or for somebody else who inserts the first run of the same tenant and
//! priority.
//!
//! Two statements may lock rows in another order: the renewal of one worker's leases, which the server orders, and a
//! request that raises a run to a priority that its tenant has for the first time. Where it meets another, the server
//! ends one with a deadlock error. That is [`Error::Unavailable`]: nothing of it was written, and the caller tries again.

mod admission;
mod audit_log;
mod columns;
mod connection;
mod effects;
mod error;
mod maintenance;
mod outbox;
mod positions;
mod queries;
mod receipts;
mod registry;
mod request_key;
mod row;
mod runs;
mod session;
mod settings;
mod setup;
mod transaction;

pub use admission::{Arrival, Recalled, SourceRecord};
pub use audit_log::{AuditVerdict, EvidenceRecord, UnloggedEvidence};
pub use columns::{Coordinates, Readable};
pub use connection::Ledger;
pub use error::{Error, PostgresDenial};
pub use maintenance::{Pruned, Pruning};
pub use outbox::{DatasetsKnown, Lane, OutboxRow, Room, Sent, Shard};
pub use positions::{Incarnation, Position, Positions};
pub use queries::{
    ActRecord, Backlog, DeadLetterPage, DeadLetterRecord, DeadLetterRow, DeadLetterText, Depth, EmittedEvent,
    EndedRuns, LeaseRow, Leases, LedgerCounts, Original, PagePart, RequestRecord, RunCursor, RunPage, RunQuery,
    RunRecord, RunRow, SearchBy, ShardOwner, Standing, TransitionRecord,
};
pub use receipts::Announced;
pub use runs::{CommandRefused, CommandRequest, Guarded, Lease, Renewal, RunCommand, Step};
pub use settings::{ConfirmedBy, LedgerSettings, PriorityRule, PublishSettings};
pub use setup::{SchemaState, ServerState};
