//! Rows that the ledger cannot read, as after a bad repair by hand, hold up no others.

use crate::support::{admit_one, fresh_database, ledger_on};
use model_factory::domain::identity::RunId;
use model_factory::domain::run::State;
use sqlx::{Connection as _, PgConnection};

async fn execute(url: &str, statement: &'static str, runs: &[&RunId]) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let ids: Vec<String> = runs.iter().map(ToString::to_string).collect();
    let done = sqlx::query(statement).bind(ids).execute(&mut connection).await.unwrap();
    assert_eq!(done.rows_affected(), runs.len() as u64);
    connection.close().await.unwrap();
}

#[tokio::test]
async fn twenty_leases_that_cannot_be_rescued_do_not_hold_up_the_one_behind_them() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    for index in 0..21 {
        admit_one(&ledger, &format!("c{index:02}")).await;
    }
    let mut leases = Vec::new();
    while let Some(lease) = ledger.claim("lost").await.unwrap() {
        leases.push(lease.run_id);
    }
    let (good, broken) = leases.split_last().unwrap();
    let broken: Vec<&RunId> = broken.iter().collect();
    assert_eq!(broken.len(), 20);
    let expire = "UPDATE runs SET lease_expires_at = now() - interval '1 minute' WHERE run_id = ANY($1)";
    execute(&url, expire, &[good]).await;
    let spoil = "UPDATE runs SET lease_expires_at = now() - interval '2 minutes', refs = '[1]' WHERE run_id = ANY($1)";
    execute(&url, spoil, &broken).await;

    let mut rescued = Vec::new();
    for _ in 0..2 {
        rescued.extend(ledger.requeue_expired("w", 16).await.unwrap());
    }
    assert_eq!(rescued, [(good.clone(), State::Queued)]);
    assert!(ledger.requeue_expired("w", 16).await.unwrap().is_empty(), "the broken rows are left alone for a while");
    assert_eq!(ledger.claim("w").await.unwrap().unwrap().run_id, *good);

    // Mended rows go on like any other after their pause.
    let mend = "UPDATE runs SET lease_expires_at = now() - interval '1 second', refs = '{}' WHERE run_id = ANY($1)";
    execute(&url, mend, &broken).await;
    assert_eq!(ledger.requeue_expired("w", 32).await.unwrap().len(), 20);
}

#[tokio::test]
async fn a_queued_run_that_cannot_be_read_does_not_hold_up_the_next() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let broken = admit_one(&ledger, "first").await;
    let good = admit_one(&ledger, "second").await;
    let spoil = "UPDATE runs SET available_at = now() - interval '1 minute', refs = '[1]' WHERE run_id = ANY($1)";
    execute(&url, spoil, &[&broken]).await;

    let mut claimed = Vec::new();
    for _ in 0..3 {
        claimed.extend(ledger.claim("w").await.unwrap().map(|lease| lease.run_id));
    }
    assert_eq!(claimed, [good], "the turn after the broken one's is the good one's");

    let mend = "UPDATE runs SET available_at = now(), refs = '{}' WHERE run_id = ANY($1)";
    execute(&url, mend, &[&broken]).await;
    assert_eq!(ledger.claim("w").await.unwrap().unwrap().run_id, broken);
}
