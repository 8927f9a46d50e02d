//! The audit log: what a transaction did is told as its last statement, in one block behind the one before.
//!
//! Guarantees: an act is in the log if and only if its transaction was committed; blocks are numbered in the order of
//! commits, without holes. Never: takes any other lock once the log's own is held, so that nobody who waits for it
//! holds up the one who has it.

use super::error::commit_fault;
use super::events::NewEvent;
use super::rows::{Additions, LockedRun, unreadable};
use super::types::Arrival;
use super::{Error, Ledger};
use crate::domain::audit_log::Block;
use crate::domain::contract::{
    ActKind, ActReason, ActSubject, Actor, ActorKind, AuditAct, EventRefs, EvidenceRef, Head, StateChange,
};
use crate::domain::identity::Digest;
use crate::domain::run::Outcome;
use crate::failpoints::failpoint;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

/// Key of the advisory lock under which the head of the chain is read and moved.
const HEAD_LOCK: i64 = 0x6d66_6175_6469_7400;
/// A process that freezes while it holds the lock holds up all others no longer than this.
const HELD_AT_MOST_MS: &str = "5000";

/// What a transaction does something because of.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    pub(super) actor: Actor,
    pub(super) subject: ActSubject,
    pub(super) evidence: EventRefs,
}

impl Cause {
    /// A party, without anything else.
    pub(super) fn of(actor: Actor) -> Self {
        Self { actor, subject: ActSubject::default(), evidence: EventRefs::new() }
    }

    /// A record of the request topic. Where nobody can be named who sent it, the worker acts of itself.
    pub(super) fn record(arrival: &Arrival, worker: &str) -> Self {
        let record = arrival.record.coordinates.to_string();
        let (actor, request_id, platform_run_id) = match &arrival.parsed {
            Ok(message) => {
                let actor = Actor::new(ActorKind::Requester, message.requester_principal());
                (actor, Some(message.request_id().to_owned()), None)
            }
            Err(rejection) => {
                let ids = &rejection.ids;
                (Actor::new(ActorKind::Worker, worker), ids.request_id.clone(), ids.platform_run_id.clone())
            }
        };
        let request = EvidenceRef { reference: format!("ledger:{record}"), sha256: arrival.sha256 };
        Self {
            actor,
            subject: ActSubject { request_id, platform_run_id, record: Some(record), ..ActSubject::default() },
            evidence: EventRefs::from([("request".to_owned(), request)]),
        }
    }
}

impl Additions {
    /// What follows is done because of this.
    pub(super) fn because(self, cause: Cause) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// An act of this transaction, by whoever caused it.
    pub(super) fn act(&mut self, kind: ActKind, run: Option<&LockedRun>, worker: &str) -> &mut AuditAct {
        let cause = self.cause.clone().unwrap_or_else(|| Cause::of(Actor::new(ActorKind::Worker, worker)));
        let mut act = AuditAct::new(kind, cause.actor, cause.subject);
        act.evidence = cause.evidence;
        if let Some(run) = run {
            act.subject.run_id = Some(run.run_id.clone());
            act.subject.platform_run_id = Some(run.request.platform_run_id.clone());
            act.subject.request_id.get_or_insert_with(|| run.request.request_id.clone());
        }
        self.told.push(act);
        self.told.last_mut().expect("it was just pushed")
    }

    /// The act that an event tells of. With a step goes all evidence that the run has so far.
    pub(super) fn act_of(&mut self, run: &LockedRun, event: &NewEvent, change: Option<StateChange>, worker: &str) {
        let Some(kind) = ActKind::of(event.event_type) else { return };
        let act = self.act(kind, Some(run), worker);
        act.reason = event.reason.as_ref().map(|reason| ActReason::coded(reason.code, &reason.message));
        if change.is_some() {
            act.evidence.extend(run.refs.clone());
        }
        act.change = change;
    }

    /// Marks the act that settles a record, among those since `from`.
    pub(super) fn settle(&mut self, from: usize, outcome: &Outcome) {
        let settles = |kind: ActKind| match outcome {
            Outcome::Admitted { .. } => kind == ActKind::RequestAdmitted,
            Outcome::DuplicateRequest { .. } | Outcome::DuplicateRun { .. } => kind == ActKind::RequestDeduplicated,
            Outcome::Conflict { .. } | Outcome::Rejected { .. } | Outcome::CommandRejected { .. } => {
                kind == ActKind::RequestRejected
            }
            Outcome::CommandApplied { .. } => {
                matches!(kind, ActKind::CancelRequested | ActKind::PublishRetryRequested)
            }
        };
        if let Some(act) = self.told[from..].iter_mut().find(|act| settles(act.act)) {
            act.outcome = Some(outcome.kind().as_str().to_owned());
        }
    }

