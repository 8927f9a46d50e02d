//! The ledger against a real Postgres.

use crate::support::{admit_one, arrival, fresh_database, ledger_on, revision as request};
use model_factory::adapters::ledger::{
    Arrival, Coordinates, Guarded, Ledger, LedgerSettings, Outcome, Renewal, Sent, Step,
};
use model_factory::domain::run::{FailureCode, State, Transition};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};

async fn rows(url: &str) -> Vec<i64> {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let row = sqlx::query(
        "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM requests), (SELECT count(*) FROM inbox),
                (SELECT count(*) FROM outbox), (SELECT count(*) FROM transitions)",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    (0..5).map(|index| row.get(index)).collect()
}

#[tokio::test]
async fn a_replay_of_the_whole_topic_gives_the_same_outcomes_and_writes_nothing() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let mut other = request("req-a-0002", "a");
    other["requester_principal"] = json!("somebody else");
    let batch = [
        arrival(1, &request("req-a-0001", "a")),
        arrival(2, &request("req-a-0001", "a")),
        arrival(3, &other),
        arrival(4, &request("req-a-0001", "b")),
        arrival(5, &json!({})),
        arrival(6, &request("req-b-0001", "b")),
    ];
    let outcomes = ledger.admit(&batch, "w").await.unwrap();
    assert!(
        matches!(
            &outcomes[..],
            [
                Outcome::Admitted { .. },
                Outcome::DuplicateRequest { .. },
                Outcome::DuplicateRun { .. },
                Outcome::Conflict { .. },
                Outcome::Rejected { code: FailureCode::SchemaVersionUnsupported },
                Outcome::Admitted { .. }
            ]
        ),
        "{outcomes:?}"
    );
    let before = rows(&url).await;
    assert_eq!(before[..3], [2, 3, 6]);
    assert_eq!(ledger.admit(&batch, "w").await.unwrap(), outcomes);
    for single in &batch {
        ledger.admit(std::slice::from_ref(single), "w").await.unwrap();
    }
    assert_eq!(rows(&url).await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_that_bring_the_same_meaning_at_once_make_one_run() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |settings| settings.max_connections = 10).await;
    let bring = |worker: i64| {
        let ledger = ledger.clone();
        async move {
            let batch: Vec<Arrival> = (0..20)
                .map(|n| {
                    let id = format!("req-{:04}", if worker % 2 == 0 { n } else { 19 - n });
                    arrival(worker * 100 + n, &request(&id, &format!("r{}", n % 5)))
                })
                .collect();
            ledger.admit(&batch, "w").await
        }
    };
    for result in futures::future::join_all((0..8).map(bring)).await {
        result.unwrap();
    }
    let found = rows(&url).await;
    assert_eq!(found[2], 160, "one outcome per record");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let admitted: i64 = sqlx::query("SELECT count(*) FROM inbox WHERE outcome->>'outcome' = 'ADMITTED'")
        .fetch_one(&mut connection)
        .await
        .unwrap()
        .get(0);
    assert_eq!(admitted, found[0], "one admission per run");
}

/// As after a rebalance: the one who had them in hand still decides, and so does the one who has them now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_that_bring_the_same_records_at_once_decide_once() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |settings| settings.max_connections = 10).await;
    let batch: Vec<Arrival> = (0..30)
        .map(|offset| match offset % 3 {
            0 => arrival(offset, &json!({"not": "a request"})),
            // Every second one says the same as the one before, by the same id or by another.
            rest => {
                arrival(offset, &request(&format!("req-{:04}", offset - offset % 2), &format!("r{}", offset - rest)))
            }
        })
        .collect();
    let decided = futures::future::join_all((0..8).map(|_| ledger.admit(&batch, "w"))).await;
    let first = decided[0].as_ref().unwrap();
    for outcomes in &decided {
        assert_eq!(outcomes.as_ref().unwrap(), first);
    }
    let once = rows(&url).await;
    assert_eq!(once[2], 30);
    let alone = fresh_database().await;
    ledger_on(&alone, |_| {}).await.admit(&batch, "w").await.unwrap();
    assert_eq!(once, rows(&alone).await, "as if one worker had brought them");
}

