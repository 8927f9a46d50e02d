//! Admission: records that come again, or to many workers at once, are decided once.

use super::rows::rows;
use crate::support::{arrival, fresh_database, ledger_on, revision as request};
use model_factory::adapters::ledger::Arrival;
use model_factory::domain::run::{FailureCode, Outcome};
use serde_json::json;
use sqlx::{Connection as _, PgConnection, Row as _};

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

/// As after a rebalance: the member that had the records decides, and so does the one that has them now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_workers_that_bring_the_same_records_at_once_decide_once() {
    let url = fresh_database().await;
    let ledger = ledger_on(&url, |settings| settings.max_connections = 10).await;
    let batch: Vec<Arrival> = (0..30)
        .map(|offset| match offset % 3 {
            0 => arrival(offset, &json!({"not": "a request"})),
            // Two records with one meaning, under one request id or two.
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
