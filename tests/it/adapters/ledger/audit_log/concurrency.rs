//! Many writers at once, and writers that die: one chain, no act without its transaction, no transaction without its act.

use super::blocks::{acts, assert_holds, blocks, verify};
use crate::support::{World, arrival, count, eventually, fresh_database, ledger_on, request, revision};
use model_factory::adapters::ledger::{CommandRequest, RunCommand, Step};
use model_factory::domain::contract::ActKind;
use model_factory::domain::run::{FailureCode, Outcome, Transition};
use nix::sys::signal::Signal;
use sqlx::{Connection as _, PgConnection};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_at_once_keep_one_chain() {
    const WRITERS: i64 = 12;
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |settings| settings.max_connections = 16).await;
    let writer = |number: i64| {
        let ledger = ledger.clone();
        async move {
            for turn in 0..5 {
                let offset = number * 100 + turn * 2;
                let mine = revision(&format!("req-{number:03}-{turn:03}"), &format!("c{number}-{turn}"));
                // In each turn all writers also bring one common meaning.
                let shared = revision(&format!("req-{number:03}-{turn:03}-s"), &format!("shared{turn}"));
                let batch = [arrival(offset, &mine), arrival(offset + 1, &shared)];
                let outcomes = ledger.admit(&batch, &format!("w{number}")).await.unwrap();
                let Outcome::Admitted { run_id } = &outcomes[0] else { panic!("{outcomes:?}") };
                if let Some(lease) = ledger.claim(&format!("w{number}")).await.unwrap() {
                    let step = Step::with_reason(Transition::Fail, FailureCode::ManifestInvalid, "not a manifest");
                    let _ = ledger.advance(&lease, &[step]).await.unwrap();
                }
                let order = CommandRequest { command: RunCommand::Cancel, actor: "ann", why: "because" };
                let _ = ledger.command(run_id, order).await.unwrap().unwrap();
            }
        }
    };
    let writing = futures::future::join_all((0..WRITERS).map(|number| tokio::spawn(writer(number))));
    for ended in tokio::time::timeout(Duration::from_mins(2), writing).await.expect("nobody waits for ever") {
        ended.unwrap();
    }
    let blocks = blocks(&ledger).await;
    assert!(blocks.len() as i64 > WRITERS * 5 * 3, "{} blocks", blocks.len());
    let admitted = acts(&ledger).await.into_iter().filter(|act| act.act == ActKind::RequestAdmitted).count();
    assert_eq!(admitted as i64, count(&url, "runs").await);
    let verdict = verify(&ledger).await;
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!(verdict.agreeing.transitions as i64, count(&url, "transitions").await);
    assert_eq!(verdict.agreeing.acts as i64, count(&url, "acts").await);
}

#[tokio::test]
async fn a_process_that_freezes_with_the_lock_of_the_head_loses_its_session() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |settings| settings.lock_timeout_ms = 20_000).await;
    let mut frozen = PgConnection::connect(&url).await.unwrap();
    let mut held = frozen.begin().await.unwrap();
    // It appends, with the lock that every writer takes, and then does nothing.
    sqlx::query(r#"INSERT INTO audit_log (body) VALUES ('{"acts":[],"by":"frozen"}')"#)
        .execute(&mut *held)
        .await
        .unwrap();
    ledger.admit(&[arrival(0, &revision("req-frozen-01", "c"))], "w").await.unwrap();
    assert_holds(&ledger).await;
}

/// The process is killed, or loses its connection, before or after the COMMIT of the block.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_dies_before_its_commit_leaves_neither_and_after_it_both() {
    for (point, action, admissions) in [
        ("audit.before", "kill", 0),
        ("audit.told", "kill", 0),
        ("audit.told", "cut", 0),
        ("admit.committed", "kill", 1),
    ] {
        let world = World::new().await;
        world.send(&[request("req-dies-0001").to_string().into_bytes()]).await;
        let mark = world.folder.path().join("mark");
        let mut worker = world.worker("worker").roles("intake").failpoint(point, action, &mark).start();
        eventually("the failpoint", Duration::from_mins(1), || async { mark.exists().then_some(()) }).await;
        if action == "cut" {
            // The worker goes on by itself, and admits the same record once.
            let admitted = || async { (count(&world.config.ledger.url, "runs").await == 1).then_some(()) };
            eventually("the admission", Duration::from_mins(1), admitted).await;
            worker.signal(Signal::SIGKILL);
        }
        worker.exit().await;
        let runs = count(&world.config.ledger.url, "runs").await;
        let admitted = acts(&world.ledger).await.into_iter().filter(|act| act.act == ActKind::RequestAdmitted).count();
        assert_eq!(admitted as i64, runs, "{point} {action}");
        assert_eq!(runs, if action == "cut" { 1 } else { admissions }, "{point} {action}");
        assert_holds(&world.ledger).await;
    }
}