    /// Tells everything in one block. The last statement before COMMIT.
    pub(super) async fn seal(&self, connection: &mut PgConnection, worker: &str) -> Result<(), Error> {
        append(connection, worker, &self.told).await
    }
}

/// Puts a block behind the last one; without acts nothing.
pub(super) async fn append(connection: &mut PgConnection, by: &str, acts: &[AuditAct]) -> Result<(), Error> {
    if acts.is_empty() {
        return Ok(());
    }
    let body = Block::text(by, acts);
    failpoint("audit.before")?;
    sqlx::query("SELECT set_config('idle_in_transaction_session_timeout', $2, true), pg_advisory_xact_lock($1)")
        .bind(HEAD_LOCK)
        .bind(HELD_AT_MOST_MS)
        .execute(&mut *connection)
        .await?;
    // A statement of its own: its snapshot has to be younger than the lock.
    let row = sqlx::query(
        "SELECT now(), h.seq, h.digest FROM (SELECT) one
         LEFT JOIN LATERAL (SELECT seq, digest FROM audit_log ORDER BY seq DESC LIMIT 1) h ON true",
    )
    .fetch_one(&mut *connection)
    .await?;
    let head = match row.try_get::<Option<i64>, _>(1)? {
        Some(seq) => Head { seq, digest: stored_digest(&row, 2)? },
        None => Head::start(),
    };
    let block = Block::behind(&head, row.try_get(0)?, body);
    sqlx::query("INSERT INTO audit_log (seq, at, body, previous, digest) VALUES ($1, $2, $3, $4, $5)")
        .bind(block.seq)
        .bind(block.at)
        .bind(&block.body)
        .bind(block.previous.as_bytes().as_slice())
        .bind(block.digest.as_bytes().as_slice())
        .execute(connection)
        .await?;
    failpoint("audit.told")?;
    Ok(())
}

fn stored_digest(row: &PgRow, index: usize) -> Result<Digest, Error> {
    Digest::from_bytes(row.try_get(index)?).map_err(|error| unreadable("digest of the audit log", error))
}

/// Blocks that are read at once.
const PAGE: i64 = 64;

/// The next blocks behind this number, in order.
pub(super) async fn page(connection: &mut PgConnection, behind: i64, upto: i64) -> Result<Vec<Block>, Error> {
    let rows = sqlx::query(
        "SELECT seq, at, body, previous, digest FROM audit_log WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3",
    )
    .bind(behind)
    .bind(upto)
    .bind(PAGE)
    .fetch_all(connection)
    .await?;
    let block = |row: &PgRow| {
        Ok(Block {
            seq: row.try_get(0)?,
            at: row.try_get(1)?,
            body: row.try_get(2)?,
            previous: stored_digest(row, 3)?,
            digest: stored_digest(row, 4)?,
        })
    };
    rows.iter().map(block).collect()
}

/// The last block, as it is stored.
pub(super) async fn head(connection: &mut PgConnection) -> Result<Head, Error> {
    let row =
        sqlx::query("SELECT seq, digest FROM audit_log ORDER BY seq DESC LIMIT 1").fetch_optional(connection).await?;
    match row {
        Some(row) => Ok(Head { seq: row.try_get(0)?, digest: stored_digest(&row, 1)? }),
        None => Ok(Head::start()),
    }
}

impl Ledger {
    /// Tells of acts that the ledger has no other row of, in a transaction of their own.
    pub async fn tell(&self, by: &str, acts: &[AuditAct]) -> Result<(), Error> {
        let mut transaction = self.pool.begin().await?;
        append(&mut transaction, by, acts).await?;
        transaction.commit().await.map_err(commit_fault)
    }

    /// Where the log stands.
    pub async fn audit_head(&self) -> Result<Head, Error> {
        let mut connection = self.pool.acquire().await?;
        head(&mut connection).await
    }

    /// The next blocks behind this number and up to another, in order; none at the end.
    pub async fn audit_blocks(&self, behind: i64, upto: i64) -> Result<Vec<Block>, Error> {
        let mut connection = self.pool.acquire().await?;
        page(&mut connection, behind, upto).await
    }
}