#[tokio::test]
async fn a_lost_lease_writes_nothing() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |settings| settings.lease_seconds = 1).await;
    let run_id = admit_one(&ledger, "a").await;
    let old = ledger.claim("w1").await.unwrap().unwrap();
    assert_eq!(ledger.renew("w1", &[(run_id.clone(), old.fence)]).await.unwrap(), [Renewal::Held]);
    assert!(ledger.claim("w2").await.unwrap().is_none(), "somebody holds it");
    let taken = crate::support::eventually("expiry", std::time::Duration::from_secs(20), || async {
        let taken = ledger.requeue_expired("w2", 10).await.unwrap();
        (!taken.is_empty()).then_some(taken)
    })
    .await;
    assert_eq!(taken, [(run_id.clone(), State::Queued)]);
    let new = ledger.claim("w2").await.unwrap().unwrap();
    assert_eq!((new.fence, new.attempt), (old.fence + 1, 2));
    let before = rows(&url).await;
    let step = Step::with_reason(Transition::Fail, FailureCode::TrainerFailed, "a zombie");
    assert_eq!(ledger.advance(&old, std::slice::from_ref(&step)).await.unwrap(), Guarded::Lost);
    assert_eq!(ledger.release(&old).await.unwrap(), Guarded::Lost);
    assert_eq!(ledger.renew("w1", &[(run_id, old.fence)]).await.unwrap(), [Renewal::Lost]);
    assert_eq!(rows(&url).await, before);
    assert_eq!(ledger.advance(&new, &[step]).await.unwrap(), Guarded::Won(State::Fail));
}

#[tokio::test]
async fn attempts_are_bounded_and_a_hand_back_costs_none() {
    let ledger = ledger_on(&fresh_database().await, |settings| settings.max_full_attempts = 1).await;
    let run_id = admit_one(&ledger, "a").await;
    let lease = ledger.claim("w").await.unwrap().unwrap();
    assert_eq!(ledger.release(&lease).await.unwrap(), Guarded::Won(State::Queued));
    let lease = ledger.claim("w").await.unwrap().unwrap();
    assert_eq!(lease.attempt, 1);
    let step = Step::with_reason(Transition::Requeue, FailureCode::TrainerTimeout, "too slow");
    assert_eq!(ledger.advance(&lease, &[step]).await.unwrap(), Guarded::Won(State::Fail));
    let run = ledger.run(&run_id).await.unwrap().unwrap();
    assert_eq!(run.reason_code.as_deref(), Some("ATTEMPTS_EXHAUSTED"));
    assert!(run.reason_message.unwrap().contains("TRAINER_TIMEOUT"));
}

#[tokio::test]
async fn an_illegal_step_changes_nothing_and_events_have_no_holes() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    let run_id = admit_one(&ledger, "a").await;
    let lease = ledger.claim("w").await.unwrap().unwrap();
    let before = rows(&url).await;
    let legal = Step::to(Transition::FinishEvaluation, std::collections::BTreeMap::new());
    let illegal = Step::to(Transition::Publish, std::collections::BTreeMap::new());
    assert_eq!(ledger.advance(&lease, &[legal.clone(), illegal]).await.unwrap(), Guarded::Lost);
    assert_eq!(rows(&url).await, before);
    assert_eq!(ledger.advance(&lease, &[legal]).await.unwrap(), Guarded::Won(State::EvalReady));
    let steps = ledger.transitions(&run_id).await.unwrap();
    assert_eq!(steps.iter().map(|step| step.seq).collect::<Vec<_>>(), [2, 3], "1 is the admission");
}

#[tokio::test]
async fn the_database_refuses_a_row_that_cannot_be() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    admit_one(&ledger, "a").await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    for impossible in [
        "UPDATE runs SET state = 'FAIL'",
        "UPDATE runs SET state = 'RUNNING'",
        "UPDATE runs SET state = 'PUBLISHED'",
        "UPDATE runs SET lease_owner = 'me'",
        "UPDATE runs SET execution_mode = 'FULL'",
        "UPDATE runs SET run_id = 'x'",
    ] {
        assert!(sqlx::query(impossible).execute(&mut connection).await.is_err(), "{impossible}");
    }
}

