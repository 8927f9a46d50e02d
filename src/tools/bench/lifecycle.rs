//! Measures how fast runs are claimed from a long queue, and how fast they go through their states without training.

use super::database::{ALL_ROWS, BenchDatabase, BenchError};
use super::load::{admit_all, request};
use super::measure::{Figures, Laps};
use crate::adapters::ledger::{Guarded, Ledger, Step};
use crate::clock::Stopwatch;
use crate::domain::contract::EventRefs;
use crate::domain::run::Transition;
use futures::future::try_join_all;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct LifecycleSpec {
    pub queued: usize,
    pub tenants: usize,
    /// Number of runs that are claimed, one after the other.
    pub claims: usize,
    /// Number of runs that go through all states.
    pub lives: usize,
    pub workers: usize,
}

const BATCH: usize = 1_000;

/// Measures claims, then whole lives of runs: claim, evaluation, gate passed.
pub async fn lifecycle(
    database: &BenchDatabase,
    spec: &LifecycleSpec,
    mut doing: impl FnMut(&str),
) -> Result<Vec<Figures>, BenchError> {
    doing(&format!("queueing {} runs", spec.queued));
    let ledger = database.ledger().await?;
    let values = (0..spec.queued).map(|index| request(&format!("bench-{index:012}"), index, spec.tenants));
    admit_all(&ledger, values, BATCH).await?;
    ledger.close().await;
    doing("claiming");
    let mut measured = vec![database.costing(|ledger| claims(ledger, spec)).await?];
    doing("carrying runs through their states");
    measured.push(database.costing(|ledger| lives(ledger, spec)).await?);
    doing("inserting the same rows by plain SQL");
    measured.push(database.ceiling(&["transitions"], "transition", BATCH, ALL_ROWS).await?);
    // The ceiling is a single commit on this disk, because each claim and each step takes one commit.
    measured.push(database.ceiling(&["transitions"], "transition", 1, spec.claims).await?);
    Ok(measured)
}

async fn claims(ledger: Ledger, spec: &LifecycleSpec) -> Result<Figures, BenchError> {
    let mut laps = Laps::default();
    for _ in 0..spec.claims {
        let lease = laps.lap(ledger.claim("bench")).await?;
        lease.ok_or_else(|| BenchError::Wrong("the queue is empty".to_owned()))?;
    }
    Ok(laps.figures(&format!("claims, {} queued", spec.queued), "claim", spec.claims as u64, "claim"))
}

async fn lives(ledger: Ledger, spec: &LifecycleSpec) -> Result<Figures, BenchError> {
    let each = spec.lives.div_ceil(spec.workers);
    let since = Stopwatch::start();
    let workers = (0..spec.workers).map(|_| worker(&ledger, each));
    let lived: Vec<Vec<Duration>> = try_join_all(workers).await?;
    let total = since.elapsed();
    let mut laps = Laps::default();
    lived.into_iter().flatten().for_each(|lap| laps.push(lap));
    let count = (each * spec.workers) as u64;
    Ok(laps.figures_within(total, &format!("lives, {} workers", spec.workers), "run", count, "three steps"))
}

async fn worker(ledger: &Ledger, lives: usize) -> Result<Vec<Duration>, BenchError> {
    let mut laps = Vec::with_capacity(lives);
    for _ in 0..lives {
        let since = Stopwatch::start();
        let claimed = ledger.claim("bench").await?;
        let lease = claimed.ok_or_else(|| BenchError::Wrong("the queue is empty".to_owned()))?;
        for transition in [Transition::FinishEvaluation, Transition::PassGate] {
            if ledger.advance(&lease, &[Step::to(transition, EventRefs::new())]).await? == Guarded::Lost {
                return Err(BenchError::Wrong("a lease was lost".to_owned()));
            }
        }
        laps.push(since.elapsed());
    }
    Ok(laps)
}
