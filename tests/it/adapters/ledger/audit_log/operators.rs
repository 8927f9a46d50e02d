//! Acts of operators beside runs: migrations, pruning, replays of dead letters; and a ledger that is older than the log.

use super::blocks::{acts, assert_holds, only, verify};
use crate::support::{
    World, admit_one, as_role, bring, fail_one, fresh_database, grant_roles, ledger_on, revision, sql,
};
use model_factory::adapters::ledger::{Ledger, LedgerSettings};
use model_factory::domain::contract::{ActKind, Actor, ActorKind, AuditAct, EvidenceRef};
use model_factory::domain::identity::Digest;
use serde_json::json;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqlSafeStr as _};
use std::borrow::Cow;
use std::time::Duration;

fn operator(name: &str) -> Actor {
    Actor::new(ActorKind::Operator, name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_is_appended_before_it_is_sent_and_when_it_is() {
    let world = World::new().await;
    world.send(&[b"{".to_vec()]).await;
    world.admit(1).await;
    let source = format!("{}/0/0", world.config.kafka.topics.requests);
    let replay = ["dead-letters", "replay", &source, "--reason", "once more", "--actor", "ann"];
    world.stdout(&[&replay[..], &["--dry-run"]].concat());
    assert!(
        acts(&world.ledger).await.iter().all(|act| act.act != ActKind::DeadLetterReplayRequested),
        "nothing was sent"
    );
    world.stdout(&replay);
    let all = acts(&world.ledger).await;
    let bytes = EvidenceRef { reference: format!("ledger:{source}"), sha256: Digest::of(b"{") };
    let (requested, done) = (only(&all, ActKind::DeadLetterReplayRequested), only(&all, ActKind::DeadLetterReplayed));
    for act in [requested, done] {
        assert_eq!((&act.actor, &act.evidence["request"]), (&operator("ann"), &bytes));
        assert_eq!(act.reason.as_ref().unwrap().message, "once more");
        assert_eq!(act.subject.record.as_ref(), Some(&source));
    }
    let sent = format!("{}/0/1", world.config.kafka.topics.requests);
    assert_eq!((&requested.subject.acknowledged_at, &done.subject.acknowledged_at), (&None, &Some(sent)));

    // No broker takes the record: the log holds the request alone.
    let mut command = world.command(&replay);
    command.env("MODEL_FACTORY_KAFKA__BROKERS", "127.0.0.1:1");
    assert!(!command.output().unwrap().status.success());
    let kinds: Vec<ActKind> = acts(&world.ledger).await.iter().map(|act| act.act).collect();
    let [.., last] = kinds.as_slice() else { panic!("{kinds:?}") };
    assert_eq!(*last, ActKind::DeadLetterReplayRequested);
    assert_holds(&world.ledger).await;
}

const LONG_AGO: [&str; 3] = [
    "UPDATE outbox SET sent_at = now() - interval '100 days', sent_topic = 't', sent_partition = 0, sent_offset = id",
    "UPDATE inbox SET received_at = received_at - interval '100 days' WHERE outcome ->> 'outcome' = 'REJECTED'",
    "UPDATE runs SET created_at = created_at - interval '100 days', updated_at = updated_at - interval '100 days'
     WHERE state = 'FAIL'",
];

#[tokio::test]
async fn what_was_pruned_is_appended_with_who_and_why_and_missed_no_more() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let run_id = admit_one(&ledger, "a").await;
    fail_one(&ledger).await;
    bring(&ledger, &json!({"no": "request"})).await;
    admit_one(&ledger, "b").await;
    sql(&url, &LONG_AGO).await;
    let settings = LedgerSettings { url: as_role(&url, "model_factory_prune"), ..LedgerSettings::default() };
    let pruning = Ledger::connect(&settings).await.unwrap();
    let before = ledger.audit_head().await.unwrap();
    for dry_run in [true, false, false] {
        let mut pass = pruning.pruning(Duration::from_hours(90 * 24), dry_run).await.unwrap();
        pass = pass.by("ann".to_owned(), "the disk is full".to_owned());
        while pruning.prune_some(&mut pass).await.unwrap().is_some() {}
    }
    assert_eq!(
        ledger.audit_head().await.unwrap().seq,
        before.seq + 2,
        "only a pass that deleted something is appended"
    );
    let pruned: Vec<AuditAct> =
        acts(&ledger).await.into_iter().filter(|act| act.act == ActKind::LedgerPruned).collect();
    for act in &pruned {
        assert_eq!((&act.actor, act.reason.as_ref().unwrap().message.as_str()), (&operator("ann"), "the disk is full"));
    }
    let (runs, records) = (pruned[0].removed.as_ref().unwrap(), pruned[1].removed.as_ref().unwrap());
    assert_eq!((&runs.run_ids, runs.transitions, runs.outbox), (&vec![run_id.to_string()], 2, 3));
    assert_eq!((records.records.len(), records.inbox, records.outbox), (1, 1, 1));
    let verdict = verify(&ledger).await;
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!(verdict.pruned, 3);

    // Rows that are deleted without an act are missed.
    fail_one(&ledger).await;
    sql(&url, &["DELETE FROM transitions WHERE seq = 2"]).await;
    assert!(!verify(&ledger).await.holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_with_history_from_before_the_log_verifies_from_where_the_log_begins() {
    const BEFORE: [(i64, &str, &str); 4] = [
        (1, "ledger", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/postgres/0001_ledger.sql"))),
        (2, "quota", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/postgres/0002_quota.sql"))),
        (3, "prune", include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/postgres/0003_prune.sql"))),
        (
            4,
            "publish_receipts",
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/postgres/0004_publish_receipts.sql")),
        ),
    ];
    let url = fresh_database().await;
    let migrations = BEFORE.map(|(version, name, sql)| {
        Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, AssertSqlSafe(sql).into_sql_str(), false)
    });
    let mut owner = PgConnection::connect(&url).await.unwrap();
    Migrator::with_migrations(migrations.to_vec()).run(&mut owner).await.unwrap();
    // History as a release without the log leaves it, with the ids of runs in another ledger.
    let model = ledger_on(&fresh_database().await, |_| {}).await;
    admit_one(&model, "old").await;
    let run_id = admit_one(&model, "older").await;
    drop(owner);
    let history = format!(
        "INSERT INTO runs (run_id, run_key, near_key, request_id, tenant, state, publish_allowed, reason_code, available_at,
                           created_at, updated_at, next_seq)
         VALUES ('{run_id}', sha256('a'), sha256('b'), 'req-older-0001', '', 'FAIL', false, 'CANCELLED', now(), now(), now(), 3);
         INSERT INTO transitions VALUES ('{run_id}', 2, 'CANCEL', 'QUEUED', 'FAIL', 'NONE', 0, 0, 'old', 'CANCELLED', 'x', now());
         INSERT INTO acts (run_id, act, actor, reason, at) VALUES ('{run_id}', 'CANCEL', 'ann', 'x', now());
         INSERT INTO inbox VALUES ('requests', 0, 1, NULL, 'x', '{{\"outcome\": \"REJECTED\"}}', NULL, now())"
    );
    sql(&url, &[&history]).await;
    let settings = LedgerSettings { url: url.clone(), ..LedgerSettings::default() };
    let migrating = Ledger::connect(&settings).await.unwrap();
    let applied = migrating.migrate_by("ann").await.unwrap();
    assert!(applied.starts_with(&[5, 6, 7, 8]), "{applied:?}");
    assert!(migrating.migrate_by("bob").await.unwrap().is_empty(), "nothing to do, and nothing to append");
    grant_roles(&url).await.unwrap();
    let ledger = ledger_on(&url, |_| {}).await;
    let all = acts(&ledger).await;
    let migrated = only(&all, ActKind::LedgerMigrated);
    assert_eq!(migrated.actor, operator("ann"));
    assert!(migrated.migrations.starts_with(&[1, 2, 3, 4, 5, 6, 7, 8]), "{:?}", migrated.migrations);
    bring(&ledger, &revision("req-after-0001", "after")).await;
    let verdict = verify(&ledger).await;
    assert!(verdict.holds(), "{verdict:?}");
    assert_eq!(verdict.agreeing.inbox, 1, "only records from after the log began");
    assert_eq!(verdict.began_at, Some(ledger.audit_blocks(0, 1).await.unwrap()[0].at));
}