#[tokio::test]
async fn a_cancelled_run_ends_at_once_when_queued_and_soon_when_running() {
    let ledger = ledger_on(&fresh_database().await, |_| {}).await;
    let command = |run_id: &str, id: &str| {
        json!({"schema_version": "learning.mf_cancel.v0", "request_id": id, "run_id": run_id,
               "requester_principal": "tests", "reason": "changed my mind"})
    };
    let queued = admit_one(&ledger, "a").await;
    let outcomes = ledger.admit(&[arrival(2, &command(queued.as_str(), "cmd-0001"))], "w").await.unwrap();
    assert_eq!(outcomes, [Outcome::CommandApplied { run_id: queued.clone() }]);
    assert_eq!(ledger.run(&queued).await.unwrap().unwrap().state, State::Fail);

    let outcomes = ledger.admit(&[arrival(3, &request("req-b-0001", "b"))], "w").await.unwrap();
    let Outcome::Admitted { run_id } = outcomes[0].clone() else { panic!("{outcomes:?}") };
    let lease = ledger.claim("w").await.unwrap().unwrap();
    ledger.admit(&[arrival(4, &command(run_id.as_str(), "cmd-0002"))], "w").await.unwrap();
    assert_eq!(ledger.renew("w", &[(run_id, lease.fence)]).await.unwrap(), [Renewal::CancelRequested]);
    let nobody = command("tr_00000000000000000000000000000000", "cmd-0003");
    let outcomes = ledger.admit(&[arrival(5, &nobody)], "w").await.unwrap();
    assert!(matches!(outcomes[0], Outcome::CommandRejected { .. }), "{outcomes:?}");
}

#[tokio::test]
async fn of_each_run_one_record_is_given_out_at_a_time_and_a_stale_relay_marks_nothing() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    admit_one(&ledger, "a").await;
    ledger.claim("w").await.unwrap().unwrap();
    let shards = ledger.take_shards("r1").await.unwrap();
    assert_eq!(shards.len(), 16);
    assert!(ledger.take_shards("r2").await.unwrap().is_empty(), "r1 holds them all");
    let rows = ledger.unsent(&shards, 10, 1_000).await.unwrap();
    assert_eq!(rows.len(), 1, "started waits for admitted");
    let sent = |offset: i64, relay_shards: &[model_factory::adapters::ledger::Shard]| Sent {
        id: rows[0].id,
        kind: rows[0].kind,
        shard: relay_shards.iter().copied().find(|shard| shard.shard == rows[0].shard).unwrap(),
        coordinates: Coordinates { topic: "lifecycle".to_owned(), partition: 0, offset },
    };
    ledger.release_shards("r1").await.unwrap();
    let taken = ledger.take_shards("r2").await.unwrap();
    assert_eq!(ledger.mark_sent("r1", &[sent(7, &shards)]).await.unwrap(), 0);
    assert_eq!(ledger.mark_sent("r2", &[sent(8, &taken)]).await.unwrap(), 1);
    assert_eq!(ledger.mark_sent("r2", &[sent(9, &taken)]).await.unwrap(), 0, "once");
    assert_eq!(ledger.unsent(&taken, 10, 1_000).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_database_of_another_release_is_refused() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |_| {}).await;
    ledger.check_schema().await.unwrap();
    let owner = Ledger::connect(&LedgerSettings { url: url.clone(), ..LedgerSettings::default() }).await.unwrap();
    assert!(owner.migrate().await.unwrap().is_empty(), "again changes nothing");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    sqlx::query("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (999, 'newer', true, '', 0)")
        .execute(&mut connection)
        .await
        .unwrap();
    assert!(ledger.check_schema().await.unwrap_err().to_string().contains("999"));
}

/// `schema.sql` shows what the migrations come to; `MODEL_FACTORY_BLESS=1` writes it anew.
#[tokio::test]
async fn the_schema_that_people_read_is_the_one_that_migrations_make() {
    let url = fresh_database().await;
    ledger_on(&url, |_| {}).await;
    let dump = std::process::Command::new(model_factory::tools::dev::binaries().unwrap().join("pg_dump"))
        .args(["--schema-only", "--no-owner", "--no-privileges", "--exclude-table=_sqlx_migrations"])
        .arg(&url)
        .output()
        .unwrap();
    assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
    let noise = |line: &&str| ["--", "SET ", "\\", "SELECT pg_catalog."].iter().all(|start| !line.starts_with(start));
    let text = String::from_utf8(dump.stdout).unwrap();
    let mut shown = "-- What the migrations come to, for reading; a test keeps it true.\n".to_owned();
    for line in text.lines().filter(noise) {
        if !(line.is_empty() && shown.ends_with("\n\n")) {
            shown.push_str(line);
            shown.push('\n');
        }
    }
    let shown = format!("{}\n", shown.trim_end());
    let place = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/postgres/schema.sql");
    if std::env::var_os("MODEL_FACTORY_BLESS").is_some() {
        std::fs::write(place, &shown).unwrap();
    }
    assert_eq!(std::fs::read_to_string(place).unwrap(), shown, "run the test with MODEL_FACTORY_BLESS=1");
}
