//! Connections that fall silent: to Postgres, behind a firewall that forgets them.

use crate::support::{SilentWay, World, as_worker, count, eventually, ledger_on, revision};
use model_factory::adapters::ledger::Error;
use std::time::Duration;

/// The longest silence that a statement bears here: a second for the server, five for the way.
const BOUND: Duration = Duration::from_secs(6);

async fn way_to(world: &World) -> SilentWay {
    let direct = url::Url::parse(&world.config.ledger.url).unwrap();
    SilentWay::to(direct.port().unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_on_a_silent_connection_ends_and_the_next_ones_use_another() {
    let world = World::new().await;
    let way = way_to(&world).await;
    let ledger = ledger_on(&way.url(&world.config.ledger.url), |settings| {
        settings.statement_timeout_ms = 1_000;
        settings.max_connections = 2;
    })
    .await;
    // Both connections of the pool are open and idle, then in use; nothing passes on either.
    for silence in 0..2 {
        let (one, other) = tokio::join!(ledger.counts(), ledger.counts());
        assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?} in round {silence}");
        way.forget_connections();
        // An idle connection is asked before it is used, and another one is made.
        eventually("an answer on a new connection", BOUND, || async { ledger.ping().await.ok() }).await;
    }
    // A transaction waits for a lock that is never given, and the connection falls silent meanwhile.
    let mut other = <sqlx::PgConnection as sqlx::Connection>::connect(&world.config.ledger.url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE runs IN ACCESS EXCLUSIVE MODE").execute(&mut other).await.unwrap();
    let waiting = tokio::spawn({
        let ledger = ledger.clone();
        async move { ledger.claim("waits").await.map(drop) }
    });
    eventually("a claim that waits for the lock", BOUND, || async {
        (count(&world.config.ledger.url, "pg_locks WHERE NOT granted").await > 0).then_some(())
    })
    .await;
    way.forget_connections();
    let ended = tokio::time::timeout(2 * BOUND, waiting).await.expect("it ends within its bound").unwrap();
    assert!(matches!(&ended, Err(Error::Unavailable(why)) if why.contains("no answer from Postgres")), "{ended:?}");
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    eventually("a claim on a new connection", BOUND, || async { ledger.claim("goes on").await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_connections_fall_silent_goes_on_by_itself() {
    let world = World::new().await;
    let way = way_to(&world).await;
    let mut worker = world
        .worker("worker")
        .roles("intake,relay")
        .set("LEDGER__URL", way.url(&as_worker(&world.config.ledger.url)))
        .set("LEDGER__STATEMENT_TIMEOUT_MS", "1000")
        .start();
    world.send(&[revision("req-before", "c1").to_string().into_bytes()]).await;
    world.decided(1).await;
    for (round, records) in [(1, 2), (2, 3)] {
        way.forget_connections();
        world.send(&[revision(&format!("req-after-{round}"), &format!("c{records}")).to_string().into_bytes()]).await;
        eventually("a decision after the silence", 4 * BOUND, || async {
            (world.ledger.counts().await.ok()?.inbox >= records).then_some(())
        })
        .await;
    }
    eventually("its events", 4 * BOUND, || async {
        (world.ledger.counts().await.ok()?.outbox_unsent == 0).then_some(())
    })
    .await;
    worker.stop().await;
}
